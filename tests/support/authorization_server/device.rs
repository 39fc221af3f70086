//! The device authorization grant (RFC 8628): codes, the page where a person enters one, and polls, each held against the interval by
//! this server's own clock.
use super::Shared;
use super::authorize::is_challenge;
use super::fault::Endpoint;
use super::state::{Authorization, State};
use super::token::{Issue, authenticate, begin_family, challenge_of, check_form, is_verifier, issue, refusal};
use crate::support::clock;
use crate::support::encoding::random_text;
use crate::support::http_server::{Request, Response};
use serde_json::json;
use std::time::{Duration, Instant};

/// The grant type of polls.
pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The interval where none is named.
const UNSAID: u64 = 5;
/// What `slow_down` adds.
const SLOWER: u64 = 5;

/// One code that was given out.
pub(super) struct Device {
    pub code: String,
    pub user_code: String,
    pub authorization: Authorization,
    /// What the person said, once they did.
    pub decision: Option<bool>,
    pub ended: bool,
    issued: i64,
    life: i64,
    /// Seconds that must lie between an answer and the next poll.
    interval: u64,
    /// When the code, or a poll's answer, went out last.
    answered: Instant,
    redeemed: bool,
}

/// Gives out a code.
pub(super) fn authorize(shared: &Shared, request: &Request) -> Response {
    let mut state = shared.state();
    check_form(&mut state, "device", request);
    let client = match authenticate(shared, &mut state, "device", request) {
        Ok(client) => client,
        Err(response) => return response,
    };
    let one = |name: &str| request.field(name).unwrap_or_default();
    for name in ["redirect_uri", "response_type", "code_verifier", "grant_type", "state"] {
        if request.field(name).is_some() {
            state.violate("device", format!("{name} does not belong here"));
        }
    }
    let challenge = one("code_challenge");
    let proper = one("code_challenge_method") == "S256" && is_challenge(&challenge) && state.is_new("code_challenge", &challenge);
    if state.settings.device_pkce != proper || challenge.is_empty() == proper {
        state.violate("device", "the code_challenge is not as this server wants it");
        return refusal("invalid_request", "code_challenge");
    }
    let settings = state.settings.clone();
    let (code, user_code) = (state.mint("dc_"), random_text("")[..8].to_ascii_uppercase());
    let mut answer = json!({
        "device_code": code, "user_code": user_code, "expires_in": settings.device_life,
        "verification_uri": format!("{}/device", shared.issuer()),
        "verification_uri_complete": format!("{}/device?user_code={user_code}", shared.issuer()),
    });
    if settings.device_interval > 0 {
        answer["interval"] = settings.device_interval.into();
    }
    if let Some(patch) = &settings.device_patch {
        patch(&mut answer);
    }
    let authorization = Authorization {
        client,
        redirect_uri: String::new(),
        state: String::new(),
        challenge,
        nonce: None,
        scope: one("scope").split_ascii_whitespace().map(str::to_owned).collect(),
        resource: None,
    };
    let interval = if settings.device_interval > 0 { settings.device_interval } else { UNSAID };
    let (issued, life, answered) = (clock::now(), settings.device_life, Instant::now());
    let (decision, ended, redeemed) = (settings.device_decision, false, false);
    state.devices.push(Device { code, user_code, authorization, decision, ended, issued, life, interval, answered, redeemed });
    Response::json(200, &answer).with("cache-control", "no-store")
}

