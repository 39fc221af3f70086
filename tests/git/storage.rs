//! keyfob as a complete storage helper, through `git credential`: what git demands of every helper that keeps passwords.
use super::versions;
use crate::support::home::Home;
use crate::support::kernel_keyring::Forgets;
use crate::support::peers::{self, Keyring};
use crate::support::process;
use crate::support::temp_dir::{TempDir, write};
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

/// What answers git's own questions, and writes down that it was asked.
const ASKED: &str =
    "#!/bin/sh\necho \"$1\" >>\"$HOME/asked\"\ncase \"$1\" in Username*) echo typed-user ;; *) echo typed-pass ;; esac\n";
pub(super) const HOST: &str = "protocol=https\nhost=example.com\n";
const TYPED: &str = "username=typed-user\npassword=typed-pass\n";

/// A home where keyfob is git's only helper, and no login is configured at all.
pub(super) struct Drawer {
    /// Before the home that it looks into.
    _keys: Forgets,
    pub(super) home: Home,
    git: PathBuf,
    settings: RefCell<Vec<String>>,
}

impl Drawer {
    /// None where there is no git that knows everything tested here.
    pub(super) fn new() -> Option<Self> {
        Some(Self::made(Home::new(), versions::newer()?))
    }

    /// The same with its key in this keyring.
    fn in_keyring(keyring: &Keyring) -> Option<Self> {
        let mut home = Home::without_key_file();
        let (name, value) = keyring.environment();
        home.set(name, value);
        home.write_config("[store]\nkey = \"keyring\"\n");
        Some(Self::made(home, versions::newer()?))
    }

    fn made(home: Home, git: PathBuf) -> Self {
        let drawer = Self { _keys: Forgets::the_keys_of(&home), home, git, settings: RefCell::default() };
        write(&drawer.home.path().join(".gitconfig"), "[credential]\n\thelper =\n\thelper = !exec keyfob git\n");
        write(&drawer.home.bin().join("ask"), ASKED);
        process::run(drawer.home.command("chmod").arg("700").arg(drawer.home.bin().join("ask")), b"").success();
        drawer
    }

    /// Where the key is that what was kept is sealed with, by the word of the store itself; none before there is one.
    fn key_source(&self) -> Option<String> {
        let stores = std::fs::read_dir(self.home.state().join("keyfob/v1")).ok()?;
        let meta = stores.flatten().find_map(|folder| std::fs::read(folder.path().join("store")).ok())?;
        let meta: serde_json::Value = serde_json::from_slice(&meta).expect("it is JSON");
        meta["key"]["source"].as_str().map(str::to_owned)
    }

    /// Adds a setting of git's from here on.
    fn set(&self, setting: &str) {
        self.settings.borrow_mut().push(setting.to_owned());
    }

    #[track_caller]
    fn credential(&self, action: &str, given: &str) -> String {
        let mut command = self.home.command(&self.git);
        command.env("GIT_ASKPASS", self.home.bin().join("ask")).env_remove("GIT_TERMINAL_PROMPT");
        for setting in self.settings.borrow().iter() {
            command.args(["-c", setting]);
        }
        let output = process::run(command.args(["credential", action]), given.as_bytes()).success();
        assert_eq!(output.stderr, "", "{action} {given}");
        output.stdout
    }

    #[track_caller]
    pub(super) fn approve(&self, given: &str) {
        assert_eq!(self.credential("approve", given), "");
    }

    #[track_caller]
    pub(super) fn reject(&self, given: &str) {
        assert_eq!(self.credential("reject", given), "");
    }

    /// `git credential fill` gives back the lines of `given` and `expected` (capabilities and headers aside) and no
    /// others, after so many questions.
    #[track_caller]
    fn fill(&self, given: &str, expected: &str, questions: usize) {
        let log = self.home.path().join("asked");
        let _ = std::fs::remove_file(&log);
        let answer = self.credential("fill", given);
        let passing = |line: &str| line.starts_with("wwwauth[]=") || line.starts_with("capability[]=");
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().filter(|line| !passing(line)).map(str::to_owned).collect();
            lines.sort();
            lines.dedup();
            lines
        };
        assert_eq!(sorted(&answer), sorted(&format!("{given}{expected}")), "{given}");
        let asked = std::fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(asked.lines().count(), questions, "{given}: {asked}");
    }

    /// keyfob answers with `expected`.
    #[track_caller]
    pub(super) fn finds(&self, given: &str, expected: &str) {
        self.fill(given, expected, 0);
    }

    /// keyfob has nothing, so git asks for both.
    #[track_caller]
    pub(super) fn lacks(&self, given: &str) {
        let questions = if given.contains("username=") { 1 } else { 2 };
        let typed = if questions == 1 { "password=typed-pass\n" } else { TYPED };
        self.fill(given, typed, questions);
    }
}

