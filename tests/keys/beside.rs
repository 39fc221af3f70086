//! A move beside others: who reads is not disturbed, who writes is waited for, and who signs in is not cut off.
use super::vault::{Place, Vault};
use crate::support::authorization_server::{Endpoint, Hold};
use crate::support::forge::{end, signal, until};
use crate::support::process::{self, LIMIT, Output, wait};
use crate::support::scene::{TOKEN, one_error};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const FIRST: Place = Place::File("first");
const SECOND: Place = Place::File("second");

fn start(vault: &Vault, arguments: &[&str]) -> Child {
    let mut command = vault.scene.home.keyfob(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn start_move(vault: &Vault, place: Place) -> Child {
    let words = vault.arguments(place);
    start(vault, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The same with a token that has ended.
fn expired(place: Place) -> Option<Vault> {
    let vault = Vault::new(place, false)?;
    vault.scene.sign_in_and_expire();
    Some(vault)
}

/// A caller whose refresh has arrived at the server, which keeps its answer back until the hold is released.
fn refreshing(vault: &Vault) -> (Child, Hold) {
    let earlier = vault.scene.server.counts().token_requests;
    let hold = vault.scene.server.hold(Endpoint::Token);
    let caller = start(vault, &TOKEN);
    vault.scene.server.wait_for(Endpoint::Token, earlier + 1);
    (caller, hold)
}

/// A move to `place` that waits for who has the key's lock.
fn move_that_waits(vault: &Vault, place: Place) -> Child {
    let mut mover = start_move(vault, place);
    // it comes to the lock by the gate, and has both open then
    let waits = || ["/key.gate", "/key.lock"].iter().all(|file| vault.scene.home.having_open(file).contains(&mover.id()));
    until("it waits", waits);
    assert_eq!(mover.try_wait().unwrap(), None);
    mover
}

#[track_caller]
fn refused_as_in_use(output: &Output) {
    one_error(output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(5), ""), "{output:?}");
    assert!(output.stderr.contains("the key is in use: a sign-in or a renewal is under way"), "{output:?}");
    assert!(output.stderr.contains("keyfob: hint: ") && output.stderr.contains("run `keyfob setup key` again"), "{output:?}");
}

/// The token that the server issued last is in the store, and nothing was lost on the way there.
#[track_caller]
fn nothing_was_lost(vault: &Vault, token: &str) {
    assert!(vault.scene.server.is_alive(token) && vault.scene.server.family_alive());
    let asked = vault.scene.server.requests().len();
    vault.scene.still_answers(token);
    vault.scene.entries_answer();
    assert_eq!(vault.scene.server.requests().len(), asked);
    let counts = vault.scene.server.counts();
    assert_eq!((counts.refreshes, counts.reuses), (1, 0));
}

#[test]
fn a_move_waits_for_a_refresh_that_is_under_way_and_takes_what_it_brings_along() {
    let Some(vault) = expired(FIRST) else { return };
    let (caller, hold) = refreshing(&vault);
    let mover = move_that_waits(&vault, Place::Kernel);
    hold.release();
    end(mover).success();
    let token = end(caller).success().stdout.trim().to_owned();
    vault.is_in(Place::Kernel);
    nothing_was_lost(&vault, &token);
}

#[test]
fn a_move_is_refused_while_a_refresh_takes_long_and_the_refresh_is_not_disturbed() {
    let Some(vault) = expired(FIRST) else { return };
    let (caller, hold) = refreshing(&vault);
    refused_as_in_use(&vault.move_to(SECOND));
    vault.is_in(FIRST);
    assert!(!vault.has_key_in(SECOND));
    hold.release();
    let token = end(caller).success().stdout.trim().to_owned();
    vault.move_to(SECOND).success();
    vault.is_in(SECOND);
    nothing_was_lost(&vault, &token);
}

#[test]
fn a_worker_without_its_caller_is_waited_for_as_well() {
    let Some(vault) = expired(Place::Kernel) else { return };
    let (mut caller, hold) = refreshing(&vault);
    signal("KILL", &caller.id().to_string());
    assert_eq!(wait(&mut caller, LIMIT), Some(None));
    let mover = move_that_waits(&vault, FIRST);
    hold.release();
    end(mover).success();
    vault.is_in(FIRST);
    let token = vault.scene.token_unattended().success().stdout.trim().to_owned();
    nothing_was_lost(&vault, &token);
}

#[test]
fn a_worker_may_start_while_a_move_waits_for_its_caller() {
    let Some(vault) = expired(FIRST) else { return };
    // held up between taking the key's lock and starting the worker, with the move at the gate
    let trace = vault.scene.home.path().join("trace");
    let mut command = vault.scene.home.command("strace");
    command.args(["-qq", "-e", "trace=clone,clone3,vfork", "-e", "inject=clone,clone3,vfork:delay_enter=1500000:when=1", "-o"]);
    command.arg(&trace).arg(vault.scene.home.bin().join("keyfob")).args(TOKEN);
    let caller = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it has the key's lock", || !vault.scene.home.having_open("/key.lock").is_empty());
    // it would be refused if it kept the worker from starting: each would wait for the other
    vault.move_to(Place::Kernel).success();
    assert!(std::fs::read_to_string(&trace).unwrap().contains("(DELAYED)"));
    let token = end(caller).success().stdout.trim().to_owned();
    nothing_was_lost(&vault, &token);
}

#[test]
fn a_move_is_refused_while_a_sign_in_is_open_which_goes_on() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let page = vault.scene.server.hold(Endpoint::Authorize);
    let sign_in = start(&vault, &["login", "corp"]);
    until("the sign-in is open", || !vault.scene.files(".pending").is_empty());
    assert!(vault.move_to(FIRST).success().stdout.starts_with("nothing to move, "), "which takes no lock");
    refused_as_in_use(&vault.move_to(Place::Kernel));
    assert_eq!(vault.meta()["key"]["source"], "file");
    vault.is_not_in(Place::Kernel);
    page.release();
    end(sign_in).success();
    vault.move_to(Place::Kernel).success();
    vault.is_in(Place::Kernel);
    let token = vault.scene.token_unattended().success().stdout;
    assert!(vault.scene.server.is_alive(token.trim()));
}

#[test]
fn of_two_moves_at_once_one_moves_the_key_and_the_other_finds_it_there() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    for (from, to) in [(FIRST, Place::Kernel), (Place::Kernel, SECOND), (SECOND, FIRST)] {
        let both = [start_move(&vault, to), start_move(&vault, to)].map(|child| end(child).success().stdout);
        let moved = both.iter().filter(|said| said.starts_with("3 records were sealed anew: ")).count();
        let found = both.iter().filter(|said| said.starts_with("nothing to move, ")).count();
        assert_eq!((moved, found), (1, 1), "{both:?}");
        vault.is_in(to);
        vault.answers();
        assert!(matches!(from, Place::File(_)) || !vault.has_key_in(from));
    }
}

#[test]
fn of_two_moves_to_different_places_one_is_the_last() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    for _ in 0..4 {
        let both = [start_move(&vault, SECOND), start_move(&vault, Place::Kernel)];
        for child in both {
            end(child).success();
        }
        let last = if vault.meta()["key"]["source"] == "kernel" { Place::Kernel } else { SECOND };
        vault.is_in(last);
        assert!(last == Place::Kernel || !vault.has_key_in(Place::Kernel));
        vault.answers();
        vault.move_to(FIRST).success();
    }
}

