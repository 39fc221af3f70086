//! Signing out: what is told to the server, what it answers, what is said of that, and what goes here in any case.
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Fault, Options};
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, printable};
use crate::support::sts::Sts;
use serde_json::json;
use std::time::{Duration, Instant};

const RENEWS: &str = "keyfob: warning: the refresh token of `corp` was not revoked and stays good until its server ends it: ";
const REVOKED: &str = "corp: signed out, and its tokens are revoked\n";

fn hints(server: &AuthorizationServer) -> Vec<String> {
    let revocations = server.requests().into_iter().filter(|request| request.endpoint == Endpoint::Revoke);
    revocations.map(|request| request.token_type_hint).collect()
}

fn status(status: u16, headers: &[(&str, &str)], body: &str) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status(status, headers, body.as_bytes().to_vec())
}

/// Nothing is left here, whatever the server said.
#[track_caller]
fn is_gone(scene: &Scene, token: &str) {
    let again = scene.token_unattended();
    assert!(again.code == Some(3) && !again.stdout.contains(token), "{again:?}");
    let status = scene.home.run(["status"], "").success().stdout;
    assert!(status.starts_with("corp: not signed in"), "{status}");
}

/// Panics unless `output` is one warning that says `left`, and where to end it.
#[track_caller]
fn warns(output: &Output, left: &str, issuer: &str) {
    printable(output);
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(output.stderr.starts_with(left) && output.stderr.contains(issuer), "{left}: {output:?}");
}

#[test]
fn the_refresh_token_is_revoked_first_and_then_the_access_token() {
    let (scene, token) = Scene::signed_in();
    let output = scene.home.run(["logout"], "").success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (REVOKED, ""));
    assert_eq!(hints(&scene.server), ["refresh_token", "access_token"]);
    is_gone(&scene, &token);
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

#[test]
fn what_a_server_did_not_revoke_is_said_with_where_to_end_it_and_everything_here_goes() {
    let hostile = r#"{"error":"invalid_client","error_description":"\u001b[2J\u202ego \u0007away"}"#;
    let rows: [(Fault, usize, &str, &[&str]); 7] = [
        (status(401, &[], ""), 99, "it refused: status 401", &["refresh_token", "access_token"]),
        (status(400, &[], hostile), 99, "it refused: invalid_client: [2Jgo away, status 400", &["refresh_token", "access_token"]),
        (status(503, &[], "down"), 99, "it answered with status 503", &["refresh_token", "refresh_token"]),
        (status(503, &[("retry-after", "600")], ""), 99, "it answered with status 503", &["refresh_token"]),
        (status(429, &[("retry-after", "0")], ""), 99, "it answered with status 429", &["refresh_token", "refresh_token"]),
        (
            status(302, &[("location", "http://127.0.0.1:1/")], ""),
            99,
            "it refused: status 302",
            &["refresh_token", "access_token"],
        ),
        (Fault::Drop, 99, "cannot reach", &["refresh_token", "refresh_token"]),
    ];
    for (fault, times, says, asked) in rows {
        let (scene, token) = Scene::signed_in();
        scene.server.fault_times(Endpoint::Revoke, fault, times);
        let output = scene.home.run(["logout", "corp"], "").success();
        assert_eq!(output.stdout, "corp: signed out here\n", "{output:?}");
        warns(&output, &format!("{RENEWS}{says}"), &scene.server.issuer());
        assert_eq!(hints(&scene.server), asked, "{says}");
        assert!(scene.server.family_alive() && scene.server.is_alive(&token), "what is said is true");
        let log = scene.home.run(["log", "--json"], "").success().stdout;
        assert!(log.contains("\"signed-out\"") && !log.contains("\"revoked\""), "{log}");
        is_gone(&scene, &token);
    }
}

#[test]
fn a_busy_server_is_asked_once_more_when_it_says_and_a_lost_answer_at_once() {
    let rows = [
        (status(503, &[("retry-after", "2")], ""), Duration::from_secs(2)),
        (status(503, &[], ""), Duration::from_secs(1)),
        (Fault::AfterDrop, Duration::ZERO),
    ];
    for (fault, least) in rows {
        let attempt = || {
            let (scene, token) = Scene::signed_in();
            scene.server.fault(Endpoint::Revoke, fault.clone());
            let output = scene.home.run(["logout"], "").success();
            assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (REVOKED, ""));
            let revocations: Vec<Instant> = scene
                .server
                .requests()
                .iter()
                .filter(|request| request.endpoint == Endpoint::Revoke)
                .map(|request| request.at)
                .collect();
            assert_eq!(revocations.len(), 3);
            let pause = revocations[1] - revocations[0];
            assert!(pause >= least, "{pause:?}");
            assert!(!scene.server.family_alive() && !scene.server.is_alive(&token));
            pause
        };
        assert!(process::is_quick(least + Duration::from_secs(1), attempt), "it waited for longer than {least:?}");
    }
}

#[test]
fn a_server_that_is_gone_or_never_answers_holds_nobody_up() {
    let (scene, _) = Scene::signed_in();
    scene.server.fault_times(Endpoint::Revoke, Fault::Drip, 99);
    let begun = Instant::now();
    let output = scene.home.run(["logout"], "").success();
    let took = begun.elapsed();
    warns(&output, &format!("{RENEWS}cannot reach"), &scene.server.issuer());
    // ten seconds; any other exchange may take thirty
    assert!(took < Duration::from_secs(28), "{took:?}");
    let Scene { home, server } = Scene::signed_in().0;
    let issuer = server.issuer();
    drop(server);
    let output = home.run(["logout"], "").success();
    assert_eq!(output.stdout, "corp: signed out here\n");
    warns(&output, &format!("{RENEWS}cannot reach"), &issuer);
}

