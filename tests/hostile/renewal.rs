//! A server that fails while a token is renewed: a token that is still good is used, nobody is logged out, and the refresh token that
//! was not spent renews later.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::clock;
use crate::support::process;
use crate::support::scene::{Scene, one_error};
use serde_json::json;
use std::path::Path;
use std::thread::scope;

fn faults() -> Vec<(&'static str, Fault)> {
    let text = |status: u16, body: &str| Fault::Status(status, vec![("content-type".into(), "text/html".into())], body.into());
    vec![
        ("500", text(500, "<h1>oops</h1>")),
        ("503 with invalid_grant", Fault::json(503, &json!({ "error": "invalid_grant" }))),
        ("429", text(429, "slow down")),
        ("200 html", text(200, "<h1>captive portal</h1>")),
        ("302", Fault::Status(302, vec![("location".into(), "https://portal.example/".into())], Vec::new())),
        ("closed", Fault::Drop),
        ("not HTTP", Fault::Raw(b"hello\r\n\r\n".to_vec())),
        ("huge", Fault::Huge(64 << 20)),
        ("temporarily", Fault::json(400, &json!({ "error": "temporarily_unavailable" }))),
    ]
}

fn get_everywhere(scene: &Scene) -> [process::Output; 3] {
    let unattended =
        |arguments: &[&str], stdin: &[u8]| process::run(scene.home.keyfob(arguments).env("KEYFOB_INTERACTIVE", "never"), stdin);
    [
        unattended(&["token", "corp"], b""),
        unattended(&["git", "get"], b"protocol=https\nhost=git.example.com\n\n"),
        unattended(&["docker", "get"], b"registry.example.com"),
    ]
}

/// A token of an hour is stale in its last five minutes, and good until its end. `program` has a clock that can be set.
fn stale_but_good(program: &Path, name: &str, fault: Fault) {
    const HOUR: i64 = 3600;
    let scene = Scene::new();
    scene.home.use_program(program);
    scene.sign_in().success();
    let token = scene.token();
    scene.server.fault_times(Endpoint::Token, fault, usize::MAX);
    scene.home.set_clock(HOUR - 200, HOUR - 200, 0);
    let asked = scene.server.counts().refresh_requests;
    for output in get_everywhere(&scene) {
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{name}: {output:?}");
        assert!(output.stdout.contains(&token), "{name}: {output:?}");
    }
    assert!(scene.server.counts().refresh_requests > asked, "{name}: a renewal was tried");
    scene.home.set_clock(HOUR + 10, HOUR + 10, 0);
    let [output, git, docker] = get_everywhere(&scene);
    one_error(&output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(5), ""), "{name}: {output:?}");
    assert!(git.stdout == "quit=1\n" && docker.code == Some(1) && !docker.stdout.contains(&token), "{name}: {git:?} {docker:?}");
    scene.server.clear_faults();
    // a server that said that it is busy is left alone for five seconds
    scene.home.set_clock(HOUR + 20, HOUR + 20, 0);
    let renewed = scene.token_unattended().success();
    assert!(scene.server.is_alive(renewed.stdout.trim()), "{name}");
    let counts = scene.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0), "{name}: nobody had to sign in again");
}

#[test]
fn a_server_that_fails_logs_nobody_out() {
    let Some(program) = clock::program_with_a_clock() else { return };
    let program = program.as_path();
    scope(|scope| {
        let threads: Vec<_> =
            faults().into_iter().map(|(name, fault)| scope.spawn(move || stale_but_good(program, name, fault))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_server_that_is_gone_logs_nobody_out() {
    let (scene, token) = Scene::signed_in();
    let (home, server) = (scene.home, scene.server);
    drop(server);
    let output = home.run(["token", "corp"], "").success();
    assert_eq!(output.stdout.trim(), token, "the cached answer needs no server");
    let status = home.run(["status"], "").success().stdout;
    assert!(status.contains("signed in as alice@example.com"), "{status}");
    home.run(["status", "--check", "corp"], "").success();
}

#[test]
fn a_refresh_token_that_is_refused_asks_for_a_person_and_says_how() {
    let scene = Scene::new();
    scene.sign_in_and_expire();
    scene.server.end_sessions();
    let [output, git, docker] = get_everywhere(&scene);
    one_error(&output);
    assert!(output.code == Some(3) && output.stderr.contains("keyfob login corp"), "{output:?}");
    assert!(git.stdout == "quit=1\n" && git.stderr.contains("keyfob login corp"), "{git:?}");
    assert!(docker.code == Some(1) && docker.stderr.contains("keyfob login corp"), "{docker:?}");
    assert_eq!(scene.server.counts().refresh_requests, 1, "a refused refresh token is not sent again");
    assert_eq!(scene.home.run(["status", "--check", "corp"], "").code, Some(3), "nor kept");
    scene.sign_in().success();
    assert!(scene.server.is_alive(&scene.token()));
}

#[test]
fn a_token_endpoint_that_changed_gets_no_refresh_token() {
    let scene = Scene::new();
    scene.sign_in_and_expire();
    let evil = crate::support::authorization_server::AuthorizationServer::start();
    let place = format!("{}/token", evil.issuer());
    scene.server.metadata_patch(move |document| document["token_endpoint"] = place.clone().into());
    scene.token_unattended().success();
    assert_eq!((scene.server.counts().refreshes, evil.counts().token_requests), (1, 0));
}
