//! What git's person is told where something is in the way, and that nobody is told of what is none of ours.
use crate::support::forge::{Forge, value};
use crate::support::home::Home;
use crate::support::kernel_keyring::Forgets;
use crate::support::peers;
use crate::support::process::{self, Output};
use crate::support::temp_dir::write;
use crate::support::terminal::Terminal;
use std::path::PathBuf;
use std::process::Command;

const ELSEWHERE: &str = "protocol=https\nhost=elsewhere.example\n\n";

/// The folder of the records.
fn records(home: &Home) -> PathBuf {
    let mut folders = std::fs::read_dir(home.state().join("keyfob/v1")).unwrap().flatten().map(|entry| entry.path());
    folders.find(|path| path.is_dir()).expect("a store was made")
}

fn chmod(mode: &str, path: &PathBuf) {
    assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
}

/// `keyfob git action` in the forge's home, changed.
#[track_caller]
fn git(forge: &Forge, action: &str, request: &str, change: impl FnOnce(&mut Command)) -> Output {
    let mut command = forge.command("keyfob");
    command.args(["git", action]);
    change(&mut command);
    process::run(&mut command, request.as_bytes()).success()
}

/// The configured host's failure is `because`, and git is told to ask nobody else; of another host there is not a word.
#[track_caller]
fn is_told(forge: &Forge, because: &str, change: impl Fn(&mut Command)) {
    let ours = git(forge, "get", &forge.request(), &change);
    assert_eq!(ours.stdout, "quit=1\n", "{because}: {ours:?}");
    assert!(ours.stderr.starts_with("keyfob: error: ") && ours.stderr.contains(because), "{because}: {ours:?}");
    let other = git(forge, "get", ELSEWHERE, &change);
    assert_eq!((other.stdout.as_str(), other.stderr.as_str()), ("", ""), "{because}");
}

#[test]
fn where_the_store_does_not_open_git_is_told_to_quit_on_a_configured_host_and_nothing_on_others() {
    let forge = Forge::new();
    forge.ask().success();
    forge.wait_for_quiet();
    let folder = records(&forge.home);
    chmod("777", &folder);
    is_told(&forge, "is open to other users", |_| {});
    // git does not ask for a user name instead
    forge.script("ask", "echo \"$1\" >>\"$HOME/asked\"; echo x");
    let url = forge.git.create("hello");
    let mut clone = forge.command("git");
    clone.args(["clone", "--quiet", &url, "work"]).env("GIT_ASKPASS", forge.home.bin().join("ask"));
    let output = process::run(&mut clone, b"");
    assert!(output.code == Some(128) && output.stderr.contains("told us to quit"), "{output:?}");
    assert!(!forge.home.path().join("asked").exists());
    chmod("700", &folder);
    let whole = std::fs::read(folder.join("store")).unwrap();
    write(&folder.join("store"), "damage");
    is_told(&forge, &folder.join("store").display().to_string(), |_| {});
    write(&folder.join("store"), whole);
    assert_eq!(value(&forge.ask().success().stdout, "username"), "oauth2");
    forge.check();
}

