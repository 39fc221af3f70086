//! Which way is gone: a browser where one can be seen, a code where not, and the next one where a server says no.
use super::{ASK, LOGIN, Terminal, check, forge, forge_with};
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::value;
use crate::support::home::browser_program;
use crate::support::scene::one_error;
use serde_json::json;

#[test]
fn a_browser_that_can_be_seen_comes_before_a_code() {
    let forge = forge();
    forge.ask().success();
    let counts = forge.server.counts();
    assert_eq!((counts.device_authorizations, counts.authorizations), (0, 1));
    forge.check();
}

#[test]
fn a_browser_that_does_not_open_gives_way_to_a_code() {
    let forge = forge();
    forge.home.browser("fail");
    let browser = browser_program();
    let terminal = Terminal::run_with(&forge, "one", ASK, &[("KEYFOB_BROWSER", browser.to_str().unwrap())]);
    terminal.wait_for_code();
    forge.server.decide(true);
    terminal.end().success();
    let counts = forge.server.counts();
    assert_eq!((counts.device_authorizations, counts.devices_redeemed, counts.authorizations), (1, 1, 0));
    check(&forge);
}

#[test]
fn a_server_without_a_page_to_sign_in_at_gives_way_to_a_code() {
    let forge = forge();
    forge.server.metadata_patch(|metadata| drop(metadata.as_object_mut().unwrap().remove("authorization_endpoint")));
    let browser = browser_program();
    let terminal = Terminal::run_with(&forge, "one", ASK, &[("KEYFOB_BROWSER", browser.to_str().unwrap())]);
    terminal.wait_for_code();
    forge.server.decide(true);
    terminal.end().success();
    assert_eq!(forge.server.counts().devices_redeemed, 1);
    check(&forge);
}

#[test]
fn who_wants_a_code_gets_one_and_the_page_is_opened_where_a_browser_can_be_seen() {
    let forge = forge_with("flow = \"device\"\n");
    let browser = browser_program();
    let terminal = Terminal::run_with(&forge, "one", ASK, &[("KEYFOB_BROWSER", browser.to_str().unwrap())]);
    terminal.wait_for_code();
    assert!(terminal.screen().contains("a browser tab is open at"), "{}", terminal.screen());
    // the fake browser agrees to what it sees there
    terminal.end().success();
    let visits = forge.home.wait_for_browser_runs(1);
    assert_eq!((visits.len(), visits[0]["text"].as_str()), (1, Some("You can go back to your device.")));
    assert_eq!(forge.server.counts().devices_redeemed, 1);
    check(&forge);
}

#[test]
fn where_nobody_would_see_the_code_none_is_asked_for() {
    for (more, headless, says) in [
        ("", true, "there is neither a terminal nor a browser"),
        ("flow = \"device\"\n", true, "the device flow shows its code on a terminal, and there is none"),
        ("flow = \"device\"\n", false, "the device flow shows its code on a terminal, and there is none"),
    ] {
        let forge = forge_with(more);
        let mut caller = forge.caller();
        if headless {
            caller.env_remove("DISPLAY").env_remove("KEYFOB_BROWSER");
        }
        let output = crate::support::forge::end(forge.spawn(&mut caller));
        assert!(output.stderr.contains(says) && output.stderr.contains("run `keyfob login corp`"), "{output:?}");
        assert_eq!((forge.server.requests().len(), forge.home.browser_runs().len()), (0, 0));
        forge.check();
    }
}

#[test]
fn a_server_that_does_not_offer_codes_to_this_client_leads_to_an_address_to_be_carried() {
    let refusals = [
        Fault::json(400, &json!({ "error": "unauthorized_client" })),
        Fault::json(400, &json!({ "error": "unsupported_grant_type", "error_description": "\u{1b}[2Jno" })),
        Fault::json(200, &json!({ "error": "device_flow_disabled" })),
        Fault::json(400, &json!({ "error": "invalid_grant", "error_description": "AADSTS53003: blocked by Conditional Access" })),
        Fault::Status(404, vec![("content-type".into(), "text/html".into())], b"<html>nothing here</html>".to_vec()),
    ];
    for (number, (refusal, at_the_poll)) in
        refusals.into_iter().flat_map(|refusal| [(refusal.clone(), false), (refusal, true)]).enumerate()
    {
        if at_the_poll && number == 9 {
            continue; // a poll that finds no page says nothing of the client
        }
        let forge = forge();
        let endpoint = if at_the_poll { Endpoint::Token } else { Endpoint::Device };
        forge.server.fault_times(endpoint, refusal.clone(), if at_the_poll { 1 } else { usize::MAX });
        if at_the_poll {
            forge.server.fault(Endpoint::Device, Fault::Delay(0));
        }
        let terminal = Terminal::run(&forge, "one", ASK);
        terminal.wait_for("paste it here (it is not shown)");
        let screen = terminal.screen();
        let address = screen.lines().find(|line| line.starts_with("http") && line.contains("code_challenge=")).unwrap().trim();
        let visit = crate::support::browser::visit(address, &crate::support::browser::Settings::from(&Default::default()));
        assert_eq!(visit["callback"]["status"], 200, "{visit}");
        assert!(forge.server.is_alive(value(&terminal.end().success().stdout, "password")));
        let counts = forge.server.counts();
        assert_eq!((counts.device_authorizations, counts.codes_redeemed, counts.devices_redeemed), (1, 1, 0), "{number}");
        check(&forge);
        if !at_the_poll {
            let forced = Terminal::run(&forge, "forced", LOGIN).end();
            one_error(&forced);
            assert!(
                forced.code == Some(6) && forced.stderr.contains("has no device flow for the client of login `corp`"),
                "{forced:?}"
            );
            let mended = ["flow = \"browser\"", "keyfob login corp --flow browser"].iter().any(|way| forced.stderr.contains(way));
            assert!(mended, "{forced:?}");
        }
    }
}

#[test]
fn a_server_without_the_endpoint_is_said_where_a_code_is_wanted() {
    let forge = forge();
    forge.server.configure(|settings| settings.device = false);
    let output = Terminal::run(&forge, "one", LOGIN).end();
    one_error(&output);
    assert!(output.code == Some(6) && output.stderr.contains("names no device_authorization endpoint"), "{output:?}");
    assert!(output.stderr.contains("set `endpoints.device_authorization` of login `corp` by hand"), "{output:?}");
    // by hand, beside what is discovered
    let more = format!("endpoints.device_authorization = \"{}/device_authorization\"\n", forge.server.issuer());
    forge.configure(&forge.login("corp", &more));
    let terminal = Terminal::run(&forge, "two", LOGIN);
    terminal.wait_for_code();
    forge.server.decide(true);
    terminal.end().success();
    check(&forge);
}
