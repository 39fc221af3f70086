//! Small limits on what a process may use: every write that meets one is an error that names the file, nothing is spent, nothing hangs.
use crate::support::process::{self, Output};
use crate::support::scene::{KEPT, Scene, ended_when_it_came, one_error, printable};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

/// Runs `keyfob ARGUMENTS` after the shell's `limit`.
#[track_caller]
fn limited(scene: &Scene, limit: &str, arguments: &str, stdin: &str) -> Output {
    let mut shell = scene.home.command("bash");
    shell.args(["-c", &format!("{limit} && exec keyfob {arguments}")]).env("KEYFOB_INTERACTIVE", "never");
    process::run(&mut shell, stdin.as_bytes())
}

fn expired() -> Scene {
    let scene = Scene::new();
    scene.sign_in_and_expire();
    scene
}

/// The refresh token was spent at most once, and what came for it is there.
#[track_caller]
fn nothing_was_lost(scene: &Scene) {
    let token = scene.token_unattended().success().stdout;
    let counts = scene.server.counts();
    assert!(scene.server.is_alive(token.trim()) && scene.server.family_alive());
    assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0));
}

/// One line that names a file of ours and the limit; no death by a signal.
#[track_caller]
fn names_file_and_limit(output: &Output, said: &str, file: &str) {
    assert!(output.code.is_some(), "a signal ended it: {output:?}");
    assert!(said.contains(file) && said.contains("File too large"), "{output:?}");
    printable(output);
}

const GIT: &str = "protocol=https\nhost=new.example.org\nusername=alice\npassword=pw-new\n\n";
const DOCKER: &str = "{\"ServerURL\":\"new.example.org\",\"Username\":\"alice\",\"Secret\":\"pw-new\"}";

#[test]
fn a_write_of_the_caller_that_meets_the_limit_on_file_sizes_is_an_error_that_names_the_file() {
    let (scene, token) = Scene::signed_in();
    scene.keep_entries();
    for limit in ["ulimit -f 0", "prlimit --pid $$ --fsize=60"] {
        let git = limited(&scene, limit, "git store", GIT);
        names_file_and_limit(&git, &git.stderr, "/keyfob/v1/");
        assert_eq!((git.code, git.stdout.as_str()), (Some(0), ""), "{git:?}");
        let docker = limited(&scene, limit, "docker store", DOCKER);
        names_file_and_limit(&docker, &docker.stdout, "/keyfob/v1/");
        assert_eq!(docker.code, Some(1), "{docker:?}");
        let erase = limited(&scene, limit, "git erase", "protocol=https\nhost=kept.example.org\nusername=alice\n\n");
        names_file_and_limit(&erase, &erase.stderr, "/keyfob/v1/");
        // a token that a server refused is marked in its record
        let refused = format!("protocol=https\nhost=git.example.com\nusername=oauth2\npassword={token}\n\n");
        let erase = limited(&scene, limit, "git erase", &refused);
        names_file_and_limit(&erase, &erase.stderr, "/keyfob/v1/");
        let logout = limited(&scene, limit, "logout corp", "");
        one_error(&logout);
        names_file_and_limit(&logout, &logout.stderr, "/keyfob/v1/");
        assert!(logout.stderr.contains("ulimit -f"), "{logout:?}");
        scene.entries_answer();
        scene.still_answers(&token);
        assert_eq!(scene.server.counts().revocations, 0);
    }
    let output = scene.home.run(["git", "get"], "protocol=https\nhost=new.example.org\n\n");
    assert!(output.stdout.is_empty() && !output.stdout.contains(KEPT), "{output:?}");
}

#[test]
fn a_home_that_cannot_be_begun_for_the_limit_on_file_sizes_is_told_and_begins_without_it() {
    for limit in ["ulimit -f 0", "prlimit --pid $$ --fsize=40"] {
        let scene = Scene::new();
        for arguments in ["login corp", "token corp"] {
            let output = limited(&scene, limit, arguments, "");
            one_error(&output);
            names_file_and_limit(&output, &output.stderr, "/keyfob/");
            assert!(output.code == Some(6) && output.stderr.contains("ulimit -f"), "{output:?}");
        }
        let docker = limited(&scene, limit, "docker store", DOCKER);
        names_file_and_limit(&docker, &docker.stdout, "/keyfob/");
        assert_eq!(scene.server.counts(), Default::default());
        scene.sign_in().success();
        scene.token_unattended().success();
    }
}

