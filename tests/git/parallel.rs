//! Many gits at once: one sign-in or one renewal between them, and nobody undoes what another one got.
use super::versions;
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::crowd::{Crowd, Ended};
use crate::support::forge::{Forge, end, until, value};
use crate::support::process;
use crate::support::temp_dir::write;
use std::path::Path;

const MANY: usize = 8;

/// A repository `work` with eight remotes.
fn with_remotes() -> Forge {
    let forge = Forge::new();
    forge.git(&["init", "--quiet", "work"]).success();
    for number in 1..=MANY {
        let url = forge.git.create(&format!("part-{number}"));
        forge.git(&["-C", "work", "remote", "add", &format!("remote-{number}"), &url]).success();
    }
    forge
}

/// Ends all access tokens; the next ones take so long that all who need one meet.
fn revoke(forge: &Forge) {
    forge.server.kill_access_tokens();
    forge.server.fault(Endpoint::Token, Fault::Delay(500));
}

#[track_caller]
fn fetch_all(forge: &Forge, git: &Path) {
    let mut command = forge.command(git);
    let output = process::run(command.args(["-C", "work", "fetch", "--quiet", "--multiple", "--all", "--jobs=8"]), b"").success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
}

#[test]
fn eight_remotes_at_once_sign_in_once_and_have_a_revoked_token_replaced_once() {
    let Some(git) = versions::newer() else { return };
    let forge = with_remotes();
    forge.home.browser_settings(&[("MODE", "slow"), ("MS", "500")]);
    fetch_all(&forge, &git);
    let heads = forge.git(&["-C", "work", "branch", "--remotes"]).success().stdout;
    assert_eq!(heads.lines().count(), MANY, "{heads}");
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(1).len()), (1, 1));
    revoke(&forge);
    fetch_all(&forge, &git);
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refresh_requests, counts.refreshes, counts.reuses), (1, 1, 1, 0));
    forge.check();
}

#[test]
fn twenty_submodules_at_eight_a_time_sign_in_once_and_have_a_revoked_token_replaced_once() {
    const PARTS: usize = 20;
    let Some(git) = versions::newer() else { return };
    let forge = Forge::new();
    forge.git.create_with_submodules("whole", PARTS);
    // the outer repository needs no sign-in, so that all of its parts meet theirs at once
    forge.git(&["clone", "--quiet", &forge.git.repository_path("whole").to_string_lossy(), "work"]).success();
    let run = |arguments: &[&str]| process::run(forge.command(&git).args(["-C", "work"]).args(arguments), b"").success();
    run(&["submodule", "--quiet", "update", "--init", "--jobs", "8"]);
    for part in 1..=PARTS {
        assert!(forge.home.path().join(format!("work/part-{part}/README.md")).exists(), "part-{part}");
    }
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(1).len()), (1, 1));
    forge.server.kill_access_tokens();
    let renewal = forge.server.hold(Endpoint::Token);
    let refused = || forge.git.log().into_iter().filter(|one| !one.scheme.is_empty() && !one.authorized).count();
    std::thread::scope(|scope| {
        let fetch = scope.spawn(|| run(&["fetch", "--quiet", "--recurse-submodules=yes", "--jobs=8"]));
        until("several have the revoked token refused", || refused() > 1 || fetch.is_finished());
        renewal.release();
    });
    let refused = refused();
    let counts = forge.server.counts();
    assert_eq!(
        (counts.authorizations, counts.refresh_requests, counts.refreshes, counts.reuses),
        (1, 1, 1, 0),
        "{refused} refused"
    );
    assert!(refused > 1, "several had the revoked token refused at once");
    forge.check();
}

/// Eight clones `work-1` … of one repository, and a way to run `git fetch` in all of them at once.
fn clones() -> Forge {
    let forge = Forge::new();
    let url = forge.git.create("hello");
    let bare = forge.git.repository_path("hello");
    for number in 1..=MANY {
        let name = format!("work-{number}");
        forge.git(&["clone", "--quiet", &bare.to_string_lossy(), &name]).success();
        forge.git(&["-C", &name, "remote", "set-url", "origin", &url]).success();
    }
    forge
}

