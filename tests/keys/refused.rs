//! Moves that cannot be: refused with the reason before anything is changed. And moves that need not be.
use super::vault::{Place, Vault};
use crate::support::process::{self, Output};
use crate::support::scene::one_error;
use crate::support::temp_dir::write;
use std::collections::BTreeMap;
use std::process::Command;

/// Variables of the environment.
type Variables<'t> = &'t [(&'t str, &'t str)];

const FIRST: Place = Place::File("first");
const SECOND: Place = Place::File("second");

/// `keyfob ARGUMENTS` with `settings` in the environment, and `config` before the rest of the configuration.
fn with(vault: &Vault, settings: Variables<'_>, config: &str, arguments: &[&str]) -> Output {
    vault.scene.home.write_config(&format!("{config}\n{}", vault.scene.config()));
    let mut command = vault.scene.home.keyfob(arguments);
    let output = process::run(command.envs(settings.iter().copied()), b"");
    vault.scene.home.write_config(&vault.scene.config());
    output
}

/// The files that tell anything; locks are empty.
fn content(vault: &Vault) -> BTreeMap<String, Vec<u8>> {
    vault.content().into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// Panics unless `output` is one error with this exit code that says all that, and nothing was changed since `before`.
#[track_caller]
fn refused(vault: &Vault, before: &BTreeMap<String, Vec<u8>>, output: &Output, code: i32, says: &[&str]) {
    one_error(output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(code), ""), "{output:?}");
    assert!(output.stderr.contains("keyfob: hint: "), "{output:?}");
    assert!(says.iter().all(|part| output.stderr.contains(part)), "{says:?}: {output:?}");
    assert_eq!(content(vault), *before, "{output:?}");
}

#[test]
fn a_place_that_makes_no_sense_is_a_mistake_on_the_command_line() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let before = content(&vault);
    let rows: [(&[&str], &str); 7] = [
        (&[], "keyfob setup key file PATH"),
        (&["vault"], "there is no place for a key called `vault`"),
        (&["vau\u{1b}[2Jlt\n"], "there is no place for a key called `vau[2Jlt `"),
        (&["file"], "no file is named"),
        (&["file", "key"], "`key` is not an absolute path"),
        (&["file", "./key"], "`./key` is not an absolute path"),
        (&["kernel", "/some/key"], "only a key file has a path"),
    ];
    for (words, says) in rows {
        let arguments: Vec<&str> = ["setup", "key"].iter().chain(words).copied().collect();
        refused(&vault, &before, &vault.scene.home.run(&arguments, ""), 2, &[says]);
    }
    vault.answers();
}

#[test]
fn settings_that_name_another_place_are_named_before_anything_is_touched() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let before = content(&vault);
    let (first, second) = (vault.file("first").display().to_string(), vault.file("second").display().to_string());
    let named = format!("[store]\nkey_file = \"{first}\"");
    let rows: [(Variables<'_>, &str, &str); 3] = [
        (&[("KEYFOB_KEY_FILE", &first)], "", "`KEYFOB_KEY_FILE`"),
        (&[], &named, "`key_file` in the table `store`"),
        (&[], "[store]\nkey = \"keyring\"", "`key` in the table `store`"),
    ];
    for (settings, config, setting) in rows {
        for arguments in [&["setup", "key", "kernel"][..], &["setup", "key", "file", &second]] {
            let output = with(&vault, settings, config, arguments);
            refused(&vault, &before, &output, 6, &[&format!("the setting {setting} names another place"), "keyfob setup key"]);
        }
    }
    assert!(!vault.file("second").exists());
    vault.is_not_in(Place::Kernel);
    vault.answers();
}

#[test]
fn a_setting_that_was_changed_is_said_to_be_followed_by_a_move_and_is() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let second = vault.file("second").display().to_string();
    let named = format!("[store]\nkey_file = \"{second}\"");
    let rows: [(Variables<'_>, &str, Place); 3] =
        [(&[], "[store]\nkey = \"kernel\"", Place::Kernel), (&[("KEYFOB_KEY_FILE", &second)], "", SECOND), (&[], &named, SECOND)];
    for (settings, config, place) in rows {
        let before = content(&vault);
        let output = with(&vault, settings, config, &["token", "corp"]);
        refused(&vault, &before, &output, 6, &["the settings name another place", "run `keyfob setup key`"]);
        with(&vault, settings, config, &["setup", "key"]).success();
        vault.is_in(place);
        let token = with(&vault, settings, config, &["token", "corp"]).success();
        assert_eq!(token.stdout.trim(), vault.token);
        vault.answers();
        vault.move_to(FIRST).success();
        vault.forget(place);
    }
}

#[test]
fn a_move_to_where_the_key_is_writes_nothing() {
    for place in [FIRST, Place::Kernel] {
        let Some(vault) = Vault::new(place, false) else { return };
        let facts = || {
            let entries = std::fs::read_dir(vault.scene.records()).unwrap().flatten();
            let mut facts: Vec<_> =
                entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap())).collect();
            facts.sort();
            facts
        };
        let (before, sealed) = (facts(), content(&vault));
        let said = vault.move_to(place).success();
        assert!(said.stdout.starts_with("nothing to move, the key is there already: the k"), "{said:?}");
        assert_eq!((facts(), content(&vault)), (before, sealed));
    }
}

