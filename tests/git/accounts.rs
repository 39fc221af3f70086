//! Several accounts of one host: told apart by what git knows of them, also where the host wants one fixed user name of all.
use super::versions;
use crate::support::authorization_server::Endpoint;
use crate::support::forge::{Forge, value};
use crate::support::home::Home;
use crate::support::process::{self, Output};
use std::path::{Path, PathBuf};

/// A login at the forge's server as one of GitLab's, which takes no user name but `oauth2`.
fn gitlab_login(forge: &Forge, name: &str) -> String {
    let issuer = forge.server.issuer();
    let scopes = "scopes = [\"openid\", \"read_repository\", \"write_repository\"]";
    format!(
        "[login.{name}]\npreset = \"gitlab\"\nhost = \"{issuer}\"\nclient_id = \"keyfob\"\naccount = \"{name}\"\n{scopes}\n\
         endpoints.authorization = \"{issuer}/authorize\"\nendpoints.token = \"{issuer}/token\"\n"
    )
}

fn host(forge: &Forge) -> String {
    format!("127.0.0.1:{}", forge.git.port())
}

/// Two accounts of a host that wants `oauth2` of both: each with a clone, each signed in.
fn two_at_a_gitlab() -> Forge {
    let forge = Forge::new();
    forge.server.configure(|settings| {
        settings.refresh_always = true;
        settings.iss_parameter = false;
    });
    let mut config = String::new();
    for name in ["alice", "bob"] {
        config += &gitlab_login(&forge, name);
        config += &format!("[git.\"http://{name}@{}\"]\nlogin = \"{name}\"\n", host(&forge));
    }
    forge.configure(&config);
    let url = forge.git.create("hello");
    let tail = url.strip_prefix("http://").unwrap();
    for name in ["alice", "bob"] {
        forge.server.configure(|settings| settings.account = name.into());
        forge.git(&["clone", "--quiet", &format!("http://{name}@{tail}"), name]).success();
    }
    assert_eq!(forge.server.counts().authorizations, 2);
    forge
}

/// Two accounts of a host that takes either name.
fn two_by_name() -> Forge {
    let forge = Forge::new();
    let mut config = String::new();
    for name in ["alice", "bob"] {
        config += &forge.login(name, &format!("account = \"{name}\""));
        config += &format!("[git.\"http://{name}@{}\"]\nlogin = \"{name}\"\n", host(&forge));
    }
    forge.configure(&config);
    forge
}

/// What keyfob answers git for this account.
fn answer(forge: &Forge, username: &str) -> Output {
    let request = format!("protocol=http\nhost={}\nusername={username}\n", host(forge));
    process::run(forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success()
}

fn token(forge: &Forge, username: &str) -> String {
    let answer = answer(forge, username).stdout;
    assert_eq!(value(&answer, "username"), "oauth2");
    value(&answer, "password").to_owned()
}

fn kept(home: &Home) -> Vec<PathBuf> {
    home.files().into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rec")).collect()
}

#[track_caller]
fn fetch(forge: &Forge, git: &Path, name: &str) -> Output {
    process::run(forge.command(git).args(["-C", name, "fetch", "--quiet"]), b"")
}

#[test]
fn two_accounts_behind_one_fixed_user_name_keep_their_own_tokens_and_nothing_is_stored_twice() {
    let forge = two_at_a_gitlab();
    let before = kept(&forge.home);
    assert_eq!(before.len(), 2, "one record of each login, and no stored entry");
    assert_ne!(token(&forge, "alice"), token(&forge, "bob"));
    for name in ["alice", "bob"] {
        forge.git(&["-C", name, "fetch", "--quiet"]).success();
    }
    assert_eq!(kept(&forge.home), before);
    for nobody in ["oauth2", "carol"] {
        let answer = answer(&forge, nobody);
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("", ""), "{nobody} could be either");
    }
    // what somebody types in for a third account is theirs to keep
    let typed = format!("protocol=http\nhost={}\nusername=carol\npassword=typed-by-hand\n", host(&forge));
    process::run(forge.command("git").args(["credential", "approve"]), typed.as_bytes()).success();
    assert_eq!(value(&answer(&forge, "carol").stdout, "password"), "typed-by-hand");
    forge.check();
}

