//! What one request to the listener means: the sign-in's own, or somebody else's. Pure.
use crate::config::LoopbackHost;
use helper_protocols::Secret;

/// The largest request that is read, in bytes: head and form together.
pub(super) const LARGEST: usize = 8 << 10;

/// Where the page lies that asks before it goes on, and where its link leads.
pub(super) const ASK: &str = "/ask/";
pub(super) const GO_ON: &str = "/go/";
const START: &str = "/start/";
const PASTE: &str = "/paste/";

/// What a request has to say to be taken for the one that is waited for.
#[derive(Debug)]
pub(crate) struct Expectation {
    /// The last segment of the one-time local address.
    pub(crate) ticket: String,
    /// The same of the page that asks before it goes on, and of its link; none where the one-time address goes on at once.
    pub(crate) page_ticket: Option<String>,
    /// The last segment of the address that takes what a person pasted, where that is wanted.
    pub(crate) paste_ticket: Option<Secret>,
    /// The path of the redirect URI, where that leads here.
    pub(crate) path: Option<String>,
    pub(crate) state: Secret,
}

/// What a request may have as `Host`: the one-time address the literal, the redirect what is registered.
#[derive(Debug)]
pub(crate) struct Hosts {
    start: String,
    redirect: String,
}

/// The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2), as they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) code: Option<Secret>,
    pub(crate) error: Option<String>,
    pub(crate) error_description: Option<String>,
    pub(crate) iss: Option<String>,
    /// A person pasted it, and it came without its `state`.
    pub(crate) is_bare: bool,
}

/// What one request head means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The one-time local address.
    Start,
    /// The page that asks before it goes on.
    Ask,
    /// The link of that page.
    GoOn,
    /// The authorization response.
    Response(Parameters),
    /// Perhaps an authorization response that comes as a form of so many bytes, which say whether it is.
    Form(usize),
    /// A text of so many bytes that a person pasted.
    Pasted(usize),
    /// Something else; listening goes on.
    NotOurs(Stray),
}

/// Something that is not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stray {
    /// No request, one for another host, or one that a page makes by itself.
    Odd,
    Method,
    Path,
    /// The redirect without any parameter.
    Bare,
    /// The redirect with parameters that are no response to this sign-in.
    OtherState,
    /// More than [`LARGEST`] bytes.
    TooLarge,
    /// From another user of this machine.
    Foreign,
}

impl Hosts {
    pub(crate) fn new(host: LoopbackHost, port: u16) -> Self {
        Self { start: authority(literal(host), port), redirect: authority(host, port) }
    }

    /// Returns the one-time local address that ends in `ticket`: never by name, which can lead elsewhere.
    pub(super) fn start_address(&self, ticket: &str) -> String {
        format!("http://{}{START}{ticket}", self.start)
    }

    /// Returns the address that takes what a person pasted, for whoever knows `ticket`.
    pub(super) fn paste_address(&self, ticket: &Secret) -> Secret {
        Secret::new(format!("http://{}{PASTE}{}", self.start, ticket.expose()))
    }
}

/// Returns the address by which the one-time address is opened where the redirect goes to `host`.
const fn literal(host: LoopbackHost) -> LoopbackHost {
    match host {
        LoopbackHost::V6 => LoopbackHost::V6,
        LoopbackHost::V4 | LoopbackHost::Localhost => LoopbackHost::V4,
    }
}

/// Returns host and port as browsers write them.
fn authority(host: LoopbackHost, port: u16) -> String {
    if port == 80 { host.name().to_owned() } else { format!("{}:{port}", host.name()) }
}

/// Decides what the request `head` (up to and with its blank line) means to a sign-in that listens at `hosts`.
///
/// Only a `GET` in origin form counts, with the right `Host`, from a navigation of a whole tab that is no guess of the browser's.
pub(crate) fn read_request(head: &[u8], hosts: &Hosts, expectation: &Expectation) -> Verdict {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
        return Verdict::NotOurs(Stray::Odd);
    }
    let fields = Fields(request.headers);
    let (asks_start, asks_redirect) = (fields.is_alone("host", &hosts.start), fields.is_alone("host", &hosts.redirect));
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let method = request.method.unwrap_or_default();
    let is_redirect = expectation.path.as_deref() == Some(path);
    match method {
        _ if !asks_start && !asks_redirect || !fields.navigates() || fields.is_guess() => Verdict::NotOurs(Stray::Odd),
        "GET" if asks_start && is_ticket(path, START, Some(&expectation.ticket)) => Verdict::Start,
        "GET" if asks_start && is_ticket(path, ASK, expectation.page_ticket.as_deref()) => Verdict::Ask,
        "GET" if asks_start && is_ticket(path, GO_ON, expectation.page_ticket.as_deref()) => fields.go_on(),
        "POST" if asks_start && is_ticket(target, PASTE, expectation.paste_ticket.as_ref().map(Secret::expose)) => {
            fields.length().map_or(Verdict::NotOurs(Stray::Odd), Verdict::Pasted)
        }
        "GET" if !is_redirect => Verdict::NotOurs(Stray::Path),
        _ if !asks_redirect => Verdict::NotOurs(Stray::Odd),
        "GET" => read_response(query, expectation),
        "POST" if is_redirect => fields.form_length().map_or(Verdict::NotOurs(Stray::Method), Verdict::Form),
        _ => Verdict::NotOurs(Stray::Method),
    }
}