#[test]
fn twenty_who_ask_without_end_notice_nothing_of_moves_and_do_not_hold_them_up() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let asked = vault.scene.server.requests().len();
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let questions: [(&[&str], &[u8], &str); 4] = [
        (&TOKEN, b"", &vault.token),
        (&["git", "get"], b"protocol=https\nhost=git.example.com\n\n", &vault.token),
        (&["git", "get"], b"protocol=https\nhost=kept.example.org\n\n", crate::support::scene::KEPT),
        (&["docker", "get"], b"kept.example.org", crate::support::scene::KEPT),
    ];
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..20)
            .map(|number: usize| {
                // most are of the kind that could write, which a move has to wait for
                let (arguments, stdin, expected) = questions[number.saturating_sub(16)];
                let (vault, stop, answers) = (&vault, &stop, &answers);
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let mut command = vault.scene.home.keyfob(arguments);
                        let output = process::run(command.env("KEYFOB_INTERACTIVE", "never"), stdin).success();
                        assert!(output.stdout.contains(expected) && output.stderr.is_empty(), "{arguments:?}: {output:?}");
                        answers.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for place in [Place::Kernel, SECOND, FIRST, Place::Kernel, FIRST].into_iter().cycle().take(rounds()) {
            let begun = Instant::now();
            let moved = vault.move_to(place);
            longest = longest.max(begun.elapsed());
            if moved.code != Some(0) || callers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                stop.store(true, Ordering::SeqCst);
                moved.success();
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("{} answers beside {} moves, the longest of {longest:?}\n", answers.load(Ordering::SeqCst), rounds()),
    );
    assert!(answers.load(Ordering::SeqCst) > 20);
    assert_eq!(vault.scene.server.requests().len(), asked, "a server was asked");
    vault.answers();
}

fn rounds() -> usize {
    if std::env::var_os("KEYFOB_TESTS_SOAK").is_some_and(|value| value == "1") { 200 } else { 15 }
}
