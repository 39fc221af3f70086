//! Whoever is killed while a token is on its way, the token is in the store afterwards, or somebody else gets it.
use crate::support::authorization_server::Hold;
use crate::support::authorization_server::{Counts, Endpoint, Fault};
use crate::support::crowd::Crowd;
use crate::support::forge::{Forge, end, signal, until, value};
use crate::support::process::{LIMIT, wait};
use std::process::Child;

/// How many wait for a worker that is killed.
const MANY: usize = 100;

/// `git credential fill` with keyfob below it, all in one process group, while the token's answer is held: given back when the request
/// has arrived.
fn caught_in_the_act(forge: &Forge) -> (Child, Hold) {
    let earlier = forge.server.counts().token_requests;
    let hold = forge.server.hold(Endpoint::Token);
    forge.caller(); // leaves the request
    let mut command = forge.command("sh");
    command.args(["-c", "git credential fill <request; exit $?"]);
    let caller = forge.spawn(&mut command);
    forge.server.wait_for(Endpoint::Token, earlier + 1);
    (caller, hold)
}

/// The token that the server was about to send is what the next caller gets, and the server is not asked again.
#[track_caller]
fn nothing_was_lost(forge: &Forge, expected: &Counts, hold: Hold) {
    hold.release();
    forge.wait_for_quiet();
    assert_eq!(forge.server.counts(), *expected);
    let asked = forge.server.requests().len();
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!(forge.server.requests().len(), asked, "it was in the store");
    assert!(forge.server.family_alive());
    forge.check();
}

fn kill_group(mut caller: Child) {
    signal("KILL", &format!("-{}", caller.id()));
    assert_eq!(wait(&mut caller, LIMIT), Some(None), "a signal ended it");
}

#[test]
fn a_refreshed_token_is_kept_though_the_whole_process_group_of_its_caller_was_killed() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let expected = Counts { token_requests: 2, refresh_requests: 1, refreshes: 1, ..forge.server.counts() };
    let (caller, hold) = caught_in_the_act(&forge);
    kill_group(caller);
    until("only the worker is left", || forge.home.processes() == forge.workers());
    assert_eq!(forge.workers().len(), 1);
    nothing_was_lost(&forge, &expected, hold);
}

#[test]
fn a_redeemed_code_is_kept_though_the_whole_process_group_of_its_caller_was_killed() {
    let forge = Forge::new();
    let (caller, hold) = caught_in_the_act(&forge);
    let expected = forge.server.counts();
    assert_eq!((expected.authorizations, expected.token_requests), (1, 1));
    kill_group(caller);
    assert_eq!(forge.workers().len(), 1);
    nothing_was_lost(&forge, &Counts { codes_redeemed: 1, ..expected }, hold);
    assert_eq!(forge.home.wait_for_browser_runs(1)[0]["status"], 200, "and the person's page said so");
}

/// The same command at a terminal of its own, by `script`; its stdin is the keyboard, and its death closes the terminal.
fn caught_at_a_terminal(forge: &Forge) -> (Child, Hold) {
    let earlier = forge.server.counts().token_requests;
    let hold = forge.server.hold(Endpoint::Token);
    let terminal = crate::support::forge::at_a_terminal(forge, "git credential fill <request");
    forge.server.wait_for(Endpoint::Token, earlier + 1);
    (terminal, hold)
}

/// Closes the terminal; what ran at it is gone when this returns.
fn close(forge: &Forge, mut terminal: Child) {
    signal("KILL", &terminal.id().to_string());
    assert_eq!(wait(&mut terminal, LIMIT), Some(None));
    until("those at the terminal are gone", || forge.home.processes() == forge.workers());
}

#[test]
fn a_refreshed_token_is_kept_though_the_terminal_was_closed() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let expected = Counts { token_requests: 2, refresh_requests: 1, refreshes: 1, ..forge.server.counts() };
    let (terminal, hold) = caught_at_a_terminal(&forge);
    close(&forge, terminal);
    assert_eq!(forge.workers().len(), 1);
    nothing_was_lost(&forge, &expected, hold);
}

#[test]
fn a_redeemed_code_is_kept_though_the_terminal_was_closed() {
    let forge = Forge::new();
    let (terminal, hold) = caught_at_a_terminal(&forge);
    let expected = Counts { codes_redeemed: 1, ..forge.server.counts() };
    // the browser is of the home too, and waits for its page
    signal("KILL", &terminal.id().to_string());
    end(terminal);
    until("the caller is gone", || callers(&forge) == 0);
    assert_eq!(forge.workers().len(), 1);
    nothing_was_lost(&forge, &expected, hold);
}

