//! Ctrl-C at a terminal: it ends the caller's waiting, and the sign-in only where nobody else waits for it.
use crate::support::authorization_server::Endpoint;
use crate::support::forge::{Forge, at_a_terminal, end, signal, until, value};
use crate::support::temp_dir::write;
use std::io::Write;
use std::process::{Child, Stdio};

const CTRL_C: &[u8] = b"\x03";

/// What the line of the latest terminal wrote into `name` (`screen`: what stands on the terminal).
fn said(forge: &Forge, name: &str) -> String {
    std::fs::read_to_string(forge.home.path().join("said").join(name)).unwrap_or_default()
}

/// Waits until the terminal shows `text`.
#[track_caller]
fn wait_for_screen(forge: &Forge, text: &str) {
    until(text, || said(forge, "screen").contains(text));
}

fn press(terminal: &mut Child, keys: &[u8]) {
    terminal.stdin.as_mut().unwrap().write_all(keys).unwrap();
}

#[test]
fn ctrl_c_cancels_the_sign_in_when_nobody_else_waits() {
    let forge = Forge::new();
    forge.home.browser("never");
    let mut terminal = at_a_terminal(&forge, "keyfob git get <request 2>said/errors");
    forge.home.wait_for_browser_runs(1);
    wait_for_screen(&forge, "needs you to sign in to `corp` at 127.0.0.1: a browser tab is open; waiting - Ctrl-C to stop");
    assert_eq!(forge.workers().len(), 1);
    press(&mut terminal, CTRL_C);
    end(terminal);
    assert!(said(&forge, "errors").contains("stopped by Ctrl-C"), "{}", said(&forge, "errors"));
    until("the worker ends", || forge.workers().is_empty());
    // an unattended caller does not open the next tab at once, and is told
    let next = forge.ask();
    assert!(next.stderr.contains("the sign-in to `corp` was stopped"), "{next:?}");
    assert_eq!((forge.home.browser_runs().len(), forge.server.counts().token_requests), (1, 0));
    // a person who asks again is asked
    forge.home.browser("ok");
    let output = end(at_a_terminal(&forge, "keyfob git get <request >said/answer"));
    assert_eq!(output.code, Some(0), "{output:?}");
    let answer = said(&forge, "answer");
    assert!(forge.server.is_alive(value(&answer, "password")));
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    forge.check();
}

#[test]
fn ctrl_c_while_the_server_is_slow_leaves_no_tab_that_opens_afterwards() {
    let forge = Forge::new();
    let answer = forge.server.hold(Endpoint::Metadata);
    let caller = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Metadata, 1);
    signal("INT", &caller.id().to_string());
    end(caller);
    answer.release();
    forge.wait_for_quiet();
    assert_eq!((forge.home.browser_runs().len(), forge.server.counts().authorizations), (0, 0));
    forge.check();
}

#[test]
fn ctrl_c_does_not_cancel_the_sign_in_when_another_waits() {
    let forge = Forge::new();
    let page = forge.server.hold(Endpoint::Authorize);
    let mut terminal = at_a_terminal(&forge, "keyfob git get <request");
    forge.server.wait_for(Endpoint::Authorize, 1);
    let trace = forge.home.path().join("trace");
    write(&trace, "");
    let mut other = forge.caller();
    other.env("KEYFOB_TRACE", "1").stdout(Stdio::piped()).stderr(std::fs::File::create(&trace).unwrap());
    let other = other.spawn().unwrap();
    until("the other one waits", || std::fs::read_to_string(&trace).unwrap().contains("waiting for another"));
    press(&mut terminal, CTRL_C);
    let stopped = end(terminal);
    assert!(stopped.stdout.contains("stopped by Ctrl-C"), "{stopped:?}");
    page.release();
    let answer = end(other).success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(1).len()), (1, 1));
    forge.check();
}

#[test]
fn ctrl_c_of_one_who_waits_for_anothers_sign_in_ends_only_its_own_waiting() {
    let forge = Forge::new();
    let page = forge.server.hold(Endpoint::Authorize);
    let first = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Authorize, 1);
    let mut terminal = at_a_terminal(&forge, "keyfob git get <request 2>said/errors");
    wait_for_screen(&forge, "is signing in to `corp` at 127.0.0.1; waiting - Ctrl-C to stop");
    press(&mut terminal, CTRL_C);
    end(terminal);
    assert!(said(&forge, "errors").contains("stopped by Ctrl-C"), "{}", said(&forge, "errors"));
    page.release();
    let answer = end(first).success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!(forge.server.counts().authorizations, 1);
    forge.check();
}

#[test]
fn who_waits_long_for_a_renewal_is_told_what_for() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let answer = forge.server.hold(Endpoint::Token);
    let own = at_a_terminal(&forge, "keyfob git get <request >said/answer 2>said/errors");
    forge.server.wait_for(Endpoint::Token, 2);
    wait_for_screen(&forge, "keyfob: the server of `corp` takes its time; waiting - Ctrl-C to stop");
    // the second terminal's screen takes the place of the first one's
    let other = at_a_terminal(&forge, "keyfob git get <request");
    wait_for_screen(&forge, "keyfob: another process is renewing `corp`; waiting - Ctrl-C to stop");
    answer.release();
    assert_eq!((end(own).code, end(other).code), (Some(0), Some(0)));
    assert_eq!(said(&forge, "errors"), "");
    assert_eq!(forge.server.counts().refresh_requests, 1);
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    forge.check();
}
