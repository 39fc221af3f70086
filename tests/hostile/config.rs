//! A configuration that is broken: git gets one line and nothing else, docker and AWS the reason, people exit code 6; the last good
//! routes are not used, and with a good configuration everything that was stored answers again.
use crate::support::process;
use crate::support::scene::{Scene, one_error, printable};
use crate::support::temp_dir::write;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A way to break the configuration whose good text is given, and what the error must name.
struct Breach {
    name: &'static str,
    says: &'static [&'static str],
    make: fn(&Path, &str),
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

const BREACHES: [Breach; 14] = [
    Breach {
        name: "syntax",
        says: &["config.toml:13: ", "not TOML"],
        make: |path, good| write(path, format!("{good}\n[git.\"x\n")),
    },
    Breach {
        name: "unknown key",
        says: &["issuerr", "issuer"],
        make: |path, good| write(path, good.replace("issuer =", "issuerr =")),
    },
    Breach {
        name: "wrong type",
        says: &["scopes"],
        make: |path, good| write(path, good.replace("[\"openid\", \"offline_access\"]", "7")),
    },
    Breach {
        name: "unknown login",
        says: &["corpse"],
        make: |path, good| write(path, good.replace("login = \"corp\"", "login = \"corpse\"")),
    },
    Breach {
        name: "plain http",
        says: &["issuer"],
        make: |path, good| write(path, good.replace("http://127.0.0.1", "http://sso.example.com")),
    },
    Breach {
        name: "file URL",
        says: &["issuer"],
        make: |path, good| write(path, good.replace("http://127.0.0.1", "file://127.0.0.1")),
    },
    Breach { name: "world-writable", says: &["others may write", "chmod go-w"], make: |path, _| set_mode(path, 0o602) },
    Breach { name: "group-writable", says: &["others may write", "chmod go-w"], make: |path, _| set_mode(path, 0o620) },
    Breach {
        name: "other owner",
        says: &["belongs to user 4242", "chown"],
        make: |path, _| std::os::unix::fs::chown(path, Some(4242), None).unwrap(),
    },
    Breach {
        name: "symlink to a folder",
        says: &["not a regular file"],
        make: |path, _| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/tmp", path).unwrap();
        },
    },
    Breach {
        name: "device",
        says: &["not a regular file"],
        make: |path, _| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        },
    },
    Breach {
        name: "pipe",
        says: &["not a regular file"],
        make: |path, _| {
            fs::remove_file(path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        },
    },
    Breach { name: "2 MiB", says: &["1 MiB"], make: |path, good| write(path, format!("{good}\n{}", "# x\n".repeat(1 << 19))) },
    Breach {
        name: "not UTF-8",
        says: &["UTF-8", "config.toml:"],
        make: |path, good| write(path, [good.as_bytes(), b"# \xff\xfe\n"].concat()),
    },
];

fn refused_everywhere(scene: &Scene, Breach { name, says, .. }: &Breach) {
    let names_it = |text: &str| assert!(says.iter().all(|part| text.contains(part)), "{name}: {text}");
    for (operation, host) in
        [("get", "git.example.com"), ("get", "elsewhere.example"), ("store", "kept.example.org"), ("erase", "kept.example.org")]
    {
        let request = format!("protocol=https\nhost={host}\nusername=alice\npassword=pw-new-0123\n\n");
        let output = scene.git(operation, request.as_bytes());
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{name}, {operation} {host}: {output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{name}, {operation} {host}: {output:?}");
        names_it(&output.stderr);
        printable(&output);
    }
    let output = scene.docker("get", b"registry.example.com");
    assert_eq!((output.code, output.stdout.lines().count()), (Some(1), 1), "{name}: {output:?}");
    names_it(&output.stdout);
    names_it(&output.stderr);
    assert!(!output.stdout.contains("not found in native"), "{name}: {output:?}");
    let output = scene.home.run(["aws", "get", "prod"], "");
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{name}: {output:?}");
    names_it(&output.stderr);
    let commands: [&[&str]; 6] =
        [&["status"], &["status", "--check", "corp"], &["login"], &["logout", "--all"], &["token", "corp"], &["login", "corp"]];
    for command in commands {
        let output = scene.home.run(command, "");
        assert_eq!((output.code, output.stdout.as_str()), (Some(6), ""), "{name}, {command:?}: {output:?}");
        names_it(&output.stderr);
        one_error(&output);
    }
}

#[cfg(unix)]
#[test]
fn a_broken_configuration_is_named_on_every_front_and_costs_nothing_that_was_stored() {
    let (scene, token) = Scene::signed_in();
    scene.keep_entries();
    // a table is compiled once the configuration is two seconds old
    std::thread::sleep(Duration::from_millis(2100));
    scene.git_get("git.example.com").success();
    assert_eq!(scene.files("routes"), ["routes"], "there are compiled routes that could be used");
    let (path, good, before) = (scene.home.config_file(), scene.config(), scene.server.counts());
    let root = fs::metadata("/proc/self").is_ok_and(|facts| std::os::unix::fs::MetadataExt::uid(&facts) == 0);
    for breach in &BREACHES {
        if breach.name == "other owner" && !root {
            eprintln!("SKIPPED: only root can give a file away, so another owner's configuration was not tested");
            continue;
        }
        (breach.make)(&path, &good);
        refused_everywhere(&scene, breach);
        fs::remove_file(&path).unwrap();
        write(&path, &good);
        scene.entries_answer();
        let answer = scene.git_get("git.example.com").success();
        assert!(answer.stdout.contains(&format!("password={token}\n")), "after {}: {answer:?}", breach.name);
    }
    scene.still_answers(&token);
    assert_eq!(scene.server.counts(), before, "no broken configuration reached the server");
}

#[test]
fn a_configuration_in_the_working_directory_or_at_a_relative_place_is_never_read() {
    let scene = Scene::new();
    let good = scene.config();
    fs::remove_file(scene.home.config_file()).unwrap();
    let work = scene.home.path().join("work");
    for name in ["config.toml", "keyfob/config.toml", ".config/keyfob/config.toml", "keyfob.toml", ".keyfob.toml"] {
        write(&work.join(name), &good);
    }
    for (variable, value) in [("XDG_CONFIG_HOME", "."), ("XDG_CONFIG_HOME", ".config"), ("KEYFOB_CONFIG", "config.toml")] {
        let mut command = scene.home.keyfob(["git", "get"]);
        command.current_dir(&work).env(variable, value).env_remove("GIT_TERMINAL_PROMPT");
        let output = process::run(&mut command, b"protocol=https\nhost=git.example.com\n\n");
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{variable}={value}");
        // a relative XDG place counts as not set; who names the file itself is told what is wrong with its name
        let told = output.stderr.contains("by an absolute path only") && output.stderr.lines().count() == 1;
        assert!(if variable == "KEYFOB_CONFIG" { told } else { output.stderr.is_empty() }, "{variable}={value}: {output:?}");
    }
    assert_eq!(scene.server.counts(), Default::default());
    assert_eq!(scene.home.browser_runs().len(), 0);
}
