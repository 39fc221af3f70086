//! One code for everybody who waits: what a person sees, and how it ends.
use super::{ASK, CTRL_C, LOGIN, Terminal, check, forge, forge_with, notes};
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Options};
use crate::support::forge::{Forge, until, value};
use crate::support::scene::ended_when_it_came;
use crate::support::scene::one_error;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_person_without_a_browser_signs_in_with_a_code() {
    let forge = forge();
    let terminal = Terminal::run(&forge, "one", "git credential fill <request");
    let code = terminal.wait_for_code();
    let page = format!("{}/device", forge.server.issuer());
    terminal.wait_for(&format!(
        "keyfob: git credential needs you to sign in to `corp` at 127.0.0.1: open {page} in any browser and enter the code {code}, or \
         open {page}?user_code={code} and compare the code; waiting - Ctrl-C to stop"
    ));
    assert_eq!(notes(&forge), ["device", "pending"]);
    forge.server.decide(true);
    let output = terminal.end().success();
    assert!(forge.server.is_alive(value(&output.stdout, "password")));
    let counts = forge.server.counts();
    assert_eq!((counts.device_authorizations, counts.devices_redeemed, counts.authorizations), (1, 1, 0));
    assert_eq!((notes(&forge), forge.home.browser_runs().len()), (Vec::new(), 0));
    // the next one is answered from the store
    let asked = forge.server.requests().len();
    assert_eq!(value(&forge.ask().success().stdout, "password"), value(&output.stdout, "password"));
    assert_eq!(forge.server.requests().len(), asked);
    check(&forge);
}

#[test]
fn twenty_terminals_see_one_code_and_are_signed_in_by_it() {
    let forge = forge();
    let terminals: Vec<Terminal<'_>> = (0..20).map(|number| Terminal::run(&forge, &format!("t{number}"), ASK)).collect();
    let code = terminals[0].wait_for_code();
    for terminal in &terminals {
        terminal.wait_for(&format!("the code {code}"));
    }
    assert_eq!((forge.server.user_codes().len(), forge.workers().len()), (1, 1));
    // who comes later sees it, too
    let late = Terminal::run(&forge, "late", ASK);
    late.wait_for("another terminal (");
    late.wait_for(&format!("the code {code}"));
    forge.server.decide(true);
    let answers: Vec<String> = terminals.into_iter().chain([late]).map(|terminal| terminal.end().success().stdout).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(forge.server.is_alive(value(&answers[0], "password")));
    let counts = forge.server.counts();
    assert_eq!((counts.device_authorizations, counts.devices_redeemed), (1, 1));
    check(&forge);
}

#[test]
fn a_client_of_its_own_is_used_for_codes_renewals_and_revocation_and_pkce_where_it_is_wanted() {
    let clients = vec![Client::public("keyfob"), Client::confidential("for-devices", "a secret & more")];
    let server = Arc::new(AuthorizationServer::start_with(Options { clients, ..Options::default() }));
    let judge = Arc::clone(&server);
    let forge = Forge::with(server, move |token| judge.is_alive(token));
    let secret = forge.home.path().join("secret");
    crate::support::temp_dir::write(&secret, "a secret & more\n");
    let more =
        format!("device_client_id = \"for-devices\"\ndevice_client_secret_file = \"{}\"\ndevice_pkce = true\n", secret.display());
    for (number, auth) in ["", "client_auth = \"post\"\n"].into_iter().enumerate() {
        forge.server.configure(|settings| (settings.device, settings.device_pkce) = (true, true));
        let login = forge.login("corp", &format!("{more}{auth}"));
        forge.configure(&format!("{login}[git.\"{}\"]\nlogin = \"corp\"\n", forge.git.url()));
        forge.server.set_access_life(0);
        let terminal = Terminal::run(&forge, &format!("t{number}"), LOGIN);
        until("another code", || forge.server.user_codes().len() == number + 1);
        terminal.wait_for_code();
        forge.server.decide(true);
        ended_when_it_came(&forge.home, &terminal.end());
        forge.server.set_access_life(3600);
        let renewed = forge.ask().success();
        assert!(forge.server.is_alive(value(&renewed.stdout, "password")));
        assert!(forge.keyfob(&["logout", "corp"]).success().stdout.contains("revoked"));
    }
    let counts = forge.server.counts();
    assert_eq!((counts.device_authorizations, counts.devices_redeemed, counts.refreshes, counts.revocations), (2, 2, 2, 4));
    std::fs::remove_file(secret).unwrap();
    check(&forge);
}

