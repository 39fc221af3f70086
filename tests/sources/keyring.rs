//! A desktop's keyring that is silent, half dead, dying or not there: the wait is bounded, it is said, nothing is made elsewhere, and what
//! the kernel holds still answers.
#![cfg(target_os = "linux")]
use crate::support::forge::{Forge, until, value};
use crate::support::kernel_keyring::{self, Forgets};
use crate::support::peers::{self, Keyring};
use crate::support::process::{self, Output, is_quick};
use crate::support::scene::ended_when_it_came;
use crate::support::temp_dir::{TempDir, write};
use crate::support::terminal::Terminal;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What is waited for unattended, and some time to start and end: less than two such waits.
const BOUND: Duration = Duration::from_millis(2000 + 1500);
const SILENT: &str = "your keyring did not answer within 2 seconds";

/// A bus without any services but what is started on it.
const BUS: &str = "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>\
     <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>";

/// A session bus, and on it what calls itself a keyring.
struct Session {
    daemon: Child,
    provider: Option<Child>,
    address: String,
    _folder: TempDir,
}

impl Session {
    /// A bus with nothing on it.
    fn empty() -> Self {
        let folder = TempDir::new("bus");
        write(&folder.join("bus.conf"), BUS);
        let config = format!("--config-file={}", folder.join("bus.conf").display());
        let mut daemon = Command::new("dbus-daemon");
        daemon.args(["--nofork", "--print-address", &config]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut daemon = daemon.spawn().expect("dbus-daemon can be started");
        let address = first_line(&mut daemon);
        Self { daemon, provider: None, address, _folder: folder }
    }

    /// A bus with a keyring of this mode; see its program.
    fn with(mode: &str) -> Self {
        let mut session = Self::empty();
        let program = crate::support::home::browser_program().with_file_name("secret_service");
        let mut provider = Command::new(program);
        provider.args(["--mode", mode]).env("DBUS_SESSION_BUS_ADDRESS", &session.address);
        let mut provider = provider.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cargo build --examples");
        assert_eq!(first_line(&mut provider), "READY -");
        session.provider = Some(provider);
        session
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for child in self.provider.iter_mut().chain([&mut self.daemon]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn first_line(child: &mut Child) -> String {
    let (stdout, (tell, told)) = (child.stdout.take().expect("it is a pipe"), mpsc::channel());
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(stdout).read_line(&mut line).map(|_| tell.send(line.trim().to_owned()));
    });
    told.recv_timeout(process::LIMIT).expect("it says something")
}

/// A forge whose key is to be where this machine has a place for it.
struct Place {
    _forgets: Forgets,
    forge: Forge,
}

impl Place {
    fn new() -> Option<Self> {
        if !["dbus-daemon", "keyctl"].into_iter().all(peers::require) {
            return None;
        }
        let mut forge = Forge::new();
        forge.home.forget_key_file();
        forge.caller(); // leaves the request
        Some(Self { _forgets: Forgets::the_keys_of(&forge.home), forge })
    }

    /// Signed in with the key in a real keyring, which lives in `folder`; the kernel holds a copy. Its address comes along.
    fn signed_in(folder: &Path) -> Option<(Self, Keyring)> {
        let keyring = Keyring::start(folder)?;
        let place = Self::new()?;
        let said = place.run(keyring.environment().1, &["login", "corp"]).0.success();
        assert!(said.stdout.contains("kept under a key from the system's keyring"), "{said:?}");
        Some((place, keyring))
    }

    /// Runs keyfob unattended, on the bus of this address; how long that took comes along.
    #[track_caller]
    fn run(&self, address: &str, arguments: &[&str]) -> (Output, Duration) {
        let mut command = self.forge.command("keyfob");
        command.args(arguments).env("DBUS_SESSION_BUS_ADDRESS", address);
        let begun = Instant::now();
        let stdin = if arguments[0] == "git" { self.forge.request() } else { String::new() };
        let output = process::run(&mut command, stdin.as_bytes());
        (output, begun.elapsed())
    }

    /// Panics unless nothing works with the bus of this address, for the reason in `words`, within the bound.
    #[track_caller]
    fn nothing_works(&self, address: &str, words: &str) {
        let before = (self.sealed(), self.forge.server.counts());
        for arguments in [&["login", "corp"][..], &["token", "corp"], &["git", "get"]] {
            let attempt = || {
                let (said, took) = self.run(address, arguments);
                let expected = if arguments[0] == "git" { (Some(0), "quit=1\n") } else { (Some(6), "") };
                assert_eq!((said.code, said.stdout.as_str()), expected, "{arguments:?}: {said:?}");
                assert!(said.stderr.contains(words) && said.stderr.contains("hint: "), "{arguments:?}: {said:?}");
                took
            };
            assert!(is_quick(BOUND, attempt), "{arguments:?} waited for more than one answer");
        }
        self.forge.wait_for_quiet();
        assert_eq!((self.sealed(), self.forge.server.counts()), before, "nothing was touched, and nobody was asked");
        assert_eq!(kernel_keyring::key_of(&self.forge.home), None, "no key is made elsewhere");
    }

    /// The records, and the key that the store says is in use.
    fn sealed(&self) -> (Vec<(String, Vec<u8>)>, serde_json::Value) {
        let (mut records, mut key) = (Vec::new(), serde_json::Value::Null);
        for file in self.forge.home.files() {
            let content = std::fs::read(&file).unwrap_or_default();
            if file.ends_with("store") {
                key = serde_json::from_slice::<serde_json::Value>(&content).unwrap()["key"].clone();
            } else if file.extension().is_some_and(|ending| ending == "rec") {
                records.push((file.display().to_string(), content));
            }
        }
        (records, key)
    }
}

#[test]
fn a_keyring_that_never_answers_costs_two_seconds_and_no_key_is_made_elsewhere() {
    let Some(place) = Place::new() else { return };
    for mode in ["silent", "half"] {
        let session = Session::with(mode);
        place.nothing_works(&session.address, SILENT);
    }
    assert_eq!(place.sealed(), (Vec::new(), serde_json::Value::Null));
}

#[test]
fn a_bus_that_takes_connections_and_never_answers_costs_no_more() {
    let Some(place) = Place::new() else { return };
    let folder = TempDir::new("mute-bus");
    let path = folder.join("bus");
    let _listener = UnixListener::bind(&path).unwrap();
    place.nothing_works(&format!("unix:path={}", path.display()), SILENT);
}

#[test]
fn a_keyring_that_dies_at_the_question_is_an_error_and_no_key_is_made_elsewhere() {
    let Some(place) = Place::new() else { return };
    for arguments in [["login", "corp"], ["token", "corp"]] {
        let attempt = || {
            let session = Session::with("dies");
            let (said, took) = place.run(&session.address, &arguments);
            assert_eq!((said.code, said.stdout.as_str()), (Some(6), ""), "{said:?}");
            assert!(said.stderr.contains("your keyring does not answer properly"), "{said:?}");
            took
        };
        assert!(is_quick(BOUND, attempt), "{arguments:?} waited for who had died");
    }
    assert_eq!(place.sealed(), (Vec::new(), serde_json::Value::Null));
    assert_eq!((kernel_keyring::key_of(&place.forge.home), place.forge.server.counts().authorizations), (None, 0));
}

#[test]
fn without_a_bus_or_without_a_keyring_on_it_the_kernel_keeps_the_key() {
    let gone = Session::empty().address.clone();
    let session = Session::empty();
    for address in ["", "unix:path=/nonexistent/bus", "nonsense", &gone, &session.address] {
        if !["dbus-daemon", "keyctl"].into_iter().all(peers::require) {
            return;
        }
        let attempt = || {
            let place = Place::new().expect("nothing is missing");
            let (said, took) = place.run(address, &["login", "corp"]);
            let said = said.success();
            assert!(said.stdout.contains("kept under a key from the kernel's keyring alone"), "{address}: {said:?}");
            place.run(address, &["token", "corp"]).0.success();
            took
        };
        assert!(is_quick(BOUND, attempt), "{address}: nobody is there to be waited for");
    }
}

#[test]
fn what_the_kernel_holds_answers_and_renews_beside_a_silent_keyring() {
    let folder = TempDir::new("keyring");
    let Some((place, keyring)) = Place::signed_in(folder.path()) else { return };
    let session = Session::with("silent");
    let get = || {
        let (said, took) = place.run(&session.address, &["git", "get"]);
        (said.success().stdout, took)
    };
    let first = get().0;
    assert!(is_quick(Duration::from_secs(1), || get().1), "the keyring's two seconds were waited for");
    // a new sign-in brings a token that has ended, and its renewal needs no keyring either
    place.forge.server.set_access_life(0);
    ended_when_it_came(&place.forge.home, &place.run(&session.address, &["login", "corp"]).0);
    place.forge.server.set_access_life(3600);
    let renewed = place.run(&session.address, &["git", "get"]).0.success().stdout;
    assert!(place.forge.server.is_alive(value(&renewed, "password")) && value(&first, "password") != value(&renewed, "password"));
    assert_eq!((place.forge.server.counts().authorizations, place.forge.server.counts().refreshes), (2, 1));

    place.run(&session.address, &["lock"]).0.success();
    place.nothing_works(&session.address, SILENT);
    drop(session);
    let dying = Session::with("dies");
    let (said, _) = place.run(&dying.address, &["token", "corp"]);
    assert!(said.code == Some(6) && said.stderr.contains("your keyring does not answer properly"), "{said:?}");
    place.nothing_works(&dying.address, "the key is in your desktop's keyring, and this session has none");
    place.nothing_works("unix:path=/nonexistent/bus", "the key is in your desktop's keyring, and this session has none");
    let again = place.run(keyring.environment().1, &["token", "corp"]).0.success().stdout;
    assert_eq!(again.trim(), value(&renewed, "password"), "and nothing was lost");
}

#[test]
fn a_person_is_told_what_they_wait_for_and_can_stop_it() {
    let Some(place) = Place::new() else { return };
    let session = Session::with("silent");
    let line = format!(
        "trap : INT; DBUS_SESSION_BUS_ADDRESS='{}' keyfob login corp; echo \"ended $?\" >\"$SAID/code\"",
        session.address
    );
    let mut terminal = Terminal::open(&place.forge.home, "waits", &line);
    terminal.shows("keyfob: waiting for your keyring, which may be asking you in a window - Ctrl-C to stop", 1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(terminal.said("code"), "", "a person may take their time");
    terminal.types(b"\x03");
    assert_eq!(terminal.wrote("code"), "ended 130\n");
    terminal.end();
    until("nothing is left running", || place.forge.home.processes().is_empty());
    if std::env::var_os("KEYFOB_TESTS_SOAK").is_some_and(|value| value == "1") {
        let begun = Instant::now();
        let terminal = Terminal::open(&place.forge.home, "patient", &line);
        while terminal.said("code").is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(125), "a person's time has an end");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(begun.elapsed() >= Duration::from_secs(119) && terminal.said("code") == "ended 6\n");
        let said = terminal.end();
        assert!(said.stdout.contains("your keyring did not answer within 120 seconds"), "{said:?}");
    }
    assert_eq!((place.sealed().1, place.forge.server.counts().authorizations), (serde_json::Value::Null, 0));
}
