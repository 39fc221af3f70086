//! Listens on the loopback interface for one authorization response (RFC 8252 §7.3), and sends the browser on its way there.
use super::result_page::{HEADERS, Page};
use crate::config::LoopbackHost;
use crate::failure::Failure;
use helper_protocols::Secret;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use url::Url;

/// The largest request head that is read, in bytes.
const HEAD: usize = 8 << 10;
/// The longest that one request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most connections that are read at one time; further ones are closed.
const CONNECTIONS: usize = 64;
/// How often a waiting sign-in looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(200);

/// What a request has to say to be taken for the one that is waited for.
#[derive(Debug)]
pub(crate) struct Expectation {
    /// The last segment of the one-time local address.
    pub(crate) ticket: String,
    /// The path of the redirect URI.
    pub(crate) path: String,
    pub(crate) state: Secret,
    /// Where the one-time local address leads.
    pub(crate) authorization_url: Secret,
}

/// The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2), as they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) code: Option<Secret>,
    pub(crate) error: Option<String>,
    pub(crate) error_description: Option<String>,
    pub(crate) iss: Option<String>,
}

/// What one request head means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The one-time local address.
    Start,
    /// The authorization response.
    Response(Parameters),
    /// Something else: this status, and listening goes on.
    NotOurs(u16),
}

/// Why waiting ended.
#[derive(Debug)]
pub(crate) enum Event {
    Response(Parameters, Browser),
    /// The one-time address was opened again: by a reload, or by somebody who watched.
    StartedTwice,
    TimedOut,
    Stopped,
}

/// The browser's connection, which is answered when the outcome is known.
#[derive(Debug)]
pub(crate) struct Browser(TcpStream);

impl Browser {
    /// Shows `page` and closes the connection. A browser that has gone away is no failure.
    pub(crate) fn show(mut self, page: &Page) {
        let html = page.html();
        respond(&mut self.0, "200 OK", HEADERS, html.as_bytes());
    }
}

/// Bound sockets on one port that are kept until the sign-in ends.
#[derive(Debug)]
pub(crate) struct Loopback {
    listeners: Vec<TcpListener>,
    host: LoopbackHost,
    port: u16,
}

