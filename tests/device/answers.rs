//! What a server may answer where a code is asked for, and to a poll: one clear error, or waiting that goes on, and never a word of
//! its own on the terminal that could do harm.
use super::{LOGIN, Terminal, check, forge_with};
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, until};
use crate::support::scene::one_error;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const HTML: &str = "<!doctype html><h1>secret-of-the-page \u{1b}[2J</h1>";

fn page(status: u16) -> Fault {
    Fault::Status(status, vec![("content-type".into(), "text/html".into())], HTML.into())
}

fn error(status: u16, code: &str) -> Fault {
    Fault::json(status, &json!({ "error": code, "error_description": "why \u{1b}[2J\u{202e}not" }))
}

/// Panics where the terminal shows what is no text of ours: `script` itself writes carriage returns.
#[track_caller]
fn fit_to_be_shown(screen: &str, name: &str) {
    let fits = |c: char| matches!(c, '\n' | '\r') || (!c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c));
    assert!(screen.chars().all(fits), "{name}: {screen:?}");
    assert!(screen.len() < 4096 && !screen.contains("secret-of-the-page"), "{name}: {screen:?}");
}

/// Runs `keyfob login` at a server that is prepared so, and expects this exit code and these words.
#[track_caller]
fn refused(name: &str, prepare: impl FnOnce(&Forge), code: i32, says: &str) -> Forge {
    let forge = forge_with("");
    prepare(&forge);
    let terminal = Terminal::run(&forge, "one", LOGIN);
    until(name, || forge.home.processes().is_empty());
    fit_to_be_shown(&terminal.screen(), name);
    let output = terminal.end();
    one_error(&output);
    assert!(output.code == Some(code) && output.stderr.contains(says), "{name}: {output:?}");
    assert!(!output.stderr.contains("secret-of-the-page"), "{name}: {output:?}");
    assert_eq!(super::notes(&forge), Vec::<String>::new(), "{name}");
    forge
}

fn patched(name: &'static str, value: Value) -> impl FnOnce(&Forge) {
    move |forge| {
        let patch = move |answer: &mut Value| answer[name] = value.clone();
        forge.server.configure(|settings| settings.device_patch = Some(std::sync::Arc::new(patch)));
    }
}

#[test]
fn a_device_code_that_cannot_be_used_is_one_error_and_nothing_is_polled() {
    let long = "x".repeat(20 << 10);
    let patches: Vec<(&'static str, Value, &str)> = vec![
        ("device_code", Value::Null, "its device_code"),
        ("device_code", "a\r\nb".into(), "its device_code"),
        ("device_code", long.as_str().into(), "its device_code"),
        ("user_code", Value::Null, "its user_code"),
        ("user_code", json!(12_345_678), "its user_code"),
        ("user_code", "\u{1b}]0;owned\u{7}".into(), "its user_code"),
        ("user_code", "AB\nkeyfob: signed in".into(), "its user_code"),
        ("user_code", "AB\u{202e}DC".into(), "its user_code"),
        ("user_code", long.as_str().into(), "its user_code"),
        ("verification_uri", Value::Null, "does not say where"),
        ("verification_uri", "http://evil.example/device".into(), "sends people to `http://evil"),
        ("verification_uri", "javascript:alert(1)".into(), "sends people to `javascript"),
        ("verification_uri", "file:///etc/passwd".into(), "sends people to `file"),
        ("verification_uri", "https://user:pw@evil.example/".into(), "sends people to"),
        ("verification_uri", "\u{1b}]8;;https://evil.example\u{1b}\\".into(), "sends people to"),
        ("verification_uri", format!("https://h.example/{long}").into(), "sends people to"),
        ("expires_in", 0.into(), "lasts 0 seconds"),
        ("expires_in", (-1).into(), "lasts 0 seconds"),
        ("interval", i64::MAX.into(), "may be asked for every"),
    ];
    for (key, value, says) in patches {
        let name = format!("{key}: {:.60}", value.to_string());
        let forge = refused(&name, patched(key, value), 4, says);
        assert_eq!((forge.server.polls().len(), forge.server.counts().device_authorizations), (0, 1), "{name}");
    }
}

