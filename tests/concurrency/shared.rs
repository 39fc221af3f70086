//! One outcome for all who waited for it: a refusal is shared, and a sign-out is final.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, at_a_terminal, end, signal, value};
use std::process::Child;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_denied_sign_in_is_shared_by_all_who_waited() {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.deny = true);
    let callers: Vec<Child> = (0..8).map(|_| forge.spawn(&mut forge.caller())).collect();
    let outputs: Vec<_> = callers.into_iter().map(end).collect();
    for output in &outputs {
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "quit=1\n"), "{output:?}");
        assert_eq!(output.stderr, outputs[0].stderr);
    }
    assert!(outputs[0].stderr.contains("not today"), "{:?}", outputs[0]);
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    // nor does one that comes a little later and has nobody to ask
    assert_eq!(forge.ask().stderr, outputs[0].stderr);
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.token_requests), (1, 0));
    assert_eq!(forge.home.browser_runs().len(), 1);
    forge.check();
}

/// A caller that may not ask a person gets nothing, so there is no record.
#[track_caller]
fn signed_out(forge: &Forge) {
    forge.wait_for_quiet();
    let asked = forge.server.requests().len();
    let mut caller = forge.caller();
    let output = end(forge.spawn(caller.env("KEYFOB_INTERACTIVE", "never")));
    assert_eq!(output.stdout, "quit=1\n", "{output:?}");
    assert_eq!(forge.keyfob(&["status", "--check", "corp"]).code, Some(3));
    assert_eq!(forge.server.requests().len(), asked);
    forge.check();
}

#[test]
fn a_late_answer_of_the_browser_does_not_bring_back_a_login_that_was_signed_out() {
    let forge = Forge::new();
    forge.home.browser_settings(&[("MODE", "slow"), ("MS", "1200")]);
    let caller = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Authorize, 1, SOON);
    forge.keyfob(&["logout", "corp"]).success();
    let output = end(caller);
    assert_eq!(output.stdout, "quit=1\n", "{output:?}");
    forge.home.wait_for_browser_runs(1);
    assert_eq!((forge.server.counts().codes_issued, forge.server.counts().codes_redeemed), (1, 0));
    signed_out(&forge);
}

#[test]
fn a_late_answer_of_the_token_endpoint_does_not_bring_back_a_login_that_was_signed_out() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    forge.server.fault(Endpoint::Token, Fault::Delay(1000));
    let mut caller = forge.caller();
    let caller = forge.spawn(caller.env("KEYFOB_INTERACTIVE", "never"));
    forge.server.wait_for(Endpoint::Token, 2, SOON);
    let said = forge.keyfob(&["logout", "corp"]).success();
    end(caller);
    assert_eq!((forge.server.counts().refreshes, forge.server.counts().revocations > 0), (1, true));
    assert!(!forge.server.family_alive(), "what the late answer brought was not revoked: {said:?}");
    signed_out(&forge);
}

#[test]
fn a_late_redemption_does_not_bring_back_a_login_that_was_signed_out() {
    let forge = Forge::new();
    forge.server.fault(Endpoint::Token, Fault::Delay(1000));
    let caller = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Token, 1, SOON);
    let said = forge.keyfob(&["logout", "corp"]).success();
    end(caller);
    assert!(!forge.server.family_alive(), "what the late answer brought was not revoked: {said:?}");
    assert_eq!(forge.server.counts().authorizations, 1);
    signed_out(&forge);
}

#[test]
fn a_command_that_waits_while_its_login_is_signed_out_fails_and_opens_no_browser() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    forge.server.fault(Endpoint::Token, Fault::Delay(1000));
    let caller = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Token, 2, SOON);
    // held up, it looks again only when all is over
    signal("STOP", &caller.id().to_string());
    forge.keyfob(&["logout", "corp"]).success();
    signal("CONT", &caller.id().to_string());
    let output = end(caller);
    assert_eq!(output.stdout, "quit=1\n", "{output:?}");
    assert!(output.stderr.contains("`corp` was signed out meanwhile"), "{output:?}");
    assert_eq!((forge.server.counts().authorizations, forge.home.browser_runs().len()), (1, 1));
    signed_out(&forge);
    // one that begins afterwards may ask
    forge.ask().success();
    assert_eq!(forge.server.counts().authorizations, 2);
}

#[test]
fn a_lack_of_persons_is_said_to_each_caller_in_its_own_words() {
    let forge = Forge::new();
    for (name, value, said) in [("KEYFOB_INTERACTIVE", "never", "KEYFOB_INTERACTIVE is `never`"), ("CI", "true", "CI is set")] {
        let output = end(forge.spawn(forge.caller().env(name, value)));
        assert!(output.stdout == "quit=1\n" && output.stderr.contains(said), "{output:?}");
    }
    assert_eq!(forge.server.counts().authorizations, 0);
    forge.check();
}

/// The wait that a server names is kept by those who cannot ask a person, and what still works is used meanwhile.
#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let wait = |seconds: &str| vec![("retry-after".to_owned(), seconds.to_owned())];
    forge.server.fault(Endpoint::Token, Fault::Status(429, wait("2"), Vec::new()));
    for _ in 0..4 {
        let output = forge.ask();
        assert!(output.stderr.contains("cannot answer right now (status 429)"), "{output:?}");
    }
    assert_eq!(forge.server.counts().refresh_requests, 1);
    std::thread::sleep(Duration::from_millis(2100));
    forge.ask().success();
    assert_eq!(forge.server.counts().refresh_requests, 2);
    forge.check();
}

#[test]
fn a_person_may_ask_a_busy_server_again_at_once() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let wait = vec![("retry-after".to_owned(), "300".to_owned())];
    forge.server.fault(Endpoint::Token, Fault::Status(503, wait, Vec::new()));
    assert!(forge.ask().stderr.contains("cannot answer right now"));
    assert_eq!(end(at_a_terminal(&forge, "keyfob git get <request >said/answer")).code, Some(0));
    let answer = std::fs::read_to_string(forge.home.path().join("said/answer")).unwrap();
    assert!(forge.server.is_alive(value(&answer, "password")), "{answer}");
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    assert_eq!(forge.server.counts().refresh_requests, 2);
    forge.check();
}
