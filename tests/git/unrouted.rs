//! A host that nobody configured costs nothing: no word, no network, no child, no file.
use super::versions;
use crate::support::forge::Forge;
use crate::support::git_server::{GitServer, Manners};
use crate::support::home::Home;
use crate::support::http_server::{HttpServer, Response};
use crate::support::process;
use crate::support::{peers, temp_dir::write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The lines of a trace that are a socket, a connection, or a process beside the first.
fn sins(trace: &str) -> Vec<&str> {
    let calls = ["socket(", "connect(", "bind(", "sendto(", "sendmsg(", "clone(", "clone3(", "fork(", "vfork("];
    let execs = trace.lines().filter(|line| line.contains("execve(")).skip(1);
    trace.lines().filter(|line| calls.iter().any(|call| line.contains(call))).chain(execs).collect()
}

/// Runs keyfob under strace, where that is there; gives the trace.
fn traced(home: &Home, arguments: &[&str], stdin: &str) -> Option<String> {
    if !peers::require("strace") {
        return None;
    }
    let file = home.path().join("trace");
    let mut command = home.command("strace");
    command.args(["-f", "-qq", "-e", "trace=network,process", "-o"]).arg(&file).arg("keyfob").args(arguments);
    let output = process::run(&mut command, stdin.as_bytes()).success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""), "{arguments:?}");
    let trace = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(trace.contains("execve("), "{trace}");
    Some(trace)
}

const ELSEWHERE: &str = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=elsewhere.example\n";

#[test]
fn an_unconfigured_host_is_silence_without_network_or_child() {
    let routed =
        "[login.corp]\nissuer = \"https://sso.example\"\nclient_id = \"k\"\n[git.\"https://git.example\"]\nlogin = \"corp\"\n";
    for config in ["", routed] {
        let home = Home::new();
        if !config.is_empty() {
            home.write_config(config);
        }
        let before = home.files();
        let erase = format!("{ELSEWHERE}username=u\npassword=p\n");
        for (action, stdin) in [("get", ELSEWHERE), ("erase", &erase), ("unheard-of", ELSEWHERE)] {
            let plain = home.run(["git", action], stdin).success();
            assert_eq!((plain.stdout.as_str(), plain.stderr.as_str()), ("", ""), "{action}");
            if let Some(trace) = traced(&home, &["git", action], stdin) {
                assert_eq!(sins(&trace), Vec::<&str>::new(), "{action}");
            }
        }
        assert_eq!(home.files(), before, "nothing is written");
    }
}

#[test]
fn a_signed_in_keyfob_is_as_silent_and_its_cached_answer_needs_neither_network_nor_child() {
    let forge = Forge::new();
    let first = forge.ask().success().stdout;
    forge.wait_for_quiet();
    let runs = forge.home.wait_for_browser_runs(1).len();
    if let Some(trace) = traced(&forge.home, &["git", "get"], ELSEWHERE) {
        assert_eq!(sins(&trace), Vec::<&str>::new());
        let file = forge.home.path().join("trace");
        let mut command = forge.command("strace");
        command.args(["-f", "-qq", "-e", "trace=network,process,flock", "-o"]).arg(&file).args(["keyfob", "git", "get"]);
        assert_eq!(process::run(&mut command, forge.request().as_bytes()).success().stdout, first);
        let trace = std::fs::read_to_string(&file).unwrap();
        assert_eq!(sins(&trace), Vec::<&str>::new());
        assert!(!trace.contains("flock("), "{trace}");
    }
    assert_eq!((runs, forge.server.counts().authorizations), (1, 1));
    forge.check();
}

#[test]
fn git_goes_on_to_its_next_helper_for_an_unconfigured_host() {
    let forge = Forge::new();
    let next = "#!/bin/sh\ntest \"$1\" = get && echo username=next && echo password=helper\nexit 0\n";
    let script = forge.home.bin().join("git-credential-next");
    write(&script, next);
    process::run(forge.home.command("chmod").arg("700").arg(&script), b"").success();
    let fill = ["-c", "credential.helper=next", "credential", "fill"];
    let output = process::run(forge.command("git").args(fill), b"protocol=https\nhost=elsewhere.example\n\n").success();
    assert_eq!(output.stdout, "protocol=https\nhost=elsewhere.example\nusername=next\npassword=helper\n");
    assert_eq!(output.stderr, "");
    assert_eq!((forge.server.requests().len(), forge.home.browser_runs().len()), (0, 0));
}

/// What servers of known kinds say of themselves in a refusal, and where one of them sends whoever believes it.
fn realms(decoy: &str) -> [Vec<(&'static str, String)>; 5] {
    let basic = |realm: &str| ("www-authenticate", format!("Basic realm=\"{realm}\""));
    [
        vec![basic("Gitea"), ("x-gitea-version", "1.24.0".into())],
        vec![
            basic("GitHub"),
            ("x-github-request-id", "0A1B:2C3D".into()),
            ("www-authenticate", "Basic domain_hint=\"corp\"".into()),
        ],
        vec![basic("GitLab"), ("x-gitlab-feature-category", "source_code_management".into())],
        vec![
            ("www-authenticate", format!("Bearer authorization_uri={decoy}/tenant")),
            basic("https://tfsprodweu3.visualstudio.com/"),
        ],
        vec![("www-authenticate", format!("Bearer realm=\"{decoy}/token\",service=\"x\",scope=\"repo\"")), basic("Forgejo")],
    ]
}

#[test]
fn a_host_that_nobody_configured_opens_and_says_nothing_whatever_it_calls_itself() {
    let (forge, came) = (Forge::new(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&came);
    let decoy = HttpServer::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Response::text(200, "sign in here")
    });
    let login = format!("[login.tea]\npreset = \"gitea\"\nhost = \"{}\"\n", decoy.url());
    forge.configure(&format!("{}{login}[git.\"{}\"]\nlogin = \"tea\"\n", forge.login("corp", ""), forge.git.url()));
    let stranger = GitServer::start(|_| false);
    let url = stranger.create("hello");
    for git in versions::all() {
        for refusal in realms(&decoy.url()) {
            stranger.behave(Manners { schemes: &["basic", "bearer"], username: None, refusal: refusal.clone() });
            let before = stranger.log().len();
            let output = process::run(forge.command(&git).args(["clone", "--quiet", &url, "work"]), b"");
            assert!(output.code == Some(128) && output.stderr.contains("could not read Username"), "{refusal:?}: {output:?}");
            assert!(!output.stderr.contains("keyfob") && stranger.log().len() > before, "{refusal:?}: {output:?}");
        }
    }
    assert_eq!((forge.home.browser_runs().len(), forge.server.requests().len(), came.load(Ordering::SeqCst)), (0, 0, 0));
    assert!(!stranger.log().iter().any(|one| one.attempt));
    forge.check();
}
