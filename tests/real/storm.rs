//! Many processes at once, against refresh tokens that rotate and whose reuse kills the family: twenty with every kind of key, traced
//! by strace, and two hundred, round after round.
use super::good_tokens;
use super::kept_folder;
use super::key_sources::{KeySource, Place};
use crate::support::crowd::{Crowd, publish, soak};
use crate::support::peers::{self, OidcProvider};
use crate::support::process;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const MANY: usize = 20;
/// The host of a git route that nobody calls: by it a token is reported as refused.
const GIT_HOST: &str = "git.example.com";
/// Starts `$1` processes in the folder `$2` at once, each with its own output, and ends as soon as all have.
const AT_ONCE: &str =
    "for n in $(seq \"$1\"); do keyfob token corp >\"$2/$n.out\" 2>\"$2/$n.err\" || echo \"$n: $?\" >>\"$2/failed\" & done; wait";

/// What came of a storm.
struct Storm {
    answers: Vec<String>,
    /// How often a process turned into a worker.
    workers: usize,
}

/// Lets `MANY` processes ask for the token of `corp` at once. Every program that any of them starts is traced; `inject` is what
/// strace is to do to their system calls.
fn storm(place: &Place, folder: &Path, inject: &[&str]) -> Storm {
    let trace = folder.join("trace");
    let mut command = place.command("strace");
    command.args(["--seccomp-bpf", "-f", "-qq", "-e", "trace=execve,flock", "-e", "signal=none"]).args(inject);
    command.arg("-o").arg(&trace);
    command.args(["sh", "-c", AT_ONCE, "sh", &MANY.to_string()]).arg(folder);
    process::run(&mut command, b"").success();
    let said = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert_eq!(said("failed"), "", "{}", said("1.err"));
    let answers = (1..=MANY).map(|n| said(&format!("{n}.out"))).collect();
    Storm { answers, workers: workers(&trace) }
}

fn workers(trace: &Path) -> usize {
    let text = std::fs::read_to_string(trace).expect("strace writes it");
    // a line whose end another process's call interrupted has no result yet
    let is_start = |line: &&str| line.contains("execve(") && line.contains("\"--worker\"") && !line.contains("= -1 ");
    assert!(text.matches("\"token\", \"corp\"").count() >= MANY, "the trace is not whole: {text}");
    text.lines().filter(is_start).count()
}

impl Storm {
    /// The one token that all of them got.
    #[track_caller]
    fn token(&self) -> String {
        let token = self.answers[0].trim().to_owned();
        assert!(!token.is_empty());
        assert_eq!(self.answers, vec![format!("{token}\n"); MANY]);
        token
    }
}

/// How long tokens live, in seconds, and a second more.
const OVER: i64 = 3601;

/// A home with this key, a clock that can be set and a route, and the server; `None` where something is missing.
fn scene(source: KeySource) -> Option<(Place, OidcProvider)> {
    if !peers::require("strace") {
        return None;
    }
    let (place, server) = (Place::new(source)?, OidcProvider::start_with(&[("TB_ACCESS_TTL", "3600")])?);
    if !place.home.use_clock() {
        return None;
    }
    place.configure(&server, &format!("[git.\"https://{GIT_HOST}\"]\nlogin = \"corp\"\n"));
    Some((place, server))
}

/// Twenty with an expired token: one refresh, and the family lives.
fn refresh_once(source: KeySource, inject: &[&str]) {
    let Some((place, server)) = scene(source) else { return };
    place.keyfob(&["login", "corp"], "").success();
    assert_eq!(place.meta()["key"]["source"], place.word());
    let old = place.keyfob(&["token", "corp"], "").stdout;
    place.home.set_clock(OVER, OVER, 0);
    server.fault(&json!({ "path": "/token", "grant": "refresh_token", "delay_ms": 400 }));

    let storm = storm(&place, &kept_folder(&format!("refresh-{}-{}", place.word(), inject.len())), inject);
    let token = storm.token();
    assert_ne!(token, old.trim());
    assert_eq!(server.stats()["token"]["refresh_token"], json!({ "arrived": 1, "ok": 1, "error": 0 }));
    assert_eq!(storm.workers, 1);
    assert!(good_tokens(&server)(&token), "the family was revoked");

    // reported as refused, it is replaced: the refresh token that was kept is the one that the server takes next
    let refused = format!("protocol=https\nhost={GIT_HOST}\nusername=oauth2\npassword={token}\n\n");
    place.keyfob(&["git", "erase"], &refused).success();
    let next = place.keyfob(&["token", "corp"], "").success().stdout;
    assert!(next.trim() != token && good_tokens(&server)(next.trim()));
    assert_eq!(server.stats()["token"]["refresh_token"], json!({ "arrived": 2, "ok": 2, "error": 0 }));
    assert_eq!(place.home.wait_for_browser_runs(1).len(), 1);
    place.home.scan_for_secrets(&[token, next.trim().to_owned()]);
}

