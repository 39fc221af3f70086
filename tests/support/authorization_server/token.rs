//! The token endpoint: client authentication, the code grant, and refresh with rotation and reuse detection.
use super::Shared;
use super::authorize::repeated;
use super::state::{Access, Authorization, Family, Refresh, State};
use crate::support::clock;
use crate::support::encoding::{base64url, from_base64};
use crate::support::http_server::{Request, Response};
use serde_json::{Value, json};

/// How long a code may wait for its redemption, in seconds.
const CODE_LIFE: i64 = 60;

pub(super) fn token(shared: &Shared, request: &Request) -> Response {
    let mut state = shared.state();
    check_form(&mut state, "token", request);
    let client = match authenticate(shared, &mut state, "token", request) {
        Ok(client) => client,
        Err(response) => return response,
    };
    let answer = match request.field("grant_type").as_deref() {
        Some("authorization_code") => redeem_code(shared, &mut state, request, &client),
        Some("refresh_token") => refresh(shared, &mut state, request, &client),
        Some(super::device::GRANT) => super::device::poll(shared, &mut state, request, &client),
        other => {
            state.violate("token", format!("grant_type {other:?}"));
            refusal("unsupported_grant_type", "there is no such grant")
        }
    };
    match answer {
        Response::Full { headers, body, .. } if state.settings.errors_with_200 => Response::Full { status: 200, headers, body },
        other => other,
    }
}

/// An error of RFC 6749 section 5.2.
pub(super) fn refusal(error: &str, description: &str) -> Response {
    let status = if error == "invalid_client" { 401 } else { 400 };
    Response::json(status, &json!({ "error": error, "error_description": description })).with("cache-control", "no-store")
}

/// What holds for every form that a client posts here.
pub(super) fn check_form(state: &mut State, endpoint: &str, request: &Request) {
    if request.method != "POST" {
        state.violate(endpoint, format!("method {}", request.method));
    }
    let kind = request.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if kind.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
        state.violate(endpoint, format!("content type {kind:?}"));
    }
    if !request.query.is_empty() {
        state.violate(endpoint, "parameters in the address");
    }
    let form = request.form();
    for name in repeated(&form).filter(|name| *name != "resource") {
        state.violate(endpoint, format!("{name} comes twice"));
    }
}

/// The id of the client that sent this, by exactly one way (RFC 6749 section 2.3).
pub(super) fn authenticate(shared: &Shared, state: &mut State, endpoint: &str, request: &Request) -> Result<String, Response> {
    let (posted_id, posted_secret) = (request.field("client_id"), request.field("client_secret"));
    let (id, secret) = match request.header("authorization") {
        None => (posted_id.unwrap_or_default(), posted_secret),
        Some(header) => {
            if posted_secret.is_some() {
                state.violate(endpoint, "two ways of client authentication");
            }
            let Some((id, secret)) = basic(header) else {
                state.violate(endpoint, "an Authorization header that is not Basic");
                return Err(refusal("invalid_client", "unreadable authentication"));
            };
            (id, Some(secret))
        }
    };
    let Some(client) = shared.clients.iter().find(|client| client.id == id) else {
        state.violate(endpoint, format!("unknown client_id {id:?}"));
        return Err(refusal("invalid_client", "unknown client"));
    };
    if client.secret != secret {
        state.violate(endpoint, "wrong client authentication");
        return Err(refusal("invalid_client", "wrong client authentication"));
    }
    Ok(id)
}

