//! Many processes at once: one authorization or one refresh, one worker, and one answer for all.
use crate::support::authorization_server::{Counts, Endpoint, Fault};
use crate::support::crowd::{Crowd, publish, soak};
use crate::support::forge::until;
use crate::support::forge::{Forge, end, value};
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::temp_dir::make_private;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// How many processes a storm has.
const MANY: usize = 200;

fn rounds() -> usize {
    if soak() { 100 } else { 3 }
}

/// The one answer that all of them got, without a word on standard error.
#[track_caller]
fn the_answer(outputs: Vec<Output>) -> String {
    let first = outputs[0].stdout.clone();
    for output in outputs {
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), first.as_str(), ""));
    }
    first
}

/// Twenty callers, each under strace; gives their answer and how many workers they started together.
fn traced(forge: &Forge) -> Option<(String, usize)> {
    if !peers::require("strace") {
        return None;
    }
    let folder = forge.home.path().join("traces");
    make_private(&folder);
    forge.caller(); // leaves the request
    let request = forge.home.path().join("request");
    let trace = |number: usize| folder.join(number.to_string());
    let callers: Vec<_> = (0..20)
        .map(|number| {
            let mut command = forge.command("strace");
            command.args(["-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o"]).arg(trace(number));
            command.args(["keyfob", "git", "get"]).stdin(std::fs::File::open(&request).unwrap());
            forge.spawn(&mut command)
        })
        .collect();
    let answer = the_answer(callers.into_iter().map(end).collect());
    let workers = (0..20).map(|number| workers(trace(number))).sum();
    Some((answer, workers))
}

/// How many programs were started with the worker's word, of which the trace must know.
fn workers(trace: PathBuf) -> usize {
    let text = std::fs::read_to_string(trace).unwrap();
    assert!(text.contains("\"git\", \"get\""), "{text}");
    text.lines().filter(|line| line.contains("execve(") && line.contains("\"--worker\"")).count()
}

#[track_caller]
fn one_sign_in(forge: &Forge, answer: &str) {
    assert!(forge.server.is_alive(value(answer, "password")));
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.codes_redeemed, counts.token_requests), (1, 1, 1));
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    forge.check();
}

#[track_caller]
fn one_refresh(forge: &Forge, answer: &str) {
    assert!(forge.server.is_alive(value(answer, "password")));
    let counts = forge.server.counts();
    assert_eq!((counts.refresh_requests, counts.refreshes, counts.reuses), (1, 1, 0));
    assert!(forge.server.family_alive());
    assert_eq!((counts.authorizations, forge.home.browser_runs().len()), (1, 1));
    forge.check();
}

/// The person takes longer than those who wait go without a look at whether somebody is still at it.
fn with_a_slow_person(forge: Forge) -> Forge {
    forge.home.browser_settings(&[("MODE", "slow"), ("MS", "2500")]);
    forge
}

#[test]
fn twenty_without_a_token_start_one_worker_that_opens_one_browser() {
    let forge = with_a_slow_person(Forge::new());
    let Some((answer, workers)) = traced(&forge) else { return };
    assert_eq!(workers, 1);
    one_sign_in(&forge, &answer);
}

#[test]
fn twenty_with_an_expired_token_start_one_worker_that_refreshes_once() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    forge.server.fault(Endpoint::Token, Fault::Delay(800));
    let Some((answer, workers)) = traced(&forge) else { return };
    assert_eq!(workers, 1);
    one_refresh(&forge, &answer);
}

#[test]
fn two_hundred_without_a_token_start_one_worker_that_opens_one_browser_round_after_round() {
    let forge = Forge::new();
    // longer than those who wait go without a look at whether somebody is still at it
    forge.home.browser_settings(&[("MODE", "slow"), ("MS", "1300")]);
    for round in 1..=rounds() {
        let storm = Crowd::start((0..MANY).map(|_| forge.caller())).end();
        let answer = storm.answer();
        assert_eq!((storm.outputs.len(), storm.workers), (MANY, 1), "round {round}");
        assert!(forge.server.is_alive(value(&answer, "password")));
        let Counts { authorizations, codes_redeemed, token_requests, .. } = forge.server.counts();
        assert_eq!((authorizations, codes_redeemed, token_requests), (round, round, round));
        assert_eq!(forge.home.wait_for_browser_runs(round).len(), round);
        forge.keyfob(&["logout", "corp"]).success();
    }
    forge.check();
}

