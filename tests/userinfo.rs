//! Whose a token is, where no ID token says so: the server is asked, and what it does not say is not made up.
use crate::support::authorization_server::{Endpoint, Fault, Recorded};
use crate::support::scene::{Scene, one_error, printable};
use serde_json::{Value, json};
use std::sync::Arc;

/// A server without OpenID Connect, as GitHub is one, whose API tells whose a token is; with the login `corp` there.
fn scene(more: &str) -> Scene {
    let scene = Scene::new();
    scene.server.configure(|settings| {
        (settings.refresh_always, settings.iss_parameter) = (true, false);
        settings.userinfo_patch = Some(Arc::new(|answer| {
            *answer = json!({ "login": answer["sub"], "id": answer["sub"].as_str().map(str::len), "email": null });
        }));
    });
    scene.home.write_config(&login(&scene, "corp", more));
    scene
}

fn login(scene: &Scene, name: &str, more: &str) -> String {
    let url = scene.server.issuer();
    format!(
        "[login.{name}]\nclient_id = \"keyfob\"\nscopes = [\"repo\"]\nendpoints.authorization = \"{url}/authorize\"\n\
         endpoints.token = \"{url}/token\"\nendpoints.revocation = \"{url}/revoke\"\n{more}\n"
    )
}

fn with_userinfo(scene: &Scene, account: &str) -> String {
    let account = if account.is_empty() { String::new() } else { format!("account = \"{account}\"\n") };
    format!("endpoints.userinfo = \"{}/userinfo\"\n{account}", scene.server.issuer())
}

fn asked(scene: &Scene) -> Vec<Recorded> {
    scene.server.requests().into_iter().filter(|request| request.endpoint == Endpoint::Userinfo).collect()
}

fn accounts(scene: &Scene) -> Vec<String> {
    let status: Value = serde_json::from_str(&scene.home.run(["status", "--json"], "").success().stdout).unwrap();
    let logins = status["logins"].as_array().unwrap();
    logins.iter().map(|login| login["account"].as_str().unwrap_or("nobody").to_owned()).collect()
}

fn become_bob(scene: &Scene) {
    scene.server.configure(|settings| settings.account = "bob".into());
}

#[test]
fn two_accounts_of_a_server_without_openid_are_told_apart() {
    let scene = scene("");
    let mut config = String::new();
    for name in ["alice", "bob"] {
        config += &login(&scene, name, &with_userinfo(&scene, name));
        config += &format!("[git.\"https://{name}@git.example.com\"]\nlogin = \"{name}\"\n");
    }
    scene.home.write_config(&config);
    scene.home.run(["login", "alice"], "").success();
    let refused = scene.home.run(["login", "bob"], "");
    one_error(&refused);
    let said = "the server signed in `alice`, and `bob` is for `bob`";
    assert!(refused.code == Some(4) && refused.stderr.contains(said), "{refused:?}");
    assert_eq!((scene.server.families_alive(), accounts(&scene)), (vec![true, false], vec!["alice".into(), "nobody".into()]));
    become_bob(&scene);
    scene.home.run(["login", "bob"], "").success();
    assert_eq!((scene.server.families_alive(), accounts(&scene)), (vec![true, false, true], vec!["alice".into(), "bob".into()]));
    let token = |name: &str| {
        let request = format!("protocol=https\nhost=git.example.com\nusername={name}\n\n");
        scene.git("get", request.as_bytes()).success().stdout
    };
    assert_ne!(token("alice"), token("bob"));
    assert_eq!(asked(&scene).len(), 3, "once a sign-in");
    let bearers =
        asked(&scene).into_iter().all(|request| request.authorization.starts_with("Bearer ") && request.parameters.is_empty());
    assert!(bearers, "{:?}", asked(&scene));
    scene.home.scan_for_secrets(&scene.server.issued_secrets());
}

#[test]
fn another_account_is_noticed_where_none_is_configured() {
    let scene = scene("");
    scene.home.write_config(&login(&scene, "corp", &with_userinfo(&scene, "")));
    scene.sign_in().success();
    assert_eq!(accounts(&scene), ["alice"]);
    become_bob(&scene);
    let refused = scene.sign_in();
    one_error(&refused);
    assert!(refused.stderr.contains("run `keyfob login corp --switch-account` to change it"), "{refused:?}");
    let output = scene.home.run(["login", "corp", "--switch-account"], "").success();
    assert!(output.stdout.starts_with("signed in to corp as bob: ") && output.stderr.is_empty(), "{output:?}");
    assert_eq!((scene.server.families_alive(), accounts(&scene)), (vec![false, false, true], vec!["bob".to_owned()]));
}