/// The page where a person enters the code: asks for it, then for their consent.
pub(super) fn page(shared: &Shared, request: &Request) -> Response {
    let mut state = shared.state();
    let html = |body: &str| Response::new(200, "text/html; charset=utf-8", format!("<!doctype html><title>Device</title>{body}"));
    let given = request.parameter("user_code").or_else(|| request.field("user_code")).unwrap_or_default();
    let Some(device) = state.devices.iter_mut().find(|device| device.user_code == given) else {
        return html(
            "<form action=device><input name=\"user_code\"><button type=submit name=next value=next>Go on</button></form>",
        );
    };
    match request.field("decision").as_deref() {
        Some(decision) => {
            device.decision = Some(decision == "allow");
            html("<p>You can go back to your device.")
        }
        None => html(&format!(
            "<p>Does it show {given}?<form method=\"post\" action=\"device\"><input type=\"hidden\" name=\"user_code\" value=\"{given}\">\
             <button type=\"submit\" name=\"decision\" value=\"allow\">Allow</button>\
             <button type=\"submit\" name=\"decision\" value=\"deny\">Deny</button></form>"
        )),
    }
}

fn find<'s>(state: &'s mut State, endpoint: Endpoint, request: &Request) -> Option<&'s mut Device> {
    if endpoint != Endpoint::Token || request.field("grant_type").as_deref() != Some(GRANT) {
        return None;
    }
    let code = request.field("device_code").unwrap_or_default();
    state.devices.iter_mut().find(|device| device.code == code)
}

/// Holds a poll that has just arrived against the interval, whatever it is going to be answered.
pub(super) fn poll_arrived(state: &mut State, endpoint: Endpoint, request: &Request) {
    let Some(device) = find(state, endpoint, request) else { return };
    let (passed, interval) = (device.answered.elapsed(), Duration::from_secs(device.interval));
    if passed < interval {
        state.violate("device", format!("a poll {passed:?} after the last answer, where {interval:?} were due"));
    }
}

/// Notes when the answer to a poll goes out.
pub(super) fn poll_answered(shared: &Shared, endpoint: Endpoint, request: &Request) {
    if let Some(device) = find(&mut shared.state(), endpoint, request) {
        device.answered = Instant::now();
    }
}

/// Answers a poll.
pub(super) fn poll(shared: &Shared, state: &mut State, request: &Request, client: &str) -> Response {
    let status = state.settings.errors_with_200.then_some(200);
    let say = |error: &str, description: &str| match refusal(error, description) {
        Response::Full { status: usual, headers, body } => Response::Full { status: status.unwrap_or(usual), headers, body },
        other => other,
    };
    let verifier = request.field("code_verifier");
    state.secrets.extend(verifier.clone());
    let (slow, slower) = (state.settings.slow_downs > 0, state.settings.slow_down_interval);
    let Some(device) = find(state, Endpoint::Token, request) else {
        state.violate("device", "a poll for a code that was never issued");
        return say("invalid_grant", "grant request is invalid");
    };
    let challenge = device.authorization.challenge.clone();
    let fits = match &verifier {
        None => challenge.is_empty(),
        Some(verifier) => is_verifier(verifier) && challenge_of(verifier) == challenge,
    };
    if device.authorization.client != client || !fits {
        state.violate("device", "a poll of another client, or with a code_verifier that does not fit");
        return say("invalid_grant", "grant request is invalid");
    }
    if device.redeemed {
        return say("invalid_grant", "grant request is invalid");
    }
    if device.ended || device.issued + device.life < clock::now() {
        return say("expired_token", "device code is expired");
    }
    if slow {
        device.interval = (device.interval + SLOWER).max(slower.unwrap_or(0));
        state.settings.slow_downs -= 1;
        let mut body = json!({ "error": "slow_down" });
        if let Some(interval) = slower {
            body["interval"] = interval.into();
        }
        return Response::json(status.unwrap_or(400), &body);
    }
    match device.decision {
        None => say("authorization_pending", "the person has not finished"),
        Some(false) => say("access_denied", "not today"),
        Some(true) => {
            device.redeemed = true;
            let authorization = device.authorization.clone();
            state.counts.devices_redeemed += 1;
            let family = begin_family(state, authorization);
            issue(shared, state, family, &Issue { scope: None, resource: None, refresh: true, id_token: true })
        }
    }
}
