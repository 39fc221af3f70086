//! Which login answers git: by account, by path, and as what kind of credential.
use super::commands::{commit, large};
use super::versions;
use crate::support::forge::{Forge, value};
use crate::support::git_server::Challenge;
use crate::support::home::Home;
use crate::support::process;

#[test]
fn two_accounts_on_a_host_are_told_apart_by_user_name() {
    let forge = Forge::new();
    let host = format!("127.0.0.1:{}", forge.git.port());
    let mut config = String::new();
    for name in ["alice", "bob"] {
        config += &forge.login(name, &format!("account = \"{name}\""));
        config += &format!("[git.\"http://{name}@{host}\"]\nlogin = \"{name}\"\n");
    }
    forge.configure(&config);
    let url = forge.git.create("hello");
    let tail = url.strip_prefix("http://").unwrap();
    let mut tokens = Vec::new();
    for (number, name) in (1..).zip(["alice", "bob"]) {
        forge.server.configure(|settings| settings.account = name.into());
        forge.git(&["clone", "--quiet", &format!("http://{name}@{tail}"), name]).success();
        assert_eq!(forge.server.counts().authorizations, number);
        let request = format!("protocol=http\nhost={host}\nusername={name}\n");
        let answer = process::run(forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success().stdout;
        assert_eq!(value(&answer, "username"), name);
        tokens.push(value(&answer, "password").to_owned());
    }
    assert_ne!(tokens[0], tokens[1]);
    for name in ["alice", "bob"] {
        forge.git(&["-C", name, "fetch", "--quiet"]).success();
    }
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(2).len()), (2, 2));
    let nobody = format!("protocol=http\nhost={host}\nusername=carol\n");
    let answer = process::run(forge.command("keyfob").args(["git", "get"]), nobody.as_bytes()).success();
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("", ""), "nobody is configured for that name");
    forge.check();
}

#[test]
fn the_longest_path_wins_by_whole_segments() {
    let forge = Forge::new();
    let (root, config) =
        (forge.git.url(), forge.login("wide", "account = \"alice\"") + &forge.login("deep", "account = \"bob\""));
    let routes = format!("[git.\"{root}\"]\nlogin = \"wide\"\n[git.\"{root}/private/team\"]\nlogin = \"deep\"\n");
    forge.configure(&(config + &routes));
    let ask = |path: &str| {
        let request = format!("protocol=http\nhost=127.0.0.1:{}\npath={path}\n", forge.git.port());
        let answer = process::run(forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success().stdout;
        value(&answer, "password").to_owned()
    };
    let wide = ask("private/other.git");
    forge.server.configure(|settings| settings.account = "bob".into());
    let deep = ask("private/team/tool.git");
    assert_ne!(wide, deep);
    assert_eq!(forge.server.counts().authorizations, 2);
    for (path, expected) in [("", &wide), ("private", &wide), ("private/teams/x.git", &wide), ("private/team", &deep)] {
        assert_eq!(ask(path), *expected, "{path}");
    }
    forge.git.create("team/tool");
    let url = forge.git.repository_url("team/tool");
    forge.server.kill_access_tokens();
    forge.git(&["-c", "credential.useHttpPath=true", "ls-remote", &url]).success();
    assert_eq!((ask("private/other.git"), forge.server.counts().refreshes), (wide, 1), "only the deep one was renewed");
    assert_ne!(ask("private/team/tool.git"), deep);
    forge.check();
}

#[test]
fn a_host_that_takes_bearer_tokens_gets_one_in_the_header() {
    let forge = Forge::new();
    forge.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\nbearer = true\n", forge.login("corp", ""), forge.git.url()));
    forge.git.challenge(Challenge::Bearer);
    let url = forge.git.create("hello");
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    let schemes: Vec<String> = forge.git.log().into_iter().map(|one| one.scheme).collect();
    assert!(schemes.iter().any(|scheme| scheme == "bearer") && !schemes.iter().any(|scheme| scheme == "basic"), "{schemes:?}");
    let answer = forge.ask().success().stdout;
    let token = value(&answer, "credential");
    assert!(forge.server.is_alive(token));
    assert_eq!((value(&answer, "authtype"), value(&answer, "ephemeral")), ("Bearer", "1"));
    assert!(!answer.contains("password="), "{answer}");
    forge.server.kill_access_tokens();
    forge.git(&["-C", "work", "fetch", "--quiet"]).success();
    assert_eq!(forge.server.counts().refreshes, 1, "a refused one is replaced within the command as well");
    let old = format!("protocol=http\nhost=127.0.0.1:{}\n", forge.git.port());
    let answer = process::run(forge.command("keyfob").args(["git", "get"]), old.as_bytes()).success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")), "an older git gets it as a password");
    forge.check();
}

/// What README says of it.
#[test]
fn before_git_2_54_a_large_push_to_a_host_that_takes_bearer_tokens_alone_needs_a_larger_buffer() {
    let Some(git) = versions::newer() else { return };
    let forge = Forge::new();
    forge.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\nbearer = true\n", forge.login("corp", ""), forge.git.url()));
    forge.git.challenge(Challenge::Bearer);
    let url = forge.git.create("hello");
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    commit(&forge, "large", &large());
    let push = |buffer: &str| {
        let buffer = format!("http.postBuffer={buffer}");
        process::run(forge.command(&git).args(["-c", &buffer, "-C", "work", "push", "--quiet"]), b"")
    };
    let first = push("1M");
    let sends_it_always = versions::version(&git).is_some_and(|at| at >= (2, 54));
    assert_eq!(first.code == Some(0), sends_it_always, "{first:?}");
    forge.keyfob(&["login", "corp"]).success();
    commit(&forge, "larger", &large());
    push("100M").success();
}

#[test]
fn on_a_configured_host_what_other_helpers_know_is_neither_kept_nor_believed() {
    let forge = Forge::new();
    let ours = forge.ask().success().stdout;
    forge.wait_for_quiet();
    let asked = forge.server.requests().len();
    let kept = || forge.home.files().into_iter().filter(|file| !file.ends_with("routes")).collect::<Vec<_>>();
    let before = kept();
    let foreign = format!("protocol=http\nhost=127.0.0.1:{}\nusername=someone\npassword=foreign-secret\n", forge.git.port());
    for action in ["approve", "reject"] {
        let output = process::run(forge.command("git").args(["credential", action]), foreign.as_bytes()).success();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
        assert_eq!(forge.ask().success().stdout, ours, "after {action}");
    }
    assert_eq!(forge.server.requests().len(), asked);
    assert_eq!(kept(), before, "nothing more is kept");
    forge.check();
}

#[test]
fn the_capabilities_are_named_for_git() {
    let home = Home::new();
    for answer in [home.run(["git", "capability"], ""), home.run(["git", "capability"], "protocol=https\nhost=h\n")] {
        let answer = answer.success();
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("version 0\ncapability authtype\ncapability state\n", ""));
    }
    assert!(home.processes().is_empty() && !home.key_file().exists());
}
