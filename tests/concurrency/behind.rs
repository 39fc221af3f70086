//! A token near its end is answered at once, and renewed behind the answer.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, end, value};
use std::process::Child;

/// A token of an hour is ageing in the last ten minutes but five.
const AGEING: i64 = 3600 - 450;

/// A forge whose token is ageing; the token. `None` where the clock of a program cannot be set.
fn ageing() -> Option<(Forge, String)> {
    let forge = Forge::new();
    if !forge.home.use_clock() {
        return None;
    }
    let answer = forge.ask().success().stdout;
    forge.wait_for_quiet();
    forge.home.set_clock(AGEING, AGEING, 0);
    Some((forge, value(&answer, "password").to_owned()))
}

#[test]
fn an_ageing_token_is_answered_at_once_and_renewed_by_one_worker_behind_the_answer() {
    let Some((forge, old)) = ageing() else { return };
    let renewal = forge.server.hold(Endpoint::Token);
    let callers: Vec<Child> = (0..5).map(|_| forge.spawn(&mut forge.caller())).collect();
    for caller in callers {
        let answer = end(caller).success().stdout;
        assert_eq!(value(&answer, "password"), old);
    }
    assert_eq!(forge.workers().len(), 1, "nobody waited for the renewal, which is not through yet");
    forge.server.wait_for(Endpoint::Token, 2);
    renewal.release();
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
    let Some((forge, old)) = ageing() else { return };
    // for so long that the slowest machine makes all its calls meanwhile
    let busy = vec![("retry-after".to_owned(), "300".to_owned())];
    forge.server.fault_times(Endpoint::Token, Fault::Status(503, busy, Vec::new()), usize::MAX);
    for _ in 0..3 {
        let answer = forge.ask().success();
        assert_eq!((value(&answer.stdout, "password"), answer.stderr.as_str()), (old.as_str(), ""));
        forge.wait_for_quiet();
    }
    assert_eq!(forge.server.counts().refresh_requests, 1, "it was tried, and then the server was left alone");
    forge.check();
}
