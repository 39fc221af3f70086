//! A worker that is killed while a person types the code: another one goes on with the same code.
use super::{ASK, LOGIN, Terminal, check, forge, notes};
use crate::support::authorization_server::Endpoint;
use crate::support::forge::{Forge, signal, until, value};
use crate::support::scene::one_error;
use std::time::Duration;

/// Kills the worker of `forge`, which is there.
#[track_caller]
fn kill_worker(forge: &Forge) {
    let workers = forge.workers();
    assert_eq!(workers.len(), 1);
    signal("KILL", &workers[0].to_string());
    until("it is gone", || !forge.workers().contains(&workers[0]));
}

#[track_caller]
fn one_code_was_enough(forge: &Forge) {
    let counts = forge.server.counts();
    assert_eq!((counts.device_authorizations, counts.devices_redeemed, counts.authorizations), (1, 1, 0));
    assert_eq!(notes(forge), Vec::<String>::new());
    check(forge);
}

#[test]
fn the_caller_of_a_killed_worker_goes_on_with_the_code() {
    let forge = forge();
    let terminal = Terminal::run(&forge, "one", ASK);
    let code = terminal.wait_for_code();
    kill_worker(&forge);
    until("another worker", || forge.workers().len() == 1);
    until("it says the same", || terminal.screen().matches(&format!("the code {code}")).count() == 2);
    forge.server.decide(true);
    assert!(forge.server.is_alive(value(&terminal.end().success().stdout, "password")));
    one_code_was_enough(&forge);
}

#[test]
fn those_who_wait_go_on_with_the_code_when_caller_and_worker_are_killed() {
    let forge = forge();
    let first = Terminal::run(&forge, "first", ASK);
    let code = first.wait_for_code();
    let others: Vec<Terminal<'_>> = (0..4).map(|number| Terminal::run(&forge, &format!("t{number}"), ASK)).collect();
    others.iter().for_each(|terminal| drop(terminal.wait_for_code()));
    let worker = forge.workers()[0];
    signal("KILL", &first.child.id().to_string());
    signal("KILL", &worker.to_string());
    // who types the code at that moment has typed it for them
    forge.server.decide(true);
    let answers: Vec<String> = others.into_iter().map(|terminal| terminal.end().success().stdout).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(forge.server.is_alive(value(&answers[0], "password")), "{code}");
    one_code_was_enough(&forge);
}

#[test]
fn the_next_caller_goes_on_with_the_code_when_everybody_was_killed() {
    let forge = forge();
    let first = Terminal::run(&forge, "first", ASK);
    let code = first.wait_for_code();
    let mut everybody = forge.home.processes();
    everybody.retain(|id| *id != first.child.id());
    everybody.push(first.child.id());
    signal("STOP", &first.child.id().to_string());
    everybody.iter().for_each(|id| {
        let _ = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status();
    });
    drop(first);
    until("everybody is gone", || forge.home.processes().is_empty());
    assert_eq!(notes(&forge), ["device", "pending"]);
    forge.server.decide(true);
    for line in [ASK, LOGIN] {
        let next = Terminal::run(&forge, "next", line);
        if line == ASK {
            next.wait_for(&format!("needs you to sign in to `corp` at 127.0.0.1: open {}", forge.server.issuer()));
            assert!(next.screen().contains(&format!("the code {code}")));
            next.end().success();
            one_code_was_enough_so_far(&forge);
        } else {
            // a code that was used is not taken up again
            until("a new code", || forge.server.user_codes().len() == 2);
            next.wait_for_code();
            forge.server.decide(true);
            next.end().success();
        }
    }
    check(&forge);
}

#[track_caller]
fn one_code_was_enough_so_far(forge: &Forge) {
    let counts = forge.server.counts();
    assert_eq!((counts.device_authorizations, counts.devices_redeemed), (1, 1));
}

#[test]
fn a_worker_killed_during_a_poll_leaves_the_code_good_and_the_pace_kept() {
    let forge = forge();
    forge.server.configure(|settings| (settings.slow_downs, settings.slow_down_interval) = (1, Some(2)));
    // the second poll's answer takes its time: the worker is killed with the record's lock in hand
    let terminal = Terminal::run(&forge, "one", ASK);
    terminal.wait_for_code();
    forge.server.wait_for(Endpoint::Token, 1);
    let _hold = forge.server.hold(Endpoint::Token);
    forge.server.wait_for(Endpoint::Token, 2);
    kill_worker(&forge);
    forge.server.decide(true);
    assert!(forge.server.is_alive(value(&terminal.end().success().stdout, "password")));
    let polls = forge.server.polls();
    assert!(polls[2] - polls[1] >= Duration::from_secs(6), "what the server said of the pace was forgotten: {polls:?}");
    one_code_was_enough(&forge);
}

