//! What others put in the place of our files, and what other users can do there: refused at once, and the target is untouched.
#![cfg(unix)]
use crate::support::process;
use crate::support::scene::{Scene, one_error, printable};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// At once, on a machine that does other things too.
const AT_ONCE: Duration = Duration::from_secs(2);
const VICTIM: &[u8] = b"what somebody else wrote";

/// What can stand in a file's place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stranger {
    Link,
    Dangling,
    SecondName,
    Pipe,
    Folder,
    OpenToAll,
    OthersFile,
}

const STRANGERS: [Stranger; 7] = [
    Stranger::Link,
    Stranger::Dangling,
    Stranger::SecondName,
    Stranger::Pipe,
    Stranger::Folder,
    Stranger::OpenToAll,
    Stranger::OthersFile,
];

impl Stranger {
    /// Stands in for `path`, with `victim` as what a link leads to.
    fn put(self, path: &Path, victim: &Path) {
        let _ = fs::remove_file(path);
        match self {
            Self::Link => symlink(victim, path).unwrap(),
            Self::Dangling => symlink(victim.with_extension("absent"), path).unwrap(),
            Self::SecondName => fs::hard_link(victim, path).unwrap(),
            Self::Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::OpenToAll => {
                fs::write(path, VICTIM).unwrap();
                fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
            }
            Self::OthersFile => {
                fs::write(path, VICTIM).unwrap();
                fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
                chown(path, Some(4242), None).unwrap();
            }
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0)
}

/// A folder's content by name, and a way back to it.
fn saved(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn restore(folder: &Path, content: &[(PathBuf, Vec<u8>)]) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let removed = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir(entry.path()));
        removed.unwrap();
    }
    for (path, bytes) in content {
        crate::support::temp_dir::write(path, bytes);
    }
}

/// The names that files in the state folder have or can have.
fn names(scene: &Scene) -> Vec<String> {
    let record = scene.files(".rec").remove(0);
    let id = record.trim_end_matches(".rec");
    let beside =
        ["rec", "next", "lock", "signin", "waiters", "pending", "failed", "rekey"].map(|suffix| format!("{id}.{suffix}"));
    ["store", "routes", "store.lock", "key.lock", "key.gate"].map(str::to_owned).into_iter().chain(beside).collect()
}

#[test]
fn whatever_stands_in_the_place_of_a_file_is_refused_at_once_and_left_alone() {
    let scene = Scene::new();
    // what was renewed past a stranger is put back with the rest, and must still be good
    scene.server.configure(|settings| settings.rotate = false);
    scene.server.set_access_life(1);
    scene.sign_in().success();
    std::thread::sleep(Duration::from_millis(1100));
    scene.server.set_access_life(3600);
    let (folder, victim) = (scene.records(), scene.home.path().join("victim"));
    let good = saved(&folder);
    for name in names(&scene) {
        for stranger in STRANGERS {
            if stranger == Stranger::OthersFile && !is_root() {
                eprintln!("SKIPPED: only root can give files away, so another owner's {name} was not tested");
                continue;
            }
            crate::support::temp_dir::write(&victim, VICTIM);
            let path = folder.join(&name);
            stranger.put(&path, &victim);
            let before = fs::symlink_metadata(&path).unwrap();
            for (arguments, stdin) in [(["token", "corp"], ""), (["git", "get"], "protocol=https\nhost=git.example.com\n\n")] {
                let begun = Instant::now();
                let mut command = scene.home.keyfob(arguments);
                let output = process::run(command.env("KEYFOB_INTERACTIVE", "never"), stdin.as_bytes());
                let took = begun.elapsed();
                assert!(took < AT_ONCE, "{name} as {stranger:?} held for {took:?}");
                printable(&output);
                let refused = output.stderr.contains(&name) && !output.stdout.contains("at_");
                let passed = output.code == Some(0) && output.stdout.contains("at_");
                assert!(refused || passed, "{name} as {stranger:?}: {output:?}");
                if refused && arguments[0] == "token" {
                    one_error(&output);
                    assert_eq!(output.code, Some(6), "{name} as {stranger:?}: {output:?}");
                }
                // the record and the store's own file decide what is answered, so nothing else will do in their place
                assert!(refused || !(name == "store" || name.ends_with(".rec")), "{name} as {stranger:?}: {output:?}");
                if refused {
                    let after = fs::symlink_metadata(&path).unwrap();
                    assert_eq!(
                        (after.ino(), after.mode(), after.uid()),
                        (before.ino(), before.mode(), before.uid()),
                        "{name} {stranger:?}"
                    );
                }
            }
            assert_eq!(fs::read(&victim).unwrap(), VICTIM, "{name} as {stranger:?}");
            assert!(!victim.with_extension("absent").exists(), "{name} as {stranger:?}");
            restore(&folder, &good);
        }
    }
    assert_eq!(scene.server.counts().authorizations, 1, "nobody was asked");
    scene.token_unattended().success();
}

