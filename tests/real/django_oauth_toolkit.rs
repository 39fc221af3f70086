//! django-oauth-toolkit: OAuth 2.0 without OpenID Connect, metadata of RFC 8414 alone, and a client for each grant.
use super::desk::{DEVICE, Desk};
use crate::support::browser::{Settings, visit};
use crate::support::forge::until;
use crate::support::front::Passed;
use crate::support::peers::{self, Django};
use crate::support::process;
use crate::support::scene::one_error;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

/// The table of a login with `more` lines.
fn login(server: &Django, more: &str) -> String {
    format!("issuer = \"{}\"\nscopes = [\"read\", \"write\"]\n{more}", server.issuer())
}

/// A desk whose login is the new `client`.
fn desk(server: &Django, client: &str) -> Desk {
    server.register(client, "authorization-code");
    Desk::new(client, &login(server, ""))
}

/// The one server of the tests that leave it as it is; it ends with the test program.
fn shared() -> Option<&'static Django> {
    static SERVER: OnceLock<Option<Django>> = OnceLock::new();
    // said by each test that is skipped, not by the first alone
    peers::require("django-oauth-toolkit").then(|| SERVER.get_or_init(Django::start).as_ref()).flatten()
}

#[test]
fn a_server_without_openid_is_found_below_its_path_and_signs_in() {
    let Some(server) = Django::start() else { return };
    let desk = desk(&server, "found");
    let output = desk.keyfob(&["login", "corp"]).success();
    assert!(output.stdout.starts_with("signed in to corp: renewed without you"), "{output:?}");
    assert_eq!(output.stderr, "");
    let asked = server.front.passed();
    assert_eq!((asked[0].request.path.as_str(), asked[0].status), ("/.well-known/oauth-authorization-server/o", 200));
    assert!(asked.iter().all(|one| one.request.parameter("nonce").is_none()));
    let code = &server.front.token_requests("found", "authorization_code")[0].answer;
    assert!(code["refresh_token"].is_string() && code["id_token"].is_null(), "{code}");
    // a person may sign in again although the server never says who they are
    desk.keyfob(&["login", "corp"]).success();
    assert!(server.good_tokens()(&desk.token()));
}

#[test]
fn a_server_without_openid_says_by_its_api_whose_a_token_is() {
    let Some(server) = Django::start() else { return };
    let desk = desk(&server, "whose");
    let api = server.issuer().replace("/o", "/api/user");
    desk.configure(&login(&server, &format!("endpoints.userinfo = \"{api}\"\naccount = \"bob\"\n")));
    let refused = desk.keyfob(&["login", "corp"]);
    one_error(&refused);
    assert!(refused.code == Some(4) && refused.stderr.contains("signed in `alice`, and `corp` is for `bob`"), "{refused:?}");
    assert!(!server.good_tokens()(
        server.front.token_requests("whose", "authorization_code")[0].answer["access_token"].as_str().unwrap()
    ));
    desk.home.browser_settings(&[("LOGIN", "bob")]);
    let output = desk.keyfob(&["login", "corp"]).success();
    assert!(output.stdout.starts_with("signed in to corp as bob: ") && output.stderr.is_empty(), "{output:?}");
    assert!(desk.status()["account"] == "bob" && server.good_tokens()(&desk.token()));
    // a token without the scope that the API wants
    desk.configure(&login(&server, &format!("endpoints.userinfo = \"{api}\"\naccount = \"bob\"\n")).replace("\"read\", ", ""));
    let output = desk.keyfob(&["login", "corp"]).success();
    assert!(
        output.stderr.starts_with("keyfob: warning: ") && output.stderr.contains("is taken for `bob`: `127.0.0.1`"),
        "{output:?}"
    );
}

#[test]
fn a_family_at_a_server_without_openid_is_renewed_and_revoked() {
    let Some(server) = shared() else { return };
    desk(server, "family").signs_in_renews_and_revokes(&server.front, &server.good_tokens());
}

#[test]
fn a_family_that_a_reuse_ended_at_a_server_without_openid_needs_a_person_again() {
    let Some(server) = shared() else { return };
    desk(server, "reuse").asks_again_after_a_reuse(&server.front, &server.good_tokens());
}

#[test]
fn a_refusal_is_named_although_the_server_leaves_out_the_iss_that_it_promises() {
    let Some(server) = shared() else { return };
    let desk = desk(server, "refusal");
    desk.home.browser("deny");
    let refused = desk.keyfob(&["login", "corp"]);
    one_error(&refused);
    assert!(refused.code == Some(4) && refused.stderr.contains("access_denied"), "{refused:?}");
    let visit = desk.home.wait_for_browser_runs(1).remove(0);
    let metadata =
        server.front.passed().into_iter().find(|one| one.request.path.starts_with("/.well-known") && one.status == 200);
    let promised = metadata.unwrap().answer["authorization_response_iss_parameter_supported"].clone();
    let callback = visit["hops"].as_array().unwrap().last().unwrap()["url"].as_str().unwrap().to_owned();
    assert!(promised == true && callback.contains("error=access_denied") && !callback.contains("iss="), "{callback}");
    assert_eq!(visit["title"], "Not signed in");
}

