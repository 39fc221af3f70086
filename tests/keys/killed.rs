//! A move that is killed, or that the system refuses, at any one of its calls: everything answers at once, and the next move completes.
//!
//! Every tenth call, from a place that is drawn and printed; every call with `KEYFOB_TESTS_SOAK=1`.
use super::vault::{Place, Vault};
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::scene::one_error;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

const FIRST: Place = Place::File("first");
const SECOND: Place = Place::File("second");

/// One call of a program: its name, and the how manieth of that name it is.
type Point = (String, usize);

/// A move there and, by moves that nobody disturbs, back again, as often as it takes.
struct Course {
    vault: Vault,
    from: Place,
    to: Place,
}

impl Course {
    fn new(from: Place, to: Place) -> Option<Self> {
        if !peers::require("strace") || !peers::require("secret-tool") {
            return None;
        }
        let course = Self { vault: Vault::new(from, from == Place::Keyring || to == Place::Keyring)?, from, to };
        // makes what every later move finds
        course.vault.move_to(to).success();
        course.back();
        Some(course)
    }

    /// Everything as it was; a key that nobody uses is taken out of the place where the move is to go.
    fn back(&self) {
        self.vault.move_to(self.from).success();
        self.vault.is_in(self.from);
        self.vault.forget(self.to);
    }

    fn trace(&self) -> PathBuf {
        self.vault.scene.home.path().join("trace")
    }

    /// The move under strace with `options`: what it said, and what strace saw.
    fn traced(&self, options: &[&str]) -> (Output, String) {
        let mut command = self.vault.scene.home.command("strace");
        command.args(["-f", "-qq", "-o"]).arg(self.trace()).args(options);
        command.arg(self.vault.scene.home.bin().join("keyfob")).args(self.vault.arguments(self.to));
        let output = process::run(&mut command, b"");
        (output, std::fs::read_to_string(self.trace()).unwrap())
    }

    /// The calls of a move that nobody disturbs: for each thread their names in order.
    fn calls(&self) -> BTreeMap<String, Vec<String>> {
        let (output, trace) = self.traced(&[]);
        output.success();
        self.back();
        let mut threads: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in trace.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            // the second half of a call that another thread came between
            if call.starts_with(|c: char| c.is_ascii_lowercase()) {
                let name = call.split('(').next().unwrap_or_default();
                threads.entry(thread.to_owned()).or_default().push(name.to_owned());
            }
        }
        threads
    }

    /// Kills the move when it enters the call `point`.
    #[track_caller]
    fn killed(&self, (name, number): &Point) -> bool {
        let (output, trace) =
            self.traced(&["-e", &format!("trace={name}"), "-e", &format!("inject={name}:signal=KILL:when={number}")]);
        let killed = output.code.is_none() && trace.contains("+++ killed by SIGKILL +++");
        assert!(killed || output.code == Some(0), "{name} {number}: {output:?}");
        killed
    }

    /// What must be true whenever a move has ended halfway, and what may be done then; leaves everything as it was before.
    #[track_caller]
    fn recovers(&self, round: usize) {
        self.vault.answers();
        match round % 3 {
            // whoever writes is the first to find out what was left
            0 => {
                self.vault.scene.keep_entries();
                self.vault.answers();
                self.completes();
            }
            1 => self.completes(),
            // somebody has thought better of it
            _ => {}
        }
        self.back();
        self.vault.answers();
    }

    #[track_caller]
    fn completes(&self) {
        self.vault.move_to(self.to).success();
        self.vault.is_in(self.to);
        if !matches!(self.from, Place::File(_)) {
            self.vault.is_not_in(self.from);
        }
        self.vault.answers();
    }

    /// Whether the new key is in use.
    fn has_switched(&self, before: &str) -> bool {
        self.vault.key_id() != before
    }
}

/// All of `points`, or every tenth of them; says which.
fn chosen(what: &str, points: Vec<Point>) -> Vec<Point> {
    let all = points.len();
    let soak = std::env::var_os("KEYFOB_TESTS_SOAK").is_some_and(|value| value == "1");
    let offset = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_micros() as usize % 10;
    let chosen: Vec<Point> = if soak { points } else { points.into_iter().skip(offset).step_by(10).collect() };
    // Not `eprintln!`: the test runner would keep it to itself.
    let from = if soak { String::new() } else { format!(", every tenth from {offset}") };
    let _ = writeln!(std::io::stderr(), "{what}: {all} points{from}: {}", chosen.len());
    chosen
}

/// Each call of the only thread after it became the program.
fn points(course: &Course) -> Vec<Point> {
    let threads = course.calls();
    assert_eq!(threads.len(), 1, "it has one thread: {threads:?}");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let number = |name: String| {
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        (name, *count)
    };
    threads.into_values().flatten().filter(|name| name != "execve").map(number).collect()
}

