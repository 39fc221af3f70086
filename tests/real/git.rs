//! Real git with keyfob as its only helper, and a sign-in server whose tokens run out.
use super::{attended, configuration, good_tokens};
use crate::support::git_server::GitServer;
use crate::support::home::Home;
use crate::support::peers::{self, OidcProvider};
use crate::support::process::{self, Output};
use crate::support::temp_dir::write;
use serde_json::json;

/// Makes keyfob git's only helper in `home`.
pub(super) fn configure(home: &Home) {
    let text = "[credential]\n\thelper =\n\thelper = !keyfob git\n[user]\n\tname = Alice\n\temail = alice@example.com\n";
    write(&home.path().join(".gitconfig"), text);
}

/// git in `home`, with a person to ask.
#[track_caller]
pub(super) fn git(home: &Home, arguments: &[&str]) -> Output {
    process::run(attended(home.command("git")).args(arguments), b"")
}

#[test]
fn git_signs_in_once_and_a_token_that_ran_out_is_renewed_before_git_sees_it() {
    if !peers::require("git") {
        return;
    }
    let Some(server) = OidcProvider::start_with(&[("TB_ACCESS_TTL", "3600")]) else { return };
    let (home, hosted) = (Home::new(), GitServer::start(good_tokens(&server)));
    let url = hosted.create("app");
    home.write_config(&configuration(&server, &format!("[git.\"{}\"]\nlogin = \"corp\"\n", hosted.url())));
    if !home.use_clock() {
        return;
    }
    configure(&home);
    git(&home, &["clone", "--quiet", &url, "app"]).success();
    assert_eq!(server.token_requests("refresh_token", "arrived"), 0);
    home.set_clock(3601, 3601, 0);
    git(&home, &["-C", "app", "fetch", "--quiet"]).success();
    assert_eq!(server.stats()["token"]["refresh_token"], json!({ "arrived": 1, "ok": 1, "error": 0 }));
    let before = server.stats()["requests"].clone();
    write(&home.path().join("app/new"), "new\n");
    git(&home, &["-C", "app", "add", "new"]).success();
    git(&home, &["-C", "app", "commit", "--quiet", "--message", "More"]).success();
    git(&home, &["-C", "app", "push", "--quiet"]).success();
    assert_eq!(hosted.head("app"), git(&home, &["-C", "app", "rev-parse", "HEAD"]).success().stdout.trim());
    let mut after = server.stats()["requests"].clone();
    after["POST /token/introspection"] = before["POST /token/introspection"].clone();
    assert_eq!(after, before, "beside the git server nobody asked the sign-in server for anything");
    assert!(hosted.log().iter().all(|request| request.authorized || request.scheme.is_empty()), "{:?}", hosted.log());
    assert_eq!(home.wait_for_browser_runs(1).len(), 1);
}
