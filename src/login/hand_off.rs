//! The hand-off from a caller to the worker: what it is told, what it reports, and how it is started and followed.
use super::Context;
use super::failed::Failed;
use super::interaction::Refusal;
use super::pending::Pending;
use crate::config::Flow;
use crate::failure::{Failure, Kind};
use crate::os;
use crate::store::RecordLock;
use crate::terminal;
use crate::token::Need;
use helper_protocols::Secret;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The word that makes this program the worker. It comes first, whatever name the program has.
pub(crate) const WORKER: &str = "--worker";
/// The byte by which a caller says that the person pressed Ctrl-C.
pub(crate) const CANCEL: u8 = b'c';
/// After how long a person is told that it takes long.
pub(crate) const NOTICEABLE: Duration = Duration::from_secs(2);
/// The longest line that a caller may send, in bytes.
pub(crate) const LINE: usize = 64 << 10;
/// How often a waiting caller looks whether the person pressed Ctrl-C.
const GLANCE: Duration = Duration::from_millis(200);
/// The same, while the person may be at the keyboard.
const SOON: Duration = Duration::from_millis(40);

/// What a worker is to bring up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// The token set of the login of this name.
    Login(String),
    /// The AWS credentials of the profile of this name.
    Role(String),
}

/// One line of JSON on the worker's standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) target: Target,
    /// The record that the handed-over lock is for, in hexadecimal.
    pub(crate) record: String,
    pub(crate) need: Need,
    /// Why no person may be asked; none where one may.
    pub(crate) refusal: Option<Refusal>,
    /// A terminal is there, on which an address can be shown.
    pub(crate) attended: bool,
    /// A person asked for a new sign-in, whatever is stored.
    pub(crate) force: bool,
    /// When the sign-in was that `force` is to replace, in milliseconds since the epoch; none where nobody was signed in. Any other one is
    /// new, whatever the clock did meanwhile.
    pub(crate) former_ms: Option<i64>,
    /// How a person is to sign in.
    pub(crate) flow: Flow,
    /// They want to choose an account, and it may be another one.
    #[serde(default)]
    pub(crate) switch_account: bool,
    pub(crate) asker: String,
    pub(crate) pid: u32,
    /// When the caller began, in milliseconds since the epoch. What was renewed after that is good enough for it.
    pub(crate) since_ms: i64,
    /// The key of the records, where a person typed it: the worker has nobody to ask.
    #[serde(default, with = "crate::token::stored_optional_secret", skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Secret>,
}

/// One line of JSON on the worker's standard output.
#[derive(Serialize, Deserialize)]
pub(crate) enum Report {
    /// A person is needed, and this is how.
    Pending(Pending),
    Failed(Failed),
    /// The result itself, where it could not be kept.
    Unkept(String),
    /// What a person should know though it stood in nobody's way: a sentence, and what mends it.
    Warning(Failed),
}

/// How a worker ended, as its caller sees it.
pub(crate) enum Outcome {
    /// The record says what came of it; this is how the worker ended, where that was not by itself.
    Look(Option<String>),
    Failed(Failed),
    Unkept(zeroize::Zeroizing<String>),
}

/// Starts the worker with the held `lock` and `job`; the lock is the worker's from here on.
///
/// # Errors
/// [`Kind::Misconfigured`] where no process can be started.
fn start(context: &Context, job: &Job, lock: RecordLock, followed: bool) -> Result<(Child, ChildStdin), Failure> {
    let failure = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Failure::new(Kind::Misconfigured, "keyfob was replaced while it ran").hint("run the command again");
        }
        Failure::new(Kind::Misconfigured, "cannot start the worker")
            .because(error)
            .hint("free some memory or processes, or check the limits (`ulimit -a`)")
    };
    let program = std::env::current_exe().map_err(failure)?;
    let mut command = Command::new(program);
    command.arg(WORKER).env_clear().envs(context.environment.for_worker());
    let stdout = if followed { Stdio::piped() } else { Stdio::null() };
    let mut child = os::start_detached(command, Stdio::piped(), stdout, lock.into_file()).map_err(failure)?;
    let mut stdin = child.stdin.take().expect("it was asked for as a pipe");
    // with room for all of it, so that growing leaves no copy behind
    let mut line = zeroize::Zeroizing::new(Vec::with_capacity(LINE));
    serde_json::to_writer(&mut *line, job).expect("a job holds only text, numbers and flags");
    line.push(b'\n');
    stdin.write_all(&line).map_err(failure)?;
    Ok((child, stdin))
}

