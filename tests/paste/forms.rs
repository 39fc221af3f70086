//! What may be pasted, and what is said where it does not fit.
use super::{ASK, ASKED, LOGIN, asked, carried, check, parameter, paste, quiet, signed_in, terminal};
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::browser::{Settings, visit};
use crate::support::forge::{Forge, end, until, value};
use crate::support::home::browser_program;
use crate::support::http_client;
use crate::support::scene::one_error;
use crate::support::terminal::Terminal;
use std::collections::HashMap;

#[test]
fn every_form_of_the_answer_signs_in() {
    let forge = Forge::new();
    type Form = fn(&str) -> String;
    let forms: [(&str, Form); 9] = [
        ("whole", |ended| ended.into()),
        ("quoted", |ended| format!("  \"{ended}\" \t")),
        ("angled", |ended| format!("<{ended}>")),
        ("marked", |ended| format!("\u{1b}[200~{ended}\u{1b}[201~")),
        ("query", |ended| ended.split_once('?').unwrap().1.into()),
        ("pair", |ended| format!("{}#{}", parameter(ended, "code"), parameter(ended, "state"))),
        ("bare", |ended| parameter(ended, "code")),
        // a line that a terminal would cut before the code
        ("long", |ended| ended.replace("?", &format!("?session={}&", "x".repeat(20_000)))),
        ("corrected", |ended| format!("oops\u{15}{ended}yy\u{7f}\u{7f}")),
    ];
    for (number, (name, form)) in forms.into_iter().enumerate() {
        let mut terminal = terminal(&forge, name, LOGIN);
        let url = asked(&terminal, 1);
        until("what is typed is hidden", || !terminal.echoes());
        let ended = carried(&url);
        paste(&mut terminal, &form(&ended));
        let output = signed_in(terminal);
        let (code, state) = (parameter(&ended, "code"), parameter(&ended, "state"));
        assert!(!output.stdout.contains(&code), "{name}: {output:?}");
        assert_eq!(output.stdout.matches(&state).count(), 1, "{name}: in the address that is carried, and nowhere else");
        assert_eq!(forge.server.counts().codes_redeemed, number + 1, "{name}");
        quiet(&forge);
    }
    assert_eq!(forge.home.browser_runs().len(), 0);
    check(&forge);
}

#[test]
fn what_does_not_fit_is_refused_in_words_and_asked_again() {
    let forge = Forge::new();
    let mut terminal = terminal(&forge, "one", LOGIN);
    let url = asked(&terminal, 1);
    let ended = carried(&url);
    let other = ended.replace(&parameter(&ended, "state"), "another-sign-in-s-state");
    let rows = [
        (other.clone(), "that is the address of another sign-in"),
        (format!("{}#another", parameter(&ended, "code")), "that is the address of another sign-in"),
        ("git status".into(), "that is no code: paste the whole address"),
        (url.clone(), "that is the address of the sign-in page"),
        ("\u{1b}[A\u{1b}[2J\u{7}".into(), "that is no code"),
        ("x".repeat(1 << 20), "that is longer than 32 KiB"),
        // of many lines at once, one counts
        ("junk\n".repeat(2000), "that is no code"),
    ];
    let mut seen = HashMap::new();
    for (number, (text, sentence)) in rows.into_iter().enumerate() {
        paste(&mut terminal, text.trim_end_matches('\n'));
        let times = seen.entry(sentence.split(':').next().unwrap()).or_insert(0);
        *times += 1;
        terminal.shows(sentence.split(':').next().unwrap(), *times);
        asked(&terminal, number + 2);
    }
    assert_eq!(forge.server.counts().token_requests, 0);
    paste(&mut terminal, "");
    asked(&terminal, 9);
    paste(&mut terminal, &ended);
    let output = signed_in(terminal);
    for hidden in ["another-sign-in-s-state", "git status", "xxxx", "junk", "\u{1b}[2J"] {
        assert!(!output.stdout.contains(hidden), "{hidden:?}: {output:?}");
    }
    assert_eq!((forge.server.counts().token_requests, output.stdout.matches(ASKED).count()), (1, 9));
    check(&forge);
}

#[test]
fn an_error_that_is_pasted_ends_the_sign_in_as_the_server_meant_it() {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.deny = true);
    let mut terminal = terminal(&forge, "one", LOGIN);
    let ended = carried(&asked(&terminal, 1));
    paste(&mut terminal, &ended);
    let output = terminal.end();
    assert!(output.code == Some(4) && output.stdout.contains("refused in the browser, by you or by policy"), "{output:?}");
    assert_eq!(forge.server.counts().token_requests, 0);
    check(&forge);
}

#[test]
fn an_answer_of_another_server_that_is_pasted_is_refused() {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.wrong_iss = true);
    let mut terminal = terminal(&forge, "one", LOGIN);
    let ended = carried(&asked(&terminal, 1));
    paste(&mut terminal, &ended);
    let output = terminal.end();
    assert!(output.code == Some(4) && output.stdout.contains("came from another server"), "{output:?}");
    assert_eq!(forge.server.counts().token_requests, 0);
    check(&forge);
}

#[test]
fn a_browser_of_this_machine_ends_the_question_by_itself() {
    let forge = Forge::new();
    let line = format!("{LOGIN}; stty -a >\"$SAID/stty\"; read line; echo \"got $line\"");
    let mut terminal = terminal(&forge, "one", &line);
    let url = asked(&terminal, 1);
    // half a text that was on its way is not left to the shell
    terminal.types("half of it");
    // time for it to be typed, of which nothing is to be seen
    std::thread::sleep(std::time::Duration::from_secs(1));
    let seen = visit(&url, &Settings::from(&HashMap::new()));
    assert_eq!(seen["callback"]["status"], 200, "{seen}");
    assert!(terminal.wrote("stty").contains(" echo "));
    assert!(terminal.echoes());
    terminal.types("for the shell\n");
    let output = signed_in(terminal);
    assert!(output.stdout.contains("got for the shell") && !output.stdout.contains("half of it"), "{output:?}");
    check(&forge);
}

