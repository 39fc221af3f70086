//! What is typed unseen: whatever happens meanwhile, the terminal shows again what is typed, and nobody reads what is not for them.
use super::passphrase::{ASKED, Guarded, PASSPHRASE};
use crate::support::forge::{signal, until};
use crate::support::terminal::Terminal;
use std::time::Duration;

/// The process that asks at the terminal.
fn who_asks(place: &Guarded) -> String {
    let asks = |id: &u32| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default().starts_with(b"keyfob\0status");
    until("somebody asks", || place.forge.home.processes().iter().any(asks));
    place.forge.home.processes().into_iter().find(asks).unwrap().to_string()
}

#[test]
fn what_is_typed_is_shown_again_whatever_signal_ends_the_question() {
    let Some(place) = Guarded::locked() else { return };
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let line = "trap : INT QUIT; keyfob status; echo \"ended $?\" >\"$SAID/code\"; stty -a >\"$SAID/stty\"; read line";
        let mut terminal = place.terminal(name, line);
        terminal.shows(ASKED, 1);
        until("what is typed is hidden", || !terminal.echoes());
        terminal.types("half of it");
        match name {
            "INT" => terminal.types(b"\x03"),
            "QUIT" => terminal.types(b"\x1c"),
            _ => signal(name, &who_asks(&place)),
        }
        assert_eq!(terminal.wrote("code"), format!("ended {code}\n"), "{name}");
        assert!(terminal.wrote("stty").contains(" echo "), "{name}");
        assert!(terminal.echoes(), "{name}");
        terminal.types("\n");
        let said = terminal.end();
        assert!(!said.stdout.contains("half of it"), "{name}: {said:?}");
    }
    let mut terminal = place.terminal("afterwards", "keyfob status");
    terminal.shows(ASKED, 1);
    terminal.types(format!("{PASSPHRASE}\n"));
    terminal.end().success();
}

#[test]
fn ctrl_z_stops_the_question_and_it_comes_again_in_the_foreground() {
    let Some(place) = Guarded::locked() else { return };
    let line =
        "set -m; keyfob status; stty -a >\"$SAID/stopped\"; fg >/dev/null; echo $? >\"$SAID/code\"; stty -a >\"$SAID/stty\"";
    let mut terminal = place.terminal("stopped", line);
    terminal.shows(ASKED, 1);
    terminal.types("half of it");
    terminal.types(b"\x1a");
    assert!(terminal.wrote("stopped").contains(" echo "));
    terminal.shows(ASKED, 2);
    // what was typed before does not count
    terminal.types(format!("{PASSPHRASE}\n"));
    assert_eq!(terminal.wrote("code"), "0\n");
    assert!(terminal.wrote("stty").contains(" echo "));
    let said = terminal.end();
    assert!(said.stdout.contains("corp: signed in") && !said.stdout.contains("half of it"), "{said:?}");
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    let Some(place) = Guarded::locked() else { return };
    let mut terminal = place.terminal("ahead", "mkfifo \"$SAID/go\"; echo ready; read go <\"$SAID/go\"; keyfob status");
    let go = place.forge.home.path().join("said/ahead/go");
    terminal.shows("ready", 1);
    terminal.types("typed ahead\n");
    terminal.shows("typed ahead", 1);
    std::fs::OpenOptions::new().write(true).open(&go).unwrap();
    terminal.shows(ASKED, 1);
    terminal.types(format!("{PASSPHRASE}\n"));
    let said = terminal.end().success();
    assert!(said.stdout.contains("corp: signed in") && !said.stdout.contains("that is not it"), "{said:?}");
}

#[test]
fn a_background_job_reads_nothing_and_says_so() {
    let Some(place) = Guarded::locked() else { return };
    let line = "set -m; keyfob status 2>\"$SAID/errors\" & wait $!; echo $? >\"$SAID/code\"; read line; echo \"got $line\"";
    let mut terminal = place.terminal("background", line);
    assert_eq!(terminal.wrote("code"), "3\n");
    assert!(terminal.echoes());
    terminal.types("for the shell\n");
    let said = terminal.end();
    assert!(said.stdout.contains("got for the shell") && !said.stdout.contains(ASKED), "{said:?}");
    let errors = std::fs::read_to_string(place.forge.home.path().join("said/background/errors")).unwrap();
    assert!(errors.contains("nobody can be asked here: this runs in the background of its terminal"), "{errors}");
}

#[test]
fn neither_standard_input_nor_output_is_used() {
    let Some(place) = Guarded::locked() else { return };
    let mut terminal = place.terminal("piped", "echo from a pipe | keyfob status >\"$SAID/out\" 2>\"$SAID/err\"");
    terminal.shows(ASKED, 1);
    terminal.types(format!("{PASSPHRASE}\n"));
    let (out, err) = (terminal.wrote("out"), terminal.said("err"));
    assert!(out.contains("corp: signed in") && !out.contains(ASKED) && err.is_empty(), "{out} {err}");
    terminal.end().success();
}

