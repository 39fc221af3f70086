//! A locked Secret Service: it is said, no other key is made, and nothing is lost.
use super::key_sources::{KeySource, Place};
use crate::support::peers::OidcProvider;
use serde_json::{Value, json};

#[test]
fn a_locked_keyring_is_named_and_costs_nothing_but_the_wait_for_it_to_be_unlocked() {
    let Some(mut place) = Place::new(KeySource::SecretService) else { return };
    let Some(server) = OidcProvider::start() else { return };
    place.configure(
        &server,
        "[git.\"https://git.example.com\"]\nlogin = \"corp\"\n[docker.\"registry.example.com\"]\nlogin = \"corp\"\n",
    );
    place.keyfob(&["login", "corp"], "").success();
    let token = place.keyfob(&["token", "corp"], "").success().stdout;
    let (files, asked) = (place.files(), server.stats()["requests"].clone());

    place.next_session(true);
    let requests: [(&[&str], &str, i32); 4] = [
        (&["token", "corp"], "", 3),
        (&["login", "corp"], "", 3),
        (&["docker", "get"], "registry.example.com", 1),
        (&["git", "get"], "protocol=https\nhost=git.example.com\n\n", 0),
    ];
    for (arguments, stdin, code) in requests {
        let said = place.keyfob(arguments, stdin);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains("your keyring is locked"), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains("unlock it (log in to the desktop"), "{arguments:?}: {said:?}");
        assert!(!said.stdout.contains("password="), "{arguments:?}");
    }
    let sealed = |files: std::collections::BTreeMap<String, Vec<u8>>| -> Vec<(String, Vec<u8>)> {
        // compiled routes are no record, and are left as soon as the configuration is old enough
        files.into_iter().filter(|(name, content)| name != "routes" && !content.is_empty()).collect()
    };
    assert_eq!(sealed(place.files()), sealed(files), "the records and the key's id are what they were");
    assert_eq!(server.stats()["requests"], asked);

    place.next_session(false);
    assert_eq!(place.keyfob(&["token", "corp"], "").success().stdout, token);
    assert_eq!(place.home.wait_for_browser_runs(1).len(), 1);
}

#[test]
fn the_copy_of_the_key_answers_beside_a_locked_keyring_until_it_is_forgotten() {
    let Some(mut place) = Place::new(KeySource::SecretService) else { return };
    let Some(server) = OidcProvider::start() else { return };
    place.configure(&server, "");
    place.keyfob(&["login", "corp"], "").success();
    let token = place.keyfob(&["token", "corp"], "").success().stdout;
    place.keyring_begins_anew(true);
    assert_eq!(place.keyfob(&["token", "corp"], "").success().stdout, token, "the kernel's copy is enough");
    assert!(place.keyfob(&["lock"], "").success().stdout.starts_with("locked: "));
    let said = place.keyfob(&["token", "corp"], "");
    assert!(said.code == Some(3) && said.stderr.contains("your keyring is locked"), "{said:?}");
    place.keyring_begins_anew(false);
    assert_eq!(place.keyfob(&["token", "corp"], "").success().stdout, token);
}

#[test]
fn no_key_is_made_while_the_keyring_is_locked() {
    let Some(mut place) = Place::new(KeySource::SecretService) else { return };
    let Some(server) = OidcProvider::start() else { return };
    place.configure(&server, "");
    place.next_session(true);
    let said = place.keyfob(&["login", "corp"], "");
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{}", said.stderr);
    assert!(said.stderr.contains("your keyring is locked") && said.stderr.contains("hint: unlock it"), "{}", said.stderr);
    assert_eq!(place.meta()["key"], Value::Null);
    assert_eq!(server.stats()["authorizations"], json!({ "begun": 0, "ok": 0, "error": 0 }));
    place.next_session(false);
    place.keyfob(&["login", "corp"], "").success();
    assert_eq!(place.meta()["key"]["source"], "keyring");
}
