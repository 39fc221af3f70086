//! The audit log: what happens to a token is in it, no secret is, nobody's job waits or fails for it, and it stays small.
#![cfg(unix)]
use crate::support::authorization_server::{AuthorizationServer, Endpoint, Fault};
use crate::support::crowd::Crowd;
use crate::support::forge::{end, until};
use crate::support::home::Home;
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, TOKEN, printable};
use crate::support::sts::Sts;
use crate::support::temp_dir::write;
use serde_json::Value;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

const GIT: &str = "protocol=https\nhost=git.example.com\n\n";

fn file(scene: &Scene) -> PathBuf {
    scene.records().join("audit.jsonl")
}

/// Its lines, as `keyfob log --json` shows them.
#[track_caller]
fn entries(scene: &Scene) -> Vec<Value> {
    let text = scene.home.run(["log", "--json"], "").success().stdout;
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["event"].as_str().unwrap()).collect()
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A scene whose answers are all noted.
fn noting_all(home: Home) -> Scene {
    let scene = Scene::with(home, AuthorizationServer::start());
    scene.home.write_config(&format!("audit = \"all\"\n{}", scene.config()));
    scene
}

#[test]
fn the_life_of_a_token_is_in_the_log_with_who_asked_and_without_a_secret() {
    let scene = Scene::new();
    if !scene.home.use_clock() {
        return;
    }
    scene.sign_in().success();
    scene.home.set_clock(3601, 3601, 0);
    let token = scene.token();
    let refused = format!("protocol=https\nhost=git.example.com\nusername=oauth2\npassword={token}\n\n");
    scene.git("erase", refused.as_bytes()).success();
    scene.token();
    scene.home.run(["logout", "corp"], "").success();
    let entries = entries(&scene);
    assert_eq!(events(&entries), ["issued", "refreshed", "rejected", "refreshed", "signed-out", "revoked"]);
    let issuer = scene.server.issuer();
    let host = issuer.trim_start_matches("http://");
    for entry in &entries {
        assert_eq!((entry["login"].as_str(), entry["server"].as_str()), (Some("corp"), Some(host)), "{entry}");
        assert!(entry["account"] == "alice@example.com" && is_name(&entry["token"]), "{entry}");
        assert!(entry["pid"].as_u64().unwrap() > 1 && entry["time"].as_str().unwrap().ends_with('Z'), "{entry}");
        chrono::DateTime::parse_from_rfc3339(entry["time"].as_str().unwrap()).unwrap();
    }
    let names: Vec<&Value> = entries.iter().map(|entry| &entry["token"]).collect();
    assert!(names[0] != names[1] && names[1] == names[2] && names[2] != names[3], "{names:?}");
    assert!(names[3] == names[4] && names[4] == names[5], "{names:?}");
    assert_eq!((entries[0]["asker"].as_str(), entries[5]["asker"].as_str()), (Some("keyfob login"), Some("keyfob logout")));
    assert_eq!(entries[2]["resource"], "git.example.com");
    assert_eq!(std::fs::metadata(file(&scene)).unwrap().permissions().mode() & 0o777, 0o600);
    scene.home.scan_for_secrets(&scene.server.issued_secrets());
}

#[test]
fn who_asks_is_a_tool_and_its_first_word() {
    let scene = noting_all(Home::new());
    scene.sign_in().success();
    let helper = format!("!{} git", scene.home.bin().join("keyfob").display());
    let mut git = scene.home.command("git");
    git.args(["-c", &format!("credential.helper={helper}"), "credential", "fill"]);
    process::run(&mut git, GIT.as_bytes()).success();
    assert_eq!(entries(&scene)[1]["asker"], "git credential");
}

