//! What git's own helpers hold for real, libsecret's in a real keyring and cache's in its daemon, is taken over; nothing leaves them.
#![cfg(unix)]
use super::effect::gits;
use super::hosts::{Desk, ROUTES};
use crate::support::peers::{self, Keyring};
use crate::support::process::{self, Output};
use crate::support::scene::one_error;
use crate::support::temp_dir::{TempDir, write};
use std::path::{Path, PathBuf};

const ONE: &str = "protocol=https\nhost=one.example.org\n";
const PATH: &str = "protocol=https\nhost=Two.example.org:8443\npath=team/app.git\n";
const BESIDE: &str = "protocol=https\nhost=Two.example.org:8443\npath=team/lib.git\n";
const TOKEN: &str = "protocol=https\nhost=three.example.org\n";
const ALICE: &str = "protocol=https\nhost=four.example.org\nusername=alice\n";
const BOB: &str = "protocol=https\nhost=four.example.org\nusername=bob\n";

/// What is stored: a request, and what git adds to it when it was typed in.
const STORED: [(&str, &str); 6] = [
    (ONE, "username=me\npassword=pw-one-0123456789\n"),
    (PATH, "username=me@x\npassword=pw two:/%=\u{e4}\n"),
    (BESIDE, "username=me@x\npassword=pw-beside-0123\n"),
    (TOKEN, "username=oauth2\npassword=at-0123456789\npassword_expiry_utc=5555555555\noauth_refresh_token=rt-0123456789\n"),
    (ALICE, "password=pw-alice-0123\n"),
    (BOB, "password=pw-bob-012345\n"),
];
const NAMES: [&str; 7] = [
    "one.example.org",
    "https://Two.example.org:8443/team/app.git",
    "Two.example.org:8443/team/lib.git",
    "three.example.org",
    "alice@four.example.org",
    "https://bob@four.example.org",
    "absent.example.org",
];
const SECRETS: [&str; 7] = [
    "pw-one-0123456789",
    "pw-beside-0123",
    "pw two:/%=\u{e4}",
    "at-0123456789",
    "rt-0123456789",
    "pw-alice-0123",
    "pw-bob-012345",
];
const IMPORT: [&str; 3] = ["setup", "git", "--import-stored"];

/// A person's git with one storage helper.
struct Bench {
    desk: Desk,
    git: PathBuf,
    helper: &'static str,
}

impl Bench {
    fn new(git: PathBuf, helper: &'static str) -> Self {
        let bench = Self { desk: Desk::new(ROUTES), git, helper };
        bench.ask(helper);
        bench
    }

    /// With libsecret's, and with the keyring of `session`.
    fn in_keyring(git: PathBuf, session: &Keyring) -> Option<Self> {
        let program = peers::git_credential_libsecret()?;
        let mut bench = Self::new(git, "libsecret");
        std::os::unix::fs::symlink(program, bench.program()).unwrap();
        bench.reach(session.environment().1);
        Some(bench)
    }

    fn program(&self) -> PathBuf {
        self.desk.home.bin().join("git-credential-libsecret")
    }

    fn reach(&mut self, bus: &str) {
        self.desk.home.set("DBUS_SESSION_BUS_ADDRESS", bus);
    }

    /// Lets git ask `helper`, and nobody else.
    fn ask(&self, helper: &str) {
        write(&self.desk.file(), format!("[credential]\n\tuseHttpPath = true\n\thelper = {helper}\n"));
    }

    /// Runs git's `credential`; a daemon that is started by it keeps none of the test's pipes open.
    #[track_caller]
    fn credential(&self, action: &str, lines: &str) -> Output {
        let mut command = self.desk.home.command("sh");
        let script = "exec 2>/dev/null; case $1 in approve) exec >/dev/null ;; esac; exec \"$0\" credential \"$1\"";
        process::run(command.args(["-c", script]).arg(&self.git).arg(action), lines.as_bytes())
    }