/// Starts a worker that nobody waits for. What it cannot do now, the next caller will.
pub(crate) fn start_behind(context: &Context, job: &Job, lock: RecordLock) {
    let _ = start(context, job, lock, false);
}

/// What a caller is to do while it waits for its worker.
pub(crate) enum Meanwhile<'p> {
    /// Show what is needed of the person.
    Open(&'p Pending),
    /// Say that it takes long.
    TakesLong,
    /// Look at the terminal.
    Look,
}

/// Starts a worker and waits for its end. `meanwhile` tells whether the terminal should be looked at soon again.
///
/// Ctrl-C reaches the worker as a wish, and ends this process's waiting at once.
///
/// # Errors
/// [`Kind::Misconfigured`] where it cannot be started, [`Kind::Refused`] where the person stopped it.
pub(crate) fn run(
    context: &Context,
    job: &Job,
    lock: RecordLock,
    meanwhile: &mut dyn FnMut(Meanwhile<'_>) -> bool,
) -> Result<Outcome, Failure> {
    let interrupted = os::on_interrupt();
    let (begun, mut asked) = (Instant::now(), false);
    let (mut child, mut stdin) = start(context, job, lock, true)?;
    let stdout = child.stdout.take().expect("it was asked for as a pipe");
    let mut lines = BufReader::new(stdout);
    let mut outcome = None;
    loop {
        if interrupted.load(Ordering::SeqCst) {
            let _ = stdin.write_all(&[CANCEL]);
            return Err(stopped());
        }
        let patience = if meanwhile(Meanwhile::Look) { SOON } else { GLANCE };
        if lines.buffer().is_empty() && !readable(&lines, patience) {
            if !asked && begun.elapsed() > NOTICEABLE {
                asked = true;
                meanwhile(Meanwhile::TakesLong);
            }
            continue;
        }
        let mut line = zeroize::Zeroizing::new(String::new());
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            break;
        }
        match serde_json::from_str(&line) {
            Ok(Report::Pending(pending)) => {
                asked = true;
                meanwhile(Meanwhile::Open(&pending));
            }
            Ok(Report::Failed(failed)) => outcome = Some(Outcome::Failed(failed)),
            Ok(Report::Warning(warning)) => terminal::warn(&warning.failure()),
            Ok(Report::Unkept(form)) => outcome = Some(Outcome::Unkept(zeroize::Zeroizing::new(form))),
            Err(_) => return Err(Failure::new(Kind::Bug, "the worker reported something unreadable")),
        }
    }
    // it closes its output as the last thing, so this does not wait
    let status = child.wait();
    let broke_off = status.ok().filter(|status| !status.success()).map(|status| status.to_string());
    Ok(outcome.unwrap_or(Outcome::Look(broke_off)))
}

/// What a person reads who pressed Ctrl-C.
pub(crate) fn stopped() -> Failure {
    Failure::new(Kind::Refused, "stopped by Ctrl-C").hint("run the command again to sign in")
}

fn readable(lines: &BufReader<ChildStdout>, patience: Duration) -> bool {
    // where waiting fails, reading says why
    os::wait_readable(lines.get_ref(), patience).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_carries_the_key_on_the_pipe_and_shows_it_nowhere_else() {
        let job = Job {
            target: Target::Login("corp".into()),
            record: "00".into(),
            need: Need::Access { min_life: 60 },
            refusal: None,
            attended: true,
            force: false,
            former_ms: None,
            flow: Flow::Auto,
            switch_account: false,
            asker: "git fetch".into(),
            pid: 1,
            since_ms: 0,
            key: Some(Secret::new("the-key".into())),
        };
        assert!(!format!("{job:?}").contains("the-key"));
        let line = serde_json::to_string(&job).unwrap();
        let read: Job = serde_json::from_str(&line).unwrap();
        assert_eq!(read.key, job.key);
        let without = serde_json::to_string(&Job { key: None, ..job }).unwrap();
        assert!(!without.contains("key"), "{without}");
        assert_eq!(serde_json::from_str::<Job>(&without).unwrap().key, None);
    }
}