#[test]
fn a_server_that_offers_no_revocation_is_no_failure_and_is_said() {
    let scene = Scene::new();
    scene.server.configure(|settings| settings.revocation = false);
    scene.sign_in().success();
    let token = scene.token();
    let output = scene.home.run(["logout"], "").success();
    assert_eq!(output.stdout, "corp: signed out here\n");
    warns(&output, &format!("{RENEWS}it offers no revocation"), &scene.server.issuer());
    is_gone(&scene, &token);
    // without a refresh token there is an end in sight
    scene.home.write_config(&scene.config().replace(", \"offline_access\"", ""));
    scene.sign_in().success();
    let output = scene.home.run(["logout"], "").success();
    let ends = "keyfob: warning: the access token of `corp` was not revoked and is good until it ends, in ";
    assert!(output.stderr.starts_with(ends) && output.stderr.contains("it offers no revocation"), "{output:?}");
}

#[test]
fn an_access_token_that_its_server_revokes_for_nobody_is_no_alarm() {
    let (scene, token) = Scene::signed_in();
    scene.server.configure(|settings| settings.revokes_access = false);
    let output = scene.home.run(["logout"], "").success();
    assert!(output.stderr.is_empty(), "{output:?}");
    let says = "corp: signed out; what its server does not revoke, an access token, ends in ";
    assert!(output.stdout.starts_with(says), "{output:?}");
    assert!(!scene.server.family_alive());
    is_gone(&scene, &token);
}

#[test]
fn of_all_logins_each_goes_whatever_becomes_of_another() {
    let scene = Scene::new();
    let other = AuthorizationServer::start_with(Options { clients: vec![Client::public("second")], ..Options::default() });
    let gone = AuthorizationServer::start();
    let login = |name: &str, server: &AuthorizationServer, client: &str| {
        let issuer = server.issuer();
        format!("[login.{name}]\nissuer = \"{issuer}\"\nclient_id = \"{client}\"\nscopes = [\"openid\", \"offline_access\"]\n")
    };
    scene.home.write_config(&format!("{}{}{}", scene.config(), login("aaa", &gone, "keyfob"), login("zzz", &other, "second")));
    for name in ["aaa", "corp", "zzz"] {
        scene.home.run(["login", name], "").success();
    }
    drop(gone);
    scene.server.fault_times(Endpoint::Revoke, status(401, &[], ""), 99);
    let output = scene.home.run(["logout", "--all"], "").success();
    assert_eq!(output.stdout, "aaa: signed out here\ncorp: signed out here\nzzz: signed out, and its tokens are revoked\n");
    let warnings: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(warnings.len(), 2, "{output:?}");
    assert!(warnings[0].contains("of `aaa` was not revoked") && warnings[0].contains("cannot reach"), "{output:?}");
    assert!(warnings[1].contains("of `corp` was not revoked") && warnings[1].contains("status 401"), "{output:?}");
    assert!(!other.family_alive());
    let status: serde_json::Value = serde_json::from_str(&scene.home.run(["status", "--json"], "").success().stdout).unwrap();
    let signed_in = status["logins"].as_array().unwrap().iter().filter(|login| login["signed_in"] == json!(true)).count();
    assert_eq!(signed_in, 0, "{status}");
}

#[test]
fn a_record_that_does_not_open_goes_and_its_server_was_not_told() {
    let (scene, _) = Scene::signed_in();
    let path = scene.records().join(scene.files(".rec").remove(0));
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = scene.home.run(["logout", "corp"], "").success();
    assert_eq!(output.stdout, "corp: signed out here\n");
    warns(&output, "keyfob: warning: the record of `corp` did not open, so its server was not told", "keyfob login corp");
    assert_eq!((hints(&scene.server).len(), scene.server.family_alive()), (0, true));
    let again = scene.home.run(["logout", "corp"], "").success();
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("corp: was not signed in\n", ""));
}

#[test]
fn what_was_exchanged_with_a_login_goes_with_it_and_nothing_else_does() {
    let scene = Scene::new();
    let sts = Sts::trusting(&scene.server.issuer(), "keyfob");
    let scopes = "scopes = [\"openid\", \"offline_access\"]";
    let lab =
        format!("[login.lab]\nissuer = \"{}\"\nclient_id = \"keyfob\"\naccount = \"alice\"\n{scopes}\n", scene.server.issuer());
    let role = "[aws.lab]\nlogin = \"lab\"\nrole_arn = \"arn:aws:iam::123456789012:role/Lab\"\n";
    scene.home.write_config(&format!("{}{lab}{role}", scene.config()));
    for name in ["corp", "lab"] {
        scene.home.run(["login", name], "").success();
    }
    let aws = |profile: &str| {
        let mut command = scene.home.keyfob(["aws", "get", profile]);
        process::run(command.env("AWS_ENDPOINT_URL_STS", sts.url()).env("KEYFOB_INTERACTIVE", "never"), b"")
    };
    aws("prod").success();
    let kept = aws("lab").success().stdout;
    scene.keep_entries();
    scene.home.run(["logout", "corp"], "").success();
    let gone = aws("prod");
    assert!(gone.code != Some(0) && gone.stdout.is_empty(), "{gone:?}");
    assert_eq!((aws("lab").success().stdout, sts.counts().exchanges), (kept, 2), "from the cache");
    scene.entries_answer();
}
