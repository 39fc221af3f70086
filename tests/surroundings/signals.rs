//! Signals that a caller was started with ignored or blocked, and callers that are stopped: nobody else waits for them.
use super::nothing_is_left;
use crate::support::authorization_server::Endpoint;
use crate::support::forge::{Forge, at_a_terminal, end, signal, until, value};
use crate::support::home::{browser_program, program};
use crate::support::process;
use crate::support::temp_dir::write;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A set of signals of a process's status.
fn set(status: &str, word: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Signs in and refreshes as a caller that `wrapper` starts.
#[track_caller]
fn answers(wrapper: &[&str]) {
    let forge = Forge::new();
    let script = forge.home.bin().join("watched");
    write(
        &script,
        format!("#!/bin/sh\ngrep Sig /proc/self/status > \"$HOME/status\"\nexec {} \"$@\"\n", browser_program().display()),
    );
    assert!(Command::new("chmod").arg("700").arg(&script).status().unwrap().success());
    let caller = || {
        forge.caller(); // leaves the request
        let mut command = forge.command(wrapper[0]);
        command.args(&wrapper[1..]).args(["keyfob", "git", "get"]).env("KEYFOB_BROWSER", &script);
        command.stdin(std::fs::File::open(forge.home.path().join("request")).unwrap());
        forge.spawn(&mut command)
    };
    let first = end(caller()).success().stdout;
    let browser = std::fs::read_to_string(forge.home.path().join("status")).unwrap();
    for word in ["SigBlk:", "SigIgn:"] {
        assert_eq!(set(&browser, word) & 0x7fff_ffff, 0, "{wrapper:?}: the browser has {word} {browser}");
    }
    // what a tool reports as refused is renewed at the next call
    let erase = format!("{}username=oauth2\npassword={}\n", forge.request(), value(&first, "password"));
    process::run(forge.command("keyfob").args(["git", "erase"]), erase.as_bytes()).success();
    let hold = forge.server.hold(Endpoint::Token);
    let second = caller();
    forge.server.wait_for(Endpoint::Token, 2);
    let workers = forge.workers();
    let status = std::fs::read_to_string(format!("/proc/{}/status", workers[0])).unwrap();
    let (pipe, size) = (bit(13), bit(25));
    assert_eq!(set(&status, "SigIgn:") & 0x7fff_ffff, pipe | size, "{wrapper:?}: {status}");
    assert_eq!(set(&status, "SigBlk:") & 0x7fff_ffff, bit(1) | bit(2) | pipe | bit(15), "{wrapper:?}: {status}");
    hold.release();
    let second = end(second).success().stdout;
    assert!(value(&first, "password") != value(&second, "password"));
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().refreshes), (1, 1));
    nothing_is_left(&forge, &workers, &[]);
}

#[test]
fn ignored_and_blocked_signals_change_nothing_and_are_not_handed_on() {
    let wrappers: [&[&str]; 5] = [
        &["env", "--ignore-signal=CHLD"],
        &["nohup"],
        &["env", "--ignore-signal"],
        &["env", "--block-signal"],
        &["env", "--ignore-signal", "--block-signal"],
    ];
    std::thread::scope(|scope| {
        for wrapper in wrappers {
            scope.spawn(move || answers(wrapper));
        }
    });
}

#[test]
fn a_program_that_was_replaced_while_it_ran_is_said_to_be_even_where_sigchld_is_ignored() {
    let forge = Forge::new();
    for wrapper in [&["env"][..], &["env", "--ignore-signal=CHLD"]] {
        let copy = forge.home.bin().join("copy");
        std::fs::copy(program(), &copy).unwrap();
        let mut command = forge.command(wrapper[0]);
        command.args(&wrapper[1..]).arg(&copy).args(["git", "get"]).stdin(Stdio::piped());
        let mut caller = forge.spawn(&mut command);
        until("it runs", || std::fs::read_link(format!("/proc/{}/exe", caller.id())).is_ok_and(|exe| exe == copy));
        std::fs::remove_file(&copy).unwrap();
        caller.stdin.take().unwrap().write_all(forge.request().as_bytes()).unwrap();
        let output = end(caller);
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "quit=1\n"), "{output:?}");
        assert!(output.stderr.contains("keyfob was replaced while it ran"), "{output:?}");
    }
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
}

fn state(process: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[test]
fn a_caller_that_is_stopped_while_its_worker_refreshes_holds_nobody_up() {
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let hold = forge.server.hold(Endpoint::Token);
    let first = forge.spawn(&mut forge.caller());
    forge.server.wait_for(Endpoint::Token, 2);
    let workers = forge.workers();
    signal("STOP", &first.id().to_string());
    let others: Vec<Child> = (0..5).map(|_| forge.spawn(&mut forge.caller())).collect();
    until("they wait", || forge.waiters() == 5);
    hold.release();
    let answers: Vec<String> = others.into_iter().map(|other| end(other).success().stdout).collect();
    assert_eq!(state(first.id()), Some('T'), "it is still stopped");
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    signal("CONT", &first.id().to_string());
    assert_eq!(end(first).success().stdout, answers[0]);
    assert_eq!(forge.server.counts().refresh_requests, 1);
    nothing_is_left(&forge, &workers, &[]);
}

/// A job in the background is stopped when it writes to a terminal that does not want that. What it was to say is not urgent.
#[test]
fn a_background_job_that_its_terminal_stops_holds_nobody_up_and_answers_when_it_goes_on() {
    let forge = Forge::new();
    let page = forge.server.hold(Endpoint::Authorize);
    let line = "stty tostop; set -m; keyfob git get <request >said/answer 2>said/errors & read go; fg %1";
    let mut terminal = at_a_terminal(&forge, line);
    forge.server.wait_for(Endpoint::Authorize, 1);
    let stopped = || forge.home.processes().into_iter().any(|id| state(id) == Some('T'));
    until("it is stopped by its terminal", stopped);
    page.release();
    let answer = forge.ask().success().stdout;
    assert!(stopped(), "it is still stopped");
    terminal.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let output = end(terminal);
    let said = std::fs::read_to_string(forge.home.path().join("said/answer")).unwrap();
    assert_eq!(said, answer, "{output:?}");
    assert_eq!((forge.server.counts().authorizations, forge.home.wait_for_browser_runs(1).len()), (1, 1));
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    nothing_is_left(&forge, &[], &[]);
}

#[test]
fn a_caller_with_sigint_ignored_is_not_stopped_by_ctrl_c() {
    let forge = Forge::new();
    let page = forge.server.hold(Endpoint::Authorize);
    forge.caller();
    let mut command = forge.command("env");
    command.args(["--ignore-signal=INT", "keyfob", "git", "get"]);
    let caller = forge.spawn(command.stdin(std::fs::File::open(forge.home.path().join("request")).unwrap()));
    forge.server.wait_for(Endpoint::Authorize, 1);
    signal("INT", &caller.id().to_string());
    // time for a caller that looks after signals every 200 ms to be wrong
    std::thread::sleep(Duration::from_millis(400));
    page.release();
    let answer = end(caller).success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    nothing_is_left(&forge, &[], &[]);
}
