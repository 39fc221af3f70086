//! A sign-in whose browser was started and does nothing: the test is its browser, and whoever else comes.
use super::http_client::{self, Answer};
use super::process::Output;
use super::scene::Scene;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use url::Url;

/// `keyfob login` in progress, in a session without a terminal.
pub struct OpenSignIn {
    child: Child,
    /// The one-time local address.
    pub start: Url,
}

/// What came of one request.
#[derive(Debug)]
pub struct Reply {
    /// None where the connection ended without an answer.
    pub status: Option<u16>,
    /// All that came, as it came.
    pub text: String,
    pub took: Duration,
}

impl OpenSignIn {
    #[track_caller]
    pub fn begin(scene: &Scene) -> Self {
        scene.home.browser("never");
        let before = scene.home.browser_runs().len();
        let mut command = scene.home.command("setsid");
        command.args(["--wait", "keyfob", "login", "corp"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("setsid can be started");
        let start = scene.home.wait_for_browser_runs(before + 1).remove(before)["start"].as_str().map(Url::parse);
        Self { child, start: start.expect("it is written down").expect("it is an address") }
    }

    pub fn port(&self) -> u16 {
        self.start.port().expect("it has one")
    }

    /// Goes where the browser would be sent: by the one-time address, our page and its link, to the server's address.
    #[track_caller]
    pub fn authorization_url(&self) -> Url {
        let ask = follow(&self.start, &get(&self.start));
        let page = get(&ask);
        assert_eq!(page.status, 200, "{page:?}");
        let text = page.text();
        let link = text.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it has a link");
        let on = ask.join(link).expect("it is an address");
        follow(&on, &get(&on))
    }

    /// Signs in at the server; returns the redirect that a browser would follow back.
    #[track_caller]
    pub fn redirect(&self) -> Url {
        let url = self.authorization_url();
        follow(&url, &get(&url))
    }

    pub fn is_open(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    #[track_caller]
    pub fn end(self) -> Output {
        super::forge::end(self.child)
    }

    /// The same for one that takes as long as a person may.
    #[track_caller]
    pub fn end_within(mut self, limit: Duration) -> Output {
        assert!(super::process::wait(&mut self.child, limit).is_some(), "it is still open");
        self.end()
    }
}

/// The parameters of an address.
pub fn parameters(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

#[track_caller]
pub fn get(url: &Url) -> Answer {
    http_client::get(url.as_str(), &[]).unwrap_or_else(|error| panic!("{url}: {error}"))
}

#[track_caller]
fn follow(url: &Url, answer: &Answer) -> Url {
    let location = answer.header("location").unwrap_or_else(|| panic!("no redirect from {url}: {answer:?}"));
    url.join(location).expect("it is an address")
}

/// Sends `bytes` on a connection of their own and reads until its end.
pub fn send(port: u16, bytes: &[u8]) -> Reply {
    read(TcpStream::connect(("127.0.0.1", port)).expect("it listens"), bytes)
}

/// The same on a connection that is there.
pub fn read(mut stream: TcpStream, bytes: &[u8]) -> Reply {
    let begun = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it is not zero");
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
    Reply { status, text, took: begun.elapsed() }
}
