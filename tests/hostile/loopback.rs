//! The redirect back to this machine: strays, second visits, silent connections, refusals, and a browser that cannot be opened. The
//! sign-in completes, or is refused for a reason that is said; and the result page is harmless whatever a server says.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::encoding::base64;
use crate::support::forge::until;
use crate::support::open_sign_in::{OpenSignIn, parameters};
use crate::support::process;
use crate::support::scene::{Scene, one_error};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn in_mode(mode: &str) -> (Scene, process::Output, Value) {
    let scene = Scene::new();
    scene.home.browser(mode);
    let output = scene.sign_in();
    let visit = scene.home.wait_for_browser_runs(1).remove(0);
    (scene, output, visit)
}

#[test]
fn strays_at_the_redirect_are_turned_away_and_the_sign_in_completes() {
    let (scene, output, visit) = in_mode("favicon");
    output.success();
    let junk = visit["junk"].as_array().unwrap();
    assert_eq!(junk.len(), 7, "{visit}");
    for stray in junk {
        let refused = stray["status"].is_null() || [json!(400), json!(404)].contains(&stray["status"]);
        assert!(refused, "{stray}");
    }
    assert_eq!(junk[0], json!({"name": "favicon", "status": 404}));
    assert_eq!(visit["callback"]["status"], 200);
    assert!(scene.server.is_alive(&scene.token()));
    assert_eq!((scene.server.counts().token_requests, scene.server.violations()), (1, Vec::new()));
}

#[test]
fn a_connection_that_says_nothing_holds_nobody_up() {
    let attempt = || {
        let begun = Instant::now();
        let (_, output, visit) = in_mode("preconnect");
        output.success();
        assert_eq!(visit["callback"]["status"], 200);
        begun.elapsed()
    };
    assert!(process::is_quick(Duration::from_secs(4), attempt), "its five seconds were waited for");
}

#[test]
fn a_start_address_that_is_opened_twice_ends_the_sign_in_and_says_why() {
    let (scene, output, visit) = in_mode("twice");
    one_error(&output);
    assert!(output.code == Some(4) && output.stderr.contains("opened twice"), "{output:?}");
    assert_eq!(visit["second"], 410, "{visit}");
    assert_eq!(scene.server.counts().token_requests, 0, "no code was taken");
    scene.home.browser("ok");
    scene.sign_in().success();
}

#[test]
fn a_person_who_says_no_is_understood_and_not_asked_again_by_itself() {
    let scene = Scene::new();
    scene.server.configure(|settings| settings.consent = true);
    scene.home.browser("deny");
    let output = scene.sign_in();
    one_error(&output);
    assert!(output.code == Some(4) && output.stderr.contains("access_denied"), "{output:?}");
    let mut git = scene.home.keyfob(["git", "get"]);
    let again = process::run(git.env_remove("GIT_TERMINAL_PROMPT"), b"protocol=https\nhost=git.example.com\n\n");
    assert!(again.stdout == "quit=1\n" && again.stderr.contains("access_denied"), "{again:?}");
    assert_eq!(scene.server.counts().authorizations, 1);
    assert_eq!(scene.home.browser_runs().len(), 1);
}

#[test]
fn a_browser_that_cannot_be_opened_is_said_where_nobody_could_be_told_the_address() {
    let scene = Scene::new();
    scene.home.browser("fail");
    let mut command = scene.home.command("setsid");
    command.args(["--wait", "keyfob", "login", "corp"]);
    // nobody is waited for, who would have five minutes
    let output = process::run(&mut command, b"");
    one_error(&output);
    assert!(output.code == Some(3) && output.stderr.contains("browser"), "{output:?}");
    assert_eq!(scene.server.counts().authorizations, 0);
}

/// Panics unless `child` ends by itself as a refused sign-in, its worker too, and the next one works.
fn given_up(scene: &Scene, mut child: Child) {
    assert_eq!(process::wait(&mut child, process::LIMIT), Some(Some(4)));
    until("the worker ends too", || scene.home.processes().is_empty());
    scene.home.browser("ok");
    scene.sign_in().success();
    assert!(scene.server.is_alive(&scene.token()));
}

#[test]
fn a_browser_that_never_comes_back_can_be_given_up_by_ctrl_c() {
    let scene = Scene::new();
    scene.home.browser("never");
    let mut waiting = scene.home.keyfob(["login", "corp"]);
    let child = waiting.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    scene.home.wait_for_browser_runs(1);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    given_up(&scene, child);
}

/// The browser is still being opened when the sign-out comes: the notice that it took away must not come back.
#[test]
fn a_sign_out_ends_a_sign_in_whose_browser_is_just_being_opened() {
    let scene = Scene::new();
    let (opener, opened) = (scene.home.bin().join("slow-opener"), scene.home.path().join("opened"));
    crate::support::temp_dir::write(&opener, "#!/bin/sh\n: > \"$HOME/opened\"\nexec sleep 2\n");
    assert!(Command::new("chmod").arg("700").arg(&opener).status().unwrap().success());
    let mut waiting = scene.home.keyfob(["login", "corp"]);
    waiting.env("KEYFOB_BROWSER", &opener).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = waiting.spawn().unwrap();
    until("a browser is opened", || opened.exists());
    scene.home.run(["logout", "corp"], "").success();
    given_up(&scene, child);
}

