//! Copies of the records: on another machine, for another user, beside another key. Nothing opens, it is said why, all of it is kept,
//! and after the command that the hint names a new sign-in works.
#![cfg(target_os = "linux")]
use super::as_another_user;
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, TOKEN, one_error};
use crate::support::temp_dir::write;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes the rest of a script run on a machine of another name.
const ELSEWHERE: &str = "mkdir -p \"$XDG_RUNTIME_DIR/etc\"; mount -t tmpfs -o mode=0755 none \"$XDG_RUNTIME_DIR/etc\"; \
     cp -a /etc/. \"$XDG_RUNTIME_DIR/etc\" 2>/dev/null || true; rm -f \"$XDG_RUNTIME_DIR/etc/machine-id\"; \
     echo 00112233445566778899aabbccddeeff >\"$XDG_RUNTIME_DIR/etc/machine-id\"; mount --bind \"$XDG_RUNTIME_DIR/etc\" /etc; ";
/// What it says where only another machine's records are.
const BESIDE: &str = "also holds records of another machine, which open there alone";

/// The folders of the machines.
fn machines(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.home.state().join("keyfob/v1")).unwrap().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.join("store").exists()).collect();
    found.sort();
    found
}

/// What is sealed in a folder, and the file that says what it is sealed with.
fn sealed(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let kept = names.filter(|name| name == "store" || name.ends_with(".rec"));
    kept.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// The shell's line that the last hint names.
#[track_caller]
fn mending(output: &Output) -> String {
    let hint = output.stderr.lines().last().expect("it said something");
    let (_, command) = hint.split_once("to start anew, keeping what is there: ").unwrap_or_else(|| panic!("{output:?}"));
    command.to_owned()
}

/// Panics unless `output` is the refusal of a copy for the reason in `words`.
#[track_caller]
fn refused(output: &Output, words: &str) {
    one_error(output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(6), ""), "{output:?}");
    assert!(output.stderr.contains(words), "{output:?}");
}

#[test]
fn on_another_machine_a_copied_home_is_left_alone_and_a_new_sign_in_works() {
    let (scene, token) = Scene::signed_in();
    let here = machines(&scene).remove(0);
    let before = sealed(&here);
    let ask = format!("{ELSEWHERE} KEYFOB_INTERACTIVE=never exec \"$KEYFOB\" token corp");
    let Some(output) = scene.mounted(&ask) else { return };
    one_error(&output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output:?}");
    assert_eq!(output.stderr.matches(BESIDE).count(), 1, "{output:?}");
    let status = scene.mounted(&format!("{ELSEWHERE} exec \"$KEYFOB\" status")).unwrap().success().stdout;
    assert!(status.contains("corp: not signed in (`keyfob login corp`)") && status.matches(BESIDE).count() == 1, "{status}");
    assert_eq!(scene.server.counts().authorizations, 1);

    scene.mounted(&format!("{ELSEWHERE} exec \"$KEYFOB\" login corp")).unwrap().success();
    let there = scene.mounted(&ask).unwrap().success().stdout;
    assert!(scene.server.is_alive(there.trim()) && there.trim() != token);
    let status = scene.mounted(&format!("{ELSEWHERE} exec \"$KEYFOB\" status")).unwrap().success().stdout;
    assert!(status.contains("corp: signed in") && !status.contains(BESIDE), "{status}");
    assert_eq!(sealed(&here), before);
    scene.still_answers(&token);
    assert_eq!((machines(&scene).len(), scene.server.counts().authorizations), (2, 2));
    assert!(!scene.home.run(["status"], "").success().stdout.contains(BESIDE), "each machine has its own");
}

#[test]
fn records_that_were_put_in_the_place_of_another_machines_do_not_open() {
    let (scene, token) = Scene::signed_in();
    let here = machines(&scene).remove(0);
    let Some(output) = scene.mounted(&format!("{ELSEWHERE} exec \"$KEYFOB\" login corp")) else { return };
    output.success();
    let there = machines(&scene).into_iter().find(|folder| *folder != here).unwrap();
    let run = |command: &str| scene.mounted(&format!("{ELSEWHERE} {command}")).unwrap();
    fs::remove_dir_all(&there).unwrap();
    process::run(scene.home.command("cp").arg("-a").args([&here, &there]), b"").success();
    let copied = sealed(&there);
    for command in ["token corp", "login corp", "status", "logout corp"] {
        refused(&run(&format!("exec \"$KEYFOB\" {command}")), "holds the records of another machine, and they open there alone");
    }
    let output = run("exec \"$KEYFOB\" token corp");
    assert_eq!(sealed(&there), copied, "what is there is kept");
    run(&mending(&output)).success();
    assert_eq!(sealed(&there.with_extension("old")), copied);
    run("KEYFOB_INTERACTIVE=never exec \"$KEYFOB\" token corp").success();
    scene.still_answers(&token);
    assert_eq!(scene.server.counts().authorizations, 3);
}

#[test]
fn another_users_copy_does_not_open_and_a_new_sign_in_works() {
    let (scene, token) = Scene::signed_in();
    let Some(as_user) = as_another_user(&scene.home) else { return };
    let run = |words: &[&str]| process::run(&mut as_user(words), b"");
    let folder = machines(&scene).remove(0);
    let copied = sealed(&folder);
    for arguments in [&["keyfob", "token", "corp"][..], &["keyfob", "login", "corp"], &["keyfob", "status"]] {
        refused(&run(arguments), "holds the records of another user, and they open for that user alone");
    }
    let output = run(&["keyfob", "token", "corp"]);
    assert_eq!((sealed(&folder), scene.server.counts().authorizations), (copied.clone(), 1));
    run(&["sh", "-c", &mending(&output)]).success();
    assert_eq!(sealed(&folder.with_extension("old")), copied);
    let new = run(&["keyfob", "token", "corp"]).success().stdout;
    assert!(scene.server.is_alive(new.trim()) && new.trim() != token);
    assert_eq!(scene.server.counts().authorizations, 2);
}

#[test]
fn another_key_opens_nothing_and_a_new_sign_in_works_beside_what_is_kept() {
    let (scene, token) = Scene::signed_in();
    let (key, folder) = (scene.home.key_file(), machines(&scene).remove(0));
    let (former, copied) = (fs::read(&key).unwrap(), sealed(&folder));
    write(&key, [7; 32]);
    for arguments in [&TOKEN[..], &["login", "corp"], &["status"]] {
        refused(&scene.home.run(arguments, ""), "were sealed with another key than what is there now");
    }
    let output = scene.home.run(TOKEN, "");
    assert_eq!((sealed(&folder), scene.server.counts().authorizations), (copied.clone(), 1));
    process::run(scene.home.command("sh").args(["-c", &mending(&output)]), b"").success();
    assert!(scene.token() != token && scene.server.counts().authorizations == 2);
    // with the former key, what was moved away opens again
    write(&key, former);
    fs::rename(&folder, folder.with_extension("new")).unwrap();
    fs::rename(folder.with_extension("old"), &folder).unwrap();
    assert_eq!(sealed(&folder), copied);
    scene.still_answers(&token);
}
