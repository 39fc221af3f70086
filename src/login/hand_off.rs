//! The hand-off from a caller to the worker: what it is told, what it reports, and how it is started and followed.
use super::Context;
use super::failed::Failed;
use super::pending::Pending;
use crate::config::Flow;
use crate::failure::{Failure, Kind};
use crate::os;
use crate::store::RecordLock;
use crate::token::Need;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The word that makes this program the worker. It comes first, whatever name the program has.
pub(crate) const WORKER: &str = "--worker";
/// The byte by which a caller says that the person pressed Ctrl-C.
pub(crate) const CANCEL: u8 = b'c';
/// How often a waiting caller looks whether the person pressed Ctrl-C.
const GLANCE: Duration = Duration::from_millis(200);

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
    pub(crate) refusal: Option<String>,
    /// A terminal is there, on which an address can be shown.
    pub(crate) attended: bool,
    /// A person asked for a new sign-in, whatever is stored.
    pub(crate) force: bool,
    /// How a person is to sign in.
    pub(crate) flow: Flow,
    pub(crate) asker: String,
    pub(crate) pid: u32,
    /// When the caller began, in milliseconds since the epoch. What was renewed after that is good enough for it.
    pub(crate) since_ms: i64,
}

/// One line of JSON on the worker's standard output.
#[derive(Serialize, Deserialize)]
pub(crate) enum Report {
    /// A person is needed, and this is how.
    Pending(Pending),
    Failed(Failed),
    /// The result itself, where nothing can be kept.
    Unkept(String),
}

/// How a worker ended, as its caller sees it.
pub(crate) enum Outcome {
    /// The record says what came of it.
    Look,
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
    let mut line = serde_json::to_vec(job).expect("a job holds only text, numbers and flags");
    line.push(b'\n');
    stdin.write_all(&line).map_err(failure)?;
    Ok((child, stdin))
}

/// Starts a worker that nobody waits for. What it cannot do now, the next caller will.
pub(crate) fn start_behind(context: &Context, job: &Job, lock: RecordLock) {
    let _ = start(context, job, lock, false);
}

/// Starts a worker and waits for its end, showing what it needs of the person.
///
/// Ctrl-C reaches the worker as a wish, and ends this process's waiting at once.
///
/// # Errors
/// [`Kind::Misconfigured`] where it cannot be started, [`Kind::Refused`] where the person stopped it.
pub(crate) fn run(context: &Context, job: &Job, lock: RecordLock, show: &mut dyn FnMut(&Pending)) -> Result<Outcome, Failure> {
    let interrupted = os::on_interrupt();
    let (mut child, mut stdin) = start(context, job, lock, true)?;
    let stdout = child.stdout.take().expect("it was asked for as a pipe");
    let mut lines = BufReader::new(stdout);
    let mut outcome = Outcome::Look;
    loop {
        if interrupted.load(Ordering::SeqCst) {
            let _ = stdin.write_all(&[CANCEL]);
            return Err(stopped());
        }
        if lines.buffer().is_empty() && !readable(&lines) {
            continue;
        }
        let mut line = zeroize::Zeroizing::new(String::new());
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            break;
        }
        match serde_json::from_str(&line) {
            Ok(Report::Pending(pending)) => show(&pending),
            Ok(Report::Failed(failed)) => outcome = Outcome::Failed(failed),
            Ok(Report::Unkept(form)) => outcome = Outcome::Unkept(zeroize::Zeroizing::new(form)),
            Err(_) => return Err(Failure::new(Kind::Bug, "the worker reported something unreadable")),
        }
    }
    // it closes its output as the last thing, so this does not wait
    let _ = child.wait();
    Ok(outcome)
}

/// What a person reads who pressed Ctrl-C.
pub(crate) fn stopped() -> Failure {
    Failure::new(Kind::Refused, "stopped by Ctrl-C").hint("run the command again to sign in")
}

fn readable(lines: &BufReader<ChildStdout>) -> bool {
    // where waiting fails, reading says why
    os::wait_readable(lines.get_ref(), GLANCE).unwrap_or(true)
}
