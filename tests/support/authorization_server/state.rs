//! What a server remembers: tokens and their families, open requests, and what it has seen and counted.
use super::device::Device;
use super::fault::{Endpoint, Planned};
use super::settings::Settings;
use crate::support::clock;
use crate::support::encoding::random_text;
use crate::support::http_server::Request;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// How often each thing happened. Requests are counted when they arrive, outcomes when they succeed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for a metadata document.
    pub discovery: usize,
    /// Requests to the authorization endpoint.
    pub authorizations: usize,
    pub codes_issued: usize,
    pub codes_redeemed: usize,
    /// Requests to the token endpoint, whatever the grant.
    pub token_requests: usize,
    pub refresh_requests: usize,
    /// Refreshes that gave a new access token.
    pub refreshes: usize,
    /// Refresh tokens that came again after they were replaced.
    pub reuses: usize,
    pub revocations: usize,
    /// Requests for a device code.
    pub device_authorizations: usize,
    /// Device codes that brought tokens.
    pub devices_redeemed: usize,
    pub introspections: usize,
    pub userinfo: usize,
}

/// One request, as far as a test asks about it.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub endpoint: Endpoint,
    pub path: String,
    /// The `grant_type` of a token request; empty otherwise.
    pub grant_type: String,
    /// The scope asked for; empty where none was.
    pub scope: String,
    /// The `claims` asked for; empty where none were.
    pub claims: String,
    pub user_agent: String,
    /// The `prompt` and the `login_hint` of an authorization request; empty where there was none.
    pub prompt: String,
    pub login_hint: String,
    /// The `token_type_hint` of a revocation; empty where there was none.
    pub token_type_hint: String,
    /// The `Authorization` header; empty where there was none.
    pub authorization: String,
    /// Everything in the address and in the form, in order.
    pub parameters: Vec<(String, String)>,
    pub at: Instant,
}

/// An authorization request that passed every check.
#[derive(Clone)]
pub(super) struct Authorization {
    pub client: String,
    pub redirect_uri: String,
    pub state: String,
    pub challenge: String,
    pub nonce: Option<String>,
    pub scope: Vec<String>,
    pub resource: Option<String>,
}

#[derive(Clone)]
pub(super) struct Code {
    pub authorization: Authorization,
    pub issued: i64,
    /// The family its redemption began.
    pub family: Option<usize>,
}

/// All tokens that come from one sign-in.
#[derive(Clone)]
pub(super) struct Family {
    pub alive: bool,
    pub authorization: Authorization,
    pub account: String,
    pub email: String,
}

#[derive(Clone)]
pub(super) struct Access {
    pub family: usize,
    pub alive: bool,
    pub end: i64,
    pub scope: String,
    pub audience: Option<String>,
}

#[derive(Clone)]
pub(super) struct Refresh {
    pub family: usize,
    /// When it was replaced.
    pub replaced: Option<Instant>,
}

/// What a server had issued at one moment, and what it had counted. What must never come twice is not part of it.
#[derive(Clone)]
pub struct Snapshot {
    counts: Counts,
    codes: HashMap<String, Code>,
    families: Vec<Family>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
}

#[derive(Default)]
pub(super) struct State {
    pub settings: Settings,
    pub counts: Counts,
    pub violations: Vec<String>,
    pub faults: Vec<Planned>,
    pub requests: Vec<Recorded>,
    pub secrets: Vec<String>,
    /// States, nonces and challenges that must never come twice.
    pub once: HashSet<String>,
    pub waiting: HashMap<String, Authorization>,
    pub codes: HashMap<String, Code>,
    pub devices: Vec<Device>,
    pub families: Vec<Family>,
    pub access: HashMap<String, Access>,
    pub refresh: HashMap<String, Refresh>,
}

impl State {
    pub(super) fn record(&mut self, endpoint: Endpoint, request: &Request) {
        let field = |name: &str| request.field(name).or_else(|| request.parameter(name)).unwrap_or_default();
        let grant_type = if endpoint == Endpoint::Token { field("grant_type") } else { String::new() };
        let counter = match endpoint {
            Endpoint::Metadata => Some(&mut self.counts.discovery),
            Endpoint::Authorize => Some(&mut self.counts.authorizations),
            Endpoint::Token => Some(&mut self.counts.token_requests),
            Endpoint::Device => Some(&mut self.counts.device_authorizations),
            Endpoint::Introspect => Some(&mut self.counts.introspections),
            Endpoint::Userinfo => Some(&mut self.counts.userinfo),
            Endpoint::Consent | Endpoint::DevicePage | Endpoint::Revoke | Endpoint::Jwks => None,
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
        self.counts.refresh_requests += usize::from(grant_type == "refresh_token");
        self.requests.push(Recorded {
            endpoint,
            path: request.path.clone(),
            grant_type,
            scope: field("scope"),
            claims: field("claims"),
            user_agent: request.header("user-agent").unwrap_or_default().to_owned(),
            prompt: field("prompt"),
            login_hint: field("login_hint"),
            token_type_hint: field("token_type_hint"),
            authorization: request.header("authorization").unwrap_or_default().to_owned(),
            parameters: request.parameters().into_iter().chain(request.form()).collect(),
            at: Instant::now(),
        });
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let Self { counts, codes, families, access, refresh, .. } = self;
        Snapshot {
            counts: counts.clone(),
            codes: codes.clone(),
            families: families.clone(),
            access: access.clone(),
            refresh: refresh.clone(),
        }
    }

    pub(super) fn restore(&mut self, snapshot: &Snapshot) {
        let Snapshot { counts, codes, families, access, refresh } = snapshot.clone();
        (self.counts, self.codes, self.families, self.access, self.refresh) = (counts, codes, families, access, refresh);
        self.requests.clear();
    }

    pub(super) fn violate(&mut self, endpoint: &str, what: impl AsRef<str>) {
        self.violations.push(format!("{endpoint}: {}", what.as_ref()));
    }

    /// Remembers a value that a client must never send twice; false where it did.
    pub(super) fn is_new(&mut self, kind: &str, value: &str) -> bool {
        self.once.insert(format!("{kind} {value}"))
    }

    pub(super) fn mint(&mut self, prefix: &str) -> String {
        let secret = random_text(prefix);
        self.secrets.push(secret.clone());
        secret
    }

    pub(super) fn access_is_alive(&self, token: &str) -> bool {
        self.access.get(token).is_some_and(|access| access.alive && access.end > clock::now())
    }

    pub(super) fn kill_family(&mut self, family: usize) {
        self.families[family].alive = false;
        for token in self.access.values_mut().filter(|token| token.family == family) {
            token.alive = false;
        }
    }
}
