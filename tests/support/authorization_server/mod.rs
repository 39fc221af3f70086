//! An OAuth 2.0 and OpenID Connect authorization server that checks every request it gets, counts what it did, and
//! misbehaves on demand. It is the judge of keyfob's OAuth in the hermetic tests.
mod authorize;
mod device;
mod fault;
mod resources;
mod settings;
mod state;
mod token;

pub use fault::{Endpoint, Fault, Hold};
pub use settings::{Client, Options, Settings};
pub use state::{Counts, Recorded, Snapshot};

use super::http_server::{HttpServer, Request, Response};
use super::jose::SigningKey;
use super::process::LIMIT;
use serde_json::Value;
use state::State;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

/// What the connections of one server share.
struct Shared {
    /// Known once the port is.
    issuer: OnceLock<String>,
    path: String,
    paths: Vec<(&'static str, Endpoint)>,
    clients: Vec<Client>,
    key: SigningKey,
    state: Mutex<State>,
    arrived: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn issuer(&self) -> &str {
        self.issuer.get().map_or("", String::as_str)
    }
}

/// A running authorization server. It stops when dropped.
pub struct AuthorizationServer {
    http: HttpServer,
    shared: Arc<Shared>,
}

impl AuthorizationServer {
    /// One public client, `keyfob`, over http.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub fn start_with(options: Options) -> Self {
        let shared = Arc::new(Shared {
            issuer: OnceLock::new(),
            path: options.path,
            paths: options.paths,
            clients: options.clients,
            key: SigningKey::generate(),
            state: Mutex::new(State::default()),
            arrived: Condvar::new(),
        });
        let for_requests = Arc::clone(&shared);
        let http = HttpServer::start_with(options.port, options.tls.as_ref(), move |request| answer(&for_requests, request));
        let origin = options.known_as.unwrap_or_else(|| http.url());
        shared.issuer.set(format!("{origin}{}", shared.path)).expect("the issuer is set once, here");
        Self { http, shared }
    }

    /// The issuer identifier, without a slash at the end.
    pub fn issuer(&self) -> String {
        self.shared.issuer().to_owned()
    }

    pub fn port(&self) -> u16 {
        self.http.port()
    }

