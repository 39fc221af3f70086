//! A browser without a person: follows redirects with a cookie jar, fills and sends the forms it meets, ends at the
//! loopback redirect, and writes down what it saw.
mod cookies;
mod glewlwyd;
mod junk;
mod page;

use super::http_client::{self, Answer};
use cookies::Jar;
use page::Form;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::time::Duration;
use url::Url;

/// More hops than any sign-in needs.
const MOST_HOPS: usize = 30;

/// How a visit goes. `decide` and `login` are used where a page asks.
#[derive(Clone, Debug)]
pub struct Settings {
    pub mode: Mode,
    /// The pause of `Mode::Slow`.
    pub pause: Duration,
    /// The account name put into login forms over what stands there; without one `alice`, where nothing does.
    pub login: Option<String>,
    /// What is typed where a page asks for the code that a device shows.
    pub code: Option<String>,
    /// Authorities that https servers may be certified by (PEM).
    pub authorities: Option<String>,
}

/// What the person, or the browser, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Signs in and consents.
    Ok,
    /// Presses deny, abort or cancel where a page offers it.
    Deny,
    /// Opens and does nothing.
    Never,
    /// Cannot open at all: exit code 3.
    Fail,
    /// Like `Ok`, after a pause before the callback.
    Slow,
    /// Sends requests that must be ignored to the callback's port first.
    Favicon,
    /// Asks for the start address a second time before it goes on.
    Twice,
    /// Opens a connection to the callback's port before it uses another one.
    Preconnect,
    /// Closes the page that asks before it goes on.
    Close,
    /// Is on another machine, where the callback leads nowhere: `ended` is the address at which it ends.
    Away,
}

impl Mode {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ok" => Self::Ok,
            "deny" => Self::Deny,
            "never" => Self::Never,
            "fail" => Self::Fail,
            "slow" => Self::Slow,
            "favicon" => Self::Favicon,
            "twice" => Self::Twice,
            "preconnect" => Self::Preconnect,
            "close" => Self::Close,
            "away" => Self::Away,
            _ => return None,
        })
    }
}

impl Settings {
    /// Reads the names without their prefix: `MODE`, `MS`, `LOGIN`, `CODE`, `CA` (a file).
    pub fn from(values: &HashMap<String, String>) -> Self {
        let mode = values.get("MODE").map_or("ok", String::as_str);
        let pause = values.get("MS").and_then(|text| text.parse().ok()).unwrap_or(1000);
        Self {
            mode: Mode::named(mode).unwrap_or_else(|| panic!("there is no mode {mode}")),
            pause: Duration::from_millis(pause),
            login: values.get("LOGIN").cloned(),
            code: values.get("CODE").cloned(),
            authorities: values.get("CA").and_then(|path| std::fs::read_to_string(path).ok()),
        }
    }

    fn login(&self) -> &str {
        self.login.as_deref().unwrap_or("alice")
    }
}

/// Visits `start` and everything it leads to; the JSON is what the log gets: `start`, `mode`, `hops` (`{url, status}`),
/// `status`, `title`, `text`, where a page asked before it went on `asked`, and where the loopback redirect was reached `callback` (each
/// `{status, headers, body}`); `junk`, `second` in the modes that make them; `error` where it ended early.
pub fn visit(start: &str, settings: &Settings) -> Value {
    let mut visit = Visit { settings, jar: Jar::default(), hops: Vec::new(), seen: json!({}), idle: Vec::new() };
    let outcome = if settings.mode == Mode::Never { Ok(()) } else { visit.follow(start) };
    let Visit { mut seen, hops, .. } = visit;
    seen["start"] = start.into();
    seen["mode"] = format!("{:?}", settings.mode).to_lowercase().into();
    seen["hops"] = hops.into();
    if let Err(e) = outcome {
        seen["error"] = e.to_string().into();
    }
    seen
}

struct Visit<'a> {
    settings: &'a Settings,
    jar: Jar,
    hops: Vec<Value>,
    seen: Value,
    /// Connections that stay open and silent until the visit ends.
    idle: Vec<TcpStream>,
}

/// The next thing to ask for.
enum Step {
    Get(Url),
    Send(Url, Form),
}