#[test]
fn a_key_that_is_in_the_file_already_is_taken_and_left_as_it_is() {
    let Some(vault) = Vault::new(Place::Kernel, false) else { return };
    let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    write(&vault.file("first"), text);
    vault.move_to(FIRST).success();
    vault.is_in(FIRST);
    vault.is_not_in(Place::Kernel);
    assert_eq!(std::fs::read_to_string(vault.file("first")).unwrap(), text);
    vault.answers();
}

#[test]
fn a_file_or_a_folder_that_cannot_hold_the_key_is_named_and_nothing_is_changed() {
    let Some(vault) = Vault::new(Place::Kernel, false) else { return };
    let before = content(&vault);
    let key = vault.file("first");
    let absent = vault.scene.home.path().join("absent/key").display().to_string();
    let rows: [(&[u8], u32, &str); 3] = [
        (b"no key at all\n", 0o600, "does not hold a key"),
        (b"", 0o600, "does not hold a key"),
        (b"", 0o644, "open to other users"),
    ];
    for (text, mode, says) in rows {
        write(&key, text);
        #[cfg(unix)]
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        refused(&vault, &before, &vault.move_to(FIRST), 6, &[says, &key.display().to_string()]);
        assert_eq!(std::fs::read(&key).unwrap(), text);
        std::fs::remove_file(&key).unwrap();
    }
    let output = vault.scene.home.run(["setup", "key", "file", &absent], "");
    refused(&vault, &before, &output, 6, &[&absent]);
    vault.is_in(Place::Kernel);
    vault.answers();
    let script = format!(
        "mount --bind \"$HOME/.config\" \"$HOME/.config\"; mount -o remount,ro,bind \"$HOME/.config\"; exec \"$KEYFOB\" setup key file {}",
        key.display()
    );
    let Some(output) = vault.scene.mounted(&script) else { return };
    refused(&vault, &before, &output, 6, &["ead-only", &key.display().to_string()]);
    vault.answers();
}

#[test]
fn a_desktops_keyring_that_is_not_there_is_no_place_for_a_key() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let before = content(&vault);
    refused(&vault, &before, &vault.move_to(Place::Keyring), 6, &["this session has none"]);
    vault.answers();
}

#[test]
fn a_key_that_is_gone_cannot_be_moved_and_what_it_sealed_is_left() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let before = content(&vault);
    let aside = vault.file("aside");
    std::fs::rename(vault.file("first"), &aside).unwrap();
    refused(&vault, &before, &vault.move_to(Place::Kernel), 6, &["is missing", "bring the key back"]);
    std::fs::rename(&aside, vault.file("first")).unwrap();
    vault.answers();
    vault.is_not_in(Place::Kernel);
}

#[test]
fn a_key_is_given_up_only_when_nothing_is_sealed_with_it() {
    let Some(vault) = Vault::new(Place::Kernel, false) else { return };
    let none = ["setup", "key", "none"];
    let before = content(&vault);
    let output = vault.scene.home.run(none, "");
    refused(&vault, &before, &output, 6, &["3 records are sealed with it", "run `keyfob logout --all` first"]);
    vault.scene.home.run(["logout", "--all"], "").success();
    let git = b"protocol=https\nhost=kept.example.org\nusername=alice\n\n";
    vault.scene.git("erase", git).success();
    let output = vault.scene.home.run(none, "");
    assert!(output.stderr.contains("1 record is sealed with it"), "{output:?}");
    vault.scene.docker("erase", b"kept.example.org").success();
    let said = vault.scene.home.run(none, "").success().stdout;
    assert!(said.starts_with("the key in the kernel's keyring was given up"), "{said}");
    vault.is_not_in(Place::Kernel);
    assert_eq!(vault.sealed(), BTreeMap::new());
    assert_eq!(vault.meta()["key"], serde_json::Value::Null);
    let said = vault.scene.home.run(none, "").success().stdout;
    assert!(said.starts_with("there is no key"), "{said}");
    vault.move_to(FIRST).success();
    vault.scene.sign_in().success();
    vault.is_in(FIRST);
}

#[test]
fn a_key_file_that_was_moved_by_hand_is_followed() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let key = vault.key_id();
    for (from, to, in_config) in [("first", "second", false), ("second", "first", true)] {
        std::fs::rename(vault.file(from), vault.file(to)).unwrap();
        let path = vault.file(to).display().to_string();
        let named = format!("[store]\nkey_file = \"{path}\"");
        let (settings, config): (Variables<'_>, &str) =
            if in_config { (&[], &named) } else { (&[("KEYFOB_KEY_FILE", &path)], "") };
        // who only reads finds it and writes nothing
        let before = content(&vault);
        with(&vault, settings, config, &["status", "--check", "corp"]).success();
        assert_eq!(content(&vault), before);
        let token = with(&vault, settings, config, &["token", "corp"]).success();
        assert_eq!(token.stdout.trim(), vault.token);
        vault.is_in(if to == "first" { FIRST } else { SECOND });
        assert_eq!(vault.key_id(), key);
        vault.answers();
    }
    std::fs::rename(vault.file("first"), vault.file("second")).unwrap();
    let named = format!("[store]\nkey_file = \"{}\"", vault.file("second").display());
    vault.scene.home.write_config(&format!("{named}\n{}", vault.scene.config()));
    vault.scene.entries_answer();
    vault.scene.docker("erase", b"kept.example.org").success();
    assert_eq!(vault.scene.docker("get", b"kept.example.org").code, Some(1));
    vault.scene.home.write_config(&vault.scene.config());
    let said = vault.move_to(SECOND).success().stdout;
    assert!(said.starts_with("nothing to move, the key is there already: "), "{said}");
    vault.is_in(SECOND);
    assert_eq!(vault.key_id(), key);
    vault.scene.still_answers(&vault.token);
}

