//! Errors that come back through the browser instead of a code.
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, at_a_terminal, end, until};
use crate::support::scene::{Scene, one_error};

fn refusal(code: &str, description: &str) -> Vec<(String, String)> {
    let description = format!("{description}why \u{1b}[2J\u{202e}<b>not</b>");
    vec![("error".into(), code.into()), ("error_description".into(), description)]
}

#[test]
fn every_error_in_the_browser_ends_the_sign_in_and_says_what_to_change() {
    #[rustfmt::skip]
    let rows = [
        ("access_denied", "", 4, "sign-in was refused in the browser, by you or by policy (access_denied: why [2J<b>not</b>)"),
        ("unauthorized_client", "", 6, "flow = \"device\""),
        ("unsupported_response_type", "", 6, "does not let the client of login `corp` sign in by browser"),
        ("invalid_scope", "", 6, "change `scopes`, which are: openid offline_access"),
        ("invalid_target", "", 6, "the API that they name"),
        ("invalid_request", "", 4, "it was sent response_type, client_id, redirect_uri"),
        ("temporarily_unavailable", "", 5, "try again in a moment"),
        ("server_error", "", 5, "try again in a moment"),
        ("interaction_required", "", 4, "keyfob login corp --flow browser"),
        ("redirect_uri_mismatch", "", 6, "register `http://127.0.0.1:"),
        ("admin_policy_enforced", "", 6, "ask your administrator"),
        ("org_internal", "", 6, "an account of that organisation"),
        ("disallowed_useragent", "", 6, "KEYFOB_BROWSER"),
        ("application_suspended", "", 6, "ask your administrator"),
        ("access_denied", "AADSTS65001: ", 6, "an administrator has to consent"),
        ("access_denied", "AADSTS50105: ", 6, "assigned to the application"),
        ("a_code_of_tomorrow", "", 4, "refused (a_code_of_tomorrow"),
    ];
    let (scene, token) = Scene::signed_in();
    for (place, (code, description, exit, says)) in rows.into_iter().enumerate() {
        let before = scene.server.counts();
        scene.server.configure(|settings| settings.refusal = refusal(code, description));
        let output = scene.sign_in();
        one_error(&output);
        assert!(output.code == Some(exit) && output.stderr.contains(says), "{code}: {output:?}");
        let after = scene.server.counts();
        assert_eq!((after.authorizations, after.token_requests), (before.authorizations + 1, before.token_requests), "{code}");
        let page = scene.home.wait_for_browser_runs(place + 2).pop().unwrap();
        assert_eq!(page["title"], "Not signed in", "{code}: {page}");
        let html = page["callback"]["body"].as_str().unwrap();
        assert!(!html.contains("<b>not") && !html.contains(['\u{1b}', '\u{202e}']), "{code}: {html}");
        scene.still_answers(&token);
    }
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

/// A forge whose server has the device grant, and whose clients may not sign in by browser.
fn without_browser_grant() -> Forge {
    let forge = Forge::new();
    forge.server.configure(|settings| {
        settings.device = true;
        settings.refusal = refusal("unauthorized_client", "");
    });
    forge
}

#[test]
fn a_client_that_may_not_sign_in_by_browser_goes_on_with_a_code_and_opens_no_second_tab() {
    let forge = without_browser_grant();
    let child = at_a_terminal(&forge, "keyfob login corp");
    until("a code is issued", || !forge.server.user_codes().is_empty());
    forge.server.decide(true);
    assert_eq!(end(child).code, Some(0));
    let runs = forge.home.wait_for_browser_runs(1);
    assert_eq!((runs.len(), forge.server.counts().devices_redeemed), (1, 1));
    assert_eq!(runs[0]["title"], "Not signed in yet");
    std::fs::remove_dir_all(forge.home.path().join("said")).unwrap();
    forge.check();
}

#[test]
fn where_neither_way_is_open_to_a_client_the_browser_is_not_tried_twice() {
    let forge = without_browser_grant();
    let refused = Fault::json(400, &serde_json::json!({ "error": "unauthorized_client" }));
    forge.server.fault(Endpoint::Device, refused);
    let child = at_a_terminal(&forge, "keyfob login corp 2>said/error");
    assert_eq!(end(child).code, Some(6));
    until("it is quiet", || forge.home.processes().is_empty());
    let said = std::fs::read_to_string(forge.home.path().join("said/error")).unwrap();
    assert!(said.contains("does not let the client of login `corp` sign in by browser"), "{said}");
    assert_eq!((forge.home.browser_runs().len(), forge.server.counts().authorizations), (1, 1));
}