#[test]
fn nonsense_where_a_code_is_asked_for_is_one_error() {
    let rows: Vec<(&str, Fault, i32, &str)> = vec![
        ("html", page(200), 5, "is no device code (status 200)"),
        ("html 500", page(500), 5, "cannot answer right now"),
        ("503", page(503), 5, "cannot answer right now"),
        ("429", page(429), 5, "cannot answer right now"),
        ("html 400", page(400), 5, "is no device code (status 400)"),
        ("redirect", Fault::Status(302, vec![("location".into(), "http://evil.example/".into())], Vec::new()), 5, "status 302"),
        ("empty", Fault::Status(200, vec![], Vec::new()), 5, "is no device code"),
        ("array", Fault::json(200, &json!(["dc"])), 5, "is no device code"),
        ("deep", Fault::Status(200, vec![], "[".repeat(100_000).into()), 5, "is no device code"),
        ("60 KiB", Fault::json(200, &json!({ "device_code": "x", "padding": "x".repeat(60 << 10) })), 5, "is no device code"),
        ("2 GiB", Fault::Huge(2 << 30), 5, "larger than 1 MiB"),
        ("closed", Fault::Drop, 5, "cannot reach"),
        ("not HTTP", Fault::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()), 5, "cannot reach"),
        ("invalid_client", error(401, "invalid_client"), 6, "does not accept the client"),
        ("another error", error(400, "\u{1b}odd"), 4, "refused (odd: why [2Jnot"),
        ("an empty object", Fault::json(200, &json!({})), 4, "its device_code"),
    ];
    for (name, fault, code, says) in rows {
        let forge = refused(name, |forge| forge.server.fault(Endpoint::Device, fault), code, says);
        assert_eq!(forge.server.polls().len(), 0, "{name}");
    }
}

#[test]
fn an_answer_that_ends_a_sign_in_ends_it_at_the_first_poll() {
    let rows: Vec<(&str, Fault, i32, &str)> = vec![
        ("denied", error(400, "access_denied"), 4, "refused in the browser, by you or by policy (access_denied: why [2Jnot)"),
        ("declined", error(400, "authorization_declined"), 4, "refused in the browser"),
        ("denied with 200", error(200, "access_denied"), 4, "refused in the browser"),
        ("invalid_grant", error(400, "invalid_grant"), 4, "does not take the code of this sign-in any more"),
        ("bad code", error(400, "bad_verification_code"), 4, "does not take the code of this sign-in any more"),
        ("incorrect code", error(200, "incorrect_device_code"), 4, "does not take the code of this sign-in any more"),
        ("another error", error(403, "invalid_code"), 4, "refused (invalid_code"),
        ("invalid_client", error(401, "invalid_client"), 6, "does not accept the client"),
        ("not offered", error(400, "unauthorized_client"), 6, "has no device flow"),
        ("empty refusal", Fault::Status(400, vec![], Vec::new()), 4, "does not say why (status 400)"),
        ("nothing there", page(404), 5, "not a token answer (status 404)"),
        ("no token", Fault::json(200, &json!({})), 5, "without an access token"),
        ("DPoP", Fault::json(200, &json!({ "access_token": "at", "token_type": "DPoP" })), 4, "no tool can use"),
        ("control characters", Fault::json(200, &json!({ "access_token": "a\nhost=evil" })), 4, "no tool can carry"),
    ];
    std::thread::scope(|scope| {
        for (name, fault, code, says) in rows {
            scope.spawn(move || {
                let forge = refused(name, |forge| forge.server.fault(Endpoint::Token, fault), code, says);
                assert_eq!(forge.server.polls().len(), 1, "{name}");
                check(&forge);
            });
        }
    });
}