/// Types the code that `client` was given where the terminal says, once it was polled for; gives what the server said of it.
#[track_caller]
fn type_the_code(server: &Django, desk: &Desk, client: &str) -> Passed {
    let issued =
        |one: &Passed| one.answer["device_code"].is_string() && one.request.field("client_id").as_deref() == Some(client);
    let given = || server.front.passed().into_iter().rfind(issued);
    until("a code", || given().is_some());
    let given = given().unwrap();
    assert!(given.answer["verification_uri_complete"].is_null(), "{given:?}");
    let (address, code) = (given.answer["verification_uri"].as_str().unwrap(), given.answer["user_code"].as_str().unwrap());
    until("it is shown", || desk.said("screen").contains(&format!("open {address} in any browser and enter the code {code}")));
    until("a poll", || !server.front.token_requests(client, DEVICE).is_empty());
    let seen = visit(address, &Settings::from(&HashMap::from([("CODE".to_owned(), code.to_owned())])));
    assert!(seen["status"] == 200 && seen["text"].as_str().unwrap().contains("Authorized"), "{seen}");
    given
}

#[test]
fn a_code_is_typed_by_a_person_and_asked_for_where_the_metadata_does_not_say_by_a_client_of_its_own() {
    if !peers::require("script") {
        return;
    }
    let Some(server) = shared() else { return };
    let desk = desk(server, "typed");
    let mut terminal = desk.ask_for_a_code();
    assert_eq!(process::wait(&mut terminal, process::LIMIT), Some(Some(6)));
    let errors = desk.said("errors");
    assert!(errors.contains("names no device_authorization endpoint"), "{errors}");
    assert!(errors.contains("set `endpoints.device_authorization` of login `corp` by hand"), "{errors}");

    // the client of the other grant gets a code, and no token for it: what to do is said
    let endpoint = format!("endpoints.device_authorization = \"{}/device-authorization/\"", server.issuer());
    desk.configure(&login(server, &endpoint));
    let mut terminal = desk.ask_for_a_code();
    type_the_code(server, &desk, "typed");
    assert_eq!(process::wait(&mut terminal, process::LIMIT), Some(Some(6)), "{}", desk.said("errors"));
    assert!(desk.said("errors").contains("device_client_id"), "{}", desk.said("errors"));

    server.register("typed-device", DEVICE);
    desk.configure(&login(server, &format!("{endpoint}\ndevice_client_id = \"typed-device\"")));
    let mut terminal = desk.ask_for_a_code();
    let given = type_the_code(server, &desk, "typed-device");
    assert_eq!(process::wait(&mut terminal, process::LIMIT), Some(Some(0)), "{}", desk.said("errors"));

    let polls = server.front.token_requests("typed-device", DEVICE);
    let pauses = polls.windows(2).map(|pair| pair[1].arrived - pair[0].arrived);
    assert!(pauses.chain([polls[0].arrived - given.arrived]).all(|pause| pause >= Duration::from_secs(1)), "{polls:?}");
    // what it brought is renewed by the client that it was given to
    let token = desk.token();
    assert!(server.good_tokens()(&token));
    desk.refuse(&token);
    assert!(desk.token() != token && server.good_tokens()(&desk.token()));
    assert_eq!(server.front.token_requests("typed-device", "refresh_token").len(), 1);
    assert_eq!(server.front.token_requests("typed", "refresh_token").len(), 0);
    assert_eq!(desk.home.browser_runs(), Vec::<Value>::new());
}

#[test]
fn twenty_with_an_expired_token_refresh_once_at_a_server_without_openid() {
    let Some(server) = Django::start() else { return };
    let desk = desk(&server, "many");
    if !desk.home.use_clock() {
        return;
    }
    server.set_access_life(3600);
    desk.keyfob(&["login", "corp"]).success();
    desk.home.set_clock(3601, 3601, 0);
    desk.refreshes_once_for_twenty(&server.front, &server.good_tokens());
}

#[test]
fn git_signs_in_at_a_server_without_openid_and_clones_fetches_and_pushes() {
    if !peers::require("git") {
        return;
    }
    let Some(server) = shared() else { return };
    let desk = desk(server, "git");
    desk.works_with_git(&login(server, ""), &server.front, server.good_tokens());
}
