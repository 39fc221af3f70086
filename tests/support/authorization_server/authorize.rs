//! The authorization endpoint: checks the request, then grants, refuses, or shows a consent page first.
use super::Shared;
use super::state::{Authorization, Code, State};
use crate::support::clock;
use crate::support::encoding::random_text;
use crate::support::http_server::{Request, Response};
use std::collections::HashSet;
use url::Url;
use url::form_urlencoded::Serializer;

pub(super) fn authorize(shared: &Shared, request: &Request) -> Response {
    let mut state = shared.state();
    let (authorization, wrong) = check(shared, &mut state, request);
    for what in &wrong {
        state.violate("authorize", what);
    }
    let authorization = match authorization {
        Some(authorization) if wrong.is_empty() => authorization,
        _ => return Response::text(400, &format!("this request is refused: {}", wrong.join("; "))),
    };
    if state.settings.deny {
        return redirect(shared, &state, &authorization, &[("error", "access_denied"), ("error_description", "not today")]);
    }
    if !state.settings.consent {
        return grant(shared, &mut state, authorization);
    }
    let ticket = random_text("ticket_");
    let page = consent_page(&shared.path, &ticket, &authorization.client);
    state.waiting.insert(ticket, authorization);
    Response::new(200, "text/html; charset=utf-8", page)
}

/// Takes the consent page's form.
pub(super) fn consent(shared: &Shared, request: &Request) -> Response {
    let mut state = shared.state();
    let ticket = request.field("ticket").unwrap_or_default();
    let Some(authorization) = state.waiting.remove(&ticket) else {
        return Response::text(400, "nobody waits for this answer");
    };
    if request.field("decision").as_deref() == Some("allow") {
        return grant(shared, &mut state, authorization);
    }
    redirect(shared, &state, &authorization, &[("error", "access_denied")])
}

fn consent_page(base: &str, ticket: &str, client: &str) -> String {
    format!(
        "<!doctype html><html lang=en><title>Sign in</title><h1>Let {client} act for you?</h1>\
         <form method=\"post\" action=\"{base}/consent\"><input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">\
         <button type=\"submit\" name=\"decision\" value=\"allow\">Allow</button>\
         <button type=\"submit\" name=\"decision\" value=\"deny\">Deny</button></form></html>"
    )
}

fn grant(shared: &Shared, state: &mut State, authorization: Authorization) -> Response {
    let code = state.mint("co_");
    state.counts.codes_issued += 1;
    let response = redirect(shared, state, &authorization, &[("code", &code)]);
    state.codes.insert(code, Code { authorization, issued: clock::now(), family: None });
    response
}

/// Sends the browser back with `answer`, `state` and `iss`.
fn redirect(shared: &Shared, state: &State, authorization: &Authorization, answer: &[(&str, &str)]) -> Response {
    let settings = &state.settings;
    let mut query = Serializer::new(String::new());
    query.extend_pairs(answer);
    let returned = if settings.wrong_state { random_text("st_") } else { authorization.state.clone() };
    query.append_pair("state", &returned);
    if settings.wrong_iss {
        query.append_pair("iss", "https://attacker.example");
    } else if settings.iss_parameter {
        query.append_pair("iss", shared.issuer());
    }
    Response::redirect(&format!("{}?{}", authorization.redirect_uri, query.finish()))
}

/// The request as far as it could be read, and everything that is wrong with it.
fn check(shared: &Shared, state: &mut State, request: &Request) -> (Option<Authorization>, Vec<String>) {
    let mut wrong = Vec::new();
    let parameters = request.parameters();
    let one = |name: &str| request.parameter(name).unwrap_or_default();
    if request.method != "GET" {
        wrong.push(format!("method {}", request.method));
    }
    wrong.extend(repeated(&parameters).map(|name| format!("{name} comes twice")));
    if one("response_type") != "code" {
        wrong.push("response_type is not code".into());
    }
    if !shared.clients.iter().any(|client| client.id == one("client_id")) {
        wrong.push("unknown client_id".into());
    }
    if request.parameter("client_secret").is_some() || request.parameter("code_verifier").is_some() {
        wrong.push("a secret in the address".into());
    }
    if !is_registered(&state.settings.redirect, &one("redirect_uri")) {
        wrong.push(format!("redirect_uri {}", one("redirect_uri")));
    }
    if one("code_challenge_method") != "S256" || !is_challenge(&one("code_challenge")) {
        wrong.push("no S256 code_challenge".into());
    }
    let scope: Vec<String> = one("scope").split_ascii_whitespace().map(str::to_owned).collect();
    wrong.extend(check_freshness(state, &scope, &one));
    let prompts_consent = one("prompt").split_ascii_whitespace().any(|word| word == "consent");
    if scope.iter().any(|word| word == "offline_access") && !prompts_consent {
        wrong.push("offline_access without prompt=consent".into());
    }
    let resource = request.parameter("resource");
    if resource.as_deref().is_some_and(|text| Url::parse(text).is_ok_and(|url| url.fragment().is_some()) || !text.contains(':')) {
        wrong.push("resource is no absolute address without fragment".into());
    }
    let authorization = Authorization {
        client: one("client_id"),
        redirect_uri: one("redirect_uri"),
        state: one("state"),
        challenge: one("code_challenge"),
        nonce: request.parameter("nonce"),
        scope,
        resource,
    };
    (Some(authorization), wrong)
}

/// `state`, `nonce` and challenge are long enough and were never seen before.
fn check_freshness(state: &mut State, scope: &[String], one: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut wrong = Vec::new();
    let (given, nonce, challenge) = (one("state"), one("nonce"), one("code_challenge"));
    if given.len() < 22 {
        wrong.push("state is missing or shorter than 128 bits".into());
    } else if !state.is_new("state", &given) {
        wrong.push("state was used before".into());
    }
    state.secrets.push(given);
    if scope.iter().any(|word| word == "openid") && nonce.len() < 16 {
        wrong.push("nonce is missing or short with scope openid".into());
    }
    if !nonce.is_empty() && !state.is_new("nonce", &nonce) {
        wrong.push("nonce was used before".into());
    }
    if !state.is_new("code_challenge", &challenge) {
        wrong.push("code_challenge was used before".into());
    }
    wrong
}

/// The names that occur more than once.
pub(super) fn repeated(parameters: &[(String, String)]) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    parameters.iter().filter(move |(name, _)| !seen.insert(name.clone())).map(|(name, _)| name.as_str())
}

/// The registered URI, letter for letter, with any port behind its host.
fn is_registered(registered: &str, text: &str) -> bool {
    let rest = registered.strip_prefix("http://").unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let port = text.strip_prefix(&format!("http://{host}:")).and_then(|rest| rest.strip_suffix(path));
    port.is_some_and(|port| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port))
}

/// The base64url of 32 bytes.
pub(super) fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
