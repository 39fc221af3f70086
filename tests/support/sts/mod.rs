//! A small Security Token Service: turns id tokens it can verify into credentials, and knows callers by their
//! signature. It answers by itself, or checks and then forwards to another one.
mod signature;
mod xml;

use super::clock;
use super::encoding::random_text;
use super::http_client;
use super::http_server::{HttpServer, Request, Response};
use super::introspection::id_tokens_of;
use super::jose::Refused;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// How often each thing was asked for and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// AssumeRoleWithWebIdentity, refused ones included.
    pub exchanges: usize,
    /// Of these, the ones that gave credentials.
    pub issued: usize,
    /// Requests with a good signature.
    pub signed: usize,
    pub refused: usize,
}

type Verify = dyn Fn(&str) -> Result<Value, Refused> + Send + Sync;

#[derive(Clone)]
struct Credentials {
    secret: String,
    session: String,
    end: i64,
    arn: String,
}

#[derive(Default)]
struct State {
    counts: Counts,
    issued: HashMap<String, Credentials>,
    secrets: Vec<String>,
    denied_roles: Vec<String>,
    /// Replaces the life that was asked for, in seconds.
    life: Option<i64>,
    log: Vec<Vec<(String, String)>>,
}

struct Shared {
    verify: Box<Verify>,
    upstream: Option<String>,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A running service. It stops when dropped.
pub struct Sts {
    http: HttpServer,
    shared: Arc<Shared>,
}

impl Sts {
    /// `verify` gives the claims of a good id token.
    pub fn start(verify: impl Fn(&str) -> Result<Value, Refused> + Send + Sync + 'static) -> Self {
        Self::start_with(Box::new(verify), None)
    }

    /// Trusts id tokens that `issuer` made for `audience`.
    pub fn trusting(issuer: &str, audience: &str) -> Self {
        Self::start(id_tokens_of(issuer, audience))
    }

    /// Checks by `verify` and by signature, and lets the service at `upstream` (`http://HOST:PORT`) answer.
    pub fn in_front_of(upstream: &str, verify: impl Fn(&str) -> Result<Value, Refused> + Send + Sync + 'static) -> Self {
        Self::start_with(Box::new(verify), Some(upstream.trim_end_matches('/').to_owned()))
    }

