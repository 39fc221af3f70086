//! Starts the software that nobody here wrote: three authorization servers, moto's STS, a desktop keyring, a browser.
//!
//! Every starter ends what it started when it is dropped; the servers end by themselves when the test program dies,
//! because they live only as long as their standard input is open.
mod django;
mod glewlwyd;
mod libsecret;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::front::Front;
use serde_json::Value;

pub use django::Django;
pub use glewlwyd::Glewlwyd;
pub use libsecret::git_credential_libsecret;

/// Whether `peer` can be used by a test. Where it is missing, the test must return at once: this says `SKIPPED …` on
/// standard error, or panics if `KEYFOB_TESTS_REQUIRE_PEERS=1` or `CI` is set.
///
/// `peer` is `oidc-provider`, `glewlwyd`, `django-oauth-toolkit`, `chromium`, `moto`, `aws`, `boto3`, `gnome-keyring`,
/// `git-credential-libsecret`, or the name of a program.
pub fn require(peer: &str) -> bool {
    let missing: Vec<String> = needs(peer).into_iter().filter(|need| !there(need)).collect();
    if missing.is_empty() {
        return true;
    }
    skip(&format!("{peer} is missing ({}): ./tests/run --install installs it", missing.join(", ")))
}

/// Whether this is root, who alone can be somebody else; says the same where it is not.
pub fn require_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0\t")) || skip("this is not root, so nothing was tested as another user")
}

/// Whether this machine has the address ::1; says so where it does not.
pub fn require_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok() || skip("this machine has no address ::1, so nothing of it was tested")
}

