//! What git's own storage helpers keep is taken over: afterwards keyfob answers it, and it is never nowhere.
use super::effect::gits;
use super::hosts::{Desk, ROUTES};
use crate::support::home::Home;
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::scene::one_error;
use crate::support::temp_dir::write;
use std::path::PathBuf;

/// As `git credential-store` writes it, with lines of people's own.
const FILE: &str = "https://me:pw-one-0123456789@one.example.org\nhttps://me%40x:pw-two%3a%2f%25@two.example.org:8443/a%20b\n# mine\n\
                    https://you:pw-routed-0123@git.example.com\nnot a line\nhttps://me:pw%0ahost=evil@evil.example.org\n\
                    https://other:pw-one-other-01@one.example.org";
/// What is left when all that can be taken is gone.
const REST: &str = "# mine\nhttps://you:pw-routed-0123@git.example.com\nnot a line\nhttps://me:pw%0ahost=evil@evil.example.org\n";

const SECRETS: [&str; 4] = ["pw-one-0123456789", "pw-two:/%", "pw-routed-0123", "pw-one-other-01"];

fn plain(desk: &Desk) -> PathBuf {
    desk.home.path().join(".git-credentials")
}

fn desk() -> Desk {
    let desk = Desk::new(ROUTES);
    write(&plain(&desk), FILE);
    desk
}

/// What keyfob answers git.
#[track_caller]
fn answer(desk: &Desk, request: &str) -> String {
    desk.home.run(["git", "get"], request).success().stdout
}

/// Panics unless keyfob answers each password of the file that is not in `left`.
#[track_caller]
fn answers_all_but(desk: &Desk, left: &str) {
    for (request, password, written) in [
        ("protocol=https\nhost=one.example.org\nusername=me\n", SECRETS[0], SECRETS[0]),
        ("protocol=https\nhost=one.example.org\nusername=other\n", SECRETS[3], SECRETS[3]),
        ("protocol=https\nhost=two.example.org:8443\npath=a b\n", SECRETS[1], "pw-two%3a%2f%25"),
    ] {
        let found = answer(desk, request);
        assert!(left.contains(written) || found.contains(&format!("password={password}\n")), "{request}: {found}; {left}");
    }
}

#[track_caller]
fn answers(desk: &Desk) {
    answers_all_but(desk, "");
}

#[track_caller]
fn shows_no_secret(output: &Output) {
    assert!(!SECRETS.iter().any(|secret| output.stdout.contains(secret) || output.stderr.contains(secret)), "{output:?}");
}

#[test]
fn the_plain_file_is_taken_over_and_emptied_only_on_request() {
    let desk = desk();
    let before = desk.home.files();
    let said = desk.keyfob(&["setup", "git", "--import-stored", "--remove", "--dry-run"]).success();
    assert!(said.stdout.contains("would be taken over\n  https://me@one.example.org\n"), "{said:?}");
    let file = plain(&desk).display().to_string();
    assert!(said.stdout.ends_with(&format!("3 lines would be removed from `{file}`\n")), "{said:?}");
    assert_eq!((std::fs::read_to_string(plain(&desk)).unwrap().as_str(), desk.home.files()), (FILE, before));
    shows_no_secret(&said);
    let said = desk.keyfob(&["setup", "git", "--import-stored"]).success();
    assert_eq!(std::fs::read_to_string(plain(&desk)).unwrap(), FILE);
    assert!(said.stdout.contains("https://you@git.example.com has a route"), "{said:?}");
    shows_no_secret(&said);
    answers(&desk);
    assert!(!said.stdout.contains("removed"), "{said:?}");
    let said = desk.keyfob(&["setup", "git", "--import-stored", "--remove"]).success();
    assert!(said.stdout.ends_with(&format!("3 lines removed from `{file}`\n")), "{said:?}");
    shows_no_secret(&said);
    assert_eq!(std::fs::read_to_string(plain(&desk)).unwrap(), REST);
    answers(&desk);
    assert_eq!(answer(&desk, "protocol=https\nhost=evil.example.org\n"), "");
    let again = desk.keyfob(&["setup", "git", "--import-stored", "--remove"]).success();
    assert!(again.stdout.contains("not taken over\n") && !again.stdout.contains("\ntaken over"), "{again:?}");
    assert_eq!(std::fs::read_to_string(plain(&desk)).unwrap(), REST);
    let kept: Vec<String> = [SECRETS[0], SECRETS[1], SECRETS[3]].map(String::from).to_vec();
    desk.home.scan_for_secrets(&kept);
}