#[test]
fn records_that_do_not_open_stay_as_they_are_and_those_of_a_newer_version_forbid_the_move() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let name = vault.scene.files(".rec").remove(0);
    let path = vault.scene.records().join(&name);
    let good = std::fs::read(&path).unwrap();
    let changed = |place: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[place] = value;
        bytes
    };
    let newer = changed(4, 2);
    std::fs::write(&path, &newer).unwrap();
    let before = content(&vault);
    refused(&vault, &before, &vault.move_to(Place::Kernel), 6, &["was written by a newer keyfob", &name]);
    vault.is_not_in(Place::Kernel);
    for bad in [changed(60, !good[60]), changed(8, !good[8]), good[..40].to_vec(), Vec::new()] {
        std::fs::write(&path, &bad).unwrap();
        vault.move_to(Place::Kernel).success();
        assert_eq!(std::fs::read(&path).unwrap(), bad);
        vault.move_to(FIRST).success();
        assert_eq!(std::fs::read(&path).unwrap(), bad);
    }
    // the key in the file is the one that sealed it
    std::fs::write(&path, &good).unwrap();
    vault.answers();
}

/// A state folder on a disk of which so many pages are left.
fn on_a_disk_with(pages: usize, key: &str) -> String {
    format!(
        "mkdir -p \"$XDG_RUNTIME_DIR/full\"; mount -t tmpfs -o size=256k,mode=0700 none \"$XDG_RUNTIME_DIR/full\"; \
         cp -a \"$XDG_STATE_HOME/.\" \"$XDG_RUNTIME_DIR/full\"; mount --bind \"$XDG_RUNTIME_DIR/full\" \"$XDG_STATE_HOME\"; \
         cd \"$XDG_STATE_HOME\"; head -c {left} /dev/zero > room; cat /dev/zero > filler 2>/dev/null || true; rm room; \
         sums() {{ find . -type f -size +0 ! -name filler -exec sha256sum {{}} + | sort; }}; \
         sums > \"$HOME/before\"; code=0; \"$KEYFOB\" setup key file {key} || code=$?; sums > \"$HOME/after\"; \
         \"$KEYFOB\" token corp >&2; \
         if [ $code = 0 ]; then echo moved; elif cmp -s \"$HOME/before\" \"$HOME/after\"; then echo unchanged $code; \
         else diff \"$HOME/before\" \"$HOME/after\"; fi",
        left = pages * 4096
    )
}

#[test]
fn on_a_full_disk_nothing_is_changed() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    let key = vault.file("second");
    let (mut refused, mut moved) = (0, 0);
    for pages in 0..8 {
        let Some(output) = vault.scene.mounted(&on_a_disk_with(pages, &key.display().to_string())) else { return };
        assert!(output.stderr.contains(&vault.token), "{pages} pages left: {output:?}");
        if output.stdout.ends_with("moved\n") {
            moved += 1;
            std::fs::remove_file(&key).unwrap();
        } else {
            refused += 1;
            assert_eq!(output.stdout, "unchanged 6\n", "{pages} pages left: {output:?}");
            assert!(output.stderr.contains("space") && output.stderr.contains("keyfob/v1"), "{output:?}");
            assert!(!key.exists(), "{pages} pages left: a key that nobody uses");
        }
    }
    assert!(refused >= 4 && moved >= 1, "{refused} refused, {moved} moved");
    vault.is_in(FIRST);
    vault.answers();
}

#[test]
fn what_stands_in_the_place_of_the_keys_locks_hinders_writing_and_not_reading() {
    let Some(vault) = Vault::new(FIRST, false) else { return };
    for name in ["key.lock", "key.gate"] {
        let path = vault.scene.records().join(name);
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap().success());
        vault.answers();
        let move_to_kernel = vault.arguments(Place::Kernel);
        for arguments in [&["login".to_owned(), "corp".to_owned()][..], &move_to_kernel] {
            let output = vault.scene.home.run(arguments, "");
            one_error(&output);
            assert!(output.code == Some(6) && output.stderr.contains(name) && output.stderr.contains("a pipe"), "{output:?}");
        }
        assert_eq!(vault.scene.server.counts().authorizations, 1, "nobody was asked");
        std::fs::remove_file(&path).unwrap();
        vault.is_in(FIRST);
    }
}
