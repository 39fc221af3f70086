//! Finds out where an authorization server's endpoints are (RFC 8414, OpenID Connect Discovery).
use super::{Registration, leads_on};
use crate::config::Login;
use crate::failure::{Failure, Kind};
use crate::http::TOTAL;
use crate::terminal::printable;
use serde::Deserialize;
use std::time::Instant;
use url::Url;

/// Where a server wants which request, and what it said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    /// The issuer identifier exactly as the server writes it; where only its endpoints are known, the origin of the page to sign in at.
    pub(crate) issuer: String,
    /// Whether it is the former.
    pub(crate) knows_issuer: bool,
    /// Absent where a person can only sign in with a device code.
    pub(crate) authorization_endpoint: Option<Url>,
    pub(crate) token_endpoint: Url,
    pub(crate) revocation_endpoint: Option<Url>,
    pub(crate) device_authorization_endpoint: Option<Url>,
    /// OpenID Connect Core §5.3, or what a host has in its place.
    pub(crate) userinfo_endpoint: Option<Url>,
    /// It always sends `iss` in authorization responses (RFC 9207 §3).
    pub(crate) sends_iss: bool,
    /// The values of `prompt` that it knows, where it says so (Initiating User Registration via OpenID Connect §4).
    pub(crate) prompts: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    userinfo_endpoint: serde_json::Value,
    #[serde(default)]
    prompt_values_supported: serde_json::Value,
}

/// Finds the endpoints of `registration`'s server: those configured by hand, and the rest from the metadata of its issuer.
///
/// # Errors
/// [`Kind::Unreachable`] where no metadata can be had, [`Kind::Misconfigured`] where it belongs to another issuer, lacks an endpoint
/// or leads somewhere it must not.
pub(crate) fn find(registration: &Registration<'_>) -> Result<Metadata, Failure> {
    let login = registration.login;
    let by_hand = &login.endpoints;
    // a login without an issuer was made sure to name those that its flow needs
    let known = by_hand.authorization.is_some() || login.issuer.is_none();
    if let (true, Some(token)) = (known, &by_hand.token) {
        return Ok(Metadata {
            issuer: login
                .issuer
                .as_ref()
                .map_or_else(|| origin(by_hand.authorization.as_ref().unwrap_or(token)), ToString::to_string),
            knows_issuer: login.issuer.is_some(),
            authorization_endpoint: by_hand.authorization.clone(),
            token_endpoint: token.clone(),
            revocation_endpoint: by_hand.revocation.clone(),
            device_authorization_endpoint: by_hand.device_authorization.clone(),
            userinfo_endpoint: by_hand.userinfo.clone(),
            sends_iss: false,
            prompts: None,
        });
    }
    let issuer = login.issuer.as_ref().ok_or_else(|| {
        Failure::new(Kind::Misconfigured, format!("login `{}` has neither an issuer nor both endpoints", login.name))
            .hint("give it an `issuer`, or `endpoints.authorization` and `endpoints.token`")
    })?;
    let document = fetch(registration, issuer)?;
    if !same_issuer(issuer, &document.issuer) {
        return Err(Failure::new(
            Kind::Misconfigured,
            format!("the server at `{issuer}` says that it is the issuer `{}`", printable(&document.issuer)),
        )
        .hint("write the issuer in the configuration exactly as the server does, if that is the server you mean"));
    }
    let endpoint = |by_hand: &Option<Url>, found: Option<&String>, name: &str| -> Result<Option<Url>, Failure> {
        let (None, Some(text)) = (by_hand, found) else { return Ok(by_hand.clone()) };
        Url::parse(text).ok().filter(|url| leads_on(issuer, url)).map(Some).ok_or_else(|| {
            Failure::new(Kind::Misconfigured, format!("the metadata of `{issuer}` leads to `{}` as its {name}", printable(text)))
                .hint(format!("set `endpoints.{name}` of login `{}` by hand", login.name))
        })
    };
    // most sign-ins do well without it
    let userinfo = document.userinfo_endpoint.as_str().and_then(|text| Url::parse(text).ok()).filter(|url| leads_on(issuer, url));
    Ok(Metadata {
        userinfo_endpoint: by_hand.userinfo.clone().or(userinfo),
        authorization_endpoint: endpoint(&by_hand.authorization, document.authorization_endpoint.as_ref(), "authorization")?,
        token_endpoint: endpoint(&by_hand.token, document.token_endpoint.as_ref(), "token")?
            .ok_or_else(|| lacking(&document.issuer, login, "token"))?,
        revocation_endpoint: endpoint(&by_hand.revocation, document.revocation_endpoint.as_ref(), "revocation")?,
        device_authorization_endpoint: endpoint(
            &by_hand.device_authorization,
            document.device_authorization_endpoint.as_ref(),
            "device_authorization",
        )?,
        sends_iss: document.authorization_response_iss_parameter_supported,
        prompts: texts(&document.prompt_values_supported),
        knows_issuer: true,
        issuer: document.issuer,
    })
}

