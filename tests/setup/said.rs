//! What it says: true of this machine, and with what mends it.
use super::hosts::{Desk, ROUTES};
use crate::support::peers;
use crate::support::process;
use crate::support::scene::one_error;
use crate::support::temp_dir::write;
use std::os::unix::fs::symlink;

#[test]
fn an_import_of_a_host_that_git_names_no_client_for_is_refused_with_those_that_it_names() {
    let desk = Desk::new(ROUTES);
    let text = "[credential \"https://gitlab.com\"]\n\toauthClientId = a\n";
    write(&desk.file(), text);
    let config = std::fs::read(desk.home.config_file()).unwrap();
    for words in [&["nosuch.example"][..], &["gitlab.com", "nosuch.example"]] {
        let refused = desk.keyfob(&[&["setup", "git", "--import"], words].concat());
        one_error(&refused);
        let expected = "git's configuration names no client of another helper's for `nosuch.example`";
        assert!(refused.code == Some(1) && refused.stderr.contains(expected), "{refused:?}");
        assert!(refused.stderr.contains("it names some for: https://gitlab.com"), "{refused:?}");
        assert_eq!(std::fs::read(desk.home.config_file()).unwrap(), config);
    }
}

#[test]
fn hosts_that_were_named_are_not_asked_for_again_where_nothing_is_stored() {
    let desk = Desk::new(ROUTES);
    let said = desk.keyfob(&["setup", "git", "--import-stored", "zzz.example"]).success().stdout;
    assert!(said.starts_with("nothing is stored there") && !said.contains("name hosts"), "{said}");
}

#[test]
fn the_folder_that_is_missing_behind_a_link_is_named() {
    let desk = Desk::new(ROUTES);
    symlink("dots/gc", desk.file()).unwrap();
    let refused = desk.keyfob(&["setup", "git"]);
    one_error(&refused);
    // as the system names it, whatever leads to the home
    let folder = desk.home.path().canonicalize().unwrap().join("dots");
    assert!(refused.code == Some(6) && refused.stderr.contains(&format!("`{}`", folder.join("gc").display())), "{refused:?}");
    assert!(refused.stderr.contains(&format!("run: mkdir -p '{}'", folder.display())), "{refused:?}");
    std::fs::create_dir(folder).unwrap();
    desk.keyfob(&["setup", "git"]).success();
}

#[test]
fn no_file_is_made_in_the_home_of_another_user() {
    if !peers::require_root() {
        return;
    }
    let desk = Desk::new(&[]);
    std::os::unix::fs::chown(desk.home.path(), Some(12_345), Some(12_345)).unwrap();
    let refused = desk.keyfob(&["setup", "git", "--all-hosts"]);
    one_error(&refused);
    assert!(refused.code == Some(6) && refused.stdout.is_empty() && !desk.file().exists(), "{refused:?}");
    assert!(refused.stderr.contains("belongs to user 12345") && refused.stderr.contains("without sudo"), "{refused:?}");
    // one that is there keeps its owner, so it is changed
    write(&desk.file(), "");
    std::os::unix::fs::chown(desk.file(), Some(12_345), Some(12_345)).unwrap();
    desk.keyfob(&["setup", "git", "--all-hosts"]).success();
}

#[test]
fn a_host_in_another_script_is_to_be_written_in_ascii() {
    let desk = Desk::new(&["https://größe.example"]);
    let refused = desk.keyfob(&["setup", "git"]);
    one_error(&refused);
    assert!(refused.code == Some(6) && refused.stderr.contains("xn--"), "{refused:?}");
}

#[test]
fn a_secret_that_stays_in_gits_configuration_is_said_with_the_command_that_removes_it() {
    let desk = Desk::new(&[]);
    let text = "[credential \"https://good.example.com\"]\n\toauthClientId = a\n\toauthClientSecret = client-secret-0123456789\n\
                \toauthTokenURL = /t\n\toauthAuthURL = /a\n";
    write(&desk.file(), text);
    for more in [&["--dry-run"][..], &[]] {
        let said = desk.keyfob(&[&["setup", "git", "--import"], more].concat()).success();
        let command = format!(
            "git config --file '{}' --unset-all 'credential.https://good.example.com.oauthclientsecret'",
            desk.file().display()
        );
        assert!(said.stdout.contains(&command) && !said.stdout.contains("client-secret-0123456789"), "{said:?}");
        assert_eq!(desk.content(), text);
        if more.is_empty() {
            process::run(desk.home.command("sh").args(["-c", &command]), b"").success();
            assert!(!desk.content().contains("client-secret-0123456789"));
        }
    }
}
