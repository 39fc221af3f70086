//! Without any key nothing can be kept: one answer for the one who was signed in, and an error for those who cannot be.
use crate::support::forge::{Forge, at_a_terminal, end, signal, until, value};
use crate::support::process;

const KEYLESS: &str = "[store]\nkey = \"none\"\n";

fn forge() -> Forge {
    let mut forge = Forge::new();
    forge.home.forget_key_file();
    forge.configure(&format!("{KEYLESS}{}[git.\"{}\"]\nlogin = \"corp\"\n", forge.login("corp", ""), forge.git.url()));
    forge
}

#[test]
fn at_a_terminal_the_token_goes_to_the_one_who_asked_and_nothing_is_kept() {
    let forge = forge();
    for round in 1..=2 {
        end(at_a_terminal(&forge, "keyfob git get <request >said/answer"));
        let answer = std::fs::read_to_string(forge.home.path().join("said/answer")).unwrap();
        assert!(forge.server.is_alive(value(&answer, "password")), "{answer:?}");
        assert_eq!(forge.server.counts().authorizations, round, "each is a sign-in of its own");
    }
    let kept = forge.home.files().into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rec")).count();
    assert_eq!(kept, 0);
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    forge.check();
}

#[test]
fn a_sign_in_that_can_reach_nobody_any_more_ends_and_a_sign_out_says_who_can_stop_it() {
    let forge = forge();
    forge.home.browser("never");
    let terminal = at_a_terminal(&forge, "keyfob git get <request & echo $! >said/caller; wait");
    forge.home.wait_for_browser_runs(1);
    let said = forge.keyfob(&["logout", "corp"]).success();
    assert!(said.stdout.contains("Ctrl-C where its sign-in was begun"), "{said:?}");
    assert_eq!(forge.workers().len(), 1);
    let caller = std::fs::read_to_string(forge.home.path().join("said/caller")).unwrap();
    signal("KILL", caller.trim());
    end(terminal);
    until("the worker ends", || forge.workers().is_empty());
    let said = forge.keyfob(&["logout", "corp"]).success();
    assert_eq!(said.stdout, "corp: was not signed in\n");
    forge.check();
}

#[test]
fn without_a_terminal_the_error_says_how_to_keep_tokens() {
    let forge = forge();
    let output = forge.ask();
    assert_eq!(output.stdout, "quit=1\n", "{output:?}");
    assert!(output.stderr.contains("nothing could be kept: name a key file in `KEYFOB_KEY_FILE`"), "{output:?}");
    assert!(output.stderr.contains("hint: set KEYFOB_KEY_FILE to where a key may be made, then run `keyfob login"), "{output:?}");
    assert_eq!(forge.server.counts().authorizations, 0);
    assert!(forge.home.browser_runs().is_empty());
    forge.check();
}

#[test]
fn what_a_tool_gives_to_keep_is_not_kept_either_though_a_store_was_made() {
    let forge = forge();
    forge.ask();
    let store = std::fs::read_dir(forge.home.state().join("keyfob/v1")).unwrap().flatten().count();
    assert_eq!(store, 1, "asking makes the folder");
    let entry = b"protocol=https\nhost=kept.example.org\nusername=alice\npassword=pw-kept\n\n";
    let output = process::run(forge.command("keyfob").args(["git", "store"]), entry).success();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    let kept = forge.home.files().into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rec")).count();
    assert_eq!(kept, 0);
    let status = forge.keyfob(&["status"]).success().stdout;
    assert!(status.contains("key: no key so far"), "{status}");
    forge.check();
}