/// How many processes of the home ask for a credential.
fn callers(forge: &Forge) -> usize {
    let asks = |id: &u32| std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default().contains("git\0get");
    forge.home.processes().iter().filter(|id| asks(id)).count()
}

/// A crowd that all waits for the one worker there is, and that worker, which the first of them started and which is caught in the act
/// when `caught` returns. It is stopped there, so that it does not give up what takes long while the others are still gathering.
fn waiting(forge: &Forge, caught: impl Fn()) -> (Crowd, String) {
    let worker = std::cell::OnceCell::new();
    let caller = |number: usize| {
        if number == 1 {
            caught();
            let workers = forge.workers();
            assert_eq!(workers.len(), 1);
            worker.set(workers[0].to_string()).expect("this is done once");
            signal("STOP", worker.get().unwrap());
        }
        forge.caller()
    };
    let crowd = Crowd::start((0..MANY).map(caller));
    until("all of them wait", || forge.waiters() == MANY - 1);
    (crowd, worker.into_inner().unwrap())
}

/// Kills the worker while all of the crowd wait for it: exactly one of them takes over, and all get one answer.
#[track_caller]
fn one_takes_over(forge: &Forge, (crowd, worker): (Crowd, String)) {
    signal("KILL", &worker);
    let ended = crowd.end();
    let answer = ended.answer();
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!((ended.outputs.len(), ended.workers), (MANY, 2), "the one that was killed, and one more");
    forge.check();
}

#[test]
fn when_the_worker_is_killed_during_a_refresh_one_of_a_hundred_takes_over() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    // the request arrives and is not processed: the refresh token is still good
    forge.server.fault(Endpoint::Token, Fault::Drip);
    let crowd = waiting(&forge, || _ = forge.server.wait_for(Endpoint::Token, 2));
    one_takes_over(&forge, crowd);
    let counts = forge.server.counts();
    assert_eq!((counts.refresh_requests, counts.refreshes, counts.reuses, counts.authorizations), (2, 1, 0, 1));
    assert!(forge.server.family_alive());
}

#[test]
fn when_the_worker_is_killed_during_a_sign_in_one_of_a_hundred_opens_a_browser_for_all() {
    let forge = Forge::new();
    forge.home.browser("never");
    let crowd = waiting(&forge, || _ = forge.home.wait_for_browser_runs(1));
    forge.home.browser("ok");
    one_takes_over(&forge, crowd);
    assert_eq!(forge.home.wait_for_browser_runs(2).len(), 2);
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().codes_redeemed), (1, 1));
}

#[test]
fn when_the_worker_is_killed_before_it_opens_a_browser_one_of_a_hundred_opens_one_for_all() {
    let forge = Forge::new();
    forge.server.fault(Endpoint::Metadata, Fault::Drip);
    let crowd = waiting(&forge, || _ = forge.server.wait_for(Endpoint::Metadata, 1));
    one_takes_over(&forge, crowd);
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().codes_redeemed), (1, 1));
}

#[test]
fn when_the_worker_is_killed_while_it_redeems_one_of_a_hundred_signs_in_for_all() {
    let forge = Forge::new();
    forge.server.fault(Endpoint::Token, Fault::Drip);
    let crowd = waiting(&forge, || _ = forge.server.wait_for(Endpoint::Token, 1));
    one_takes_over(&forge, crowd);
    // the page of the first sign-in never came; the second one's did
    let pages = forge.home.wait_for_browser_runs(2);
    assert_eq!(pages.iter().filter(|page| page["status"] == 200).count(), 1, "{pages:?}");
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().codes_redeemed), (2, 1));
}

#[test]
fn when_all_callers_are_killed_during_a_sign_in_it_goes_on_and_the_next_one_joins_it() {
    let forge = Forge::new();
    let page = forge.server.hold(Endpoint::Authorize);
    let first = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Authorize, 1);
    kill_group(first);
    let mut next = forge.spawn(&mut forge.caller());
    until("the next one waits", || forge.waiters() == 1);
    page.release();
    assert_eq!(wait(&mut next, LIMIT), Some(Some(0)));
    let answer = end(next).stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(1).len()), (1, 1));
    forge.check();
}
