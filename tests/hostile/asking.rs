//! A tab that opens with nobody at a terminal: it names who asked before it goes anywhere, and one that brought nothing is the last until
//! a person acts.
#![cfg(unix)]
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, at_a_terminal, end, until, value};
use crate::support::http_client;
use crate::support::open_sign_in::{OpenSignIn, get, parameters, send};
use crate::support::process::Output;
use crate::support::scene::Scene;
use std::process::Command;

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap().success());
}

#[test]
fn the_page_names_who_asks_and_holds_nothing_that_another_page_could_take() {
    let scene = Scene::new();
    let mut open = OpenSignIn::begin(&scene);
    let asked = get(&open.start);
    let location = asked.header("location").unwrap().to_owned();
    assert!(asked.status == 303 && location.starts_with("/ask/") && asked.body.is_empty(), "{asked:?}");
    let ask = open.start.join(&location).unwrap();
    let page = get(&ask);
    let text = page.text();
    assert!(text.contains("<title>keyfob login asks you to sign in to corp</title>"), "{text}");
    for words in ["keyfob login (process ", "<dd dir=\"ltr\">127.0.0.1</dd>", "Go on to 127.0.0.1"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!open.start.as_str().contains(ask.path().rsplit('/').next().unwrap()), "no process list shows the way on");
    assert_eq!(get(&ask).text(), text, "it can be loaded again");
    assert_eq!(scene.server.counts().authorizations, 0, "the server was not asked");

    let link = text.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let on = open.start.join(link).unwrap();
    for (name, value) in [("sec-purpose", "prefetch"), ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "iframe")] {
        let refused = http_client::get(on.as_str(), &[(name, value)]).unwrap();
        assert!(refused.status == 400 && refused.header("location").is_none(), "{name}: {refused:?}");
    }
    let url = get(&on).header("location").unwrap().to_owned();
    let hidden = parameters(&url::Url::parse(&url).unwrap());
    for name in ["state", "code_challenge", "nonce"] {
        assert!(!text.contains(&hidden[name]), "{name} is in the page");
    }
    assert_eq!(get(&on).header("location"), Some(url.as_str()), "a person may go back and on again");
    assert!(open.is_open());
    // the one-time address itself works once, page or not
    let head = format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", open.start.path(), open.port());
    assert_eq!(send(open.port(), head.as_bytes()).status, Some(410));
    let output = open.end();
    assert!(output.code == Some(4) && output.stderr.contains("opened twice"), "{output:?}");
}

#[test]
fn at_a_terminal_the_tab_goes_to_the_server_at_once() {
    let forge = Forge::new();
    let output = end(at_a_terminal(&forge, "keyfob git get <request >said/answer"));
    let visit = forge.home.wait_for_browser_runs(1).remove(0);
    assert!(visit["asked"].is_null(), "{visit}: {output:?}");
    let screen = std::fs::read_to_string(forge.home.path().join("said/screen")).unwrap();
    assert!(screen.contains("needs you to sign in to `corp` at 127.0.0.1"), "who asked is said there: {screen}");
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    forge.check();
}

/// A background fetch `later` seconds from now.
fn fetch(forge: &Forge, later: i64) -> Output {
    forge.home.set_clock(later, later, 0);
    let output = end(forge.spawn(&mut forge.caller()));
    forge.home.set_clock(0, 0, 0);
    output
}

/// What goes wrong with the first tab, and a word of what is said of it.
type Ending = (&'static str, fn(&Forge));

const ENDINGS: [Ending; 5] = [
    ("not today", |forge| forge.server.configure(|settings| settings.deny = true)),
    ("opened twice", |forge| forge.home.browser("twice")),
    ("another server", |forge| forge.server.configure(|settings| settings.wrong_iss = true)),
    ("cannot answer right now", |forge| forge.server.fault(Endpoint::Token, Fault::Status(503, Vec::new(), Vec::new()))),
    ("was stopped", |forge| forge.home.browser("never")),
];

#[test]
fn however_a_tab_ends_that_brought_nothing_no_other_one_opens_until_a_person_acts() {
    for (said, go_wrong) in ENDINGS {
        let forge = Forge::new();
        if !forge.home.use_clock() {
            return;
        }
        go_wrong(&forge);
        let mut first = forge.caller();
        let first = forge.spawn(&mut first);
        if said == "was stopped" {
            // as by a service manager that gives its unit a minute
            forge.home.wait_for_browser_runs(1);
            forge.workers().into_iter().for_each(|worker| signal("TERM", worker));
        }
        let first = end(first);
        assert!(first.stdout == "quit=1\n" && first.stderr.contains(said), "{said}: {first:?}");
        assert!(first.stderr.contains("no other tab opens by itself: run `keyfob login corp`"), "{first:?}");
        until("the worker has ended", || forge.workers().is_empty());
        forge.home.wait_for_browser_runs(1);
        forge.home.browser("ok");
        forge.server.configure(|settings| (settings.deny, settings.wrong_iss) = (false, false));

        let rounds = if said == "not today" { 20 } else { 3 };
        for round in 1..=rounds {
            let output = fetch(&forge, round * 47);
            assert!(output.stdout == "quit=1\n" && output.stderr.contains(said), "{said}, round {round}: {output:?}");
            for words in
                ["you have to sign in to `corp`; the tab that opened by itself came to nothing: ", "run `keyfob login corp`"]
            {
                assert!(output.stderr.contains(words), "{output:?}");
            }
        }
        assert_eq!(forge.home.browser_runs().len(), 1, "{said}: one tab was opened");

        forge.keyfob(&["login", "corp"]).success();
        let answer = forge.ask().success().stdout;
        assert!(forge.server.is_alive(value(&answer, "password")), "{said}");
        assert_eq!(forge.home.wait_for_browser_runs(2).len(), 2, "{said}");
    }
}

#[test]
fn who_signs_out_may_be_asked_again() {
    let forge = Forge::new();
    forge.home.browser("close");
    let mut first = forge.caller();
    let first = forge.spawn(&mut first);
    let visit = forge.home.wait_for_browser_runs(1).remove(0);
    assert!(visit["title"].as_str().unwrap().ends_with(" asks you to sign in to corp"), "{visit}");
    forge.keyfob(&["logout", "corp"]).success();
    assert_eq!(end(first).stdout, "quit=1\n");
    until("the worker has ended", || forge.workers().is_empty());
    forge.home.browser("ok");
    std::thread::sleep(std::time::Duration::from_millis(5100)); // what was cancelled is not asked for again at once
    let answer = forge.ask().success().stdout;
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!(forge.home.wait_for_browser_runs(2).len(), 2);
    forge.check();
}

#[test]
fn workers_that_are_killed_one_after_another_open_two_tabs_and_no_third() {
    let forge = Forge::new();
    forge.home.browser("never");
    // a caller goes on with a second worker when its first one is killed
    let mut caller = forge.caller();
    let caller = forge.spawn(&mut caller);
    for tab in 1..=2 {
        forge.home.wait_for_browser_runs(tab);
        until("it waits", || forge.workers().len() == 1);
        signal("KILL", forge.workers()[0]);
    }
    assert_eq!(end(caller).stdout, "quit=1\n");
    let next = forge.ask();
    assert!(next.stdout == "quit=1\n" && next.stderr.contains("each time the sign-in was killed"), "{next:?}");
    assert_eq!(forge.ask().stderr, next.stderr);
    assert_eq!(forge.home.browser_runs().len(), 2);
    forge.home.browser("ok");
    forge.keyfob(&["login", "corp"]).success();
    forge.ask().success();
    forge.check();
}
