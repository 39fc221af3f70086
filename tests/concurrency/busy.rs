//! A server that cannot answer now: unattended callers leave it alone, a person need not.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, at_a_terminal, end, value};

/// The wait that a server names is kept by those who cannot ask a person, and what still works is used meanwhile.
#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    let forge = Forge::new();
    if !forge.home.use_clock() {
        return;
    }
    forge.sign_in_and_expire();
    let wait = vec![("retry-after".to_owned(), "240".to_owned())];
    forge.server.fault(Endpoint::Token, Fault::Status(429, wait, Vec::new()));
    for _ in 0..4 {
        let output = forge.ask();
        assert!(output.stderr.contains("cannot answer right now (status 429)"), "{output:?}");
    }
    assert_eq!(forge.server.counts().refresh_requests, 1);
    forge.home.set_clock(241, 241, 0);
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