#[test]
fn a_state_folder_that_is_open_to_others_or_a_link_is_refused() {
    let (scene, token) = Scene::signed_in();
    let folder = scene.records();
    let outer = folder.parent().unwrap().to_owned();
    for path in [&folder, &outer] {
        for mode in [0o755, 0o770, 0o701] {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            let output = scene.home.run(["token", "corp"], "");
            fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
            if path == &folder {
                one_error(&output);
                assert!(output.code == Some(6) && output.stderr.contains("chmod"), "{mode:o}: {output:?}");
            }
        }
    }
    let moved = scene.home.path().join("moved");
    fs::rename(&folder, &moved).unwrap();
    symlink(&moved, &folder).unwrap();
    let output = scene.home.run(["token", "corp"], "");
    one_error(&output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(6), ""), "{output:?}");
    fs::remove_file(&folder).unwrap();
    fs::rename(&moved, &folder).unwrap();
    if is_root() {
        chown(&folder, Some(4242), None).unwrap();
        let output = scene.home.run(["token", "corp"], "");
        chown(&folder, Some(0), None).unwrap();
        one_error(&output);
        assert!(output.code == Some(6) && output.stderr.contains("4242"), "{output:?}");
    }
    scene.still_answers(&token);
}

/// Everything on the way to the state folder is opened for all, so that only the folder's own permissions are left.
#[test]
fn another_user_can_neither_open_nor_lock_nor_even_look_at_anything_in_the_state_folder() {
    if !is_root() || !Path::new("/usr/bin/setpriv").exists() {
        assert!(std::env::var_os("CI").is_none(), "root and setpriv are needed");
        return eprintln!("SKIPPED: this takes root and setpriv, so another user's view was not tested");
    }
    let (scene, token) = Scene::signed_in();
    scene.keep_entries();
    let state = scene.home.state();
    for above in state.ancestors().take_while(|path| path.starts_with(scene.home.path().parent().unwrap())) {
        fs::set_permissions(above, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let as_other = |script: &str, path: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script, "sh"]).arg(path);
        process::run(&mut command, b"")
    };
    assert_eq!(as_other("ls \"$1\"", &state).success().stdout, "keyfob\n", "the other user comes this far");
    let mut places = vec![state.join("keyfob/v1"), scene.records()];
    places.extend(scene.files("").iter().map(|name| scene.records().join(name)));
    assert!(places.len() > 8, "{places:?}");
    for place in &places {
        for script in [
            "stat \"$1\"",
            "cat \"$1\"",
            "ls \"$1\"",
            "flock -n \"$1\" true",
            "flock -ns \"$1\" true",
            ": >> \"$1\"",
            "rm -rf \"$1\"",
        ] {
            let output = as_other(script, place);
            assert!(
                output.code != Some(0) && output.stderr.contains("ermission denied"),
                "{script} {}: {output:?}",
                place.display()
            );
        }
    }
    let key = as_other("cat \"$1\"", &scene.home.key_file());
    assert_ne!(key.code, Some(0), "{key:?}");
    scene.still_answers(&token);
    scene.entries_answer();
}