#[test]
fn what_was_refused_is_in_the_log_with_the_reason() {
    let scene = Scene::new();
    if !scene.home.use_clock() {
        return;
    }
    scene.server.configure(|settings| settings.deny = true);
    assert_eq!(scene.sign_in().code, Some(4));
    scene.server.configure(|settings| settings.deny = false);
    scene.sign_in().success();
    scene.server.configure(|settings| settings.account = "mallory".into());
    assert_eq!(scene.sign_in().code, Some(4));
    scene.home.set_clock(3601, 3601, 0);
    scene.server.end_sessions();
    assert_eq!(scene.token_unattended().code, Some(3));
    let entries = entries(&scene);
    assert_eq!(events(&entries), ["refused", "issued", "refused", "revoked", "refused"]);
    let says = |number: usize, words: &str| {
        let entry = &entries[number];
        assert!(entry["reason"].as_str().unwrap().contains(words), "{words}: {entry}");
    };
    says(0, "access_denied");
    assert!(entries[0]["token"].is_null() && entries[0]["server"].is_string(), "{}", entries[0]);
    says(2, "another account");
    assert!(
        is_name(&entries[2]["token"]) && entries[2]["token"] == entries[3]["token"],
        "what came and was not taken has a name"
    );
    assert_ne!(entries[1]["token"], entries[2]["token"]);
    says(4, "no longer takes its refresh token");
    assert_eq!(entries[4]["token"], entries[1]["token"]);
    // a server that cannot be reached has refused nothing
    scene.server.fault_times(Endpoint::Metadata, Fault::Drop, 99);
    assert_eq!(scene.sign_in().code, Some(5));
    assert_eq!(self::entries(&scene).len(), 5);
    scene.home.scan_for_secrets(&scene.server.issued_secrets());
}

#[test]
fn a_change_of_the_account_is_in_the_log_with_both() {
    let (scene, _) = Scene::signed_in();
    scene.server.configure(|settings| (settings.account, settings.email) = ("bob".into(), "bob@example.com".into()));
    scene.home.run(["login", "--switch-account"], "").success();
    let entries = entries(&scene);
    assert_eq!(events(&entries), ["issued", "issued", "revoked"]);
    let accounts: Vec<&str> = entries.iter().map(|entry| entry["account"].as_str().unwrap()).collect();
    assert_eq!(accounts, ["alice@example.com", "bob@example.com", "alice@example.com"]);
    assert_eq!(entries[2]["token"], entries[0]["token"]);
}

#[test]
fn with_all_every_answer_is_noted_and_by_default_none_is() {
    for all in [true, false] {
        let scene = if all { noting_all(Home::new()) } else { Scene::new() };
        let sts = Sts::trusting(&scene.server.issuer(), "keyfob");
        let aws =
            || process::run(scene.home.keyfob(["aws", "get", "prod"]).env("AWS_ENDPOINT_URL_STS", sts.url()), b"").success();
        let ask = || {
            scene.git_get("git.example.com").success();
            scene.docker("get", b"registry.example.com").success();
            aws();
            scene.home.run(TOKEN, "").success();
        };
        scene.sign_in().success();
        ask();
        // by now the configuration is old enough to be compiled; what is compiled says it too
        std::thread::sleep(Duration::from_millis(2100));
        scene.git_get("git.example.com").success();
        let before = entries(&scene).len();
        ask();
        let entries = entries(&scene);
        let noted = &entries[before..];
        if !all {
            assert_eq!(events(&entries), ["issued", "exchanged"]);
            continue;
        }
        assert_eq!(events(noted), ["handed-out"; 4]);
        let resources: Vec<Option<&str>> = noted.iter().map(|entry| entry["resource"].as_str()).collect();
        assert_eq!(resources, [Some("git.example.com"), Some("registry.example.com"), Some("prod"), None]);
        let (issued, exchanged) =
            (&entries[0]["token"], &entries.iter().find(|entry| entry["event"] == "exchanged").unwrap()["token"]);
        assert!(
            [0, 1, 3].iter().all(|number| noted[*number]["token"] == *issued && noted[*number]["account"] == "alice@example.com")
        );
        assert!(noted[2]["token"] == *exchanged && exchanged != issued && is_name(exchanged));
        assert!(noted.iter().all(|entry| entry["login"] == "corp" && entry["server"] == entries[0]["server"]));
        assert_eq!(events(&entries).iter().filter(|event| **event == "handed-out").count(), 9, "also those that took a sign-in");
        let secrets: Vec<String> = scene.server.issued_secrets().into_iter().chain(sts.issued_secrets()).collect();
        scene.home.scan_for_secrets(&secrets);
    }
}