/// Runs each case in a drawer of its own, all of whose keys are in one desktop keyring.
pub(super) fn in_the_secret_service(cases: &[fn(&Drawer)]) {
    let folder = TempDir::new("keyring");
    let Some(keyring) = peers::require("keyctl").then(|| Keyring::start(folder.path())).flatten() else { return };
    for case in cases {
        let Some(drawer) = Drawer::in_keyring(&keyring) else { return };
        case(&drawer);
    }
}

/// Each case is a test of its own with a key in a file, and all of them are one with their keys in a desktop's keyring.
macro_rules! cases {
    ($($case:ident)*) => {
        mod with_a_key_file {
            $(#[test]
            fn $case() {
                if let Some(drawer) = super::Drawer::new() {
                    super::$case(&drawer);
                }
            })*
        }

        #[test]
        fn with_a_key_in_the_secret_service() {
            crate::git::storage::in_the_secret_service(&[$($case),*]);
        }
    };
}
pub(super) use cases;

cases! {
    what_was_never_kept_is_asked_for_and_nothing_is_said
    what_was_approved_is_found_without_a_user_name_and_again
    another_scheme_host_or_user_finds_nothing
    with_paths_another_path_finds_nothing
    a_new_password_replaces_the_old_one_and_rejecting_it_leaves_nothing
    rejecting_a_host_forgets_all_its_users
    two_users_of_a_host_are_each_found_by_name_and_forgotten_alone
    rejecting_another_password_forgets_nothing
    an_empty_user_and_password_are_values_and_come_back_empty
    a_long_header_that_names_another_host_does_not_reveal_its_password
    an_end_is_kept_given_back_replaced_with_the_password_and_forgotten_with_it
    a_refresh_token_of_another_helper_is_kept_and_given_back
    a_timeout_ends_the_stay_of_what_is_kept
}

fn what_was_never_kept_is_asked_for_and_nothing_is_said(drawer: &Drawer) {
    drawer.lacks(HOST);
}

fn what_was_approved_is_found_without_a_user_name_and_again(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=u\npassword=p\n"));
    drawer.finds(HOST, "username=u\npassword=p\n");
    drawer.finds(HOST, "username=u\npassword=p\n");
    drawer.home.scan_for_secrets(&["password=p".into()]);
    let source = drawer.key_source();
    assert_eq!(source.as_deref(), Some(if drawer.home.key_file().exists() { "file" } else { "keyring" }));
}

fn another_scheme_host_or_user_finds_nothing(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=u\npassword=p\n"));
    drawer.lacks("protocol=http\nhost=example.com\n");
    drawer.lacks("protocol=https\nhost=other.example.com\n");
    drawer.lacks("protocol=https\nhost=example.com:444\n");
    drawer.lacks("protocol=https\nhost=example.co\n");
    drawer.lacks(&format!("{HOST}username=other\n"));
}

fn with_paths_another_path_finds_nothing(drawer: &Drawer) {
    drawer.set("credential.useHttpPath=true");
    drawer.approve(&format!("{HOST}path=foo.git\nusername=u\npassword=p\n"));
    drawer.lacks(&format!("{HOST}path=bar.git\n"));
    drawer.finds(&format!("{HOST}path=foo.git\n"), "username=u\npassword=p\n");
}

fn a_new_password_replaces_the_old_one_and_rejecting_it_leaves_nothing(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=u\npassword=old\n"));
    drawer.approve(&format!("{HOST}username=u\npassword=new\n"));
    drawer.finds(HOST, "username=u\npassword=new\n");
    drawer.reject(&format!("{HOST}username=u\npassword=new\n"));
    drawer.lacks(HOST);
}

