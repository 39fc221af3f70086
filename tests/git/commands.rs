//! Clone, fetch and push: the first signs in, the next ask nobody, and a stale token is replaced within the command.
use super::versions;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::encoding::sha256_hex;
use crate::support::forge::Forge;
use crate::support::process::{self, Output};
use crate::support::temp_dir::write;
use std::path::PathBuf;
use std::sync::Arc;

/// Text that git cannot make smaller than its `http.postBuffer` of 1 MiB.
fn large() -> String {
    (0..60_000_u32).map(|number| sha256_hex(&number.to_le_bytes())).collect()
}

fn commit(forge: &Forge, file: &str, content: &str) {
    write(&forge.home.path().join("work").join(file), content);
    forge.git(&["-C", "work", "add", "--all"]).success();
    forge.git(&["-C", "work", "commit", "--quiet", "--message", file]).success();
}

#[test]
fn one_sign_in_answers_clone_fetch_and_push_and_then_no_server_is_asked() {
    let forge = Forge::new();
    let url = forge.git.create("hello");
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    assert!(forge.home.path().join("work/README.md").exists());
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    let asked = forge.server.requests().len();
    let begun = forge.git.head("hello");
    forge.git(&["-C", "work", "fetch", "--quiet"]).success();
    commit(&forge, "small", "a line\n");
    forge.git(&["-C", "work", "push", "--quiet"]).success();
    commit(&forge, "large", &large());
    forge.git(&["-C", "work", "push", "--quiet"]).success();
    let pushed = forge.git(&["-C", "work", "rev-parse", "HEAD"]).success().stdout;
    assert_eq!(forge.git.head("hello"), pushed.trim());
    assert_ne!(forge.git.head("hello"), begun);
    assert_eq!(forge.server.requests().len(), asked, "a cached token needs no request");
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.codes_redeemed, counts.refresh_requests), (1, 1, 0));
    assert_eq!(forge.home.browser_runs().len(), 1);
    forge.check();
}

#[test]
fn an_expired_token_is_refreshed_and_each_command_succeeds() {
    let forge = Forge::new();
    let url = forge.git.create("hello");
    forge.sign_in_and_expire();
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    let refused: Vec<_> = forge.git.log().into_iter().filter(|one| !one.scheme.is_empty() && !one.authorized).collect();
    assert!(refused.is_empty(), "the expired token was not even tried: {refused:?}");
    commit(&forge, "large", &large());
    forge.git(&["-C", "work", "push", "--quiet"]).success();
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0));
    assert!(forge.server.family_alive());
    assert_eq!(forge.home.browser_runs().len(), 1);
    forge.check();
}

#[test]
fn submodules_are_cloned_in_parallel_with_one_sign_in() {
    let forge = Forge::new();
    let url = forge.git.create_with_submodules("whole", 4);
    forge.git(&["clone", "--quiet", "--recurse-submodules", "--jobs=4", &url, "whole"]).success();
    for part in 1..=4 {
        assert!(forge.home.path().join(format!("whole/part-{part}/README.md")).exists());
    }
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.token_requests), (1, 1));
    forge.check();
}

/// A clone whose token was revoked at the server, and `git fetch` in it by that git.
fn revoked(git: PathBuf) -> (Forge, impl Fn(&Forge) -> Output) {
    let forge = Forge::new();
    let url = forge.git.create("hello");
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    forge.server.kill_access_tokens();
    (forge, move |forge: &Forge| process::run(forge.command(&git).args(["-C", "work", "fetch", "--quiet"]), b""))
}

#[test]
fn a_token_that_was_revoked_is_replaced_within_the_same_command() {
    let Some(git) = versions::newer() else { return };
    let (forge, fetch) = revoked(git);
    let told = fetch(&forge).success().stderr;
    assert_eq!(told, "", "the person sees nothing of it");
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes), (1, 1));
    let log = forge.git.log();
    assert_eq!(log.iter().filter(|one| !one.scheme.is_empty() && one.status == 401).count(), 1);
    let asked = forge.server.requests().len();
    fetch(&forge).success();
    assert_eq!(forge.server.requests().len(), asked);
    forge.check();
}

#[test]
fn a_token_that_was_revoked_is_replaced_at_the_second_command_of_an_older_git() {
    let Some(git) = versions::older() else { return };
    let (forge, fetch) = revoked(git);
    let first = fetch(&forge);
    assert!(first.code == Some(128) && first.stderr.contains("Authentication failed"), "{first:?}");
    assert_eq!(forge.server.counts().refresh_requests, 0, "that it was refused is noted, and no more");
    fetch(&forge).success();
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes), (1, 1));
    forge.check();
}

#[test]
fn a_host_that_rejects_every_token_gets_no_browser_per_command_and_the_next_one_says_why() {
    let forge = Forge::with(Arc::new(AuthorizationServer::start()), |_| false);
    let url = forge.git.create("hello");
    let first = forge.git(&["ls-remote", &url]);
    assert_eq!(first.code, Some(128), "{first:?}");
    let asked = forge.server.requests().len();
    let why =
        format!("keyfob: error: 127.0.0.1:{} rejects a token that {} has just issued\n", forge.git.port(), forge.server.issuer());
    for _ in 0..3 {
        let next = forge.git(&["ls-remote", &url]);
        assert!(next.code == Some(128) && next.stderr.contains(&why), "{next:?}");
        assert!(next.stderr.contains("told us to quit"), "{next:?}");
        let answer = forge.ask();
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "quit=1\n"));
        assert!(answer.stderr.starts_with(&why), "{answer:?}");
    }
    assert_eq!(forge.server.requests().len(), asked);
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes), (1, 1));
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    forge.check();
}
