//! A token that stops being good in the middle of things is replaced within the same git command, with no more calls than it takes; and
//! where nothing helps, the command ends and the next one says why.
use super::versions;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::encoding::sha256_hex;
use crate::support::forge::{Forge, value};
use crate::support::process::{self, Output};
use crate::support::temp_dir::write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Text that git cannot make smaller than its `http.postBuffer` of 1 MiB.
fn large() -> String {
    (0..40_000_u32).map(|number| sha256_hex(&number.to_le_bytes())).collect()
}

/// A clone `work` of a repository `hello`, with the helper's calls counted from here on; and a switch: once it is set, the git server ends
/// every access token as soon as it has taken the next one.
fn clone() -> (Forge, Arc<AtomicBool>) {
    let server = Arc::new(AuthorizationServer::start());
    let (judge, set) = (Arc::clone(&server), Arc::new(AtomicBool::new(false)));
    let switch = Arc::clone(&set);
    let forge = Forge::with(server, move |token| {
        let good = judge.is_alive(token);
        if good && set.swap(false, Ordering::SeqCst) {
            judge.kill_access_tokens();
        }
        good
    });
    let url = forge.git.create("hello");
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    forge.count_calls();
    (forge, switch)
}

fn commit(forge: &Forge, content: &str) {
    write(&forge.home.path().join("work/file"), content);
    forge.git(&["-C", "work", "add", "--all"]).success();
    forge.git(&["-C", "work", "commit", "--quiet", "--message", "More"]).success();
}

/// Runs that git in `work`.
#[track_caller]
fn git(forge: &Forge, git: &Path, arguments: &[&str]) -> Output {
    process::run(forge.command(git).args(["-C", "work"]).args(arguments), b"")
}

/// `git fetch`, a small push, and one larger than git sends in one piece.
fn commands() -> [(&'static str, Option<String>); 3] {
    [("fetch", None), ("push", Some("small\n".into())), ("push", Some(large()))]
}

/// Runs each of the commands in a clone of its own after `before`, without a word; gives the calls of the helper in each.
fn healed(at: &Path, before: impl Fn(&Forge, &AtomicBool)) -> [Vec<String>; 3] {
    commands().map(|(command, content)| {
        let (forge, switch) = clone();
        if let Some(content) = content {
            commit(&forge, &content);
        }
        before(&forge, &switch);
        let told = git(&forge, at, &[command, "--quiet"]).success();
        assert_eq!((told.stdout.as_str(), told.stderr.as_str()), ("", ""), "the person sees nothing of it");
        assert!(!switch.load(Ordering::SeqCst), "no token was ended");
        let counts = forge.server.counts();
        assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0), "{command}");
        assert_eq!(forge.git.head("hello"), git(&forge, at, &["rev-parse", "HEAD"]).success().stdout.trim());
        let calls = forge.calls();
        let asked = forge.server.requests().len();
        git(&forge, at, &["fetch", "--quiet"]).success();
        assert_eq!(forge.server.requests().len(), asked, "what came is kept");
        forge.check();
        calls
    })
}

#[test]
fn a_token_that_was_revoked_costs_one_more_call_of_the_helper_whatever_the_command() {
    let Some(at) = versions::newer() else { return };
    let calls = healed(&at, |forge, _| forge.server.kill_access_tokens());
    assert_eq!(calls, [["get", "getM", "store"]; 3], "a push of more than 1 MiB takes no more than the others");
}

#[test]
fn a_token_that_dies_between_the_first_request_and_the_next_is_replaced_within_the_same_command() {
    let Some(at) = versions::newer() else { return };
    let calls = healed(&at, |_, switch| switch.store(true, Ordering::SeqCst));
    // the second `get` comes without the mark, which git has put away with the token it took for good
    assert_eq!(calls, [["get", "storeM", "get", "getM"]; 3]);
}

