//! A passphrase where the kernel's keyring is forbidden, as in a container: each command asks, and the worker gets the key by the pipe.
use super::passphrase::{ASKED, Guarded, NOBODY, PASSPHRASE};
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::value;
use crate::support::{kernel_keyring, peers, process};
use std::time::Duration;

/// A line that runs `line` where the kernel's keyring is forbidden, as in a container.
fn forbidden(line: &str) -> String {
    format!("strace -f -qq -o /dev/null -e inject=keyctl:error=EPERM -e inject=add_key:error=EPERM {line}")
}

#[test]
fn where_the_kernel_keeps_no_key_each_command_asks_and_the_worker_gets_it_from_its_caller() {
    if !peers::require("strace") {
        return;
    }
    let Some(place) = Guarded::fresh() else { return };
    place.forge.server.set_access_life(2);
    place.choose("keyfob login corp", PASSPHRASE).success();
    let secrets = place.secrets();
    assert!(secrets.len() > 3, "the key itself is among them");
    place.lock();
    std::thread::sleep(Duration::from_millis(2100));
    place.forge.server.set_access_life(3600);
    place.forge.server.fault(Endpoint::Token, Fault::Delay(1500));
    let earlier = place.forge.server.counts().token_requests;
    let mut terminal = place.terminal("forbidden", &forbidden("keyfob git get <request >\"$SAID/answer\""));
    terminal.shows(ASKED, 1);
    terminal.types(format!("{PASSPHRASE}\n"));
    place.forge.server.wait_for(Endpoint::Token, earlier + 1, Duration::from_secs(20));
    assert_eq!(place.forge.workers().len(), 1, "the refresh is under way");
    place.forge.home.scan_for_secrets(&secrets);
    let output = terminal.end().success();
    assert_eq!(output.stdout.matches(ASKED).count(), 1, "{output:?}");
    let answer = std::fs::read_to_string(place.forge.home.path().join("said/forbidden/answer")).unwrap();
    assert!(place.forge.server.is_alive(value(&answer, "password")));
    assert_eq!(kernel_keyring::key_of(&place.forge.home), None);
    let counts = place.forge.server.counts();
    assert_eq!((counts.refreshes, counts.authorizations), (1, 1));
    // what the worker kept is answered, for whoever knows the passphrase
    place.answer(&forbidden("keyfob git get <request"), 1).success();
    assert_eq!(place.forge.server.counts(), counts);
}

#[test]
fn a_first_passphrase_can_be_chosen_where_the_kernel_keeps_no_key() {
    if !peers::require("strace") {
        return;
    }
    let Some(place) = Guarded::fresh() else { return };
    place.choose(&forbidden("keyfob login corp"), PASSPHRASE).success();
    assert_eq!(kernel_keyring::key_of(&place.forge.home), None);
    let said = process::run(place.forge.command("sh").args(["-c", &forbidden("keyfob token corp")]), b"");
    assert!(said.code == Some(3) && said.stderr.contains(NOBODY), "{said:?}");
    place.answer(&forbidden("keyfob token corp"), 1).success();
    assert_eq!(place.forge.server.counts().authorizations, 1);
}