#[test]
fn a_no_ends_it_at_once_for_all_who_wait() {
    let forge = forge();
    let first = Terminal::run(&forge, "first", ASK);
    first.wait_for_code();
    let second = Terminal::run(&forge, "second", ASK);
    second.wait_for_code();
    forge.server.decide(false);
    for terminal in [first, second] {
        let output = terminal.end();
        one_error(&output);
        assert!(output.stderr.contains("sign-in was refused in the browser, by you or by policy (access_denied: not today)"));
    }
    assert_eq!((forge.server.counts().device_authorizations, notes(&forge).len()), (1, 0));
    check(&forge);
}

#[test]
fn a_code_that_nobody_used_is_replaced_twice_and_then_given_up() {
    let forge = forge();
    let terminal = Terminal::run(&forge, "one", LOGIN);
    for number in 1..=3 {
        until("another code", || forge.server.user_codes().len() == number);
        terminal.wait_for_code();
        forge.server.end_codes();
    }
    let output = terminal.end();
    one_error(&output);
    let last = forge.server.user_codes().pop().unwrap();
    assert!(output.stderr.contains(&format!("nobody signed in to `corp` with the code {last} within 10 minutes")), "{output:?}");
    assert_eq!((output.code, forge.server.user_codes().len(), notes(&forge).len()), (Some(3), 3, 0));
    check(&forge);
}

#[test]
fn a_code_whose_time_is_over_is_not_polled_for_any_more() {
    let forge = forge();
    forge.server.configure(|settings| settings.device_life = 3);
    let terminal = Terminal::run(&forge, "one", LOGIN);
    terminal.wait_for_code();
    let output = terminal.end();
    one_error(&output);
    assert_eq!((output.code, forge.server.user_codes().len()), (Some(3), 3));
    assert!(forge.server.polls().len() <= 6, "{} polls", forge.server.polls().len());
    check(&forge);
}

#[test]
fn ctrl_c_ends_it_where_nobody_else_waits_and_nothing_is_left() {
    let forge = forge();
    let mut terminal = Terminal::run(&forge, "one", ASK);
    terminal.wait_for_code();
    terminal.press(CTRL_C);
    let output = terminal.end();
    assert!(output.stderr.contains("stopped by Ctrl-C"), "{output:?}");
    until("the worker ends", || forge.workers().is_empty());
    assert_eq!(notes(&forge), Vec::<String>::new());
    // the code is not taken up again by the next one
    let next = Terminal::run(&forge, "next", ASK);
    until("a new code", || forge.server.user_codes().len() == 2);
    next.wait_for_code();
    forge.server.decide(true);
    next.end().success();
    check(&forge);
}

#[test]
fn ctrl_c_of_one_leaves_the_code_to_the_others() {
    let forge = forge();
    let mut first = Terminal::run(&forge, "first", ASK);
    first.wait_for_code();
    let second = Terminal::run(&forge, "second", ASK);
    second.wait_for_code();
    first.press(CTRL_C);
    assert!(first.end().stderr.contains("stopped by Ctrl-C"));
    forge.server.decide(true);
    assert!(forge.server.is_alive(value(&second.end().success().stdout, "password")));
    assert_eq!(forge.server.counts().device_authorizations, 1);
    check(&forge);
}

