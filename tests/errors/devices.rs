//! Refusals in the device grant: where a code is asked for, and at polls.
use super::{empty, refusal};
use crate::support::authorization_server::{Endpoint, Fault};
use crate::support::forge::{Forge, until};
use crate::support::scene::one_error;
use crate::support::temp_dir::make_private;
use crate::support::terminal::Terminal;
use serde_json::json;
use std::time::Duration;

/// A forge whose server has the device grant, and whose codes may be polled for every second.
fn forge() -> Forge {
    let forge = Forge::new();
    forge.server.configure(|settings| settings.device = true);
    make_private(&forge.home.path().join("said"));
    forge
}

/// Signs in by device code at a terminal without a browser.
fn login(forge: &Forge) -> Terminal {
    Terminal::open(&forge.home, "one", "unset DISPLAY KEYFOB_BROWSER; keyfob login corp --flow device 2>\"$SAID/error\"")
}

/// Waits for the end; what was said on standard error, with the exit code.
fn said(terminal: Terminal, forge: &Forge) -> crate::support::process::Output {
    let code = terminal.end().code;
    let stderr = std::fs::read_to_string(forge.home.path().join("said/one/error")).unwrap();
    crate::support::process::Output { stdout: String::new(), stderr, code }
}

#[test]
fn a_server_that_refuses_the_scopes_is_asked_once_more_without_the_optional_one() {
    let forge = forge();
    forge.server.fault(Endpoint::Device, refusal(400, "invalid_scope", ""));
    let terminal = login(&forge);
    until("a code is issued", || !forge.server.user_codes().is_empty());
    forge.server.decide(true);
    assert_eq!(said(terminal, &forge).code, Some(0));
    let requests = forge.server.requests();
    let scopes: Vec<&str> =
        requests.iter().filter(|one| one.endpoint == Endpoint::Device).map(|one| one.scope.as_str()).collect();
    assert_eq!(scopes, ["openid offline_access", "openid"]);
    assert_eq!(forge.server.violations(), Vec::<String>::new());
}

#[test]
fn scopes_that_are_refused_twice_or_without_the_optional_one_are_said() {
    for (replaced, requests) in [("[\"openid\", \"offline_access\"]", 2), ("[\"openid\"]", 1)] {
        let forge = forge();
        let config = format!("{}[git.\"{}\"]\nlogin = \"corp\"\n", forge.login("corp", ""), forge.git.url());
        forge.configure(&config.replace("[\"openid\", \"offline_access\"]", replaced));
        forge.server.fault_times(Endpoint::Device, refusal(400, "invalid_scope", ""), usize::MAX);
        let output = said(login(&forge), &forge);
        one_error(&output);
        assert!(output.code == Some(6) && output.stderr.contains("change `scopes`, which are: openid"), "{output:?}");
        assert_eq!(forge.server.counts().device_authorizations, requests);
    }
}

#[rustfmt::skip]
fn of_the_request() -> Vec<(&'static str, Fault, i32, &'static str)> {
    vec![
        ("access_denied", refusal(403, "access_denied", ""), 4, "sign-in was refused"),
        ("invalid_client", refusal(401, "invalid_client", ""), 6, "it sent `keyfob` without a secret"),
        ("unauthorized_client", refusal(400, "unauthorized_client", ""), 6, "flow = \"browser\""),
        ("device_flow_disabled", refusal(200, "device_flow_disabled", ""), 6, "has no device flow"),
        ("invalid_request", refusal(400, "invalid_request", ""), 4, "it was sent scope, client_id"),
        ("invalid_target", refusal(400, "invalid_target", ""), 6, "the API that they name"),
        ("rate_limit_exceeded", Fault::json(403, &json!({ "error_code": "rate_limit_exceeded" })), 5, "right now"),
        ("slow_down", refusal(400, "slow_down", ""), 5, "try again in a moment"),
        ("server_error", refusal(400, "server_error", ""), 5, "try again in a moment"),
        ("AADSTS53003", refusal(400, "invalid_grant", "AADSTS53003: "), 6, "a policy blocks device codes: run `keyfob login corp --flow browser`"),
        ("AADSTS700016", refusal(400, "unauthorized_client", "AADSTS700016: "), 6, "check `client_id`, and the tenant"),
        ("AADSTS90002", refusal(400, "invalid_request", "AADSTS90002: "), 6, "the tenant in `issuer` does not exist"),
    ]
}

