//! One sign-in by pasting, and many who wait for it: every terminal may paste, and at each of them one process asks.
use super::{ASK, ASKED, LOGIN, asked, carried, check, paste, signed_in, terminal};
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, signal, until, value};

#[test]
fn any_terminal_that_waits_may_paste() {
    let forge = Forge::new();
    let first = terminal(&forge, "first", LOGIN);
    let url = asked(&first, 1);
    let mut second = terminal(&forge, "second", &format!("{ASK} >\"$SAID/answer\""));
    assert_eq!(asked(&second, 1), url, "the same sign-in");
    assert!(second.said("screen").contains("another terminal (keyfob login, pid "), "{}", second.said("screen"));
    let ended = carried(&url);
    paste(&mut second, &ended);
    second.end().success();
    signed_in(first);
    let answer = std::fs::read_to_string(forge.home.path().join("said/second/answer")).unwrap();
    assert!(forge.server.is_alive(value(&answer, "password")));
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.codes_redeemed), (1, 1));
    check(&forge);
}

#[test]
fn of_those_that_wait_at_one_terminal_one_asks_and_all_are_answered() {
    let forge = Forge::new();
    // while the code is redeemed nobody asks for another
    forge.server.fault(Endpoint::Token, Fault::Delay(1500));
    let line = format!("for n in 1 2 3 4; do {ASK} >\"$SAID/answer-$n\" & done; wait; stty -a >\"$SAID/stty\"");
    let mut terminal = terminal(&forge, "one", &line);
    let url = asked(&terminal, 1);
    terminal.shows("waiting - Ctrl-C to stop", 4);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let screen = terminal.said("screen");
    assert_eq!((screen.matches(ASKED).count(), screen.matches("code_challenge=").count()), (1, 1), "{screen}");
    let ended = carried(&url);
    paste(&mut terminal, &ended);
    assert!(terminal.wrote("stty").contains(" echo "));
    for number in 1..=4 {
        assert!(forge.server.is_alive(value(&terminal.said(&format!("answer-{number}")), "password")), "{number}");
    }
    let said = terminal.end().success();
    assert_eq!((said.stdout.matches(ASKED).count(), forge.server.counts().codes_redeemed), (1, 1), "{said:?}");
    check(&forge);
}

#[test]
fn where_the_one_that_asks_is_killed_the_next_at_the_terminal_asks() {
    let forge = Forge::new();
    // each writes its process id before it becomes keyfob
    let one = format!("sh -c 'echo $$ >\"$SAID/pid-$0\"; exec {ASK}'");
    let line = format!("{one} 1 >\"$SAID/answer-1\" & {one} 2 >\"$SAID/answer-2\" & wait; stty sane");
    let mut terminal = terminal(&forge, "one", &line);
    asked(&terminal, 1);
    let screen = || terminal.said("screen");
    terminal.shows("waiting - Ctrl-C to stop", 2);
    // the starter is named by the notice of the one that waits for it
    let starter = |screen: &str| screen.split("pid ").nth(1).map(|rest| rest.split(')').next().unwrap().to_owned());
    until("the other one waits", || starter(&screen()).is_some());
    let (starter, ids) = (starter(&screen()).unwrap(), [terminal.wrote("pid-1"), terminal.wrote("pid-2")]);
    let asks_first = screen().find("needs you to sign in").is_some_and(|own| own < screen().find(ASKED).unwrap());
    let holder = ids.iter().find(|id| (id.trim() == starter) == asks_first).unwrap().trim().to_owned();
    signal("KILL", &holder);
    let url = asked(&terminal, 2);
    let ended = carried(&url);
    paste(&mut terminal, &ended);
    terminal.end();
    let answers =
        ["answer-1", "answer-2"].map(|name| std::fs::read_to_string(forge.home.path().join("said/one").join(name)).unwrap());
    assert_eq!(answers.iter().filter(|answer| answer.contains("password=")).count(), 1, "{answers:?}");
    assert_eq!(forge.server.counts().codes_redeemed, 1);
    check(&forge);
}

/// What lies in the terminal, typed and not read, as the sign-in ends elsewhere: a code could be among it.
#[test]
fn what_nobody_has_read_is_not_left_to_the_shell() {
    let forge = Forge::new();
    let mut first = terminal(&forge, "first", LOGIN);
    let ended = carried(&asked(&first, 1));
    let line = format!("sh -c 'echo $$ >\"$SAID/pid\"; exec {ASK}' >\"$SAID/answer\"; echo ready; read line; echo \"got $line\"");
    let mut second = terminal(&forge, "second", &line);
    asked(&second, 1);
    let waits = second.wrote("pid").trim().to_owned();
    signal("STOP", &waits);
    second.types("half of it");
    paste(&mut first, &ended);
    signed_in(first);
    signal("CONT", &waits);
    second.shows("ready\r\n", 1);
    second.types("for the shell\n");
    let said = second.end();
    assert!(said.stdout.contains("got for the shell") && !said.stdout.contains("half of it"), "{said:?}");
    check(&forge);
}

#[test]
fn ctrl_c_at_one_terminal_leaves_the_sign_in_to_the_other() {
    let forge = Forge::new();
    let mut first = terminal(&forge, "first", LOGIN);
    let url = asked(&first, 1);
    let mut second = terminal(&forge, "second", ASK);
    asked(&second, 1);
    first.types(b"\x03");
    let stopped = first.end();
    assert!(stopped.stdout.contains("stopped by Ctrl-C"), "{stopped:?}");
    let ended = carried(&url);
    paste(&mut second, &ended);
    second.end().success();
    assert_eq!(forge.server.counts().codes_redeemed, 1);
    check(&forge);
}

#[test]
fn a_worker_that_is_killed_is_followed_by_a_new_sign_in_that_takes_nothing_of_the_old_one() {
    let forge = Forge::new();
    let mut terminal = terminal(&forge, "one", LOGIN);
    let old = asked(&terminal, 1);
    let ended = carried(&old);
    signal("KILL", &forge.workers()[0].to_string());
    let new = asked(&terminal, 2);
    assert_ne!(old, new);
    paste(&mut terminal, &ended);
    terminal.shows("that is the address of another sign-in", 1);
    let ended = carried(&new);
    paste(&mut terminal, &ended);
    signed_in(terminal);
    assert_eq!(forge.server.counts().codes_redeemed, 1);
    check(&forge);
}