#[test]
fn waiting_goes_on_after_what_says_nothing_of_the_code() {
    let retry = |status: u16, seconds: &str| Fault::Status(status, vec![("retry-after".into(), seconds.into())], Vec::new());
    // what a poll meets, and for how long nothing may be asked after it, in tenths of a second
    let rows: Vec<(&str, Fault, u64)> = vec![
        ("pending with 200", error(200, "authorization_pending"), 10),
        ("pending with 403", error(403, "authorization_pending"), 10),
        ("pending with 428", error(428, "authorization_pending"), 10),
        ("428 alone", Fault::Status(428, vec![], Vec::new()), 10),
        ("html 503", page(503), 20),
        ("html 200", page(200), 20),
        ("html 403", page(403), 20),
        ("redirect", Fault::Status(302, vec![("location".into(), "http://evil.example/".into())], Vec::new()), 20),
        ("empty 200", Fault::Status(200, vec![], Vec::new()), 20),
        ("429", page(429), 20),
        ("429 with its own word", retry(429, "4"), 40),
        ("503 with its own word", retry(503, "4"), 40),
        ("closed", Fault::Drop, 20),
        ("not HTTP", Fault::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()), 20),
        ("half a head", Fault::Raw(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), 20),
        ("too much", Fault::Huge(2 << 30), 20),
        ("server_error", error(400, "server_error"), 20),
        ("temporarily_unavailable", error(400, "temporarily_unavailable"), 20),
    ];
    std::thread::scope(|scope| {
        for (name, fault, tenths) in rows {
            scope.spawn(move || {
                let forge = forge_with("");
                forge.server.fault(Endpoint::Token, fault);
                forge.server.configure(|settings| settings.device_decision = Some(true));
                let terminal = Terminal::run(&forge, "one", LOGIN);
                terminal.wait_for_code();
                let screen = || fit_to_be_shown(&terminal.screen(), name);
                screen();
                let output = terminal.end();
                assert_eq!(output.code, Some(0), "{name}: {output:?}");
                let polls = forge.server.polls();
                assert_eq!((polls.len(), forge.server.counts().device_authorizations), (2, 1), "{name}");
                assert!(polls[1] - polls[0] >= Duration::from_millis(tenths * 100), "{name}: {polls:?}");
                check(&forge);
            });
        }
    });
}

#[test]
fn polls_without_an_answer_come_ever_more_rarely_until_the_code_ends() {
    let forge = forge_with("");
    // polls after 1 s, 2 s more and 4 s more; the next one would come after its end, on the slowest machine and on the quickest
    forge.server.configure(|settings| settings.device_life = 12);
    forge.server.fault_times(Endpoint::Token, page(503), usize::MAX);
    let output = Terminal::run(&forge, "one", LOGIN).end();
    one_error(&output);
    assert!(output.code == Some(5) && output.stderr.contains("nothing was heard of the code"), "{output:?}");
    assert!(output.stderr.contains("`127.0.0.1` could not answer (status 503)"), "{output:?}");
    let polls = forge.server.polls();
    let pauses: Vec<Duration> = polls.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!((polls.len(), forge.server.counts().device_authorizations), (3, 1), "{pauses:?}");
    assert!(pauses[0] >= Duration::from_secs(2) && pauses[1] >= Duration::from_secs(4), "{pauses:?}");
    check(&forge);
}

#[test]
fn odd_forms_of_a_code_are_understood() {
    let google = |answer: &mut Value| {
        answer["verification_url"] = answer["verification_uri"].clone();
        answer.as_object_mut().unwrap().retain(|name, _| !name.starts_with("verification_uri"));
    };
    type Patch = fn(&mut Value);
    let rows: Vec<(&str, Patch)> = vec![
        ("google", google),
        ("text", |answer| (answer["expires_in"], answer["interval"]) = ("600".into(), "1".into())),
        ("fractions", |answer| (answer["expires_in"], answer["interval"]) = (json!(600.5), json!(1.5))),
        ("no life", |answer| answer["expires_in"] = Value::Null),
        ("a hostile complete address", |answer| answer["verification_uri_complete"] = "http://evil.example/\u{1b}[2J".into()),
        ("more than is known", |answer| answer["message"] = "\u{1b}[2Jgo to evil.example".into()),
    ];
    std::thread::scope(|scope| {
        for (name, patch) in rows {
            scope.spawn(move || {
                let forge = forge_with("");
                forge.server.configure(|settings| {
                    settings.device_patch = Some(std::sync::Arc::new(patch));
                    settings.errors_with_200 = true;
                });
                let terminal = Terminal::run(&forge, "one", LOGIN);
                terminal.wait_for_code();
                forge.server.wait_for(Endpoint::Token, 1);
                forge.server.decide(true);
                let screen = terminal.screen();
                fit_to_be_shown(&screen, name);
                assert!(
                    !screen.contains("evil") && screen.contains(&format!("open {}/device ", forge.server.issuer())),
                    "{name}: {screen}"
                );
                assert_eq!(terminal.end().code, Some(0), "{name}");
                check(&forge);
            });
        }
    });
}

/// Five seconds is what an interval that is not named means, so this takes six.
#[test]
fn an_interval_that_is_not_named_is_five_seconds() {
    let forge = forge_with("");
    forge.server.configure(|settings| (settings.device_interval, settings.device_decision) = (0, Some(true)));
    let begun = Instant::now();
    let terminal = Terminal::run(&forge, "one", LOGIN);
    terminal.wait_for_code();
    terminal.end().success();
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert_eq!(forge.server.polls().len(), 1);
    check(&forge);
}