#[test]
fn a_sign_out_ends_it_and_a_late_yes_signs_nobody_in() {
    let forge = forge();
    let terminal = Terminal::run(&forge, "one", ASK);
    terminal.wait_for_code();
    forge.keyfob(&["logout", "corp"]).success();
    forge.server.decide(true);
    let output = terminal.end();
    one_error(&output);
    assert!(output.stderr.contains("`corp` was signed out meanwhile") || output.stderr.contains("was stopped"), "{output:?}");
    until("the worker ends", || forge.workers().is_empty());
    assert_eq!((forge.server.counts().devices_redeemed, notes(&forge).len()), (0, 0));
    check(&forge);
}

#[test]
fn another_account_than_before_is_given_back_or_where_that_is_asked_for_taken() {
    let forge = forge_with("flow = \"device\"\n");
    let first = Terminal::run(&forge, "first", LOGIN);
    first.wait_for_code();
    forge.server.decide(true);
    first.end().success();
    forge.server.configure(|settings| settings.account = "mallory".into());
    let second = Terminal::run(&forge, "second", LOGIN);
    until("a second code", || forge.server.user_codes().len() == 2);
    second.wait_for_code();
    forge.server.decide(true);
    let output = second.end();
    one_error(&output);
    assert!(output.stderr.contains("signed in another account") && output.stderr.contains("--switch-account"), "{output:?}");
    assert_eq!(forge.server.counts().revocations, 2);
    forge.ask().success();
    let third = Terminal::run(&forge, "third", &format!("{LOGIN} --switch-account"));
    until("a third code", || forge.server.user_codes().len() == 3);
    third.wait_for_code();
    forge.server.decide(true);
    let output = third.end().success();
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(forge.server.families_alive(), [false, false, true]);
    forge.ask().success();
    check(&forge);
}

#[test]
fn polls_keep_the_servers_pace_and_slow_down_for_good() {
    let forge = forge();
    forge.server.configure(|settings| settings.slow_downs = 1);
    let terminal = Terminal::run(&forge, "one", LOGIN);
    terminal.wait_for_code();
    forge.server.wait_for(Endpoint::Token, 3);
    // it has to be answered first; whoever is late to say yes gets one poll more
    std::thread::sleep(Duration::from_millis(500));
    forge.server.decide(true);
    terminal.end().success();
    let issued = forge.server.requests().iter().find(|request| request.endpoint == Endpoint::Device).unwrap().at;
    let polls = forge.server.polls();
    let times: Vec<Duration> = std::iter::once(issued).chain(polls.clone()).zip(polls).map(|(before, at)| at - before).collect();
    let intervals = [1].into_iter().chain(std::iter::repeat(6)).map(Duration::from_secs);
    assert!(times.iter().zip(intervals).all(|(time, interval)| *time >= interval), "{times:?}");
    assert!(times.len() >= 4, "{times:?}");
    // slowed down at each poll, or by the double, the shortest of them would be 11 s or more
    assert!(*times[2..].iter().min().unwrap() < Duration::from_secs(11), "{times:?}");
    check(&forge);
}

#[test]
fn where_nothing_can_be_kept_a_code_signs_in_for_one_answer() {
    let forge = forge();
    let config = std::fs::read_to_string(forge.home.config_file()).unwrap();
    forge.configure(&format!("{config}[store]\nkey = \"none\"\n"));
    for number in 1..=2 {
        let terminal = Terminal::run(&forge, &format!("t{number}"), &format!("env -u KEYFOB_KEY_FILE {ASK}"));
        until("another code", || forge.server.user_codes().len() == number);
        terminal.wait_for_code();
        assert_eq!(notes(&forge), Vec::<String>::new());
        forge.server.decide(true);
        assert!(forge.server.is_alive(value(&terminal.end().success().stdout, "password")));
    }
    check(&forge);
}