#[test]
fn with_off_there_is_no_log() {
    let scene = Scene::new();
    scene.home.write_config(&format!("audit = \"off\"\n{}", scene.config()));
    scene.sign_in().success();
    scene.home.run(["logout"], "").success();
    assert_eq!(scene.files("audit"), Vec::<String>::new());
    let said = scene.home.run(["log"], "").success().stdout;
    assert_eq!(said, "nothing is in the log yet\nnothing is added to it: the configuration has `audit = \"off\"`\n");
    assert!(scene.home.run(["status"], "").success().stdout.contains("audit: off: nothing is noted"));
    scene.home.write_config("audit = \"some\"\n");
    let refused = scene.home.run(["status"], "");
    assert!(refused.code == Some(6) && refused.stderr.contains("\"tokens\""), "{refused:?}");
}

/// A log with a line at each of these times, of these logins.
fn with_lines(scene: &Scene, lines: &[(&str, &str)]) {
    let line = |(time, login): &(&str, &str)| {
        format!("{{\"time\":\"{time}\",\"event\":\"issued\",\"login\":\"{login}\",\"asker\":\"git fetch\",\"pid\":7}}\n")
    };
    replace(scene, lines.iter().map(line).collect::<String>().as_bytes());
}

fn replace(scene: &Scene, bytes: &[u8]) {
    write(&file(scene), bytes);
    std::fs::set_permissions(file(scene), PermissionsExt::from_mode(0o600)).unwrap();
}

fn log(scene: &Scene, arguments: &[&str]) -> Output {
    let mut command = scene.home.keyfob(["log"]);
    process::run(command.args(arguments).env("TZ", "<+05>-5"), b"")
}

#[test]
fn keyfob_log_shows_it_in_the_persons_own_time_and_by_login_and_since_when() {
    let scene = Scene::new();
    assert_eq!(scene.home.run(["log"], "").success().stdout, "nothing is in the log yet\n");
    assert!(!scene.home.state().join("keyfob").exists(), "looking makes nothing");
    scene.sign_in().success();
    let shown = scene.home.run(["log"], "").success().stdout;
    let host = scene.server.issuer().replace("http://", "");
    assert!(shown.contains(&format!("  issued corp of alice@example.com at {host}, asked by keyfob login (pid ")), "{shown}");
    with_lines(&scene, &[("2026-11-20T20:00:00Z", "corp"), ("2026-11-21T13:15:17Z", "gone"), ("2026-11-21T13:15:18Z", "corp")]);
    let times = |arguments: &[&str]| -> Vec<String> {
        let output = log(&scene, arguments).success();
        assert_eq!(output.stderr, "");
        output.stdout.lines().map(|line| line.chars().take(25).collect()).collect()
    };
    let all = ["2026-11-21 01:00:00 +0500", "2026-11-21 18:15:17 +0500", "2026-11-21 18:15:18 +0500"];
    assert_eq!(times(&[]), all);
    assert_eq!(times(&["--since", "2026-11-21"]), all, "a day is the person's own");
    assert_eq!(times(&["--since", "2026-11-22"]), ["nothing of that is in the "].map(|text| text[..25].to_owned()));
    assert_eq!(times(&["--since", "2026-11-21T13:15:17Z"]), all[1..]);
    assert_eq!(times(&["--since", "2026-11-21T13:15:17Z", "--login", "corp"]), all[2..]);
    assert_eq!(times(&["--login", "gone"]), all[1..2], "also what is no longer configured");
    let json = log(&scene, &["--json", "--login", "gone"]).success().stdout;
    assert!(json.starts_with("{\"time\":\"2026-11-21T13:15:17Z\",") && json.lines().count() == 1, "{json}");
    assert_eq!(log(&scene, &["--json", "--since", "2026-11-23"]).success().stdout, "");
    let unknown = log(&scene, &["--login", "crop"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("configured are: corp"), "{unknown:?}");
    let wrong = log(&scene, &["--since", "\u{1b}[2Jsoon"]);
    printable(&wrong);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("2h"), "{wrong:?}");
}

