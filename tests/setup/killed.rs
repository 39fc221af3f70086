//! Killed at any one of its calls, or beside a git that changes the same file: nothing of the person's is lost.
//!
//! Every call that changes files, about 10 s; every call with `KEYFOB_TESTS_SOAK=1`.
use super::hosts::{Desk, ROUTES};
use crate::support::peers;
use crate::support::process;
use crate::support::temp_dir::write;
use std::collections::BTreeMap;
use std::time::Duration;

const CONTENT: &str = "# mine\n[user]\n\tname = x";

/// Runs under strace with `options`; whether it was killed, and the calls that strace saw.
fn traced(desk: &Desk, options: &[&str]) -> (bool, String) {
    let trace = desk.home.path().join("trace");
    let mut command = desk.home.command("strace");
    command.args(["-qq", "-o"]).arg(&trace).args(options).args(["keyfob", "setup", "git"]);
    let output = process::run(&mut command, b"");
    assert!(output.code.is_none() || output.code == Some(0), "{output:?}");
    (output.code.is_none(), std::fs::read_to_string(&trace).unwrap())
}

#[test]
fn a_kill_at_any_call_leaves_the_old_file_or_the_new_one() {
    if !peers::require("strace") {
        return;
    }
    let desk = Desk::new(ROUTES);
    write(&desk.file(), CONTENT);
    let (_, trace) = traced(&desk, &[]);
    let new = desk.content();
    let all = std::env::var_os("KEYFOB_TESTS_SOAK").is_some();
    let changes = |name: &str| {
        ["rename", "unlink", "link", "fchmod", "fchown", "fsync", "write", "fdatasync"].iter().any(|word| name.contains(word))
    };
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for line in trace.lines() {
        let name = line.split('(').next().unwrap_or_default();
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && (all || changes(name)) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    assert!(calls.keys().any(|name| name.contains("rename")), "{calls:?}");
    let (mut olds, mut news) = (0, 0);
    for (name, count) in calls {
        for number in 1..=count {
            write(&desk.file(), CONTENT);
            let inject = format!("inject={name}:signal=KILL:when={number}");
            let (killed, _) = traced(&desk, &["-e", &format!("trace={name}"), "-e", &inject]);
            let found = desk.content();
            assert!(found == CONTENT || found == new, "{name} {number}: {found:?}");
            *(if found == new { &mut news } else { &mut olds }) += usize::from(killed);
            let lock = desk.home.path().join(".gitconfig.lock");
            if lock.exists() {
                let said = desk.keyfob(&["setup", "git"]);
                assert!(found == CONTENT && said.stderr.contains(&format!("run: rm '{}'", lock.display())), "{said:?}");
                std::fs::remove_file(&lock).unwrap();
            }
            desk.keyfob(&["setup", "git"]).success();
            assert_eq!(desk.content(), new);
            desk.keyfob(&["setup", "git", "--undo"]).success();
            assert_eq!(desk.content(), CONTENT);
        }
    }
    assert!(olds > 5 && news > 0, "{olds} kills before the switch, {news} after it");
}

#[test]
fn nothing_that_git_writes_meanwhile_is_lost() {
    const SETTINGS: usize = 40;
    let desk = Desk::new(ROUTES);
    write(&desk.file(), CONTENT);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..SETTINGS {
                // git does not wait for the lock
                let add = || desk.git(&["config", "--global", "--add", "many.value", &number.to_string()]);
                while add().code != Some(0) {}
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        for _ in 0..15 {
            for words in [&["setup", "git"][..], &["setup", "git", "--undo"]] {
                // on a busy machine git can be faster each time
                loop {
                    let output = desk.keyfob(words);
                    if output.code == Some(0) {
                        break;
                    }
                    assert!(output.stderr.contains("is changed all the time"), "{output:?}");
                }
            }
        }
    });
    let found = desk.git(&["config", "--global", "--get-all", "many.value"]).success().stdout;
    assert_eq!(found.lines().count(), SETTINGS);
    assert!(desk.content().starts_with(CONTENT) && !desk.content().contains("keyfob"), "{}", desk.content());
}
