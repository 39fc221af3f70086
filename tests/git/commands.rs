//! Clone, fetch and push: the first signs in, the next ask nobody, and what has ended is renewed before git sees it.
use super::versions;
use crate::support::encoding::sha256_hex;
use crate::support::forge::Forge;
use crate::support::process;
use crate::support::temp_dir::write;

/// Text that git cannot make smaller than its `http.postBuffer` of 1 MiB.
pub(super) fn large() -> String {
    (0..60_000_u32).map(|number| sha256_hex(&number.to_le_bytes())).collect()
}

pub(super) fn commit(forge: &Forge, file: &str, content: &str) {
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

#[test]
fn a_token_that_was_revoked_is_replaced_at_the_second_command_of_an_older_git() {
    let Some(git) = versions::older() else { return };
    let forge = Forge::new();
    let url = forge.git.create("hello");
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    forge.server.kill_access_tokens();
    let fetch = || process::run(forge.command(&git).args(["-C", "work", "fetch", "--quiet"]), b"");
    let first = fetch();
    assert!(first.code == Some(128) && first.stderr.contains("Authentication failed"), "{first:?}");
    assert_eq!(forge.server.counts().refresh_requests, 0, "that it was refused is noted, and no more");
    fetch().success();
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes), (1, 1));
    forge.check();
}