#[test]
fn two_hundred_with_an_expired_token_start_one_worker_that_refreshes_once_round_after_round() {
    const DELAY: u64 = 800;
    let forge = Forge::new();
    let mut late = Vec::new();
    for round in 1..=rounds() {
        forge.sign_in_and_expire();
        forge.server.fault(Endpoint::Token, Fault::Delay(DELAY));
        let storm = Crowd::start((0..MANY).map(|_| forge.caller())).end();
        let answer = storm.answer();
        assert_eq!((storm.outputs.len(), storm.workers), (MANY, 1), "round {round}");
        assert!(forge.server.is_alive(value(&answer, "password")) && forge.server.family_alive());
        let Counts { refresh_requests, refreshes, reuses, authorizations, .. } = forge.server.counts();
        assert_eq!((refresh_requests, refreshes, reuses, authorizations), (round, round, 0, round));
        assert_eq!(forge.ask().success().stdout, answer, "it is what was stored");
        let sent = forge.server.wait_for(Endpoint::Token, 2 * round) + Duration::from_millis(DELAY);
        late.push(storm.last.saturating_duration_since(sent));
    }
    publish("an expired token at our own server, from its answer on", MANY, &mut late);
    forge.check();
}

/// Starts a caller that has read the store and is then held up for a while before it takes the record's lock; meanwhile another caller
/// is served. Gives both answers, with the forge that `prepare` made for them. Where the machine is too slow for another to be served
/// meanwhile, nothing was tried, and another forge's caller is held up for longer.
fn overtaken(prepare: fn() -> Forge) -> Option<(Forge, [String; 2])> {
    if !peers::require("strace") {
        return None;
    }
    let while_held_up = [3, 12, 48].into_iter().find_map(|seconds| {
        let forge = prepare();
        overtaken_within(&forge, seconds).map(|answers| (forge, answers))
    });
    Some(while_held_up.expect("a caller is served within 48 seconds"))
}

/// The same with a caller that is held up for so many seconds; `None` where the other one was not served meanwhile.
fn overtaken_within(forge: &Forge, seconds: u64) -> Option<[String; 2]> {
    let trace = forge.home.path().join("trace");
    let mut quick = forge.caller();
    let mut command = forge.command("strace");
    command
        .args([
            "-f",
            "-qq",
            "-e",
            "trace=flock,execve",
            "-e",
            "signal=none",
            "-e",
            &format!("inject=flock:delay_enter={}:when=1", seconds * 1_000_000),
            "-o",
        ])
        .arg(&trace);
    command.args(["keyfob", "git", "get"]).stdin(std::fs::File::open(forge.home.path().join("request")).unwrap());
    let begun = Instant::now();
    let slow = forge.spawn(&mut command);
    until("it is about to take its first lock", || !forge.home.having_open("/key.gate").is_empty());
    let first = end(forge.spawn(&mut quick)).success().stdout;
    let meanwhile = begun.elapsed() < Duration::from_secs(seconds);
    let second = end(slow).success().stdout;
    if !meanwhile {
        return None;
    }
    assert!(std::fs::read_to_string(&trace).unwrap().contains("(DELAYED)"));
    assert_eq!(workers(trace), 0, "it looked again when it had the lock");
    Some([first, second])
}

#[test]
fn a_caller_that_was_overtaken_between_its_look_and_its_lock_does_not_refresh_again() {
    let prepare = || {
        let forge = Forge::new();
        forge.sign_in_and_expire();
        forge
    };
    let Some((forge, [first, second])) = overtaken(prepare) else { return };
    assert_eq!(first, second);
    one_refresh(&forge, &first);
}

#[test]
fn a_caller_that_was_overtaken_between_its_look_and_its_lock_does_not_sign_in_again() {
    let prepare = || {
        let forge = Forge::new();
        // makes the store and its key, whose locks are not the ones to be held up at
        let elsewhere = b"protocol=https\nhost=elsewhere.example\nusername=u\npassword=p\n";
        process::run(forge.command("keyfob").args(["git", "store"]), elsewhere).success();
        forge
    };
    let Some((forge, [first, second])) = overtaken(prepare) else { return };
    assert_eq!(first, second);
    one_sign_in(&forge, &first);
}
