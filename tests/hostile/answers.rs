//! Token answers as real and as broken servers send them: what can be used is used, the rest gets one error, and the sign-in before
//! it is still there.
use crate::support::authorization_server::{AuthorizationServer, Client, Options};
use crate::support::home::Home;
use crate::support::scene::{Scene, one_error, printable};
use serde_json::{Value, json};

fn status(scene: &Scene) -> Value {
    let text = scene.home.run(["status", "--json"], "").success().stdout;
    serde_json::from_str::<Value>(&text).unwrap()["logins"][0].clone()
}

#[test]
fn odd_token_answers_are_understood() {
    let ten_years = 10 * 366 * 86_400;
    let rows: Vec<(&str, Value, Option<i64>)> = vec![
        ("expires_in", json!("3600"), Some(3600)),
        ("expires_in", json!("3600.7"), Some(3600)),
        ("expires_in", json!(3600.7), Some(3600)),
        ("expires_in", Value::Null, None),
        ("expires_in", json!("soon"), None),
        ("expires_in", json!([3600]), None),
        ("expires_in", json!(u64::MAX), Some(ten_years)),
        ("expires_in", json!(i64::MAX), Some(ten_years)),
        ("expires_in", json!(1e300), Some(ten_years)),
        ("token_type", Value::Null, Some(3600)),
        ("token_type", json!(""), Some(3600)),
        ("token_type", json!("bEaReR"), Some(3600)),
        ("scope", json!(["openid", "offline_access"]), Some(3600)),
        ("scope", json!("openid,offline_access"), Some(3600)),
        ("scope", json!(7), Some(3600)),
        ("scope", Value::Null, Some(3600)),
        ("something_else", json!({ "deep": [1, 2, { "er": null }] }), Some(3600)),
    ];
    let scene = Scene::new();
    for (name, value, life) in rows {
        let patch = value.clone();
        scene.server.token_patch(move |answer| answer[name] = patch.clone());
        let output = scene.sign_in();
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{name}={value}: {output:?}");
        let seen = status(&scene);
        let lasts = seen["expires_at"].as_i64().map(|end| end - seen["signed_in_at"].as_i64().unwrap());
        assert!(lasts == life || lasts == life.map(|life| life + 1), "{name}={value}: {lasts:?} {seen}");
        assert_eq!(seen["scope"].as_array().map(Vec::len), Some(2), "{name}={value}: {seen}");
        assert!(scene.server.is_alive(&scene.token()), "{name}={value}");
    }
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

#[test]
fn an_id_token_that_nothing_can_carry_is_left_out_but_names_no_account_either() {
    for id_token in [json!("\u{1b}[31m"), json!("a".repeat(17 << 10))] {
        let scene = Scene::new();
        let patch = id_token.clone();
        scene.server.token_patch(move |answer| answer["id_token"] = patch.clone());
        scene.sign_in().success();
        scene.server.token_patch(|_| {});
        scene.sign_in().success();
        let token = scene.token();
        let patch = id_token.clone();
        scene.server.token_patch(move |answer| answer["id_token"] = patch.clone());
        let output = scene.sign_in();
        one_error(&output);
        assert!(output.code == Some(4) && output.stderr.contains("did not say which account"), "{output:?}");
        scene.still_answers(&token);
        assert_eq!(scene.server.violations(), Vec::<String>::new());
    }
}

#[test]
fn a_token_that_has_ended_when_it_comes_is_said_and_its_refresh_token_kept() {
    for life in [json!(0), json!(-1), json!(i64::MIN), json!(-1e300), json!("-3600")] {
        let scene = Scene::new();
        let patch = life.clone();
        scene.server.token_patch(move |answer| answer["expires_in"] = patch.clone());
        let output = scene.sign_in();
        one_error(&output);
        assert!(output.code == Some(4) && output.stderr.contains("already ended"), "{life}: {output:?}");
        let seen = status(&scene);
        assert_eq!((&seen["signed_in"], &seen["renewable"]), (&json!(true), &json!(true)), "{life}: {seen}");
        assert_eq!(scene.server.counts().revocations, 0, "{life}");
    }
}

/// Replaces everything in the answer by `body`.
fn replaced(body: Value) -> impl Fn(&mut Value) + Send + Sync + 'static {
    move |answer| *answer = body.clone()
}

type Patch = Box<dyn Fn(&mut Value) + Send + Sync>;

fn set(name: &'static str, value: Value) -> Patch {
    Box::new(move |answer| answer[name] = value.clone())
}

