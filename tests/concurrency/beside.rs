//! A renewal beside an open sign-in: neither waits for the other, and neither undoes the other.
use crate::support::authorization_server::Endpoint;
use crate::support::authorization_server::Hold;
use crate::support::forge::{Forge, end, until, value};
use std::process::Child;

/// A forge with an expired token, and a `keyfob login` that is open in the browser until the hold is released.
fn beside_a_sign_in() -> (Forge, Child, Hold) {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let page = forge.server.hold(Endpoint::Authorize);
    let mut login = forge.command("keyfob");
    let login = forge.spawn(login.arg("login"));
    forge.server.wait_for(Endpoint::Authorize, 2);
    (forge, login, page)
}

#[test]
fn an_expired_token_is_refreshed_beside_a_sign_in_that_a_person_left_open() {
    let (forge, mut login, page) = beside_a_sign_in();
    let answer = forge.ask().success().stdout;
    assert_eq!(login.try_wait().unwrap(), None, "it did not wait for the person");
    page.release();
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!((forge.server.counts().refreshes, forge.server.counts().authorizations), (1, 2));
    end(login);
    forge.check();
}

#[test]
fn a_refresh_beside_an_open_sign_in_does_not_read_as_a_sign_out() {
    let (forge, login, page) = beside_a_sign_in();
    forge.ask().success();
    page.release();
    let output = end(login).success();
    assert!(output.stdout.starts_with("signed in to corp as alice@example.com"), "{output:?}");
    let counts = forge.server.counts();
    assert_eq!((counts.codes_redeemed, counts.refreshes), (2, 1));
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    forge.check();
}

#[test]
fn a_caller_that_may_not_ask_does_not_wait_for_a_person_elsewhere() {
    let forge = Forge::new();
    let page = forge.server.hold(Endpoint::Authorize);
    let mut first = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Authorize, 1);
    let mut caller = forge.caller();
    let output = end(forge.spawn(caller.env("KEYFOB_INTERACTIVE", "never")));
    assert_eq!(first.try_wait().unwrap(), None, "it did not wait for the person");
    page.release();
    assert!(output.stderr.contains("KEYFOB_INTERACTIVE is `never`"), "{output:?}");
    end(first).success();
    until("the sign-in is through", || forge.server.counts().codes_redeemed == 1);
    forge.check();
}