/// Client id and secret, form-decoded after base64.
fn basic(header: &str) -> Option<(String, String)> {
    let text = String::from_utf8(from_base64(header.strip_prefix("Basic ")?)?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| url::form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}

fn redeem_code(shared: &Shared, state: &mut State, request: &Request, client: &str) -> Response {
    let one = |name: &str| request.field(name).unwrap_or_default();
    let verifier = one("code_verifier");
    state.secrets.push(verifier.clone());
    let Some(code) = state.codes.get(&one("code")) else {
        state.violate("token", "a code that was never issued");
        return refusal("invalid_grant", "grant request is invalid");
    };
    let (authorization, family, issued) = (code.authorization.clone(), code.family, code.issued);
    if let Some(family) = family {
        state.violate("token", "a code that was redeemed before");
        state.kill_family(family);
        return refusal("invalid_grant", "grant request is invalid");
    }
    let mut wrong = Vec::new();
    if authorization.client != client {
        wrong.push("a code of another client");
    }
    if authorization.redirect_uri != one("redirect_uri") {
        wrong.push("redirect_uri differs from the authorization request");
    }
    if !is_verifier(&verifier) || challenge_of(&verifier) != authorization.challenge {
        wrong.push("code_verifier does not fit the code_challenge");
    }
    for what in &wrong {
        state.violate("token", what);
    }
    if !wrong.is_empty() || issued + CODE_LIFE < clock::now() {
        return refusal("invalid_grant", "grant request is invalid");
    }
    let family = begin_family(state, authorization);
    if let Some(code) = state.codes.get_mut(&one("code")) {
        code.family = Some(family);
    }
    state.counts.codes_redeemed += 1;
    let resource = request.field("resource");
    issue(shared, state, family, &Issue { scope: None, resource, refresh: true, id_token: true })
}

fn refresh(shared: &Shared, state: &mut State, request: &Request, client: &str) -> Response {
    let given = request.field("refresh_token").unwrap_or_default();
    let Some((family, replaced)) = state.refresh.get(&given).map(|refresh| (refresh.family, refresh.replaced)) else {
        return refusal("invalid_grant", "grant request is invalid");
    };
    if state.families[family].authorization.client != client {
        state.violate("token", "a refresh token of another client");
        return refusal("invalid_grant", "grant request is invalid");
    }
    let named = request.field("redirect_uri");
    if state.settings.refresh_names_redirect && named.as_ref() != Some(&state.families[family].authorization.redirect_uri) {
        state.violate("token", format!("a refresh with redirect_uri {named:?}"));
        return refusal("invalid_grant", "redirect_uri");
    }
    if replaced.is_some_and(|since| since.elapsed() > state.settings.reuse_interval) {
        state.counts.reuses += 1;
        state.kill_family(family);
    }
    if !state.families[family].alive {
        return refusal("invalid_grant", "grant request is invalid");
    }
    let scope: Option<Vec<String>> = request.field("scope").map(|text| text.split(' ').map(str::to_owned).collect());
    if scope.iter().flatten().any(|word| !state.families[family].authorization.scope.contains(word)) {
        state.violate("token", "a refresh for more scope than was granted");
        return refusal("invalid_scope", "more than was granted");
    }
    let rotate = state.settings.rotate;
    if rotate && let Some(refresh) = state.refresh.get_mut(&given) {
        refresh.replaced = refresh.replaced.or(Some(std::time::Instant::now()));
    }
    if state.settings.refresh_ends_access {
        state.access.values_mut().filter(|token| token.family == family).for_each(|token| token.alive = false);
    }
    state.counts.refreshes += 1;
    let (resource, id_token) = (request.field("resource"), state.settings.refresh_returns_id_token);
    issue(shared, state, family, &Issue { scope, resource, refresh: rotate, id_token })
}

pub(super) fn begin_family(state: &mut State, authorization: Authorization) -> usize {
    let (account, email) = (state.settings.account.clone(), state.settings.email.clone());
    state.families.push(Family { alive: true, authorization, account, email });
    state.families.len() - 1
}

/// What goes into one token answer.
pub(super) struct Issue {
    /// Less than was granted, where the client asked for that.
    pub(super) scope: Option<Vec<String>>,
    pub(super) resource: Option<String>,
    pub(super) refresh: bool,
    pub(super) id_token: bool,
}

pub(super) fn issue(shared: &Shared, state: &mut State, family: usize, what: &Issue) -> Response {
    let granted = state.families[family].authorization.clone();
    let scope = what.scope.as_ref().unwrap_or(&granted.scope).join(" ");
    let has = |word: &str| granted.scope.iter().any(|one| one == word);
    let access = state.mint("at_");
    let life = state.settings.access_life;
    let audience = what.resource.clone().or_else(|| granted.resource.clone());
    let end = clock::now() + life;
    state.access.insert(access.clone(), Access { family, alive: true, end, scope: scope.clone(), audience });
    let mut answer = json!({ "access_token": access, "token_type": "Bearer", "expires_in": life, "scope": scope });
    if what.refresh && (has("offline_access") || state.settings.refresh_always) {
        let refresh = state.mint("rt_");
        state.refresh.insert(refresh.clone(), Refresh { family, replaced: None });
        answer["refresh_token"] = refresh.into();
    }
    if what.id_token && has("openid") {
        let id_token = id_token(shared, state, family);
        state.secrets.push(id_token.clone());
        answer["id_token"] = id_token.into();
    }
    if let Some(patch) = state.settings.token_patch.clone() {
        patch(&mut answer);
    }
    Response::json(200, &answer).with("cache-control", "no-store").with("pragma", "no-cache")
}

fn id_token(shared: &Shared, state: &State, family: usize) -> String {
    let (now, family) = (clock::now(), &state.families[family]);
    let mut claims = json!({
        "iss": shared.issuer(), "aud": family.authorization.client, "sub": family.account, "email": family.email,
        "iat": now, "exp": now + state.settings.id_token_life,
    });
    if let Some(nonce) = &family.authorization.nonce {
        claims["nonce"] = if state.settings.wrong_nonce { json!("another") } else { json!(nonce) };
    }
    shared.key.sign(&claims)
}

/// An access token and an id token for `audience` without a request; both belong to a family of their own.
pub(super) fn issue_directly(shared: &Shared, audience: &str) -> (String, String) {
    let mut state = shared.state();
    let authorization = Authorization {
        client: audience.to_owned(),
        redirect_uri: String::new(),
        state: String::new(),
        challenge: String::new(),
        nonce: None,
        scope: vec!["openid".into()],
        resource: None,
    };
    let family = begin_family(&mut state, authorization);
    let what = Issue { scope: None, resource: None, refresh: false, id_token: true };
    let Response::Full { body, .. } = issue(shared, &mut state, family, &what) else { return Default::default() };
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (text("access_token"), text("id_token"))
}

/// 43 to 128 unreserved characters (RFC 7636 section 4.1).
pub(super) fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

pub(super) fn challenge_of(verifier: &str) -> String {
    base64url(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()).as_ref())
}
