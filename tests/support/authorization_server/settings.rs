//! How a server is set up, and what can be changed while it runs.
use super::fault::Endpoint;
use crate::support::tls::TlsIdentity;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A registered client: public without a secret, confidential with one.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub secret: Option<String>,
}

impl Client {
    pub fn public(id: &str) -> Self {
        Self { id: id.into(), secret: None }
    }

    pub fn confidential(id: &str, secret: &str) -> Self {
        Self { id: id.into(), secret: Some(secret.into()) }
    }
}

/// What is fixed when a server starts.
#[derive(Clone)]
pub struct Options {
    pub clients: Vec<Client>,
    /// Path of the issuer: empty, or with a slash before and none after it.
    pub path: String,
    /// Where endpoints are beside their usual places.
    pub paths: Vec<(&'static str, Endpoint)>,
    /// The origin by which people know it, where something stands in front of it.
    pub known_as: Option<String>,
    /// 0 lets the OS pick.
    pub port: u16,
    pub tls: Option<TlsIdentity>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clients: vec![Client::public("keyfob")],
            path: String::new(),
            paths: Vec::new(),
            known_as: None,
            port: 0,
            tls: None,
        }
    }
}

/// A change of an answer before it is sent.
pub type Patch = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// What can change between two requests. All lives are in seconds.
#[derive(Clone)]
pub struct Settings {
    pub access_life: i64,
    pub id_token_life: i64,
    /// The subject (`sub`) who signs in.
    pub account: String,
    pub email: String,
    /// Shows a page with a form instead of granting at once.
    pub consent: bool,
    /// Answers every authorization request with an error: `deny_as`.
    pub deny: bool,
    pub deny_as: String,
    /// Answers every authorization request with these parameters, an error among them.
    pub refusal: Vec<(String, String)>,
    pub wrong_state: bool,
    pub wrong_iss: bool,
    /// Puts another nonce into the id token.
    pub wrong_nonce: bool,
    /// Sends `iss` in the authorization response.
    pub iss_parameter: bool,
    /// What it sends there, where that is not the issuer.
    pub iss: Option<String>,
    /// Says in the metadata that it does.
    pub iss_parameter_announced: bool,
    /// A refresh replaces the refresh token, and the replaced one kills its family when it comes again.
    pub rotate: bool,
    /// For how long a replaced refresh token is taken once more all the same.
    pub reuse_interval: Duration,
    /// A refresh has to name the redirect URI again.
    pub refresh_names_redirect: bool,
    /// A refresh ends the access tokens before it.
    pub refresh_ends_access: bool,
    pub refresh_returns_id_token: bool,
    /// Gives a refresh token for `offline_access` without `prompt=consent`, which would be a page more each time.
    pub consent_free: bool,
    /// Issues refresh tokens without `offline_access`, as servers without OpenID Connect do.
    pub refresh_always: bool,
    /// The revocation endpoint is in the metadata.
    pub revocation: bool,
    /// It revokes access tokens, which servers with signed ones do not.
    pub revokes_access: bool,
    /// The values of `prompt` that it takes; it refuses others. `None` takes all.
    pub prompts: Option<Vec<&'static str>>,
    /// Says in the metadata which these are.
    pub prompts_announced: bool,
    /// Serves `/.well-known/openid-configuration`.
    pub oidc_metadata: bool,
    /// Serves `/.well-known/oauth-authorization-server`.
    pub oauth_metadata: bool,
    /// The device endpoint is in the metadata.
    pub device: bool,
    /// Seconds between polls; 0 names none, which means 5.
    pub device_interval: u64,
    /// Seconds that a code lasts.
    pub device_life: i64,
    /// What the person has said to a code by the time it is issued.
    pub device_decision: Option<bool>,
    /// Device codes are given out only with PKCE.
    pub device_pkce: bool,
    /// How many polls from now on are answered `slow_down`, and the interval that is named with it.
    pub slow_downs: usize,
    pub slow_down_interval: Option<u64>,
    /// Answers refusals at the token endpoint with status 200, as GitHub does.
    pub errors_with_200: bool,
    /// The redirect URI that is registered, without its port: any port is taken (RFC 8252 section 7.3).
    pub redirect: String,
    pub device_patch: Option<Patch>,
    pub token_patch: Option<Patch>,
    pub metadata_patch: Option<Patch>,
    pub userinfo_patch: Option<Patch>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_life: 3600,
            id_token_life: 3600,
            account: "alice".into(),
            email: "alice@example.com".into(),
            consent: false,
            deny: false,
            deny_as: "access_denied".into(),
            refusal: Vec::new(),
            wrong_state: false,
            wrong_iss: false,
            wrong_nonce: false,
            iss_parameter: true,
            iss: None,
            iss_parameter_announced: true,
            rotate: true,
            reuse_interval: Duration::ZERO,
            refresh_names_redirect: false,
            refresh_ends_access: false,
            refresh_returns_id_token: true,
            consent_free: false,
            refresh_always: false,
            revocation: true,
            revokes_access: true,
            prompts: None,
            prompts_announced: false,
            oidc_metadata: true,
            oauth_metadata: true,
            device: false,
            device_interval: 1,
            device_life: 600,
            device_decision: None,
            device_pkce: false,
            slow_downs: 0,
            slow_down_interval: None,
            errors_with_200: false,
            redirect: "http://127.0.0.1/callback".into(),
            device_patch: None,
            token_patch: None,
            metadata_patch: None,
            userinfo_patch: None,
        }
    }
}