    /// Changes how the server behaves from the next request on.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.state().settings);
    }

    /// Life of the access tokens issued from now on, in seconds.
    pub fn set_access_life(&self, seconds: i64) {
        self.configure(|settings| settings.access_life = seconds);
    }

    /// Changes each token answer before it is sent: `patch` gets the JSON object.
    pub fn token_patch(&self, patch: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.configure(|settings| settings.token_patch = Some(Arc::new(patch)));
    }

    /// Changes the metadata document before it is sent.
    pub fn metadata_patch(&self, patch: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.configure(|settings| settings.metadata_patch = Some(Arc::new(patch)));
    }

    /// What clients did that the specifications forbid, in order; each with the endpoint.
    pub fn violations(&self) -> Vec<String> {
        self.shared.state().violations.clone()
    }

    pub fn counts(&self) -> Counts {
        self.shared.state().counts.clone()
    }

    /// Every request to a known endpoint, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().requests.clone()
    }

    /// The `User-Agent` of every request, in order; empty where there was none.
    pub fn user_agents(&self) -> Vec<String> {
        self.shared.state().requests.iter().map(|request| request.user_agent.clone()).collect()
    }

    /// Lets the next request to `endpoint` meet `fault`. Faults of one endpoint queue up.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.fault_times(endpoint, fault, 1);
    }

    /// The same for the next `times` requests; `usize::MAX` is for good.
    pub fn fault_times(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        self.shared.state().faults.push(fault::Planned { endpoint, fault, times });
    }

    /// Processes the next request to `endpoint`, and keeps its answer back until the hold is released.
    pub fn hold(&self, endpoint: Endpoint) -> Hold {
        let hold = Hold::default();
        self.fault(endpoint, Fault::Until(hold.told()));
        hold
    }

    /// Lets the next `times` requests to `endpoint` meet `fault`, but only when the hold is released.
    pub fn hold_back(&self, endpoint: Endpoint, fault: Fault, times: usize) -> Hold {
        let hold = Hold::default();
        self.fault_times(endpoint, Fault::Late(hold.told(), Box::new(fault)), times);
        hold
    }

    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Waits until `count` requests in all have *arrived* at `endpoint` (answered or not); says when that one did.
    /// Panics after `process::LIMIT`.
    #[track_caller]
    pub fn wait_for(&self, endpoint: Endpoint, count: usize) -> Instant {
        let end = Instant::now() + LIMIT;
        let mut state = self.shared.state();
        loop {
            let mut arrivals = state.requests.iter().filter(|request| request.endpoint == endpoint);
            if let Some(request) = arrivals.nth(count.saturating_sub(1)) {
                return request.at;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{endpoint:?} did not see {count} requests within {LIMIT:?}");
            state = match self.shared.arrived.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Whether the server would still accept this access token.
    pub fn is_alive(&self, access_token: &str) -> bool {
        self.shared.state().access_is_alive(access_token)
    }

    /// Whether the token family issued last can still be refreshed.
    pub fn family_alive(&self) -> bool {
        self.shared.state().families.last().is_some_and(|family| family.alive)
    }

    /// Whether each family can still be refreshed, in the order in which they were issued.
    pub fn families_alive(&self) -> Vec<bool> {
        self.shared.state().families.iter().map(|family| family.alive).collect()
    }

    /// The tokens, codes and families there are now, and the counts.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.state().snapshot()
    }

    /// Goes back to `snapshot`, as if no request had come since. Requests that were recorded so far are forgotten.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.shared.state().restore(snapshot);
    }

    /// Ends every access token issued so far; refresh tokens stay.
    pub fn kill_access_tokens(&self) {
        self.shared.state().access.values_mut().for_each(|token| token.alive = false);
    }

    /// Ends every token family, as an administrator does who ends the sessions of an account.
    pub fn end_sessions(&self) {
        let mut state = self.shared.state();
        (0..state.families.len()).for_each(|family| state.kill_family(family));
    }

    /// Every secret that passed here: tokens, codes, verifiers, states, client secrets.
    pub fn issued_secrets(&self) -> Vec<String> {
        let configured = self.shared.clients.iter().filter_map(|client| client.secret.clone());
        self.shared.state().secrets.iter().cloned().chain(configured).collect()
    }

    /// The user codes that were issued, in order.
    pub fn user_codes(&self) -> Vec<String> {
        self.shared.state().devices.iter().map(|device| device.user_code.clone()).collect()
    }

    /// What a person says to the code that was issued last: yes or no. Panics where none was issued.
    pub fn decide(&self, allow: bool) {
        let mut state = self.shared.state();
        let device = state.devices.last_mut().expect("a code was issued");
        device.decision = Some(allow);
    }

    /// The server forgets the time of every code: they have ended.
    pub fn end_codes(&self) {
        self.shared.state().devices.iter_mut().for_each(|device| device.ended = true);
    }

    /// When each poll for a device code arrived, in order.
    pub fn polls(&self) -> Vec<Instant> {
        let requests = self.requests();
        requests.iter().filter(|request| request.grant_type == device::GRANT).map(|request| request.at).collect()
    }

    /// Issues a token set without a browser, as a test of resource servers needs one: (access token, id token).
    pub fn issue(&self, audience: &str) -> (String, String) {
        token::issue_directly(&self.shared, audience)
    }
}

fn answer(shared: &Shared, request: &Request) -> Response {
    let Some(endpoint) = Endpoint::of(&request.path, &shared.path, &shared.paths) else {
        return Response::text(404, "there is nothing here");
    };
    let fault = {
        let mut state = shared.state();
        state.record(endpoint, request);
        device::poll_arrived(&mut state, endpoint, request);
        fault::next(&mut state.faults, endpoint)
    };
    shared.arrived.notify_all();
    let response = met(shared, endpoint, request, fault);
    device::poll_answered(shared, endpoint, request);
    response
}

/// The answer to a request that meets `fault`.
fn met(shared: &Shared, endpoint: Endpoint, request: &Request, fault: Option<Fault>) -> Response {
    match fault {
        None => process(shared, endpoint, request),
        Some(Fault::Delay(milliseconds)) => {
            let response = process(shared, endpoint, request);
            std::thread::sleep(Duration::from_millis(milliseconds));
            response
        }
        Some(Fault::Until(told)) => {
            let response = process(shared, endpoint, request);
            fault::wait(&told);
            response
        }
        Some(Fault::Around(frame)) => match process(shared, endpoint, request) {
            Response::Full { headers, body, .. } => Response::Play(frame(&headers, &body).into()),
            other => other,
        },
        Some(Fault::AfterDrop) => {
            process(shared, endpoint, request);
            Response::Drop
        }
        Some(fault) => fault.response(),
    }
}

fn process(shared: &Shared, endpoint: Endpoint, request: &Request) -> Response {
    match endpoint {
        Endpoint::Metadata => resources::metadata(shared, request),
        Endpoint::Authorize => authorize::authorize(shared, request),
        Endpoint::Consent => authorize::consent(shared, request),
        Endpoint::Token => token::token(shared, request),
        Endpoint::Device => device::authorize(shared, request),
        Endpoint::DevicePage => device::page(shared, request),
        Endpoint::Revoke => resources::revoke(shared, request),
        Endpoint::Jwks => Response::json(200, &shared.key.jwks()),
        Endpoint::Introspect => resources::introspect(shared, request),
        Endpoint::Userinfo => resources::userinfo(shared, request),
    }
}
