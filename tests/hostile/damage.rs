//! Damaged, swapped and foreign records: the login concerned asks for a new sign-in, all others answer, and what does not open is
//! kept aside.
use crate::support::authorization_server::{AuthorizationServer, Client, Options};
use crate::support::home::Home;
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, one_error};
use crate::support::temp_dir::write;
use std::fs;

/// A scene with a second login, `other`, both signed in, and entries kept; with the record files of `corp`, of `other` and of the
/// entries.
struct Shelf {
    scene: Scene,
    corp: String,
    other: String,
    entries: Vec<String>,
}

impl Shelf {
    fn new() -> Self {
        let clients = vec![Client::public("keyfob"), Client::public("second")];
        let server = AuthorizationServer::start_with(Options { clients, ..Options::default() });
        let scene = Scene::with(Home::new(), server);
        let second = format!("[login.other]\nissuer = \"{}\"\nclient_id = \"second\"\n", scene.server.issuer());
        let more = "scopes = [\"openid\", \"offline_access\"]\n[git.\"https://other.example.com\"]\nlogin = \"other\"\n";
        scene.home.write_config(&format!("{}{second}{more}", scene.config()));
        scene.sign_in().success();
        let corp = scene.files(".rec").remove(0);
        scene.home.run(["login", "other"], "").success();
        let other = scene.files(".rec").into_iter().find(|name| *name != corp).unwrap();
        scene.keep_entries();
        let entries = scene.files(".rec").into_iter().filter(|name| ![&corp, &other].contains(&name)).collect();
        Self { scene, corp, other, entries }
    }

    fn flip(&self, name: &str, place: impl FnOnce(usize) -> usize) {
        let path = self.scene.records().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let place = place(bytes.len());
        bytes[place] ^= 0x40;
        write(&path, bytes);
    }

    fn token(&self, login: &str) -> Output {
        process::run(self.scene.home.keyfob(["token", login]).env("KEYFOB_INTERACTIVE", "never"), b"")
    }

    fn git(&self, host: &str) -> Output {
        let mut command = self.scene.home.keyfob(["git", "get"]);
        process::run(command.env("KEYFOB_INTERACTIVE", "never"), format!("protocol=https\nhost={host}\n\n").as_bytes())
    }
}

#[test]
fn a_damaged_record_costs_one_new_sign_in_and_is_kept_aside() {
    for (number, place) in [|_| 0, |_| 20, |length| length / 2, |length| length - 1].into_iter().enumerate() {
        let shelf = Shelf::new();
        let other = shelf.token("other").success().stdout;
        shelf.flip(&shelf.corp, place);
        let damaged = fs::read(shelf.scene.records().join(&shelf.corp)).unwrap();
        let refused = shelf.token("corp");
        one_error(&refused);
        assert!(refused.code == Some(3) && refused.stderr.contains("keyfob login corp"), "{number}: {refused:?}");
        let git = shelf.git("git.example.com");
        assert_eq!((git.code, git.stdout.as_str()), (Some(0), "quit=1\n"), "{number}: {git:?}");
        let status = shelf.scene.home.run(["status"], "").success().stdout;
        assert!(status.contains("keyfob login corp") && status.contains("other: signed in"), "{number}: {status}");
        assert_eq!(shelf.token("other").success().stdout, other);
        shelf.scene.entries_answer();
        assert_eq!(shelf.scene.server.counts().authorizations, 2, "nobody was asked without need");
        shelf.scene.sign_in().success();
        shelf.token("corp").success();
        let aside = shelf.scene.files(".bad");
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(fs::read(shelf.scene.records().join(&aside[0])).unwrap(), damaged, "kept as it was found");
        assert_eq!(shelf.token("other").success().stdout, other);
        shelf.scene.entries_answer();
    }
}

#[test]
fn an_empty_or_truncated_record_counts_as_damaged() {
    for length in [0, 1, 40, 200] {
        let shelf = Shelf::new();
        let path = shelf.scene.records().join(&shelf.corp);
        fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        let refused = shelf.token("corp");
        one_error(&refused);
        assert_eq!(refused.code, Some(3), "{length}: {refused:?}");
        shelf.token("other").success();
        shelf.scene.sign_in().success();
        shelf.token("corp").success();
        assert_eq!(shelf.scene.files(".bad").len(), 1, "{length}");
    }
}