/// Whether `form` is an authorization response to this sign-in (OAuth 2.0 Form Post Response Mode).
pub(crate) fn is_response(form: &[u8], expectation: &Expectation) -> bool {
    std::str::from_utf8(form).is_ok_and(|form| matches!(read_response(form, expectation), Verdict::Response(_)))
}

fn is_ticket(path: &str, place: &str, ticket: Option<&str>) -> bool {
    let same = |given: &str, ticket: &str| Secret::new(given.to_owned()) == Secret::new(ticket.to_owned());
    path.strip_prefix(place).zip(ticket).is_some_and(|(given, ticket)| same(given, ticket))
}

/// The header fields of a request.
struct Fields<'h>(&'h [httparse::Header<'h>]);

impl<'h> Fields<'h> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Whether the field comes once, with exactly this value.
    fn is_alone(&self, name: &str, value: &str) -> bool {
        self.all(name).eq([value.as_bytes()])
    }

    /// Whether every one of the fields has this value; browsers that are too old to send it send none.
    fn is_only(&self, name: &str, value: &str) -> bool {
        self.all(name).all(|given| given == value.as_bytes())
    }

    /// Whether a whole tab goes there (Fetch Metadata): no script, image or frame of another page.
    fn navigates(&self) -> bool {
        self.is_only("sec-fetch-mode", "navigate") && self.is_only("sec-fetch-dest", "document")
    }

    /// Whether the browser only guesses that the person will go there: what it fetched so, nobody may ever see.
    fn is_guess(&self) -> bool {
        let words = ["prefetch", "prerender", "preview"];
        let says = |value: &[u8]| words.iter().any(|word| String::from_utf8_lossy(value).to_ascii_lowercase().contains(word));
        ["sec-purpose", "purpose", "x-purpose", "x-moz"].into_iter().any(|name| self.all(name).any(says))
    }

    /// Our own page leads there, and no other one can know where.
    fn go_on(&self) -> Verdict {
        if self.is_only("sec-fetch-site", "same-origin") { Verdict::GoOn } else { Verdict::NotOurs(Stray::Odd) }
    }

    /// Returns the length of a form, where it is one.
    fn form_length(&self) -> Option<usize> {
        let kind = "application/x-www-form-urlencoded";
        let is_form = self.all("content-type").all(|given| given.to_ascii_lowercase().starts_with(kind.as_bytes()));
        self.length().filter(|_| is_form)
    }

    /// Returns how many bytes come behind the head, where it says so once.
    fn length(&self) -> Option<usize> {
        let mut lengths = self.all("content-length");
        let length = std::str::from_utf8(lengths.next()?).ok()?.parse().ok()?;
        lengths.next().is_none().then_some(length)
    }
}