#[test]
fn a_token_answer_that_cannot_be_used_is_one_error_and_the_sign_in_before_stays() {
    let hostile = "<script>\u{1b}[2J\u{202e}evil\n".repeat(40);
    let rows: Vec<(&str, Patch, i32, &str)> = vec![
        ("not an object", Box::new(replaced(json!(["at"]))), 5, "not a token answer"),
        ("nothing in it", Box::new(replaced(json!({}))), 5, "without an access token"),
        ("null", Box::new(replaced(Value::Null)), 5, "not a token answer"),
        ("no access token", set("access_token", Value::Null), 5, "without an access token"),
        ("empty access token", set("access_token", json!("")), 5, "without an access token"),
        ("a number as token", set("access_token", json!(7)), 5, "without an access token"),
        ("a line feed", set("access_token", json!("at_x\npassword=evil")), 4, "control characters"),
        ("a carriage return", set("access_token", json!("at_x\rhost=evil")), 4, "control characters"),
        ("a NUL", set("refresh_token", json!("rt_x\0")), 4, "control characters"),
        ("an escape", set("access_token", json!("\u{1b}[31m")), 4, "control characters"),
        ("not ASCII", set("access_token", json!("at_\u{202e}x")), 4, "control characters"),
        ("17 KiB", set("access_token", json!("a".repeat(17 << 10))), 4, "too long"),
        ("larger than a record", set("padding", json!("a".repeat(60 << 10))), 5, "48 KiB"),
        ("larger than any answer", set("padding", json!("a".repeat(2 << 20))), 5, "1 MiB"),
        ("another type", set("token_type", json!("mac")), 4, "mac"),
        ("a hostile type", set("token_type", json!(hostile)), 4, "evil"),
        (
            "200 with an error",
            Box::new(replaced(json!({"error": "access_denied", "error_description": hostile}))),
            4,
            "access_denied",
        ),
        ("200 with a grant error", Box::new(replaced(json!({"error": "invalid_grant"}))), 4, "invalid_grant"),
        ("200 with a server error", Box::new(replaced(json!({"error": "temporarily_unavailable"}))), 5, "right now"),
        ("200 with a client error", Box::new(replaced(json!({"error": "invalid_client"}))), 6, "client_id"),
        ("error beside a token", set("error", json!("server_error")), 5, "right now"),
        ("an id token that is none", set("id_token", json!("abc")), 4, "cannot be read"),
        ("an id token without claims", set("id_token", json!("e30.e30.c2ln")), 4, "cannot be read"),
        ("an id token that is half base64", set("id_token", json!("e30.!!!.c2ln")), 4, "cannot be read"),
    ];
    let (scene, token) = Scene::signed_in();
    for (name, patch, code, says) in rows {
        scene.server.token_patch(patch);
        let output = scene.sign_in();
        one_error(&output);
        assert_eq!(output.code, Some(code), "{name}: {output:?}");
        assert!(output.stderr.contains(says), "{name}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.contains("at_x"), "{name}: {output:?}");
        scene.still_answers(&token);
    }
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

/// A sign-in after a first one, with the server changed between them: the second is refused, saying `says`, and its tokens given back.
fn second_sign_in_is_refused(scene: &Scene, token: &str, says: &str) {
    let before = scene.server.counts();
    let output = scene.sign_in();
    one_error(&output);
    assert!(output.code == Some(4) && output.stderr.contains(says), "{output:?}");
    let after = scene.server.counts();
    assert_eq!(after.codes_redeemed, before.codes_redeemed + 1);
    assert!(after.revocations > before.revocations, "the refused tokens are revoked");
    assert!(!scene.server.family_alive(), "and with them their family");
    assert!(scene.server.is_alive(token), "but not the one from before");
    scene.still_answers(token);
    let page = scene.home.wait_for_browser_runs(2).pop().unwrap();
    assert_eq!(page["title"], "Not signed in");
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

#[test]
fn another_account_at_the_next_sign_in_is_refused_and_its_tokens_are_revoked() {
    let (scene, token) = Scene::signed_in();
    scene.server.configure(|settings| settings.account = "mallory".into());
    second_sign_in_is_refused(&scene, &token, "another account");
}

#[test]
fn an_id_token_with_another_nonce_is_refused_and_its_tokens_are_revoked() {
    let (scene, token) = Scene::signed_in();
    scene.server.configure(|settings| settings.wrong_nonce = true);
    second_sign_in_is_refused(&scene, &token, "does not belong to this sign-in");
}

#[test]
fn an_id_token_for_another_client_or_from_another_server_is_refused_and_its_tokens_are_revoked() {
    for (foreign, says) in [(true, "another client"), (false, "another server")] {
        let clients = vec![Client::public("keyfob"), Client::public("another")];
        let scene = Scene::with(Home::new(), AuthorizationServer::start_with(Options { clients, ..Options::default() }));
        scene.sign_in().success();
        let token = scene.token();
        let elsewhere = AuthorizationServer::start();
        let id_token = if foreign { scene.server.issue("another").1 } else { elsewhere.issue("keyfob").1 };
        scene.server.token_patch(move |answer| answer["id_token"] = id_token.clone().into());
        second_sign_in_is_refused(&scene, &token, says);
    }
}

#[test]
fn an_account_that_changes_at_a_refresh_is_refused_and_the_rotated_refresh_token_is_kept() {
    let scene = Scene::new();
    scene.sign_in_and_expire();
    let issuer = scene.server.issuer();
    let claims = json!({"iss": issuer, "aud": "keyfob", "sub": "mallory", "exp": 4_000_000_000_i64});
    let forged = crate::support::jose::SigningKey::generate().sign(&claims);
    scene.server.token_patch(move |answer| answer["id_token"] = forged.clone().into());
    let output = scene.token_unattended();
    one_error(&output);
    assert!(output.code == Some(4) && output.stderr.contains("another account") && output.stdout.is_empty(), "{output:?}");
    scene.server.configure(|settings| settings.token_patch = None);
    assert!(scene.server.family_alive(), "the refresh token in hand is the current one");
    let again = scene.token_unattended();
    printable(&again);
    scene.sign_in().success();
    assert_eq!(scene.server.counts().reuses, 0);
}
