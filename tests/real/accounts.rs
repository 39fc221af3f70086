//! Another account, and a sign-out, at a server that nobody here wrote.
use super::{configuration, good_tokens};
use crate::support::home::Home;
use crate::support::peers::OidcProvider;
use serde_json::{Value, json};

/// A home that was signed in as alice, and the browser of bob from now on; her token.
fn alice_then_bob(server: &OidcProvider) -> (Home, String) {
    let home = Home::new();
    home.write_config(&configuration(server, ""));
    home.run(["login", "corp"], "").success();
    let token = home.run(["token", "corp"], "").success().stdout.trim().to_owned();
    home.browser_settings(&[("LOGIN", "bob")]);
    (home, token)
}

fn revocations(server: &OidcProvider) -> Value {
    server.stats()["requests"]["POST /token/revocation"].clone()
}

#[test]
fn an_account_changes_where_the_person_asks_and_the_former_ones_grant_is_gone() {
    let Some(server) = OidcProvider::start() else { return };
    let (home, alices) = alice_then_bob(&server);
    let good = good_tokens(&server);
    let refused = home.run(["login", "corp"], "");
    assert!(refused.code == Some(4) && refused.stderr.contains("--switch-account"), "{refused:?}");
    assert_eq!(revocations(&server), json!(2), "what came and was not taken is given back");
    assert!(good(&alices) && home.run(["token", "corp"], "").success().stdout.trim() == alices);
    let output = home.run(["login", "corp", "--switch-account"], "").success();
    assert!(output.stdout.starts_with("signed in to corp as bob@example.com: renewed without you"), "{output:?}");
    assert_eq!(output.stderr, "");
    let bobs = home.run(["token", "corp"], "").success().stdout.trim().to_owned();
    assert!(!good(&alices) && good(&bobs));
    let authorizations = server.stats()["authorizations"].clone();
    assert_eq!((&authorizations["begun"], &authorizations["ok"]), (&json!(3), &json!(3)), "{authorizations}");
    let runs = home.wait_for_browser_runs(3);
    assert!(runs.len() == 3 && runs[2]["text"].as_str().unwrap().contains("bob@example.com"), "{runs:?}");
    // and what came can be renewed
    server.forget("AccessToken");
    let stale = format!("protocol=https\nhost=h\nusername=x\npassword={bobs}\n\n");
    home.write_config(&configuration(&server, "[git.\"https://h\"]\nlogin = \"corp\"\n"));
    home.run(["git", "erase"], &stale).success();
    assert!(good(home.run(["token", "corp"], "").success().stdout.trim()));
    assert_eq!(server.token_requests("refresh_token", "ok"), 1);
}

#[test]
fn the_same_account_is_chosen_and_its_new_tokens_stay_good() {
    let Some(server) = OidcProvider::start() else { return };
    let (home, _) = alice_then_bob(&server);
    home.browser_settings(&[("LOGIN", "alice")]);
    let output = home.run(["login", "corp", "--switch-account"], "").success();
    assert!(output.stdout.starts_with("signed in to corp as alice@example.com") && output.stderr.is_empty(), "{output:?}");
    assert!(good_tokens(&server)(home.run(["token", "corp"], "").success().stdout.trim()));
    assert_eq!(revocations(&server), Value::Null);
}

#[test]
fn a_sign_out_ends_the_grant_and_signed_access_tokens_are_no_alarm() {
    for jwt in [false, true] {
        let settings: &[(&str, &str)] = if jwt { &[("TB_JWT", "1")] } else { &[] };
        let Some(server) = OidcProvider::start_with(settings) else { return };
        let (home, token) = alice_then_bob(&server);
        assert_eq!(token.matches('.').count(), if jwt { 2 } else { 0 }, "a JWT has three parts");
        let output = home.run(["logout", "corp"], "").success();
        assert_eq!(output.stderr, "");
        let says = if jwt {
            "corp: signed out; what its server does not revoke"
        } else {
            "corp: signed out, and its tokens are revoked"
        };
        assert!(output.stdout.starts_with(says), "{output:?}");
        assert_eq!(revocations(&server), json!(2));
        assert!(jwt || !good_tokens(&server)(&token));
        let log = home.run(["log", "--json"], "").success().stdout;
        assert!(log.lines().last().unwrap().contains("\"event\":\"revoked\""), "{log}");
    }
}

#[test]
fn an_account_that_the_id_token_does_not_name_is_found_at_the_userinfo_endpoint() {
    let Some(server) = OidcProvider::start_with(&[("TB_CONFORM", "1")]) else { return };
    let home = Home::new();
    let login = |name: &str| super::login(&server, name, "") + &format!("account = \"{name}@example.com\"\n");
    home.write_config(&(login("alice") + &login("bob")));
    home.browser_settings(&[("LOGIN", "alice")]);
    let refused = home.run(["login", "bob"], "");
    let said = "the server signed in `alice@example.com`, and `bob` is for `bob@example.com`";
    assert!(refused.code == Some(4) && refused.stderr.contains(said), "{refused:?}");
    assert_eq!(revocations(&server), json!(2));
    home.run(["login", "alice"], "").success();
    home.browser_settings(&[("LOGIN", "bob")]);
    let output = home.run(["login", "bob"], "").success();
    assert!(output.stdout.starts_with("signed in to bob as bob@example.com") && output.stderr.is_empty(), "{output:?}");
    assert_eq!(server.stats()["requests"]["GET /me"], json!(3), "{}", server.stats()["requests"]);
    let good = good_tokens(&server);
    let token = |name: &str| home.run(["token", name], "").success().stdout.trim().to_owned();
    assert!(token("alice") != token("bob") && good(&token("alice")) && good(&token("bob")));
}