    /// What git is answered, line by line.
    #[track_caller]
    fn fill(&self, request: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.credential("fill", request).stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[track_caller]
    fn store_all(&self) {
        for (request, more) in STORED {
            self.credential("approve", &format!("{request}{more}")).success();
        }
    }

    /// Puts the token into the keyring as git's later versions of the helper do: with what belongs to it on lines of its own.
    #[track_caller]
    fn store_token_whole(&self) {
        self.credential("reject", &format!("{TOKEN}username=oauth2\n")).success();
        let (_, more) = STORED[3];
        let secret = more.split_once("password=").unwrap().1.trim_end();
        let place = ["protocol", "https", "server", "three.example.org", "user", "oauth2"];
        let mut command = self.desk.home.command("secret-tool");
        command.args(["store", "--label", "Git", "xdg:schema", "org.gnome.keyring.NetworkPassword"]).args(place);
        process::run(&mut command, secret.as_bytes()).success();
    }

    fn has_token_whole(&self) -> bool {
        let answer = self.fill(TOKEN);
        ["oauth_refresh_token=rt-0123456789", "password_expiry_utc=5555555555"]
            .iter()
            .all(|line| answer.contains(&(*line).into()))
    }

    #[track_caller]
    fn keyfob(&self, words: &[&str]) -> Output {
        let folders = format!("{}:{}", self.desk.home.bin().display(), self.git.parent().unwrap().display());
        let mut command = self.desk.home.keyfob(IMPORT);
        let output = process::run(command.args(words).env("PATH", format!("{folders}:/usr/bin:/bin")), b"");
        assert!(!SECRETS.iter().any(|secret| output.stdout.contains(secret) || output.stderr.contains(secret)), "{output:?}");
        output
    }

    /// What is in the home beside git's settings, with what keyfob keeps.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.desk.home.files().into_iter().map(|file| (file.clone(), std::fs::read(&file).unwrap_or_default())).collect()
    }

    fn plain(&self) -> PathBuf {
        self.desk.home.path().join(".git-credentials")
    }
}

/// Takes over what the helper of `bench` has, and holds what git is answered by keyfob then against what it was answered before.
fn is_taken_over(bench: &Bench) {
    let before = STORED.map(|(request, _)| bench.fill(request));
    for ((request, more), found) in STORED.iter().zip(&before) {
        let password = more.lines().find(|line| line.starts_with("password=")).unwrap();
        assert!(found.iter().any(|line| line == password), "{request}: {found:?}");
    }
    // without a name, nobody can tell what to ask for
    let said = bench.keyfob(&[]).success();
    let helper = bench.helper.split(' ').next().unwrap();
    assert!(said.stdout.contains(&format!("not asked: `{helper}`, which cannot list")), "{said:?}");
    // one line of the plain file is the same, one stands behind the helper's
    let other = "https://alice:another-0123@four.example.org\n";
    write(&bench.plain(), format!("https://me:pw-one-0123456789@one.example.org\n{other}"));
    let said = bench.keyfob(&[&["--remove"], &NAMES[..]].concat()).success();
    let names = "https://me@one.example.org\n  https://me@x@Two.example.org:8443/team/app.git\n  https://me@x@Two.example.org:8443/team/lib.git\n  https://oauth2@three.example.org\n  \
                 https://alice@four.example.org\n  https://bob@four.example.org\n";
    assert!(said.stdout.starts_with(&format!("taken over\n  {names}not taken over\n")), "{said:?}");
    assert!(said.stdout.contains("https://alice@four.example.org stands behind another password"), "{said:?}");
    assert!(!said.stdout.contains("absent") && said.stderr.is_empty(), "{said:?}");
    assert_eq!(std::fs::read_to_string(bench.plain()).unwrap(), other);
    assert_eq!(STORED.map(|(request, _)| bench.fill(request)), before, "what is no plain file loses nothing");
    bench.ask("!exec keyfob git");
    assert_eq!(STORED.map(|(request, _)| bench.fill(request)), before);
    bench.desk.home.scan_for_secrets(&SECRETS.map(String::from));
}

#[test]
fn what_libsecret_has_in_a_real_keyring_is_taken_over_and_stays_there() {
    if !peers::require("secret-tool") {
        return;
    }
    for git in gits() {
        let folder = TempDir::new("keyring");
        let Some(keyring) = Keyring::start(folder.path()) else { return };
        let newer = crate::git::versions::newer().as_ref() == Some(&git);
        let Some(bench) = Bench::in_keyring(git, &keyring) else { return };
        bench.store_all();
        if newer {
            bench.store_token_whole();
        }
        is_taken_over(&bench);
        assert!(bench.has_token_whole() || !newer);
    }
}

#[test]
fn what_cache_has_is_taken_over_with_its_end_and_with_what_renews_it() {
    for git in gits() {
        let newer = crate::git::versions::newer().as_ref() == Some(&git);
        let bench = Bench::new(git, "cache --timeout 60");
        bench.store_all();
        is_taken_over(&bench);
        assert!(bench.has_token_whole() || !newer);
        process::run(bench.desk.home.command(&bench.git).args(["credential-cache", "exit"]), b"").success();
    }
}

