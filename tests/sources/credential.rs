//! The key that a service manager hands over in `$CREDENTIALS_DIRECTORY`: read, never written, and only as such a manager leaves it.
#![cfg(target_os = "linux")]
use super::as_another_user;
use crate::support::authorization_server::AuthorizationServer;
use crate::support::home::Home;
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::scene::{Scene, one_error};
use crate::support::temp_dir::{make_private, write};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

const OTHER: u32 = 65534;
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";

/// A unit of another user's with a folder of credentials.
struct Unit {
    scene: Scene,
    folder: PathBuf,
}

impl Unit {
    fn new() -> Self {
        let scene = Scene::with(Home::without_key_file(), AuthorizationServer::start());
        let folder = scene.home.path().join("credentials");
        make_private(&folder);
        Self { scene, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("keyfob")
    }

    /// Leaves the key with this owner and mode, in a folder that nobody may write to.
    fn hand_over(&self, owner: u32, mode: u32) {
        write(&self.file(), KEY);
        for (path, mode) in [(self.file(), mode), (self.folder.clone(), 0o500)] {
            chown(&path, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
    }

    /// Lets the other user in as systemd 250 and newer do: by an access list, on folder and file that stay root's.
    fn let_in_by_acl(&self) {
        for (path, what) in [(&self.folder, "u:65534:r-x"), (&self.file(), "u:65534:r--")] {
            let status = Command::new("setfacl").args(["-m", what]).arg(path).status().unwrap();
            assert!(status.success(), "this file system has no access lists");
        }
    }

    fn run(&self, as_user: &impl Fn(&[&str]) -> Command, arguments: &[&str]) -> Output {
        process::run(as_user(&[&["keyfob"], arguments].concat()).env("CREDENTIALS_DIRECTORY", &self.folder), b"")
    }
}

/// Signs in and answers with the key as it is.
#[track_caller]
fn works(unit: &Unit, as_user: &impl Fn(&[&str]) -> Command) {
    let before = fs::metadata(unit.file()).unwrap().modified().unwrap();
    let said = unit.run(as_user, &["login", "corp"]).success().stdout;
    assert!(said.contains(&format!("the key file `{}`", unit.file().display())), "{said}");
    let token = unit.run(as_user, &["token", "corp"]).success().stdout;
    assert!(unit.scene.server.is_alive(token.trim()));
    assert_eq!(unit.scene.server.counts().authorizations, 1);
    assert_eq!(fs::read_to_string(unit.file()).unwrap(), KEY);
    assert_eq!(fs::metadata(unit.file()).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read_dir(&unit.folder).unwrap().count(), 1, "nothing is left beside it");
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    one_error(output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(6), ""), "{output:?}");
    assert!(words.iter().all(|words| output.stderr.contains(words)), "{output:?}");
}

#[test]
fn a_key_that_is_the_units_own_is_used_and_not_touched() {
    let unit = Unit::new();
    let Some(as_user) = as_another_user(&unit.scene.home) else { return };
    unit.hand_over(OTHER, 0o400);
    works(&unit, &as_user);
}

#[test]
fn a_key_that_is_roots_with_an_access_list_is_used_and_not_touched() {
    if !peers::require("setfacl") {
        return;
    }
    let unit = Unit::new();
    let Some(as_user) = as_another_user(&unit.scene.home) else { return };
    unit.hand_over(0, 0o400);
    unit.let_in_by_acl();
    assert_eq!(fs::metadata(unit.file()).unwrap().permissions().mode() & 0o777, 0o440, "as systemd leaves it");
    works(&unit, &as_user);
    // the same file is not good enough for a person's own word
    let named = process::run(as_user(&["keyfob", "token", "corp"]).env("KEYFOB_KEY_FILE", unit.file()), b"");
    refused(&named, &["is open to other users"]);
}

#[test]
fn what_no_service_manager_leaves_is_refused() {
    let unit = Unit::new();
    let Some(as_user) = as_another_user(&unit.scene.home) else { return };
    for (owner, mode) in [(0, 0o444), (0, 0o460), (0, 0o646), (OTHER, 0o440), (OTHER, 0o420)] {
        unit.hand_over(owner, mode);
        fs::set_permissions(&unit.folder, Permissions::from_mode(0o555)).unwrap();
        // its mode decides, not whether it can be read: the group of the file is the user's
        chown(unit.file(), Some(owner), Some(OTHER)).unwrap();
        fs::set_permissions(unit.file(), Permissions::from_mode(mode)).unwrap();
        refused(&unit.run(&as_user, &["login", "corp"]), &["is open to other users", "credentials/keyfob"]);
    }
    assert_eq!(unit.scene.server.counts().authorizations, 0);
}

#[test]
fn a_key_that_cannot_be_reached_is_an_error_and_none_is_made_elsewhere() {
    let unit = Unit::new();
    let Some(as_user) = as_another_user(&unit.scene.home) else { return };
    unit.hand_over(0, 0o400);
    fs::set_permissions(&unit.folder, Permissions::from_mode(0o700)).unwrap();
    refused(&unit.run(&as_user, &["login", "corp"]), &["cannot open", "credentials/keyfob", "ermission denied"]);
    assert_eq!(unit.scene.server.counts().authorizations, 0);
}

#[test]
fn an_unreadable_or_missing_key_is_an_error_and_none_is_made() {
    let unit = Unit::new();
    let Some(as_user) = as_another_user(&unit.scene.home) else { return };
    unit.hand_over(OTHER, 0o400);
    works(&unit, &as_user);
    let token = unit.run(&as_user, &["token", "corp"]).success().stdout;
    let unreadable = [(0, 0o400, 0o555), (OTHER, 0o000, 0o555), (0, 0o400, 0o700)];
    for (owner, mode, folder_mode) in unreadable {
        unit.hand_over(owner, mode);
        chown(&unit.folder, Some(0), Some(0)).unwrap();
        fs::set_permissions(&unit.folder, Permissions::from_mode(folder_mode)).unwrap();
        refused(&unit.run(&as_user, &["token", "corp"]), &["cannot open", "credentials/keyfob", "ermission denied"]);
    }
    fs::remove_file(unit.file()).unwrap();
    // even a folder that could be written to
    fs::set_permissions(&unit.folder, Permissions::from_mode(0o777)).unwrap();
    for arguments in [&["token", "corp"][..], &["login", "corp"]] {
        refused(&unit.run(&as_user, arguments), &["the key of the records in", "is missing", "credentials/keyfob"]);
    }
    assert_eq!(fs::read_dir(&unit.folder).unwrap().count(), 0, "no key is made there");
    fs::set_permissions(&unit.folder, Permissions::from_mode(0o755)).unwrap();
    unit.hand_over(OTHER, 0o400);
    assert_eq!(unit.run(&as_user, &["token", "corp"]).success().stdout, token);
}
