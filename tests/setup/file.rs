//! The file: found as git finds it, changed at its end, given back byte for byte.
use super::hosts::{Desk, ROUTES};
use crate::support::peers;
use crate::support::process;
use crate::support::temp_dir::{make_private, write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Contents as people, editors and git leave them.
const CONTENTS: [&str; 15] = [
    "",
    "\n\n",
    "[user]\n\tname = x\n",
    "[user]\n\tname = x",
    "[user]\r\n\tname = x\r\n",
    "[user]\r\n\tname = x",
    "\u{feff}[user]\n  name = größe 名\n",
    "# a comment",
    "[user]\n\tname = x\r",
    "[alias]\n\tx = \"!f() { \\\n\t\techo a; \\\n\t}; f\" ; why\n\n\n",
    "[credential]\n\thelper = store\n[credential \"https://git.example.com\"]\n\thelper = !exec keyfob git\n\tusername = a\n",
    "[include]\n\tpath = other\n[includeIf \"gitdir:~/work/\"]\n\tpath = work\n[credential]\n\thelper = cache # keyfob setup\n",
    "[http \"https://git.example.com\"] extraheader = \"X: y # keyfob setup git\"\n",
    "   \t\n[User]NAME=x;y\n",
    "[user]\n\tname = \u{1}\u{7f}\u{85}\n",
];

#[test]
fn undo_gives_the_file_back_byte_for_byte() {
    let desk = Desk::new(ROUTES);
    for content in CONTENTS {
        write(&desk.file(), content);
        for words in
            [&["setup", "git"][..], &["setup", "git", "--all-hosts", "--proactive-auth"], &["setup", "git", "two.example.com"]]
        {
            desk.keyfob(words).success();
            let with = desk.content();
            assert!(with.starts_with(content) && with.len() > content.len(), "{content:?}: {with:?}");
            let again = desk.keyfob(words).success();
            assert!(again.stdout.contains("nothing to change") && desk.content() == with, "{content:?}: {again:?}");
        }
        desk.keyfob(&["setup", "git", "--undo"]).success();
        assert_eq!(desk.content(), content);
        let again = desk.keyfob(&["setup", "git", "--undo"]).success();
        assert!(again.stdout.contains("nothing of keyfob's stands there") && desk.content() == content, "{again:?}");
    }
}

#[test]
fn what_git_and_people_added_meanwhile_stays() {
    let desk = Desk::new(ROUTES);
    write(&desk.file(), "[user]\n\tname = x\n");
    desk.keyfob(&["setup", "git"]).success();
    for setting in
        [["alias.st", "status"], ["credential.https://git.example.com.username", "alice"], ["user.email", "x@example.com"]]
    {
        desk.git(&["config", "--global", setting[0], setting[1]]).success();
    }
    let before = desk.git(&["config", "--global", "--list"]).success().stdout;
    desk.keyfob(&["setup", "git", "--undo"]).success();
    let after = desk.git(&["config", "--global", "--list"]).success().stdout;
    let others: Vec<&str> =
        before.lines().filter(|line| !line.contains("helper=") && !line.to_lowercase().contains("usehttppath")).collect();
    assert_eq!(after.lines().collect::<Vec<_>>(), others);
    assert!(others.len() == 4 && !desk.content().contains("keyfob"), "{}", desk.content());
}

#[test]
fn the_file_is_the_one_that_git_would_change() {
    let desk = Desk::new(ROUTES);
    let (own, xdg, named) = (desk.file(), desk.home.path().join(".config/git/config"), desk.home.path().join("named"));
    let there = |path: &Path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("keyfob"));
    let run = |global: Option<&Path>, words: &[&str]| {
        let mut command = desk.home.keyfob(words);
        command.envs(global.map(|path| ("GIT_CONFIG_GLOBAL", path)));
        process::run(&mut command, b"").success();
    };
    // nothing is there: the file is made, and goes again
    run(None, &["setup", "git"]);
    assert!(there(&own) && !xdg.exists());
    assert_eq!(std::fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o600);
    run(None, &["setup", "git", "--undo"]);
    assert!(!own.exists() && !xdg.exists());
    write(&xdg, "");
    run(None, &["setup", "git"]);
    assert!(there(&xdg) && !own.exists());
    // from now on git reads another one later
    write(&own, "[credential]\n\thelper = store\n");
    run(None, &["setup", "git"]);
    assert!(there(&own) && there(&xdg));
    run(None, &["setup", "git", "--undo"]);
    assert_eq!(desk.content(), "[credential]\n\thelper = store\n");
    run(Some(&named), &["setup", "git"]);
    assert!(there(&named) && !there(&own));
    run(Some(&named), &["setup", "git", "--undo"]);
    assert!(!named.exists());
    let left: Vec<PathBuf> = desk.home.files().into_iter().filter(|path| path.to_string_lossy().contains(".keyfob-")).collect();
    assert!(left.is_empty() && !desk.home.path().join(".gitconfig.lock").exists(), "{left:?}");
}