#[test]
fn what_keyfob_has_wins_and_only_named_hosts_are_taken() {
    let desk = desk();
    let own = "protocol=https\nhost=one.example.org\nusername=me\npassword=newer\n";
    desk.home.run(["git", "store"], own).success();
    let said = desk.keyfob(&["setup", "git", "--import-stored", "--remove", "one.example.org"]).success();
    assert!(said.stdout.contains("https://me@one.example.org has another password in keyfob already"), "{said:?}");
    assert!(said.stdout.ends_with(&format!("\n1 line removed from `{}`\n", plain(&desk).display())), "{said:?}");
    assert!(answer(&desk, "protocol=https\nhost=one.example.org\nusername=me\n").contains("password=newer\n"));
    let left = std::fs::read_to_string(plain(&desk)).unwrap();
    assert_eq!(left, FILE.strip_suffix("https://other:pw-one-other-01@one.example.org").unwrap());
    assert_eq!(answer(&desk, "protocol=https\nhost=two.example.org:8443\n"), "");
}

#[test]
fn what_cannot_be_kept_stays_where_it_is() {
    let desk = Desk { home: Home::without_key_file() };
    desk.home.write_config("[store]\nkey = \"none\"\n");
    write(&plain(&desk), FILE);
    let said = desk.keyfob(&["setup", "git", "--import-stored"]);
    one_error(&said);
    assert!(said.code == Some(6) && said.stdout.contains("https://me@one.example.org could not be kept\n"), "{said:?}");
    assert_eq!(std::fs::read_to_string(plain(&desk)).unwrap(), FILE);
    shows_no_secret(&said);
    let said = desk.keyfob(&["setup", "git", "--import-stored", "--remove"]);
    one_error(&said);
    assert!(said.code == Some(6) && said.stdout.is_empty() && said.stderr.contains("nothing is removed"), "{said:?}");
    assert_eq!(std::fs::read_to_string(plain(&desk)).unwrap(), FILE);
}

#[test]
#[cfg(target_os = "linux")]
fn nothing_is_removed_where_the_key_would_be_gone_at_the_next_start() {
    use crate::support::kernel_keyring::{self, Forgets};
    if !peers::require("keyctl") {
        return;
    }
    // the settings say so; the key in use does; and the first that is kept makes it there, for no keyring answers
    for (config, keeps_before, keeps_now) in [("[store]\nkey = \"kernel\"\n", false, false), ("", true, false), ("", false, true)]
    {
        let mut desk = Desk { home: Home::without_key_file() };
        let _forgets = Forgets::the_keys_of(&desk.home);
        desk.home.set("DBUS_SESSION_BUS_ADDRESS", "");
        desk.home.write_config(config);
        write(&plain(&desk), FILE);
        if keeps_before {
            desk.keyfob(&["setup", "git", "--import-stored", "two.example.org:8443"]).success();
        }
        let said = desk.keyfob(&["setup", "git", "--import-stored", "--remove"]);
        one_error(&said);
        assert!(said.code == Some(6) && said.stderr.contains("nothing is removed"), "{said:?}");
        assert!(said.stderr.contains("hint: run `keyfob setup key file PATH`"), "{said:?}");
        assert_eq!(said.stdout.contains("https://me@one.example.org\n"), keeps_now, "{said:?}");
        assert_eq!(kernel_keyring::key_of(&desk.home).is_some(), keeps_before || keeps_now);
        assert_eq!(std::fs::read_to_string(plain(&desk)).unwrap(), FILE);
        if kernel_keyring::key_of(&desk.home).is_some() {
            let file = desk.home.key_file().display().to_string();
            desk.keyfob(&["setup", "key", "file", &file]).success();
            desk.keyfob(&["setup", "git", "--import-stored", "--remove"]).success();
            assert!(!std::fs::read_to_string(plain(&desk)).unwrap().contains("pw-one-0123456789"));
            answers_all_but(&desk, "https://you:pw-routed-0123@git.example.com");
        }
    }
    let help = Desk::new(ROUTES).keyfob(&["setup", "git", "--help"]).success().stdout;
    assert!(help.contains("refused where keyfob's key would be gone"), "{help}");
}