#[test]
fn an_older_git_fails_once_where_a_token_dies_between_two_requests_and_then_goes_on() {
    let Some(at) = versions::older() else { return };
    let (forge, switch) = clone();
    switch.store(true, Ordering::SeqCst);
    let first = git(&forge, &at, &["fetch", "--quiet"]);
    assert!(first.code.is_some_and(|code| code != 0), "{first:?}");
    assert_eq!(forge.calls().last().map(String::as_str), Some("erase"));
    git(&forge, &at, &["fetch", "--quiet"]).success();
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, forge.calls()), (1, 1, vec!["get".to_owned(), "store".into()]));
    forge.check();
}

#[test]
fn a_good_token_costs_a_large_push_two_calls() {
    let (forge, _) = clone();
    commit(&forge, &large());
    forge.git(&["-C", "work", "push", "--quiet"]).success();
    assert_eq!(forge.calls(), ["get", "storeM"]);
    let posts = forge.git.log().iter().filter(|one| one.path.ends_with("/git-receive-pack") && one.method == "POST").count();
    assert_eq!(posts, 2, "what is larger than git's buffer is sent after a probe");
    forge.check();
}

/// A forge whose git server takes no token at all, and what the next `git fetch` must say.
fn closed() -> (Forge, String) {
    let (forge, why, open) = with_a_door();
    open.store(false, Ordering::SeqCst);
    (forge, why)
}

/// A forge whose git server takes tokens as long as its door is open, and what the next `git fetch` must say once it is not.
fn with_a_door() -> (Forge, String, Arc<AtomicBool>) {
    let (server, open) = (Arc::new(AuthorizationServer::start()), Arc::new(AtomicBool::new(true)));
    let door = Arc::clone(&open);
    let forge = Forge::with(server, move |_| door.load(Ordering::SeqCst));
    let url = forge.git.create("hello");
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    forge.count_calls();
    let why = format!("127.0.0.1:{} rejects a token that {} has just issued\n", forge.git.port(), forge.server.issuer());
    (forge, format!("keyfob: error: {why}"), open)
}

#[test]
fn one_repository_that_takes_no_token_keeps_no_other_one_of_its_host_from_working() {
    for (at, calls) in [(versions::newer(), &["get", "getM", "erase"][..]), (versions::older(), &["get", "erase"])] {
        let Some(at) = at else { return };
        let (forge, why, open) = with_a_door();
        forge.git(&["clone", "--quiet", "work", "other"]).success();
        forge.git(&["-C", "other", "remote", "set-url", "origin", &forge.git.create("other")]).success();
        open.store(false, Ordering::SeqCst);
        let rounds = if calls.len() == 3 { 1 } else { 2 };
        for _ in 0..rounds {
            let dead = git(&forge, &at, &["fetch", "--quiet"]);
            assert_eq!(
                (dead.code, forge.calls()),
                (Some(128), calls.iter().map(ToString::to_string).collect::<Vec<_>>()),
                "{dead:?}"
            );
        }
        open.store(true, Ordering::SeqCst);
        let refreshes = forge.server.counts().refreshes;
        for _ in 0..3 {
            process::run(forge.command(&at).args(["-C", "other", "fetch", "--quiet"]), b"").success();
            let again = git(&forge, &at, &["fetch", "--quiet"]);
            assert!(again.code == Some(128) && again.stderr.starts_with(&why), "{again:?}");
            assert!(again.stderr.contains("it is tried again after a minute, or after `keyfob login corp`"), "{again:?}");
        }
        assert_eq!((forge.server.counts().authorizations, forge.server.counts().refreshes), (1, refreshes));
        forge.keyfob(&["login", "corp"]).success();
        git(&forge, &at, &["fetch", "--quiet"]).success();
        forge.check();
    }
}

#[test]
fn where_the_next_token_is_refused_as_well_git_reports_it_and_the_command_after_says_why() {
    let Some(at) = versions::newer() else { return };
    let (forge, why) = closed();
    commit(&forge, &large());
    let first = git(&forge, &at, &["push", "--quiet"]);
    assert_eq!((first.code, forge.calls()), (Some(128), ["get", "getM", "erase"].map(String::from).to_vec()), "{first:?}");
    assert!(first.stderr.starts_with(&why), "{first:?}");
    for _ in 0..2 {
        let next = git(&forge, &at, &["push", "--quiet"]);
        assert_eq!((next.code, forge.calls()), (Some(128), vec!["get".to_owned()]));
        assert!(next.stderr.starts_with(&why) && next.stderr.contains("told us to quit"), "{next:?}");
        let answer = forge.ask();
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "quit=1\n"));
        assert!(answer.stderr.starts_with(&why), "{answer:?}");
    }
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, forge.home.wait_for_browser_runs(1).len()), (1, 1, 1));
    forge.check();
}