impl Loopback {
    /// Binds `host` on the first free one of `ports`, or on a port the system picks where none is fixed. It listens when this returns.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Misconfigured`] naming what is taken, and by whom.
    pub(crate) fn bind(host: LoopbackHost, ports: &[u16]) -> Result<Self, Failure> {
        let (listeners, port) = super::bind::bind(host, ports)?;
        Ok(Self { listeners, host, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the one-time local address that sends the browser to the authorization server: never by name, which can lead elsewhere.
    pub(crate) fn start_address(&self, ticket: &str) -> Url {
        Url::parse(&format!("http://{}/start/{ticket}", authority(literal(self.host), self.port)))
            .expect("an address, a port and hexadecimal digits make a URL")
    }

    /// Serves requests until the authorization response comes, `limit` has passed, or `stop` says so.
    pub(crate) fn wait(self, expectation: Expectation, limit: Duration, stop: &mut dyn FnMut() -> bool) -> Event {
        let (events, received) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let addresses: Vec<_> = self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let desk = Arc::new(Desk {
            expectation,
            hosts: Hosts::new(self.host, self.port),
            started: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            events,
        });
        for listener in self.listeners {
            let (desk, flag) = (Arc::clone(&desk), Arc::clone(&stopping));
            if std::thread::Builder::new().spawn(move || receive(&listener, &desk, &flag)).is_err() {
                return Event::Stopped;
            }
        }
        drop(desk);
        let event = watch(&received, limit, stop);
        stopping.store(true, Ordering::SeqCst);
        for address in addresses {
            // wakes the listener up, so that it closes
            let _ = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        }
        event
    }
}

fn watch(received: &Receiver<Event>, limit: Duration, stop: &mut dyn FnMut() -> bool) -> Event {
    let begun = Instant::now();
    loop {
        match received.recv_timeout(GLANCE) {
            Ok(event) => return event,
            Err(RecvTimeoutError::Disconnected) => return Event::Stopped,
            Err(RecvTimeoutError::Timeout) if stop() => return Event::Stopped,
            Err(RecvTimeoutError::Timeout) if begun.elapsed() >= limit => return Event::TimedOut,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

struct Desk {
    expectation: Expectation,
    hosts: Hosts,
    started: AtomicBool,
    open: AtomicUsize,
    events: Sender<Event>,
}

fn receive(listener: &TcpListener, desk: &Arc<Desk>, stopping: &AtomicBool) {
    for stream in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if desk.open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
            desk.open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (ours, counted) = (Arc::clone(desk), Arc::clone(desk));
        let started = std::thread::Builder::new().spawn(move || {
            attend(stream, &ours);
            ours.open.fetch_sub(1, Ordering::SeqCst);
        });
        if started.is_err() {
            counted.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Reads one request and deals with it. One request per connection: what comes behind it is not read.
fn attend(mut stream: TcpStream, desk: &Desk) {
    let Some(head) = read_head(&mut stream) else { return };
    let verdict = if is_foreign(&stream) { Verdict::NotOurs(403) } else { read_request(&head, &desk.hosts, &desk.expectation) };
    match verdict {
        Verdict::Start if desk.started.swap(true, Ordering::SeqCst) => {
            respond(
                &mut stream,
                "410 Gone",
                "content-type: text/plain\r\ncache-control: no-store\r\n",
                b"this address works once\n",
            );
            let _ = desk.events.send(Event::StartedTwice);
        }
        Verdict::Start => {
            let headers = format!(
                "location: {}\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\n",
                desk.expectation.authorization_url.expose()
            );
            respond(&mut stream, "302 Found", &headers, b"");
        }
        Verdict::Response(parameters) => {
            let _ = desk.events.send(Event::Response(parameters, Browser(stream)));
        }
        Verdict::NotOurs(status) => {
            let line = match status {
                403 => "403 Forbidden",
                404 => "404 Not Found",
                _ => "400 Bad Request",
            };
            respond(
                &mut stream,
                line,
                "content-type: text/plain\r\ncache-control: no-store\r\n",
                b"not what is waited for here\n",
            );
        }
    }
}

/// Whether the other end belongs to another ordinary user of this machine, as far as the system tells.
fn is_foreign(stream: &TcpStream) -> bool {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return true };
    let us = crate::os::effective_uid();
    // system accounts and root may be relays, as on WSL
    crate::os::connection_uid(local, peer).is_some_and(|uid| uid != us && (1000..65_534).contains(&uid))
}

fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let begun = Instant::now();
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let left = PATIENCE.checked_sub(begun.elapsed()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&part[..count]);
        if head.len() > HEAD {
            return None;
        }
    }
    Some(head)
}

fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let _ = stream.set_write_timeout(Some(PATIENCE));
    let mut bytes =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
    // a reset while the browser still sends would lose the page
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let _ = stream.read(&mut [0; 512]);
}

/// What a request may have as `Host`: the one-time address the literal, the redirect what is registered.
#[derive(Debug)]
pub(crate) struct Hosts {
    start: String,
    redirect: String,
}

impl Hosts {
    pub(crate) fn new(host: LoopbackHost, port: u16) -> Self {
        Self { start: authority(literal(host), port), redirect: authority(host, port) }
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
/// Only a `GET` in origin form, with the right `Host`, from a top-level navigation counts. A wrong path is 404, anything else that
/// does not fit is 400, a wrong or repeated `state` included. Pure.
pub(crate) fn read_request(head: &[u8], hosts: &Hosts, expectation: &Expectation) -> Verdict {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
        return Verdict::NotOurs(400);
    }
    let all =
        |name: &str| request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect::<Vec<_>>();
    let navigates = all("sec-fetch-mode").iter().all(|mode| *mode == b"navigate");
    let asks = |host: &str| all("host") == [host.as_bytes()];
    if request.method != Some("GET") || !asks(&hosts.start) && !asks(&hosts.redirect) || !navigates {
        return Verdict::NotOurs(400);
    }
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path.strip_prefix("/start/").is_some_and(|ticket| same(ticket, &expectation.ticket)) && asks(&hosts.start) {
        return Verdict::Start;
    }
    if path != expectation.path {
        return Verdict::NotOurs(404);
    }
    if !asks(&hosts.redirect) {
        return Verdict::NotOurs(400);
    }
    read_response(query, expectation)
}

fn read_response(query: &str, expectation: &Expectation) -> Verdict {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut parameters = Parameters::default();
    let mut state = None;
    for (name, value) in &pairs {
        if pairs.iter().filter(|(other, _)| other == name).count() > 1 {
            return Verdict::NotOurs(400);
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
    if !complete || state.as_ref() != Some(&expectation.state) { Verdict::NotOurs(400) } else { Verdict::Response(parameters) }
}

fn same(one: &str, other: &str) -> bool {
    Secret::new(one.to_owned()) == Secret::new(other.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation() -> Expectation {
        Expectation {
            ticket: "t1".into(),
            path: "/callback".into(),
            state: Secret::new("s1".into()),
            authorization_url: Secret::new("https://sso.example.com/".into()),
        }
    }

    fn verdict(head: &str) -> Verdict {
        read_request(head.as_bytes(), &Hosts::new(LoopbackHost::V4, 4000), &expectation())
    }

    #[test]
    fn only_the_expected_request_is_taken() {
        let host = "Host: 127.0.0.1:4000\r\n";
        let rows = [
            (format!("GET /start/t1 HTTP/1.1\r\n{host}\r\n"), Verdict::Start),
            (format!("GET /start/t2 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(404)),
            (format!("GET /favicon.ico HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(404)),
            (format!("GET /callback/?code=c&state=s1 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(404)),
            (format!("GET /callback?code=c&state=s2 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(400)),
            (format!("GET /callback?code=c HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(400)),
            (format!("GET /callback?state=s1 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(400)),
            (format!("GET /callback?code=c&state=s1&state=s1 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(400)),
            (format!("GET /callback?code=c&code=d&state=s1 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(400)),
            (format!("GET /callback?code=c&error=e&state=s1 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(400)),
            (format!("POST /callback?code=c&state=s1 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(400)),
            (format!("HEAD /callback?code=c&state=s1 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(400)),
            (format!("GET http://127.0.0.1:4000/callback?code=c&state=s1 HTTP/1.1\r\n{host}\r\n"), Verdict::NotOurs(404)),
            ("GET /callback?code=c&state=s1 HTTP/1.1\r\nHost: evil.example.com\r\n\r\n".into(), Verdict::NotOurs(400)),
            ("GET /callback?code=c&state=s1 HTTP/1.1\r\nHost: localhost:4000\r\n\r\n".into(), Verdict::NotOurs(400)),
            (format!("GET /callback?code=c&state=s1 HTTP/1.1\r\n{host}{host}\r\n"), Verdict::NotOurs(400)),
            ("GET /callback?code=c&state=s1 HTTP/1.1\r\n\r\n".into(), Verdict::NotOurs(400)),
            (format!("GET /callback?code=c&state=s1 HTTP/1.1\r\n{host}Sec-Fetch-Mode: no-cors\r\n\r\n"), Verdict::NotOurs(400)),
            ("\u{16}\u{3}\u{1}\r\n\r\n".into(), Verdict::NotOurs(400)),
            (String::new(), Verdict::NotOurs(400)),
        ];
        for (head, expected) in rows {
            assert_eq!(verdict(&head), expected, "{head:?}");
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
        let host = "Host: 127.0.0.1:4000\r\nSec-Fetch-Mode: navigate\r\n";
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
    fn junk_before_the_response_does_not_end_the_wait() {
        let listener = Loopback::bind(LoopbackHost::V4, &[]).unwrap();
        let port = listener.port();
        std::thread::spawn(move || {
            let send = |text: &str| {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            };
            let _idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
            assert!(send(&format!("GET /favicon.ico HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")).starts_with("HTTP/1.1 404"));
            assert!(
                send(&format!("GET /callback?code=c&state=no HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"))
                    .starts_with("HTTP/1.1 400")
            );
            let start = send(&format!("GET /start/t1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"));
            assert!(start.contains("location: https://sso.example.com/"), "{start}");
            send(&format!("GET /callback?code=c&state=s1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"))
        });
        let Event::Response(parameters, browser) = listener.wait(expectation(), Duration::from_secs(20), &mut || false) else {
            panic!("no response")
        };
        assert_eq!(parameters.code.unwrap().expose(), "c");
        browser.show(&Page { succeeded: true, title: "done".into(), lines: vec![] });
    }
}