fn rejecting_a_host_forgets_all_its_users(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=u\npassword=p\n"));
    drawer.reject(HOST);
    drawer.lacks(HOST);
    for user in ["one", "two"] {
        drawer.approve(&format!("{HOST}username={user}\npassword=p\n"));
    }
    drawer.approve("protocol=https\nhost=neighbour.example.com\nusername=n\npassword=p\n");
    drawer.reject(HOST);
    drawer.lacks(&format!("{HOST}username=one\n"));
    drawer.lacks(&format!("{HOST}username=two\n"));
    drawer.finds("protocol=https\nhost=neighbour.example.com\n", "username=n\npassword=p\n");
}

fn two_users_of_a_host_are_each_found_by_name_and_forgotten_alone(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=one\npassword=p1\n"));
    drawer.approve(&format!("{HOST}username=two\npassword=p2\n"));
    drawer.finds(&format!("{HOST}username=one\n"), "password=p1\n");
    drawer.finds(&format!("{HOST}username=two\n"), "password=p2\n");
    drawer.reject(&format!("{HOST}username=one\n"));
    drawer.lacks(&format!("{HOST}username=one\n"));
    drawer.finds(&format!("{HOST}username=two\n"), "password=p2\n");
}

fn rejecting_another_password_forgets_nothing(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=u\npassword=p\n"));
    drawer.reject(&format!("{HOST}username=u\npassword=other\n"));
    drawer.finds(HOST, "username=u\npassword=p\n");
}

fn an_empty_user_and_password_are_values_and_come_back_empty(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=\npassword=\n"));
    drawer.finds(HOST, "username=\npassword=\n");
}

fn a_long_header_that_names_another_host_does_not_reveal_its_password(drawer: &Drawer) {
    drawer.approve("protocol=https\nhost=victim.example.com\nusername=u\npassword=p\n");
    for length in [1024, 4096, 8192, 65_400] {
        let start = "wwwauth[]=basic realm=";
        let header = format!("{start}{}host=victim.example.com", "a".repeat(length - start.len()));
        drawer.lacks(&format!("protocol=https\nhost=attacker.example.com\n{header}\n"));
    }
}

fn an_end_is_kept_given_back_replaced_with_the_password_and_forgotten_with_it(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=u\npassword=p1\npassword_expiry_utc=5555555555\n"));
    drawer.finds(HOST, "username=u\npassword=p1\npassword_expiry_utc=5555555555\n");
    drawer.approve(&format!("{HOST}username=u\npassword=p2\npassword_expiry_utc=6666666666\n"));
    drawer.finds(HOST, "username=u\npassword=p2\npassword_expiry_utc=6666666666\n");
    drawer.reject(&format!("{HOST}username=u\npassword=p2\n"));
    drawer.lacks(HOST);
    drawer.approve(&format!("{HOST}username=u\npassword=p3\n"));
    drawer.finds(HOST, "username=u\npassword=p3\n");
}

fn a_refresh_token_of_another_helper_is_kept_and_given_back(drawer: &Drawer) {
    drawer.approve(&format!("{HOST}username=u\npassword=p\noauth_refresh_token=r1\n"));
    drawer.finds(HOST, "username=u\npassword=p\noauth_refresh_token=r1\n");
    drawer.approve(&format!("{HOST}username=u\npassword=p\noauth_refresh_token=r2\n"));
    drawer.finds(HOST, "username=u\npassword=p\noauth_refresh_token=r2\n");
}

fn a_timeout_ends_the_stay_of_what_is_kept(drawer: &Drawer) {
    let long = "protocol=https\nhost=long.example.com\n";
    drawer.set("credential.helper=");
    drawer.set("credential.helper=!exec keyfob git --timeout=600");
    drawer.approve(&format!("{long}username=u\npassword=p\n"));
    drawer.set("credential.helper=");
    drawer.set("credential.helper=!exec keyfob git --timeout=1");
    drawer.approve(&format!("{HOST}username=u\npassword=p\n"));
    std::thread::sleep(Duration::from_millis(2100));
    drawer.lacks(HOST);
    drawer.finds(long, "username=u\npassword=p\n");
}
