//! A passphrase as the source of the key: chosen once, asked for rarely, handed to the worker, and kept nowhere.
use crate::support::forge::{Forge, value};
use crate::support::kernel_keyring::{self, Forgets};
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::terminal::Terminal;

pub(super) const PASSPHRASE: &str = "correct horse battery";
pub(super) const ASKED: &str = "keyfob: passphrase: ";
const NEW: &str = "new passphrase: ";
const AGAIN: &str = "the same again: ";
pub(super) const NOBODY: &str = "the key is behind a passphrase, and nobody can be asked here";
const HINT: &str = "keyfob: hint: run `keyfob status` in a terminal";

/// A forge whose home keeps its key behind a passphrase, with a stored entry for a host that has no route.
pub(super) struct Guarded {
    _forgets: Forgets,
    pub(super) forge: Forge,
}

impl Guarded {
    /// No passphrase has been chosen. `None` where keys cannot be looked at.
    pub(super) fn fresh() -> Option<Self> {
        if !["script", "stty", "keyctl"].into_iter().all(peers::require) {
            return None;
        }
        let mut forge = Forge::new();
        forge.home.forget_key_file();
        let routes = format!("[git.\"{}\"]\nlogin = \"corp\"\n", forge.git.url());
        forge.configure(&format!("[store]\nkey = \"passphrase\"\n{}{routes}", forge.login("corp", "")));
        forge.caller(); // leaves the request
        Some(Self { _forgets: Forgets::the_keys_of(&forge.home), forge })
    }

    /// Signed in, and the kernel holds the key.
    pub(super) fn open() -> Option<Self> {
        let this = Self::fresh()?;
        this.choose("keyfob login corp", PASSPHRASE).success();
        Some(this)
    }

    /// Signed in, and nobody holds the key.
    pub(super) fn locked() -> Option<Self> {
        let this = Self::open()?;
        this.lock();
        Some(this)
    }

    pub(super) fn lock(&self) {
        let said = self.forge.keyfob(&["lock"]).success().stdout;
        assert_eq!(said, "locked: the next command takes the key from your passphrase again\n");
        assert_eq!(kernel_keyring::key_of(&self.forge.home), None);
    }

    pub(super) fn terminal(&self, name: &str, line: &str) -> Terminal {
        Terminal::open(&self.forge.home, name, line)
    }

    /// Runs `line` at a terminal, where `passphrase` is chosen.
    #[track_caller]
    pub(super) fn choose(&self, line: &str, passphrase: &str) -> Output {
        let mut terminal = self.terminal("choose", line);
        terminal.shows(NEW, 1);
        terminal.types(format!("{passphrase}\n"));
        terminal.shows(AGAIN, 1);
        terminal.types(format!("{passphrase}\n"));
        let output = terminal.end();
        assert!(!output.stdout.contains(passphrase), "{output:?}");
        output
    }

    /// Runs `line` at a terminal, where the passphrase is asked for `times` times, and typed.
    #[track_caller]
    pub(super) fn answer(&self, line: &str, times: usize) -> Output {
        let mut terminal = self.terminal("answer", line);
        for time in 1..=times {
            terminal.shows(ASKED, time);
            terminal.types(format!("{PASSPHRASE}\n"));
        }
        let output = terminal.end();
        assert_eq!(output.stdout.matches(ASKED).count(), times, "{output:?}");
        assert!(!output.stdout.contains(PASSPHRASE), "{output:?}");
        output
    }

    #[track_caller]
    pub(super) fn needs_person(&self, arguments: &[&str]) {
        let said = self.forge.keyfob(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(NOBODY) && said.stderr.contains(HINT), "{arguments:?}: {said:?}");
    }

    /// The passphrase, and the key that it makes while the kernel holds it.
    pub(super) fn secrets(&self) -> Vec<String> {
        let mut all = self.forge.server.issued_secrets();
        all.push(PASSPHRASE.into());
        all.extend(kernel_keyring::key_of(&self.forge.home));
        all
    }
}

