//! glewlwyd: redirects to the letter, a nonce that has to be there, refusals without a word, and a real `slow_down`.
use super::desk::{DEVICE, Desk};
use crate::support::browser::{Settings, visit};
use crate::support::forge::{end, until};
use crate::support::front::Passed;
use crate::support::peers::{self, Glewlwyd};
use crate::support::ports::free_port;
use crate::support::scene::one_error;
use crate::support::{http_client, introspection, process};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

/// The one server of the tests that leave it as it is; it ends with the test program.
fn shared() -> Option<&'static Glewlwyd> {
    static SERVER: OnceLock<Option<Glewlwyd>> = OnceLock::new();
    // said by each test that is skipped, not by the first alone
    peers::require("glewlwyd").then(|| SERVER.get_or_init(Glewlwyd::start).as_ref()).flatten()
}

/// Two ports that are free.
fn free_ports() -> [u16; 2] {
    [(); 2].map(|()| free_port())
}

/// The table of a login with these ports.
fn login(server: &Glewlwyd, ports: &[u16]) -> String {
    let scopes = "[\"openid\", \"offline_access\", \"repo:read\"]";
    format!("issuer = \"{}\"\nscopes = {scopes}\nredirect_ports = {ports:?}", server.issuer())
}

/// A desk whose login is the new `client`, registered with the ports that it has.
fn desk(server: &Glewlwyd, client: &str) -> Desk {
    desk_with(server, client, &free_ports())
}

fn desk_with(server: &Glewlwyd, client: &str, ports: &[u16]) -> Desk {
    server.register(client, ports);
    Desk::new(client, &login(server, ports))
}

/// The parameter `name` of the latest authorization request of `client`.
fn asked_with(server: &Glewlwyd, client: &str, name: &str) -> Option<String> {
    let of_client =
        |one: &&Passed| one.request.path == "/api/oidc/auth" && one.request.parameter("client_id").as_deref() == Some(client);
    server.front.passed().iter().rev().find(of_client).and_then(|one| one.request.parameter(name))
}

#[test]
fn glewlwyd_gets_the_nonce_that_it_wants_and_one_of_its_registered_ports() {
    let Some(server) = shared() else { return };
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let ports = [taken.local_addr().unwrap().port(), free_ports()[0]];
    let desk = desk_with(server, "nonce", &ports);
    let output = desk.keyfob(&["login", "corp"]).success();
    assert!(output.stdout.starts_with("signed in to corp as alice@example.com: renewed without you"), "{output:?}");
    assert_eq!(output.stderr, "");
    drop(taken);
    let redirect = format!("http://127.0.0.1:{}/callback", ports[1]);
    assert_eq!(asked_with(server, "nonce", "redirect_uri"), Some(redirect));
    assert!(asked_with(server, "nonce", "nonce").is_some_and(|nonce| nonce.len() >= 22));
    assert!(server.takes(&desk.token()));
    assert_eq!(desk.home.wait_for_browser_runs(1)[0]["callback"]["status"], 200);
}

#[test]
fn glewlwyd_is_found_by_its_only_metadata_and_what_that_leaves_out_is_used_all_the_same() {
    let Some(server) = Glewlwyd::start() else { return };
    let desk = desk(&server, "metadata");
    desk.keyfob(&["login", "corp"]).success();
    let is_place = |one: &Passed| one.request.path.contains(".well-known");
    let places = || server.front.passed().into_iter().filter(is_place).collect::<Vec<_>>();
    let first = places();
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0].request.path, "/api/oidc/.well-known/openid-configuration");
    let has = |list: &str, word: &str| first[0].answer[list].as_array().unwrap().contains(&json!(word));
    assert!(!has("grant_types_supported", "refresh_token") && !has("token_endpoint_auth_methods_supported", "none"));

    // a login without `openid` looks elsewhere first, and finds the same; it sends no nonce
    let text = std::fs::read_to_string(desk.home.config_file()).unwrap();
    desk.home.write_config(&text.replace("\"openid\", ", ""));
    let output = desk.keyfob(&["login", "corp"]).success();
    assert!(output.stdout.starts_with("signed in to corp: renewed without you"), "{output:?}");
    let places = places();
    let asked: Vec<(&str, u16)> = places[1..].iter().map(|one| (one.request.path.as_str(), one.status)).collect();
    let only = ("/api/oidc/.well-known/openid-configuration", 200);
    assert_eq!(asked, [("/.well-known/oauth-authorization-server/api/oidc", 404), only]);
    assert_eq!(asked_with(&server, "metadata", "nonce"), None);
}