/// Says that a test is skipped, or panics where none may be.
fn skip(told: &str) -> bool {
    let must = variable("KEYFOB_TESTS_REQUIRE_PEERS").is_some_and(|v| v == "1") || variable("CI").is_some_and(|v| !v.is_empty());
    assert!(!must, "{told}");
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln!`: the test runner would keep it to itself as long as the test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {told}");
    false
}

/// The files (with a slash) and programs (without) that a peer consists of.
fn needs(peer: &str) -> Vec<String> {
    let file = |path: &str| folder().join(path).to_string_lossy().into_owned();
    match peer {
        "oidc-provider" => vec!["node".into(), file("node_modules/oidc-provider/package.json")],
        "glewlwyd" => ["glewlwyd", "openssl", "python3", "setpriv"].map(String::from).to_vec(),
        "django-oauth-toolkit" => vec![file(".venv/bin/django-admin")],
        "chromium" => vec!["node".into(), "chromium".into(), file("node_modules/playwright-core/package.json")],
        "moto" | "boto3" => vec![file(".venv/bin/moto_server")],
        "aws" => vec![file(".venv/bin/aws")],
        "gnome-keyring" => ["gnome-keyring-daemon", "dbus-run-session", "dbus-send"].map(String::from).to_vec(),
        libsecret::NAME => libsecret::needs(),
        program => vec![program.into()],
    }
}

fn there(need: &str) -> bool {
    if need.contains('/') {
        return Path::new(need).exists();
    }
    std::env::split_paths(&variable("PATH").unwrap_or_default()).any(|folder| folder.join(need).is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests have no configuration layer; what they start is given a scrubbed environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The folder `tests/peers` of this checkout.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// The Python that has boto3 and moto.
pub fn python() -> PathBuf {
    folder().join(".venv/bin/python")
}

/// The AWS command line of the pinned version.
pub fn aws() -> PathBuf {
    folder().join(".venv/bin/aws")
}

/// `program` with nothing of the caller's environment but `PATH`.
fn bare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", variable("PATH").unwrap_or_default());
    command
}

/// A running program that printed `READY WHERE` and ends when its standard input does.
struct Served {
    child: Child,
    /// What followed `READY`.
    ready: String,
}

impl Served {
    /// Starts `command` and waits for its `READY` line; where none comes within 60 s, it says so and starts it once more.
    /// Panics where none comes again: it is there, and broken.
    fn start(mut command: Command) -> Self {
        for patience in [60, 180] {
            match Self::attempt(&mut command, Duration::from_secs(patience)) {
                Ok(this) => return this,
                // Not `eprintln!`, for the same reason as above.
                Err(why) => drop(writeln!(std::io::stderr(), "{command:?}: {why}")),
            }
        }
        panic!("{command:?}: never said READY");
    }

    fn attempt(command: &mut Command, patience: Duration) -> Result<Self, String> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("it was asked for");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(ready) = line.strip_prefix("READY ") {
                    let _ = tell.send(ready.trim().to_owned());
                }
            }
        });
        // from here on it is ended, whatever comes of it
        let mut this = Self { child, ready: String::new() };
        match told.recv_timeout(patience) {
            Ok(ready) => this.ready = ready,
            Err(_) => return Err(format!("no READY within {patience:?}; it ended with {:?}", this.child.try_wait())),
        }
        Ok(this)
    }

    /// One control request (`GET` without a body); panics where the answer is not 200 and JSON.
    fn control(&self, name: &str, body: Option<&Value>) -> Value {
        let (status, text) = ask(&self.ready, &format!("/_tb/{name}"), body);
        assert_eq!(status, 200, "/_tb/{name}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("/_tb/{name}: {error}: {text}"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One plain HTTP request on a connection of its own: status and body.
fn ask(base: &str, path: &str, body: Option<&Value>) -> (u16, String) {
    let host = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap_or_else(|error| panic!("{base}: {error}"));
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout that is not zero");
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!("{method} {path} HTTP/1.0\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).unwrap_or_else(|error| panic!("{base}{path}: {error}"));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{base}{path}: {error}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}

/// npm `oidc-provider` with rotating refresh tokens whose reuse kills the family. What it knows is said in
/// `tests/peers/oidc-provider/server.mjs`: client `keyfob` (public, PKCE, `http://127.0.0.1/callback` on any port),
/// client `checker` with secret `checker-secret` (may introspect), any login name, any password.
pub struct OidcProvider(Served);

impl OidcProvider {
    /// `None` where it is not installed (see [`require`]).
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with settings for its environment: `TB_ACCESS_TTL`, `TB_ID_TTL`, `TB_REFRESH_TTL`, `TB_LOG`, `TB_REDIRECT`, `TB_JWT`, `PORT`.
    pub fn start_with(settings: &[(&str, &str)]) -> Option<Self> {
        require("oidc-provider").then(|| {
            let mut command = bare("node");
            command.arg(folder().join("oidc-provider/server.mjs")).envs(settings.iter().copied());
            Self(Served::start(command))
        })
    }

    /// The same behind `front`, which is the issuer then.
    pub fn start_behind(front: &Front) -> Option<Self> {
        let server = Self::start_with(&[("TB_ORIGIN", &front.url())])?;
        front.lead_to(&server.0.ready);
        Some(server)
    }

    /// The issuer, where nothing stands in front: `http://127.0.0.1:PORT`.
    pub fn issuer(&self) -> &str {
        &self.0.ready
    }

    /// `{authorizations: {begun, ok, error}, token: {GRANT: {arrived, ok, error}}, errors: {CODE: n}, requests:
    /// {"METHOD /path": n}, in_flight, most_in_flight, knobs}`. `arrived` counts at the request, `ok` and `error` at the answer.
    pub fn stats(&self) -> Value {
        self.0.control("stats", None)
    }

    /// One counter of one grant type (`refresh_token`, `authorization_code`): `arrived`, `ok` or `error`; 0 where none came.
    pub fn token_requests(&self, grant: &str, counter: &str) -> u64 {
        self.stats()["token"][grant][counter].as_u64().unwrap_or(0)
    }

    /// Knobs for what is issued from now on: `accessTtl`, `idTtl`, `refreshTtl` (seconds), `rotate` (bool).
    pub fn set(&self, knobs: &Value) {
        self.0.control("set", Some(knobs));
    }

    /// Forgets every row of `model` (`AccessToken`, `RefreshToken`, `Session`, `Grant`, …), as if it had run out.
    pub fn forget(&self, model: &str) {
        self.0.control("forget", Some(&serde_json::json!({ "model": model })));
    }

    /// Arms `{path, grant?, times?, delay_ms?, status?, headers?, body?, drop?, after?}` for the next matching requests.
    pub fn fault(&self, fault: &Value) {
        self.0.control("fault", Some(fault));
    }

    /// Counters, faults and knobs as at the start; tokens stay.
    pub fn reset(&self) {
        self.0.control("reset", Some(&serde_json::json!({})));
    }
}

/// moto's STS, which takes any web identity token: `sts::Sts::in_front_of` it checks them.
pub struct Moto(Served);

impl Moto {
    /// `None` where it is not installed.
    pub fn start() -> Option<Self> {
        require("moto").then(|| {
            let mut command = bare(python());
            command.arg(folder().join("moto/server.py"));
            Self(Served::start(command))
        })
    }

    /// For `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_STS` or `--endpoint-url`.
    pub fn url(&self) -> &str {
        &self.0.ready
    }

    /// `{ok: {ACTION: n}, refused: {CODE: n}, roles: [{RoleArn, RoleSessionName, DurationSeconds}]}`.
    pub fn stats(&self) -> Value {
        self.0.control("stats", None)
    }

    /// Cuts what is left of the next credentials' life to `seconds`; `None` undoes it.
    pub fn set_ttl(&self, seconds: Option<u64>) {
        self.0.control("set", Some(&serde_json::json!({ "ttl": seconds })));
    }

    /// Arms `{action?, times?, status?, delay_ms?}`.
    pub fn fault(&self, fault: &Value) {
        self.0.control("fault", Some(fault));
    }

    pub fn reset(&self) {
        self.0.control("reset", Some(&serde_json::json!({})));
    }
}

/// gnome-keyring on a D-Bus session of its own, its keyrings in a folder of the test.
pub struct Keyring(Served);

impl Keyring {
    /// A session that lasts until this is dropped, its keyring unlocked; `None` where it is not installed.
    pub fn start(directory: &Path) -> Option<Self> {
        Self::start_as(directory, &[])
    }

    /// The same with the keyring locked: it is there, and nothing in it can be read without a prompt.
    pub fn locked(directory: &Path) -> Option<Self> {
        Self::start_as(directory, &["locked"])
    }

    fn start_as(directory: &Path, state: &[&str]) -> Option<Self> {
        require("gnome-keyring").then(|| {
            let mut command = bare(folder().join("keyring/session"));
            command.arg(directory).args(state).env("HOME", directory);
            Self(Served::start(command))
        })
    }

    /// What a program needs in its environment to reach this keyring.
    pub fn environment(&self) -> (&'static str, &str) {
        ("DBUS_SESSION_BUS_ADDRESS", &self.0.ready)
    }

    /// A command that runs what is added to it as arguments inside a session of its own, with an unlocked keyring, and
    /// ends with its exit code. The environment is the caller's to set (`PATH` is needed).
    pub fn session(directory: &Path) -> Option<Command> {
        require("gnome-keyring").then(|| {
            let mut command = bare(folder().join("keyring/session"));
            command.arg(directory).arg("--").env("HOME", directory);
            command
        })
    }
}

/// Opens `url` in headless Chromium, signs in and consents as a person would, waits for keyfob's result page, and
/// writes a picture of it to `screenshot` (PNG). `settings` are those of its environment, and the answer is
/// `{title, text, url, requests, console, visited, wide, asked, injected}`: see `tests/peers/chromium/person.mjs`. `None`
/// where it is not installed.
pub fn chromium(url: &str, screenshot: &Path, settings: &[(&str, &str)]) -> Option<Value> {
    require("chromium").then(|| {
        let mut command = bare("node");
        command.arg(folder().join("chromium/person.mjs")).arg(url).arg(screenshot);
        command.envs(settings.iter().copied()).env("HOME", screenshot.parent().unwrap_or(screenshot));
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("node: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "chromium: {}: {said}", output.status);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("chromium: {error}: {said}"))
    })
}