#[test]
fn a_helper_that_cannot_list_is_asked_for_named_hosts() {
    for git in gits() {
        let desk = Desk::new(ROUTES);
        write(&desk.file(), "[credential]\n\thelper = cache --timeout 60\n\thelper = !echo asked >>\"$HOME/asked\"\n");
        let cached = "protocol=https\nhost=cached.example.org\nusername=me\npassword=pw-cached-012345\n";
        let git_folder = git.parent().unwrap().display().to_string();
        let at = |words: &[&str], stdin: &str| {
            let mut command = desk.home.command(&git);
            process::run(command.args(words).env("PATH", format!("{git_folder}:/usr/bin:/bin")), stdin.as_bytes())
        };
        // the daemon keeps what it inherits open, so it is started before anybody waits for that
        let mut daemon = desk.home.command("sh");
        daemon.args(["-c", "printf \"$1\" | \"$0\" credential-cache --timeout 60 store >/dev/null 2>&1"]).arg(&git).arg(cached);
        process::run(&mut daemon, b"").success();
        let nothing = desk.keyfob(&["setup", "git", "--import-stored"]).success();
        assert!(nothing.stdout.contains("name hosts"), "{nothing:?}");
        let mut command = desk.home.keyfob(["setup", "git", "--import-stored", "cached.example.org", "absent.example.org"]);
        let said = process::run(command.env("PATH", format!("{git_folder}:/usr/bin:/bin")), b"").success();
        assert!(
            said.stdout.contains("taken over\n  https://me@cached.example.org\n") && !said.stdout.contains("absent"),
            "{said:?}"
        );
        at(&["credential-cache", "exit"], "");
        assert!(answer(&desk, "protocol=https\nhost=cached.example.org\n").contains("password=pw-cached-012345\n"));
        assert!(!desk.home.path().join("asked").exists(), "what is more than a store is not asked");
    }
}

#[test]
fn of_several_accounts_the_one_that_git_answered_first_is_answered_first() {
    let desk = Desk::new(ROUTES);
    write(&desk.file(), "[credential]\n\thelper = store\n");
    let host = "protocol=https\nhost=one.example.org\n";
    let line = |name: &str| format!("https://{name}:pw-{name}@one.example.org\n");
    write(&plain(&desk), line("first") + &line("second") + &line("third") + "https://first:pw-later@one.example.org\n");
    let before = process::run(desk.home.command("git").args(["credential", "fill"]), host.as_bytes()).success().stdout;
    assert!(before.contains("username=first\npassword=pw-first\n"), "{before}");
    let said = desk.keyfob(&["setup", "git", "--import-stored"]).success().stdout;
    assert!(said.contains("https://first@one.example.org stands behind another password"), "{said}");
    assert!(answer(&desk, host).contains("username=first\npassword=pw-first\n"));
    // one more behind those that keyfob has
    write(&plain(&desk), line("first") + &line("second") + &line("fourth"));
    desk.keyfob(&["setup", "git", "--import-stored", "--remove"]).success();
    assert!(answer(&desk, host).contains("username=first\npassword=pw-first\n"));
    assert!(answer(&desk, &format!("{host}username=fourth\n")).contains("password=pw-fourth\n"));
    assert_eq!(std::fs::read_to_string(plain(&desk)).unwrap(), "");
}

#[test]
fn a_user_name_that_is_the_secret_is_not_shown() {
    let desk = Desk::new(ROUTES);
    let secrets = ["ghp_0123456789", "0123token", "glpat-0123456789"];
    let lines = format!(
        "https://{}:x-oauth-basic@one.example.org\nhttps://{}:@two.example.org\nhttps://{}:pw@git.example.com\n",
        secrets[0], secrets[1], secrets[2]
    );
    write(&plain(&desk), lines);
    for more in [&["--dry-run"][..], &[], &["--remove"]] {
        let said = desk.keyfob(&[&["setup", "git", "--import-stored"], more].concat()).success();
        assert!(!secrets.iter().any(|secret| said.stdout.contains(secret) || said.stderr.contains(secret)), "{said:?}");
        assert!(said.stdout.contains("taken over\n  https://one.example.org\n  https://two.example.org\n"), "{said:?}");
        assert!(said.stdout.contains("  https://git.example.com has a route"), "{said:?}");
    }
    let left = std::fs::read_to_string(plain(&desk)).unwrap();
    assert_eq!(left, format!("https://{}:pw@git.example.com\n", secrets[2]));
}

#[test]
fn a_kill_at_any_change_leaves_each_password_in_the_file_or_with_keyfob() {
    if !peers::require("strace") {
        return;
    }
    for (name, most) in [("renameat", 4), ("renameat2", 4), ("unlinkat", 4), ("fsync", 4), ("write", 6)] {
        for number in 1..=most {
            let desk = desk();
            let mut command = desk.home.command("strace");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={name}")]);
            command.args(["-e", &format!("inject={name}:signal=KILL:when={number}")]);
            process::run(command.args(["keyfob", "setup", "git", "--import-stored", "--remove"]), b"");
            let left = std::fs::read_to_string(plain(&desk)).unwrap();
            assert!(REST.lines().all(|line| left.contains(line)), "{name} {number}: {left}");
            answers_all_but(&desk, &left);
            let _ = std::fs::remove_file(desk.home.path().join(".git-credentials.lock"));
            desk.keyfob(&["setup", "git", "--import-stored", "--remove"]).success();
            assert_eq!(std::fs::read_to_string(plain(&desk)).unwrap(), REST);
            answers(&desk);
        }
    }
}
