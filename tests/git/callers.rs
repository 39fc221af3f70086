//! Callers beside git itself: cargo, whose libgit2 asks in a way of its own, and git-lfs.
use super::versions;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::encoding::sha256_hex;
use crate::support::forge::Forge;
use crate::support::git_server::Logged;
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::temp_dir::write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs cargo on a package whose one dependency is at `url`, with libgit2 alone, and no network but this machine's. Each run knows
/// nothing of the one before.
fn cargo_fetch(forge: &Forge, url: &str, run: usize) -> Output {
    let (package, cargo) = (forge.home.path().join("package"), Path::new(env!("CARGO")));
    let folder = forge.home.path().join(format!("cargo-{run}"));
    write(&folder.join("config.toml"), "[net]\ngit-fetch-with-cli = false\nretry = 0\n");
    let manifest = format!("[package]\nname = \"user\"\nedition = \"2021\"\n[dependencies]\nused = {{ git = \"{url}\" }}\n");
    write(&package.join("Cargo.toml"), manifest);
    write(&package.join("src/lib.rs"), "");
    let _ = std::fs::remove_file(package.join("Cargo.lock"));
    let mut command = forge.command(cargo);
    command.args(["fetch", "--quiet"]).current_dir(&package).env("CARGO_HOME", &folder);
    command.env("RUSTC", cargo.with_file_name("rustc"));
    process::run(&mut command, b"")
}

/// A forge whose routes name this host, and a repository there that is a package; gives its URL.
fn packages(host: &str) -> (Forge, String) {
    let forge = Forge::new();
    let base = format!("http://{host}:{}", forge.git.port());
    forge.configure(&format!("{}[git.\"{base}\"]\nlogin = \"corp\"\n", forge.login("corp", "")));
    forge.count_calls();
    forge.git.create_from("used", |work| {
        write(&work.join("Cargo.toml"), "[package]\nname = \"used\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
        write(&work.join("src/lib.rs"), "");
    });
    (forge, format!("{base}/private/used.git"))
}

fn refused(log: &[Logged]) -> usize {
    log.iter().filter(|one| !one.scheme.is_empty() && !one.authorized).count()
}

#[test]
fn cargo_fetches_a_git_dependency_through_libgit2_with_one_sign_in() {
    let (forge, url) = packages("localhost");
    cargo_fetch(&forge, &url, 1).success();
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(1).len()), (1, 1));
    let calls = forge.calls();
    assert!(calls.contains(&"get".into()) && !calls.iter().any(|call| call == "store" || call == "erase"), "{calls:?}");
    let asked = forge.server.requests().len();
    cargo_fetch(&forge, &url, 2).success();
    assert_eq!(forge.server.requests().len(), asked, "what was minted for cargo is kept, though it never says `store`");
    assert_eq!(refused(&forge.git.log()), 0);
    forge.check();
}

#[test]
fn cargo_gets_a_renewed_token_where_the_one_that_is_kept_has_ended() {
    let (forge, url) = packages("localhost");
    forge.sign_in_and_expire();
    cargo_fetch(&forge, &url, 1).success();
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, refused(&forge.git.log())), (1, 1, 0));
    forge.check();
}

/// libgit2's reader names no host for an address of numbers: such a request is no one's.
#[test]
fn cargo_asks_without_a_host_for_an_address_of_numbers_and_gets_nothing_by_that() {
    let (forge, url) = packages("127.0.0.1");
    let output = cargo_fetch(&forge, &url, 1);
    assert!(output.code.is_some_and(|code| code != 0) && output.stderr.contains("authenticat"), "{output:?}");
    assert!(!output.stderr.contains("panicked") && forge.calls().contains(&"get".into()), "{output:?}");
    assert_eq!((forge.server.counts().authorizations, forge.home.browser_runs().len()), (0, 0));
    assert_eq!(refused(&forge.git.log()), 0);
    forge.check();
}

const FILES: usize = 6;

