//! What the keyboard and signals do to a question that waits for a text: whatever happens, the terminal is left in order.
use super::{ASKED, LOGIN, asked, carried, check, paste, quiet, signed_in, terminal};
use crate::support::browser::{Settings, visit};
use crate::support::forge::{Forge, signal, until};
use std::collections::HashMap;
use std::time::Duration;

/// The process that asks at the terminal.
fn who_asks(forge: &Forge) -> String {
    let asks = |id: &u32| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default().starts_with(b"keyfob\0login");
    until("somebody asks", || forge.home.processes().iter().any(asks));
    forge.home.processes().into_iter().find(asks).unwrap().to_string()
}

#[test]
fn what_is_typed_is_shown_again_whatever_signal_ends_the_question() {
    let forge = Forge::new();
    for (name, code) in [("INT", 4), ("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let line = format!("trap : INT QUIT; {LOGIN}; echo \"ended $?\" >\"$SAID/code\"; stty -a >\"$SAID/stty\"; read line");
        let mut terminal = terminal(&forge, name, &line);
        asked(&terminal, 1);
        until("what is typed is hidden", || !terminal.echoes());
        terminal.types("half of it");
        match name {
            "INT" => terminal.types(b"\x03"),
            "QUIT" => terminal.types(b"\x1c"),
            _ => signal(name, &who_asks(&forge)),
        }
        assert_eq!(terminal.wrote("code"), format!("ended {code}\n"), "{name}");
        let settings = terminal.wrote("stty");
        assert!(settings.contains(" echo ") && settings.contains(" icanon"), "{name}: {settings}");
        terminal.types("\n");
        let said = terminal.end();
        assert!(!said.stdout.contains("half of it"), "{name}: {said:?}");
        // its caller is gone, but who comes next may go on with it; here nobody does
        forge.keyfob(&["logout", "corp"]).success();
        quiet(&forge);
    }
    assert_eq!(forge.server.counts().token_requests, 0);
    check(&forge);
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_the_question_comes_again_in_the_foreground() {
    let forge = Forge::new();
    let line = format!(
        "set -m; {LOGIN}; stty -a >\"$SAID/stopped\"; read line; echo \"got $line\"; fg >/dev/null; stty -a >\"$SAID/stty\""
    );
    let mut terminal = terminal(&forge, "one", &line);
    let ended = carried(&asked(&terminal, 1));
    terminal.types("half of it\x1a");
    let settings = terminal.wrote("stopped");
    assert!(settings.contains(" echo ") && settings.contains(" icanon"), "{settings}");
    terminal.types("for the shell\n");
    terminal.shows(ASKED, 2);
    // what was typed before does not count
    paste(&mut terminal, &ended);
    assert!(terminal.wrote("stty").contains(" echo "));
    let output = signed_in(terminal);
    assert!(output.stdout.contains("got for the shell") && !output.stdout.contains("half of it"), "{output:?}");
    check(&forge);
}

#[test]
fn a_job_in_the_background_takes_no_input_and_goes_on_waiting() {
    let forge = Forge::new();
    let line = format!("set -m; {LOGIN} & read line; echo \"got $line\"; wait $!; fg >/dev/null 2>&1; stty -a >\"$SAID/stty\"");
    let mut terminal = terminal(&forge, "one", &line);
    terminal.shows("needs you to sign in to `corp` at 127.0.0.1; waiting - Ctrl-C to stop", 1);
    std::thread::sleep(Duration::from_millis(300));
    assert!(terminal.echoes());
    terminal.types("for the shell\n");
    terminal.shows("got for the shell", 1);
    assert!(!terminal.said("screen").contains(ASKED) && !terminal.said("screen").contains("code_challenge"));
    // another terminal may paste
    let mut other = super::terminal(&forge, "other", super::ASK);
    let ended = carried(&asked(&other, 1));
    paste(&mut other, &ended);
    other.end().success();
    assert!(terminal.wrote("stty").contains(" echo "));
    signed_in(terminal);
    check(&forge);
}

#[test]
fn ctrl_d_ends_the_question_and_the_browser_is_still_waited_for() {
    let forge = Forge::new();
    let line = format!("{LOGIN}; stty -a >\"$SAID/stty\"");
    let mut terminal = terminal(&forge, "one", &line);
    let url = asked(&terminal, 1);
    terminal.types(b"\x04");
    terminal.shows("nothing is pasted here, then; waiting for the browser", 1);
    until("what is typed is shown", || terminal.echoes());
    assert_eq!(visit(&url, &Settings::from(&HashMap::new()))["callback"]["status"], 200);
    assert!(terminal.wrote("stty").contains(" echo "));
    signed_in(terminal);
    check(&forge);
}

#[test]
fn a_terminal_that_is_hung_up_ends_its_caller_and_the_next_one_goes_on() {
    let forge = Forge::new();
    let mut first = terminal(&forge, "first", LOGIN);
    let ended = carried(&asked(&first, 1));
    first.types("half of it");
    first.hang_up();
    until("the caller is gone", || forge.home.processes().len() == forge.workers().len());
    assert_eq!(forge.workers().len(), 1, "the sign-in outlives it");
    let mut second = terminal(&forge, "second", super::ASK);
    asked(&second, 1);
    paste(&mut second, &ended);
    second.end().success();
    assert_eq!(forge.server.counts().codes_redeemed, 1);
    check(&forge);
}
