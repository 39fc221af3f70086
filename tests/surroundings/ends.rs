//! Whoever is killed, and when: what is left ends by itself, is collected, listens no more, and has leaked nothing.
use super::{listening, nothing_is_left};
use crate::support::authorization_server::{Endpoint, Hold};
use crate::support::forge::{Forge, at_a_terminal, end, signal, until, value};
use crate::support::temp_dir::write;
use std::process::{Child, Command};

/// A moment in which a worker can be caught.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    BeforeTheBrowser,
    BrowserOpen,
    Redeeming,
    Refreshing,
}

const PHASES: [Phase; 4] = [Phase::BeforeTheBrowser, Phase::BrowserOpen, Phase::Redeeming, Phase::Refreshing];

impl Phase {
    /// A forge, and a caller that `start` makes in it, whose worker is in this phase until the hold is released.
    fn caught(self, start: impl FnOnce(&Forge) -> Child) -> (Forge, Child, u32, Option<Hold>) {
        let forge = Forge::new();
        let (endpoint, count) = match self {
            Self::BeforeTheBrowser => (Endpoint::Metadata, 1),
            Self::BrowserOpen => {
                forge.home.browser("never");
                (Endpoint::Metadata, 1)
            }
            Self::Redeeming => (Endpoint::Token, 1),
            Self::Refreshing => {
                forge.sign_in_and_expire();
                (Endpoint::Token, 2)
            }
        };
        let hold = (self != Self::BrowserOpen).then(|| forge.server.hold(endpoint));
        let caller = start(&forge);
        forge.server.wait_for(endpoint, count);
        if self == Self::BrowserOpen {
            forge.home.wait_for_browser_runs(1);
        }
        let workers = forge.workers();
        assert_eq!(workers.len(), 1, "{self:?}");
        (forge, caller, workers[0], hold)
    }
}

/// `git credential fill` with keyfob below it, all in one process group.
fn git(forge: &Forge) -> Child {
    forge.caller(); // leaves the request
    let mut command = forge.command("sh");
    command.args(["-c", "git credential fill <request; exit $?"]);
    forge.spawn(&mut command)
}

/// A new caller gets a token, whatever happened before.
#[track_caller]
fn goes_on(forge: &Forge) {
    forge.home.browser("ok");
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
}

#[test]
fn after_git_and_the_worker_were_killed_in_any_phase_nothing_is_left_and_the_next_caller_gets_a_token() {
    std::thread::scope(|scope| {
        for phase in PHASES {
            scope.spawn(move || {
                let (forge, caller, worker, hold) = phase.caught(git);
                let ports = listening(worker);
                assert_eq!(
                    ports.len(),
                    usize::from(phase == Phase::BrowserOpen),
                    "{phase:?}: it listens while a person is waited for"
                );
                signal("KILL", &format!("-{}", caller.id()));
                signal("KILL", &worker.to_string());
                end(caller);
                drop(hold);
                until("all of the home has ended", || forge.home.processes().iter().all(|id| *id != worker));
                // a browser whose redirect is refused ends by itself
                nothing_is_left(&forge, &[worker], &ports);
                goes_on(&forge);
                nothing_is_left(&forge, &[], &ports);
            });
        }
    });
}

#[test]
fn after_git_alone_was_killed_in_any_phase_its_worker_ends_by_itself_and_leaves_nothing() {
    std::thread::scope(|scope| {
        for phase in PHASES.into_iter().filter(|phase| *phase != Phase::BrowserOpen) {
            scope.spawn(move || {
                let (forge, caller, worker, hold) = phase.caught(git);
                signal("KILL", &format!("-{}", caller.id()));
                let output = end(caller);
                assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""), "{phase:?}");
                drop(hold);
                nothing_is_left(&forge, &[worker], &[]);
                let asked = forge.server.requests().len();
                goes_on(&forge);
                assert_eq!(forge.server.requests().len(), asked, "{phase:?}: it was in the store");
            });
        }
    });
}

#[test]
fn after_a_terminal_was_killed_in_any_phase_nothing_is_left_and_nothing_stands_on_it() {
    std::thread::scope(|scope| {
        for phase in PHASES {
            scope.spawn(move || {
                let (forge, terminal, worker, hold) = phase.caught(|forge| at_a_terminal(forge, "git credential fill <request"));
                let ports = listening(worker);
                signal("KILL", &terminal.id().to_string());
                end(terminal);
                until("those at the terminal are gone", || forge.home.processes().iter().all(|id| is_ours(*id)));
                drop(hold);
                if phase == Phase::BrowserOpen {
                    // a person may still come to the tab; a sign-out ends it
                    assert_eq!((forge.workers(), listening(worker)), (vec![worker], ports.clone()));
                    forge.keyfob(&["logout", "corp"]).success();
                }
                // what stood on the terminal is a file of the home, which is searched for secrets
                nothing_is_left(&forge, &[worker], &ports);
                if phase == Phase::BrowserOpen {
                    // for five seconds only a person can have another one
                    forge.home.browser("ok");
                    forge.keyfob(&["login", "corp"]).success();
                }
                goes_on(&forge);
            });
        }
    });
}

/// Whether it is the worker or the fake browser.
fn is_ours(process: u32) -> bool {
    let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.is_empty() || line.contains("--worker") || line.contains("/browser")
}

#[test]
fn a_browser_that_ends_while_its_sign_in_is_open_is_collected() {
    let forge = Forge::new();
    let script = forge.home.bin().join("brief");
    write(&script, "#!/bin/sh\necho $$ > \"$HOME/browser.pid\"\nsleep 0.7\n");
    assert!(Command::new("chmod").arg("700").arg(&script).status().unwrap().success());
    let mut caller = forge.caller();
    let caller = forge.spawn(caller.env("KEYFOB_BROWSER", &script));
    let pid = || std::fs::read_to_string(forge.home.path().join("browser.pid")).unwrap_or_default().trim().to_owned();
    until("the browser runs", || !pid().is_empty());
    until("the browser is collected", || !std::path::Path::new(&format!("/proc/{}", pid())).exists());
    let workers = forge.workers();
    assert_eq!(workers.len(), 1, "the sign-in is still open");
    let ports = listening(workers[0]);
    assert_eq!(ports.len(), 1);
    forge.keyfob(&["logout", "corp"]).success();
    end(caller);
    nothing_is_left(&forge, &workers, &ports);
}