#[test]
fn what_is_torn_damaged_or_hostile_in_the_log_is_left_out_or_made_harmless() {
    let scene = Scene::new();
    scene.sign_in().success();
    let mut bytes = std::fs::read(file(&scene)).unwrap();
    bytes.extend(b"\xff\xfe garbage\n[1]\n{\"time\":\"2026-11-21T13:15:17Z\",\"event\":\"of-tomorrow\"}\n");
    let hostile = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}";
    let line = serde_json::json!({"time": "2026-11-21T13:15:17Z", "event": "issued", "login": hostile, "asker": hostile, "pid": 1,
        "account": hostile, "server": hostile, "token": hostile, "resource": hostile, "reason": hostile});
    bytes.extend(format!("{line}\n{{\"time\":\"2026-11-21T13:15:17Z\",\"eve").into_bytes());
    replace(&scene, &bytes);
    for arguments in [&["log"][..], &["log", "--json"]] {
        let output = scene.home.run(arguments, "").success();
        printable(&output);
        assert!(output.stdout.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{output:?}");
        assert_eq!((output.stdout.lines().count(), output.stderr.lines().count()), (2, 1), "{output:?}");
        assert!(output.stderr.starts_with("keyfob: warning: 4 lines are left out: damaged, or of a newer keyfob"), "{output:?}");
    }
    // what is added behind half a line is a line of its own
    scene.home.run(["logout"], "").success();
    let entries = entries(&scene);
    assert_eq!(events(&entries), ["issued", "issued", "signed-out", "revoked"]);
}

#[test]
fn the_log_is_begun_anew_when_it_is_full_and_one_former_file_is_kept() {
    let scene = Scene::new();
    scene.sign_in().success();
    let line = "{\"time\":\"2026-11-21T13:15:17Z\",\"event\":\"issued\",\"login\":\"old\",\"asker\":\"git\",\"pid\":1}\n";
    let full = line.repeat((1 << 20) / line.len() + 1);
    for round in 1..=2 {
        replace(&scene, full.replace("old", &format!("old{round}")).as_bytes());
        scene.sign_in().success();
        assert_eq!(scene.files("audit"), ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.lock"]);
        assert!(std::fs::metadata(file(&scene)).unwrap().len() < 1024);
        assert!(std::fs::read_to_string(scene.records().join("audit.jsonl.1")).unwrap().contains(&format!("old{round}")));
    }
    let entries = entries(&scene);
    assert_eq!((entries[0]["login"].as_str(), entries.last().unwrap()["login"].as_str()), (Some("old2"), Some("corp")));
    assert_eq!(entries.len(), full.lines().count() + 1);
}

#[test]
fn processes_that_note_at_once_tear_no_line_and_lose_none() {
    const MANY: usize = 40;
    let scene = noting_all(Home::new());
    scene.sign_in().success();
    let ended = Crowd::start((0..MANY).map(|_| scene.home.keyfob(TOKEN))).end();
    assert_eq!(ended.outputs.len(), MANY);
    let entries = entries(&scene);
    assert_eq!(events(&entries)[1..], ["handed-out"; MANY]);
    let mut pids: Vec<u64> = entries[1..].iter().map(|entry| entry["pid"].as_u64().unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), MANY);
}

