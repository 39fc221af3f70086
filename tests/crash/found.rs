//! What the rounds of kills and refusals found, each with a test of its own.
use super::stage::{Begin, Stage};
use super::traced::{self, Run, Who, store_files};
use crate::support::peers;
use crate::support::scene::{TOKEN, one_error};
use std::path::PathBuf;

/// The calls by which a file is looked at through its name, or once it is open.
const LOOK: &str = "?statx,?newfstatat,?lstat,?stat,?fstat";

/// The files of the records of `stage`.
fn records(stage: &Stage) -> Vec<PathBuf> {
    store_files(stage).into_iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "rec")).collect()
}

#[track_caller]
fn was_refused(run: &Run) {
    assert!(run.trace.contains("(INJECTED)"), "{}", run.trace);
}

#[test]
fn a_look_at_a_file_that_a_signal_interrupts_is_made_again() {
    if !peers::require("strace") {
        return;
    }
    let stage = Stage::new(Begin::Fresh);
    let files = store_files(&stage);
    let token = stage.ask().success().stdout;
    for number in 1..=4 {
        let run = traced::run(&stage, &files, Who::Command, Some((LOOK, "EINTR", number)), &TOKEN, b"");
        was_refused(&run);
        let output = run.output.success();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (token.as_str(), ""));
    }
}

#[test]
fn a_lock_that_the_worker_cannot_take_over_is_a_fault_of_the_disk_and_no_defect_of_ours() {
    if !peers::require("strace") {
        return;
    }
    let stage = Stage::new(Begin::Ended);
    let files = store_files(&stage);
    let run = traced::run(&stage, &files, Who::Worker, Some(("flock", "ENOLCK", 1)), &TOKEN, b"");
    was_refused(&run);
    one_error(&run.output);
    let said = run.output.stderr;
    assert!(run.output.code == Some(6) && said.contains(".lock`") && said.contains("KEYFOB_STATE_DIR"), "{said}");
    assert_eq!(stage.scene.server.counts().refresh_requests, 0, "a refresh token was spent without the lock");
}

#[test]
fn an_erase_that_cannot_see_whether_there_is_an_entry_says_so() {
    if !peers::require("strace") {
        return;
    }
    let stage = Stage::new(Begin::SignedOut);
    let request = b"protocol=https\nhost=kept.example.org\nusername=alice\n\n";
    let run = traced::run(&stage, &records(&stage), Who::Command, Some((LOOK, "EIO", 1)), &["git", "erase"], request);
    was_refused(&run);
    assert!(!stage.kept_by_git() || run.output.stderr.contains("keyfob: error: "), "{:?}", run.output);
}

#[test]
fn a_rejection_that_cannot_see_whose_token_it_is_says_so() {
    if !peers::require("strace") {
        return;
    }
    let stage = Stage::new(Begin::Fresh);
    let token = stage.ask().success().stdout;
    let request = format!("protocol=https\nhost=git.example.com\nusername=oauth2\npassword={token}\n");
    let refusal = Some(("read", "EIO", 1));
    let run = traced::run(&stage, &records(&stage), Who::Command, refusal, &["git", "erase"], request.as_bytes());
    was_refused(&run);
    assert!(run.output.stderr.starts_with("keyfob: error: ") && run.output.stderr.contains(".rec`"), "{:?}", run.output);
}

#[test]
fn a_slot_that_cannot_be_filled_is_taken_away_again() {
    if !peers::require("strace") {
        return;
    }
    let stage = Stage::new(Begin::Ended);
    for (call, number) in [("write", 1), ("fsync", 1), ("fsync", 2)] {
        stage.reset();
        let run = traced::run(&stage, &store_files(&stage), Who::Worker, Some((call, "ENOSPC", number)), &TOKEN, b"");
        was_refused(&run);
        one_error(&run.output);
        assert_eq!(stage.scene.files(".next"), Vec::<String>::new(), "{call} {number}");
        assert_eq!(stage.scene.server.counts().refresh_requests, 0, "a refresh token was spent that could not be kept");
    }
}
