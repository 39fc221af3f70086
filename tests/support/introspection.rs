//! What a resource server asks an authorization server: is this token good (RFC 7662), and with which keys are your
//! tokens signed.
use super::{clock, encoding, http_client, jose};
use serde_json::Value;

/// The metadata of `issuer`, by OpenID Connect Discovery or else by RFC 8414; null where neither answers.
pub fn metadata(issuer: &str) -> Value {
    let issuer = issuer.trim_end_matches('/');
    let (origin, path) = origin_and_path(issuer);
    let places =
        [format!("{issuer}/.well-known/openid-configuration"), format!("{origin}/.well-known/oauth-authorization-server{path}")];
    let answers = places.iter().filter_map(|place| http_client::get(place, &[]).ok());
    answers.filter(|answer| answer.status == 200).map(|answer| answer.json()).next().unwrap_or_default()
}

fn origin_and_path(issuer: &str) -> (&str, &str) {
    let host = issuer.find("://").map_or(0, |place| place + 3);
    issuer[host..].find('/').map_or((issuer, ""), |slash| issuer.split_at(host + slash))
}

/// A check of access tokens at the introspection endpoint of `issuer`, as `client` where that endpoint asks for one.
/// Discovery is done at the first use.
pub fn active_at(issuer: &str, client: Option<(String, String)>) -> impl Fn(&str) -> bool + Send + Sync + use<> + 'static {
    let (issuer, endpoint) = (issuer.to_owned(), std::sync::OnceLock::new());
    move |token| {
        let endpoint = endpoint.get_or_init(|| metadata(&issuer)["introspection_endpoint"].as_str().map(str::to_owned));
        let Some(endpoint) = endpoint else { return false };
        let authentication = client.as_ref().map(|(id, secret)| basic(id, secret));
        let headers: Vec<(&str, &str)> = authentication.iter().map(|value| ("authorization", value.as_str())).collect();
        http_client::post_form(endpoint, &headers, &[("token", token)]).is_ok_and(|answer| answer.json()["active"] == true)
    }
}

/// A check of access tokens at the userinfo endpoint of `issuer`, for servers that let nobody else introspect. Discovery is done at the
/// first use.
pub fn taken_at(issuer: &str) -> impl Fn(&str) -> bool + Send + Sync + use<> + 'static {
    let (issuer, endpoint) = (issuer.to_owned(), std::sync::OnceLock::new());
    move |token| {
        let endpoint = endpoint.get_or_init(|| metadata(&issuer)["userinfo_endpoint"].as_str().unwrap_or_default().to_owned());
        let authorization = format!("Bearer {token}");
        http_client::get(endpoint, &[("authorization", &authorization)]).is_ok_and(|answer| answer.status == 200)
    }
}

/// The header by which a client authenticates (RFC 6749 section 2.3.1).
pub fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", encoding::base64(format!("{}:{}", encode(id), encode(secret)).as_bytes()))
}

/// A check of id tokens that `issuer` made for `audience`, against the keys it publishes at that moment.
pub fn id_tokens_of(issuer: &str, audience: &str) -> impl Fn(&str) -> Result<Value, jose::Refused> + Send + Sync + 'static {
    let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
    move |token| {
        let metadata = metadata(&issuer);
        let place = metadata["jwks_uri"].as_str().unwrap_or_default();
        let keys = http_client::get(place, &[]).map(|answer| answer.json()).unwrap_or_default();
        jose::verify(token, &keys, &issuer, &audience, clock::now())
    }
}
