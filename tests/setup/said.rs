//! What it says: true of this machine, and with what mends it.
use super::hosts::{Desk, ROUTES};
use crate::support::peers;
use crate::support::scene::one_error;
use crate::support::temp_dir::write;
use std::os::unix::fs::symlink;

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
