//! A disk that fails just when the answer has come: whoever waits gets the token, one line names the file, and what was received is
//! stored as soon as somebody can.
use super::stage::{Begin, Stage};
use super::traced::{self, Refusal, Who, store_files};
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::scene::{TOKEN, printable};
use crate::support::sts::Sts;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The writes that come when the answer has: its bytes into the slot, the slot's end, and its way to the disk.
const INTO_THE_SLOT: [(&str, usize); 3] = [("write", 2), ("ftruncate", 1), ("fsync", 3)];

/// Begins with a token that has ended; nothing, said loudly, where strace is missing.
fn stage() -> Option<Stage> {
    peers::require("strace").then(|| Stage::new(Begin::Ended))
}

/// Asks for the token; its worker is refused one call.
fn ask(stage: &Stage, refusal: Refusal<'_>) -> Output {
    stage.reset();
    let run = traced::run(stage, &store_files(stage), Who::Worker, Some(refusal), &TOKEN, b"");
    assert!(run.trace.contains("(INJECTED)"), "{}", run.trace);
    run.output
}

/// Panics unless the one token that the server issued was handed out with one line that names what could not be written, what mends
/// it, and where what was received is now.
#[track_caller]
fn handed_out_with_a_warning(stage: &Stage, output: &Output, says: &[&str]) {
    printable(output);
    assert_eq!((output.code, stage.issued()), (Some(0), vec![output.stdout.trim().to_owned()]), "{output:?}");
    let lines: Vec<&str> = output.stderr.lines().collect();
    let [line] = lines.as_slice() else { panic!("not one line: {output:?}") };
    assert!(line.starts_with("keyfob: warning: cannot ") && says.iter().all(|part| line.contains(part)), "{line}");
}

/// Panics unless the next one who asks gets the same token without a request, and it is in its place then.
#[track_caller]
fn stored_by_the_next(stage: &Stage, output: &Output) {
    let asked = stage.scene.server.requests().len();
    let next = stage.ask().success();
    assert_eq!((next.stdout.trim(), next.stderr.as_str()), (output.stdout.trim(), ""));
    assert_eq!(stage.scene.server.requests().len(), asked);
    assert!(stage.scene.server.family_alive());
    assert_eq!((rescues(stage), stage.scene.files(".next")), (vec![], vec![]));
    stage.nothing_is_corrupt();
}

