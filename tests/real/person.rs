//! A sign-in as a person does it: a real browser, a page to read, a button to press.
use super::{attended, configuration, kept_folder};
use crate::support::home::Home;
use crate::support::peers::{self, OidcProvider};
use crate::support::process;
use crate::support::temp_dir::write;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// `keyfob login` in progress, whose browser only wrote down the address.
struct Waiting {
    home: Home,
    child: Child,
}

impl Waiting {
    fn begin(server: &OidcProvider) -> Self {
        let home = Home::new();
        home.write_config(&configuration(server, ""));
        write(
            &home.bin().join("hand-over"),
            "#!/bin/sh\necho \"$1\" >\"$HOME/address.part\" && mv \"$HOME/address.part\" \"$HOME/address\"\n",
        );
        process::run(home.command("chmod").arg("755").arg(home.bin().join("hand-over")), b"").success();
        // without a terminal, so that it asks before it goes on
        let mut command = attended(home.command("setsid"));
        command.args(["--wait", "keyfob", "login", "corp"]);
        command.env("KEYFOB_BROWSER", home.bin().join("hand-over"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { home, child }
    }

    fn address(&self) -> String {
        let (file, end): (PathBuf, _) = (self.home.path().join("address"), Instant::now() + process::LIMIT);
        while !file.exists() {
            assert!(Instant::now() < end, "no browser was asked for");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    fn end(self) -> (Option<i32>, String, String) {
        let output = self.child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

/// The browser was asked first, went to the sign-in server and to keyfob's listener, loaded one page there at a time, had nothing to
/// complain of, and no page had to be scrolled sideways.
#[track_caller]
fn assert_quiet(seen: &Value, server: &OidcProvider, address: &str) {
    let listener = url::Url::parse(address).unwrap().origin().ascii_serialization();
    assert_eq!(seen["visited"], json!([listener, server.issuer()]));
    assert_eq!(seen["requests"], json!([{ "url": format!("{listener}/callback"), "type": "document" }]));
    assert_eq!((&seen["console"], &seen["wide"]), (&json!([]), &json!(false)));
    let asked = &seen["asked"];
    assert_eq!(asked["title"], "keyfob login asks you to sign in to corp", "{seen}");
    assert_eq!(asked["requests"], json!([{ "url": format!("{listener}/ask/"), "type": "document" }]));
    assert_eq!((&asked["console"], &asked["leads"]), (&json!([]), &json!("/go/")));
    let text = asked["text"].as_str().unwrap();
    for words in ["Server\n127.0.0.1", "Asked by\nkeyfob login (process ", "without a terminal", "Go on to 127.0.0.1"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// Signs in by Chromium; what it saw, and how `keyfob login` ended.
#[track_caller]
fn visit(name: &str, server: &OidcProvider, settings: &[(&str, &str)]) -> (Value, (Option<i32>, String, String)) {
    let waiting = Waiting::begin(server);
    let address = waiting.address();
    let picture = kept_folder(name).join("result.png");
    let seen = peers::chromium(&address, &picture, settings).expect("it is there");
    assert_quiet(&seen, server, &address);
    (seen, waiting.end())
}

#[test]
fn a_person_signs_in_and_reads_who_asked_and_as_whom() {
    if !peers::require("chromium") {
        return;
    }
    let Some(server) = OidcProvider::start() else { return };
    let (seen, (code, stdout, stderr)) = visit("person-signs-in", &server, &[("TB_SCHEME", "light"), ("TB_INJECT", "1")]);
    assert_eq!(seen["title"], "Signed in to corp");
    let text = seen["text"].as_str().unwrap();
    for words in
        ["Account\nalice@example.com", "Server\n127.0.0.1", "Asked by\nkeyfob login (process ", "You can close this tab."]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let nothing = json!({ "script": false, "handler": false, "style": false, "fetched": false, "requests": [] });
    assert_eq!(seen["injected"], nothing, "the policy holds even where something got into the page");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("signed in to corp as alice@example.com"), "{stdout}");
    assert_eq!(server.stats()["authorizations"], json!({ "begun": 1, "ok": 1, "error": 0 }));
}

#[test]
fn a_person_who_cancels_reads_that_nobody_was_signed_in() {
    if !peers::require("chromium") {
        return;
    }
    let Some(server) = OidcProvider::start() else { return };
    let (seen, (code, stdout, stderr)) = visit("person-cancels", &server, &[("TB_SCHEME", "dark"), ("TB_DENY", "1")]);
    assert_eq!(seen["title"], "Not signed in");
    assert_eq!((code, stdout.as_str()), (Some(4), ""), "{stderr}");
    assert!(stderr.starts_with("keyfob: error: "), "{stderr}");
    let (_, reason) = stderr.lines().next().unwrap().split_once("keyfob: error: s").expect("it begins with `sign-in`");
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains(reason), "{text}: {reason}");
    assert!(stderr.contains(": run `keyfob login corp`\n") && text.contains(": run keyfob login corp."), "{stderr}{text}");
    assert_eq!(server.token_requests("authorization_code", "arrived"), 0);
}

#[test]
fn a_person_reads_on_a_narrow_screen_what_failed() {
    if !peers::require("chromium") {
        return;
    }
    let Some(server) = OidcProvider::start() else { return };
    server.fault(&json!({ "path": "/token", "status": 503, "body": "<html>down</html>" }));
    let (seen, (code, _, stderr)) = visit("person-reads-an-error", &server, &[("TB_SCHEME", "light"), ("TB_WIDTH", "360")]);
    assert_eq!((seen["title"].as_str(), code), (Some("Not signed in"), Some(5)), "{stderr}");
    assert!(seen["text"].as_str().unwrap().contains("503"), "{seen}");
}

/// Whose name runs from right to left, and whose is longer than the screen.
#[test]
fn a_name_of_any_direction_and_length_leaves_the_page_whole() {
    if !peers::require("chromium") {
        return;
    }
    let Some(server) = OidcProvider::start() else { return };
    for (number, name) in ["\u{5e9}\u{5dc}\u{5d5}\u{5dd} (1)", &"nameless".repeat(40)].into_iter().enumerate() {
        let settings = [("TB_SCHEME", "dark"), ("TB_WIDTH", "360"), ("TB_NAME", name)];
        let (seen, (code, _, stderr)) = visit(&format!("person-with-name-{number}"), &server, &settings);
        assert_eq!((seen["title"].as_str(), code), (Some("Signed in to corp"), Some(0)), "{stderr}");
        let text = seen["text"].as_str().unwrap();
        let begun: String = name.chars().take(100).collect();
        assert!(text.contains(&begun) && text.ends_with("keyfob"), "{text}");
    }
}
