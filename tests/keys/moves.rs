//! Every pair of places: afterwards everything answers, nothing opens with the former key, and that one is gone.
use super::vault::{Place, Vault};
use crate::support::peers;
use crate::support::process;

const FIRST: Place = Place::File("first");
const SECOND: Place = Place::File("second");

/// Moves the key and looks at all there is; gives the vault back for more, if there could be one.
#[track_caller]
fn moves(from: Place, to: Place) -> Option<Vault> {
    let vault = Vault::new(from, from == Place::Keyring || to == Place::Keyring)?;
    vault.is_in(from);
    assert!(vault.has_key_in(from), "or what follows proves nothing");
    vault.is_not_in(to);
    let (former, generations) = (vault.key_id(), generations(&vault));
    let former_text = vault.key_text(from);
    let said = vault.move_to(to).success();
    assert!(said.stdout.starts_with("3 records were sealed anew: the key moved from the "), "{said:?}");
    assert_eq!(said.stderr, "");
    vault.is_in(to);
    assert_ne!(vault.key_id(), former, "a new place has a key of its own");
    assert_eq!(generations, self::generations(&vault));
    vault.answers();
    assert!(vault.has_key_in(to));
    if let Place::File(name) = from {
        let useless = format!(
            "\nthe former key file `{}` is of no more use here; remove it if nothing else uses it\n",
            vault.file(name).display()
        );
        assert!(said.stdout.ends_with(&useless), "{said:?}");
        std::fs::remove_file(vault.file(name)).expect("it is a person's, so it was left");
    } else {
        assert_eq!(said.stdout.lines().count(), 1, "{said:?}");
    }
    vault.is_not_in(from);
    let current = if matches!(to, Place::File(_)) { None } else { vault.key_text(to) };
    vault.shows_no_secret(&[former_text, current]);
    goes_on(&vault);
    Some(vault)
}

/// The generation of every record.
fn generations(vault: &Vault) -> Vec<(String, Vec<u8>)> {
    let records = vault.content().into_iter().filter(|(name, _)| name.ends_with(".rec"));
    records.map(|(name, bytes)| (name, bytes[14..22].to_vec())).collect()
}

/// Panics unless what is kept can be changed and renewed as ever.
#[track_caller]
fn goes_on(vault: &Vault) {
    vault.scene.keep_entries();
    let entry = b"protocol=https\nhost=gone.example.org\nusername=alice\npassword=pw-back\n\n";
    vault.scene.git("store", entry).success();
    assert!(vault.scene.git_get("gone.example.org").success().stdout.contains("password=pw-back\n"));
    vault.scene.server.kill_access_tokens();
    let refused = format!("protocol=https\nhost=git.example.com\nusername=x\npassword={}\n\n", vault.token);
    vault.scene.git("erase", refused.as_bytes()).success();
    let renewed = vault.scene.token();
    assert_ne!(renewed, vault.token);
    let counts = vault.scene.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0), "the refresh token came along");
    assert!(vault.scene.server.is_alive(&renewed) && vault.scene.server.family_alive());
}

#[test]
fn a_key_moves_from_a_file_to_another() {
    moves(FIRST, SECOND);
}

#[test]
fn a_key_moves_from_a_file_to_the_kernels_keyring() {
    let Some(vault) = moves(FIRST, Place::Kernel) else { return };
    let said = vault.scene.home.run(["status"], "").success().stdout;
    assert!(said.contains("key: the kernel's keyring alone"), "{said}");
}

#[test]
fn a_key_moves_from_a_file_to_the_desktops_keyring() {
    moves(FIRST, Place::Keyring);
}

#[test]
fn a_key_moves_from_the_kernels_keyring_to_a_file() {
    moves(Place::Kernel, FIRST);
}

#[test]
fn a_key_moves_from_the_kernels_keyring_to_the_desktops() {
    moves(Place::Kernel, Place::Keyring);
}

#[test]
fn a_key_moves_from_the_desktops_keyring_to_a_file() {
    moves(Place::Keyring, FIRST);
}

#[test]
fn a_key_moves_from_the_desktops_keyring_to_the_kernels() {
    let Some(vault) = moves(Place::Keyring, Place::Kernel) else { return };
    let id = vault.meta()["store"].as_str().unwrap().to_owned();
    let keys = std::fs::read_to_string("/proc/keys").unwrap();
    let line = keys.lines().find(|line| line.contains(&format!("keyfob:{id}: "))).unwrap_or_else(|| panic!("{keys}"));
    assert!(line.contains(" perm "), "a copy ends by itself, and this is no copy: {line}");
}

