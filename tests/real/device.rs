//! A sign-in by device code at a server that nobody here wrote, with real git and a person who has a browser elsewhere.
use super::{attended, configuration, good_tokens};
use crate::support::browser::{Settings, visit};
use crate::support::forge::{signal, until, value};
use crate::support::git_server::GitServer;
use crate::support::home::Home;
use crate::support::peers::{self, OidcProvider};
use crate::support::process;
use crate::support::temp_dir::{make_private, write};
use serde_json::json;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn server() -> Option<OidcProvider> {
    if !peers::require("script") {
        return None;
    }
    OidcProvider::start_with(&[("TB_DEVICE_INTERVAL", "1")])
}

/// Runs a shell's `line` at a terminal in `home`, where no browser can be seen; what is told there goes to the file `screen`.
fn at_a_terminal(home: &Home, line: &str) -> Child {
    make_private(&home.path().join("said"));
    let mut command = attended(home.command("script"));
    command.args(["--quiet", "--flush", "--return", "--command", line, "said/screen"]).env("SHELL", "/bin/sh");
    command.env_remove("DISPLAY").env_remove("KEYFOB_BROWSER");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn said(home: &Home, name: &str) -> String {
    std::fs::read_to_string(home.path().join("said").join(name)).unwrap_or_default()
}

/// The address with the code in it, once the terminal shows it.
#[track_caller]
fn wait_for_address(home: &Home) -> String {
    let end = Instant::now() + process::LIMIT;
    loop {
        let screen = said(home, "screen");
        if let Some((_, rest)) = screen.split_once(", or open ")
            && let Some((address, _)) = rest.split_once(" and compare the code; waiting")
        {
            let (_, code) = address.split_once("?user_code=").expect("it has the code");
            assert!(screen.contains(&format!("and enter the code {code}")), "{screen}");
            return address.to_owned();
        }
        assert!(Instant::now() < end, "no code was shown: {screen}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a person does in a browser on another machine: signs in, and agrees.
#[track_caller]
fn approve(address: &str) {
    let seen = visit(address, &Settings::from(&Default::default()));
    assert_eq!(seen["title"], "Sign-in Success", "{seen}");
}

#[test]
fn keyfob_login_signs_in_with_a_code_that_is_entered_elsewhere() {
    let Some(server) = server() else { return };
    let home = Home::new();
    if !home.use_clock() {
        return;
    }
    home.write_config(&configuration(&server, ""));
    let mut terminal = at_a_terminal(&home, "keyfob login corp --flow device >said/out 2>said/errors");
    let address = wait_for_address(&home);
    until("a poll", || server.token_requests(GRANT, "error") > 0);
    approve(&address);
    assert_eq!(process::wait(&mut terminal, process::LIMIT), Some(Some(0)), "{}", said(&home, "errors"));
    assert!(
        said(&home, "out").starts_with("signed in to corp as alice@example.com: renewed without you"),
        "{}",
        said(&home, "out")
    );
    let stats = server.stats();
    assert_eq!((&stats["token"][GRANT]["ok"], &stats["requests"]["POST /device/auth"]), (&json!(1), &json!(1)));
    assert_eq!(stats["errors"], json!({ "authorization_pending": stats["token"][GRANT]["error"] }));
    // what it brought is renewed as any other
    home.set_clock(3601, 3601, 0);
    assert!(good_tokens(&server)(home.run(["token", "corp"], "").success().stdout.trim()));
    assert_eq!(server.token_requests("refresh_token", "ok"), 1);
    assert!(home.run(["logout", "corp"], "").success().stdout.contains("revoked"));
}

#[test]
fn git_signs_in_with_a_code_where_no_browser_can_be_seen_and_it_survives_the_worker() {
    if !peers::require("git") {
        return;
    }
    let Some(server) = server() else { return };
    let (home, hosted) = (Home::new(), GitServer::start(good_tokens(&server)));
    home.write_config(&configuration(&server, &format!("[git.\"{}\"]\nlogin = \"corp\"\n", hosted.url())));
    super::git::configure(&home);
    write(&home.path().join("request"), format!("url={}\n\n", hosted.create("app")));
    let mut terminal = at_a_terminal(&home, "git credential fill <request >said/out 2>said/errors");
    let address = wait_for_address(&home);
    let is_worker = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"--worker")
    };
    let worker = home.processes().into_iter().find(is_worker).expect("it polls");
    signal("KILL", &worker.to_string());
    approve(&address);
    assert_eq!(process::wait(&mut terminal, process::LIMIT), Some(Some(0)), "{}", said(&home, "errors"));
    let out = said(&home, "out");
    let password = value(&out, "password");
    assert!(good_tokens(&server)(password));
    let stats = server.stats();
    assert_eq!((&stats["token"][GRANT]["ok"], &stats["requests"]["POST /device/auth"]), (&json!(1), &json!(1)));
    assert_eq!(home.browser_runs().len(), 0);
}
