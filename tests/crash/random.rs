//! SIGKILL at any time, to whoever lives in the home: callers that want the same renewal, and the workers they start.
//!
//! 100 kills in the short round (15 s), 2,000 with `KEYFOB_TESTS_SOAK=1`.
use super::sample::{self, Random};
use super::stage::{Begin, Stage};
use crate::support::forge::{end, until};
use crate::support::scene::{TOKEN, one_error};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many ask at once.
const CALLERS: usize = 3;
/// No process is killed later than this after the callers began, in microseconds, or than it takes undisturbed where that is more.
const LATEST: u64 = 80_000;

/// A process, told from a later one of the same id by when it began.
type Process = (u32, String);

fn began(id: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // the name before the last parenthesis may hold spaces
    let (_, rest) = stat.rsplit_once(')')?;
    Some((id, rest.split_ascii_whitespace().nth(19)?.to_owned()))
}

fn is_worker(id: u32) -> bool {
    fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == b"--worker"))
}

fn caller(stage: &Stage) -> Child {
    let mut command = stage.keyfob(TOKEN);
    command.env("KEYFOB_INTERACTIVE", "never").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What one kill did.
struct Round {
    /// A worker was killed; nothing, where all was over already.
    killed_worker: Option<bool>,
    lost: usize,
    seen: Vec<Process>,
}

fn round(stage: &Stage, random: &mut Random, latest: u64) -> Round {
    stage.reset();
    let callers: Vec<Child> = (0..CALLERS).map(|_| caller(stage)).collect();
    sleep(Duration::from_micros(random.below(latest)));
    let living = stage.scene.home.processes();
    // there are fewer workers than callers, and they have more to lose
    let workers: Vec<u32> = living.iter().copied().filter(|id| is_worker(*id)).collect();
    let candidates = if workers.is_empty() || random.below(2) == 0 { &living } else { &workers };
    let victim = (!candidates.is_empty()).then(|| candidates[usize::try_from(random.below(candidates.len() as u64)).unwrap()]);
    let killed_worker = victim.map(|id| {
        let worker = is_worker(id);
        // it may have ended since
        let _ = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
        worker
    });
    let seen = living.iter().chain(&stage.scene.home.processes()).filter_map(|id| began(*id)).collect();
    for caller in callers {
        let id = caller.id();
        let output = end(caller);
        // none: it is the one that was killed
        match output.code {
            Some(0) => assert!(!output.stdout.is_empty(), "{output:?}"),
            Some(_) => one_error(&output),
            None => assert_eq!(Some(id), victim, "{output:?}"),
        }
    }
    let lost = stage.lost();
    stage.nothing_is_corrupt();
    Round { killed_worker, lost, seen }
}

/// How long it takes until all callers have their token, in microseconds.
fn undisturbed(stage: &Stage) -> u64 {
    stage.reset();
    let begun = Instant::now();
    let callers: Vec<Child> = (0..CALLERS).map(|_| caller(stage)).collect();
    callers.into_iter().for_each(|caller| drop(end(caller).success()));
    u64::try_from(begun.elapsed().as_micros()).expect("it takes less than a life")
}

#[test]
fn kills_at_any_time_corrupt_nothing_lose_only_an_answer_on_its_way_and_leave_nobody_behind() {
    let (kills, seed) = (if sample::soak() { 2000 } else { 100 }, sample::seed());
    eprintln!("{kills} kills, seed {seed}");
    let (stage, mut random) = (Stage::new(Begin::Ended), Random::new(seed));
    let (mut of_workers, mut of_callers, mut of_nobody, mut lost) = (0, 0, 0, 0);
    let mut seen: BTreeSet<Process> = BTreeSet::new();
    let latest = undisturbed(&stage).max(LATEST);
    while of_workers + of_callers < kills {
        let round = round(&stage, &mut random, latest);
        match round.killed_worker {
            Some(true) => of_workers += 1,
            Some(false) => of_callers += 1,
            None => of_nobody += 1,
        }
        if round.lost > 0 {
            assert!(round.killed_worker == Some(true) && round.lost == 1, "{} were lost without a killed worker", round.lost);
            assert!(!stage.scene.server.family_alive(), "it was refreshed all the same, so nothing was lost");
            lost += 1;
        }
        seen.extend(round.seen);
    }
    assert!(of_workers > 0 && of_callers > 0 && of_nobody < 10 * kills);
    eprintln!("| kills | of workers | of callers | corrupt | lost |");
    eprintln!("| {kills} | {of_workers} | {of_callers} | 0 | {lost} |");
    let left = || seen.iter().filter(|process| began(process.0).as_ref() == Some(process)).count();
    until("nobody is left, dead or alive", || left() == 0 && stage.scene.home.processes().is_empty());
}
