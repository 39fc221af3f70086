//! A damaged record costs its own login a new sign-in and nobody else anything, with every kind of key.
use super::key_sources::{KeySource, Place};
use super::login;
use crate::support::peers::OidcProvider;
use crate::support::process;

/// Flips one bit of the sealed part of `corp`'s record.
fn damage(source: KeySource) {
    let Some(place) = Place::new(source) else { return };
    let Some(server) = OidcProvider::start() else { return };
    place.configure(&server, &login(&server, "other", ", \"repo:read\""));
    place.keyfob(&["login", "other"], "").success();
    let with_one = place.files();
    place.keyfob(&["login", "corp"], "").success();
    let with_both = place.files();
    let other = place.keyfob(&["token", "other"], "").success().stdout;
    let corp = place.keyfob(&["token", "corp"], "").success().stdout;
    let mut added = with_both.iter().filter(|(name, content)| !with_one.contains_key(*name) && !content.is_empty());
    let (name, sealed) = added.next().expect("the second sign-in made a record");
    assert_eq!(added.next(), None);
    let mut damaged = sealed.clone();
    *damaged.last_mut().unwrap() ^= 1;
    place.replace(name, &damaged);

    let asked = server.stats()["requests"].clone();
    assert_eq!(place.keyfob(&["token", "other"], "").success().stdout, other);
    let said = process::run(place.command("keyfob").args(["token", "corp"]).env("KEYFOB_INTERACTIVE", "never"), b"");
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{}", said.stderr);
    assert!(said.stderr.contains("run `keyfob login corp`"), "{}", said.stderr);
    assert_eq!(server.stats()["requests"], asked, "neither the one nor the other asked the server");
    assert_eq!(place.files()[name], damaged, "it is not touched before there is something to put in its place");

    let again = place.keyfob(&["token", "corp"], "").success().stdout;
    assert_ne!(again, corp);
    let after = place.files();
    let kept_aside: Vec<&String> = after.iter().filter(|(_, content)| **content == damaged).map(|(name, _)| name).collect();
    assert!(matches!(kept_aside[..], [aside] if aside != name && aside.contains(".bad-")), "{:?}", after.keys());
    assert_eq!(place.keyfob(&["token", "other"], "").success().stdout, other);
    assert_eq!(place.home.wait_for_browser_runs(3).len(), 3);
    assert_eq!(server.token_requests("authorization_code", "ok"), 3);
}

#[test]
fn a_damaged_record_asks_for_its_own_sign_in_alone_with_a_key_in_the_secret_service() {
    damage(KeySource::SecretService);
}

#[test]
fn a_damaged_record_asks_for_its_own_sign_in_alone_with_a_key_file() {
    damage(KeySource::KeyFile);
}

#[test]
fn a_damaged_record_asks_for_its_own_sign_in_alone_with_a_key_in_the_kernel() {
    damage(KeySource::Kernel);
}