#[test]
fn who_writes_the_log_is_waited_for_and_not_for_long() {
    let scene = noting_all(Home::new());
    scene.sign_in().success();
    let lock = std::fs::File::open(scene.records().join("audit.jsonl.lock")).unwrap();
    fs2::FileExt::lock_exclusive(&lock).unwrap();
    let mut command = scene.home.keyfob(TOKEN);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it waits", || scene.home.having_open("/audit.jsonl.lock").contains(&child.id()));
    assert_eq!(child.try_wait().unwrap(), None);
    fs2::FileExt::unlock(&lock).unwrap();
    assert_eq!(end(child).success().stderr, "");
    assert_eq!(events(&entries(&scene)), ["issued", "handed-out"]);
    fs2::FileExt::lock_exclusive(&lock).unwrap();
    let begun = Instant::now();
    let output = scene.home.run(TOKEN, "").success();
    let took = begun.elapsed();
    // two seconds; any other patience of ours with another keyfob is thirty or more
    assert!((Duration::from_secs(2)..Duration::from_secs(25)).contains(&took), "{took:?}");
    assert!(output.stdout.contains("at_") && output.stderr.contains("the audit log lacks a line: "), "{output:?}");
    assert_eq!(entries(&scene).len(), 2, "and it can be read");
}

/// The token was handed out all the same, and one line says what the log lacks.
#[track_caller]
fn warned(scene: &Scene, output: Output) {
    let output = output.success();
    printable(&output);
    assert!(output.stdout.contains("at_"), "{output:?}");
    let says = "keyfob: warning: the audit log lacks a line: ";
    assert!(output.stderr.lines().count() == 1 && output.stderr.starts_with(says), "{output:?}");
    assert!(output.stderr.contains(&*scene.records().join("audit.jsonl").to_string_lossy()), "{output:?}");
}

#[test]
fn a_log_that_cannot_be_written_keeps_nobody_from_a_token_and_is_said() {
    let scene = noting_all(Home::new());
    scene.sign_in().success();
    let victim = scene.home.path().join("victim");
    write(&victim, b"somebody else's");
    std::fs::remove_file(file(&scene)).unwrap();
    symlink(&victim, file(&scene)).unwrap();
    for _ in 0..2 {
        warned(&scene, scene.home.run(TOKEN, ""));
        warned(&scene, scene.git_get("git.example.com"));
    }
    assert_eq!(std::fs::read(&victim).unwrap(), b"somebody else's");
    let status = scene.home.run(["status"], "").success().stdout;
    assert!(status.contains("is noted, but ") && status.contains("is a symbolic link"), "{status}");
    let shown = scene.home.run(["log"], "");
    assert!(shown.code == Some(6) && shown.stderr.contains("is a symbolic link"), "{shown:?}");
    // what a worker could not note is told by whoever waits for it
    let output = scene.sign_in().success();
    assert!(output.stderr.starts_with("keyfob: warning: the audit log lacks a line: "), "{output:?}");
    scene.home.run(["logout"], "").success();
}

#[test]
fn a_disk_without_room_for_the_log_leaves_no_half_line() {
    let scene = noting_all(Home::new());
    scene.sign_in().success();
    // a limit on the size of files is met by the log alone, in the middle of a line
    let line = "{\"time\":\"2026-11-21T13:15:17Z\",\"event\":\"issued\",\"login\":\"old\",\"asker\":\"git\",\"pid\":1}\n";
    let lines = (100 << 10) / line.len();
    let mut text = line.repeat(lines);
    text.push_str(&format!("{}\n", " ".repeat((100 << 10) - 41 - text.len())));
    replace(&scene, text.as_bytes());
    let mut command = scene.home.command("sh");
    command.args(["-c", "ulimit -f 200; exec keyfob token corp"]);
    warned(&scene, process::run(&mut command, b""));
    assert_eq!(std::fs::read(file(&scene)).unwrap(), text.as_bytes());
    scene.home.run(TOKEN, "").success();
    assert_eq!(entries(&scene).len(), lines + 1);
}