#[test]
fn without_a_home_a_configured_host_says_so_and_others_are_silent() {
    let forge = Forge::new();
    let config = forge.home.config_file();
    let homeless = |command: &mut Command| {
        for name in ["HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.env("KEYFOB_CONFIG", &config);
    };
    is_told(&forge, "`HOME` is not set", homeless);
    let nothing_known = git(&forge, "get", ELSEWHERE, |command| {
        homeless(command);
        command.env_remove("KEYFOB_CONFIG");
    });
    assert_eq!((nothing_known.stdout.as_str(), nothing_known.stderr.as_str()), ("", ""));
}

#[test]
fn a_key_file_by_a_relative_path_is_an_error_and_no_key_goes_elsewhere() {
    let forge = Forge::new();
    let relative = |command: &mut Command| {
        command.env("KEYFOB_KEY_FILE", "rel/key");
    };
    is_told(&forge, "`KEYFOB_KEY_FILE` is not an absolute path", relative);
    for arguments in [["login", "corp"].as_slice(), &["token", "corp"], &["status"], &["setup", "key"]] {
        let mut command = forge.command("keyfob");
        relative(command.args(arguments));
        let output = process::run(&mut command, b"");
        assert_eq!(output.code, Some(6), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains("`KEYFOB_KEY_FILE` is not an absolute path"), "{arguments:?}: {output:?}");
    }
    assert!(!forge.home.state().join("keyfob").exists() && forge.server.requests().is_empty());
}

/// What git before 2.46 sends back after a refusal.
fn erasure(forge: &Forge, password: &str) -> String {
    format!("protocol=http\nhost=127.0.0.1:{}\nusername=oauth2\npassword={password}\n", forge.git.port())
}

#[test]
fn an_older_git_whose_token_is_refused_is_told_once_to_run_the_command_again_where_that_helps() {
    let forge = Forge::new();
    let answer = forge.ask().success().stdout;
    let token = value(&answer, "password").to_owned();
    let erase = |request: &str| git(&forge, "erase", request, |_| {}).stderr;
    assert_eq!(erase(&erasure(&forge, "another")), "");
    let told = erase(&erasure(&forge, &token));
    let host = format!("127.0.0.1:{}", forge.git.port());
    assert_eq!(told, format!("keyfob: {host} refused the token: run the command again, which renews it\n"));
    assert_eq!(erase(&erasure(&forge, &token)), "", "it is known by now");
    let next = value(&forge.ask().success().stdout, "password").to_owned();
    assert!(next != token && forge.server.is_alive(&next));
    // a git that comes back by itself needs no such word
    forge.home.run(["login", "corp"], "").success();
    let next = value(&forge.ask().success().stdout, "password").to_owned();
    assert_eq!(erase(&format!("capability[]=state\n{}", erasure(&forge, &next))), "");
    // without a refresh token the next command is a sign-in
    let issuer = forge.server.issuer();
    let login = format!("[login.corp]\nissuer = \"{issuer}\"\nclient_id = \"keyfob\"\nscopes = [\"openid\"]\n");
    forge.configure(&format!("{login}[git.\"{}\"]\nlogin = \"corp\"\n", forge.git.url()));
    let last = value(&forge.ask().success().stdout, "password").to_owned();
    assert_eq!(erase(&erasure(&forge, &last)), "");
    forge.check();
}

#[test]
fn of_more_credentials_of_a_host_than_a_record_holds_the_oldest_go_and_that_is_said() {
    let home = Home::new();
    let store = |user: &str, password: &str| {
        let entry = format!("protocol=https\nhost=full.example\nusername={user}\npassword={password}\n\n");
        home.run(["git", "store"], &entry).success().stderr
    };
    let has = |user: &str| {
        let question = format!("protocol=https\nhost=full.example\nusername={user}\n\n");
        home.run(["git", "get"], &question).success().stdout.contains("password=")
    };
    let told: Vec<String> = (0..30).map(|number| store(&format!("user{number}"), &"p".repeat(3000))).collect();
    let kept: Vec<bool> = (0..30).map(|number| has(&format!("user{number}"))).collect();
    let gone = kept.iter().filter(|kept| !**kept).count();
    assert!((5..15).contains(&gone), "{kept:?}");
    assert!(kept[..gone].iter().all(|kept| !kept) && kept[gone..].iter().all(|kept| *kept), "the oldest go: {kept:?}");
    let words = "keyfob: warning: full.example has more stored credentials than can be kept, so the oldest of them went";
    let said = told.iter().filter(|line| line.starts_with(words) && line.lines().count() == 1).count();
    assert_eq!((said, told.iter().filter(|line| line.is_empty()).count()), (gone, 30 - gone), "{told:?}");
    let large = store("large", &"p".repeat(70_000));
    assert!(large.starts_with("keyfob: error: the credential for full.example is not kept"), "{large}");
    assert!(!large.contains("defect") && !has("large") && has("user29"), "{large}");
}

#[test]
fn what_lasts_until_the_next_start_of_the_machine_is_said_when_its_key_is_made_and_then_no_more() {
    if !peers::require("keyctl") {
        return;
    }
    const TOLD: &str = "this lasts until this machine starts again";
    let mut forge = Forge::new();
    forge.home.forget_key_file();
    forge.configure(&format!(
        "[store]\nkey = \"kernel\"\n{}[git.\"{}\"]\nlogin = \"corp\"\n",
        forge.login("corp", ""),
        forge.git.url()
    ));
    let keys = Forgets::the_keys_of(&forge.home);
    forge.caller(); // leaves the request
    for (round, name) in ["first", "second"].into_iter().enumerate() {
        let terminal = Terminal::open(&forge.home, name, "keyfob git get <request >\"$SAID/answer\"");
        let shown = terminal.end().success().stdout;
        assert_eq!(shown.matches(TOLD).count(), usize::from(round == 0), "{shown}");
    }
    drop(keys);
    let mut home = Home::without_key_file();
    home.set("KEYFOB_CONFIG", &home.config_file().display().to_string());
    home.write_config("[store]\nkey = \"kernel\"\n");
    let _keys = Forgets::the_keys_of(&home);
    write(&home.path().join("typed"), "protocol=https\nhost=kept.example\nusername=u\npassword=typed-by-hand\n\n");
    for (round, name) in ["first", "second"].into_iter().enumerate() {
        let shown = Terminal::open(&home, name, "keyfob git store <typed").end().success().stdout;
        assert_eq!(shown.matches(TOLD).count(), usize::from(round == 0), "{shown}");
    }
}