#[test]
fn a_passphrase_is_chosen_once_and_the_next_commands_do_not_ask() {
    let Some(place) = Guarded::fresh() else { return };
    let chosen = place.choose("keyfob login corp; stty -a >\"$SAID/stty\"", PASSPHRASE).success();
    assert!(chosen.stdout.contains("if it is forgotten, the records are lost and you sign in again"), "{chosen:?}");
    assert!(chosen.stdout.contains("kept under a key from your passphrase"), "{chosen:?}");
    let folder = place.forge.home.path().join("said/choose");
    assert!(std::fs::read_to_string(folder.join("stty")).unwrap().contains(" echo "));
    let secrets = place.secrets();
    assert!(kernel_keyring::key_of(&place.forge.home).is_some());
    let answer = place.forge.ask().success().stdout;
    assert!(place.forge.server.is_alive(value(&answer, "password")));
    assert_eq!(place.forge.keyfob(&["token", "corp"]).success().stdout.trim(), value(&answer, "password"));
    assert!(place.forge.keyfob(&["status"]).success().stdout.contains("key: your passphrase\n"));
    assert_eq!(place.forge.server.counts().authorizations, 1);
    place.forge.home.scan_for_secrets(&secrets);
    place.forge.check();
}

#[test]
fn a_sign_out_of_everything_leaves_the_key_at_hand_for_what_is_still_kept() {
    let Some(place) = Guarded::open() else { return };
    let git = |operation: &str, text: &str| process::run(place.forge.command("keyfob").args(["git", operation]), text.as_bytes());
    git("store", "protocol=https\nhost=kept.example.org\nusername=alice\npassword=pw-kept\n\n").success();
    let key = kernel_keyring::key_of(&place.forge.home);
    assert!(key.is_some());
    let said = place.forge.keyfob(&["logout", "--all"]).success();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("corp: signed out, and its tokens are revoked\n", ""));
    assert_eq!(kernel_keyring::key_of(&place.forge.home), key);
    assert!(git("get", "protocol=https\nhost=kept.example.org\n\n").success().stdout.contains("password=pw-kept\n"));
}

#[test]
fn after_keyfob_lock_a_person_is_asked_again_and_others_are_told() {
    let Some(place) = Guarded::locked() else { return };
    for arguments in [&["token", "corp"][..], &["login", "corp"], &["status"], &["status", "--json"], &["logout", "corp"]] {
        place.needs_person(arguments);
    }
    place.needs_person(&["status", "--check", "corp"]);
    for question in ["keyfob status --check corp", "keyfob status --json"] {
        let said = place.answer(question, 0);
        assert!(said.code == Some(3) && said.stdout.contains(NOBODY), "a program is no person: {said:?}");
    }
    let git = place.forge.ask();
    assert_eq!((git.code, git.stdout.as_str()), (Some(0), "quit=1\n"), "{git:?}");
    assert!(git.stderr.contains(NOBODY), "{git:?}");
    assert_eq!(place.forge.server.counts().authorizations, 1, "nobody is signed in anew for want of a key");
    let status = place.answer("keyfob status", 1).success();
    assert!(status.stdout.contains("corp: signed in"), "{status:?}");
    place.forge.ask().success();
    place.answer("keyfob status; keyfob token corp >\"$SAID/token\"", 0).success();
}

#[test]
fn git_at_a_terminal_asks_and_answers() {
    let Some(place) = Guarded::locked() else { return };
    let said = place.answer("keyfob git get <request >\"$SAID/answer\"", 1).success();
    assert!(!said.stdout.contains("password="), "{said:?}");
    let answer = std::fs::read_to_string(place.forge.home.path().join("said/answer/answer")).unwrap();
    assert!(place.forge.server.is_alive(value(&answer, "password")));
    std::fs::remove_dir_all(place.forge.home.path().join("said")).unwrap();
    place.forge.check();
}