#[test]
fn behind_one_fixed_user_name_the_account_whose_token_was_refused_is_renewed_within_the_same_command() {
    let Some(git) = versions::newer() else { return };
    let forge = two_at_a_gitlab();
    let (alice, bob) = (token(&forge, "alice"), token(&forge, "bob"));
    forge.server.kill_access_tokens();
    fetch(&forge, &git, "bob").success();
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().refreshes), (2, 1));
    assert_eq!(token(&forge, "alice"), alice, "nothing was asked for alice");
    assert!(token(&forge, "bob") != bob && forge.server.is_alive(&token(&forge, "bob")));
    fetch(&forge, &git, "alice").success();
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().refreshes), (2, 2));
    assert_eq!(kept(&forge.home).len(), 2);
    forge.check();
}

#[test]
fn behind_one_fixed_user_name_an_older_gits_report_reaches_the_account_that_it_is_about() {
    let Some(git) = versions::older() else { return };
    let forge = two_at_a_gitlab();
    let alice = token(&forge, "alice");
    forge.server.kill_access_tokens();
    assert_eq!(fetch(&forge, &git, "bob").code, Some(128));
    fetch(&forge, &git, "bob").success();
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().refreshes), (2, 1));
    assert_eq!(token(&forge, "alice"), alice);
    forge.check();
}

#[test]
fn an_account_beside_the_hosts_own_login_is_told_apart_by_its_token_where_both_are_answered_alike() {
    let Some(git) = versions::newer() else { return };
    let forge = Forge::new();
    let url = forge.git.create("hello");
    let tail = url.strip_prefix("http://").unwrap();
    let logins = forge.login("everybody", "") + &forge.login("alice", "account = \"alice\"");
    let place = host(&forge);
    forge.configure(&format!(
        "{logins}[git.\"http://{place}\"]\nlogin = \"everybody\"\n[git.\"http://alice@{place}\"]\nlogin = \"alice\"\nusername = \"oauth2\"\n"
    ));
    forge.git(&["clone", "--quiet", &url, "everybody"]).success();
    forge.git(&["clone", "--quiet", &format!("http://alice@{tail}"), "alice"]).success();
    let everybody = token(&forge, "");
    forge.server.kill_access_tokens();
    fetch(&forge, &git, "alice").success();
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes), (2, 1));
    assert!(forge.server.is_alive(&token(&forge, "alice")));
    assert_eq!(token(&forge, ""), everybody, "the other login was left alone");
    forge.check();
}

#[test]
fn the_user_name_in_gits_configuration_chooses_the_account() {
    let forge = two_by_name();
    let url = forge.git.create("hello");
    let wide = "[credential]\n\tusername = alice\n";
    let narrow = format!("{wide}[credential \"http://{}\"]\n\tusername = bob\n", host(&forge));
    for (count, (name, more)) in (1..).zip([("alice", wide), ("bob", &narrow)]) {
        forge.helper("!exec keyfob git", more);
        forge.server.configure(|settings| settings.account = name.into());
        forge.git(&["clone", "--quiet", &url, name]).success();
        assert_eq!(forge.server.counts().authorizations, count, "{name}");
        let answer = answer(&forge, name).stdout;
        assert_eq!(value(&answer, "username"), name);
    }
    assert_eq!(forge.home.wait_for_browser_runs(2).len(), 2);
    forge.check();
}

