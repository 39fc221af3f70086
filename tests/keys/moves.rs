//! Every pair of places: afterwards everything answers, nothing opens with the former key, and that one is gone.
use super::vault::{Place, Vault};

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
        let useless = format!("\nthe former key file `{}` is of no more use and may be removed\n", vault.file(name).display());
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