#[test]
fn a_host_without_a_route_asks_nobody() {
    let Some(place) = Guarded::open() else { return };
    let entry = "protocol=https\\nhost=kept.example.org\\nusername=alice\\npassword=pw-kept\\n\\n";
    place.answer(&format!("printf '{entry}' | keyfob git store"), 0).success();
    place.lock();
    let get = |host: &str| format!("printf 'protocol=https\\nhost={host}\\n\\n' | keyfob git get");
    let unknown = place.answer(&get("unknown.example.org"), 0).success();
    assert_eq!(unknown.stdout, "", "{unknown:?}");
    let kept = place.answer(&get("kept.example.org"), 0).success();
    assert!(kept.stdout.contains(NOBODY) && !kept.stdout.contains("pw-kept"), "{kept:?}");
    let store = place.answer(&format!("printf '{entry}' | keyfob git store"), 0).success();
    assert!(store.stdout.contains(NOBODY), "{store:?}");
    // docker has nobody else to ask, and `docker login` is a person's own doing
    let entry = "{\"ServerURL\":\"kept.example.org\",\"Username\":\"alice\",\"Secret\":\"pw-kept\"}";
    place.answer(&format!("printf '%s' '{entry}' | keyfob docker store"), 1).success();
    place.lock();
    let got = place.answer("printf kept.example.org | keyfob docker get", 1).success();
    assert!(got.stdout.contains("pw-kept"), "{got:?}");
}

#[test]
fn nobody_is_asked_where_that_is_forbidden() {
    let Some(place) = Guarded::locked() else { return };
    for (setting, reason) in [
        ("KEYFOB_INTERACTIVE=never", "KEYFOB_INTERACTIVE is `never`"),
        ("CI=true", "CI is set"),
        ("GIT_CONFIG_PARAMETERS=\"'credential.interactive=false'\"", "git has `credential.interactive=false`"),
    ] {
        let said = place.answer(&format!("{setting} keyfob token corp"), 0);
        assert_eq!(said.code, Some(3), "{setting}: {said:?}");
        assert!(said.stdout.contains(&format!("{NOBODY}: {reason}")), "{setting}: {said:?}");
    }
}

#[test]
fn a_wrong_passphrase_is_asked_again_three_times_and_changes_nothing() {
    let Some(place) = Guarded::locked() else { return };
    let records = || {
        let rec = |file: &std::path::PathBuf| file.extension().is_some_and(|ending| ending == "rec") || file.ends_with("store");
        let files = place.forge.home.files().into_iter().filter(rec);
        files.map(|file| (file.clone(), std::fs::read(file).unwrap())).collect::<Vec<_>>()
    };
    let before = records();
    let mut terminal = place.terminal("wrong", "keyfob token corp");
    terminal.shows(ASKED, 1);
    terminal.types("not this one\n");
    terminal.shows("that is not it; passphrase: ", 1);
    terminal.types("\n");
    terminal.shows("that is not it; passphrase: ", 2);
    terminal.types("nor this\n");
    let said = terminal.end();
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(said.stdout.contains("what was typed is not the passphrase, 3 times"), "{said:?}");
    assert!(
        said.stdout.contains("nobody can bring back what is forgotten; to start anew, keeping what is there: mv '"),
        "{said:?}"
    );
    assert_eq!(records(), before);
    assert_eq!(kernel_keyring::key_of(&place.forge.home), None);
    let mut terminal = place.terminal("right", "keyfob token corp");
    terminal.shows(ASKED, 1);
    terminal.types("not this one\n");
    terminal.shows("that is not it; passphrase: ", 1);
    terminal.types(format!("{PASSPHRASE}\n"));
    terminal.end().success();
    assert_eq!(place.forge.server.counts().authorizations, 1);
}

#[test]
fn a_new_passphrase_is_typed_twice_alike_and_is_not_empty() {
    let Some(place) = Guarded::fresh() else { return };
    let mut terminal = place.terminal("choose", "keyfob login corp");
    terminal.shows(NEW, 1);
    terminal.types("\n");
    terminal.shows("it may not be empty; new passphrase: ", 1);
    terminal.types("one\n");
    terminal.shows(AGAIN, 1);
    terminal.types("other\n");
    terminal.shows("these were two; new passphrase: ", 1);
    // what a keyboard of another encoding sends is taken as it is
    terminal.types(b"gr\xfcn \xff\n");
    terminal.shows(AGAIN, 2);
    terminal.types(b"gr\xfcn \xff\n");
    terminal.end().success();
    place.lock();
    let mut terminal = place.terminal("again", "keyfob token corp");
    terminal.shows(ASKED, 1);
    terminal.types(b"gr\xfcn \xff\n");
    terminal.end().success();
    assert_eq!(place.forge.server.counts().authorizations, 1);
}