/// A clone `work` with large files that are committed and not yet pushed, and whether the git server takes tokens at all; none where
/// git-lfs is missing.
fn large_files() -> Option<(Forge, Arc<AtomicBool>)> {
    if !peers::require("git-lfs") {
        return None;
    }
    let (server, open) = (Arc::new(AuthorizationServer::start()), Arc::new(AtomicBool::new(true)));
    let (judge, door) = (Arc::clone(&server), Arc::clone(&open));
    let forge = Forge::with(server, move |token| door.load(Ordering::SeqCst) && judge.is_alive(token));
    let url = forge.git.create("hello");
    forge.git(&["lfs", "install", "--skip-repo"]).success();
    forge.git(&["clone", "--quiet", &url, "work"]).success();
    forge.git(&["-C", "work", "lfs", "track", "*.bin"]).success();
    for number in 0..FILES {
        write(&forge.home.path().join(format!("work/{number}.bin")), content(number));
    }
    forge.git(&["-C", "work", "add", "--all"]).success();
    forge.git(&["-C", "work", "commit", "--quiet", "--message", "Large"]).success();
    Some((forge, open))
}

fn content(number: usize) -> String {
    sha256_hex(&number.to_le_bytes()).repeat(1000)
}

#[track_caller]
fn arrived(forge: &Forge, folder: &str) {
    for number in 0..FILES {
        let text = std::fs::read_to_string(forge.home.path().join(format!("{folder}/{number}.bin"))).unwrap();
        assert!(text == content(number), "{folder}/{number}.bin is {} bytes", text.len());
    }
}

#[test]
fn large_files_come_and_go_with_the_token_that_git_has() {
    let Some((forge, _)) = large_files() else { return };
    let asked = forge.server.requests().len();
    forge.git(&["-C", "work", "push", "--quiet"]).success();
    forge.git(&["clone", "--quiet", &forge.git.repository_url("hello"), "again"]).success();
    arrived(&forge, "again");
    let moved = |method: &str| {
        forge.git.log().iter().filter(|one| one.method == method && one.path.contains("/lfs/data/") && one.status == 200).count()
    };
    assert_eq!((moved("PUT"), moved("GET")), (FILES, FILES));
    assert_eq!(forge.server.requests().len(), asked);
    assert_eq!((forge.server.counts().authorizations, refused(&forge.git.log())), (1, 0));
    forge.check();
}

#[test]
fn a_token_that_was_revoked_is_replaced_within_the_push_and_the_pull_of_large_files() {
    let (Some((forge, _)), Some(git)) = (large_files(), versions::newer()) else { return };
    forge.git(&["-C", "work", "push", "--quiet"]).success();
    forge.git(&["clone", "--quiet", "--no-checkout", &forge.git.repository_url("hello"), "again"]).success();
    forge.server.kill_access_tokens();
    // git itself asks no server for a checkout, so it is git-lfs that meets the refusal
    let output = process::run(forge.command(&git).args(["-C", "again", "checkout", "--quiet", "main"]), b"");
    assert_eq!(output.code, Some(0), "{output:?}");
    arrived(&forge, "again");
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0));
    assert!(refused(&forge.git.log()) >= 1, "the revoked token was tried");
    forge.check();
}

/// git-lfs asks again for as long as it is given something to try.
#[test]
fn large_files_of_a_host_that_takes_no_token_cost_one_renewal_and_an_end_with_the_reason() {
    let (Some((forge, open)), Some(git)) = (large_files(), versions::newer()) else { return };
    forge.git(&["-C", "work", "push", "--quiet"]).success();
    forge.git(&["clone", "--quiet", "--no-checkout", &forge.git.repository_url("hello"), "again"]).success();
    open.store(false, Ordering::SeqCst);
    forge.count_calls();
    forge.git(&["lfs", "install", "--skip-repo"]).success();
    let output = process::run(forge.command(&git).args(["-C", "again", "checkout", "--quiet", "main"]), b"");
    assert!(output.code.is_some_and(|code| code != 0), "{output:?}");
    assert!(output.stderr.contains("rejects a token that"), "{output:?}");
    // from then on each attempt is told to quit at once
    let calls = forge.calls();
    assert_eq!(calls[..5], ["get", "erase", "get", "erase", "get"], "{calls:?}");
    assert!(calls[5..].iter().all(|call| call == "get") && calls.len() <= 5 + FILES, "{calls:?}");
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refresh_requests, forge.home.wait_for_browser_runs(1).len()), (1, 1, 1));
    forge.check();
}