/// What changes files and keys, or speaks to the desktop's keyring; strace counts the calls of each thread by themselves.
const TELLING: [&str; 11] =
    ["openat", "fchmod", "flock", "fsync", "renameat", "renameat2", "unlinkat", "getdents64", "keyctl", "add_key", "sendmsg"];

/// Each telling call of any thread.
fn points_of_threads(course: &Course) -> Vec<Point> {
    let threads = course.calls();
    assert!(threads.len() > 1, "the keyring is asked by another thread: {threads:?}");
    let most = |name: &str| threads.values().map(|calls| calls.iter().filter(|call| *call == name).count()).max().unwrap_or(0);
    TELLING.iter().flat_map(|name| (1..=most(name)).map(|number| ((*name).to_owned(), number))).collect()
}

fn killed_at_every_call(from: Place, to: Place) {
    let Some(course) = Course::new(from, to) else { return };
    let points = if from == Place::Keyring || to == Place::Keyring { points_of_threads(&course) } else { points(&course) };
    let points = chosen(&format!("killed on the way from {from:?} to {to:?}"), points);
    let (mut before, mut after) = (0, 0);
    for (round, point) in points.iter().enumerate() {
        let key = course.vault.key_id();
        assert!(course.killed(point), "{point:?} was not met");
        *(if course.has_switched(&key) { &mut after } else { &mut before }) += 1;
        course.recovers(round);
    }
    assert!(before > 0 && after > 0, "{before} before the switch, {after} after it");
    course.vault.shows_no_secret(&[]);
}

#[test]
fn a_move_between_files_may_be_killed_at_any_call() {
    killed_at_every_call(FIRST, SECOND);
}

#[test]
fn a_move_from_a_file_to_the_kernels_keyring_may_be_killed_at_any_call() {
    killed_at_every_call(FIRST, Place::Kernel);
}

#[test]
fn a_move_from_the_kernels_keyring_to_a_file_may_be_killed_at_any_call() {
    killed_at_every_call(Place::Kernel, FIRST);
}

#[test]
fn a_move_from_a_file_to_the_desktops_keyring_may_be_killed_at_any_call() {
    killed_at_every_call(FIRST, Place::Keyring);
}

#[test]
fn a_move_from_the_desktops_keyring_to_a_file_may_be_killed_at_any_call() {
    killed_at_every_call(Place::Keyring, FIRST);
}

#[test]
fn a_move_from_the_kernels_keyring_to_the_desktops_may_be_killed_at_any_call() {
    killed_at_every_call(Place::Kernel, Place::Keyring);
}

/// What a full or failing disk, a lack of memory or a quota can refuse.
const REFUSABLE: [&str; 13] = [
    "openat",
    "fchmod",
    "write",
    "fsync",
    "renameat",
    "renameat2",
    "unlinkat",
    "read",
    "statx",
    "getdents64",
    "flock",
    "keyctl",
    "add_key",
];

fn refused_at_every_call(from: Place, to: Place) {
    let Some(course) = Course::new(from, to) else { return };
    let points: Vec<Point> = points(&course).into_iter().filter(|(name, _)| REFUSABLE.contains(&name.as_str())).collect();
    let points = chosen(&format!("refused on the way from {from:?} to {to:?}"), points);
    for (round, point) in points.iter().enumerate() {
        let (name, number) = point;
        let (key, files) = (course.vault.key_id(), course.vault.sealed());
        let error = if name.ends_with("key") || name == "keyctl" { "EDQUOT" } else { "EIO" };
        let (output, trace) =
            course.traced(&["-e", &format!("trace={name}"), "-e", &format!("inject={name}:error={error}:when={number}")]);
        assert!(trace.contains("(INJECTED)"), "{point:?} was not met: {output:?}");
        if output.code != Some(0) {
            assert!(output.code.is_some(), "{point:?}: {output:?}");
            if output.stderr.starts_with("keyfob: ") {
                one_error(&output);
            }
            if !course.has_switched(&key) {
                assert_eq!(course.vault.sealed(), files, "{point:?}: something was changed: {output:?}");
                let undone = name == "unlinkat" || name == "keyctl" || !course.vault.has_key_in(to);
                assert!(undone, "{point:?}: the new key was left: {output:?}");
            }
        }
        course.recovers(round);
    }
}

#[test]
fn a_move_between_files_may_be_refused_any_call() {
    refused_at_every_call(FIRST, SECOND);
}

#[test]
fn a_move_from_a_file_to_the_kernels_keyring_may_be_refused_any_call() {
    refused_at_every_call(FIRST, Place::Kernel);
}

#[test]
fn a_move_from_the_kernels_keyring_to_a_file_may_be_refused_any_call() {
    refused_at_every_call(Place::Kernel, FIRST);
}
