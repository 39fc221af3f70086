//! A disk that fails: every call that touches the store is refused in each of the ways in which systems refuse, one at a time.
//!
//! The short round takes a sample (half a minute); all of them come with `KEYFOB_TESTS_SOAK=1`.
use super::sample;
use super::stage::{Begin, Stage};
use super::traced::{self, Refusal, Run, Who, store_files};
use crate::support::peers;
use crate::support::process::Output;
use crate::support::scene::{KEPT, TOKEN, printable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const ERRORS: [&str; 8] = ["ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES", "EMFILE", "EINTR", "ENOLCK"];
/// How often a call that was not reached is tried again.
const TRIES: usize = 10;

struct Operation {
    name: &'static str,
    begin: Begin,
    /// Whose calls are refused.
    who: Who,
    arguments: &'static [&'static str],
    stdin: fn(&Stage) -> Vec<u8>,
    stride: usize,
    /// Panics where what is left is not as it must be.
    then: fn(&Stage, &Output),
}

/// A stage, and the paths at which calls are refused.
struct Bench<'o> {
    operation: &'o Operation,
    stage: Stage,
    paths: Vec<PathBuf>,
}

impl<'o> Bench<'o> {
    fn new(operation: &'o Operation) -> Self {
        let stage = Stage::new(operation.begin);
        let mut bench = Self { operation, stage, paths: Vec::new() };
        // the first run shows which records there will be
        bench.paths = store_files(&bench.stage);
        bench.run(None);
        bench.paths = store_files(&bench.stage);
        bench
    }

    /// Runs the operation with one call refused, or none.
    fn run(&self, refusal: Option<Refusal<'_>>) -> Run {
        self.stage.reset();
        let stdin = (self.operation.stdin)(&self.stage);
        traced::run(&self.stage, &self.paths, self.operation.who, refusal, self.operation.arguments, &stdin)
    }

    /// How many calls of each name one thread makes at the store, at least.
    fn count(&self) -> BTreeMap<String, usize> {
        let counts = |run: Run| {
            assert_eq!(run.output.code, Some(0), "{}: {:?}", self.operation.name, run.output);
            let mut by_thread: BTreeMap<(String, String), usize> = BTreeMap::new();
            for line in run.trace.lines().filter(|line| !line.contains("resumed>")) {
                let Some((before, _)) = line.split_once('(') else { continue };
                let (thread, call) = before.rsplit_once(' ').unwrap_or(("", before));
                *by_thread.entry((call.to_owned(), thread.trim().to_owned())).or_default() += 1;
            }
            let mut most: BTreeMap<String, usize> = BTreeMap::new();
            for ((call, _), count) in by_thread {
                let known = most.entry(call).or_default();
                *known = count.max(*known);
            }
            most
        };
        let (first, second) = (counts(self.run(None)), counts(self.run(None)));
        first.into_iter().filter_map(|(call, count)| Some((call.clone(), count.min(*second.get(&call)?)))).collect()
    }

    /// Refuses one call and judges what came of it; false where there was no such call.
    fn refuse(&self, call: &str, error: &str, number: usize) -> bool {
        let run = self.run(Some((call, error, number)));
        if !run.trace.contains("(INJECTED)") {
            return false;
        }
        let said = format!("{}{}", run.output.stdout, run.output.stderr);
        let described = format!("{}: {error} at {call} {number}: {:?}\n{}", self.operation.name, run.output, run.trace);
        printable(&run.output);
        if error == "EINTR" {
            assert!(run.output.code == Some(0) && run.output.stderr.is_empty(), "an interruption was seen: {described}");
        }
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("keyfob: ")).collect();
        let errors: BTreeSet<&&str> = lines.iter().filter(|line| line.starts_with("keyfob: error: ")).collect();
        let foreign = run.output.stderr.lines().any(|line| !line.starts_with("keyfob: "));
        assert!(errors.len() <= 1 && !foreign, "not one clear error: {described}");
        assert!(run.output.code == Some(0) || errors.len() == 1, "it failed without a word: {described}");
        let state = self.stage.scene.home.state().display().to_string();
        for line in lines.iter().filter(|line| !line.starts_with("keyfob: hint: ")) {
            let mends = line.contains(" (") || lines.iter().any(|line| line.starts_with("keyfob: hint: "));
            assert!(line.contains(&state) && mends, "it names no file or no remedy: {described}");
        }
        (self.operation.then)(&self.stage, &run.output);
        self.stage.nothing_is_corrupt();
        true
    }
}

