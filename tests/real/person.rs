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
        let mut command = attended(home.keyfob(["login", "corp"]));
        command.env("KEYFOB_BROWSER", home.bin().join("hand-over"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { home, child }
    }

    fn address(&self) -> String {
        let (file, end): (PathBuf, _) = (self.home.path().join("address"), Instant::now() + Duration::from_secs(10));
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

/// The browser went to the sign-in server and to keyfob's listener, loaded one page there, and had nothing to complain of.
#[track_caller]
fn assert_quiet(seen: &Value, server: &OidcProvider, address: &str) {
    let listener = url::Url::parse(address).unwrap().origin().ascii_serialization();
    assert_eq!(seen["visited"], json!([listener, server.issuer()]));
    assert_eq!(seen["requests"], json!([{ "url": format!("{listener}/callback"), "type": "document" }]));
    assert_eq!(seen["console"], json!([]));
}

#[test]
fn a_person_signs_in_and_reads_who_asked_and_as_whom() {
    if !peers::require("chromium") {
        return;
    }
    let Some(server) = OidcProvider::start() else { return };
    let waiting = Waiting::begin(&server);
    let address = waiting.address();
    let picture = kept_folder("person-signs-in").join("result.png");
    let seen = peers::chromium(&address, &picture, &[("TB_SCHEME", "light")]).expect("it is there");
    assert_eq!(seen["title"], "Signed in to corp as alice@example.com");
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains("Signed in to corp as alice@example.com"), "{text}");
    assert!(text.contains("keyfob login asked for it and goes on now. You can close this tab."), "{text}");
    assert_quiet(&seen, &server, &address);
    let (code, stdout, stderr) = waiting.end();
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
    let waiting = Waiting::begin(&server);
    let address = waiting.address();
    let picture = kept_folder("person-cancels").join("result.png");
    let seen = peers::chromium(&address, &picture, &[("TB_SCHEME", "dark"), ("TB_DENY", "1")]).expect("it is there");
    assert_eq!(seen["title"], "Not signed in");
    assert_quiet(&seen, &server, &address);
    let (code, stdout, stderr) = waiting.end();
    assert_eq!((code, stdout.as_str()), (Some(4), ""), "{stderr}");
    assert!(stderr.starts_with("keyfob: error: "), "{stderr}");
    let (_, reason) = stderr.lines().next().unwrap().split_once("keyfob: error: s").expect("it begins with `sign-in`");
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains(reason), "{text}: {reason}");
    assert!(
        stderr.ends_with("keyfob: hint: run `keyfob login corp`\n") && text.contains("Run keyfob login corp."),
        "{stderr}{text}"
    );
    assert_eq!(server.token_requests("authorization_code", "arrived"), 0);
}