#[test]
fn links_are_followed_and_stay_and_owner_and_permissions_are_kept() {
    let desk = Desk::new(ROUTES);
    let dotfiles = desk.home.path().join("dotfiles");
    make_private(&dotfiles);
    write(&dotfiles.join("gitconfig"), "[user]\n\tname = x\n");
    std::fs::set_permissions(dotfiles.join("gitconfig"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("dotfiles/gitconfig", dotfiles.join("../step")).unwrap();
    symlink(desk.home.path().join("step"), desk.file()).unwrap();
    let owner = if peers::require_root() { 12_345 } else { std::fs::metadata(&dotfiles).unwrap().uid() };
    let _ = std::os::unix::fs::chown(dotfiles.join("gitconfig"), Some(owner), Some(owner));
    let group = std::fs::metadata(dotfiles.join("gitconfig")).unwrap().gid();
    for words in [&["setup", "git"][..], &["setup", "git", "--undo"]] {
        desk.keyfob(words).success();
        assert!(desk.file().is_symlink() && desk.home.path().join("step").is_symlink());
        let found = std::fs::metadata(dotfiles.join("gitconfig")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o640, owner, group));
    }
    assert_eq!(desk.content(), "[user]\n\tname = x\n");
    // a link to a file that is not there yet
    std::fs::remove_file(dotfiles.join("gitconfig")).unwrap();
    desk.keyfob(&["setup", "git"]).success();
    assert!(desk.file().is_symlink() && desk.content().contains("keyfob"));
    desk.keyfob(&["setup", "git", "--undo"]).success();
    assert!(desk.file().is_symlink() && !dotfiles.join("gitconfig").exists());
}

#[test]
fn a_dry_run_shows_a_diff_that_patch_takes_and_changes_nothing() {
    if !peers::require("patch") {
        return;
    }
    let desk = Desk::new(ROUTES);
    let patched = |words: &[&str], before: &str| {
        write(&desk.home.path().join("copy"), before);
        let shown = desk.keyfob(&[words, &["--dry-run"]].concat()).success();
        assert_eq!(desk.content(), before, "nothing was changed");
        if shown.stdout.contains("nothing to change") {
            return before.to_owned();
        }
        let mut command = desk.home.command("patch");
        process::run(command.args(["--quiet", "--binary", "copy"]), shown.stdout.as_bytes()).success();
        std::fs::read_to_string(desk.home.path().join("copy")).unwrap()
    };
    for content in CONTENTS.iter().filter(|content| !content.is_empty()) {
        write(&desk.file(), content);
        let shown = patched(&["setup", "git"], content);
        desk.keyfob(&["setup", "git"]).success();
        assert_eq!(shown, desk.content(), "{content:?}");
        desk.git(&["config", "--global", "credential.helper", "store"]).success();
        let before = desk.content();
        let shown = patched(&["setup", "git"], &before);
        desk.keyfob(&["setup", "git"]).success();
        assert_eq!(shown, desk.content(), "{content:?}");
        let shown = patched(&["setup", "git", "--undo"], &desk.content());
        desk.keyfob(&["setup", "git", "--undo"]).success();
        assert_eq!(shown, desk.content(), "{content:?}");
    }
    std::fs::remove_file(desk.file()).unwrap();
    let shown = desk.keyfob(&["setup", "git", "--dry-run"]).success().stdout;
    assert!(shown.starts_with("--- /dev/null\n+++ ") && !desk.file().exists(), "{shown}");
    desk.keyfob(&["setup", "git"]).success();
    let shown = desk.keyfob(&["setup", "git", "--undo", "--dry-run"]).success().stdout;
    assert!(shown.contains("\n+++ /dev/null\n") && desk.file().exists(), "{shown}");
}