/// Twenty with no token at all: one sign-in.
fn sign_in_once(source: KeySource) {
    let Some((place, server)) = scene(source) else { return };
    // longer than those who wait leave an open sign-in unobserved
    place.home.browser_settings(&[("MODE", "slow"), ("MS", "1500")]);
    let storm = storm(&place, &kept_folder(&format!("sign-in-{}", place.word())), &[]);
    let token = storm.token();
    let stats = server.stats();
    assert_eq!(stats["authorizations"], json!({ "begun": 1, "ok": 1, "error": 0 }));
    assert_eq!(stats["token"], json!({ "authorization_code": { "arrived": 1, "ok": 1, "error": 0 } }));
    assert_eq!(storm.workers, 1);
    assert_eq!(place.meta()["key"]["source"], place.word());
    assert!(good_tokens(&server)(&token));
    assert_eq!(place.keyfob(&["token", "corp"], "").success().stdout.trim(), token);
    assert_eq!(place.home.wait_for_browser_runs(1).len(), 1);
    place.home.scan_for_secrets(&[token]);
}

#[test]
fn twenty_with_an_expired_token_refresh_once_with_a_key_in_the_secret_service() {
    refresh_once(KeySource::SecretService, &[]);
}

#[test]
fn twenty_with_an_expired_token_refresh_once_with_a_key_file() {
    refresh_once(KeySource::KeyFile, &[]);
}

#[test]
fn twenty_with_an_expired_token_refresh_once_with_a_key_in_the_kernel() {
    refresh_once(KeySource::Kernel, &[]);
}

/// Whoever is about to take the lock is held up until the one who had it is through: what was read before is old by then.
#[test]
fn who_gets_the_lock_late_looks_again_before_it_spends_anything() {
    refresh_once(KeySource::KeyFile, &["-e", "inject=flock:delay_enter=300000"]);
}

#[test]
fn twenty_without_a_token_sign_in_once_with_a_key_in_the_secret_service() {
    sign_in_once(KeySource::SecretService);
}

#[test]
fn twenty_without_a_token_sign_in_once_with_a_key_file() {
    sign_in_once(KeySource::KeyFile);
}

#[test]
fn twenty_without_a_token_sign_in_once_with_a_key_in_the_kernel() {
    sign_in_once(KeySource::Kernel);
}

const CROWD: usize = 200;

fn rounds() -> usize {
    if soak() { 100 } else { 3 }
}

/// A whole crowd asks for the token of `corp`; gives what came of it and the token that all of them got.
#[track_caller]
fn crowd(place: &Place) -> (crate::support::crowd::Ended, String) {
    let ask = || {
        let mut command = place.command("keyfob");
        command.args(["token", "corp"]);
        command
    };
    let ended = Crowd::start((0..CROWD).map(|_| ask())).end();
    let answer = ended.answer();
    assert_eq!((ended.outputs.len(), ended.workers), (CROWD, 1));
    (ended, answer.trim().to_owned())
}

#[test]
fn two_hundred_with_an_expired_token_refresh_once_and_the_family_lives_round_after_round() {
    const DELAY: u64 = 400;
    let Some((place, server)) = scene(KeySource::KeyFile) else { return };
    let mut late = Vec::new();
    for (round, later) in (1..=rounds()).zip((OVER..).step_by(3601)) {
        server.reset();
        place.keyfob(&["login", "corp"], "").success();
        place.home.set_clock(later, later, 0);
        server.fault(&json!({ "path": "/token", "grant": "refresh_token", "delay_ms": DELAY }));
        let (storm, token) = crowd(&place);
        late.push(storm.took.saturating_sub(Duration::from_millis(DELAY)));
        assert_eq!(server.stats()["token"]["refresh_token"], json!({ "arrived": 1, "ok": 1, "error": 0 }), "round {round}");
        assert!(good_tokens(&server)(&token), "round {round}: the family was revoked");
        assert_eq!(place.home.wait_for_browser_runs(round).len(), round);
    }
    publish("an expired token at oidc-provider, from the first start on", CROWD, &mut late);
}

#[test]
fn two_hundred_without_a_token_sign_in_once_round_after_round() {
    let Some((place, server)) = scene(KeySource::KeyFile) else { return };
    place.home.browser_settings(&[("MODE", "slow"), ("MS", "1300")]);
    for round in 1..=rounds() {
        server.reset();
        let (_, token) = crowd(&place);
        let stats = server.stats();
        assert_eq!(stats["authorizations"], json!({ "begun": 1, "ok": 1, "error": 0 }), "round {round}");
        assert_eq!(stats["token"], json!({ "authorization_code": { "arrived": 1, "ok": 1, "error": 0 } }), "round {round}");
        assert!(good_tokens(&server)(&token));
        assert_eq!(place.home.wait_for_browser_runs(round).len(), round);
        place.keyfob(&["logout", "corp"], "").success();
    }
}