#[test]
fn a_refresh_at_glewlwyd_brings_no_id_token_and_a_new_refresh_token_and_the_account_stays() {
    let Some(server) = shared() else { return };
    let desk = desk(server, "refresh");
    desk.keyfob(&["login", "corp"]).success();
    let (before, first) = (desk.status(), desk.token());
    for round in 1..=3 {
        let token = desk.token();
        desk.refuse(&token);
        assert_ne!(desk.token(), token);
        let renewals = server.front.token_requests("refresh", "refresh_token");
        assert_eq!(renewals.len(), round);
        let answer = &renewals[round - 1].answer;
        assert_eq!((&answer["id_token"], &answer["token_type"]), (&Value::Null, &json!("bearer")));
        assert_ne!(answer["refresh_token"].as_str(), renewals[round - 1].request.field("refresh_token").as_deref());
    }
    assert!(server.takes(&desk.token()));
    assert_ne!(desk.token(), first);
    let after = desk.status();
    assert_eq!((&after["account"], &after["signed_in_at"]), (&before["account"], &before["signed_in_at"]));
    assert_eq!(after["account"], "alice@example.com");
    // an access token here is a JWT signed with a curve
    let header = first.split('.').next().unwrap();
    assert!(first.split('.').count() == 3 && header.starts_with("eyJ"), "{first}");
    assert_eq!(desk.home.wait_for_browser_runs(1).len(), 1);
}

#[test]
fn a_refresh_that_glewlwyd_refuses_without_a_word_logs_nobody_out_in_silence() {
    let Some(server) = shared() else { return };
    let desk = desk(server, "silent");
    desk.keyfob(&["login", "corp"]).success();
    let token = desk.token();
    desk.refuse(&token);
    // somebody else was faster with it: the family is over
    server.front.send_twice("silent", "refresh_token");
    let refused = desk.unattended();
    let last = server.front.token_requests("silent", "refresh_token").pop().unwrap();
    assert_eq!((last.status, last.length), (400, 0), "{last:?}");
    one_error(&refused);
    assert!(refused.stdout.is_empty() && refused.code != Some(0), "{refused:?}");
    assert!(refused.stderr.contains("400"), "{refused:?}");
    // it is said each time, and what was signed in is still shown
    one_error(&desk.unattended());
    assert_eq!(desk.status()["account"], "alice@example.com");
    assert_eq!(desk.home.wait_for_browser_runs(1).len(), 1, "nobody was asked");
    desk.keyfob(&["login", "corp"]).success();
    assert!(server.takes(&desk.token()));
}

#[test]
fn a_code_that_glewlwyd_does_not_take_is_no_sign_in_and_says_so() {
    let Some(server) = shared() else { return };
    let desk = desk(server, "code");
    // each time: a new attempt in the same tab may be made
    server.front.send_twice("code", "authorization_code");
    server.front.send_twice("code", "authorization_code");
    let refused = desk.keyfob(&["login", "corp"]);
    let last = server.front.token_requests("code", "authorization_code").pop().unwrap();
    assert_eq!((last.status, &last.answer), (403, &json!({ "error": "invalid_code" })));
    one_error(&refused);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("invalid_code"), "{refused:?}");
    let visit = desk.home.wait_for_browser_runs(1).remove(0);
    assert_eq!(visit["title"], "Not signed in");
    assert_eq!(desk.status()["signed_in"], false);
}

#[test]
fn a_real_slow_down_is_kept_for_good_and_no_poll_beats_the_interval() {
    let Some(server) = shared() else { return };
    if !peers::require("script") {
        return;
    }
    let desk = desk(server, "slow");
    // the poll before ours makes ours too fast
    server.front.send_twice("slow", DEVICE);
    let mut terminal = desk.ask_for_a_code();
    let polls = || server.front.token_requests("slow", DEVICE);
    until("the first poll", || polls().len() == 2);
    assert_eq!(polls()[1].answer, json!({ "error": "slow_down" }));
    let given = server.front.passed().into_iter().find(|one| {
        one.request.path.ends_with("/device_authorization") && one.request.field("client_id").as_deref() == Some("slow")
    });
    let given = given.unwrap();
    assert_eq!(given.answer["interval"], 2);
    let seen = visit(given.answer["verification_uri_complete"].as_str().unwrap(), &Settings::from(&Default::default()));
    assert_eq!(seen["status"], 200, "{seen}");
    assert_eq!(process::wait(&mut terminal, process::LIMIT), Some(Some(0)), "{}", desk.said("errors"));
    assert!(desk.said("out").starts_with("signed in to corp as alice@example.com"), "{}", desk.said("out"));
    let polls = polls();
    assert_eq!(polls.len(), 3, "{polls:?}");
    let first = polls[1].arrived - given.arrived;
    assert!(first >= Duration::from_secs(2), "the first poll came after {first:?}");
    let next = polls[2].arrived - polls[1].arrived;
    assert!(next >= Duration::from_secs(7), "after slow_down the next poll came after {next:?}");
    assert!(server.takes(&desk.token()));
}