#[test]
fn a_host_alone_brings_the_account_that_git_was_answered_and_it_is_said_how_to_name_others() {
    let folder = TempDir::new("keyring");
    let Some(keyring) = Keyring::start(folder.path()) else { return };
    for git in gits() {
        let Some(bench) = Bench::in_keyring(git, &keyring) else { return };
        bench.store_all();
        let open = "protocol=https\nhost=four.example.org\n";
        let before = bench.fill(open);
        let said = bench.keyfob(&["four.example.org"]).success();
        assert_eq!(said.stdout.matches("@four.example.org\n").count(), 1, "{said:?}");
        assert!(said.stdout.contains("where a host has several accounts, name each"), "{said:?}");
        bench.ask("!exec keyfob git");
        assert_eq!(bench.fill(open), before);
        let found = [ALICE, BOB].map(|request| bench.fill(request).is_empty());
        assert_ne!(found[0], found[1], "one of them");
    }
}

/// Names all hosts, which is refused with these words, and panics where that changes anything.
#[track_caller]
fn loses_nothing(bench: &Bench, words: &str) {
    let before = bench.files();
    for more in [&[][..], &["--remove"], &["--dry-run"]] {
        let said = bench.keyfob(&[more, &NAMES[..]].concat());
        one_error(&said);
        assert_eq!((said.code, said.stdout.as_str()), (Some(6), ""), "{said:?}");
        let expected = format!("git's helper `libsecret` does not tell what it has, so nothing is taken over: {words}");
        assert!(said.stderr.contains(&expected) && said.stderr.contains("hint: unlock or start"), "{said:?}");
        assert_eq!(bench.files(), before);
    }
}

#[test]
fn a_locked_or_absent_keyring_is_one_clear_error_and_nothing_is_lost() {
    for git in gits() {
        let folder = TempDir::new("keyring");
        let Some(keyring) = Keyring::start(folder.path()) else { return };
        let Some(mut bench) = Bench::in_keyring(git, &keyring) else { return };
        bench.store_all();
        let before = STORED.map(|(request, _)| bench.fill(request));
        let other = "https://you:pw-plain-012345@one.example.org\n";
        write(&bench.plain(), other);
        drop(keyring);
        let locked = Keyring::locked(folder.path()).unwrap();
        bench.reach(locked.environment().1);
        loses_nothing(&bench, "it gives an account without the password, as it does where its keyring is locked");
        bench.keyfob(&["absent.example.org"]).success();
        drop(locked);
        bench.reach("unix:path=/nonexistent/bus");
        loses_nothing(&bench, "could not connect to Secret Service: ");
        std::fs::rename(bench.program(), bench.program().with_file_name("away")).unwrap();
        loses_nothing(&bench, "git: 'credential-libsecret' is not a git command");
        std::fs::rename(bench.program().with_file_name("away"), bench.program()).unwrap();
        // the plain file needs none of it
        let said = bench.keyfob(&["--remove"]).success();
        assert!(said.stdout.starts_with("taken over\n  https://you@one.example.org\nnot asked: `libsecret`"), "{said:?}");
        assert_eq!(std::fs::read_to_string(bench.plain()).unwrap(), "");
        let keyring = Keyring::start(folder.path()).unwrap();
        bench.reach(keyring.environment().1);
        bench.keyfob(&NAMES).success();
        bench.ask("!exec keyfob git");
        assert_eq!(STORED.map(|(request, _)| bench.fill(&format!("{request}{}", user_of(request)))), before);
    }
}

/// The user that this request has to name, beside another account of the same host.
fn user_of(request: &str) -> &'static str {
    if request == ONE { "username=me\n" } else { "" }
}

#[test]
fn what_names_no_host_is_said_and_nothing_is_done() {
    let desk = Desk::new(ROUTES);
    let plain = desk.home.path().join(".git-credentials");
    write(&plain, "https://me:pw-one-0123456789@one.example.org\n");
    for name in ["smtp://one.example.org", "one.example.org?x", "*.example.org", "one.example.org\nhost=two.example.org", "a:b@c"]
    {
        let said = desk.keyfob(&[&IMPORT[..], &["--remove", "one.example.org", name]].concat());
        one_error(&said);
        assert!(said.code == Some(2) && said.stderr.contains("names no git host") && said.stdout.is_empty(), "{said:?}");
        assert!(Path::new(&plain).metadata().unwrap().len() > 0);
    }
}
