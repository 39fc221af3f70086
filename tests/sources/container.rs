//! A passphrase where the kernel's keyring is forbidden, as in a container: each command asks, and the worker gets the key by the pipe.
use super::passphrase::{ASKED, Guarded, NOBODY, PASSPHRASE};
use super::typing::{answer_three, three_at_once};
use crate::support::authorization_server::Endpoint;
use crate::support::forge::value;
use crate::support::process::Output;
use crate::support::temp_dir::write;
use crate::support::{kernel_keyring, peers, process};

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
    place.forge.server.set_access_life(0);
    assert_eq!(place.choose("keyfob login corp", PASSPHRASE).code, Some(4), "a token that has ended when it comes");
    place.forge.home.forget_failures();
    let secrets = place.secrets();
    assert!(secrets.len() > 3, "the key itself is among them");
    place.lock();
    place.forge.server.set_access_life(3600);
    let hold = place.forge.server.hold(Endpoint::Token);
    let earlier = place.forge.server.counts().token_requests;
    let mut terminal = place.terminal("forbidden", &forbidden("keyfob git get <request >\"$SAID/answer\""));
    terminal.shows(ASKED, 1);
    terminal.types(format!("{PASSPHRASE}\n"));
    place.forge.server.wait_for(Endpoint::Token, earlier + 1);
    assert_eq!(place.forge.workers().len(), 1, "the refresh is under way");
    place.forge.home.scan_for_secrets(&secrets);
    hold.release();
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

#[test]
fn where_the_kernel_keeps_no_key_those_at_one_terminal_ask_one_after_the_other() {
    if !peers::require("strace") {
        return;
    }
    let Some(place) = Guarded::locked() else { return };
    answer_three(&place, &three_at_once(&forbidden("keyfob token corp")), 3);
    assert_eq!(kernel_keyring::key_of(&place.forge.home), None);
}

/// Runs `line` where there is neither a kernel's keyring nor a person.
fn alone(place: &Guarded, line: &str) -> Output {
    process::run(place.forge.command("sh").args(["-c", &forbidden(line)]), b"")
}

#[test]
fn a_refused_token_is_erased_by_who_types_the_passphrase_and_else_it_is_said() {
    if !peers::require("strace") {
        return;
    }
    let Some(place) = Guarded::locked() else { return };
    let get = forbidden("keyfob git get <request >\"$SAID/answer\"");
    place.answer(&get, 1).success();
    let answer = || std::fs::read_to_string(place.forge.home.path().join("said/answer/answer")).unwrap();
    let refused = value(&answer(), "password").to_owned();
    // as a git does that knows no marks
    let entry = format!("protocol=http\nhost=127.0.0.1:{}\nusername=oauth2\npassword={refused}\n", place.forge.git.port());
    write(&place.forge.home.path().join("offered"), entry);
    let said = alone(&place, "keyfob git erase <offered");
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.lines().count()), (Some(0), "", 1), "{said:?}");
    assert!(said.stderr.contains(NOBODY), "{said:?}");
    let said = place.answer(&forbidden("keyfob git store <offered"), 0).success();
    assert_eq!(said.stdout, "", "what git hands back is no news: {said:?}");
    place.answer(&get, 1).success();
    assert_eq!(value(&answer(), "password"), refused, "nothing was erased so far");
    place.answer(&forbidden("keyfob git erase <offered"), 1).success();
    place.answer(&get, 1).success();
    assert_ne!(value(&answer(), "password"), refused);
    let counts = place.forge.server.counts();
    assert_eq!((counts.refreshes, counts.authorizations), (1, 1));
}

#[test]
fn docker_keeps_no_token_of_ours_and_what_it_keeps_goes_before_the_route_though_the_key_is_locked() {
    if !peers::require("strace") {
        return;
    }
    let Some(place) = Guarded::locked() else { return };
    let route = "[docker.\"reg.example.org\"]\nlogin = \"corp\"\n";
    place.forge.configure(&format!("[store]\nkey = \"passphrase\"\n{}{route}", place.forge.login("corp", "")));
    let get = "printf reg.example.org | keyfob docker get";
    let got = place.answer(&format!("{} >\"$SAID/answer\"", get.replace("keyfob", &forbidden("keyfob"))), 1).success();
    let answer = std::fs::read_to_string(place.forge.home.path().join("said/answer/answer")).unwrap();
    let ours: serde_json::Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer} {got:?}"));
    assert!(place.forge.server.is_alive(ours["Secret"].as_str().unwrap()));
    write(&place.forge.home.path().join("offered"), answer);
    let records = || {
        let files = place.forge.home.files();
        files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "rec")).count()
    };
    let before = records();
    let store = "keyfob docker store <offered";
    let said = alone(&place, store);
    assert!(said.code == Some(1) && said.stdout.contains(NOBODY), "{said:?}");
    place.answer(&forbidden(store), 1).success();
    assert_eq!(records(), before, "our own token is no entry");
    let own = "{\"ServerURL\":\"reg.example.org\",\"Username\":\"alice\",\"Secret\":\"pw-own\"}";
    write(&place.forge.home.path().join("offered"), own);
    place.answer(&forbidden(store), 1).success();
    assert_eq!(records(), before + 1);
    let got = place.answer(get, 1).success();
    assert!(got.stdout.contains("pw-own"), "{got:?}");
    place.lock();
    let said = process::run(place.forge.command("sh").args(["-c", get]), b"");
    assert!(said.code == Some(1) && said.stdout.contains(NOBODY) && said.stdout.lines().count() == 1, "{said:?}");
    place.answer("keyfob docker list; keyfob status", 1).success();
}