#[test]
fn a_worker_killed_with_the_answer_on_its_way_says_that_the_code_was_used() {
    let forge = forge();
    // the answer to the first poll never gets anywhere
    forge.server.configure(|settings| settings.device_decision = Some(true));
    let _hold = forge.server.hold(Endpoint::Token);
    let terminal = Terminal::run(&forge, "one", ASK);
    terminal.wait_for_code();
    forge.server.wait_for(Endpoint::Token, 1);
    kill_worker(&forge);
    let output = terminal.end();
    one_error(&output);
    assert!(output.stderr.contains("does not take the code of this sign-in any more (invalid_grant"), "{output:?}");
    assert!(output.stderr.contains("it may have been used already"), "{output:?}");
    assert_eq!(notes(&forge), Vec::<String>::new());
    check(&forge);
}

#[test]
fn a_sign_out_while_nobody_is_at_it_leaves_nothing_to_go_on_with() {
    let forge = forge();
    let terminal = Terminal::run(&forge, "one", ASK);
    terminal.wait_for_code();
    let worker = forge.workers()[0];
    let callers: Vec<u32> = forge.home.processes().into_iter().filter(|id| *id != worker).collect();
    callers.iter().chain([&worker]).for_each(|id| {
        let _ = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status();
    });
    until("everybody is gone", || forge.home.processes().is_empty());
    drop(terminal);
    forge.keyfob(&["logout", "corp"]).success();
    assert_eq!(notes(&forge), Vec::<String>::new());
    forge.server.decide(true);
    let next = Terminal::run(&forge, "next", ASK);
    until("a new code", || forge.server.user_codes().len() == 2);
    next.wait_for_code();
    forge.server.decide(true);
    next.end().success();
    assert_eq!(forge.server.counts().devices_redeemed, 1);
    check(&forge);
}

#[test]
fn a_code_that_was_used_is_not_taken_up_again_though_it_was_left_behind() {
    let forge = forge();
    let terminal = Terminal::run(&forge, "one", ASK);
    terminal.wait_for_code();
    let sealed: Vec<_> = forge
        .home
        .files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "device" || ending == "pending"))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    forge.server.decide(true);
    terminal.end().success();
    forge.wait_for_quiet();
    // as if the worker had been killed after its last write
    for (path, bytes) in &sealed {
        std::fs::write(path, bytes).unwrap();
        crate::support::process::run(std::process::Command::new("chmod").arg("600").arg(path), b"").success();
    }
    assert_eq!(notes(&forge), ["device", "pending"]);
    let next = Terminal::run(&forge, "next", LOGIN);
    until("a new code", || forge.server.user_codes().len() == 2);
    next.wait_for_code();
    forge.server.decide(true);
    next.end().success();
    assert_eq!((forge.server.counts().devices_redeemed, notes(&forge).len()), (2, 0));
    check(&forge);
}

#[test]
fn who_wants_a_browser_gets_one_and_the_code_of_the_killed_worker_is_forgotten() {
    let forge = forge();
    let terminal = Terminal::run(&forge, "one", ASK);
    terminal.wait_for_code();
    forge.home.processes().iter().for_each(|id| {
        let _ = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status();
    });
    until("everybody is gone", || forge.home.processes().is_empty());
    drop(terminal);
    let browser = crate::support::home::browser_program();
    let line = "keyfob login corp --flow browser";
    Terminal::run_with(&forge, "next", line, &[("KEYFOB_BROWSER", browser.to_str().unwrap())]).end().success();
    let counts = forge.server.counts();
    assert_eq!((counts.device_authorizations, counts.authorizations, forge.server.polls().len()), (1, 1, 0));
    assert_eq!(notes(&forge), Vec::<String>::new());
    check(&forge);
}

/// Whether the lock of the record is free, and whether a place for its next state is there, filled.
fn lock_and_place(forge: &Forge) -> (bool, bool) {
    let files = forge.home.files();
    let ends = |path: &&std::path::PathBuf, ending: &str| path.extension().is_some_and(|found| found == ending);
    let pending = files.iter().find(|path| ends(path, "pending")).expect("a sign-in is open");
    let lock = std::fs::File::open(pending.with_extension("lock")).unwrap();
    let place = std::fs::metadata(pending.with_extension("next")).is_ok_and(|next| next.len() == 64 << 10);
    (fs2::FileExt::try_lock_exclusive(&lock).is_ok(), place)
}

#[test]
fn the_lock_and_a_place_for_tokens_are_held_for_each_poll_and_free_in_between() {
    let forge = forge();
    forge.server.configure(|settings| settings.device_interval = 2);
    let terminal = Terminal::run(&forge, "one", ASK);
    terminal.wait_for_code();
    for poll in 1..=2 {
        until("between polls the lock is free, and no place is held", || lock_and_place(&forge) == (true, false));
        let hold = forge.server.hold(Endpoint::Token);
        until("both are held during a poll", || lock_and_place(&forge) == (false, true));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(lock_and_place(&forge), (false, true), "until poll {poll} is answered");
        hold.release();
    }
    forge.server.decide(true);
    terminal.end().success();
    one_code_was_enough(&forge);
}
