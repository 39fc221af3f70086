//! A whole life, watched: no secret on any command line, in any environment, on stderr, in any file that is not sealed, nor on stdout
//! but where the protocol wants it.
#![cfg(target_os = "linux")]
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Fault, Options};
use crate::support::home::Home;
use crate::support::process::{self, Output};
use crate::support::scene::{KEPT, Scene};
use crate::support::sts::Sts;
use crate::support::temp_dir::write;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

const CLIENT_SECRET: &str = "cs_0123456789abcdef";

/// What was seen in `/proc` of processes that live in one home: command lines and environments.
struct Watch {
    stop: Arc<AtomicBool>,
    looks: Arc<Mutex<u64>>,
    seen: JoinHandle<BTreeMap<Vec<u8>, String>>,
}

impl Watch {
    /// Looks about a thousand times a second.
    fn over(home: &Home) -> Self {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let (flag, count, home) = (Arc::clone(&stop), Arc::clone(&looks), home.path().display().to_string());
        let seen = std::thread::spawn(move || {
            let (mut seen, mut foreign) = (BTreeMap::new(), HashMap::new());
            while !flag.load(Ordering::SeqCst) {
                look(&home, &mut foreign, &mut seen);
                *count.lock().unwrap() += 1;
                sleep(Duration::from_millis(1));
            }
            seen
        });
        Self { stop, looks, seen }
    }

    fn end(self) -> (BTreeMap<Vec<u8>, String>, u64) {
        self.stop.store(true, Ordering::SeqCst);
        let looks = *self.looks.lock().unwrap();
        (self.seen.join().unwrap(), looks)
    }
}

/// Reads every process once. `foreign` remembers by process and start time who lives elsewhere, so that looking stays quick.
fn look(home: &str, foreign: &mut HashMap<u32, u32>, seen: &mut BTreeMap<Vec<u8>, String>) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // what was foreign a while ago can be another process by now, or have become ours by exec
        let age = foreign.entry(id).or_default();
        if *age > 0 {
            *age -= 1;
            continue;
        }
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let ours = contains(&environment, home.as_bytes()) || contains(&line, home.as_bytes());
        if !ours {
            *age = u32::from(!environment.is_empty()) * 20;
            continue;
        }
        let shown = String::from_utf8_lossy(&line).replace('\0', " ");
        seen.entry(line).or_insert_with(|| format!("command line: {shown}"));
        seen.entry(environment).or_insert_with(|| format!("environment of: {shown}"));
    }
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}

/// A scene whose client has a secret, with an STS, and everything that was said in it.
struct Life {
    scene: Scene,
    sts: Sts,
    /// What was printed, and whether standard output may hold secrets.
    said: Vec<(Output, bool)>,
}

impl Life {
    fn begin() -> Self {
        let clients = vec![Client::confidential("keyfob", CLIENT_SECRET)];
        let server = AuthorizationServer::start_with(Options { clients, ..Options::default() });
        let scene = Scene::with(Home::new(), server);
        let file = scene.home.path().join("../client-secret");
        write(&file, CLIENT_SECRET);
        let with_secret = format!("client_id = \"keyfob\"\nclient_secret_file = \"{}\"", file.canonicalize().unwrap().display());
        scene.home.write_config(&scene.config().replace("client_id = \"keyfob\"", &with_secret));
        let sts = Sts::trusting(&scene.server.issuer(), "keyfob");
        Self { scene, sts, said: Vec::new() }
    }

    fn run(&mut self, arguments: &[&str], stdin: &str, answers: bool) -> Output {
        let mut command = self.scene.home.keyfob(arguments);
        command.env("KEYFOB_TRACE", "1").env("AWS_ENDPOINT_URL_STS", self.sts.url()).env_remove("GIT_TERMINAL_PROMPT");
        let output = process::run(&mut command, stdin.as_bytes());
        self.said.push((output.clone(), answers));
        output
    }

    fn everything(&mut self) {
        const GET: &str = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example.com\n\n";
        self.run(&["status"], "", false);
        self.run(&["login", "corp"], "", false).success();
        self.run(&["git", "capability"], "", false).success();
        let git = self.run(&["git", "get"], GET, true).success();
        let password = git.stdout.lines().find_map(|line| line.strip_prefix("password=")).unwrap().to_owned();
        self.run(
            &["git", "store"],
            &format!("protocol=https\nhost=git.example.com\nusername=oauth2\npassword={password}\n\n"),
            false,
        );
        let entry = format!("{{\"ServerURL\":\"kept.example.org\",\"Username\":\"alice\",\"Secret\":\"{KEPT}\"}}");
        self.run(&["docker", "store"], &entry, false).success();
        self.run(&["docker", "get"], "registry.example.com", true).success();
        self.run(&["docker", "get"], "kept.example.org", true).success();
        self.run(&["docker", "list"], "", false).success();
        let aws = self.run(&["aws", "get", "prod"], "", true).success();
        assert!(aws.stdout.contains("SessionToken"), "{aws:?}");
        self.run(&["aws", "get", "prod"], "", true).success();
        self.run(&["token", "corp"], "", true).success();
        let mark = git.stdout.lines().find_map(|line| line.strip_prefix("state[]=")).unwrap_or_default().to_owned();
        self.run(&["git", "get"], &GET.replace("\n\n", &format!("\nstate[]={mark}\n\n")), true).success();
        let token = self.run(&["token", "corp"], "", true).success().stdout;
        self.run(
            &["git", "erase"],
            &format!("protocol=https\nhost=git.example.com\nusername=oauth2\npassword={}\n\n", token.trim()),
            false,
        );
        self.errors(token.trim());
        self.run(&["status", "--json"], "", false).success();
        self.run(&["docker", "erase"], "kept.example.org", false).success();
        self.run(&["logout", "--all"], "", false).success();
        assert!(self.scene.server.counts().revocations >= 2 && self.sts.counts().issued >= 1);
    }

