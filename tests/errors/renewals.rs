//! Refusals of a refresh token: which lead to a person, and which are waited out with everything kept.
use super::{empty, forget_failures, refusal};
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Fault, Options};
use crate::support::clock;
use crate::support::home::Home;
use crate::support::process::LIMIT;
use crate::support::scene::{Scene, one_error};
use crate::support::temp_dir::write;
use serde_json::json;
use std::path::Path;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// How far the clock is set on: a token of an hour is stale then, and good for some minutes; and it is over.
const STALE: i64 = 3350;
const OVER: i64 = 3700;

/// A scene whose token has gone stale, at a server that answers every renewal so; the token. `program` has a clock that can be set.
fn stale(program: &Path, fault: Fault) -> (Scene, String) {
    let scene = Scene::new();
    scene.home.use_program(program);
    scene.sign_in().success();
    let token = scene.token();
    scene.server.fault_times(Endpoint::Token, fault, usize::MAX);
    scene.home.set_clock(STALE, STALE, 0);
    (scene, token)
}

/// While the token is still good it is used, whatever the server says of the refresh token.
fn still_used(scene: &Scene, token: &str, name: &str) {
    for _ in 0..3 {
        let output = scene.token_unattended();
        assert_eq!((output.code, output.stderr.as_str(), output.stdout.trim()), (Some(0), "", token), "{name}: {output:?}");
    }
}

/// One refusal that keeps everybody signed in: exit code and words once the token has ended; whether those who cannot change anything
/// leave the server alone for a while.
type Stays = (&'static str, Fault, i32, &'static str, bool);

#[rustfmt::skip]
fn that_keep() -> Vec<Stays> {
    let busy = |status: u16| Fault::Status(status, vec![("retry-after".into(), "30".into())], b"<h1>busy</h1>".into());
    vec![
        ("empty 400", empty(400), 4, "does not say why (status 400)", true),
        ("empty 401", empty(401), 4, "if it goes on, that has ended: run `keyfob login corp`", true),
        ("empty 403", empty(403), 4, "does not say why (status 403)", true),
        ("invalid_client", refusal(401, "invalid_client", ""), 6, "it sent `keyfob` without a secret", true),
        ("incorrect_client_credentials", refusal(200, "incorrect_client_credentials", ""), 6, "check `client_id`", true),
        ("unauthorized_client", refusal(400, "unauthorized_client", ""), 6, "which grants it may use", true),
        ("unsupported_grant_type", refusal(400, "unsupported_grant_type", ""), 6, "allow the grant `refresh_token`", true),
        ("invalid_scope", refusal(400, "invalid_scope", ""), 6, "change `scopes`, which are: openid offline_access", true),
        ("invalid_target", refusal(400, "invalid_target", ""), 6, "the API that they name", true),
        ("invalid_request", refusal(400, "invalid_request", ""), 4, "it was sent grant_type, refresh_token, client_id", true),
        ("access_denied", refusal(403, "access_denied", ""), 4, "refused (access_denied: why [2Jnot, status 403)", true),
        ("use_dpop_nonce", refusal(400, "use_dpop_nonce", ""), 6, "have bearer tokens where it is registered", true),
        ("admin_policy_enforced", refusal(400, "admin_policy_enforced", ""), 6, "ask your administrator", true),
        ("AADSTS7000218", refusal(401, "invalid_client", "AADSTS7000218: "), 6, "Allow public client flows", true),
        ("AADSTS700016", refusal(400, "unauthorized_client", "AADSTS700016: "), 6, "the tenant in `issuer`", true),
        ("of tomorrow", refusal(400, "a_code_of_tomorrow", ""), 4, "refused (a_code_of_tomorrow", true),
        ("temporarily_unavailable", refusal(400, "temporarily_unavailable", ""), 5, "you are still signed in", true),
        ("server_error", refusal(500, "server_error", ""), 5, "you are still signed in", true),
        ("rate_limit_exceeded", Fault::json(403, &json!({ "error_code": "rate_limit_exceeded" })), 5, "right now", true),
        ("429", busy(429), 5, "cannot answer right now (status 429)", true),
        ("503", busy(503), 5, "you are still signed in", true),
        ("html 403", Fault::Status(403, Vec::new(), b"<h1>blocked</h1>".into()), 5, "the network's own sign-in page", false),
        ("closed", Fault::Drop, 5, "this signs nobody out", false),
    ]
}