fn read_response(query: &str, expectation: &Expectation) -> Verdict {
    if query.is_empty() {
        return Verdict::NotOurs(Stray::Bare);
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut parameters = Parameters::default();
    let mut state = None;
    for (name, value) in &pairs {
        if pairs.iter().filter(|(other, _)| other == name).count() > 1 {
            return Verdict::NotOurs(Stray::OtherState);
        }
        match name.as_str() {
            "state" => state = Some(Secret::new(value.clone())),
            "code" => parameters.code = Some(Secret::new(value.clone())),
            "error" => parameters.error = Some(value.clone()),
            "error_description" => parameters.error_description = Some(value.clone()),
            "iss" => parameters.iss = Some(value.clone()),
            _ => {}
        }
    }
    let complete = parameters.code.is_some() != parameters.error.is_some();
    if !complete || state.as_ref() != Some(&expectation.state) {
        return Verdict::NotOurs(Stray::OtherState);
    }
    Verdict::Response(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation() -> Expectation {
        Expectation {
            ticket: "t1".into(),
            page_ticket: Some("p1".into()),
            paste_ticket: Some(Secret::new("x1".into())),
            path: Some("/callback".into()),
            state: Secret::new("s1".into()),
        }
    }

    fn verdict(head: &str) -> Verdict {
        read_request(head.as_bytes(), &Hosts::new(LoopbackHost::V4, 4000), &expectation())
    }

    #[test]
    fn only_the_expected_request_is_taken() {
        use Stray::{Bare, Method, Odd, OtherState, Path};
        let rows: [(&str, &str, Verdict); 49] = [
            // request line, fields after the host, what it means
            ("GET /start/t1", "", Verdict::Start),
            ("GET /start/t1?x=y", "", Verdict::Start),
            ("GET /start/t2", "", Verdict::NotOurs(Path)),
            ("GET /start/p1", "", Verdict::NotOurs(Path)),
            ("GET /start/", "", Verdict::NotOurs(Path)),
            ("GET /ask/p1", "", Verdict::Ask),
            ("GET /ask/t1", "", Verdict::NotOurs(Path)),
            ("GET /go/p1", "", Verdict::GoOn),
            ("GET /go/p1", "Sec-Fetch-Site: same-origin\r\n", Verdict::GoOn),
            ("GET /go/p1", "Sec-Fetch-Site: cross-site\r\n", Verdict::NotOurs(Odd)),
            ("GET /go/t1", "", Verdict::NotOurs(Path)),
            ("GET /favicon.ico", "", Verdict::NotOurs(Path)),
            ("GET /", "", Verdict::NotOurs(Path)),
            ("GET /callback", "", Verdict::NotOurs(Bare)),
            ("GET /callback?", "", Verdict::NotOurs(Bare)),
            ("GET /callback/?code=c&state=s1", "", Verdict::NotOurs(Path)),
            ("GET /Callback?code=c&state=s1", "", Verdict::NotOurs(Path)),
            ("GET /%63allback?code=c&state=s1", "", Verdict::NotOurs(Path)),
            ("GET /callback?code=c&state=s2", "", Verdict::NotOurs(OtherState)),
            ("GET /callback?code=c", "", Verdict::NotOurs(OtherState)),
            ("GET /callback?state=s1", "", Verdict::NotOurs(OtherState)),
            ("GET /callback?code=c&state=s1&state=s1", "", Verdict::NotOurs(OtherState)),
            ("GET /callback?code=c&code=d&state=s1", "", Verdict::NotOurs(OtherState)),
            ("GET /callback?code=c&error=e&state=s1", "", Verdict::NotOurs(OtherState)),
            ("HEAD /callback?code=c&state=s1", "", Verdict::NotOurs(Method)),
            ("HEAD /start/t1", "", Verdict::NotOurs(Method)),
            ("get /callback?code=c&state=s1", "", Verdict::NotOurs(Method)),
            ("OPTIONS /callback", "Origin: https://a.example\r\n", Verdict::NotOurs(Method)),
            ("POST /callback?code=c&state=s1", "", Verdict::NotOurs(Method)),
            ("POST /callback", "Content-Length: 8193\r\n", Verdict::Form(8193)),
            ("POST /callback", "Content-Length: -1\r\n", Verdict::NotOurs(Method)),
            ("POST /callback", "Content-Length: 1\r\nContent-Length: 1\r\n", Verdict::NotOurs(Method)),
            ("POST /callback", "Content-Type: text/plain\r\nContent-Length: 7\r\n", Verdict::NotOurs(Method)),
            ("POST /callback", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n", Verdict::Form(7)),
            ("POST /paste/x1", "Content-Length: 32768\r\n", Verdict::Pasted(32_768)),
            ("POST /paste/x1", "Content-Length: 1\r\nContent-Length: 1\r\n", Verdict::NotOurs(Odd)),
            ("POST /paste/x1", "Content-Length: -1\r\n", Verdict::NotOurs(Odd)),
            ("POST /paste/x1", "", Verdict::NotOurs(Odd)),
            ("POST /paste/p1", "Content-Length: 7\r\n", Verdict::NotOurs(Method)),
            ("POST /paste/", "Content-Length: 7\r\n", Verdict::NotOurs(Method)),
            ("GET /paste/x1", "", Verdict::NotOurs(Path)),
            ("POST /elsewhere", "Content-Length: 7\r\n", Verdict::NotOurs(Method)),
            ("GET http://127.0.0.1:4000/callback?code=c&state=s1", "", Verdict::NotOurs(Path)),
            ("GET /callback?code=c&state=s1", "Host: 127.0.0.1:4000\r\n", Verdict::NotOurs(Odd)),
            ("GET /callback?code=c&state=s1", "Sec-Fetch-Mode: no-cors\r\n", Verdict::NotOurs(Odd)),
            ("GET /callback?code=c&state=s1", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n", Verdict::NotOurs(Odd)),
            ("GET /callback?code=c&state=s1", "Sec-Purpose: prefetch;prerender\r\n", Verdict::NotOurs(Odd)),
            ("GET /start/t1", "Purpose: Prefetch\r\n", Verdict::NotOurs(Odd)),
            ("GET /start/t1", "X-Moz: prefetch\r\n", Verdict::NotOurs(Odd)),
        ];
        for (line, fields, expected) in rows {
            let head = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n{fields}\r\n");
            assert_eq!(verdict(&head), expected, "{head:?}");
        }
    }

    #[test]
    fn what_is_no_request_or_names_another_host_is_odd() {
        for head in [
            "GET /callback?code=c&state=s1 HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
            "GET /callback?code=c&state=s1 HTTP/1.1\r\nHost: localhost:4000\r\n\r\n",
            "GET /callback?code=c&state=s1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            "GET /callback?code=c&state=s1 HTTP/1.1\r\n\r\n",
            "GET /callback?code=c&state=s1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\u{16}\u{3}\u{1}\r\n\r\n",
            "",
        ] {
            assert_eq!(verdict(head), Verdict::NotOurs(Stray::Odd), "{head:?}");
        }
    }

    #[test]
    fn where_nobody_is_asked_there_is_no_page_that_asks() {
        let expectation = Expectation { page_ticket: None, paste_ticket: None, ..expectation() };
        for target in ["/ask/", "/go/", "/ask/p1", "/go/p1"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\n");
            let verdict = read_request(head.as_bytes(), &Hosts::new(LoopbackHost::V4, 4000), &expectation);
            assert_eq!(verdict, Verdict::NotOurs(Stray::Path), "{target}");
        }
    }

    #[test]
    fn the_redirect_wants_its_own_host_and_the_one_time_address_the_literal() {
        let rows = [
            (LoopbackHost::Localhost, 4000, "/callback?code=c&state=s1", "localhost:4000", true),
            (LoopbackHost::Localhost, 4000, "/callback?code=c&state=s1", "127.0.0.1:4000", false),
            (LoopbackHost::Localhost, 4000, "/callback?code=c&state=s1", "[::1]:4000", false),
            (LoopbackHost::Localhost, 4000, "/start/t1", "127.0.0.1:4000", true),
            (LoopbackHost::Localhost, 4000, "/start/t1", "localhost:4000", false),
            (LoopbackHost::V6, 4000, "/start/t1", "[::1]:4000", true),
            (LoopbackHost::V6, 4000, "/callback?code=c&state=s1", "[::1]:4000", true),
            (LoopbackHost::V6, 4000, "/callback?code=c&state=s1", "127.0.0.1:4000", false),
            (LoopbackHost::V4, 80, "/callback?code=c&state=s1", "127.0.0.1", true),
            (LoopbackHost::V4, 80, "/callback?code=c&state=s1", "127.0.0.1:80", false),
        ];
        for (host, port, target, asked, taken) in rows {
            let head = format!("GET {target} HTTP/1.1\r\nHost: {asked}\r\n\r\n");
            let verdict = read_request(head.as_bytes(), &Hosts::new(host, port), &expectation());
            assert_eq!(!matches!(verdict, Verdict::NotOurs(_)), taken, "{host:?} {port} {target} {asked}");
        }
    }

    #[test]
    fn a_response_is_read_with_its_parameters() {
        let host =
            "Host: 127.0.0.1:4000\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: document\r\n";
        let Verdict::Response(parameters) =
            verdict(&format!("GET /callback?code=a%2Bb&state=s1&iss=https%3A%2F%2Fsso.example.com&x=y HTTP/1.1\r\n{host}\r\n"))
        else {
            panic!("not taken")
        };
        assert_eq!(parameters.code.unwrap().expose(), "a+b");
        assert_eq!(parameters.iss.as_deref(), Some("https://sso.example.com"));
        let Verdict::Response(denied) =
            verdict(&format!("GET /callback?error=access_denied&error_description=no+way&state=s1 HTTP/1.1\r\n{host}\r\n"))
        else {
            panic!("not taken")
        };
        assert_eq!((denied.error.as_deref(), denied.error_description.as_deref()), (Some("access_denied"), Some("no way")));
    }

    #[test]
    fn a_form_is_a_response_by_its_state() {
        for (form, expected) in [
            (&b"code=c&state=s1"[..], true),
            (b"error=access_denied&state=s1", true),
            (b"code=c&state=s2", false),
            (b"code=c", false),
            (b"code=c&state=s1&state=s1", false),
            (b"\xff", false),
            (b"", false),
        ] {
            assert_eq!(is_response(form, &expectation()), expected, "{form:?}");
        }
    }
}
