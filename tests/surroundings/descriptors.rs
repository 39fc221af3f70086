//! Descriptors that a caller was started with: odd ones from 3 on, and any of 0, 1 and 2 closed. Neither worker nor browser holds one.
use super::{descriptors, nothing_is_left};
use crate::support::authorization_server::Endpoint;
use crate::support::forge::{Forge, end, signal, value};
use crate::support::home::browser_program;
use crate::support::process;
use crate::support::scene::Scene;
use crate::support::temp_dir::write;
use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Child, Command};
use std::sync::mpsc;

/// Opens 3 to 9 and a high one in ways that no tool should: the ends of pipes, a socket, a file, a folder, copies of the output.
const ODD: &str = "exec 3>odd.out 4<>odd.in 5<>odd.file 6<>/dev/tcp/127.0.0.1/$PORT 7<. 8>&1 9>&2 200>odd.out; \
                   for n in 3 4 5 6 7 8 9 200; do readlink /proc/$$/fd/$n; done > odd.links; exec keyfob git get <request";

/// A caller with odd descriptors, and what tells when the last end of its pipe is closed.
fn odd(forge: &Forge) -> (Child, mpsc::Receiver<()>) {
    forge.caller(); // leaves the request
    for pipe in ["odd.out", "odd.in"] {
        let path = forge.home.path().join(pipe);
        let _ = std::fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }
    let (tell, closed) = mpsc::channel();
    let path = forge.home.path().join("odd.out");
    std::thread::spawn(move || {
        let mut said = String::new();
        std::fs::File::open(path).unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "nothing was written there");
        tell.send(()).unwrap();
    });
    let mut command = forge.command("bash");
    command.args(["-c", ODD]).env("PORT", forge.server.port().to_string()).env_remove("KEYFOB_BROWSER");
    (forge.spawn(&mut command), closed)
}

/// What the odd descriptors led to.
fn odd_links(forge: &Forge) -> BTreeSet<String> {
    let text = std::fs::read_to_string(forge.home.path().join("odd.links")).unwrap();
    let links: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    assert!(links.len() >= 7 && text.contains("socket:[") && text.contains("pipe:["), "{text}");
    links
}

/// Lets the browser note which descriptors it holds.
fn watched_browser(forge: &Forge) -> String {
    let script = forge.home.bin().join("watched");
    let text = "#!/bin/sh\nfor n in /proc/$$/fd/*; do readlink \"$n\"; done > \"$HOME/browser.links\"\nexec \"$0.real\" \"$@\"\n";
    write(&script, text);
    std::os::unix::fs::symlink(browser_program(), forge.home.bin().join("watched.real")).unwrap();
    assert!(Command::new("chmod").arg("700").arg(&script).status().unwrap().success());
    script.to_string_lossy().into_owned()
}

#[test]
fn neither_the_worker_nor_the_browser_holds_a_descriptor_that_its_caller_was_started_with() {
    let forge = Forge::new();
    let browser = watched_browser(&forge);
    forge.configure(&format!(
        "browser = \"{browser}\"\n{}[git.\"{}\"]\nlogin = \"corp\"\n",
        forge.login("corp", ""),
        forge.git.url()
    ));
    let page = forge.server.hold(Endpoint::Authorize);
    let (caller, closed) = odd(&forge);
    forge.server.wait_for(Endpoint::Authorize, 1);
    let (links, workers) = (odd_links(&forge), forge.workers());
    assert_eq!(workers.len(), 1);
    let shared: Vec<String> = descriptors(workers[0]).intersection(&links).cloned().collect();
    assert!(shared.is_empty(), "the worker holds {shared:?}");
    // who ends is told apart from what it started, although that goes on
    signal("KILL", &caller.id().to_string());
    closed.recv_timeout(process::LIMIT).expect("its pipe is closed when it has ended");
    assert_eq!(forge.workers(), workers, "which goes on");
    page.release();
    let output = end(caller);
    assert_eq!((output.code, output.stdout.as_str()), (None, ""));
    forge.wait_for_quiet();
    let held = std::fs::read_to_string(forge.home.path().join("browser.links")).unwrap();
    assert!(held.lines().filter(|link| *link == "/dev/null").count() >= 3, "{held}");
    assert!(!held.lines().any(|link| links.contains(link)), "the browser holds {held}");
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!(forge.server.counts().authorizations, 1);
    nothing_is_left(&forge, &workers, &[]);
}

