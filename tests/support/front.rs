//! Stands in front of servers: hands every request on to the one that its path leads to, and writes down what came and what was answered.
use super::http_client;
use super::http_server::{HttpServer, Request, Response};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One request that was handed on, with its answer.
#[derive(Clone, Debug)]
pub struct Passed {
    pub request: Request,
    /// When it came.
    pub arrived: Instant,
    pub status: u16,
    /// The answer's body; null where it is no JSON.
    pub answer: Value,
    /// How many bytes the answer's body had.
    pub length: usize,
}

/// What is done to the next token request of a client.
struct Trick {
    client: String,
    grant: String,
    /// The server gets it two times, and the caller the second answer, as if somebody else had been faster.
    twice: bool,
    /// How long it is held back.
    delay: Duration,
}

#[derive(Default)]
struct Shared {
    /// The beginning of a path, and the server that it leads to; the first that fits counts.
    ways: Vec<(String, String)>,
    /// Who hands a request on holds it, where the server takes one request at a time.
    turn: Option<Arc<Mutex<()>>>,
    tricks: Vec<Trick>,
    passed: Vec<Passed>,
}

/// A running front. It stops when dropped.
pub struct Front {
    http: HttpServer,
    shared: Arc<Mutex<Shared>>,
}

impl Front {
    /// Listens; where requests go is said by [`Front::lead_to`], since the server may have to know this address before it starts.
    pub fn start() -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let for_requests = Arc::clone(&shared);
        Self { http: HttpServer::start(move |request| pass(&for_requests, request)), shared }
    }

    /// Hands requests on to `server` from now on.
    pub fn lead_to(&self, server: &str) {
        lock(&self.shared).ways = vec![(String::new(), server.to_owned())];
    }

    /// Hands requests whose path begins with `path`, and that no way before this one was for, on to `server` from now on. Where none leads,
    /// there is nothing: 404.
    pub fn lead(&self, path: &str, server: &str) {
        lock(&self.shared).ways.push((path.to_owned(), server.to_owned()));
    }

    /// Hands requests on one after the other from now on, for a server that mixes up those which come together.
    pub fn hand_on_in_turn(&self) {
        lock(&self.shared).turn = Some(Arc::default());
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.http.url()
    }

    /// Sends the next token request of `client` with `grant` to the server two times; the caller gets the second answer.
    pub fn send_twice(&self, client: &str, grant: &str) {
        self.arm(client, grant, true, Duration::ZERO);
    }

    /// Holds the next token request of `client` with `grant` back for `delay`.
    pub fn delay(&self, client: &str, grant: &str, delay: Duration) {
        self.arm(client, grant, false, delay);
    }

    fn arm(&self, client: &str, grant: &str, twice: bool, delay: Duration) {
        lock(&self.shared).tricks.push(Trick { client: client.to_owned(), grant: grant.to_owned(), twice, delay });
    }

    /// What was handed on and answered so far; what was sent twice stands there twice.
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.shared).passed.clone()
    }

    /// The token requests of `client` with `grant` among them.
    pub fn token_requests(&self, client: &str, grant: &str) -> Vec<Passed> {
        self.passed().into_iter().filter(|one| is_of(&one.request, client, grant)).collect()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn is_of(request: &Request, client: &str, grant: &str) -> bool {
    let is = |name: &str, value: &str| request.field(name).as_deref() == Some(value);
    is("client_id", client) && is("grant_type", grant)
}

fn pass(shared: &Mutex<Shared>, request: &Request) -> Response {
    let arrived = Instant::now();
    let (server, turn, trick) = {
        let mut shared = lock(shared);
        let place = shared.tricks.iter().position(|trick| is_of(request, &trick.client, &trick.grant));
        let way = shared.ways.iter().find(|(path, _)| request.path.starts_with(path));
        (way.map(|(_, server)| server.clone()), shared.turn.clone(), place.map(|place| shared.tricks.remove(place)))
    };
    let Some(server) = server else {
        note(shared, request, arrived, 404, Value::Null, 0);
        return Response::text(404, "there is nothing here");
    };
    if let Some(trick) = &trick {
        std::thread::sleep(trick.delay);
    }
    let _turn = turn.as_deref().map(lock);
    if trick.is_some_and(|trick| trick.twice) {
        hand_on(shared, &server, request, arrived);
    }
    hand_on(shared, &server, request, arrived)
}

fn hand_on(shared: &Mutex<Shared>, server: &str, request: &Request, arrived: Instant) -> Response {
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let ours = |name: &str| ["connection", "content-length", "transfer-encoding", "expect", "date"].contains(&name);
    let pairs = request.headers.iter().filter(|(name, _)| !ours(name));
    let headers: Vec<(&str, &str)> = pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let url = format!("{server}{}{query}", request.path);
    let Ok(answer) = http_client::send(&request.method, &url, &headers, &request.body, None) else { return Response::Drop };
    note(shared, request, arrived, answer.status, answer.json(), answer.body.len());
    let headers = answer.headers.into_iter().filter(|(name, _)| !ours(name)).collect();
    Response::Full { status: answer.status, headers, body: answer.body }
}

fn note(shared: &Mutex<Shared>, request: &Request, arrived: Instant, status: u16, answer: Value, length: usize) {
    lock(shared).passed.push(Passed { request: request.clone(), arrived, status, answer, length });
}