#[rustfmt::skip]
fn of_the_poll() -> Vec<(&'static str, Fault, i32, &'static str)> {
    vec![
        ("access_denied", refusal(403, "access_denied", ""), 4, "by you or by policy (access_denied: why [2Jnot)"),
        ("authorization_declined", refusal(400, "authorization_declined", ""), 4, "by you or by policy"),
        ("invalid_grant", refusal(400, "invalid_grant", ""), 4, "does not take the code of this sign-in any more"),
        ("incorrect_device_code", refusal(200, "incorrect_device_code", ""), 4, "does not take the code"),
        ("invalid_client", refusal(401, "invalid_client", ""), 6, "it sent `keyfob` without a secret"),
        ("unsupported_grant_type", refusal(400, "unsupported_grant_type", ""), 6, "has no device flow"),
        ("invalid_request", refusal(400, "invalid_request", ""), 4, "it was sent grant_type, device_code, client_id"),
        ("invalid_scope", refusal(400, "invalid_scope", ""), 6, "change `scopes`"),
        ("org_internal", refusal(403, "org_internal", ""), 6, "an account of that organisation"),
        ("admin_policy_enforced", refusal(403, "admin_policy_enforced", ""), 6, "ask your administrator"),
        ("use_dpop_nonce", refusal(400, "use_dpop_nonce", ""), 6, "DPoP"),
        ("interaction_required", refusal(400, "interaction_required", ""), 4, "keyfob login corp --flow browser"),
        ("AADSTS53003", refusal(400, "access_denied", "AADSTS53003: "), 6, "a policy blocks device codes"),
        ("AADSTS7000218", refusal(401, "invalid_client", "AADSTS7000218: "), 6, "Allow public client flows"),
        ("empty 401", empty(401), 4, "refused the code of `corp` and does not say why (status 401)"),
    ]
}

#[test]
fn every_refusal_where_a_code_is_asked_for_or_polled_for_ends_it_and_says_what_to_change() {
    let rows = of_the_request().into_iter().map(|row| (Endpoint::Device, row));
    let rows: Vec<_> = rows.chain(of_the_poll().into_iter().map(|row| (Endpoint::Token, row))).collect();
    std::thread::scope(|scope| {
        let threads = rows.into_iter().map(|(endpoint, (name, fault, code, says))| {
            scope.spawn(move || {
                let forge = forge();
                forge.server.fault(endpoint, fault);
                let output = said(login(&forge), &forge);
                one_error(&output);
                assert!(output.code == Some(code) && output.stderr.contains(says), "{endpoint:?} {name}: {output:?}");
                assert_eq!(forge.server.polls().len(), usize::from(endpoint == Endpoint::Token), "{name}");
                assert_eq!((forge.home.browser_runs().len(), forge.server.violations()), (0, Vec::new()), "{name}");
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// What polls meet, in turn, and the least seconds that must lie before the next one.
#[test]
fn no_poll_ever_beats_the_interval() {
    let slow = |interval: Option<u64>| {
        let mut body = json!({ "error": "slow_down" });
        if let Some(interval) = interval {
            body["interval"] = interval.into();
        }
        Fault::json(400, &body)
    };
    let wait = |status: u16, seconds: &str| Fault::Status(status, vec![("retry-after".into(), seconds.into())], Vec::new());
    let pending = || refusal(400, "authorization_pending", "");
    let rows: Vec<(&str, Vec<(Fault, u64)>)> = vec![
        ("pending", vec![(pending(), 1), (refusal(428, "authorization_pending", ""), 1), (pending(), 1)]),
        ("slow_down", vec![(slow(None), 6), (pending(), 6)]),
        ("slow_down to less", vec![(slow(Some(1)), 6)]),
        ("slow_down to more", vec![(slow(Some(8)), 8)]),
        ("slow_down after trouble", vec![(empty(503), 2), (slow(None), 6)]),
        ("trouble", vec![(empty(500), 2), (Fault::Drop, 4)]),
        ("retry-after", vec![(wait(429, "4"), 4), (wait(503, "1"), 4)]),
        ("server_error", vec![(refusal(400, "server_error", ""), 2), (pending(), 1)]),
    ];
    std::thread::scope(|scope| {
        let threads: Vec<_> = rows
            .into_iter()
            .map(|(name, course)| {
                scope.spawn(move || {
                    let forge = forge();
                    let (faults, least): (Vec<_>, Vec<_>) = course.into_iter().unzip();
                    faults.into_iter().for_each(|fault| forge.server.fault(Endpoint::Token, fault));
                    forge.server.configure(|settings| settings.device_decision = Some(true));
                    let terminal = login(&forge);
                    assert_eq!(said(terminal, &forge).code, Some(0), "{name}");
                    let polls = forge.server.polls();
                    let pauses: Vec<Duration> = polls.windows(2).map(|two| two[1] - two[0]).collect();
                    assert_eq!(pauses.len(), least.len(), "{name}: {pauses:?}");
                    for (pause, least) in pauses.iter().zip(least) {
                        assert!(*pause >= Duration::from_secs(least), "{name}: {pauses:?}");
                    }
                    assert_eq!(forge.server.violations(), Vec::<String>::new(), "{name}");
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