/// The same where the kernel is too old to close all at once.
#[test]
fn a_worker_on_an_old_kernel_holds_no_descriptor_of_its_caller_either() {
    if !crate::support::peers::require("strace") {
        return;
    }
    let forge = Forge::new();
    forge.sign_in_and_expire();
    let hold = forge.server.hold(Endpoint::Token);
    let mut command = forge.command("strace");
    command.args([
        "-f",
        "-qq",
        "-e",
        "trace=close_range",
        "-e",
        "signal=none",
        "-e",
        "inject=close_range:error=ENOSYS",
        "-o",
        "trace",
    ]);
    command.args(["bash", "-c", "exec 3<>odd 4<>odd 9<>odd 200<>odd; exec keyfob git get <request"]);
    let caller = forge.spawn(&mut command);
    forge.server.wait_for(Endpoint::Token, 2);
    let workers = forge.workers();
    assert_eq!(workers.len(), 1);
    let held = descriptors(workers[0]);
    assert!(!held.is_empty() && !held.iter().any(|link| link.ends_with("/odd")), "{held:?}");
    hold.release();
    end(caller).success();
    let trace = std::fs::read_to_string(forge.home.path().join("trace")).unwrap();
    assert!(trace.contains("ENOSYS") && trace.contains("INJECTED"), "{trace}");
    nothing_is_left(&forge, &workers, &[]);
}

/// Runs `keyfob ARGUMENTS` with `closed` of its first three descriptors closed.
fn closed(scene: &Scene, arguments: &str, closed: &str, stdin: &str) -> process::Output {
    let mut shell = scene.home.command("sh");
    shell.args(["-c", &format!("exec keyfob {arguments} {closed}")]).env_remove("GIT_TERMINAL_PROMPT");
    // it talks, so that what it says has a chance to go where it must not
    let mut output = process::run(shell.env("KEYFOB_TRACE", "1"), stdin.as_bytes());
    output.stderr = output.stderr.lines().filter(|line| !line.starts_with("keyfob: trace: ")).collect();
    output
}

#[test]
fn a_sign_in_a_refresh_and_an_answer_go_well_whichever_of_the_first_three_descriptors_are_closed() {
    const REQUEST: &str = "protocol=https\nhost=git.example.com\n\n";
    for which in 1..8 {
        let redirection: String =
            [(1, "<&- "), (2, ">&- "), (4, "2>&-")].iter().filter(|(bit, _)| which & bit != 0).map(|(_, text)| *text).collect();
        let (no_stdin, no_stdout) = (which & 1 != 0, which & 2 != 0);
        let scene = Scene::new();
        let shown = |output: &process::Output| format!("{redirection}: {output:?}");
        let login = closed(&scene, "login corp", &redirection, "");
        assert_eq!((login.code, login.stdout.is_empty()), (Some(0), no_stdout), "{}", shown(&login));
        let first = scene.token();
        scene.git("erase", format!("{}password={first}\n", &REQUEST[..REQUEST.len() - 1]).as_bytes()).success();
        let token = closed(&scene, "token corp", &redirection, "");
        let second = scene.token_unattended().success().stdout;
        assert!(second.trim() != first && scene.server.is_alive(second.trim()), "{redirection}");
        assert_eq!((token.code, token.stdout.as_str()), (Some(0), if no_stdout { "" } else { &second }), "{}", shown(&token));
        scene.home.run(["logout", "corp"], "").success();
        let get = closed(&scene, "git get", &redirection, REQUEST);
        assert_eq!((get.code, get.stdout.contains("password=at_")), (Some(0), !no_stdin && !no_stdout), "{}", shown(&get));
        assert!([&login, &token, &get].iter().all(|output| output.stderr.is_empty()), "{redirection}");
        let counts = scene.server.counts();
        assert_eq!((counts.codes_redeemed, counts.refreshes), (if no_stdin { 1 } else { 2 }, 1), "{redirection}");
        for name in [".lock", ".signin", ".waiters"].iter().flat_map(|ending| scene.files(ending)) {
            assert_eq!(std::fs::metadata(scene.records().join(&name)).unwrap().len(), 0, "{redirection}: something is in {name}");
        }
        scene.home.scan_for_secrets(&scene.server.issued_secrets());
        assert_eq!(scene.server.violations(), Vec::<String>::new());
    }
}
