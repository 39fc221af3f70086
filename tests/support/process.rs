//! Runs programs to their end, within a time.
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a program may run, or anything be waited for: far longer than it takes on the slowest machine, and what has not happened
/// by then never does.
pub const LIMIT: Duration = Duration::from_secs(180);
/// How long a program's output may stay open after its end. A worker that held it would do so for as long as it runs.
const AFTER_END: Duration = Duration::from_secs(20);

/// What a program did. The texts replace what is not UTF-8.
#[derive(Clone, Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// None where a signal ended it.
    pub code: Option<i32>,
}

impl Output {
    /// Itself, where the program ended with 0; panics with everything it said otherwise.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Runs `command` with `stdin` and waits for its end. After `LIMIT` it is killed and this panics; so it does where
/// something keeps its stdout or stderr open after its end.
#[track_caller]
pub fn run(command: &mut Command, stdin: &[u8]) -> Output {
    let described = format!("{command:?}");
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|e| panic!("cannot start {described}: {e}"));
    let (mut input, given) = (child.stdin.take().expect("stdin is a pipe"), stdin.to_vec());
    std::thread::spawn(move || {
        let _ = input.write_all(&given);
    });
    let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
    let code = wait(&mut child, LIMIT);
    let text =
        |all: &mpsc::Receiver<Vec<u8>>| all.recv_timeout(AFTER_END).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    let code = code.unwrap_or_else(|| panic!("{described} did not end within {LIMIT:?}: {stdout:?} {stderr:?}"));
    let stdout = stdout.unwrap_or_else(|_| panic!("{described} ended, but its stdout is still open"));
    let stderr = stderr.unwrap_or_else(|_| panic!("{described} ended, but its stderr is still open"));
    Output { stdout, stderr, code }
}

/// Whether `attempt`, which says how long it took, took less than `bound` at least once in three times. Each begins anew: what waits when it
/// must not does so every time, and a machine that does other things too hardly ever keeps one up three times.
pub fn is_quick(bound: Duration, mut attempt: impl FnMut() -> Duration) -> bool {
    (0..3).any(|_| attempt() < bound)
}

/// The exit code (None inside: ended by a signal); None where the child had to be killed after `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<Option<i32>> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    while Instant::now() < end {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status.code());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// The same without a time limit and with stdout as bytes, for filters that end with their input.
pub fn run_raw(command: &mut Command, stdin: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (mut input, given) = (child.stdin.take().expect("stdin is a pipe"), stdin.to_vec());
    std::thread::spawn(move || {
        let _ = input.write_all(&given);
    });
    Ok(child.wait_with_output()?.stdout)
}