#[test]
fn where_the_next_token_is_refused_as_well_an_older_git_is_told_at_the_second_erase() {
    let Some(at) = versions::older() else { return };
    let (forge, why) = closed();
    for (calls, told) in [(vec!["get", "erase"], false), (vec!["get", "erase"], true), (vec!["get"], true), (vec!["get"], true)] {
        let output = git(&forge, &at, &["fetch", "--quiet"]);
        assert_eq!((output.code, forge.calls()), (Some(128), calls.into_iter().map(str::to_owned).collect::<Vec<_>>()));
        assert_eq!(output.stderr.starts_with(&why), told, "{output:?}");
    }
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, forge.home.wait_for_browser_runs(1).len()), (1, 1, 1));
    forge.check();
}

#[test]
fn where_the_whole_sign_in_was_ended_the_same_command_asks_the_person_again() {
    let Some(at) = versions::newer() else { return };
    let (forge, _) = clone();
    forge.server.end_sessions();
    forge.server.kill_access_tokens();
    git(&forge, &at, &["fetch", "--quiet"]).success();
    assert_eq!(forge.calls(), ["get", "getM", "store"]);
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(2).len()), (2, 2));
    forge.check();
}

#[test]
fn where_the_whole_sign_in_was_ended_and_nobody_can_be_asked_the_same_command_says_why_and_quits() {
    let Some(at) = versions::newer() else { return };
    let (forge, _) = clone();
    forge.server.end_sessions();
    forge.server.kill_access_tokens();
    let mut command = forge.command(&at);
    command.env("KEYFOB_INTERACTIVE", "never").args(["-C", "work", "fetch", "--quiet"]);
    let output = process::run(&mut command, b"");
    assert_eq!((output.code, forge.calls()), (Some(128), ["get", "getM"].map(String::from).to_vec()));
    let why = "you have to sign in to `corp` again, and nobody can be asked here: the server no longer takes its refresh token";
    assert!(output.stderr.contains(why) && output.stderr.contains("told us to quit"), "{output:?}");
    assert_eq!((forge.server.counts().authorizations, forge.home.browser_runs().len()), (1, 1));
    forge.check();
}

#[test]
fn another_try_is_offered_once_to_who_understands_it_and_its_mark_holds_no_token() {
    let forge = Forge::new();
    let ask = |more: &str| {
        let request = format!("{}{more}", forge.request());
        process::run(forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success().stdout
    };
    let first = ask("");
    let (mark, token) = (value(&first, "state[]").to_owned(), value(&first, "password").to_owned());
    assert_eq!(value(&first, "continue"), "1");
    assert!(mark.starts_with("keyfob:") && mark.len() < 32 && !token.contains(mark.trim_start_matches("keyfob:")), "{mark}");
    assert_eq!(ask("state[]=other:1\n"), first, "another helper's mark says nothing to us");
    let again = ask(&format!("state[]=other:1\nstate[]={mark}\n"));
    assert!(!again.contains("continue") && !again.contains("state"), "{again}");
    assert!(value(&again, "password") != token && forge.server.is_alive(value(&again, "password")));
    assert_eq!(forge.server.counts().refreshes, 1);
    // the mark of a token that was replaced long since costs nothing
    let late = ask(&format!("state[]={mark}\n"));
    assert_eq!((late, forge.server.counts().refreshes), (again, 1));
    let old = process::run(
        forge.command("keyfob").args(["git", "get"]),
        forge.request().replace("capability[]=state\n", "").as_bytes(),
    );
    assert!(!old.stdout.contains("continue") && !old.stdout.contains("state"), "{old:?}");
    forge.check();
}
