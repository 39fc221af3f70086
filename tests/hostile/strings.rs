//! Two hundred hostile texts through everything that a server can make us show: on standard error, the terminal, in `status` and on the
//! result page only characters come out that can be seen, and the page takes none for markup.
mod corpus;

use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::http_server::{HttpServer, Response};
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, one_error};
use crate::support::temp_dir::make_private;
use crate::support::terminal::Terminal;
use corpus::{all, clean, unfit};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// The corpus from `start` on in steps of `step`, or all of it in the long round.
fn some(start: usize, step: usize) -> Vec<String> {
    let soak = std::env::var_os("KEYFOB_TESTS_SOAK").is_some_and(|value| value == "1");
    all().into_iter().skip(if soak { 0 } else { start }).step_by(if soak { 1 } else { step }).collect()
}

/// Tries each of `texts` at one of a few stands, which `set_up` makes.
fn each<S>(texts: Vec<String>, set_up: impl Fn() -> S + Sync, attempt: impl Fn(&S, &str) + Sync) {
    let queue = Mutex::new(texts.into_iter());
    let next = || queue.lock().unwrap().next();
    std::thread::scope(|scope| {
        let work = || {
            let stand = set_up();
            while let Some(text) = next() {
                attempt(&stand, &text);
            }
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// One clear error of characters that can be seen, short enough to be read.
#[track_caller]
fn shown(output: &Output, what: &str) {
    one_error(output);
    clean(&output.stderr, &[], what);
    clean(&output.stdout, &[], what);
    let longest = output.stderr.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(longest < 1200 && output.stderr.lines().count() <= 5, "{what}: {output:?}");
}

#[test]
fn the_corpus_has_two_hundred_distinct_texts_and_most_are_not_fit_to_be_shown() {
    let texts = all();
    let mut distinct = texts.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() == texts.len() && texts.len() >= 200, "{} of {}", distinct.len(), texts.len());
    let unfit = texts.iter().filter(|text| unfit(text, &[]).is_some()).count();
    assert!(unfit >= 140, "only {unfit} would be noticed");
}

/// A scene whose token has ended and can be renewed.
fn ended() -> Scene {
    let scene = Scene::new();
    scene.server.set_access_life(0);
    assert_eq!(scene.sign_in().code, Some(4));
    scene
}

fn forget_failures(scene: &Scene) {
    for name in scene.files(".failed") {
        std::fs::remove_file(scene.records().join(name)).unwrap();
    }
}

#[test]
fn what_a_token_endpoint_says() {
    each(some(0, 1), ended, |scene, text| {
        let body = json!({ "error": text, "error_description": text, "error_uri": text, "message": text });
        forget_failures(scene);
        scene.server.fault(Endpoint::Token, Fault::json(400, &body));
        shown(&scene.token_unattended(), "a refusal");
    });
}

#[test]
fn the_type_and_the_scope_of_a_token() {
    each(some(0, 5), Scene::new, |scene, text| {
        let scope = text.to_owned();
        scene.server.token_patch(move |answer| answer["scope"] = scope.clone().into());
        scene.sign_in().success();
        for arguments in [&["status", "--json"][..], &["status"]] {
            clean(&scene.home.run(arguments, "").success().stdout, &[], "status");
        }
        let kind = text.to_owned();
        scene.server.token_patch(move |answer| answer["token_type"] = kind.clone().into());
        shown(&scene.sign_in(), "a token type");
    });
}

#[test]
fn what_metadata_says() {
    for (name, texts) in [("issuer", some(0, 1)), ("token_endpoint", some(1, 6)), ("authorization_endpoint", some(2, 6))] {
        each(texts, Scene::new, |scene, text| {
            let value = text.to_owned();
            scene.server.metadata_patch(move |document| document[name] = value.clone().into());
            shown(&scene.sign_in(), name);
            assert_eq!(scene.server.counts().authorizations, 0);
        });
    }
}

#[test]
fn an_error_in_the_browser_and_the_page_that_tells_of_it() {
    let runs = |scene: &Scene| scene.home.browser_runs().len();
    each(some(1, 4), Scene::new, |scene, text| {
        // longer ones do not get through a redirect's head of 8 KiB
        let text: String = text.chars().take(700).collect();
        let before = runs(scene);
        scene.server.configure(|settings| {
            settings.refusal = vec![("error".into(), "odd".into()), ("error_description".into(), text.clone())];
        });
        shown(&scene.sign_in(), "an error in the browser");
        let page = scene.home.wait_for_browser_runs(before + 1).pop().unwrap();
        let html = page["callback"]["body"].as_str().unwrap_or_default();
        assert!(html.contains("Not signed in"), "{page}");
        clean(html, &[], "the result page");
        let tame = text.chars().all(|c| !"<>&\"'".contains(c));
        assert!(tame || !html.contains(&text), "not escaped: {html}");
        assert_eq!(html.matches("<script").count() + html.matches("<img").count() + html.matches("<svg").count(), 0, "{html}");
    });
}

#[test]
fn the_account_that_signed_in() {
    each(some(2, 5), Scene::new, |scene, text| {
        let before = scene.home.browser_runs().len();
        scene.home.run(["logout", "corp"], "").success();
        // longer ones make an ID token that is left out
        let text: String = text.chars().take(2000).collect();
        scene.server.configure(|settings| (settings.account, settings.email) = (text.clone(), text.clone()));
        let output = scene.sign_in().success();
        clean(&output.stdout, &[], "what `login` says");
        for arguments in [&["status", "--json"][..], &["status"]] {
            clean(&scene.home.run(arguments, "").success().stdout, &[], "the account");
        }
        let page = scene.home.wait_for_browser_runs(before + 1).pop().unwrap();
        let html = page["callback"]["body"].as_str().unwrap_or_default();
        assert!(html.contains("Signed in to corp"), "{page}");
        clean(html, &[], "the result page");
        assert_eq!(html.matches("<script").count() + html.matches("<img").count() + html.matches("<svg").count(), 0, "{html}");
        let names = scene.docker("list", b"").success().stdout;
        clean(&names, &[], "what docker is told");
    });
}

#[test]
fn what_is_shown_with_a_device_code() {
    let set_up = || {
        let scene = Scene::new();
        scene.server.configure(|settings| settings.device = true);
        make_private(&scene.home.path().join("said"));
        scene
    };
    each(some(3, 12), set_up, |scene, text| {
        for name in ["user_code", "verification_uri", "verification_uri_complete"] {
            let value = text.to_owned();
            let patch = move |answer: &mut Value| answer[name] = value.clone().into();
            scene.server.configure(|settings| settings.device_patch = Some(Arc::new(patch)));
            let refused = json!({ "error": "access_denied", "error_description": text });
            scene.server.fault(Endpoint::Token, Fault::json(400, &refused));
            let line = "unset DISPLAY KEYFOB_BROWSER; keyfob login corp --flow device";
            let screen = Terminal::open(&scene.home, "one", line).end();
            assert!(screen.code.is_some_and(|code| code != 0 && code < 70), "{name}: {screen:?}");
            clean(&screen.stdout, &['\r'], name);
            scene.server.clear_faults();
        }
    });
}

#[test]
fn what_the_token_service_of_aws_says() {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let said = Arc::new(Mutex::new(String::new()));
    let answer = Arc::clone(&said);
    let sts = HttpServer::start(move |_| Response::new(400, "text/xml", answer.lock().unwrap().clone()));
    let scene = Scene::new();
    scene.sign_in().success();
    for text in some(4, 4) {
        for (code, message) in [("AccessDenied", text.as_str()), (text.as_str(), "no")] {
            let (code, message) = (escaped(code), escaped(message));
            *said.lock().unwrap() =
                format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>");
            for name in scene.files(".failed") {
                std::fs::remove_file(scene.records().join(name)).unwrap();
            }
            let mut command = scene.home.keyfob(["aws", "get", "prod"]);
            command.env("AWS_ENDPOINT_URL_STS", sts.url()).env("KEYFOB_INTERACTIVE", "never");
            let output = process::run(&mut command, b"");
            assert_eq!(output.code, Some(1), "{output:?}");
            shown(&output, "the token service");
        }
    }
}

#[test]
fn what_is_traced() {
    each(some(5, 20), ended, |scene, text| {
        forget_failures(scene);
        scene.server.fault(Endpoint::Token, Fault::json(400, &json!({ "error": text, "error_description": text })));
        let mut command = scene.home.keyfob(["token", "corp"]);
        let output = process::run(command.env("KEYFOB_INTERACTIVE", "never").env("KEYFOB_TRACE", "1"), b"");
        assert!(output.code == Some(4) || output.code == Some(5), "{output:?}");
        clean(&output.stderr, &[], "the trace");
    });
}