#[test]
fn a_key_that_comes_back_to_its_first_place_finds_everything_there() {
    let Some(vault) = Vault::new(FIRST, true) else { return };
    let first = vault.key_id();
    for place in [Place::Kernel, Place::Keyring, FIRST, SECOND, Place::Keyring, Place::Kernel, FIRST] {
        vault.move_to(place).success();
        vault.is_in(place);
        vault.answers();
    }
    assert_eq!(vault.key_id(), first, "the key in the file is still there and is taken again");
    vault.is_not_in(Place::Kernel);
    vault.is_not_in(Place::Keyring);
}

#[test]
fn a_former_key_that_cannot_be_removed_now_is_said_and_removed_by_the_next_run() {
    let Some(mut vault) = Vault::new(Place::Keyring, true) else { return };
    // the kernel's copy of the key still answers
    vault.next_session(true);
    let said = vault.move_to(FIRST).success().stdout;
    assert!(said.contains("\nthe former key is still there: your keyring is locked; run `keyfob setup key` again"), "{said}");
    vault.answers();
    vault.next_session(false);
    assert!(vault.has_key_in(Place::Keyring));
    let said = vault.move_to(FIRST).success().stdout;
    assert!(said.starts_with("nothing to move, ") && said.lines().count() == 1, "{said}");
    vault.is_in(FIRST);
    vault.is_not_in(Place::Keyring);
    vault.answers();
}

#[test]
fn a_move_that_was_killed_after_the_switch_still_says_which_file_is_of_no_more_use() {
    let Some(vault) = Vault::new(FIRST, false).filter(|_| peers::require("strace")) else { return };
    let mut command = vault.scene.home.command("strace");
    // the last of its renames but one takes away the last mark of the former key
    command.args(["-qq", "-o", "/dev/null", "-e", "trace=renameat", "-e", "inject=renameat:signal=KILL:when=3"]);
    let output = process::run(command.arg(vault.scene.home.bin().join("keyfob")).args(vault.arguments(Place::Kernel)), b"");
    assert_eq!(output.code, None, "{output:?}");
    assert_eq!(vault.meta()["former"]["source"], "file");
    let said = vault.move_to(Place::Kernel).success().stdout;
    let useless = format!(
        "the former key file `{}` is of no more use here; remove it if nothing else uses it",
        vault.file("first").display()
    );
    assert!(said.starts_with("nothing to move, ") && said.contains(&useless), "{said}");
    vault.is_in(Place::Kernel);
    vault.answers();
}

#[test]
fn everything_is_on_the_disk_before_the_new_key_is_in_use_and_the_former_key_goes_last() {
    let Some(vault) = Vault::new(Place::Kernel, false).filter(|_| peers::require("strace")) else { return };
    let trace = vault.scene.home.path().join("trace");
    let mut command = vault.scene.home.command("strace");
    command.args(["-qq", "-o"]).arg(&trace).arg(vault.scene.home.bin().join("keyfob")).args(vault.arguments(FIRST));
    process::run(&mut command, b"").success();
    let text = std::fs::read_to_string(&trace).unwrap();
    let calls: Vec<&str> = text.lines().collect();
    let after = |start: usize, what: &str| {
        let found = calls[start..].iter().position(|call| call.contains(what));
        start + found.unwrap_or_else(|| panic!("no {what} after {:?}", calls[start - 1]))
    };
    let last = |what: &str| calls.iter().rposition(|call| call.contains(what)).unwrap_or_else(|| panic!("no {what}"));
    let switch = after(0, "\"store.tmp\", 3, \"store\")");
    let made: Vec<usize> = (0..switch).filter(|at| calls[*at].contains(".rekey\", O_RDWR|O_CREAT")).collect();
    assert_eq!(made.len(), 4);
    for at in &made {
        let descriptor = calls[*at].rsplit_once(" = ").unwrap().1;
        let closed = after(*at, &format!("close({descriptor})"));
        let synced = after(after(*at, &format!("write({descriptor}, \"KFB1")), &format!("fsync({descriptor})"));
        assert!(synced < closed && closed < switch, "{:?}", calls[*at]);
    }
    let folder_synced = after(made[3] + 1, "fsync(3)");
    assert!(folder_synced < after(made[3], "\"store.tmp\", O_RDWR|O_CREAT"), "the names of the new files");
    let key_synced = last("renameat2(");
    assert!(key_synced < made[0], "the new key is where it stays before anything is sealed with it");
    let renamed = last(".rec\") = 0");
    assert!(after(0, ".rec\") = 0") > switch && after(renamed, "fsync(3)") < last("keyctl(KEYCTL_UNLINK"));
}