#[test]
fn a_refresh_asks_nobody_and_the_account_stays() {
    let scene = scene("");
    scene.home.write_config(&login(&scene, "corp", &with_userinfo(&scene, "alice")));
    if !scene.home.use_clock() {
        return;
    }
    scene.sign_in().success();
    scene.home.set_clock(4000, 4000, 0);
    scene.token_unattended().success();
    assert_eq!((scene.server.counts().refreshes, asked(&scene).len(), accounts(&scene)), (1, 1, vec!["alice".to_owned()]));
}

#[test]
fn a_server_that_does_not_say_is_believed_and_the_doubt_is_said() {
    let scene = scene("account = \"alice\"");
    let output = scene.sign_in().success();
    printable(&output);
    let said = format!(
        "keyfob: warning: `{}` does not say which account signed in to `corp`; it is taken for `alice` \
         (if it is another, run `keyfob login corp --switch-account`)\n",
        scene.server.issuer()
    );
    assert_eq!((output.stderr.as_str(), asked(&scene).len(), accounts(&scene)), (said.as_str(), 0, vec!["nobody".to_owned()]));
    let token = scene.token();
    // with the same configuration, and an endpoint that answers nothing of use
    scene.home.write_config(&login(&scene, "corp", &with_userinfo(&scene, "alice")));
    let elsewhere = format!("{}/userinfo?", scene.server.issuer());
    let rows: [(Fault, &str); 6] = [
        (Fault::Status(403, Vec::new(), b"{\"login\":\"alice\"}".to_vec()), "status 403"),
        (Fault::Status(302, vec![("location".into(), elsewhere)], Vec::new()), "status 302"),
        (Fault::json(200, &json!({ "login": ["alice"], "id": null })), "its answer names nobody"),
        (Fault::Status(200, Vec::new(), b"<html>alice</html>".to_vec()), "its answer names nobody"),
        (Fault::Status(200, Vec::new(), vec![b' '; 2 << 20]), "its answer is larger than 1 MiB"),
        (Fault::Drop, "cannot reach `127.0.0.1`"),
    ];
    for (number, (fault, reason)) in rows.into_iter().enumerate() {
        scene.server.fault(Endpoint::Userinfo, fault);
        let output = scene.sign_in().success();
        printable(&output);
        assert!(output.stderr.starts_with("keyfob: warning: ") && output.stderr.contains(reason), "{reason}: {output:?}");
        assert_eq!((output.stderr.lines().count(), asked(&scene).len()), (1, number + 1), "{reason}: {output:?}");
    }
    assert_ne!(scene.token(), token);
    // it says so now, and from now on it has to
    scene.sign_in().success();
    scene.server.fault(Endpoint::Userinfo, Fault::Status(503, Vec::new(), Vec::new()));
    let refused = scene.sign_in();
    one_error(&refused);
    let said =
        "the server did not say which account it signed in to `corp`: `127.0.0.1` does not say whose a token is: status 503";
    assert!(refused.code == Some(4) && refused.stderr.contains(said), "{refused:?}");
}

#[test]
fn an_account_that_only_the_userinfo_of_openid_connect_names_is_found_there() {
    let scene = Scene::new();
    let config = scene.config();
    scene.server.configure(|settings| {
        settings.userinfo_patch = Some(Arc::new(|answer| answer["nickname"] = "ali".into()));
    });
    scene.home.write_config(&config);
    scene.sign_in().success();
    assert_eq!(asked(&scene).len(), 0, "the ID token says enough");
    scene.home.write_config(&config.replace("[git.", "account = \"ali\"\n[git."));
    let output = scene.sign_in().success();
    assert!(output.stdout.starts_with("signed in to corp as ali: ") && output.stderr.is_empty(), "{output:?}");
    assert_eq!(asked(&scene).len(), 1);
    // an ID token of one account, and the access token of another
    scene.server.configure(|settings| {
        settings.userinfo_patch = Some(Arc::new(|answer| *answer = json!({ "sub": "bob", "nickname": "ali" })));
    });
    let refused = scene.sign_in();
    one_error(&refused);
    assert!(refused.code == Some(4) && refused.stderr.contains("the tokens are of two different accounts"), "{refused:?}");
    assert_eq!(scene.server.families_alive(), [true, true, false]);
    scene.home.scan_for_secrets(&scene.server.issued_secrets());
}
