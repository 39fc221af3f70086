//! Callers that are killed when their own time limit is over, as SDKs and test tools do (5 s, 30 s, 60 s): whoever asks again finds what
//! the first attempt began, and nothing is asked for twice. Here the limit is one second, and the server takes three.
use crate::support::authorization_server::Hold;
use crate::support::authorization_server::{Counts, Endpoint};
use crate::support::forge::{Forge, end, value};
use crate::support::process::Output;
use crate::support::sts::Sts;
use std::process::Command;

/// How many are killed while the answer is under way.
const KILLED: usize = 2;

/// Asks again and again, each time for a second at first, until there is an answer. It is kept back by `hold` until some were killed after
/// it was `under_way`; from then on each has more time, for a second is little on a busy machine.
#[track_caller]
fn hurried(forge: &Forge, arguments: &[&str], hold: Hold, under_way: &dyn Fn() -> bool, around: &dyn Fn(&mut Command)) -> Output {
    forge.caller(); // leaves the request
    let (mut hold, mut killed, mut seconds) = (Some(hold), 0, 1);
    loop {
        let began_beside_it = under_way();
        let mut command = forge.command("timeout");
        command.args(["-s", "KILL", &seconds.to_string(), "keyfob"]).args(arguments);
        command.stdin(std::fs::File::open(forge.home.path().join("request")).unwrap());
        around(&mut command);
        let output = end(forge.spawn(&mut command));
        // `timeout` ends itself by the signal that it sends
        if output.code.is_some() {
            assert_eq!(killed, KILLED, "who asked was not kept waiting: {output:?}");
            return output.success();
        }
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
        killed += usize::from(began_beside_it && hold.is_some());
        if killed == KILLED {
            drop(hold.take());
        }
        if hold.is_none() || !under_way() {
            seconds *= 2;
        }
        assert!(seconds < 100, "it never gets through");
    }
}

#[test]
fn a_hurried_caller_that_is_killed_during_a_refresh_finds_its_token_at_the_next_attempt() {
    for arguments in [&["git", "get"][..], &["token", "corp"]] {
        let forge = Forge::new();
        forge.sign_in_and_expire();
        let hold = forge.server.hold(Endpoint::Token);
        let answer = hurried(&forge, arguments, hold, &|| forge.server.counts().refreshes == 1, &|_| {});
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
    let hold = forge.server.hold(Endpoint::Authorize);
    let answer = hurried(&forge, &["git", "get"], hold, &|| forge.server.counts().authorizations == 1, &|_| {});
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
    let hold = Hold::default();
    let released = hold.wait();
    let sts = Sts::start(move |token| {
        released();
        verify(token)
    });
    forge.keyfob(&["login", "corp"]).success();
    let answer = hurried(&forge, &["aws", "get", "prod"], hold, &|| sts.counts().exchanges == 1, &|command| {
        command.env("AWS_ENDPOINT_URL_STS", sts.url());
    });
    assert!(answer.stdout.contains("SecretAccessKey"), "{answer:?}");
    assert_eq!((sts.counts().exchanges, sts.counts().issued), (1, 1));
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().token_requests), (1, 1));
    forge.check();
}