#[test]
fn a_refresh_token_is_not_spent_where_the_limit_on_file_sizes_forbids_to_keep_what_comes() {
    for limit in ["ulimit -f 0", "ulimit -f 1", "ulimit -f 40", "prlimit --pid $$ --fsize=65535"] {
        let scene = expired();
        let output = limited(&scene, limit, "token corp", "");
        one_error(&output);
        names_file_and_limit(&output, &output.stderr, "/keyfob/v1/");
        assert!(output.code == Some(6) && output.stderr.contains("ulimit -f"), "{limit}: {output:?}");
        assert_eq!(scene.server.counts().refresh_requests, 0, "{limit}");
        nothing_was_lost(&scene);
    }
}

#[test]
fn with_few_descriptors_it_answers_or_fails_in_one_error_and_spends_nothing_that_is_not_kept() {
    let scene = expired();
    let mut failed = 0;
    for most in 3..40 {
        // one that hangs has not ended after `process::LIMIT`
        let output = limited(&scene, &format!("ulimit -n {most}"), "token corp", "");
        if output.code == Some(0) {
            assert!(scene.server.is_alive(output.stdout.trim()), "{most}: {output:?}");
            break;
        }
        // the system's loader cannot even start it with the least
        if !output.stderr.contains("error while loading shared libraries") {
            one_error(&output);
            failed += 1;
        }
    }
    assert!(failed > 0, "the least was already enough");
    nothing_was_lost(&scene);
}

#[test]
fn with_little_memory_it_answers_or_fails_in_one_error_and_spends_nothing_that_is_not_kept() {
    let scene = expired();
    // in KiB; the first is less than the program itself
    let answered = [8_000, 20_000, 40_000, 80_000, 160_000, 320_000].into_iter().any(|most| {
        let output = limited(&scene, &format!("ulimit -v {most}"), "token corp", "");
        assert_ne!(output.code, Some(70), "{most}: {output:?}");
        output.code == Some(0)
    });
    assert!(answered, "320 MB of addresses are enough");
    nothing_was_lost(&scene);
}

/// The limit does not hold for root, so this is another user's home.
#[test]
fn with_few_processes_it_answers_or_fails_in_one_error_and_spends_nothing_that_is_not_kept() {
    const USER: u32 = 61_937;
    if !fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0) || !Path::new("/usr/bin/setpriv").exists() {
        assert!(std::env::var_os("CI").is_none(), "root and setpriv are needed");
        return eprintln!("SKIPPED: this takes root and setpriv, so a limit on processes was not tested");
    }
    let scene = Scene::new();
    give_away(scene.home.path().parent().unwrap(), USER);
    let shell = |line: &str| {
        let mut shell = scene.home.command("setpriv");
        shell.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", "bash", "-c", line]);
        shell
    };
    scene.server.set_access_life(0);
    ended_when_it_came(&scene.home, &process::run(&mut shell("exec keyfob login corp"), b""));
    scene.server.set_access_life(3600);
    let as_user = |most: u32| {
        let line = format!("ulimit -u {most} && exec keyfob token corp");
        process::run(shell(&line).env("KEYFOB_INTERACTIVE", "never"), b"")
    };
    let mut failed = 0;
    for most in 1..20 {
        let output = as_user(most);
        if output.code == Some(0) {
            break;
        }
        one_error(&output);
        failed += 1;
    }
    assert!(failed > 0, "one process was enough");
    let output = as_user(1000).success();
    let counts = scene.server.counts();
    assert!(scene.server.is_alive(output.stdout.trim()) && scene.server.family_alive());
    assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0));
}

fn give_away(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| !entry.file_type().unwrap().is_symlink()) {
        if entry.file_type().unwrap().is_dir() {
            give_away(&entry.path(), user);
        } else {
            chown(entry.path(), Some(user), Some(user)).unwrap();
        }
    }
}
