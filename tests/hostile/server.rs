//! An authorization server that is away, lies, or answers nonsense while a person signs in: one error that names it, and what was
//! stored before still answers.
use crate::support::authorization_server::{AuthorizationServer, Endpoint, Fault};
use crate::support::home::Home;
use crate::support::ports::free_port;
use crate::support::process::Output;
use crate::support::scene::{Scene, config_for, one_error};
use serde_json::json;
use std::time::{Duration, Instant};

fn status(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Fault {
    Fault::Status(status, vec![("content-type".into(), kind.into())], body.into())
}

fn redirect(to: &str) -> Fault {
    Fault::Status(302, vec![("location".into(), to.into())], Vec::new())
}

const HTML: &str = "<!doctype html><title>Maintenance</title><h1>secret-of-the-page</h1>";

/// What any endpoint may answer instead of sense, with the word that the error must have.
fn nonsense(elsewhere: &str) -> Vec<(&'static str, Fault)> {
    vec![
        ("html", status(200, "text/html", HTML)),
        ("html 404", status(404, "text/html", HTML)),
        ("html 500", status(500, "text/html", HTML)),
        ("503", status(503, "text/plain", "busy")),
        ("429", status(429, "text/plain", "slow down")),
        ("empty", status(200, "application/json", "")),
        ("truncated JSON", status(200, "application/json", "{\"issuer\": \"htt")),
        ("deep JSON", status(200, "application/json", "[".repeat(100_000))),
        ("not UTF-8", status(200, "application/json", *b"\xff\xfe{}")),
        ("redirect", redirect(elsewhere)),
        ("redirect to a file", redirect("file:///etc/passwd")),
        ("closed", Fault::Drop),
        ("not HTTP", Fault::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())),
        ("half a head", Fault::Raw(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec())),
        ("less than announced", Fault::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{".to_vec())),
        ("endless header", Fault::Raw([b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; 4 << 20]].concat())),
        ("2 GiB", Fault::Huge(2 << 30)),
    ]
}

#[test]
fn a_server_that_answers_nonsense_at_a_sign_in_is_named_and_costs_nothing() {
    let (scene, token) = Scene::signed_in();
    let elsewhere = AuthorizationServer::start();
    for endpoint in [Endpoint::Metadata, Endpoint::Token] {
        for (name, fault) in nonsense(&format!("{}/token", elsewhere.issuer())) {
            scene.server.fault_times(endpoint, fault, usize::MAX);
            let begun = Instant::now();
            let output = scene.sign_in();
            // what is read to its end, or waited for after it, takes our own thirty seconds or more
            assert!(begun.elapsed() < Duration::from_secs(30), "{endpoint:?} {name} took {:?}", begun.elapsed());
            one_error(&output);
            assert_eq!(output.code, Some(5), "{endpoint:?} {name}: {output:?}");
            assert!(output.stderr.contains("127.0.0.1") && !output.stderr.contains("secret-of-the-page"), "{name}: {output:?}");
            scene.server.clear_faults();
            scene.still_answers(&token);
        }
    }
    assert_eq!(elsewhere.counts(), Default::default(), "no redirect was followed");
    scene.sign_in().success();
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

#[test]
fn a_server_that_is_away_is_said_at_once_on_every_front() {
    let closed = free_port();
    let home = Home::new();
    home.write_config(&config_for(&format!("http://127.0.0.1:{closed}")));
    for command in [["login", "corp"], ["token", "corp"]] {
        let mut keyfob = home.keyfob(command);
        let output = crate::support::process::run(keyfob.env_remove("GIT_TERMINAL_PROMPT"), b"");
        one_error(&output);
        assert_eq!(output.code, Some(5), "{command:?}: {output:?}");
        assert!(output.stderr.contains("cannot reach `127.0.0.1`"), "{output:?}");
    }
    let mut git = home.keyfob(["git", "get"]);
    let output = crate::support::process::run(git.env_remove("GIT_TERMINAL_PROMPT"), b"protocol=https\nhost=git.example.com\n\n");
    one_error(&output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "quit=1\n"), "{output:?}");
    let mut docker = home.keyfob(["docker", "get"]);
    let output = crate::support::process::run(docker.env_remove("GIT_TERMINAL_PROMPT"), b"registry.example.com");
    assert!(output.code == Some(1) && output.stdout.contains("cannot reach `127.0.0.1`"), "{output:?}");
    let mut aws = home.keyfob(["aws", "get", "prod"]);
    let output = crate::support::process::run(aws.env_remove("GIT_TERMINAL_PROMPT"), b"");
    one_error(&output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output:?}");
    assert_eq!(home.browser_runs().len(), 0, "nobody is sent to a server that does not answer");
}

/// Signs in again after the metadata was changed so, and panics unless that is refused as misconfigured, saying `says`.
fn lying(scene: &Scene, token: &str, name: &'static str, value: &serde_json::Value, code: i32, says: &str) {
    let before = scene.server.counts();
    let patch = value.clone();
    scene.server.metadata_patch(move |document| document[name] = patch.clone());
    let output = scene.sign_in();
    one_error(&output);
    assert!(output.code == Some(code) && output.stderr.contains(says), "{name}={value}: {output:?}");
    let after = scene.server.counts();
    assert_eq!((after.authorizations, after.token_requests), (before.authorizations, before.token_requests), "{name}={value}");
    scene.still_answers(token);
}

#[test]
fn metadata_that_lies_is_refused_before_anybody_is_sent_anywhere() {
    let (scene, token) = Scene::signed_in();
    let issuer = scene.server.issuer();
    let rows = [
        ("issuer", json!("https://evil.example"), 6, "https://evil.example"),
        ("issuer", json!(format!("{issuer}/tenant")), 6, "issuer"),
        ("issuer", json!(issuer.to_uppercase()), 6, "issuer"),
        ("issuer", json!(null), 5, "metadata"),
        ("issuer", json!(7), 5, "metadata"),
        ("issuer", json!("\u{1b}[2J\u{202e}evil"), 6, "evil"),
        ("authorization_endpoint", json!("http://evil.example/authorize"), 6, "http://evil.example/authorize"),
        ("authorization_endpoint", json!("javascript:alert(1)"), 6, "javascript"),
        ("authorization_endpoint", json!("file:///etc/passwd"), 6, "file"),
        ("authorization_endpoint", json!("data:text/html,x"), 6, "data"),
        ("authorization_endpoint", json!(""), 6, "authorization"),
        ("authorization_endpoint", json!(null), 6, "authorization"),
        ("token_endpoint", json!("http://evil.example/token"), 6, "http://evil.example/token"),
        ("token_endpoint", json!("ftp://127.0.0.1/token"), 6, "ftp"),
        ("token_endpoint", json!("/token"), 6, "token"),
        ("token_endpoint", json!(null), 6, "token"),
        ("revocation_endpoint", json!("http://evil.example/revoke"), 6, "http://evil.example/revoke"),
        ("device_authorization_endpoint", json!("http://evil.example/device"), 6, "http://evil.example/device"),
    ];
    for (name, value, code, says) in rows {
        lying(&scene, &token, name, &value, code, says);
    }
    scene.server.configure(|settings| settings.metadata_patch = None);
    scene.sign_in().success();
}

fn refused_in_the_browser(change: impl FnOnce(&AuthorizationServer), code: i32, says: &str) -> Output {
    let (scene, token) = Scene::signed_in();
    let before = scene.server.counts();
    change(&scene.server);
    let output = scene.sign_in();
    one_error(&output);
    assert!(output.code == Some(code) && output.stderr.contains(says), "{output:?}");
    assert_eq!(scene.server.counts().token_requests, before.token_requests, "no code was sent anywhere");
    scene.still_answers(&token);
    output
}

#[test]
fn an_answer_that_came_from_another_server_is_refused_and_its_code_goes_nowhere() {
    refused_in_the_browser(|server| server.configure(|settings| settings.wrong_iss = true), 4, "another server");
    refused_in_the_browser(|server| server.configure(|settings| settings.iss_parameter = false), 4, "which server it is from");
    refused_in_the_browser(|server| server.configure(|settings| settings.deny = true), 4, "access_denied: not today");
}

#[test]
fn an_answer_with_another_state_is_not_heard_and_waiting_goes_on() {
    let scene = Scene::new();
    scene.server.configure(|settings| settings.wrong_state = true);
    let mut waiting = scene.home.keyfob(["login", "corp"]);
    let mut child = waiting.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let visit = scene.home.wait_for_browser_runs(1).remove(0);
    assert_eq!(visit["callback"]["status"], 400, "{visit}");
    assert_eq!(child.try_wait().unwrap(), None, "the sign-in is still open");
    assert_eq!(scene.server.counts().token_requests, 0);
    scene.home.run(["logout", "corp"], "").success();
    assert_eq!(crate::support::process::wait(&mut child, crate::support::process::LIMIT), Some(Some(4)));
}

/// Thirty seconds are the bound of every exchange; all that meet it run at once. What drips has no end of its own within a minute.
#[test]
fn a_server_that_drips_holds_nobody_much_longer_than_thirty_seconds() {
    let drip = |endpoint: Endpoint, renewal: bool| {
        let scene = Scene::new();
        if renewal {
            scene.sign_in_and_expire();
        }
        scene.server.fault_times(endpoint, Fault::Drip, usize::MAX);
        let begun = Instant::now();
        let output = if renewal { scene.token_unattended() } else { scene.sign_in() };
        let took = begun.elapsed();
        one_error(&output);
        assert_eq!(output.code, Some(5), "{endpoint:?}: {output:?}");
        // a second exchange after the first would take as long again
        assert!(took < Duration::from_secs(58), "{endpoint:?} held for {took:?}");
        scene.server.clear_faults();
        if renewal {
            scene.token_unattended().success();
            assert_eq!(scene.server.counts().reuses, 0);
        }
    };
    std::thread::scope(|scope| {
        let cases = [(Endpoint::Metadata, false), (Endpoint::Token, false), (Endpoint::Token, true)];
        let threads = cases.map(|(endpoint, renewal)| scope.spawn(move || drip(endpoint, renewal)));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