fn fetches(forge: &Forge, git: &Path) -> Ended {
    Crowd::start((1..=MANY).map(|number| {
        let mut command = forge.command(git);
        command.args(["-C", &format!("work-{number}"), "fetch", "--quiet"]);
        command
    }))
    .end()
}

/// Panics unless nothing but one sign-in and `refreshes` renewals came of it all, and the login still answers with a good token.
#[track_caller]
fn whole(forge: &Forge, refreshes: usize) {
    forge.wait_for_quiet();
    let asked = forge.server.requests().len();
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")), "a good token was lost");
    assert_eq!(forge.server.requests().len(), asked, "and had to be fetched anew");
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refresh_requests, counts.refreshes, counts.reuses), (1, refreshes, refreshes, 0));
    assert!(forge.server.family_alive());
    assert_eq!(forge.home.wait_for_browser_runs(1).len(), 1);
    forge.check();
}

#[test]
fn fetches_that_overlap_without_a_terminal_sign_in_once_and_have_a_revoked_token_replaced_once() {
    let Some(git) = versions::newer() else { return };
    let forge = clones();
    forge.home.browser_settings(&[("MODE", "slow"), ("MS", "500")]);
    for round in 0..2 {
        let ended = fetches(&forge, &git);
        assert!(ended.outputs.iter().all(|output| output.code == Some(0) && output.stderr.is_empty()), "{:?}", ended.outputs);
        assert_eq!(ended.workers, 1, "round {round}");
        revoke(&forge);
    }
    let ended = fetches(&forge, &git);
    // what was renewed because of a refusal was refused again within seconds: once more would not help, and that is said
    assert!(ended.outputs.iter().all(|output| output.code == Some(128)), "{:?}", ended.outputs);
    assert_eq!(ended.workers, 0);
    let counts = forge.server.counts();
    assert_eq!((counts.authorizations, counts.refresh_requests, forge.home.browser_runs().len()), (1, 1, 1));
    forge.check();
}

#[test]
fn overlapping_fetches_of_an_older_git_lose_no_token_to_a_late_erase() {
    let Some(git) = versions::older() else { return };
    let forge = clones();
    forge.ask().success();
    forge.server.kill_access_tokens();
    let first = fetches(&forge, &git);
    assert!(first.outputs.iter().any(|output| output.code == Some(128)), "the revoked token was refused: {:?}", first.outputs);
    let second = fetches(&forge, &git);
    assert!(second.outputs.iter().all(|output| output.code == Some(0)), "{:?}", second.outputs);
    assert!(first.workers + second.workers == 1, "{} and {}", first.workers, second.workers);
    whole(&forge, 1);
}

/// git reports a refused token when it gets round to it: by then another one may have its successor.
#[test]
fn a_report_that_comes_after_the_renewal_does_not_undo_it() {
    let Some(git) = versions::older() else { return };
    let forge = clones();
    forge.ask().success();
    forge.script("late", "[ \"$1\" != erase ] || { : >\"$HOME/erasing\"; while [ ! -e \"$HOME/go\" ]; do sleep 0.05; done; }; exec keyfob git \"$@\"");
    forge.server.kill_access_tokens();
    let mut late = forge.command(&git);
    late.args(["-c", "credential.helper=", "-c", "credential.helper=!exec late", "-C", "work-1", "fetch", "--quiet"]);
    let late = forge.spawn(&mut late);
    until("git reports the token", || forge.home.path().join("erasing").exists());
    let fetch = || process::run(forge.command(&git).args(["-C", "work-2", "fetch", "--quiet"]), b"");
    assert_eq!(fetch().code, Some(128));
    fetch().success();
    let fresh = forge.ask().success().stdout;
    write(&forge.home.path().join("go"), "");
    assert_eq!(end(late).code, Some(128));
    assert_eq!(forge.ask().success().stdout, fresh, "the late report undid the renewal");
    whole(&forge, 1);
}
