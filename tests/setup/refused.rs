//! What is not changed: files that somebody else manages, holds or broke, and those that are none.
use super::hosts::{Desk, ROUTES};
use crate::support::process;
use crate::support::scene::one_error;
use crate::support::temp_dir::{make_private, write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

/// Runs both directions with `environment`; each must be refused with `says`, and nothing written.
#[track_caller]
fn refused(desk: &Desk, environment: &[(&str, &str)], says: &str) {
    let before = (std::fs::read(desk.file()).ok(), desk.home.files());
    for words in [&["setup", "git"][..], &["setup", "git", "--undo"]] {
        let output = process::run(desk.home.keyfob(words).envs(environment.iter().copied()), b"");
        one_error(&output);
        assert!(output.code == Some(6) && output.stdout.is_empty(), "{output:?}");
        assert!(output.stderr.contains(says) && output.stderr.contains("keyfob: hint: "), "{says}: {output:?}");
    }
    assert_eq!((std::fs::read(desk.file()).ok(), desk.home.files()), before, "{says}");
}

/// A desk where both directions would change something.
fn desk() -> Desk {
    let desk = Desk::new(&ROUTES[1..2]);
    write(&desk.file(), "[user]\n\tname = x\n");
    desk.keyfob(&["setup", "git"]).success();
    desk.configure(ROUTES);
    desk
}

#[test]
fn a_file_that_somebody_holds_locks_or_made_read_only_is_left_alone() {
    let desk = desk();
    let lock = desk.home.path().join(".gitconfig.lock");
    write(&lock, "half of it");
    // the wait has an end
    refused(&desk, &[], "another program is changing");
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), "half of it");
    // whoever holds it is waited for
    let path = lock.clone();
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        std::fs::remove_file(path).unwrap();
    });
    desk.keyfob(&["setup", "git"]).success();
    release.join().unwrap();
    desk.configure(&ROUTES[..1]);
    std::fs::set_permissions(desk.file(), PermissionsExt::from_mode(0o444)).unwrap();
    refused(&desk, &[], "is read-only");
}

#[test]
fn a_file_that_git_cannot_read_or_would_read_otherwise_is_left_alone() {
    let desk = desk();
    let good = desk.content();
    for broken in ["[user\n", "= x\n", "[user]\n\tname = \"x\n"] {
        write(&desk.file(), good.clone() + broken);
        refused(&desk, &[], "git cannot read");
    }
    // a line that goes on, and would go on with ours
    let other = Desk::new(ROUTES);
    let open = "[user]\n\tname = x\\";
    write(&other.file(), open);
    let output = other.keyfob(&["setup", "git"]);
    one_error(&output);
    assert!(output.code == Some(6) && output.stderr.contains("would read something else"), "{output:?}");
    assert_eq!(other.content(), open);
}

#[test]
fn nothing_is_changed_where_git_cannot_read_all_of_its_configuration() {
    for git in super::effect::gits() {
        let desk = Desk::new(ROUTES);
        let own = "[user]\n\tname = x\n";
        write(&desk.file(), own);
        // one that reads this file, and not what lies beside it
        let program = desk.home.bin().join("git");
        let fails = "case \"$*\" in *--show-origin*) echo 'fatal: bad include' >&2; exit 128;; esac";
        write(&program, format!("#!/bin/sh\n{fails}\nexec '{}' \"$@\"\n", git.display()));
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        for more in [&["--dry-run"][..], &[]] {
            let output = desk.keyfob(&[&["setup", "git"], more].concat());
            one_error(&output);
            assert!(output.code == Some(6) && output.stdout.is_empty(), "{output:?}");
            assert!(output.stderr.contains("git cannot read its configuration: fatal: bad include"), "{output:?}");
            assert_eq!(desk.content(), own);
        }
    }
}

#[test]
fn what_is_no_file_of_the_persons_is_left_alone() {
    let desk = desk();
    let folder = desk.home.path().join("folder");
    make_private(&folder);
    let (folder, below) = (folder.display().to_string(), folder.join("missing/config").display().to_string());
    symlink("loop", desk.home.path().join("loop")).unwrap();
    let circle = desk.home.path().join("loop").display().to_string();
    for (file, says) in [
        ("/dev/null", "not a regular file"),
        (folder.as_str(), "not a regular file"),
        (&below, "its folder does not exist"),
        (&circle, "too many links"),
        ("relative/config", "not an absolute path"),
    ] {
        refused(&desk, &[("GIT_CONFIG_GLOBAL", file)], says);
    }
    refused(&desk, &[("PATH", "/nowhere:.")], "there is no git in the search path");
    refused(&desk, &[("HOME", ""), ("XDG_CONFIG_HOME", "")], "`HOME` is not set");
}
