//! Debian's docker-registry with token authentication, and the token server it trusts: an access token of a sign-in
//! server is exchanged for the registry's own.
use super::encoding::{base64, from_base64, random_text};
use super::http_server::{HttpServer, Request, Response};
use super::jose::SigningKey;
use super::temp_dir::{TempDir, write};
use super::{clock, process};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const PROGRAM: &str = "docker-registry";
/// Runs a program until stdin ends, so that it ends with the test however that ends.
const WHILE_STDIN_IS_OPEN: &str = "\"$@\" & program=$!; cat >/dev/null; kill -KILL $program; wait";
const SERVICE: &str = "registry.test";
const ISSUER: &str = "token-server.test";

/// How often the token server was asked, and how it answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// GET with Basic.
    pub basic: usize,
    /// POST with a refresh token.
    pub identity_token: usize,
    /// POST with a password.
    pub password: usize,
    pub issued: usize,
    pub refused: usize,
}

#[derive(Default)]
struct State {
    counts: Counts,
    identity_tokens: HashSet<String>,
}

struct TokenServer {
    verify: Box<dyn Fn(&str) -> bool + Send + Sync>,
    key: SigningKey,
    certificate: String,
    state: Mutex<State>,
}

/// A running registry and its token server. Both stop when dropped, and the images go.
pub struct Registry {
    tokens: HttpServer,
    shared: Arc<TokenServer>,
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Registry {
    /// Starts both on ports the OS picks. `verify` says of an access token whether it may pull and push.
    pub fn start(verify: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, ISSUER);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let shared = Arc::new(TokenServer {
            verify: Box::new(verify),
            key: SigningKey::from_pkcs8(&key.serialize_der()),
            certificate: base64(certificate.der()),
            state: Mutex::default(),
        });
        let for_requests = Arc::clone(&shared);
        let tokens = HttpServer::start(move |request| for_requests.answer(request));
        let folder = TempDir::new("registry");
        let (bundle, settings) = (folder.join("trusted.pem"), folder.join("registry.yml"));
        write(&bundle, certificate.pem());
        let images = folder.join("images");
        write(
            &settings,
            format!(
                "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
                 auth: {{token: {{realm: \"{}/token\", service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: {}}}}}\n",
                images.display(),
                tokens.url(),
                bundle.display(),
            ),
        );
        let mut process = Command::new("sh")
            .args(["-c", WHILE_STDIN_IS_OPEN, "sh", PROGRAM, "serve"])
            .arg(&settings)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {PROGRAM}: {e}"));
        let port = listening_port(&mut process);
        Self { tokens, shared, process, port, _folder: folder }
    }

    /// `127.0.0.1:PORT`, as docker and skopeo name it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where the token server answers.
    pub fn token_url(&self) -> String {
        format!("{}/token", self.tokens.url())
    }

    pub fn counts(&self) -> Counts {
        self.shared.state().counts.clone()
    }

    /// Identity tokens that were given out.
    pub fn issued_secrets(&self) -> Vec<String> {
        self.shared.state().identity_tokens.iter().cloned().collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        process::wait(&mut self.process, Duration::from_secs(5));
    }
}

/// Reads the port from the registry's log, and goes on reading so that it never blocks.
fn listening_port(process: &mut Child) -> u16 {
    let mut lines = BufReader::new(process.stderr.take().expect("stderr is a pipe")).lines();
    let mut said = String::new();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        said.push_str(&line);
        let rest = line.split_once("listening on 127.0.0.1:")?.1;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    });
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    port.unwrap_or_else(|| panic!("{PROGRAM} ended without listening: {said}"))
}

impl TokenServer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Response {
        let one = |name: &str| request.field(name).or_else(|| request.parameter(name)).unwrap_or_default();
        if request.path != "/token" {
            return Response::text(404, "tokens are at /token");
        }
        let good = match (request.method.as_str(), one("grant_type").as_str()) {
            ("GET", _) => {
                self.state().counts.basic += 1;
                password(request).is_some_and(|token| (self.verify)(&token))
            }
            ("POST", "refresh_token") => {
                self.state().counts.identity_token += 1;
                let given = one("refresh_token");
                let known = self.state().identity_tokens.contains(&given);
                known || (self.verify)(&given)
            }
            ("POST", "password") => {
                self.state().counts.password += 1;
                (self.verify)(&one("password"))
            }
            _ => false,
        };
        if !good || one("service") != SERVICE {
            self.state().counts.refused += 1;
            let details = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required" }] });
            return Response::json(401, &details).with("www-authenticate", "Basic realm=\"keyfob test registry\"");
        }
        let scope: Vec<String> =
            request.form().into_iter().chain(request.parameters()).filter(|(n, _)| n == "scope").map(|(_, v)| v).collect();
        let mut answer = self.grant(&scope.join(" "));
        if one("offline_token") == "true" || one("access_type") == "offline" {
            let identity = random_text("identity_");
            answer["refresh_token"] = identity.clone().into();
            self.state().identity_tokens.insert(identity);
        }
        self.state().counts.issued += 1;
        Response::json(200, &answer)
    }

    /// A token for everything in `scope` (`TYPE:NAME:ACTION[,ACTION]`, separated by spaces).
    fn grant(&self, scope: &str) -> Value {
        let access: Vec<Value> = scope.split_ascii_whitespace().filter_map(access_entry).collect();
        let now = clock::now();
        let claims = json!({
            "iss": ISSUER, "aud": SERVICE, "sub": "alice", "iat": now, "nbf": now - 10, "exp": now + 300,
            "jti": random_text(""), "access": access,
        });
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [self.certificate] });
        let token = self.key.sign_with(&header, &claims);
        json!({ "token": token, "access_token": token, "expires_in": 300, "scope": scope })
    }
}

fn access_entry(text: &str) -> Option<Value> {
    let (kind, rest) = text.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    Some(json!({ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() }))
}

fn password(request: &Request) -> Option<String> {
    let text = from_base64(request.header("authorization")?.strip_prefix("Basic ")?)?;
    String::from_utf8(text).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}
