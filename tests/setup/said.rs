//! What it says: true of this machine, and with what mends it.
use super::effect::gits;
use super::hosts::{Desk, ROUTES};
use crate::support::peers;
use crate::support::process;
use crate::support::scene::one_error;
use crate::support::temp_dir::write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Lets `git` in this home be a script that runs `first` and then `git`.
fn wrap(desk: &Desk, git: &Path, first: &str) {
    let program = desk.home.bin().join("git");
    write(&program, format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", git.display()));
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_git_without_scopes_is_set_up_and_only_an_import_needs_a_newer_one() {
    for git in gits() {
        let desk = Desk::new(ROUTES);
        // as git 2.25 answers
        let old = "case \"$*\" in *--show-scope*) echo \"error: unknown option \\`show-scope'\" >&2\n\
                   echo 'usage: git config [<options>]' >&2; exit 129;; esac";
        wrap(&desk, &git, old);
        let said = desk.keyfob(&["setup", "git"]).success();
        assert!(said.stdout.contains("git now asks keyfob, and nobody else, for\n") && said.stderr.is_empty(), "{said:?}");
        desk.keyfob(&["setup", "git", "--undo"]).success();
        for import in ["--import", "--import-stored"] {
            let refused = desk.keyfob(&["setup", "git", import]);
            one_error(&refused);
            assert!(refused.code == Some(6) && refused.stderr.contains("git 2.26 or newer is needed"), "{refused:?}");
            assert!(!refused.stderr.contains("mend"), "{refused:?}");
        }
        wrap(&desk, &git, &old.replace("show-scope", "show-origin"));
        let refused = desk.keyfob(&["setup", "git"]);
        one_error(&refused);
        assert!(refused.code == Some(6) && refused.stderr.contains("git 2.8 or newer is needed"), "{refused:?}");
        assert!(!refused.stderr.contains("mend") && !desk.file().exists(), "{refused:?}");
    }
}

#[test]
fn of_what_git_complains_about_the_error_is_shown_and_not_a_warning_before_it() {
    for git in gits() {
        let desk = Desk::new(ROUTES);
        let fails = "case \"$*\" in *--show-origin*) echo 'warning: unable to access something' >&2\n\
                     echo 'fatal: bad config line 3' >&2; exit 128;; esac";
        wrap(&desk, &git, fails);
        let refused = desk.keyfob(&["setup", "git"]);
        one_error(&refused);
        assert!(refused.stderr.contains("cannot read its configuration: fatal: bad config line 3"), "{refused:?}");
    }
}

#[test]
fn the_url_that_names_an_account_is_one_that_git_takes() {
    let desk = Desk::new(&["http://alice%40corp.com@127.0.0.1:8080/git", "http://bob@127.0.0.1:8080/git"]);
    let said = desk.keyfob(&["setup", "git"]).success().stdout;
    assert!(said.contains(": name one in the URL, as http://alice%40corp.com@127.0.0.1:8080/git\n"), "{said}");
    // one beside them answers where none is named
    desk.configure(&["https://h.example.com", "https://alice@h.example.com", "https://bob@h.example.com"]);
    let said = desk.keyfob(&["setup", "git"]).success().stdout;
    assert!(said.contains("  https://h.example.com, and as alice, bob where the URL names one\n"), "{said}");
    assert!(!said.contains("name one in the URL"), "{said}");
}

#[test]
fn who_else_is_asked_is_said_with_a_place_in_words_and_a_command_that_lists_it() {
    let desk = Desk::new(&ROUTES[..1]);
    let run = |pairs: &[(&str, &str)]| {
        let mut command = desk.home.keyfob(["setup", "git"]);
        command.env("GIT_CONFIG_COUNT", pairs.len().to_string());
        for (number, (key, value)) in pairs.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        process::run(&mut command, b"").success().stderr
    };
    let said = run(&[("credential.helper", "store")]);
    assert!(said.contains("to `store`, too") && said.contains("take that helper out of the environment"), "{said}");
    assert!(!said.contains("command line:"), "{said}");
    let said = run(&[("credential.https://git.example.com.helper", "")]);
    assert!(said.contains("git does not ask keyfob for https://git.example.com"), "{said}");
    assert!(said.contains("see `git config --show-origin --get-regexp '^credential'`"), "{said}");
}

#[test]
fn an_empty_name_of_gits_file_is_no_file_for_keyfob_either() {
    let desk = Desk::new(ROUTES);
    for words in [&["setup", "git"][..], &["setup", "git", "--undo"]] {
        let refused = process::run(desk.home.keyfob(words).env("GIT_CONFIG_GLOBAL", ""), b"");
        one_error(&refused);
        assert!(refused.code == Some(6) && refused.stderr.contains("`GIT_CONFIG_GLOBAL` is empty"), "{refused:?}");
        assert!(!desk.file().exists());
    }
}

#[test]
fn a_url_below_a_route_is_said_to_be_answered_by_that() {
    let desk = Desk::new(ROUTES);
    for (named, url) in [
        ("https://git.example.com/foo", "https://git.example.com"),
        ("git.example.com/team/app.git", "https://git.example.com/team"),
    ] {
        let refused = desk.keyfob(&["setup", "git", named]);
        one_error(&refused);
        let expected = format!("`{named}` has no route of its own: the one for {url} answers it");
        assert!(refused.code == Some(1) && refused.stderr.contains(&expected), "{refused:?}");
        assert!(refused.stderr.contains(&format!("run `keyfob setup git {url}`")), "{refused:?}");
    }
}

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
fn the_help_says_that_flags_stay_until_undo() {
    let desk = Desk::new(ROUTES);
    let help = desk.keyfob(&["setup", "git", "--help"]).success().stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("what you type in for them is kept; stays until --undo"), "{help}");
    assert!(help.contains("public repositories then need it, too; stays until --undo"), "{help}");
}

#[test]
fn a_git_that_ignores_proactive_authentication_is_named() {
    use crate::git::versions::{newer, older};
    for (git, ignores) in [(older(), true), (newer(), false)] {
        let Some(git) = git else { continue };
        let desk = Desk::new(ROUTES);
        wrap(&desk, &git, "");
        let said = desk.keyfob(&["setup", "git", "--proactive-auth"]).success();
        assert_eq!(said.stderr.contains("ignores `http.proactiveAuth`"), ignores, "{said:?}");
        assert_eq!(said.stderr.contains("2.46 or newer"), ignores, "{said:?}");
        let said = desk.keyfob(&["setup", "git"]).success();
        assert_eq!(said.stderr, "", "it was said when it was asked for");
    }
}

#[test]
fn a_host_in_another_script_is_to_be_written_in_ascii() {
    let desk = Desk::new(&["https://größe.example"]);
    let refused = desk.keyfob(&["setup", "git"]);
    one_error(&refused);
    assert!(refused.code == Some(6) && refused.stderr.contains("xn--"), "{refused:?}");
}

/// The state of a desk where `git config --global` put a helper behind keyfob's lines.
fn overtaken(all_hosts: bool) -> Desk {
    let desk = Desk::new(&ROUTES[..1]);
    write(&desk.file(), "[user]\n\tname = x\n");
    desk.keyfob(if all_hosts { &["setup", "git", "--all-hosts"] } else { &["setup", "git"] }).success();
    let words = ["config", "--global", "--replace-all", "credential.helper", "store"];
    let words = if all_hosts { ["config", "--global", "--add", "credential.helper", "store"] } else { words };
    desk.git(&words).success();
    desk
}

/// The plain file of `git credential-store` after git was told of a password.
fn plain(desk: &Desk) -> Option<String> {
    let path: PathBuf = desk.home.path().join(".git-credentials");
    let told = "protocol=https\nhost=git.example.com\nusername=me\npassword=a-token-0123456789\n";
    process::run(desk.home.command("git").args(["credential", "approve"]), told.as_bytes()).success();
    let found = std::fs::read_to_string(&path).ok();
    let _ = std::fs::remove_file(path);
    found
}

#[test]
fn a_helper_that_git_config_put_behind_the_reset_is_reset_by_a_second_run() {
    for all_hosts in [false, true] {
        let desk = overtaken(all_hosts);
        assert!(plain(&desk).is_some_and(|text| text.contains("a-token-0123456789")), "or what follows proves nothing");
        let said = desk.keyfob(&["setup", "git"]).success();
        assert!(said.stdout.contains("git now asks keyfob, and nobody else, for") && said.stderr.is_empty(), "{said:?}");
        assert_eq!(plain(&desk), None);
    }
}

#[test]
fn status_says_which_helper_stands_behind_keyfobs_and_is_told_the_token() {
    for all_hosts in [false, true] {
        let desk = overtaken(all_hosts);
        let line = "git: it hands the token for https://git.example.com to `store`, too (`keyfob setup git`)\n";
        let said = desk.keyfob(&["status"]).success();
        assert!(said.stdout.contains(line), "{all_hosts}: {said:?}");
        desk.keyfob(&["setup", "git"]).success();
        let said = desk.keyfob(&["status"]).success();
        assert!(!said.stdout.contains("git:"), "{said:?}");
        // one line, however many places there are
        desk.configure(ROUTES);
        desk.keyfob(&["setup", "git"]).success();
        write(&desk.file(), desk.content() + "[credential]\n\thelper = store\n");
        let said = desk.keyfob(&["status"]).success();
        let places = "https://git.example.com, https://git.example.com/team, https://two.example.com";
        let line = format!("git: it hands the token for {places} to `store`, too (`keyfob setup git`)\n");
        assert!(said.stdout.ends_with(&line) && said.stdout.matches("git:").count() == 1, "{said:?}");
        // nor where it is not set up, or there is no git
        desk.keyfob(&["setup", "git", "--undo"]).success();
        assert!(!desk.keyfob(&["status"]).success().stdout.contains("git:"));
        let said = process::run(desk.home.keyfob(["status"]).env("PATH", "/nowhere"), b"").success();
        assert!(!said.stdout.contains("git:"), "{said:?}");
    }
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