#[test]
fn without_a_terminal_no_passphrase_is_chosen_and_nobody_is_signed_in() {
    let Some(place) = Guarded::fresh() else { return };
    for arguments in [&["login", "corp"][..], &["token", "corp"]] {
        let said = place.forge.keyfob(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{said:?}");
        let error = "no passphrase has been chosen for the key so far, and nobody can be asked here: there is no terminal";
        assert!(said.stderr.contains(error) && said.stderr.contains("hint: run `keyfob login` in a terminal"), "{said:?}");
    }
    // the store is there by now, and its first key is where the configuration says, or nowhere
    let entry = "protocol=https\nhost=kept.example.org\nusername=alice\npassword=pw-kept\n\n";
    let store = process::run(place.forge.command("keyfob").args(["git", "store"]), entry.as_bytes()).success();
    assert!(store.stderr.contains("no passphrase has been chosen for the key so far"), "{store:?}");
    assert_eq!((kernel_keyring::key_of(&place.forge.home), place.forge.server.counts().authorizations), (None, 0));
    assert!(place.forge.home.files().iter().all(|file| file.extension().is_none_or(|ending| ending != "rec")));
}

#[test]
fn terminals_that_wait_at_once_are_answered_one_by_one() {
    let Some(place) = Guarded::locked() else { return };
    let line = "keyfob token corp >\"$SAID/token\"";
    let mut all: Vec<Terminal> = (0..5).map(|number| place.terminal(&format!("at-{number}"), line)).collect();
    for terminal in &all {
        terminal.shows(ASKED, 1);
    }
    for terminal in &mut all {
        terminal.types(format!("{PASSPHRASE}\n"));
    }
    let tokens: Vec<String> = all
        .into_iter()
        .map(|terminal| {
            let token = terminal.wrote("token");
            terminal.end().success();
            token
        })
        .collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert_eq!(place.forge.server.counts().authorizations, 1);
}

#[test]
fn of_terminals_that_choose_at_once_the_first_one_counts() {
    let Some(place) = Guarded::fresh() else { return };
    let mut all: Vec<Terminal> =
        ["first", "same", "another"].into_iter().map(|name| place.terminal(name, "keyfob login corp")).collect();
    for terminal in &all {
        terminal.shows(NEW, 1);
    }
    for (terminal, typed) in all.iter_mut().zip([PASSPHRASE, PASSPHRASE, "something else"]) {
        terminal.types(format!("{typed}\n"));
        terminal.shows(AGAIN, 1);
    }
    let mut all = all.into_iter();
    for (name, typed) in [("first", PASSPHRASE), ("same", PASSPHRASE)] {
        let mut terminal = all.next().unwrap();
        terminal.types(format!("{typed}\n"));
        assert_eq!(terminal.end().code, Some(0), "{name}");
    }
    let mut another = all.next().unwrap();
    another.types("something else\n");
    let said = another.end();
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(said.stdout.contains("another terminal has just set a passphrase, and it is not the same"), "{said:?}");
    place.lock();
    place.answer("keyfob status", 1).success();
}

#[test]
fn a_store_that_asks_for_too_much_work_is_damaged_and_costs_nothing() {
    let Some(place) = Guarded::locked() else { return };
    let file = place.forge.home.files().into_iter().find(|file| file.ends_with("store")).unwrap();
    let good: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(good["key"]["derivation"]["memory_kib"], 65536);
    for (name, value) in [
        ("memory_kib", serde_json::json!(4_000_000)),
        ("memory_kib", serde_json::json!(8)),
        ("passes", serde_json::json!(1_000_000)),
        ("passes", serde_json::json!(0)),
        ("lanes", serde_json::json!(1 << 20)),
        ("salt", serde_json::json!("00")),
        ("salt", serde_json::json!(null)),
    ] {
        let mut bad = good.clone();
        bad["key"]["derivation"][name] = value;
        crate::support::temp_dir::write(&file, bad.to_string());
        let said = place.answer("keyfob token corp", 0);
        assert_eq!(said.code, Some(6), "{name}: {said:?}");
        assert!(said.stdout.contains("is damaged: "), "{name}: {said:?}");
    }
    crate::support::temp_dir::write(&file, good.to_string());
    place.answer("keyfob token corp", 1).success();
}
