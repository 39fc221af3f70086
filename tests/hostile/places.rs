//! What others put in the place of our files, and what other users can do there: refused at once, and the target is untouched.
#![cfg(unix)]
use crate::support::process;
use crate::support::scene::{Scene, one_error, printable};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Less than any patience of ours with another keyfob.
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
    Device,
    OpenToAll,
    OthersFile,
}

const STRANGERS: [Stranger; 8] = [
    Stranger::Link,
    Stranger::Dangling,
    Stranger::SecondName,
    Stranger::Pipe,
    Stranger::Folder,
    Stranger::Device,
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
            Self::Pipe => assert!(Command::new("mkfifo").args(["-m", "600"]).arg(path).status().unwrap().success()),
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::Device => assert!(mknod(path)),
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

/// Makes a device that is nothing but a way to `/dev/null`; false where this system does not let us.
fn mknod(path: &Path) -> bool {
    Command::new("mknod").args(["-m", "600"]).arg(path).args(["c", "1", "3"]).output().unwrap().status.success()
}

/// Those that can be put anywhere here; what cannot be tested is said.
fn strangers(scene: &Scene) -> Vec<Stranger> {
    let probe = scene.home.path().join("probe");
    let devices = mknod(&probe);
    let _ = fs::remove_file(probe);
    for (can, what) in [(devices, "devices be made"), (is_root(), "files be given away")] {
        if !can {
            assert!(std::env::var_os("CI").is_none(), "{what} by root alone");
            // not `eprintln!`: the test runner would keep it to itself as long as the test passes
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED: here cannot {what}\n").as_bytes());
        }
    }
    let can = |stranger: &Stranger| match stranger {
        Stranger::Device => devices,
        Stranger::OthersFile => is_root(),
        _ => true,
    };
    STRANGERS.into_iter().filter(can).collect()
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

/// The places that files of ours have or can have: in the folder of the records, above it, and the key.
fn places(scene: &Scene) -> Vec<PathBuf> {
    let folder = scene.records();
    let record = scene.files(".rec").remove(0);
    let id = record.trim_end_matches(".rec");
    let suffixes = [
        "rec",
        "next",
        "lock",
        "signin",
        "waiters",
        "pending",
        "failed",
        "sent",
        "device",
        "rekey",
        // while a note is written
        "pending.lock",
        "pending.signin",
        "failed.lock",
        "failed.signin",
        "sent.lock",
        "device.signin",
        // where a damaged record is kept
        "bad-1",
    ];
    let names =
        ["store", "store.tmp", "routes", "store.lock", "key.lock", "key.gate", "asking.lock", "CACHEDIR.TAG"].map(str::to_owned);
    let journal = ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.lock"].map(str::to_owned);
    let beside = suffixes.map(|suffix| format!("{id}.{suffix}"));
    let mut places: Vec<PathBuf> = names.iter().chain(&journal).chain(&beside).map(|name| folder.join(name)).collect();
    for name in scene.files("") {
        assert!(places.contains(&folder.join(&name)), "{name} is not tested");
    }
    places.push(folder.parent().unwrap().join("machine"));
    places.push(scene.home.key_file());
    places
}

/// What was asked of keyfob past a stranger, and what must be true of it; how long the slower of two questions took.
#[track_caller]
fn ask_past(scene: &Scene, stranger: Stranger, path: &Path) -> Duration {
    let name = path.file_name().unwrap().to_string_lossy();
    let before = fs::symlink_metadata(path).unwrap();
    let mut slowest = Duration::ZERO;
    for (arguments, stdin) in [(["token", "corp"], ""), (["git", "get"], "protocol=https\nhost=git.example.com\n\n")] {
        let begun = Instant::now();
        let mut command = scene.home.keyfob(arguments);
        let output = process::run(command.env("KEYFOB_INTERACTIVE", "never"), stdin.as_bytes());
        slowest = slowest.max(begun.elapsed());
        printable(&output);
        let refused = output.stderr.contains(&*path.to_string_lossy()) && !output.stdout.contains("at_");
        let passed = output.code == Some(0) && output.stdout.contains("at_");
        assert!(refused || passed, "{name} as {stranger:?}: {output:?}");
        if refused && arguments[0] == "token" {
            one_error(&output);
            assert_eq!(output.code, Some(6), "{name} as {stranger:?}: {output:?}");
        }
        // the record, the store's own file and the key decide what is answered, so nothing else will do in their place
        let decides = name == "store" || name == "key" || name.ends_with(".rec");
        assert!(refused || !decides, "{name} as {stranger:?}: {output:?}");
        if refused {
            let after = fs::symlink_metadata(path).unwrap();
            let same = |facts: &fs::Metadata| (facts.ino(), facts.mode(), facts.uid(), facts.rdev());
            assert_eq!(same(&after), same(&before), "{name} {stranger:?}");
        }
    }
    slowest
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
}

#[test]
fn whatever_stands_in_the_place_of_a_file_is_refused_at_once_and_left_alone() {
    let scene = Scene::new();
    // what was renewed past a stranger is put back with the rest, and must still be good
    scene.server.configure(|settings| settings.rotate = false);
    scene.sign_in_and_expire();
    let (folder, victim, strangers) = (scene.records(), scene.home.path().join("victim"), strangers(&scene));
    let good = saved(&folder);
    for path in places(&scene) {
        let own = fs::read(&path).ok();
        for stranger in &strangers {
            let attempt = || {
                crate::support::temp_dir::write(&victim, VICTIM);
                stranger.put(&path, &victim);
                let took = ask_past(&scene, *stranger, &path);
                assert_eq!(fs::read(&victim).unwrap(), VICTIM, "{} as {stranger:?}", path.display());
                assert!(!victim.with_extension("absent").exists(), "{} as {stranger:?}", path.display());
                remove(&path);
                if let Some(bytes) = &own {
                    crate::support::temp_dir::write(&path, bytes);
                }
                restore(&folder, &good);
                took
            };
            assert!(process::is_quick(AT_ONCE, attempt), "{} as {stranger:?} was waited for", path.display());
        }
    }
    assert_eq!(scene.server.counts().authorizations, 1, "nobody was asked");
    scene.token_unattended().success();
}

/// On a machine without a name of its own, that name is a file of ours.
#[test]
fn whatever_stands_in_the_place_of_the_machines_name_is_refused_at_once_and_left_alone() {
    const NAMELESS: &str = "for id in /etc/machine-id /var/lib/dbus/machine-id; do [ ! -f $id ] || mount --bind /dev/null $id; done; \
                            exec \"$KEYFOB\" ";
    let scene = Scene::new();
    let Some(output) = scene.mounted(&format!("{NAMELESS} login corp")) else { return };
    output.success();
    let (path, victim) = (scene.home.state().join("keyfob/v1/machine"), scene.home.path().join("victim"));
    let own = fs::read(&path).expect("the machine was given a name");
    let token = scene.mounted(&format!("{NAMELESS} token corp")).unwrap().success().stdout;
    for stranger in strangers(&scene) {
        let attempt = || {
            crate::support::temp_dir::write(&victim, VICTIM);
            stranger.put(&path, &victim);
            let begun = Instant::now();
            let output = scene.mounted(&format!("{NAMELESS} token corp")).unwrap();
            let took = begun.elapsed();
            one_error(&output);
            assert_eq!((output.code, output.stdout.as_str()), (Some(6), ""), "{stranger:?}: {output:?}");
            assert!(output.stderr.contains(&*path.to_string_lossy()), "{stranger:?}: {output:?}");
            assert_eq!(fs::read(&victim).unwrap(), VICTIM, "{stranger:?}");
            remove(&path);
            crate::support::temp_dir::write(&path, &own);
            took
        };
        assert!(process::is_quick(AT_ONCE, attempt), "{stranger:?} was waited for");
    }
    assert_eq!(scene.mounted(&format!("{NAMELESS} token corp")).unwrap().success().stdout, token);
    assert_eq!(scene.server.counts().authorizations, 1);
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