#[test]
fn two_organisations_of_a_host_have_an_account_each_where_git_sends_the_path() {
    let Some(git) = versions::newer() else { return };
    let forge = Forge::new();
    let mut config = String::new();
    for name in ["red", "blue"] {
        config += &forge.login(name, &format!("account = \"{name}\""));
        config += &format!("[git.\"{}/private/{name}\"]\nlogin = \"{name}\"\n", forge.git.url());
    }
    forge.configure(&config);
    forge.helper("!exec keyfob git", &format!("[credential \"{}\"]\n\tuseHttpPath = true\n", forge.git.url()));
    for name in ["red", "blue"] {
        forge.server.configure(|settings| settings.account = name.into());
        for repository in ["one", "two"] {
            let url = forge.git.create(&format!("{name}/{repository}"));
            forge.git(&["clone", "--quiet", &url, &format!("{name}-{repository}")]).success();
        }
    }
    assert_eq!(forge.server.counts().authorizations, 2, "one sign-in for all repositories of an organisation");
    assert_eq!(kept(&forge.home).len(), 2);
    let fetched = |name: &str| fetch(&forge, &git, &format!("{name}-one")).success();
    let asked = forge.server.requests().len();
    for name in ["red", "blue"] {
        fetched(name);
    }
    assert_eq!(forge.server.requests().len(), asked);
    let ask = |name: &str, more: &str| {
        let request = format!("{}path=private/{name}/one.git\nusername=oauth2\n{more}", forge.request());
        process::run(forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success().stdout
    };
    let (red, blue) = (ask("red", ""), ask("blue", ""));
    let crossed = ask("blue", &format!("state[]={}\n", value(&red, "state[]")));
    assert_eq!(value(&crossed, "password"), value(&blue, "password"), "a mark leads to no account of another place");
    assert_eq!(forge.server.requests().len(), asked);
    forge.server.kill_access_tokens();
    fetched("red");
    assert_eq!(forge.server.counts().refreshes, 1);
    fetched("blue");
    fetch(&forge, &git, "blue-two").success();
    assert_eq!(forge.server.counts().refreshes, 2);
    assert_eq!(forge.server.requests().iter().filter(|one| one.endpoint == Endpoint::Authorize).count(), 2);
    forge.check();
}

#[test]
fn who_names_none_of_a_hosts_accounts_is_told_their_names() {
    let forge = two_by_name();
    let host = host(&forge);
    let told = format!(
        "keyfob: error: {host} has the accounts alice, bob: name one in the URL, as http://alice@{host}/, or run \
         `git config --global credential.http://{host}.username alice`\n"
    );
    let ask = |request: &str| {
        let output = process::run(forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success();
        (output.stdout, output.stderr)
    };
    let nobody = (String::new(), String::new());
    // without a store, and with compiled routes
    for round in 1..=2 {
        assert_eq!(ask(&forge.request()), (String::new(), told.clone()), "round {round}");
        assert_eq!(ask(&format!("{}username=\n", forge.request())), (String::new(), told.clone()));
        assert_eq!(ask(&format!("{}username=carol\n", forge.request())), nobody);
        assert_eq!(ask("protocol=http\nhost=127.0.0.1:1\n"), nobody);
        let elsewhere = "protocol=https\nhost=kept.example\nusername=u\npassword=p\n";
        process::run(forge.command("keyfob").args(["git", "store"]), elsewhere.as_bytes()).success();
        std::thread::sleep(std::time::Duration::from_millis(2100));
        ask("protocol=https\nhost=elsewhere.example\n");
    }
    assert!(forge.home.files().iter().any(|file| file.ends_with("routes")), "the second round had compiled routes");
    let output = forge.git(&["clone", "--quiet", &forge.git.create("hello"), "work"]);
    assert!(output.code == Some(128) && output.stderr.starts_with(&told), "{output:?}");
    // what was typed in for another account answers as before
    let typed = format!("protocol=http\nhost={host}\nusername=carol\npassword=typed-by-hand\n");
    process::run(forge.command("git").args(["credential", "approve"]), typed.as_bytes()).success();
    assert_eq!(value(&ask(&forge.request()).0, "password"), "typed-by-hand");
    assert!(forge.server.requests().is_empty());
    forge.check();
}