    fn errors(&mut self, token: &str) {
        let hostile = json!({"error": "invalid_request", "error_description": format!("no: {token} {CLIENT_SECRET}")});
        self.scene.server.fault(Endpoint::Token, Fault::json(500, &hostile));
        self.run(&["login", "corp"], "", false);
        let access = token.to_owned();
        self.scene.server.token_patch(move |answer| {
            answer["access_token"] = format!("{access}\n{}", answer["access_token"].as_str().unwrap_or_default()).into();
        });
        self.run(&["login", "corp"], "", false);
        self.scene.server.token_patch(|answer| *answer = answer["access_token"].clone());
        self.run(&["login", "corp"], "", false);
        self.scene.server.configure(|settings| {
            settings.token_patch = None;
            settings.account = "mallory".into();
        });
        self.run(&["login", "corp"], "", false);
        self.scene.server.configure(|settings| settings.account = "alice".into());
        self.run(&["git", "get"], &format!("protocol=https\nhost=git.example.com\npassword={token}\rx\n"), false);
        self.run(&["git", "get"], &format!("protocol=https\nhost=git.example.com\npassword=a\npassword={token}\n"), false);
        self.run(&["git", "get"], &format!("url=https://alice:{token}@git.example.com:x/\n"), false);
        self.run(&["docker", "store"], &format!("{{\"ServerURL\":\"x.example\",\"Username\":7,\"Secret\":\"{token}\"}}"), false);
        self.run(&["docker", "store"], &format!("{{\"ServerURL\":\"x.example\",\"Secret\":\"{token}"), false);
        self.run(&["docker", "get"], &format!("https://alice:{token}@registry.elsewhere.example/\u{1}"), false);
    }
}

#[test]
fn in_a_whole_life_no_secret_stands_where_it_must_not() {
    let mut life = Life::begin();
    let watch = Watch::over(&life.scene.home);
    life.everything();
    let (seen, looks) = watch.end();
    let mut secrets = life.scene.server.issued_secrets();
    secrets.extend(life.sts.issued_secrets());
    secrets.extend([KEPT.to_owned(), CLIENT_SECRET.to_owned()]);
    let key = std::fs::read(life.scene.home.key_file()).unwrap();
    let key_text = String::from_utf8_lossy(&key).trim().to_owned();
    secrets.retain(|secret| secret.len() >= 8);
    assert!(secrets.len() > 30, "{} secrets passed", secrets.len());
    assert!(looks > 100, "only {looks} looks");
    let words: Vec<&String> = seen.values().collect();
    for part in ["--worker", "login corp", "/start/"] {
        assert!(words.iter().any(|shown| shown.contains(part)), "{part} was never seen in {looks} looks: {words:?}");
    }
    let all: Vec<&[u8]> = secrets.iter().map(String::as_bytes).chain([&key[..], key_text.as_bytes()]).collect();
    for secret in &all {
        let kind = String::from_utf8_lossy(&secret[..3.min(secret.len())]).into_owned();
        for (content, place) in &seen {
            assert!(!contains(content, secret), "{place} holds a secret ({kind}…)");
        }
        for (output, answers) in &life.said {
            assert!(!contains(output.stderr.as_bytes(), secret), "stderr holds a secret ({kind}…): {}", output.stderr);
            assert!(
                *answers || !contains(output.stdout.as_bytes(), secret),
                "stdout holds a secret ({kind}…): {}",
                output.stdout
            );
        }
    }
    life.scene.home.scan_for_secrets(&secrets);
    let refresh = |secret: &&String| secret.starts_with("rt_") || secret.starts_with("co_");
    for (output, _) in &life.said {
        assert!(!secrets.iter().filter(refresh).any(|secret| output.stdout.contains(secret.as_str())), "{output:?}");
    }
    assert_eq!(life.scene.server.violations(), Vec::<String>::new());
}

#[test]
fn the_key_stands_in_its_file_alone() {
    let (scene, _) = Scene::signed_in();
    let key = std::fs::read(scene.home.key_file()).unwrap();
    let away = scene.home.path().parent().unwrap().join("key-elsewhere");
    std::fs::rename(scene.home.key_file(), &away).unwrap();
    let text = String::from_utf8_lossy(&key).trim().to_owned();
    assert!(text.len() >= 32, "the key is text of its own");
    scene.home.scan_for_secrets(&[text]);
}