    fn start_with(verify: Box<Verify>, upstream: Option<String>) -> Self {
        let shared = Arc::new(Shared { verify, upstream, state: Mutex::default() });
        let for_requests = Arc::clone(&shared);
        Self { http: HttpServer::start(move |request| answer(&for_requests, request)), shared }
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL_STS`.
    pub fn url(&self) -> String {
        self.http.url()
    }

    pub fn counts(&self) -> Counts {
        self.shared.state().counts.clone()
    }

    /// The forms of all exchanges, the token in them left out.
    pub fn exchanges(&self) -> Vec<Vec<(String, String)>> {
        self.shared.state().log.clone()
    }

    /// Answers `AccessDenied` for this role.
    pub fn deny_role(&self, arn: &str) {
        self.shared.state().denied_roles.push(arn.to_owned());
    }

    /// Lets credentials live so many seconds, whatever is asked for; not where another service answers.
    pub fn set_life(&self, seconds: i64) {
        self.shared.state().life = Some(seconds);
    }

    /// Secret keys and session tokens that were given out.
    pub fn issued_secrets(&self) -> Vec<String> {
        self.shared.state().secrets.clone()
    }
}

fn answer(shared: &Shared, request: &Request) -> Response {
    let answered = if request.field("Action").as_deref() == Some("AssumeRoleWithWebIdentity") {
        shared.state().counts.exchanges += 1;
        exchange(shared, request)
    } else {
        signed(shared, request)
    };
    answered.unwrap_or_else(|refusal| {
        shared.state().counts.refused += 1;
        xml::error(&refusal)
    })
}

/// An error of the service: status, code, message.
struct Refusal(u16, &'static str, String);

fn exchange(shared: &Shared, request: &Request) -> Result<Response, Refusal> {
    let one = |name: &str| request.field(name).unwrap_or_default();
    let form = request.form().into_iter().filter(|(name, _)| name != "WebIdentityToken").collect();
    shared.state().log.push(form);
    let invalid = |what: String| Refusal(400, "ValidationError", what);
    if request.method != "POST" || one("Version") != "2011-06-15" {
        return Err(invalid("not a POST of version 2011-06-15".into()));
    }
    let (role, session) = (one("RoleArn"), one("RoleSessionName"));
    let Some((account, role_name)) = role_parts(&role) else {
        return Err(invalid(format!("{role} is no role")));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=64).contains(&session.len()) || !session.chars().all(plain) {
        return Err(invalid(format!("{session} is no session name")));
    }
    let duration = request.field("DurationSeconds").map_or(Some(3600), |text| text.parse::<i64>().ok());
    let duration = duration.filter(|seconds| (900..=43_200).contains(seconds));
    let duration = duration.ok_or_else(|| invalid("DurationSeconds is not between 900 and 43200".into()))?;
    let claims = (shared.verify)(&one("WebIdentityToken")).map_err(|refused| match refused {
        Refused::Expired => Refusal(400, "ExpiredTokenException", "Token expired".into()),
        other => Refusal(400, "InvalidIdentityToken", format!("the token is refused: {other:?}")),
    })?;
    if shared.state().denied_roles.contains(&role) {
        return Err(Refusal(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity".into()));
    }
    if shared.upstream.is_some() {
        return forward_exchange(shared, request);
    }
    let mut state = shared.state();
    let key = random_text("ASIA")[..20].to_ascii_uppercase();
    let arn = format!("arn:aws:sts::{account}:assumed-role/{role_name}/{session}");
    let end = clock::now() + state.life.unwrap_or(duration);
    let issued = Credentials { secret: random_text("sk_"), session: random_text("session_"), end, arn };
    let response = xml::assumed(&key, &issued, &claims);
    remember(&mut state, key, issued);
    Ok(response)
}

fn remember(state: &mut State, key: String, issued: Credentials) {
    state.counts.issued += 1;
    state.secrets.extend([issued.secret.clone(), issued.session.clone()]);
    state.issued.insert(key, issued);
}

/// Account and name (without path) of `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`.
fn role_parts(arn: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, "iam", "", account, resource] = parts[..] else { return None };
    let name = resource.strip_prefix("role/")?.rsplit('/').next()?;
    (account.len() == 12 && !name.is_empty()).then_some((account, name))
}

fn forward_exchange(shared: &Shared, request: &Request) -> Result<Response, Refusal> {
    let response = forward(shared, request)?;
    if let Response::Full { status: 200, body, .. } = &response {
        let text = String::from_utf8_lossy(body);
        let field = |name: &str| xml::element(&text, name).unwrap_or_default();
        let end = chrono::DateTime::parse_from_rfc3339(&field("Expiration")).map_or(0, |end| end.timestamp());
        let issued = Credentials { secret: field("SecretAccessKey"), session: field("SessionToken"), end, arn: field("Arn") };
        remember(&mut shared.state(), field("AccessKeyId"), issued);
    }
    Ok(response)
}

/// Any other action: the caller is known by the signature.
fn signed(shared: &Shared, request: &Request) -> Result<Response, Refusal> {
    let signed = signature::Signed::of(request)
        .ok_or_else(|| Refusal(403, "MissingAuthenticationToken", "the request is not signed".into()))?;
    let found = shared.state().issued.get(&signed.access_key).cloned();
    let unknown = || Refusal(403, "InvalidClientTokenId", "the security token is not one of ours".into());
    let caller = found.ok_or_else(unknown)?;
    if request.header("x-amz-security-token") != Some(caller.session.as_str()) {
        return Err(unknown());
    }
    if caller.end <= clock::now() {
        return Err(Refusal(403, "ExpiredToken", "The security token included in the request is expired".into()));
    }
    if !signed.holds(request, &caller.secret) {
        return Err(Refusal(403, "SignatureDoesNotMatch", "the signature is another one".into()));
    }
    shared.state().counts.signed += 1;
    if shared.upstream.is_some() {
        return forward(shared, request);
    }
    match request.field("Action").as_deref() {
        Some("GetCallerIdentity") => Ok(xml::caller(&caller.arn)),
        other => Err(Refusal(400, "InvalidAction", format!("there is no {other:?} here"))),
    }
}

/// The upstream's answer to the same request.
fn forward(shared: &Shared, request: &Request) -> Result<Response, Refusal> {
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let place = format!("{}{}{query}", shared.upstream.as_deref().unwrap_or_default(), request.path);
    let hop = ["connection", "content-length", "transfer-encoding", "expect"];
    let kept = request.headers.iter().filter(|(name, _)| !hop.contains(&name.as_str()));
    let headers: Vec<(&str, &str)> = kept.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = http_client::send(&request.method, &place, &headers, &request.body, None)
        .map_err(|e| Refusal(502, "InternalFailure", format!("the service behind: {e}")))?;
    let kept = answer.headers.into_iter().filter(|(name, _)| !hop.contains(&name.as_str()));
    Ok(Response::Full { status: answer.status, headers: kept.collect(), body: answer.body })
}