#[test]
fn records_that_were_swapped_do_not_open() {
    let shelf = Shelf::new();
    let folder = shelf.scene.records();
    fs::rename(folder.join(&shelf.corp), folder.join("between")).unwrap();
    fs::rename(folder.join(&shelf.other), folder.join(&shelf.corp)).unwrap();
    fs::rename(folder.join("between"), folder.join(&shelf.other)).unwrap();
    for login in ["corp", "other"] {
        let refused = shelf.token(login);
        one_error(&refused);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(3), ""), "{login}: {refused:?}");
    }
    shelf.scene.entries_answer();
    for login in ["corp", "other"] {
        shelf.scene.home.run(["login", login], "").success();
        shelf.token(login).success();
    }
    assert_eq!(shelf.scene.files(".bad").len(), 2);
}

#[test]
fn a_damaged_stored_entry_is_named_and_its_neighbours_answer() {
    let shelf = Shelf::new();
    for name in &shelf.entries {
        shelf.flip(name, |length| length - 1);
    }
    let git = shelf.git("kept.example.org");
    assert_eq!((git.code, git.stdout.as_str(), git.stderr.lines().count()), (Some(0), "", 1), "{git:?}");
    let docker = shelf.scene.docker("get", b"kept.example.org");
    assert_eq!((docker.code, docker.stdout.lines().count()), (Some(1), 1), "{docker:?}");
    assert!(docker.stdout.contains("keyfob: error:"), "{docker:?}");
    shelf.scene.docker("list", b"").success();
    for login in ["corp", "other"] {
        shelf.token(login).success();
    }
    shelf.scene.keep_entries();
    shelf.scene.entries_answer();
    assert_eq!(shelf.scene.files(".bad").len(), 2, "both are kept aside");
}

/// Runs what needs the key, and panics unless each is refused as misconfigured, saying `words`.
fn refused_for_the_key(shelf: &Shelf, words: &str) {
    let before = (shelf.scene.files(""), shelf.scene.server.counts());
    for command in [&["token", "corp"][..], &["login", "corp"], &["status"]] {
        let output = shelf.scene.home.run(command, "");
        one_error(&output);
        assert_eq!((output.code, output.stdout.as_str()), (Some(6), ""), "{command:?}: {output:?}");
        assert!(output.stderr.contains(words), "{command:?}: {output:?}");
    }
    for host in ["git.example.com", "kept.example.org"] {
        let git = shelf.git(host);
        assert_eq!(git.code, Some(0), "{git:?}");
        assert!(git.stderr.contains(words) && !git.stdout.contains("password"), "{host}: {git:?}");
    }
    let docker = shelf.scene.docker("get", b"registry.example.com");
    assert!(docker.code == Some(1) && docker.stdout.contains(words), "{docker:?}");
    let after = (shelf.scene.files(""), shelf.scene.server.counts());
    let without_routes = |names: &[String]| names.iter().filter(|name| *name != "routes").cloned().collect::<Vec<_>>();
    assert_eq!((without_routes(&after.0), after.1), (without_routes(&before.0), before.1), "nothing was touched or asked");
}

#[test]
fn without_its_key_nothing_is_answered_and_no_new_key_is_made() {
    let shelf = Shelf::new();
    let (key, token) = (shelf.scene.home.key_file(), shelf.token("corp").success().stdout);
    let content = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    refused_for_the_key(&shelf, "is missing");
    assert!(!key.exists(), "a new key would lock the records out for good");
    write(&key, &content);
    assert_eq!(shelf.token("corp").success().stdout, token);
    shelf.scene.entries_answer();
}

#[test]
fn with_another_key_nothing_is_answered_and_nothing_is_overwritten() {
    let (shelf, stranger) = (Shelf::new(), Scene::signed_in().0);
    let (key, token) = (shelf.scene.home.key_file(), shelf.token("corp").success().stdout);
    let content = fs::read(&key).unwrap();
    write(&key, fs::read(stranger.home.key_file()).unwrap());
    refused_for_the_key(&shelf, "another key");
    for broken in [&b""[..], b"short", &[0xff; 4096]] {
        write(&key, broken);
        refused_for_the_key(&shelf, &key.display().to_string());
        assert_eq!(fs::read(&key).unwrap(), broken);
    }
    write(&key, &content);
    let mut elsewhere = shelf.scene.home.keyfob(["token", "corp"]);
    let output = process::run(elsewhere.env("KEYFOB_KEY_FILE", stranger.home.key_file()), b"");
    one_error(&output);
    assert!(output.code == Some(6) && output.stderr.contains("another place for the key"), "{output:?}");
    assert_eq!(shelf.token("corp").success().stdout, token);
    shelf.scene.entries_answer();
}
