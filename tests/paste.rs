//! Signing in by pasting: the address is carried to a browser elsewhere, and what that ends at comes back by the terminal.
mod forms;
mod keyboard;
mod shared;

use crate::support::forge::{Forge, until};
use crate::support::http_client;
use crate::support::process::Output;
use crate::support::terminal::Terminal;

const LOGIN: &str = "keyfob login corp --flow paste";
/// Asks as git does.
const ASK: &str = "keyfob git get <request";
/// The end of what asks for the text.
const ASKED: &str = "paste it here (it is not shown)";

/// A terminal with `line` on it, in a place where no browser can be seen.
fn terminal(forge: &Forge, name: &str, line: &str) -> Terminal {
    forge.caller(); // leaves the request
    Terminal::open(&forge.home, name, &format!("unset DISPLAY KEYFOB_BROWSER; {line}"))
}

/// Waits until the terminal asks for the `count`th time, and returns the address that it showed last.
#[track_caller]
fn asked(terminal: &Terminal, count: usize) -> String {
    terminal.shows(ASKED, count);
    let screen = terminal.said("screen");
    let mut shown = screen.lines().filter(|line| line.starts_with("http") && line.contains("code_challenge="));
    shown.next_back().expect("the address is shown").trim().to_owned()
}

/// Signs in at `url` in a browser elsewhere, which ends at an address that it cannot load.
fn carried(url: &str) -> String {
    let answer = http_client::get(url, &[]).unwrap();
    let ended = answer.header("location").unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    assert!(ended.starts_with("http://127.0.0.1:") && ended.contains("/callback?"), "{ended}");
    ended
}

/// One parameter of an address.
fn parameter(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned()).unwrap()
}

/// What must hold after every test, once what was shown is out of the way. The address by which what is pasted goes to the worker is
/// shown nowhere and in nobody's arguments, and neither are codes.
#[track_caller]
fn check(forge: &Forge) {
    let codes: Vec<String> = forge.server.issued_secrets().into_iter().filter(|secret| secret.starts_with("co_")).collect();
    forge.home.scan_for_secrets(&codes);
    for file in forge.home.files() {
        let content = std::fs::read(&file).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&content).contains("/paste/"), "{}", file.display());
    }
    let _ = std::fs::remove_dir_all(forge.home.path().join("said"));
    forge.check();
}

/// Pastes `text` into `terminal` and presses Enter.
fn paste(terminal: &mut Terminal, text: &str) {
    terminal.types(format!("{text}\n"));
}

/// Waits for the end of a line that signs in.
#[track_caller]
fn signed_in(terminal: Terminal) -> Output {
    let output = terminal.end();
    assert!(output.stdout.contains("signed in to corp as alice"), "{output:?}");
    output.success()
}

/// Waits until the worker has ended too.
#[track_caller]
fn quiet(forge: &Forge) {
    until("the worker ends", || forge.workers().is_empty());
}
