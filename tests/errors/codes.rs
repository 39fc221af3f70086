//! Refusals of a code that came back from the browser: one more round in the same tab where another code may help, else what to change.
use super::{empty, refusal};
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::scene::{Scene, one_error};
use serde_json::json;
use std::net::TcpListener;

/// Signs in where the first codes are refused so, with `more` lines in the login's configuration; what `keyfob login` said.
fn signed_in_again(scene: &Scene, faults: &[Fault], more: &str) -> crate::support::process::Output {
    scene.home.write_config(&scene.config().replace("client_id = \"keyfob\"", &format!("client_id = \"keyfob\"\n{more}")));
    faults.iter().for_each(|fault| scene.server.fault(Endpoint::Token, fault.clone()));
    let output = scene.sign_in();
    assert_eq!(scene.home.wait_for_browser_runs(1).len(), 1, "one tab: {output:?}");
    assert_eq!(scene.server.violations(), Vec::<String>::new(), "no code was sent twice");
    output
}

#[test]
fn a_code_that_has_ended_is_asked_for_once_more_in_the_same_tab() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let codes = [(400, "invalid_grant"), (200, "bad_verification_code"), (403, "invalid_code"), (400, "interaction_required")];
    for (status, code) in codes {
        for more in ["", &format!("redirect_ports = [{port}]")] {
            let scene = Scene::new();
            signed_in_again(&scene, &[refusal(status, code, "")], more).success();
            assert!(scene.server.is_alive(&scene.token()), "{code} {more}");
            let counts = scene.server.counts();
            assert_eq!((counts.authorizations, counts.token_requests, counts.codes_redeemed), (2, 2, 1), "{code} {more}");
            let page = scene.home.browser_runs().remove(0);
            assert!(page["title"].as_str().unwrap().starts_with("Signed in to corp"), "{code} {more}: {page}");
        }
    }
}

#[test]
fn a_second_code_that_has_ended_ends_it() {
    let scene = Scene::new();
    let gone = refusal(400, "invalid_grant", "");
    let output = signed_in_again(&scene, &[gone.clone(), gone.clone(), gone], "");
    one_error(&output);
    assert!(output.code == Some(4) && output.stderr.contains("did not take its own code back"), "{output:?}");
    assert!(output.stderr.contains("codes last about a minute: run `keyfob login corp`"), "{output:?}");
    assert_eq!((scene.server.counts().authorizations, scene.server.counts().token_requests), (2, 2));
    assert_eq!(scene.home.browser_runs().remove(0)["title"], "Not signed in");
}

#[test]
fn a_further_step_that_a_code_wants_is_asked_for_in_the_same_tab() {
    let scene = Scene::new();
    let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    let body = json!({ "error": "interaction_required", "error_description": "AADSTS50076: more", "claims": claims });
    signed_in_again(&scene, &[Fault::json(400, &body)], "").success();
    let requests = scene.server.requests();
    let asked: Vec<&str> =
        requests.iter().filter(|one| one.endpoint == Endpoint::Authorize).map(|one| one.claims.as_str()).collect();
    assert_eq!(asked, ["", claims]);
}

#[test]
fn every_other_refusal_of_a_code_ends_the_sign_in_at_once_and_says_what_to_change() {
    #[rustfmt::skip]
    let rows: Vec<(&str, Fault, i32, &str)> = vec![
        ("empty 400", empty(400), 4, "refused the code of `corp` and does not say why (status 400)"),
        ("empty 403", empty(403), 4, "run `keyfob login corp`"),
        ("invalid_client", refusal(401, "invalid_client", ""), 6, "it sent `keyfob` without a secret"),
        ("unauthorized_client", refusal(400, "unauthorized_client", ""), 6, "which grants it may use"),
        ("unsupported_grant_type", refusal(400, "unsupported_grant_type", ""), 6, "allow the grant `authorization_code`"),
        ("redirect_uri_mismatch", refusal(400, "redirect_uri_mismatch", ""), 6, "register `http://127.0.0.1:"),
        ("invalid_scope", refusal(400, "invalid_scope", ""), 6, "change `scopes`, which are: openid offline_access"),
        ("invalid_target", refusal(400, "invalid_target", ""), 6, "the API that they name"),
        ("invalid_request", refusal(400, "invalid_request", ""), 4, "grant_type, code, redirect_uri, code_verifier, client_id"),
        ("use_dpop_nonce", refusal(400, "use_dpop_nonce", ""), 6, "DPoP"),
        ("org_internal", refusal(403, "org_internal", ""), 6, "an account of that organisation"),
        ("AADSTS9002327", refusal(400, "invalid_request", "AADSTS9002327: "), 6, "Mobile and desktop applications"),
        ("AADSTS7000215", refusal(401, "invalid_client", "AADSTS7000215: "), 6, "put a new one into `client_secret_file`"),
        ("AADSTS90002", refusal(400, "invalid_request", "AADSTS90002: "), 6, "the tenant in `issuer` does not exist"),
        ("temporarily_unavailable", refusal(400, "temporarily_unavailable", ""), 5, "try again in a moment"),
        ("503", Fault::Status(503, Vec::new(), Vec::new()), 5, "try again in a moment"),
    ];
    let (scene, token) = Scene::signed_in();
    let mut runs = 1;
    for (name, fault, code, says) in rows {
        let before = scene.server.counts();
        scene.server.fault(Endpoint::Token, fault);
        let output = scene.sign_in();
        runs += 1;
        one_error(&output);
        assert!(output.code == Some(code) && output.stderr.contains(says), "{name}: {output:?}");
        assert!(!output.stderr.contains("still signed in"), "{name}: {output:?}");
        let after = scene.server.counts();
        assert_eq!(
            (after.authorizations, after.token_requests),
            (before.authorizations + 1, before.token_requests + 1),
            "{name}"
        );
        assert_eq!(scene.home.wait_for_browser_runs(runs).pop().unwrap()["title"], "Not signed in", "{name}");
        scene.still_answers(&token);
    }
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}