fn rescues(stage: &Stage) -> Vec<PathBuf> {
    let entries = fs::read_dir(stage.rescues()).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The one rescue there is.
#[track_caller]
fn rescue(stage: &Stage) -> PathBuf {
    let all = rescues(stage);
    let [rescue] = all.as_slice() else { panic!("not one rescue: {all:?}") };
    rescue.clone()
}

#[test]
fn a_refreshed_token_whose_slot_cannot_be_written_is_handed_out_and_rescued_and_stored_by_the_next() {
    let Some(stage) = stage() else { return };
    for (call, number) in INTO_THE_SLOT {
        for (error, mends) in [("ENOSPC", "free some space"), ("EIO", "check the disk"), ("EROFS", "KEYFOB_STATE_DIR")] {
            let output = ask(&stage, (call, error, number));
            handed_out_with_a_warning(&stage, &output, &["keyfob/v1/", ".next`", mends, "run/keyfob/", ".rescue`"]);
            let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!((mode(rescue(&stage)), mode(stage.rescues())), (0o600, 0o700));
            stage.scene.home.scan_for_secrets(&stage.scene.server.issued_secrets());
            stored_by_the_next(&stage, &output);
        }
    }
}

#[test]
fn a_refreshed_token_whose_slot_cannot_be_renamed_is_handed_out_and_the_slot_is_its_rescue() {
    let Some(stage) = stage() else { return };
    let output = ask(&stage, ("renameat", "EIO", 2));
    handed_out_with_a_warning(&stage, &output, &["keyfob/v1/", ".rec`", "check the disk", ".next`"]);
    assert_eq!((rescues(&stage), stage.scene.files(".next").len()), (vec![], 1));
    stored_by_the_next(&stage, &output);
}

#[test]
fn a_sign_in_whose_slot_cannot_be_written_is_handed_out_and_rescued_and_stored_by_the_next() {
    if !peers::require("strace") {
        return;
    }
    let stage = Stage::new(Begin::SignedOut);
    // so that the record's name is known
    process::run(&mut stage.below("setsid".as_ref(), &[], &TOKEN), b"").success();
    let files = store_files(&stage);
    stage.reset();
    let run = traced::run(&stage, &files, Who::Worker, Some(("ftruncate", "EIO", 1)), &TOKEN, b"");
    handed_out_with_a_warning(&stage, &run.output, &[".next`", ".rescue`"]);
    let pages: Vec<_> = stage.scene.home.browser_runs().iter().map(|run| run["status"].clone()).collect();
    assert!(pages.iter().all(|status| *status == 200), "the person was told that it failed: {pages:?}");
    stored_by_the_next(&stage, &run.output);
}

#[test]
fn a_login_whose_slot_cannot_be_written_does_not_say_that_it_was_kept() {
    let Some(stage) = stage() else { return };
    stage.reset();
    let run = traced::run(&stage, &store_files(&stage), Who::Worker, Some(("ftruncate", "EIO", 1)), &["login", "corp"], b"");
    let said = run.output.success().stdout;
    assert!(said.contains("signed in to corp") && said.contains("could not be written"), "{said}");
    assert!(!said.contains("kept under a key"), "{said}");
    let said = stage.run(["login", "corp"], b"").success().stdout;
    assert!(said.contains("kept under a key from"), "{said}");
}

#[test]
fn a_role_is_answered_with_a_renewed_login_whose_slot_cannot_be_written() {
    if !peers::require("strace") {
        return;
    }
    let mut stage = Stage::new(Begin::Fresh);
    let sts = Sts::start(|_| Ok(serde_json::json!({ "iss": "https://sso.example.com", "aud": "keyfob", "sub": "alice" })));
    stage.scene.home.set("AWS_ENDPOINT_URL_STS", &sts.url());
    if !stage.scene.home.use_clock() {
        return;
    }
    stage.scene.server.configure(|settings| settings.id_token_life = 60);
    stage.run(["login", "corp"], b"").success();
    stage.scene.home.set_clock(90, 90, 0);
    stage.scene.server.configure(|settings| settings.id_token_life = 3600);
    let before = stage.scene.server.counts().refresh_requests;
    let files = store_files(&stage);
    let run = traced::run(&stage, &files, Who::Worker, Some(("ftruncate", "EIO", 1)), &["aws", "get", "prod"], b"");
    assert!(run.trace.contains("(INJECTED)"), "{}", run.trace);
    assert!(run.output.success().stdout.contains("SecretAccessKey"));
    assert_eq!((stage.scene.server.counts().refresh_requests - before, sts.counts().exchanges), (1, 1));
}

#[test]
fn where_there_is_no_folder_for_a_rescue_the_token_is_handed_out_and_the_loss_is_said() {
    let Some(stage) = stage() else { return };
    stage.reset();
    let files = store_files(&stage);
    fs::rename(stage.rescues().parent().unwrap(), stage.scene.home.path().join("elsewhere")).unwrap();
    let run = traced::run(&stage, &files, Who::Worker, Some(("write", "EIO", 2)), &TOKEN, b"");
    handed_out_with_a_warning(&stage, &run.output, &[".next`", "lost", "sign in again"]);
    // those who wait do not spend the former token at once, and who does later is told why it is refused
    assert_eq!((stage.scene.files(".failed").len(), stage.scene.files(".sent").len()), (1, 1));
    let next = stage.ask();
    assert!(next.code == Some(3) && next.stderr.contains("keyfob login corp"), "{next:?}");
    assert!(next.stderr.contains("was lost on its way"), "{next:?}");
    stage.nothing_is_corrupt();
}

#[test]
fn where_a_sign_in_is_lost_to_all_but_one_those_who_wait_open_no_further_tab_at_once() {
    if !peers::require("strace") {
        return;
    }
    let stage = Stage::new(Begin::SignedOut);
    // so that the record's name is known
    process::run(&mut stage.below("setsid".as_ref(), &[], &TOKEN), b"").success();
    let mut files = store_files(&stage);
    // the first write fills the slot
    files.retain(|file| file.extension().is_some_and(|ending| ending == "next"));
    stage.reset();
    fs::rename(stage.scene.home.path().join("run"), stage.scene.home.path().join("elsewhere")).unwrap();
    let run = traced::run(&stage, &files, Who::Worker, Some(("write", "EIO", 2)), &TOKEN, b"");
    handed_out_with_a_warning(&stage, &run.output, &[".next`", "lost"]);
    assert_eq!((stage.scene.files(".failed").len(), stage.scene.files(".pending").len()), (1, 0));
}

#[test]
fn a_rescue_that_does_not_open_is_left_and_named_by_the_next_renewal() {
    let Some(stage) = stage() else { return };
    ask(&stage, ("write", "EIO", 2));
    let rescue = rescue(&stage);
    let mut bytes = fs::read(&rescue).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&rescue, &bytes).unwrap();
    let next = stage.ask();
    let warnings: Vec<&str> = next.stderr.lines().filter(|line| line.starts_with("keyfob: warning: ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(rescue.to_str().unwrap()), "{next:?}");
    assert_eq!(fs::read(&rescue).unwrap(), bytes);
    stage.run(["login", "corp"], b"").code.unwrap();
}

#[test]
fn a_logout_takes_what_was_rescued_back_too() {
    let Some(stage) = stage() else { return };
    ask(&stage, ("write", "EIO", 2));
    stage.run(["logout", "corp"], b"").success();
    assert!(!stage.scene.server.family_alive(), "the refresh token that came last is the one that is revoked");
    assert_eq!((rescues(&stage), stage.ask().code), (vec![], Some(3)));
}

#[test]
fn a_cached_answer_does_not_look_for_a_rescue() {
    let Some(stage) = stage() else { return };
    let token = stage.ask().success().stdout;
    let files = [stage.rescues(), stage.rescues().parent().unwrap().to_owned()];
    let request = b"protocol=https\nhost=git.example.com\n\n";
    let run = traced::run(&stage, &files, Who::Command, None, &["git", "get"], request);
    assert!(run.output.success().stdout.contains(token.trim()));
    assert_eq!(run.trace, "");
}
