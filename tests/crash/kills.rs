//! SIGKILL at every system call: of the worker while it refreshes or keeps a sign-in, of a caller while it writes by itself.
//!
//! The short round takes every tenth call (about a minute); all of them come with `KEYFOB_TESTS_SOAK=1`.
use super::sample;
use super::stage::{Begin, Stage, example};
use crate::support::authorization_server::Endpoint;
use crate::support::process::{self, Output};
use crate::support::scene::{KEPT, TOKEN, one_error};
use std::collections::BTreeMap;
use std::fs;

/// How often a call that was not reached is tried again: how threads take turns differs from run to run.
const TRIES: usize = 30;
/// How many calls a short round leaves out for each that it takes.
const STRIDE: usize = 10;

/// What is interrupted.
struct Operation {
    name: &'static str,
    begin: Begin,
    /// Whose calls are counted: the `worker`'s, or those of the `command` itself.
    who: &'static str,
    arguments: &'static [&'static str],
    stdin: fn(&Stage) -> Vec<u8>,
    /// The calls count from when the person's browser is at the server.
    from_browser: bool,
    /// What must be true afterwards, beside what always must.
    then: fn(&Stage),
}

const OPERATION: Operation = Operation {
    name: "",
    begin: Begin::Ended,
    who: "command",
    arguments: &TOKEN,
    stdin: |_| Vec::new(),
    from_browser: false,
    then: |_| {},
};

/// One run with a kill in it, or without.
struct Strike {
    counted: usize,
    /// How many writes into a slot were done.
    filled: usize,
    /// Where the process was killed.
    call: Option<String>,
    output: Output,
}

/// Runs the operation, with `goal` for the program that kills.
fn strike(stage: &Stage, operation: &Operation, goal: &str) -> Strike {
    stage.reset();
    let home = stage.scene.home.path();
    let (report, mark) = (home.join("report"), home.join("at-the-server"));
    let (report_text, mark_text) = (report.display().to_string(), mark.display().to_string());
    let _ = (fs::remove_file(&report), fs::remove_file(&mark));
    let mut its = vec![report_text.as_str(), operation.who, goal];
    if operation.from_browser {
        its.extend(["--after", &mark_text]);
    }
    its.push("--");
    let mut command = stage.below(&example("killer"), &its, operation.arguments);
    let stdin = (operation.stdin)(stage);
    let output = std::thread::scope(|scope| {
        if operation.from_browser {
            scope.spawn(|| {
                stage.scene.server.wait_for(Endpoint::Authorize, 1);
                fs::write(&mark, "").unwrap();
            });
        }
        process::run(&mut command, &stdin)
    });
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report: {error}; {output:?}"));
    let value = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).map(str::to_owned);
    let number = |word: &str| value(word).and_then(|text| text.parse().ok()).unwrap_or_default();
    Strike { counted: number("counted"), filled: number("filled"), call: value("call"), output }
}

/// What came of killing at every call.
#[derive(Default)]
struct Tally {
    hit: usize,
    /// The places that cost an answer of the server: where in the count, and at which call.
    lost: Vec<(usize, String)>,
}

/// The least number of calls of three runs without a kill.
fn undisturbed(stage: &Stage, operation: &Operation) -> usize {
    let runs = (0..3).map(|_| strike(stage, operation, "none"));
    let least = runs.inspect(|run| assert_eq!(run.output.code, Some(0), "{:?}", run.output)).map(|run| run.counted).min();
    let least = least.expect("there were three");
    assert!(least > 20, "{}: {least} calls cannot be all", operation.name);
    least
}

/// Kills `operation` at its calls, and panics where what is left is not as it must be.
fn kill_everywhere(operation: &Operation) -> Tally {
    let stage = Stage::new(operation.begin);
    let least = undisturbed(&stage, operation);
    let mut tally = Tally::default();
    for place in sample::some(operation.name, (1..=least).collect(), STRIDE) {
        let hit = (0..TRIES).any(|_| kill_at(&stage, operation, place, &mut tally));
        // the callers of the tests are looked at too, and one of those may have ended
        let now = if hit { least } else { undisturbed(&stage, operation) };
        assert!(hit || now < place, "{}: call {place} of {now} was never reached", operation.name);
    }
    if sample::soak() {
        // some runs are longer
        let mut place = least;
        while (0..3).any(|_| kill_at(&stage, operation, place + 1, &mut tally)) {
            place += 1;
        }
    }
    print_row(operation, least, &tally);
    tally
}

/// Kills once, at call number `place`; false where the run ended before it.
fn kill_at(stage: &Stage, operation: &Operation, place: usize, tally: &mut Tally) -> bool {
    let run = strike(stage, operation, &place.to_string());
    let described = format!("{}, killed at call {place}, {:?}", operation.name, run.call);
    if operation.who == "worker" && run.output.code != Some(0) {
        one_error(&run.output);
    }
    let lost = stage.lost();
    (operation.then)(stage);
    stage.nothing_is_corrupt();
    let Some(call) = run.call else {
        assert_eq!((run.output.code, lost), (Some(0), 0), "{described}: {:?}", run.output);
        return false;
    };
    tally.hit += 1;
    if lost > 0 {
        // the slot holds its filler and not yet the answer, and nobody but the worker is sent one
        let in_flight = operation.who == "worker" && run.filled == 1;
        assert!(in_flight && lost == 1, "{described}: lost {lost} after {} writes into a slot; {:?}", run.filled, run.output);
        tally.lost.push((place, call));
    }
    true
}

