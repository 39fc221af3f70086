//! Which hosts it is about: those that have a route, those that are named, or all.
use crate::support::home::Home;
use crate::support::process::{self, Output};
use crate::support::scene::one_error;
use crate::support::temp_dir::write;
use std::path::PathBuf;

/// Two hosts, one of them with several accounts, and a place with a path.
pub(super) const ROUTES: &[&str] =
    &["https://git.example.com", "https://alice@two.example.com", "https://bob@two.example.com", "https://git.example.com/team"];

/// A home with routes, and no server: nothing here asks one.
pub(super) struct Desk {
    pub(super) home: Home,
}

impl Desk {
    pub(super) fn new(routes: &[&str]) -> Self {
        let desk = Self { home: Home::new() };
        desk.configure(routes);
        desk
    }

    pub(super) fn configure(&self, routes: &[&str]) {
        let mut config = "[login.corp]\nissuer = \"https://sso.example.com\"\nclient_id = \"keyfob\"\n".to_owned();
        for route in routes {
            config += &format!("[git.\"{route}\"]\nlogin = \"corp\"\n");
        }
        self.home.write_config(&config);
    }

    pub(super) fn file(&self) -> PathBuf {
        self.home.path().join(".gitconfig")
    }

    #[track_caller]
    pub(super) fn content(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    #[track_caller]
    pub(super) fn keyfob(&self, words: &[&str]) -> Output {
        self.home.run(words, "")
    }

    #[track_caller]
    pub(super) fn git(&self, words: &[&str]) -> Output {
        process::run(self.home.command("git").args(words), b"")
    }

    /// The URLs that git has a helper for, in order.
    pub(super) fn urls(&self) -> Vec<String> {
        let listed = self.git(&["config", "--global", "--name-only", "--get-regexp", "^credential.*\\.helper$"]).stdout;
        let mut urls: Vec<String> = listed
            .lines()
            .map(|key| key.trim_start_matches("credential").trim_end_matches("helper").trim_matches('.').to_owned())
            .collect();
        urls.dedup();
        urls
    }
}

#[test]
fn all_that_have_a_route_are_set_up_and_accounts_are_said() {
    let desk = Desk::new(ROUTES);
    let said = desk.keyfob(&["setup", "git"]).success();
    let file = desk.file().display().to_string();
    let lines = "  https://git.example.com\n  https://git.example.com/team\n  https://two.example.com as alice, bob: name one in the \
                 URL, as https://alice@two.example.com\n";
    assert_eq!(said.stdout, format!("{file}: git now asks keyfob, and nobody else, for\n{lines}"));
    assert_eq!(said.stderr, "");
    let team = "https://git.example.com/team";
    assert_eq!(desk.urls(), ["https://git.example.com", team, &format!("{team}.git"), "https://two.example.com"]);
    let paths = desk.git(&["config", "--global", "--name-only", "--get-regexp", "usehttppath"]).success().stdout;
    assert_eq!(
        paths,
        format!("credential.{team}.usehttppath\ncredential.{team}.git.usehttppath\n"),
        "only where a route needs it"
    );
    desk.configure(&ROUTES[1..2]);
    desk.keyfob(&["setup", "git"]).success();
    assert_eq!(desk.urls(), ["https://two.example.com"], "what has no route any more goes");
}

#[test]
fn named_hosts_are_added_and_taken_out_one_by_one() {
    let desk = Desk::new(ROUTES);
    write(&desk.file(), "[user]\n\tname = x\n");
    desk.keyfob(&["setup", "git", "TWO.example.com:443"]).success();
    assert_eq!(desk.urls(), ["https://two.example.com"]);
    desk.keyfob(&["setup", "git", "https://git.example.com/team.git"]).success();
    let team = "https://git.example.com/team";
    assert_eq!(desk.urls(), [team, &format!("{team}.git"), "https://two.example.com"]);
    desk.keyfob(&["setup", "git", "--undo", "two.example.com"]).success();
    assert_eq!(desk.urls(), [team, &format!("{team}.git")]);
    desk.keyfob(&["setup", "git", "git.example.com"]).success();
    assert_eq!(desk.urls(), ["https://git.example.com", team, &format!("{team}.git")]);
    desk.keyfob(&["setup", "git", "--undo", "https://git.example.com/team"]).success();
    assert_eq!(desk.urls(), ["https://git.example.com"]);
    let before = desk.content();
    for (words, code, says) in [
        (&["setup", "git", "--undo", "two.example.com"][..], 1, "nothing of keyfob's for two.example.com stands in `"),
        (&["setup", "git", "example.com"], 1, "no git route is for `example.com`"),
        (&["setup", "git", "git.example.com.evil.net"], 1, "there are routes for: https://"),
        (&["setup", "git", "http://git.example.com"], 1, "no git route is for"),
        (&["setup", "git", "\u{1b}[2J"], 1, "no git route is for `[2J`"),
        (&["setup", "git", "git.example.com", "--all-hosts"], 2, ""),
        (&["setup", "git", "--undo", "--all-hosts"], 2, ""),
    ] {
        let refused = desk.keyfob(words);
        assert!(refused.code == Some(code) && refused.stderr.contains(says), "{words:?}: {refused:?}");
        assert_eq!((desk.content().as_str(), refused.stdout.as_str()), (before.as_str(), ""));
    }
    desk.keyfob(&["setup", "git", "--undo"]).success();
    assert_eq!(desk.content(), "[user]\n\tname = x\n");
}

#[test]
fn all_hosts_are_served_and_what_is_typed_in_is_kept() {
    let desk = Desk::new(&[]);
    let refused = desk.keyfob(&["setup", "git"]);
    one_error(&refused);
    assert!(refused.code == Some(1) && refused.stderr.contains("no git host is configured"), "{refused:?}");
    assert!(refused.stderr.contains("--all-hosts") && !desk.file().exists(), "{refused:?}");
    desk.keyfob(&["setup", "git", "--all-hosts"]).success();
    assert_eq!(desk.urls(), [""]);
    let typed = "protocol=https\nhost=any.example.org\nusername=me\npassword=typed-in\n";
    process::run(desk.home.command("git").args(["credential", "approve"]), typed.as_bytes()).success();
    let answer =
        process::run(desk.home.command("git").args(["credential", "fill"]), b"protocol=https\nhost=any.example.org\n").success();
    assert!(answer.stdout.contains("password=typed-in\n"), "{answer:?}");
    desk.configure(ROUTES);
    desk.keyfob(&["setup", "git"]).success();
    assert_eq!(desk.urls(), [""], "that stays until it is undone, and needs no more");
    let listed = desk.git(&["config", "--global", "--list"]).success().stdout;
    assert!(listed.contains("credential.https://git.example.com/team.git.usehttppath=true\n"), "{listed}");
    desk.keyfob(&["setup", "git", "--undo"]).success();
    assert!(!desk.file().exists());
}

#[test]
fn a_broken_configuration_is_said_and_does_not_keep_anybody_from_undoing() {
    let desk = Desk::new(ROUTES);
    desk.keyfob(&["setup", "git"]).success();
    let before = desk.content();
    desk.home.write_config("[login.corp\n");
    let refused = desk.keyfob(&["setup", "git"]);
    one_error(&refused);
    assert_eq!((refused.code, desk.content()), (Some(6), before));
    desk.keyfob(&["setup", "git", "--undo"]).success();
    assert!(!desk.file().exists());
}

#[test]
fn the_help_says_that_a_dry_run_shows_what_stands_around_the_change() {
    let desk = Desk::new(ROUTES);
    write(&desk.file(), "[sendemail]\n\tsmtpPass = beside-it\n");
    let shown = desk.keyfob(&["setup", "git", "--dry-run"]).success().stdout;
    let help = desk.keyfob(&["setup", "git", "--help"]).success().stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains(" \tsmtpPass = beside-it\n") && help.contains("as they stand in your file, secrets too"),
        "{shown}{help}"
    );
}
