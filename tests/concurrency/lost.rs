//! An answer of the server that does not arrive: asked for once more, and explained where the server does not give it again.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, end, signal, until, value};
use crate::support::process::{Output, run};
use crate::support::scene::one_error;
use std::time::Duration;

/// A server's grace that no machine is too slow for.
const HOUR: Duration = Duration::from_secs(3600);
const WHY: &str = "the server's answer to a renewal was lost on its way, and the server takes a refresh token only once";

/// Asks for the token where nobody can be asked to sign in.
fn unattended(forge: &Forge) -> Output {
    run(forge.command("keyfob").args(["token", "corp"]).env("KEYFOB_INTERACTIVE", "never"), b"")
}

#[test]
fn a_lost_answer_is_asked_for_once_more_and_within_the_servers_grace_nothing_is_lost() {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.reuse_interval = HOUR);
    forge.sign_in_and_expire();
    forge.server.fault(Endpoint::Token, Fault::AfterDrop);
    let answer = forge.ask().success();
    assert!(forge.server.is_alive(value(&answer.stdout, "password")) && answer.stderr.is_empty(), "{answer:?}");
    let counts = forge.server.counts();
    assert_eq!((counts.refresh_requests, counts.reuses, counts.authorizations), (2, 0, 1));
    assert_eq!(forge.ask().success().stdout, answer.stdout);
    forge.check();
}

#[test]
fn an_answer_that_is_lost_twice_is_not_asked_for_a_third_time_and_is_found_by_the_next_caller() {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.reuse_interval = HOUR);
    forge.sign_in_and_expire();
    forge.server.fault_times(Endpoint::Token, Fault::AfterDrop, 2);
    let output = unattended(&forge);
    one_error(&output);
    assert_eq!((output.code, forge.server.counts().refresh_requests), (Some(5), 2), "{output:?}");
    unattended(&forge).success();
    let counts = forge.server.counts();
    assert_eq!((counts.refresh_requests, counts.reuses, counts.authorizations), (3, 0, 1));
    forge.check();
}

/// Two callers, one after the other, are told why; the server is asked no more than it was.
#[track_caller]
fn explained(forge: &Forge, requests: usize) {
    for _ in 0..2 {
        let output = unattended(forge);
        one_error(&output);
        assert!(output.code == Some(3) && output.stderr.contains(WHY), "{output:?}");
        assert_eq!(forge.server.counts().refresh_requests, requests);
    }
    // a person signs in once, and is told why as well
    let terminal = end(crate::support::forge::at_a_terminal(forge, "keyfob git get <request >said/answer"));
    assert_eq!(terminal.code, Some(0), "{terminal:?}");
    assert!(terminal.stdout.contains(WHY), "{terminal:?}");
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    unattended(forge).success();
    assert_eq!(forge.server.counts().authorizations, 2);
    forge.check();
}

#[test]
fn where_the_server_gives_no_second_answer_the_person_is_told_what_happened() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    forge.server.fault(Endpoint::Token, Fault::AfterDrop);
    explained(&forge, 2);
}

#[test]
fn an_answer_that_was_lost_with_a_killed_worker_is_explained_afterwards() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let _hold = forge.server.hold(Endpoint::Token);
    let caller = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Token, 2);
    let workers = forge.workers();
    assert_eq!(workers.len(), 1);
    // the caller first, for it would start another worker
    signal("KILL", &caller.id().to_string());
    signal("KILL", &workers[0].to_string());
    until("both are gone", || forge.home.processes().is_empty());
    drop(end(caller));
    explained(&forge, 2);
}

#[test]
fn a_refusal_without_a_lost_answer_is_explained_as_such() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    forge.server.end_sessions();
    let output = unattended(&forge);
    one_error(&output);
    assert!(output.code == Some(3) && output.stderr.contains("the server no longer takes its refresh token"), "{output:?}");
    let status = forge.keyfob(&["status"]).success().stdout;
    assert!(status.contains("the server no longer takes its refresh token"), "{status}");
    forge.check();
}

#[test]
fn what_the_server_answered_or_never_got_is_not_sent_twice() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    for fault in [Fault::Status(400, Vec::new(), b"<html>".to_vec()), Fault::Status(200, Vec::new(), b"<html>".to_vec())] {
        let before = forge.server.counts().refresh_requests;
        forge.server.fault(Endpoint::Token, fault);
        assert_eq!(unattended(&forge).code, Some(5));
        assert_eq!(forge.server.counts().refresh_requests, before + 1);
    }
    // a later refusal is not put down to an answer that was lost
    forge.server.end_sessions();
    let output = unattended(&forge);
    assert!(!output.stderr.contains(WHY) && output.code == Some(3), "{output:?}");
    forge.check();
}
