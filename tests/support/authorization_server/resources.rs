//! The other endpoints: metadata, revocation (RFC 7009), introspection (RFC 7662), userinfo.
use super::Shared;
use super::token::{authenticate, check_form, refusal};
use crate::support::http_server::{Request, Response};
use serde_json::json;

pub(super) fn metadata(shared: &Shared, request: &Request) -> Response {
    let (state, issuer, base) = (shared.state(), shared.issuer(), &shared.path);
    let settings = &state.settings;
    let oauth = format!("/.well-known/oauth-authorization-server{base}");
    let inserted = format!("/.well-known/openid-configuration{base}");
    let appended = format!("{base}/.well-known/openid-configuration");
    let known = (settings.oauth_metadata && request.path == oauth)
        || (settings.oidc_metadata && (request.path == appended || request.path == inserted));
    if !known {
        return Response::text(404, "there is no such document");
    }
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "email", "offline_access"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    if settings.device {
        document["device_authorization_endpoint"] = format!("{issuer}/device_authorization").into();
    }
    if settings.revocation {
        document["revocation_endpoint"] = format!("{issuer}/revoke").into();
    }
    if settings.iss_parameter_announced {
        document["authorization_response_iss_parameter_supported"] = true.into();
    }
    if let Some(prompts) = settings.prompts.as_ref().filter(|_| settings.prompts_announced) {
        document["prompt_values_supported"] = json!(prompts);
    }
    if let Some(patch) = settings.metadata_patch.clone() {
        drop(state);
        patch(&mut document);
    }
    Response::json(200, &document)
}

/// Ends the family of a refresh token, or one access token; a token that is unknown is as good as revoked.
pub(super) fn revoke(shared: &Shared, request: &Request) -> Response {
    let mut state = shared.state();
    check_form(&mut state, "revoke", request);
    let client = match authenticate(shared, &mut state, "revoke", request) {
        Ok(client) => client,
        Err(response) => return response,
    };
    let Some(token) = request.field("token") else {
        state.violate("revoke", "no token");
        return refusal("invalid_request", "no token");
    };
    let hint = request.field("token_type_hint");
    let refresh = state.refresh.get(&token).map(|refresh| refresh.family);
    // one that was replaced is an invalid token: answered as if all were well, and nothing ends (RFC 7009 section 2.2)
    let current = state.refresh.get(&token).is_some_and(|refresh| refresh.replaced.is_none());
    let access = state.access.get(&token).map(|access| access.family);
    let expected = if refresh.is_some() { "refresh_token" } else { "access_token" };
    if hint.as_deref().is_some_and(|hint| refresh.or(access).is_some() && hint != expected) {
        state.violate("revoke", "token_type_hint names the other kind");
    }
    if refresh.or(access).is_some_and(|family| state.families[family].authorization.client != client) {
        state.violate("revoke", "a token of another client");
        return refusal("invalid_client", "not your token");
    }
    if refresh.is_none() && access.is_some() && !state.settings.revokes_access {
        return refusal("unsupported_token_type", "it is signed and forgotten");
    }
    state.counts.revocations += 1;
    if let Some(family) = refresh.filter(|_| current) {
        state.kill_family(family);
    } else if let Some(access) = state.access.get_mut(&token) {
        access.alive = false;
    }
    Response::new(200, "text/plain", "")
}

/// Says of an access token whether it is good; asks for no authentication, since only test servers call it.
pub(super) fn introspect(shared: &Shared, request: &Request) -> Response {
    let state = shared.state();
    let token = request.field("token").unwrap_or_default();
    match state.access.get(&token).filter(|_| state.access_is_alive(&token)) {
        None => Response::json(200, &json!({ "active": false })),
        Some(access) => {
            let family = &state.families[access.family];
            let answer = json!({
                "active": true, "iss": shared.issuer(), "sub": family.account, "username": family.account,
                "client_id": family.authorization.client, "scope": access.scope, "exp": access.end, "aud": access.audience,
            });
            Response::json(200, &answer)
        }
    }
}

pub(super) fn userinfo(shared: &Shared, request: &Request) -> Response {
    let state = shared.state();
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    match state.access.get(token).filter(|_| state.access_is_alive(token)) {
        None => Response::text(401, "").with("www-authenticate", "Bearer error=\"invalid_token\""),
        Some(access) => {
            let family = &state.families[access.family];
            let mut answer = json!({ "sub": family.account, "email": family.email });
            if let Some(patch) = &state.settings.userinfo_patch {
                patch(&mut answer);
            }
            Response::json(200, &answer)
        }
    }
}