#[test]
fn a_code_without_its_state_is_taken_from_the_terminal_alone() {
    let forge = Forge::new();
    let mut terminal = terminal(&forge, "one", LOGIN);
    let ended = carried(&asked(&terminal, 1));
    let (base, code) = (ended.split_once('?').unwrap().0, parameter(&ended, "code"));
    let root = base.trim_end_matches("/callback");
    for (method, url) in [
        ("GET", format!("{base}?code={code}")),
        ("POST", base.to_owned()),
        ("POST", format!("{root}/paste/")),
        ("POST", format!("{root}/paste/0123456789abcdef")),
    ] {
        let length = ("content-length", &*code.len().to_string());
        let answer = http_client::send(method, &url, &[length], code.as_bytes(), None).unwrap();
        assert!(matches!(answer.status, 400 | 404 | 405), "{method} {url}: {answer:?}");
    }
    assert_eq!(forge.server.counts().token_requests, 0);
    paste(&mut terminal, &code);
    signed_in(terminal);
    check(&forge);
}

#[test]
fn a_server_that_shows_its_codes_is_signed_in_to_by_pasting_always() {
    let forge = Forge::new();
    let oob = "urn:ietf:wg:oauth:2.0:oob";
    forge.server.configure(|settings| (settings.redirect, settings.device) = (oob.into(), true));
    let more = format!("redirect_uri = \"{oob}\"\n");
    forge.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\n", forge.login("corp", &more), forge.git.url()));
    let browser = browser_program();
    // even where a browser could be seen
    let line = format!("export DISPLAY=:0 KEYFOB_BROWSER={}; {ASK} >\"$SAID/answer\"", browser.display());
    let mut terminal = terminal(&forge, "one", &line);
    let page = http_client::get(&asked(&terminal, 1), &[]).unwrap().text();
    let code = page.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    paste(&mut terminal, &code);
    terminal.end().success();
    let answer = std::fs::read_to_string(forge.home.path().join("said/one/answer")).unwrap();
    assert!(forge.server.is_alive(value(&answer, "password")));
    assert_eq!((forge.home.browser_runs().len(), forge.server.counts().device_authorizations), (0, 0));
    check(&forge);
}

#[test]
fn without_a_terminal_nothing_can_be_pasted_and_the_refusal_says_so() {
    let forge = Forge::new();
    forge.configure(&format!("{}[git.\"{}\"]\nlogin = \"corp\"\n", forge.login("corp", "flow = \"paste\"\n"), forge.git.url()));
    let asked = end(forge.spawn(&mut forge.caller()));
    assert!(asked.stderr.contains("the paste flow needs a terminal to paste into, and there is none"), "{asked:?}");
    let typed = forge.keyfob(&["login", "corp"]);
    one_error(&typed);
    assert!(typed.code == Some(3) && typed.stderr.contains("needs a terminal to paste into"), "{typed:?}");
    assert_eq!(forge.server.requests().len(), 0);
    check(&forge);
}

#[test]
fn where_nothing_else_is_to_be_had_it_is_pasting() {
    let forge = Forge::new();
    forge.home.browser("fail");
    let browser = format!("export KEYFOB_BROWSER={}; ", browser_program().display());
    for (name, before) in [("none", String::new()), ("fails", browser)] {
        forge.server.end_sessions();
        let line = format!("{before}keyfob login corp --flow auto");
        let mut terminal: Terminal = terminal(&forge, name, &line);
        let ended = carried(&asked(&terminal, 1));
        paste(&mut terminal, &ended);
        signed_in(terminal);
        quiet(&forge);
    }
    assert_eq!(forge.server.requests().iter().filter(|request| request.endpoint == Endpoint::Device).count(), 0);
    check(&forge);
}

#[test]
fn a_code_that_the_server_does_not_take_is_asked_for_once_more_at_another_address() {
    let forge = Forge::new();
    let refused = Fault::json(400, &serde_json::json!({ "error": "invalid_grant" }));
    forge.server.fault(Endpoint::Token, refused);
    let mut terminal = terminal(&forge, "one", LOGIN);
    let first = asked(&terminal, 1);
    paste(&mut terminal, &carried(&first));
    let second = asked(&terminal, 2);
    assert_ne!(parameter(&first, "state"), parameter(&second, "state"));
    paste(&mut terminal, &carried(&second));
    let output = signed_in(terminal);
    assert!(output.stdout.contains("the server did not take that code"), "{output:?}");
    assert_eq!((forge.server.counts().authorizations, forge.server.counts().codes_redeemed), (2, 1));
    check(&forge);
}

#[test]
fn who_pastes_does_not_need_the_fixed_port_of_the_redirect() {
    let forge = Forge::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let path = forge.home.config_file();
    let config = std::fs::read_to_string(&path).unwrap();
    forge.home.write_config(&config.replacen("[login.corp]\n", &format!("[login.corp]\nredirect_port = {port}\n"), 1));
    let mut terminal = terminal(&forge, "one", LOGIN);
    let url = asked(&terminal, 1);
    assert_eq!(parameter(&url, "redirect_uri"), format!("http://127.0.0.1:{port}/callback"));
    paste(&mut terminal, &carried(&url));
    signed_in(terminal);
    check(&forge);
}
