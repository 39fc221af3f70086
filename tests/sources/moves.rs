//! The key on its way to a passphrase, from one to another, and away from one.
use super::passphrase::{ASKED, Guarded, PASSPHRASE};
use crate::support::forge::value;
use crate::support::kernel_keyring;

const OTHER: &str = "another horse entirely";

/// Unattended: the token is there, and nobody was asked or signed in for it.
#[track_caller]
fn still_signed_in(place: &Guarded, token: &str) {
    let answer = place.forge.ask().success();
    assert_eq!(value(&answer.stdout, "password"), token, "{answer:?}");
    assert_eq!((place.forge.server.counts().authorizations, place.forge.server.counts().refreshes), (1, 0));
}

fn configure(place: &Guarded, store: &str) {
    let routes = format!("[git.\"{}\"]\nlogin = \"corp\"\n", place.forge.git.url());
    place.forge.configure(&format!("{store}{}{routes}", place.forge.login("corp", "")));
}

#[test]
fn the_key_moves_from_a_file_to_a_passphrase_to_another_one_and_to_a_file_again() {
    let Some(place) = Guarded::fresh() else { return };
    let file = place.forge.home.path().join("key");
    configure(&place, &format!("[store]\nkey_file = \"{}\"\n", file.display()));
    let token = value(&place.forge.ask().success().stdout, "password").to_owned();

    configure(&place, "[store]\nkey = \"passphrase\"\n");
    let refused = place.forge.keyfob(&["setup", "key"]);
    assert!(refused.code == Some(3) && refused.stderr.contains("nobody can be asked here"), "{refused:?}");
    let moved = place.choose("keyfob setup key", PASSPHRASE).success().stdout;
    assert!(moved.contains("1 record was sealed anew: the key moved from the key file `"), "{moved}");
    assert!(moved.contains("` to your passphrase"), "{moved}");
    still_signed_in(&place, &token);
    std::fs::remove_file(&file).unwrap();
    place.lock();
    place.answer("keyfob status", 1).success();
    still_signed_in(&place, &token);

    // the old one is asked for first, where nobody has it
    place.lock();
    let mut terminal = place.terminal("change", "keyfob setup key passphrase");
    terminal.shows(ASKED, 1);
    terminal.types(format!("{PASSPHRASE}\n"));
    terminal.shows("new passphrase: ", 1);
    terminal.types(format!("{OTHER}\n"));
    terminal.shows("the same again: ", 1);
    terminal.types(format!("{OTHER}\n"));
    let changed = terminal.end().success().stdout;
    assert!(changed.contains("1 record was sealed anew") && !changed.contains(OTHER), "{changed}");
    still_signed_in(&place, &token);
    place.lock();
    let mut wrong = place.terminal("wrong", "keyfob status");
    wrong.shows(ASKED, 1);
    wrong.types(format!("{PASSPHRASE}\n"));
    wrong.shows("that is not it; passphrase: ", 1);
    wrong.types(format!("{OTHER}\n"));
    wrong.end().success();

    configure(&place, &format!("[store]\nkey_file = \"{}\"\n", file.display()));
    let moved = place.forge.keyfob(&["setup", "key"]).success().stdout;
    assert!(moved.contains("the key moved from your passphrase to the key file `"), "{moved}");
    assert_eq!(kernel_keyring::key_of(&place.forge.home), None, "the copy went with it");
    still_signed_in(&place, &token);
    place.forge.home.scan_for_secrets(&[PASSPHRASE.to_owned(), OTHER.to_owned()]);
    std::fs::remove_dir_all(place.forge.home.path().join("said")).unwrap();
    place.forge.check();
}

/// Each of two hints must lead on: `keyfob setup key` cannot move what is gone, so a sign-in begins anew where the settings say.
#[test]
fn a_key_that_is_gone_with_the_kernels_keyring_keeps_nobody_from_choosing_another_place() {
    for elsewhere in ["key_file = \"KEY\"", "key = \"passphrase\""] {
        let Some(place) = Guarded::fresh() else { return };
        configure(&place, "[store]\nkey = \"kernel\"\n");
        place.forge.ask().success();
        kernel_keyring::forget(&place.forge.home.state());
        let key = place.forge.home.path().join("key").display().to_string();
        configure(&place, &format!("[store]\n{}\n", elsewhere.replace("KEY", &key)));
        let gone = place.terminal("gone", "keyfob setup key").end();
        assert!(gone.stdout.contains("run `keyfob login` again"), "{gone:?}");
        if elsewhere.starts_with("key_file") {
            place.forge.keyfob(&["login", "corp"]).success();
        } else {
            place.choose("keyfob login corp", PASSPHRASE).success();
        }
        let answer = place.forge.ask().success().stdout;
        assert!(place.forge.server.is_alive(value(&answer, "password")), "{elsewhere}");
        let kept = place.forge.home.files().iter().filter(|file| file.to_string_lossy().contains(".bad-")).count();
        assert_eq!(kept, 1, "{elsewhere}: what was sealed with it is kept aside");
    }
}