fn refuse_everything(operation: &Operation) {
    if !peers::require("strace") {
        return;
    }
    let bench = Bench::new(operation);
    let counts = bench.count();
    let all =
        counts.iter().flat_map(|(call, count)| (1..=*count).flat_map(move |n| ERRORS.map(|error| (call.as_str(), error, n))));
    let points = sample::some(operation.name, all.collect(), operation.stride);
    let mut hit = points.len();
    for (call, error, number) in points {
        let was_hit = (0..TRIES).any(|_| bench.refuse(call, error, number));
        assert!(was_hit, "{}: {call} {number} was never reached", operation.name);
    }
    if sample::soak() {
        // some runs are longer
        for (call, count) in &counts {
            for error in ERRORS {
                let mut number = *count;
                while bench.refuse(call, error, number + 1) {
                    number += 1;
                    hit += 1;
                }
            }
        }
    }
    let calls: Vec<String> = counts.iter().map(|(call, count)| format!("{call} {count}")).collect();
    eprintln!("| operation | points | hit | lost | corrupt | calls |");
    eprintln!(
        "| {} | {} | {hit} | 0 | 0 | {} |",
        operation.name,
        counts.values().sum::<usize>() * ERRORS.len(),
        calls.join(", ")
    );
}

/// What must be true after a refresh: the family lives, and what it has is in the store.
fn nothing_was_lost(stage: &Stage, _: &Output) {
    assert_eq!(stage.lost(), 0);
    let (counts, again) = (stage.scene.server.counts(), stage.ask().success());
    assert!(stage.scene.server.family_alive() && stage.scene.server.is_alive(again.stdout.trim()));
    assert_eq!((counts.reuses, counts.refreshes), (0, 1));
}

const REFRESH: Operation = Operation {
    name: "refresh (worker)",
    begin: Begin::Ended,
    who: Who::Worker,
    arguments: &TOKEN,
    stdin: |_| Vec::new(),
    stride: 7,
    then: nothing_was_lost,
};

#[test]
fn no_refusal_of_the_disk_loses_a_refresh_whoever_meets_it() {
    refuse_everything(&REFRESH);
    refuse_everything(&Operation { name: "refresh (caller)", who: Who::Command, ..REFRESH });
}

#[test]
fn no_refusal_of_the_disk_loses_a_sign_in() {
    refuse_everything(&Operation {
        name: "sign-in (worker)",
        begin: Begin::SignedOut,
        then: |stage, _| {
            let issued = stage.issued().len();
            assert_eq!(stage.lost(), 0);
            assert!(issued <= 1 && stage.scene.server.counts().codes_redeemed == issued);
            if issued == 1 {
                stage.ask().success();
            }
        },
        ..REFRESH
    });
}

const STORE: Operation = Operation {
    name: "git store of an entry",
    begin: Begin::SignedOut,
    who: Who::Command,
    arguments: &["git", "store"],
    stdin: |_| b"protocol=https\nhost=kept.example.org\nusername=alice\npassword=pw-new-0123456789\n\n".to_vec(),
    stride: 7,
    then: |stage, output| {
        let answer = stage.run(["git", "get"], b"protocol=https\nhost=kept.example.org\n\n").success().stdout;
        let (old, new) = (answer.contains(KEPT), answer.contains("pw-new-0123456789"));
        assert!(old != new && (new || !output.stderr.is_empty()), "not kept, and nothing said: {output:?}");
    },
};

#[test]
fn a_refusal_of_the_disk_while_an_entry_is_stored_is_said_and_leaves_the_old_one_or_the_new_one() {
    refuse_everything(&STORE);
}

#[test]
fn a_refusal_of_the_disk_while_an_entry_is_erased_is_said_and_leaves_it_whole_or_gone() {
    refuse_everything(&Operation {
        name: "git erase of an entry",
        arguments: &["git", "erase"],
        stdin: |_| b"protocol=https\nhost=kept.example.org\nusername=alice\n\n".to_vec(),
        then: |stage, output| assert!(!stage.kept_by_git() || !output.stderr.is_empty(), "still there, and nothing said"),
        ..STORE
    });
}

#[test]
fn a_refusal_of_the_disk_while_a_token_is_rejected_loses_none() {
    refuse_everything(&Operation {
        name: "erase of a minted token",
        begin: Begin::Fresh,
        arguments: &["git", "erase"],
        stdin: |stage| {
            let token = stage.ask().success().stdout;
            // a git that comes back by itself, to which no word is said
            format!("capability[]=state\nprotocol=https\nhost=git.example.com\nusername=oauth2\npassword={token}\n").into_bytes()
        },
        then: |stage, output| {
            stage.ask().success();
            let renewed = stage.issued().len();
            assert!(renewed <= 1 && (renewed == 1 || !output.stderr.is_empty()), "not rejected, and nothing said: {output:?}");
        },
        ..STORE
    });
}

#[test]
fn a_refusal_of_the_disk_while_signing_out_is_said_and_the_next_logout_finishes() {
    refuse_everything(&Operation {
        name: "logout",
        begin: Begin::Fresh,
        arguments: &["logout", "corp"],
        stdin: |_| Vec::new(),
        then: |stage, output| {
            let signed_out = stage.ask().code == Some(3);
            assert!(signed_out || output.code == Some(6), "still signed in, and nothing said: {output:?}");
            stage.run(["logout", "corp"], b"").success();
            assert_eq!(stage.ask().code, Some(3));
        },
        ..STORE
    });
}
