//! Callers that are killed when their own time limit is over, as SDKs and test tools do (5 s, 30 s, 60 s): whoever asks again finds what
//! the first attempt began, and nothing is asked for twice. Here the limit is one second, and the server takes three.
use crate::support::authorization_server::{Counts, Endpoint, Fault};
use crate::support::forge::{Forge, end, value};
use crate::support::process::Output;
use crate::support::sts::Sts;
use std::process::Command;
use std::time::{Duration, Instant};

const DELAY: Duration = Duration::from_secs(3);

/// Asks again and again, each time for a second at most, until there is an answer; gives it, and how many were killed before it.
#[track_caller]
fn hurried(forge: &Forge, arguments: &[&str], around: &dyn Fn(&mut Command)) -> (Output, usize) {
    forge.caller(); // leaves the request
    let begun = Instant::now();
    let mut killed = 0;
    loop {
        let mut command = forge.command("timeout");
        command.args(["-s", "KILL", "1", "keyfob"]).args(arguments);
        command.stdin(std::fs::File::open(forge.home.path().join("request")).unwrap());
        around(&mut command);
        let output = end(forge.spawn(&mut command));
        // `timeout` ends itself by the signal that it sends
        if output.code.is_some() {
            return (output.success(), killed);
        }
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
        killed += 1;
        assert!(begun.elapsed() < DELAY * 4, "it never gets through");
    }
}

#[test]
fn a_hurried_caller_that_is_killed_during_a_refresh_finds_its_token_at_the_next_attempt() {
    for arguments in [&["git", "get"][..], &["token", "corp"]] {
        let forge = Forge::new();
        forge.sign_in_and_expire();
        forge.server.fault(Endpoint::Token, Fault::Delay(3000));
        let (answer, killed) = hurried(&forge, arguments, &|_| {});
        assert!(killed >= 2, "{killed}");
        let token = if arguments[0] == "git" { value(&answer.stdout, "password") } else { answer.stdout.trim() };
        assert!(forge.server.is_alive(token) && forge.server.family_alive());
        let Counts { token_requests, refreshes, authorizations, .. } = forge.server.counts();
        assert_eq!((token_requests, refreshes, authorizations), (2, 1, 1), "one of each sign-in and refresh");
        forge.check();
    }
}

#[test]
fn a_hurried_caller_that_is_killed_while_a_person_signs_in_joins_that_sign_in_at_each_attempt() {
    let forge = Forge::new();
    forge.home.browser_settings(&[("MODE", "slow"), ("MS", "3000")]);
    let (answer, killed) = hurried(&forge, &["git", "get"], &|_| {});
    assert!(killed >= 2, "{killed}");
    assert!(forge.server.is_alive(value(&answer.stdout, "password")));
    let Counts { authorizations, codes_issued, token_requests, .. } = forge.server.counts();
    assert_eq!((authorizations, codes_issued, token_requests), (1, 1, 1));
    assert_eq!(forge.home.wait_for_browser_runs(1)[0]["status"], 200);
    forge.check();
}

#[test]
fn a_hurried_caller_that_is_killed_during_an_exchange_finds_the_credentials_at_the_next_attempt() {
    let forge = Forge::new();
    forge.with_role();
    let verify = crate::support::introspection::id_tokens_of(&forge.server.issuer(), "keyfob");
    let sts = Sts::start(move |token| {
        std::thread::sleep(DELAY);
        verify(token)
    });
    forge.keyfob(&["login", "corp"]).success();
    let (answer, killed) = hurried(&forge, &["aws", "get", "prod"], &|command| {
        command.env("AWS_ENDPOINT_URL_STS", sts.url());
    });
    assert!(killed >= 2 && answer.stdout.contains("SecretAccessKey"), "{killed}: {answer:?}");
    assert_eq!((sts.counts().exchanges, sts.counts().issued), (1, 1));
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().token_requests), (1, 1));
    forge.check();
}
