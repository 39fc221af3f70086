//! Working folders that are gone, homes that are missing or cannot be written, and odd umasks.
use crate::support::authorization_server::Endpoint;
use crate::support::crowd::Crowd;
use crate::support::forge::{Forge, end, value};
use crate::support::home::browser_program;
use crate::support::process;
use crate::support::scene::{Scene, one_error};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

#[test]
fn a_working_folder_that_is_gone_changes_nothing() {
    let forge = Forge::new();
    forge.caller(); // leaves the request
    for line in
        ["login corp", "git get < \"$HOME/request\"", "token corp", "status", "logout corp", "git get < \"$HOME/request\""]
    {
        let mut shell = forge.command("sh");
        let output = process::run(
            shell.args(["-c", &format!("mkdir \"$HOME/gone\"; cd \"$HOME/gone\"; rmdir \"$HOME/gone\"; exec keyfob {line}")]),
            b"",
        );
        let output = output.success();
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{line}: {output:?}");
    }
    assert_eq!(forge.server.counts().authorizations, 2);
    forge.check();
}

#[test]
fn without_a_home_what_it_needs_is_said_once_and_another_state_folder_will_do() {
    let (scene, token) = Scene::signed_in();
    let bare = |arguments: &[&str]| {
        let mut command = scene.home.keyfob(arguments);
        for name in ["HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
        command
    };
    for arguments in [&["token", "corp"][..], &["login", "corp"], &["git", "get"]] {
        let output = process::run(&mut bare(arguments), b"protocol=https\nhost=git.example.com\n\n");
        assert!(output.stdout.is_empty() && output.code != Some(70) && output.code.is_some(), "{arguments:?}: {output:?}");
        if arguments[0] != "git" {
            one_error(&output);
        }
    }
    let mut command = bare(&["token", "corp"]);
    command.env("KEYFOB_CONFIG", scene.home.config_file()).env("KEYFOB_STATE_DIR", scene.home.state().join("keyfob"));
    assert_eq!(process::run(&mut command, b"").success().stdout.trim(), token);
    assert_eq!(scene.server.counts().authorizations, 1);
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0)
}

/// `program` as a user who is not root, for whom modes count; the home is theirs.
fn as_other(forge: &Forge, arguments: &[&str]) -> Command {
    let mut command = forge.command("setpriv");
    command.args(["--reuid=61938", "--regid=61938", "--clear-groups"]).args(arguments);
    command
}

/// A forge whose home belongs to another user than root; `None`, said loudly, where that cannot be.
fn others_forge() -> Option<Forge> {
    if !is_root() || !std::path::Path::new("/usr/bin/setpriv").exists() {
        assert!(std::env::var_os("CI").is_none(), "root and setpriv are needed");
        // not `eprintln!`: the test runner would keep it to itself as long as the test passes
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: this takes root and setpriv, so homes for which modes count were not tested");
        return None;
    }
    let forge = Forge::new();
    forge.caller(); // leaves the request
    let above = forge.home.path().parent().unwrap().to_owned();
    assert!(Command::new("chown").args(["-R", "61938:61938"]).arg(above).status().unwrap().success());
    Some(forge)
}

#[test]
fn in_a_home_that_cannot_be_written_nothing_is_begun_and_the_folder_is_named() {
    let Some(forge) = others_forge() else { return };
    for folder in [forge.home.state(), forge.home.path()] {
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o500)).unwrap();
    }
    let output = process::run(&mut as_other(&forge, &["keyfob", "login", "corp"]), b"");
    one_error(&output);
    assert!(
        output.code == Some(6) && output.stderr.contains("ermission denied") && output.stderr.contains("/keyfob"),
        "{output:?}"
    );
    assert_eq!((forge.server.requests().len(), forge.home.browser_runs().len()), (0, 0));
    let unrouted = process::run(&mut as_other(&forge, &["keyfob", "git", "get"]), b"protocol=https\nhost=x.example\n\n");
    assert_eq!((unrouted.code, unrouted.stdout.as_str(), unrouted.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn whatever_the_umask_is_files_are_for_their_owner_alone_and_open_to_them() {
    let Some(forge) = others_forge() else { return };
    for umask in ["000", "777"] {
        let _ = fs::remove_dir_all(forge.home.state().join("keyfob"));
        let _ = fs::remove_file(forge.home.key_file());
        // all of them begin the home at once
        let line = format!("umask {umask}; exec keyfob git get < \"$HOME/request\"");
        let storm = Crowd::start((0..40).map(|_| as_other(&forge, &["sh", "-c", &line]))).end();
        let answer = storm.answer();
        assert!(forge.server.is_alive(value(&answer, "password")), "{umask}");
        forge.wait_for_quiet();
        let mut places = vec![forge.home.state().join("keyfob"), forge.home.state().join("keyfob/v1")];
        places.extend(fs::read_dir(&places[1]).unwrap().flatten().map(|entry| entry.path()));
        let files: Vec<_> =
            places.iter().filter(|path| path.is_dir()).flat_map(|path| fs::read_dir(path).unwrap().flatten()).collect();
        places.extend(files.into_iter().map(|entry| entry.path()));
        places.push(forge.home.key_file());
        assert!(places.len() > 8, "{places:?}");
        for place in places {
            let mode = fs::metadata(&place).unwrap().mode() & 0o7777;
            let wanted = if place.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{umask}: {} {mode:o}", place.display());
        }
    }
    assert_eq!(forge.server.counts().authorizations, 2, "one for each umask");
}

/// What a person downloads with it is theirs to share.
#[test]
fn a_browser_has_the_umask_of_its_caller_although_the_worker_has_its_own() {
    let forge = Forge::new();
    let script = forge.home.bin().join("watched");
    let text = format!("#!/bin/sh\numask > \"$HOME/umask.browser\"\nexec {} \"$@\"\n", browser_program().display());
    crate::support::temp_dir::write(&script, text);
    fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).unwrap();
    let page = forge.server.hold(Endpoint::Authorize);
    forge.caller(); // leaves the request
    let mut shell = forge.command("sh");
    shell.args(["-c", "umask 027; exec keyfob git get <request"]).env("KEYFOB_BROWSER", &script);
    let caller = forge.spawn(&mut shell);
    forge.server.wait_for(Endpoint::Authorize, 1);
    let worker = forge.workers().remove(0);
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(status.contains("Umask:\t0077\n"), "{status}");
    page.release();
    end(caller).success();
    assert_eq!(fs::read_to_string(forge.home.path().join("umask.browser")).unwrap().trim(), "0027");
    forge.check();
}