impl Visit<'_> {
    fn follow(&mut self, start: &str) -> io::Result<()> {
        let start = Url::parse(start).map_err(io::Error::other)?;
        let mut step = Step::Get(start.clone());
        for hop in 0..MOST_HOPS {
            let url = match &step {
                Step::Get(url) | Step::Send(url, _) => url.clone(),
            };
            // the authorization server's own pages are asked with `state` too, and name where they are to lead
            let parameter = |wanted: &str| url.query_pairs().any(|(name, _)| name == wanted);
            let is_callback = hop > 0 && parameter("state") && !parameter("redirect_uri");
            if is_callback && self.settings.mode == Mode::Away {
                self.seen["ended"] = url.as_str().into();
                return Ok(());
            }
            if is_callback {
                self.before_callback(&url)?;
            }
            let answer = self.ask(&step)?;
            if hop == 0 && self.settings.mode == Mode::Twice {
                self.seen["second"] = self.ask(&Step::Get(start.clone()))?.status.into();
            }
            self.hops.push(json!({ "url": url.as_str(), "status": answer.status }));
            if is_callback {
                self.seen["callback"] = described(&answer);
            }
            if url.path().starts_with("/ask/") {
                self.seen["asked"] = described(&answer);
            }
            let next = match glewlwyd::Page::at(&url) {
                Some(page) => Some(Step::Get(self.sign_in_at(&page)?)),
                None => self.next(&url, &answer),
            };
            match next {
                Some(next) => step = next,
                None => {
                    let text = answer.text();
                    self.seen["status"] = answer.status.into();
                    self.seen["title"] = page::title(&text).into();
                    self.seen["text"] = page::text(&text).into();
                    return Ok(());
                }
            }
        }
        Err(io::Error::other("too many hops"))
    }

    fn ask(&mut self, step: &Step) -> io::Result<Answer> {
        match step {
            Step::Get(url) => self.send("GET", url, "", ""),
            Step::Send(url, form) => self.send("POST", url, "application/x-www-form-urlencoded", &form.encoded()),
        }
    }

    fn send(&mut self, method: &str, url: &Url, content_type: &str, body: &str) -> io::Result<Answer> {
        let cookies = self.jar.header(url);
        let mut headers = vec![("user-agent", "fake-browser"), ("accept", "text/html,*/*")];
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        if !content_type.is_empty() {
            headers.push(("content-type", content_type));
        }
        let answer = http_client::send(method, url.as_str(), &headers, body.as_bytes(), self.settings.authorities.as_deref())?;
        self.jar.keep(url, &answer);
        Ok(answer)
    }

    /// Does what the scripts of glewlwyd's page do for a person; gives where they lead.
    fn sign_in_at(&mut self, page: &glewlwyd::Page) -> io::Result<Url> {
        for (method, url, body) in page.requests(self.settings.login(), self.settings.mode != Mode::Deny) {
            let status = self.send(method, &url, "application/json", &body.to_string())?.status;
            if status != 200 {
                return Err(io::Error::other(format!("{method} {url}: {status}")));
            }
        }
        Ok(page.then())
    }

    /// Where an answer leads: a redirect, a form to send, a link to refuse by, or nowhere.
    fn next(&self, url: &Url, answer: &Answer) -> Option<Step> {
        if (300..400).contains(&answer.status) {
            return url.join(answer.header("location")?).ok().map(Step::Get);
        }
        if !answer.header("content-type").unwrap_or_default().contains("html") {
            return None;
        }
        let text = answer.text();
        if self.settings.mode == Mode::Deny
            && let Some(link) = page::link_to_refuse(&text)
        {
            return url.join(&link).ok().map(Step::Get);
        }
        if self.settings.mode != Mode::Close
            && let Some(link) = page::link_to_go_on(&text)
        {
            return url.join(&link).ok().map(Step::Get);
        }
        let form = Form::first(&text, self.settings, self.settings.mode != Mode::Deny)?;
        let mut target = url.join(&form.action).ok()?;
        if form.method == "post" {
            return Some(Step::Send(target, form));
        }
        target.set_query(Some(&form.encoded()));
        Some(Step::Get(target))
    }

    fn before_callback(&mut self, callback: &Url) -> io::Result<()> {
        let port = callback.port_or_known_default().unwrap_or(80);
        match self.settings.mode {
            Mode::Slow => std::thread::sleep(self.settings.pause),
            Mode::Favicon => self.seen["junk"] = junk::send(port).into(),
            Mode::Preconnect => {
                self.idle.push(TcpStream::connect(("127.0.0.1", port))?);
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => {}
        }
        Ok(())
    }
}

fn described(answer: &Answer) -> Value {
    let headers: Vec<Value> = answer.headers.iter().map(|(name, value)| json!([name, value])).collect();
    json!({ "status": answer.status, "headers": headers, "body": answer.text() })
}