fn stays(program: &Path, (name, fault, code, says, left_alone): Stays) {
    let (scene, token) = stale(program, fault);
    let asked = scene.server.counts().refresh_requests;
    still_used(&scene, &token, name);
    let tried = scene.server.counts().refresh_requests - asked;
    assert!(if left_alone { tried == 1 } else { tried >= 1 }, "{name}: {tried} renewals were tried");
    scene.home.set_clock(OVER, OVER, 0);
    let output = scene.token_unattended();
    one_error(&output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(code), ""), "{name}: {output:?}");
    assert!(output.stderr.contains(says) && output.stderr.contains("127.0.0.1"), "{name}: {output:?}");
    assert_eq!(output.stderr.contains("run `keyfob login corp`"), code != 5, "{name}: {output:?}");
    assert_eq!(scene.home.run(["status", "--check", "corp"], "").code, Some(0), "{name}: nobody was logged out");
    scene.server.clear_faults();
    forget_failures(&scene);
    let renewed = scene.token_unattended().success();
    assert!(scene.server.is_alive(renewed.stdout.trim()), "{name}");
    let counts = scene.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0), "{name}: nobody had to sign in again");
    assert_eq!(scene.server.violations(), Vec::<String>::new(), "{name}");
}

#[test]
fn no_refusal_but_an_end_or_a_further_step_logs_anybody_out() {
    let Some(program) = clock::program_with_a_clock() else { return };
    let program = program.as_path();
    scope(|scope| {
        let threads: Vec<_> = that_keep().into_iter().map(|row| scope.spawn(move || stays(program, row))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[rustfmt::skip]
fn that_end() -> Vec<(&'static str, Fault, &'static str)> {
    let step = "the server wants a further step from you";
    vec![
        ("invalid_grant", refusal(400, "invalid_grant", ""), "the server no longer takes its refresh token"),
        ("bad_refresh_token", refusal(200, "bad_refresh_token", ""), "the server no longer takes its refresh token"),
        ("AADSTS70008", refusal(400, "invalid_grant", "AADSTS70008: "), "the server no longer takes its refresh token"),
        ("interaction_required", refusal(400, "interaction_required", ""), step),
        ("login_required", refusal(400, "login_required", ""), step),
        ("consent_required", refusal(400, "consent_required", ""), step),
        ("account_selection_required", refusal(400, "account_selection_required", ""), step),
        ("AADSTS50076", refusal(400, "invalid_grant", "AADSTS50076: "), step),
        ("AADSTS50079", refusal(400, "interaction_required", "AADSTS50079: "), step),
        ("AADSTS53003", refusal(400, "access_denied", "AADSTS53003: "), step),
        ("AADSTS65001", refusal(400, "invalid_grant", "AADSTS65001: "), step),
    ]
}

fn ends(program: &Path, name: &str, fault: Fault, says: &str) {
    let (scene, token) = stale(program, fault);
    still_used(&scene, &token, name);
    scene.home.set_clock(OVER, OVER, 0);
    for _ in 0..2 {
        let output = scene.token_unattended();
        one_error(&output);
        assert!(output.code == Some(3) && output.stderr.contains(says), "{name}: {output:?}");
        assert!(output.stderr.contains("run `keyfob login corp`"), "{name}: {output:?}");
    }
    assert_eq!(scene.server.counts().refresh_requests, 1, "{name}: it is not sent again");
    assert_eq!(scene.home.run(["status", "--check", "corp"], "").code, Some(3), "{name}");
    let status = scene.home.run(["status"], "").success().stdout;
    assert!(status.contains(&format!("has ended, because {says}")), "{name}: {status}");
    scene.server.clear_faults();
    scene.sign_in().success();
    assert!(scene.server.is_alive(&scene.token()), "{name}");
    assert_eq!(scene.server.violations(), Vec::<String>::new(), "{name}");
}

#[test]
fn an_end_and_a_further_step_lead_to_a_person_and_stay_said() {
    let Some(program) = clock::program_with_a_clock() else { return };
    let program = program.as_path();
    scope(|scope| {
        let threads: Vec<_> =
            that_end().into_iter().map(|(name, fault, says)| scope.spawn(move || ends(program, name, fault, says))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Signs in again by itself after a refusal with these claims; what was asked for in the browser.
fn claims_asked_for(claims: &serde_json::Value) -> String {
    let scene = Scene::new();
    scene.sign_in_and_expire();
    let refused = json!({ "error": "interaction_required", "error_description": "AADSTS50076: more", "claims": claims });
    scene.server.fault(Endpoint::Token, Fault::json(400, &refused));
    let mut command = scene.home.keyfob(["token", "corp"]);
    let output = crate::support::process::run(command.env_remove("GIT_TERMINAL_PROMPT"), b"").success();
    assert!(scene.server.is_alive(output.stdout.trim()));
    let counts = scene.server.counts();
    assert_eq!((counts.authorizations, counts.refresh_requests), (2, 1));
    assert_eq!(scene.home.wait_for_browser_runs(2).len(), 2);
    assert_eq!(scene.server.violations(), Vec::<String>::new());
    scene.home.scan_for_secrets(&["polids-of-this-test".to_owned()]);
    let requests = scene.server.requests();
    let mut asked = requests.into_iter().filter(|request| request.endpoint == Endpoint::Authorize);
    assert_eq!(asked.next().unwrap().claims, "", "the first sign-in asked for none");
    asked.next().unwrap().claims
}

#[test]
fn what_a_server_wants_to_be_asked_for_is_asked_for_in_the_browser_that_follows() {
    let claims = r#"{"access_token":{"polids":{"essential":true,"values":["polids-of-this-test"]}}}"#;
    let rows = [
        (json!(claims), claims),
        (json!("no JSON"), ""),
        (json!(["polids"]), ""),
        (json!(format!("{{\"a\":\"{}\"}}", "x".repeat(5000))), ""),
    ];
    scope(|scope| {
        let threads = rows.map(|(claims, asked)| scope.spawn(move || assert_eq!(claims_asked_for(&claims), asked, "{claims}")));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn the_client_authentication_that_was_tried_is_named() {
    for (auth, tried, other) in [
        ("post", "its secret in the body", "client_auth = \"basic\""),
        ("basic", "its secret in the header", "client_auth = \"post\""),
    ] {
        let clients = vec![Client::confidential("keyfob", "secret-of-the-client")];
        let scene = Scene::with(Home::new(), AuthorizationServer::start_with(Options { clients, ..Options::default() }));
        let file = scene.home.path().join("secret");
        write(&file, "secret-of-the-client\n");
        let more = format!("client_id = \"keyfob\"\nclient_secret_file = \"{}\"\nclient_auth = \"{auth}\"", file.display());
        scene.home.write_config(&scene.config().replace("client_id = \"keyfob\"", &more));
        scene.sign_in_and_expire();
        scene.server.fault(Endpoint::Token, refusal(401, "invalid_client", ""));
        let output = scene.token_unattended();
        one_error(&output);
        assert!(output.code == Some(6) && output.stderr.contains(tried) && output.stderr.contains(other), "{output:?}");
        assert!(!output.stderr.contains("secret-of-the-client"), "{output:?}");
        assert_eq!(scene.server.violations(), Vec::<String>::new());
    }
}

#[test]
fn a_server_that_names_a_time_is_not_asked_before_it() {
    let scene = Scene::new();
    scene.sign_in_and_expire();
    let busy = Fault::Status(429, vec![("retry-after".into(), "7".into())], Vec::new());
    scene.server.fault(Endpoint::Token, busy);
    let begun = Instant::now();
    while scene.token_unattended().code != Some(0) {
        assert!(begun.elapsed() < LIMIT, "it never answered again");
        sleep(Duration::from_millis(100));
    }
    let requests = scene.server.requests();
    let times: Vec<Instant> = requests.iter().filter(|one| one.grant_type == "refresh_token").map(|one| one.at).collect();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= Duration::from_secs(7), "{:?}", times[1] - times[0]);
}

#[test]
fn a_sign_in_without_a_refresh_token_says_what_to_change_where() {
    for (scopes, says) in [
        ("[\"openid\"]", "to stay signed in, add `offline_access` to `scopes` of login `corp`, or let the client have"),
        ("[\"openid\", \"offline_access\"]", "to stay signed in, let the client have refresh tokens where it is registered"),
    ] {
        let scene = Scene::new();
        scene.home.write_config(&scene.config().replace("[\"openid\", \"offline_access\"]", scopes));
        scene.server.token_patch(|answer| drop(answer.as_object_mut().unwrap().remove("refresh_token")));
        let output = scene.sign_in().success();
        assert!(output.stdout.contains("the server gave no refresh token: to stay signed in,"), "{output:?}");
        scene.sign_in_and_expire();
        let output = scene.token_unattended();
        one_error(&output);
        assert!(output.code == Some(3) && output.stderr.contains(says), "{output:?}");
        let status = scene.home.run(["status"], "").success().stdout;
        assert!(status.contains("has ended, because the server gave no refresh token with it"), "{status}");
        scene.server.token_patch(|answer| answer["expires_in"] = serde_json::Value::Null);
        scene.sign_in().success();
        let status = scene.home.run(["status"], "").success().stdout;
        assert!(status.contains("no end is known"), "what never ends needs no renewal: {status}");
    }
}
