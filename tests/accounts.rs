//! One login and several accounts: none takes another's place unless the person asks for that, and what was the former one's ends.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::home::Home;
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, one_error, printable};
use crate::support::sts::Sts;
use std::process::Stdio;

const SWITCH: [&str; 3] = ["login", "corp", "--switch-account"];

/// Signed in as alice; from now on it is bob who signs in.
fn alice_then_bob() -> (Scene, String) {
    let (scene, token) = Scene::signed_in();
    become_bob(&scene);
    (scene, token)
}

fn become_bob(scene: &Scene) {
    scene.server.configure(|settings| (settings.account, settings.email) = ("bob".into(), "bob@example.com".into()));
}

fn prompts(scene: &Scene) -> Vec<String> {
    let asked = scene.server.requests().into_iter().filter(|request| request.endpoint == Endpoint::Authorize);
    asked.map(|request| request.prompt).collect()
}

/// Bob is signed in, and alice's tokens are dead.
#[track_caller]
fn is_bob(scene: &Scene, output: &Output, former: &str) {
    assert!(output.stdout.starts_with("signed in to corp as bob@example.com: "), "{output:?}");
    assert_eq!(scene.server.families_alive(), [false, true]);
    let token = scene.token();
    assert!(token != former && scene.server.is_alive(&token) && !scene.server.is_alive(former));
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

#[test]
fn another_account_is_refused_and_the_way_to_take_it_is_said() {
    let (scene, token) = alice_then_bob();
    let output = scene.sign_in();
    one_error(&output);
    assert!(
        output.code == Some(4) && output.stderr.contains("run `keyfob login corp --switch-account` to change it"),
        "{output:?}"
    );
    assert_eq!(scene.server.families_alive(), [true, false]);
    scene.still_answers(&token);
}

#[test]
fn another_account_is_taken_where_the_person_asks_and_the_former_ones_tokens_are_revoked() {
    let (scene, token) = alice_then_bob();
    let output = scene.home.run(SWITCH, "").success();
    assert_eq!(output.stderr, "");
    is_bob(&scene, &output, &token);
    // one of two words is for the refresh token (OpenID Connect Core section 11)
    assert_eq!(prompts(&scene), ["consent", "login consent"]);
    assert!(scene.server.requests().iter().all(|request| request.login_hint.is_empty()));
    assert_eq!(scene.server.counts().revocations, 2);
    scene.home.scan_for_secrets(&scene.server.issued_secrets());
}

#[test]
fn the_same_account_may_be_chosen_and_nothing_of_it_is_revoked() {
    let (scene, token) = Scene::signed_in();
    let output = scene.home.run(SWITCH, "").success();
    assert!(output.stdout.starts_with("signed in to corp as alice@example.com: ") && output.stderr.is_empty(), "{output:?}");
    assert_eq!((scene.server.families_alive(), scene.server.counts().revocations), (vec![true, true], 0));
    assert_ne!(scene.token(), token);
}

#[test]
fn who_never_signed_in_can_choose_too() {
    let scene = Scene::new();
    let output = scene.home.run(["login", "--switch-account"], "").success();
    assert!(output.stdout.starts_with("signed in to corp as alice@example.com: ") && output.stderr.is_empty(), "{output:?}");
    assert_eq!((prompts(&scene), scene.server.counts().revocations), (vec!["login consent".to_owned()], 0));
}

#[test]
fn a_configured_account_is_not_chosen_by_hand() {
    let scene = Scene::new();
    scene.home.write_config(&scene.config().replace("[git.", "account = \"alice\"\n[git."));
    scene.sign_in().success();
    let token = scene.token();
    become_bob(&scene);
    let refused = scene.home.run(SWITCH, "");
    one_error(&refused);
    assert!(refused.code == Some(6) && refused.stderr.contains("`corp` is for the account `alice` alone"), "{refused:?}");
    assert_eq!(
        (scene.server.counts().authorizations, scene.home.browser_runs().len()),
        (1, 1),
        "and nobody is asked for nothing"
    );
    let hints = scene.server.requests().into_iter().filter(|request| request.endpoint == Endpoint::Authorize);
    assert_eq!(hints.map(|request| request.login_hint).collect::<Vec<_>>(), ["alice"]);
    scene.still_answers(&token);
}

#[test]
fn a_server_that_does_not_say_what_it_knows_is_asked_for_what_all_of_them_know() {
    let (scene, token) = alice_then_bob();
    // as npm's oidc-provider, which refuses a request for a list of accounts
    scene.server.configure(|settings| settings.prompts = Some(vec!["none", "login", "consent"]));
    let output = scene.home.run(SWITCH, "").success();
    is_bob(&scene, &output, &token);
    assert_eq!(prompts(&scene), ["consent", "login consent"]);
}

#[test]
fn a_server_that_says_what_it_knows_is_asked_in_those_words_at_once() {
    let list = vec!["login", "consent", "select_account"];
    for (known, asked) in
        [(list, "select_account consent"), (vec!["login", "consent"], "login consent"), (vec!["consent"], "consent")]
    {
        let (scene, token) = alice_then_bob();
        scene.server.configure(|settings| (settings.prompts, settings.prompts_announced) = (Some(known), true));
        let output = scene.home.run(SWITCH, "").success();
        is_bob(&scene, &output, &token);
        assert_eq!(prompts(&scene), ["consent", asked]);
    }
}

#[test]
fn what_is_revoked_is_what_the_former_account_has_by_then() {
    let scene = Scene::new();
    scene.sign_in_and_expire();
    let page = scene.server.hold(Endpoint::Authorize);
    let mut login = scene.home.keyfob(SWITCH).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    scene.server.wait_for(Endpoint::Authorize, 2);
    let token = scene.token_unattended().success().stdout.trim().to_owned();
    assert_eq!(scene.server.counts().refreshes, 1, "renewed while the person is at it");
    become_bob(&scene);
    page.release();
    assert_eq!(process::wait(&mut login, process::LIMIT), Some(Some(0)));
    // this server does nothing for a refresh token that was replaced
    assert!(!scene.server.families_alive()[0]);
    assert!(!scene.server.is_alive(&token));
}

#[test]
fn a_former_token_that_could_not_be_revoked_is_said_and_the_new_account_is_signed_in() {
    let (scene, token) = alice_then_bob();
    scene.server.fault_times(Endpoint::Revoke, Fault::Status(401, Vec::new(), Vec::new()), 99);
    let output = scene.home.run(SWITCH, "").success();
    printable(&output);
    assert!(output.stdout.starts_with("signed in to corp as bob@example.com: "), "{output:?}");
    let says = "keyfob: warning: the refresh token of `corp` was not revoked and stays good until its server ends it: it refused";
    assert!(output.stderr.starts_with(says) && output.stderr.lines().count() == 1, "{output:?}");
    assert!(scene.server.is_alive(&token), "what is said is true");
}

#[test]
fn tokens_of_which_the_server_says_not_whose_they_are_are_left_alone_and_it_is_said() {
    let scene = Scene::new();
    scene.server.configure(|settings| settings.refresh_always = true);
    scene.home.write_config(&scene.config().replace("\"openid\", \"offline_access\"", "\"repo\""));
    scene.sign_in().success();
    let token = scene.token();
    become_bob(&scene);
    let output = scene.home.run(SWITCH, "").success();
    let says = "keyfob: warning: the tokens that `corp` had before were not revoked: the server does not say whose they are";
    assert!(output.stderr.starts_with(says) && output.stderr.contains(&scene.server.issuer()), "{output:?}");
    assert!(scene.server.is_alive(&token) && scene.server.is_alive(&scene.token()));
    assert_eq!(prompts(&scene), ["", "select_account"]);
}

#[test]
fn credentials_of_the_former_account_are_handed_out_no_more() {
    let (scene, _) = Scene::signed_in();
    let sts = Sts::trusting(&scene.server.issuer(), "keyfob");
    let aws = || process::run(scene.home.keyfob(["aws", "get", "prod"]).env("AWS_ENDPOINT_URL_STS", sts.url()), b"").success();
    let alices = aws().stdout;
    assert_eq!(aws().stdout, alices, "from the cache");
    become_bob(&scene);
    scene.home.run(SWITCH, "").success();
    assert_ne!(aws().stdout, alices);
    let names: Vec<String> = sts
        .exchanges()
        .into_iter()
        .map(|fields| fields.into_iter().find(|(name, _)| name == "RoleSessionName").map(|(_, value)| value).unwrap_or_default())
        .collect();
    assert_eq!(names, ["alice@example.com", "bob@example.com"]);
}

#[test]
fn the_flag_is_for_a_sign_in_alone() {
    let home = Home::new();
    assert_eq!(home.run(["logout", "--switch-account"], "").code, Some(2));
    assert_eq!(home.run(["token", "corp", "--switch-account"], "").code, Some(2));
}