#[test]
fn logout_at_glewlwyd_forgets_here_and_does_not_claim_what_the_server_refused() {
    let Some(server) = shared() else { return };
    let desk = desk(server, "logout");
    desk.keyfob(&["login", "corp"]).success();
    let (token, refresh_token) = (desk.token(), desk.refresh_token(&server.front));
    let output = desk.keyfob(&["logout", "corp"]).success();
    let revocation = server.front.passed().into_iter().rfind(|one| one.request.path.ends_with("/revoke")).unwrap();
    assert_eq!(revocation.status, 401);
    assert!(output.stdout.starts_with("corp: signed out here"), "{output:?}");
    let said = output.stdout + &output.stderr;
    assert!(said.contains("401") && !said.contains("are revoked"), "{said}");
    let again = desk.unattended();
    assert!(again.code == Some(3) && again.stdout.is_empty(), "{again:?}");
    // as was said: the server takes both of them still
    assert!(server.takes(&token));
    let fields = [("grant_type", "refresh_token"), ("client_id", "logout"), ("refresh_token", &*refresh_token)];
    let endpoint = format!("{}/token", server.issuer());
    assert_eq!(http_client::post_form(&endpoint, &[], &fields).unwrap().status, 200);
}

#[test]
fn who_agrees_to_less_is_signed_in_and_told_what_is_missing() {
    let Some(server) = shared() else { return };
    let desk = desk(server, "less");
    desk.home.browser("deny");
    let output = desk.keyfob(&["login", "corp"]).success();
    assert_eq!(
        server.front.token_requests("less", "authorization_code")[0].answer["scope"].as_str(),
        Some("openid"),
        "the server gave what was agreed to"
    );
    assert!(output.stdout.starts_with("signed in to corp as alice@example.com"), "{output:?}");
    assert!(output.stderr.starts_with("keyfob: warning: ") && output.stderr.contains("`repo:read`"), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    let status = desk.keyfob(&["status"]).success().stdout;
    assert!(status.contains("without `repo:read`"), "{status}");
    assert_eq!(desk.status()["scope"], json!(["openid"]));
    // who agrees to all is told nothing
    desk.home.browser("ok");
    let output = desk.keyfob(&["login", "corp"]).success();
    assert_eq!(output.stderr, "");
    assert!(!desk.keyfob(&["status"]).success().stdout.contains("without"));
}

#[test]
fn twenty_with_an_expired_token_refresh_once_at_glewlwyd() {
    let Some(server) = Glewlwyd::start_with(&[("TB_ACCESS_TTL", "3600")]) else { return };
    let desk = desk(&server, "many");
    if !desk.home.use_clock() {
        return;
    }
    desk.keyfob(&["login", "corp"]).success();
    desk.home.set_clock(3601, 3601, 0);
    desk.refreshes_once_for_twenty(&server.front, &|token| server.takes(token));
}

#[test]
fn git_signs_in_at_glewlwyd_and_clones_fetches_and_pushes() {
    if !peers::require("git") {
        return;
    }
    let Some(server) = shared() else { return };
    let ports = free_ports();
    let desk = desk_with(server, "git", &ports);
    desk.works_with_git(&login(server, &ports), &server.front, introspection::taken_at(&server.issuer()));
}

#[test]
fn a_redirect_that_glewlwyd_does_not_know_ends_by_itself_with_the_likely_reason() {
    let Some(server) = shared() else { return };
    let ([known, _], [other, _]) = (free_ports(), free_ports());
    let desk = desk_with(server, "unknown", &[known]);
    desk.configure(&login(server, &[other]));
    if !desk.home.use_clock() {
        return;
    }
    // a wait that begins just as the clock is set lasts as long as the clock was moved, so that is tried again
    let output = (1..=3).find_map(|attempt| {
        desk.home.set_clock(0, 0, 0);
        let mut command = desk.command(&["login", "corp"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let visit = desk.home.wait_for_browser_runs(attempt).pop().unwrap();
        assert_eq!((&visit["status"], &visit["text"], &visit["callback"]), (&json!(403), &json!(""), &Value::Null), "{visit}");
        desk.home.set_clock(0, 0, 301);
        process::wait(&mut child, Duration::from_secs(30)).map(|_| end(child))
    });
    let output = output.expect("it ends by itself");
    one_error(&output);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains("nobody signed in to `corp` within 5 minutes"), "{output:?}");
    assert!(output.stderr.contains("redirect") && output.stderr.contains("keyfob login corp"), "{output:?}");
}
