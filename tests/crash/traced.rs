//! keyfob below strace, which shows its calls at the store and refuses one of them.
use super::stage::{Stage, example};
use crate::support::forge::{signal, until};
use crate::support::process::{self, Output};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// What is looked at; a question mark leaves out what this machine does not have.
const CALLS: &str = "?open,?openat,?read,?write,?pwrite64,?fsync,?fdatasync,?rename,?renameat,?renameat2,?flock,?ftruncate,?mkdir,\
                     ?mkdirat,?unlink,?unlinkat,?fstat,?stat,?lstat,?newfstatat,?statx,?fchmod,?chmod,?getdents64,?link,?linkat";
/// The files of one record.
const SUFFIXES: [&str; 12] = [
    "rec",
    "next",
    "lock",
    "signin",
    "waiters",
    "pending",
    "failed",
    "pending.lock",
    "pending.signin",
    "failed.lock",
    "failed.signin",
    "bad-1",
];

/// Whose calls they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The process that is started, and nobody whom that starts.
    Command,
    /// Its first worker.
    Worker,
}

/// One call that is refused: its name, the error, and which of those calls of one thread.
pub(super) type Refusal<'r> = (&'r str, &'r str, usize);

/// One run, and what strace wrote down of it.
pub(super) struct Run {
    pub(super) output: Output,
    pub(super) trace: String,
}

/// Every file of the store of `stage` as it is now, present or not, and the folders above.
pub(super) fn store_files(stage: &Stage) -> Vec<PathBuf> {
    let folder = stage.scene.records();
    let files = stage.scene.files("");
    let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ids: BTreeSet<&str> = files.iter().filter_map(|name| name.split('.').next()).filter(is_id).collect();
    let mut paths: Vec<PathBuf> = folder.ancestors().take(3).map(PathBuf::from).collect();
    paths.extend(["store", "store.lock", "routes", "CACHEDIR.TAG"].map(|name| folder.join(name)));
    paths.extend(ids.iter().flat_map(|id| SUFFIXES.map(|suffix| folder.join(format!("{id}.{suffix}")))));
    paths
}

/// Runs keyfob without a terminal, with the calls of `who` at `paths` written down and one of them refused, or none.
pub(super) fn run(
    stage: &Stage,
    paths: &[PathBuf],
    who: Who,
    refusal: Option<Refusal<'_>>,
    arguments: &[&str],
    stdin: &[u8],
) -> Run {
    let trace = stage.scene.home.path().join("trace");
    let mut its = vec!["-qq".to_owned(), "-o".to_owned(), trace.display().to_string()];
    match refusal {
        None => its.push(format!("-etrace={CALLS}")),
        Some((call, error, number)) => {
            its.extend([format!("-etrace={call}"), format!("-einject={call}:error={error}:when={number}")]);
        }
    }
    its.extend(paths.iter().map(|path| format!("-P{}", path.display())));
    let its: Vec<&str> = its.iter().map(String::as_str).collect();
    let output = match who {
        Who::Command => {
            let its = [&["strace"], its.as_slice()].concat();
            process::run(&mut stage.below("setsid".as_ref(), &its, arguments), stdin)
        }
        Who::Worker => with_worker_below(stage, &its, arguments, stdin),
    };
    stage.wait_for_quiet();
    Run { output, trace: fs::read_to_string(&trace).expect("strace wrote its file") }
}

/// Lets strace take the worker over before its first instruction.
fn with_worker_below(stage: &Stage, its: &[&str], arguments: &[&str], stdin: &[u8]) -> Output {
    let report = stage.scene.home.path().join("report");
    let _ = fs::remove_file(&report);
    let mut command = stage.below(&example("killer"), &[&report.display().to_string(), "worker", "stop", "--"], arguments);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| process::run(&mut command, stdin));
        until("the worker is stopped", || report.exists() || running.is_finished());
        let text = fs::read_to_string(&report).unwrap_or_default();
        let Some(worker) = text.lines().find_map(|line| line.strip_prefix("pid ")) else {
            panic!("there was no worker: {:?}", running.join());
        };
        let mut tracer = trace_process(stage, its, worker);
        let output = running.join().unwrap();
        assert!(process::wait(&mut tracer, process::LIMIT).is_some(), "strace ends with the worker");
        output
    })
}

fn trace_process(stage: &Stage, its: &[&str], process: &str) -> Child {
    let mut command = stage.scene.home.command("strace");
    let tracer = command.args(["-f", "-p", process]).args(its).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = || fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    until("strace has the worker", || !status().contains("TracerPid:\t0\n"));
    signal("CONT", process);
    tracer
}