#[test]
fn an_ended_or_endless_line_is_refused() {
    let Some(place) = Guarded::locked() else { return };
    let line = "keyfob status; echo \"ended $?\"; stty -a >\"$SAID/stty\"";
    for (name, typed, reason) in [
        ("ended", b"\x04".to_vec(), "nothing was typed"),
        ("endless", [b"x".repeat(1500), b"\n".to_vec()].concat(), "more than 1024 bytes"),
    ] {
        let mut terminal = place.terminal(name, line);
        terminal.shows(ASKED, 1);
        terminal.types(typed);
        assert!(terminal.wrote("stty").contains(" echo "), "{name}");
        let said = terminal.end();
        assert!(said.stdout.contains(reason) && said.stdout.contains("ended 4"), "{name}: {said:?}");
        assert!(!said.stdout.contains("xxxx"), "{name}: {said:?}");
    }
}

/// A line that starts three at once, in the terminal's foreground, and leaves their tokens and what the terminal does afterwards.
pub(super) fn three_at_once(ask: &str) -> String {
    let each = format!("for n in 1 2 3; do {ask} >\"$SAID/token-$n\" & done");
    format!("{each}; wait; stty -a >\"$SAID/stty\"")
}

/// Answers `times` questions of [`three_at_once`], of which one at a time may stand on the terminal.
#[track_caller]
pub(super) fn answer_three(place: &Guarded, line: &str, times: usize) {
    let mut terminal = place.terminal("three", line);
    for time in 1..=times {
        terminal.shows(ASKED, time);
        let callers = || place.forge.home.processes().len();
        // the shells, whoever was not answered yet, and time for another question
        until("all were started", || callers() > times - time);
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(terminal.said("screen").matches(ASKED).count(), time);
        assert!(!terminal.echoes(), "question {time}");
        terminal.types(format!("{PASSPHRASE}\n"));
    }
    assert!(terminal.wrote("stty").contains(" echo "));
    let tokens: Vec<String> = (1..=3).map(|number| terminal.said(&format!("token-{number}"))).collect();
    let said = terminal.end().success();
    assert_eq!(said.stdout.matches(ASKED).count(), times, "{said:?}");
    assert!(!said.stdout.contains(PASSPHRASE) && !said.stdout.contains("that is not it"), "{said:?}");
    assert!(tokens.iter().all(|token| place.forge.server.is_alive(token.trim())), "{tokens:?} {said:?}");
}

#[test]
fn of_those_that_ask_at_one_terminal_one_does_and_all_are_answered() {
    let Some(place) = Guarded::locked() else { return };
    answer_three(&place, &three_at_once("keyfob token corp"), 1);
    assert_eq!(place.forge.server.counts().authorizations, 1);
}

#[test]
fn of_those_that_choose_at_one_terminal_one_does() {
    let Some(place) = Guarded::fresh() else { return };
    place.choose("keyfob login corp & keyfob login corp & wait; stty -a >\"$SAID/stty\"", PASSPHRASE).success();
    let folder = place.forge.home.path().join("said/choose");
    assert!(std::fs::read_to_string(folder.join("stty")).unwrap().contains(" echo "));
    assert_eq!(std::fs::read_to_string(folder.join("screen")).unwrap().matches("the same again: ").count(), 1);
    assert_eq!(place.forge.keyfob(&["status"]).success().stdout.matches("corp: signed in").count(), 1);
}

#[test]
fn ctrl_c_ends_those_that_wait_for_their_turn() {
    let Some(place) = Guarded::locked() else { return };
    let line =
        "trap : INT; keyfob token corp | keyfob token corp | keyfob token corp; echo $? >\"$SAID/code\"; stty -a >\"$SAID/stty\"";
    let mut terminal = place.terminal("waiting", line);
    terminal.shows(ASKED, 1);
    std::thread::sleep(Duration::from_millis(700));
    terminal.types(b"\x03");
    assert_eq!(terminal.wrote("code"), "130\n");
    assert!(terminal.wrote("stty").contains(" echo "));
    let said = terminal.end();
    assert_eq!(said.stdout.matches(ASKED).count(), 1, "{said:?}");
}

#[test]
fn who_is_stopped_keeps_nobody_at_the_terminal_waiting() {
    let Some(place) = Guarded::locked() else { return };
    let line = "set -m; keyfob token corp; keyfob token corp >\"$SAID/second\"; fg >/dev/null; echo $? >\"$SAID/code\"";
    let mut terminal: Terminal = place.terminal("jobs", line);
    terminal.shows(ASKED, 1);
    terminal.types(b"\x1a");
    terminal.shows(ASKED, 2);
    terminal.types(format!("{PASSPHRASE}\n"));
    assert!(place.forge.server.is_alive(terminal.wrote("second").trim()));
    terminal.shows(ASKED, 3);
    terminal.types(format!("{PASSPHRASE}\n"));
    assert_eq!(terminal.wrote("code"), "0\n");
    terminal.end();
}
