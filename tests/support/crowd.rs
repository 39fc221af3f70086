//! A crowd: many processes that want the same at once, what each of them got, how many workers they started, and when the last was done.
use super::process::{LIMIT, Output};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a caller says on standard error when it starts a worker, and is traced.
const STARTED: &str = "keyfob: trace: starting the worker for";

/// Whether the long rounds are run: `KEYFOB_TESTS_SOAK=1`.
pub fn soak() -> bool {
    std::env::var_os("KEYFOB_TESTS_SOAK").is_some_and(|value| value == "1")
}

/// Processes that run at once.
pub struct Crowd {
    begun: Instant,
    count: usize,
    ended: mpsc::Receiver<(usize, Output, Instant)>,
}

/// The same when all of them have ended.
pub struct Ended {
    /// In the order in which they were started; the trace is taken out of what they said.
    pub outputs: Vec<Output>,
    /// How many workers they started together.
    pub workers: usize,
    /// From the first start to the last end.
    pub took: Duration,
    pub last: Instant,
}

impl Crowd {
    /// Starts all `commands`, traced and with their output collected, before any of them is waited for.
    pub fn start(commands: impl IntoIterator<Item = Command>) -> Self {
        let (tell, ended) = mpsc::channel();
        let begun = Instant::now();
        let mut count = 0;
        for (number, mut command) in commands.into_iter().enumerate() {
            command.env("KEYFOB_TRACE", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
            let tell = tell.clone();
            std::thread::spawn(move || {
                let output = child.wait_with_output().expect("a child can be waited for");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let output = Output { stdout: text(&output.stdout), stderr: text(&output.stderr), code: output.status.code() };
                let _ = tell.send((number, output, Instant::now()));
            });
            count += 1;
        }
        Self { begun, count, ended }
    }

    /// Waits for the end of all; panics where one has not ended after `LIMIT`.
    #[track_caller]
    pub fn end(self) -> Ended {
        let mut outputs = vec![None; self.count];
        let (mut workers, mut last) = (0, self.begun);
        for missing in (1..=self.count).rev() {
            let left = LIMIT.saturating_sub(self.begun.elapsed());
            let received = self.ended.recv_timeout(left);
            let (number, mut output, at) = received.unwrap_or_else(|_| panic!("{missing} did not end within {LIMIT:?}"));
            workers += output.stderr.lines().filter(|line| line.starts_with(STARTED)).count();
            output.stderr = without_trace(&output.stderr);
            outputs[number] = Some(output);
            last = last.max(at);
        }
        let outputs = outputs.into_iter().flatten().collect();
        Ended { outputs, workers, took: last - self.begun, last }
    }
}

impl Ended {
    /// The one answer that all of them got, to the byte, and without a word on standard error.
    #[track_caller]
    pub fn answer(&self) -> String {
        let first = &self.outputs[0];
        assert!(first.code == Some(0) && !first.stdout.is_empty(), "{first:?}");
        for output in &self.outputs {
            let got = (output.code, output.stdout.as_str(), output.stderr.as_str());
            assert_eq!(got, (Some(0), first.stdout.as_str(), ""));
        }
        first.stdout.clone()
    }
}

fn without_trace(said: &str) -> String {
    said.lines().filter(|line| !line.starts_with("keyfob: trace: ")).map(|line| format!("{line}\n")).collect()
}

/// Prints what rounds of storms measured, where it is seen although the test passes: `late` is how much later than the server's own
/// delay the last process of each round was done.
pub fn publish(what: &str, processes: usize, late: &mut [Duration]) {
    late.sort();
    let at = |percent: usize| late[(late.len() * percent).div_ceil(100).clamp(1, late.len()) - 1].as_millis();
    let line = format!(
        "figures: {what}: {} rounds of {processes} processes, 0 failures; the last one was done after the server's delay + {} ms (p50), + {} ms (p99)",
        late.len(),
        at(50),
        at(99)
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}
