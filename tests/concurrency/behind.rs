//! A token near its end is answered at once, and renewed behind the answer.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, end, value};
use std::process::Child;
use std::time::{Duration, Instant};

/// A token of 9 s is ageing from 3 s to 6 s.
const LIFE: i64 = 9;
const AGEING: Duration = Duration::from_millis(3300);

/// A forge whose token is ageing; the token.
fn ageing() -> (Forge, String) {
    let forge = Forge::new();
    forge.server.set_access_life(LIFE);
    let answer = forge.ask().success().stdout;
    forge.wait_for_quiet();
    std::thread::sleep(AGEING);
    forge.server.set_access_life(3600);
    (forge, value(&answer, "password").to_owned())
}

#[test]
fn an_ageing_token_is_answered_at_once_and_renewed_by_one_worker_behind_the_answer() {
    let (forge, old) = ageing();
    forge.server.fault(Endpoint::Token, Fault::Delay(1500));
    let begun = Instant::now();
    let callers: Vec<Child> = (0..5).map(|_| forge.spawn(&mut forge.caller())).collect();
    for caller in callers {
        let answer = end(caller).success().stdout;
        assert_eq!(value(&answer, "password"), old);
    }
    assert!(begun.elapsed() < Duration::from_millis(1200), "nobody waited for the renewal: {:?}", begun.elapsed());
    assert_eq!(forge.workers().len(), 1);
    forge.wait_for_quiet();
    let counts = forge.server.counts();
    assert_eq!((counts.refresh_requests, counts.refreshes, counts.authorizations), (1, 1, 1));
    let answer = forge.ask().success().stdout;
    assert!(value(&answer, "password") != old && forge.server.is_alive(value(&answer, "password")));
    assert_eq!(forge.server.counts(), counts, "the renewed one was in the store");
    forge.check();
}

#[test]
fn a_renewal_behind_an_answer_that_fails_is_not_tried_at_every_call() {
    let (forge, old) = ageing();
    forge.server.fault_times(Endpoint::Token, Fault::Status(503, Vec::new(), Vec::new()), usize::MAX);
    for _ in 0..3 {
        let answer = forge.ask().success();
        assert_eq!((value(&answer.stdout, "password"), answer.stderr.as_str()), (old.as_str(), ""));
        forge.wait_for_quiet();
    }
    assert_eq!(forge.server.counts().refresh_requests, 1, "it was tried, and then the server was left alone");
    forge.check();
}