/// Returns the texts of a list; none where it is no list.
fn texts(list: &serde_json::Value) -> Option<Vec<String>> {
    list.as_array().map(|list| list.iter().filter_map(|value| value.as_str().map(ToOwned::to_owned)).collect())
}

/// Returns what is said where an endpoint that is needed cannot be found at `server`.
pub(crate) fn lacking(server: &str, login: &Login, name: &str) -> Failure {
    Failure::new(Kind::Misconfigured, format!("`{}` names no {name} endpoint", printable(server)))
        .hint(format!("set `endpoints.{name}` of login `{}` by hand", login.name))
}

fn fetch(registration: &Registration<'_>, issuer: &Url) -> Result<Document, Failure> {
    let openid = registration.login.scopes.iter().any(|scope| scope == "openid");
    let mut last = None;
    // all places together, so that a server which is slow at each holds nobody longer
    let begun = Instant::now();
    for url in places(issuer, openid) {
        let response = registration.http.get(&url, TOTAL.saturating_sub(begun.elapsed()))?;
        if response.status == 200 {
            match serde_json::from_slice(&response.body) {
                Ok(document) => return Ok(document),
                Err(_) => last = Some("what it sends as metadata is none".to_owned()),
            }
        } else {
            last = last.or(Some(format!("status {}", response.status)));
            if response.status >= 500 || response.status == 429 {
                break;
            }
        }
    }
    Err(Failure::new(Kind::Unreachable, format!("cannot read the metadata of `{issuer}`"))
        .because(last.unwrap_or_else(|| "nothing answered".into()))
        .hint(format!("check `issuer` of login `{}`, or set its `endpoints` by hand", registration.login.name)))
}

/// Returns where metadata may be, the likeliest place first (RFC 8414 §3.1, OpenID Connect Discovery §4).
fn places(issuer: &Url, openid: bool) -> Vec<Url> {
    let path = issuer.path().trim_matches('/');
    let mut paths = if path.is_empty() {
        vec!["/.well-known/openid-configuration".to_owned(), "/.well-known/oauth-authorization-server".to_owned()]
    } else {
        vec![
            format!("/{path}/.well-known/openid-configuration"),
            format!("/.well-known/oauth-authorization-server/{path}"),
            format!("/.well-known/openid-configuration/{path}"),
            format!("/{path}/.well-known/oauth-authorization-server"),
        ]
    };
    if !openid {
        paths.swap(0, 1);
    }
    paths
        .into_iter()
        .map(|path| {
            let mut url = issuer.clone();
            url.set_path(&path);
            url.set_query(None);
            url.set_fragment(None);
            url
        })
        .collect()
}

/// Compares issuers to the letter (RFC 8414 §3.3), but for the slash that a URL without a path is written with.
fn same_issuer(configured: &Url, found: &str) -> bool {
    let configured_text = configured.as_str();
    found == configured_text || (configured.path() == "/" && Some(found) == configured_text.strip_suffix('/'))
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_compared_to_the_letter() {
        let rows = [
            ("https://sso.example.com", "https://sso.example.com", true),
            ("https://sso.example.com", "https://sso.example.com/", true),
            ("https://sso.example.com/realms/dev", "https://sso.example.com/realms/dev", true),
            ("https://sso.example.com/realms/dev", "https://sso.example.com/realms/dev/", false),
            ("https://sso.example.com/realms/dev", "https://sso.example.com/realms", false),
            ("https://sso.example.com", "https://sso.example.com.evil.net", false),
            ("https://sso.example.com", "http://sso.example.com", false),
        ];
        for (configured, found, expected) in rows {
            assert_eq!(same_issuer(&Url::parse(configured).unwrap(), found), expected, "{configured} {found}");
        }
    }

    #[test]
    fn metadata_is_looked_for_where_servers_keep_it() {
        let issuer = Url::parse("https://sso.example.com/realms/dev").unwrap();
        let found: Vec<String> = places(&issuer, false).iter().map(|url| url.path().to_owned()).collect();
        assert_eq!(
            found,
            [
                "/.well-known/oauth-authorization-server/realms/dev",
                "/realms/dev/.well-known/openid-configuration",
                "/.well-known/openid-configuration/realms/dev",
                "/realms/dev/.well-known/oauth-authorization-server",
            ]
        );
        let root = places(&Url::parse("https://sso.example.com").unwrap(), true);
        assert_eq!(root[0].as_str(), "https://sso.example.com/.well-known/openid-configuration");
    }
}
