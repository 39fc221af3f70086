//! The fake browser: `browser URL` goes to the background, visits the address and appends one JSON line to a log.
//!
//! Settings are lines `FAKE_BROWSER_NAME=VALUE` in `$HOME/.fake-browser`, or the environment, which wins: `MODE` (ok,
//! deny, never, fail, slow, favicon, twice, preconnect, close, away), `MS`, `LOGIN`, `CODE`, `CA`, `LOG`, `FOREGROUND=1`.
#![allow(clippy::disallowed_methods, reason = "this is no part of the program that reads its environment in one place")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use support::browser::{Mode, Settings, visit};

const PREFIX: &str = "FAKE_BROWSER_";

fn main() -> ExitCode {
    let url = std::env::args().nth(1).expect("an address to open");
    let values = values();
    let settings = Settings::from(&values);
    if settings.mode != Mode::Fail && values.get("FOREGROUND").is_none_or(|value| value != "1") {
        return start_in_background(&url);
    }
    let seen =
        if settings.mode == Mode::Fail { serde_json::json!({ "start": url, "mode": "fail" }) } else { visit(&url, &settings) };
    if let Some(log) = values.get("LOG") {
        let file = File::options().create(true).append(true).open(log);
        let written = file.and_then(|mut file| file.write_all(format!("{seen}\n").as_bytes()));
        written.expect("the log can be written");
    }
    if settings.mode == Mode::Fail { ExitCode::from(3) } else { ExitCode::SUCCESS }
}

fn start_in_background(url: &str) -> ExitCode {
    let mut command = Command::new(std::env::current_exe().expect("a program knows its own file"));
    command.arg(url).env("FAKE_BROWSER_FOREGROUND", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    if command.spawn().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The settings without their prefix.
fn values() -> HashMap<String, String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let file = std::fs::read_to_string(format!("{home}/.fake-browser")).unwrap_or_default();
    let written = file.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let named = written.chain(std::env::vars()).filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value)));
    named.collect()
}