fn header(visit: &Value, name: &str) -> String {
    let headers = visit["callback"]["headers"].as_array().unwrap();
    let found = headers.iter().find(|pair| pair[0] == name).unwrap_or_else(|| panic!("no {name}: {visit}"));
    found[1].as_str().unwrap().to_owned()
}

/// Panics unless the page keeps to itself: nothing loaded, run, framed or kept, and nothing in it that a server wrote as markup.
fn harmless(visit: &Value) {
    let policy = header(visit, "content-security-policy");
    let body = visit["callback"]["body"].as_str().unwrap();
    let style = body.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
    let style = format!("style-src 'sha256-{}'", base64(ring::digest::digest(&ring::digest::SHA256, style.as_bytes()).as_ref()));
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", &style] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("script-src") && !policy.contains("http") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(header(visit, "cache-control"), "no-store");
    assert_eq!(header(visit, "referrer-policy"), "no-referrer");
    assert_eq!(header(visit, "x-content-type-options"), "nosniff");
    assert!(header(visit, "content-type").starts_with("text/html; charset=utf-8"));
    let known =
        ["!doctype", "html", "head", "meta", "title", "style", "body", "main", "h1", "dl", "dt", "dd", "p", "code", "footer"];
    for tag in body.split('<').skip(1) {
        let name = tag.trim_start_matches('/').split(['>', ' ']).next().unwrap();
        assert!(known.contains(&name), "<{tag} in {body}");
    }
    assert!(!body.contains(['\u{1b}', '\u{202e}']), "{body}");
}

const MARKUP: &str = "</p></main><script>x</script><img src=y onerror=x><svg/onload=x>\"'&amp;\u{1b}[2J\u{202e}";

#[test]
fn the_result_page_escapes_what_a_server_says_and_loads_nothing() {
    let scene = Scene::new();
    scene.server.configure(|settings| settings.email = MARKUP.into());
    scene.sign_in().success();
    let visit = scene.home.wait_for_browser_runs(1).remove(0);
    assert_eq!(visit["callback"]["status"], 200);
    assert!(visit["callback"]["body"].as_str().unwrap().contains("&lt;script&gt;"), "{visit}");
    harmless(&visit);

    scene.server.fault(Endpoint::Token, Fault::json(400, &json!({"error": "invalid_request", "error_description": MARKUP})));
    let output = scene.sign_in();
    one_error(&output);
    let visit = scene.home.wait_for_browser_runs(2).remove(1);
    assert!(visit["title"] == "Not signed in" && visit["callback"]["body"].as_str().unwrap().contains("&lt;img"), "{visit}");
    harmless(&visit);
}

#[test]
fn the_result_page_escapes_what_comes_in_the_redirect() {
    let scene = Scene::new();
    let hostile: String = url::form_urlencoded::byte_serialize(MARKUP.as_bytes()).collect();
    scene.server.configure(|settings| settings.consent = true);
    let open = OpenSignIn::begin(&scene);
    let asked = parameters(&open.authorization_url());
    let callback = format!(
        "{}?error={hostile}&error_description={hostile}&state={}&iss={}",
        asked["redirect_uri"],
        asked["state"],
        url::form_urlencoded::byte_serialize(scene.server.issuer().as_bytes()).collect::<String>()
    );
    let page = crate::support::http_client::get(&callback, &[]).unwrap();
    let headers: Vec<Value> = page.headers.iter().map(|(name, value)| json!([name, value])).collect();
    let visit = json!({"callback": {"status": page.status, "headers": headers, "body": page.text()}});
    harmless(&visit);
    assert!(page.text().contains("&lt;script&gt;"), "{}", page.text());
    let output = open.end();
    one_error(&output);
    assert_eq!(output.code, Some(4), "{output:?}");
}

/// It is looked at for a fifth of a second, to see whether it fails: it may end well at any moment of that.
#[test]
fn an_opener_that_ends_while_it_is_looked_at_has_opened_the_browser() {
    let browser = crate::support::home::browser_program();
    std::thread::scope(|scope| {
        for milliseconds in (150..=230).step_by(4) {
            let text = format!("#!/bin/sh\n'{}' \"$@\" &\nexec sleep 0.{milliseconds}\n", browser.display());
            scope.spawn(move || {
                let scene = Scene::new();
                let opener = scene.home.bin().join("opener");
                crate::support::temp_dir::write(&opener, text);
                assert!(Command::new("chmod").arg("700").arg(&opener).status().unwrap().success());
                let output = scene.sign_in_with(|command| _ = command.env("KEYFOB_BROWSER", &opener));
                assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{milliseconds} ms: {output:?}");
                assert_eq!(scene.server.counts().authorizations, 1, "{milliseconds} ms");
            });
        }
    });
}