fn print_row(operation: &Operation, least: usize, tally: &Tally) {
    let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
    tally.lost.iter().for_each(|(_, call)| *calls.entry(call).or_default() += 1);
    let calls: Vec<String> = calls.iter().map(|(call, count)| format!("{call} ({count})")).collect();
    let places = tally.lost.iter().map(|(place, _)| *place);
    let window = match (places.clone().min(), places.max()) {
        (Some(first), Some(last)) => format!("between calls {first} and {last}: {}", calls.join(", ")),
        _ => String::new(),
    };
    eprintln!("| operation | calls | hit | corrupt | lost | where |");
    eprintln!("| {} | {least} | {} | 0 | {} | {window} |", operation.name, tally.hit, tally.lost.len());
}

#[test]
fn a_worker_killed_at_any_call_of_a_refresh_loses_only_an_answer_that_was_still_on_its_way() {
    let tally = kill_everywhere(&Operation { name: "refresh (worker)", who: "worker", ..OPERATION });
    assert!(!sample::soak() || !tally.lost.is_empty(), "an answer on its way cannot be saved: the test sees nothing");
}

#[test]
fn a_worker_killed_at_any_call_after_the_person_signed_in_loses_only_an_answer_that_was_still_on_its_way() {
    let operation =
        Operation { name: "sign-in (worker)", begin: Begin::SignedOut, who: "worker", from_browser: true, ..OPERATION };
    let tally = kill_everywhere(&operation);
    assert!(!sample::soak() || !tally.lost.is_empty(), "an answer on its way cannot be saved: the test sees nothing");
}

#[test]
fn a_caller_killed_at_any_call_of_rejecting_a_token_leaves_it_rejected_or_as_it_was() {
    let tally = kill_everywhere(&Operation {
        name: "erase of a minted token",
        begin: Begin::Fresh,
        arguments: &["git", "erase"],
        stdin: |stage| {
            let token = stage.ask().success().stdout;
            format!("protocol=https\nhost=git.example.com\nusername=oauth2\npassword={token}\n").into_bytes()
        },
        then: |stage| assert!(stage.issued().len() <= 1, "one refusal is one refresh"),
        ..OPERATION
    });
    assert!(tally.lost.is_empty());
}

const STORED_ENTRY: &[u8] = b"protocol=https\nhost=kept.example.org\nusername=alice\n\n";

#[test]
fn a_caller_killed_at_any_call_of_erasing_an_entry_leaves_it_whole_or_gone() {
    let git = Operation {
        name: "git erase of an entry",
        arguments: &["git", "erase"],
        stdin: |_| STORED_ENTRY.to_vec(),
        then: |stage| {
            stage.kept_by_git();
            stage.run(["git", "erase"], STORED_ENTRY).success();
            assert!(!stage.kept_by_git(), "the next erase is not hindered");
            assert!(stage.scene.docker("get", b"kept.example.org").success().stdout.contains(KEPT), "its neighbour");
        },
        ..OPERATION
    };
    let docker = Operation {
        name: "docker erase of an entry",
        arguments: &["docker", "erase"],
        stdin: |_| b"kept.example.org".to_vec(),
        then: |stage| {
            stage.scene.docker("erase", b"kept.example.org").success();
            let answer = stage.scene.docker("get", b"kept.example.org");
            assert!(answer.code == Some(1) && answer.stdout.contains("not found"), "{answer:?}");
            assert!(stage.kept_by_git(), "its neighbour");
        },
        ..OPERATION
    };
    assert!(kill_everywhere(&git).lost.is_empty() && kill_everywhere(&docker).lost.is_empty());
}

#[test]
fn a_caller_killed_at_any_call_of_storing_an_entry_leaves_the_old_one_or_the_new_one() {
    const NEW: &str = "protocol=https\nhost=kept.example.org\nusername=alice\npassword=pw-new-0123456789\n\n";
    let tally = kill_everywhere(&Operation {
        name: "git store of an entry",
        arguments: &["git", "store"],
        stdin: |_| NEW.as_bytes().to_vec(),
        then: |stage| {
            let get = || stage.run(["git", "get"], b"protocol=https\nhost=kept.example.org\n\n").success().stdout;
            let answer = get();
            assert!(answer.contains(KEPT) || answer.contains("pw-new-0123456789"), "{answer:?}");
            stage.run(["git", "store"], NEW.as_bytes()).success();
            assert!(get().contains("pw-new-0123456789"), "the next store is not hindered");
        },
        ..OPERATION
    });
    assert!(tally.lost.is_empty());
}

#[test]
fn a_person_killed_at_any_call_of_a_logout_is_signed_in_or_signed_out() {
    let tally = kill_everywhere(&Operation {
        name: "logout",
        begin: Begin::Fresh,
        arguments: &["logout", "corp"],
        then: |stage| {
            stage.run(["logout", "corp"], b"").success();
            assert_eq!(stage.ask().code, Some(3), "the next logout is not hindered");
        },
        ..OPERATION
    });
    assert!(tally.lost.is_empty());
}
