//! A git server over HTTP: `git http-backend` and large files behind a check of the `Authorization` header.
use super::encoding::from_base64;
use super::http_server::{HttpServer, Request, Response};
use super::temp_dir::{TempDir, make_private, write};
use super::{lfs, process};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

/// One request, as far as a test asks about it.
#[derive(Clone, Debug)]
pub struct Logged {
    pub method: String,
    pub path: String,
    /// The scheme of `Authorization` in lower case; empty without that header.
    pub scheme: String,
    /// The user name that came with Basic.
    pub username: String,
    /// A token came, and not just the user name that git finds in a URL.
    pub attempt: bool,
    /// The token was accepted.
    pub authorized: bool,
    pub status: u16,
}

/// What a request without a good token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer,
    Both,
}

/// What a server takes, and what it says to who brings nothing good.
#[derive(Clone, Debug)]
pub struct Manners {
    /// The schemes of `Authorization` that it takes, in lower case.
    pub schemes: &'static [&'static str],
    /// The one user name that it takes with Basic; any where there is none.
    pub username: Option<&'static str>,
    /// The headers of every refusal.
    pub refusal: Vec<(&'static str, String)>,
}

impl From<Challenge> for Manners {
    fn from(challenge: Challenge) -> Self {
        let schemes: &[&str] = match challenge {
            Challenge::Basic => &["Basic"],
            Challenge::Bearer => &["Bearer"],
            Challenge::Both => &["Basic", "Bearer"],
        };
        let header = |scheme: &&str| ("www-authenticate", format!("{scheme} realm=\"keyfob test git\""));
        Self { schemes: &["basic", "bearer"], username: None, refusal: schemes.iter().map(header).collect() }
    }
}

struct Shared {
    folder: PathBuf,
    verify: Box<dyn Fn(&str) -> bool + Send + Sync>,
    behaviour: Mutex<Behaviour>,
}

struct Behaviour {
    manners: Manners,
    forbid: bool,
    log: Vec<Logged>,
}

impl Shared {
    fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.folder.join("private").join(format!("{name}.git"))
    }

    /// Where the repository that is asked for as `path` lies on disk (bare).
    fn place(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_matches('/'))
    }
}

/// A running git server. It stops when dropped, and its repositories go.
pub struct GitServer {
    http: HttpServer,
    shared: Arc<Shared>,
    /// Not in what the connections share: they may outlive the server.
    _folder: TempDir,
}

impl GitServer {
    /// Listens on a port the OS picks. `verify` says of a token (the password of Basic, whoever the user is, or the
    /// Bearer token) whether it may read and write.
    pub fn start(verify: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let behaviour = Mutex::new(Behaviour { manners: Challenge::Basic.into(), forbid: false, log: Vec::new() });
        let folder = TempDir::new("git");
        let shared = Arc::new(Shared { folder: folder.path().to_owned(), verify: Box::new(verify), behaviour });
        let for_requests = Arc::clone(&shared);
        Self { http: HttpServer::start(move |request| answer(&for_requests, request)), shared, _folder: folder }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.http.url()
    }

    pub fn port(&self) -> u16 {
        self.http.port()
    }

    pub fn repository_url(&self, name: &str) -> String {
        format!("{}/private/{name}.git", self.url())
    }

    /// Where a repository lies on disk (bare).
    pub fn repository_path(&self, name: &str) -> PathBuf {
        self.shared.repository(name)
    }

    /// Makes a repository with one commit on `main` that holds `README.md`; gives its URL.
    pub fn create(&self, name: &str) -> String {
        self.create_from(name, |work| write(&work.join("README.md"), format!("# {name}\n")))
    }

    /// Makes a repository and `count` others (`NAME-1` …), which it names as its submodules `part-1` …; gives its URL.
    pub fn create_with_submodules(&self, name: &str, count: usize) -> String {
        let parts: Vec<(String, String, String)> = (1..=count)
            .map(|number| {
                let url = self.create(&format!("{name}-{number}"));
                let commit = git(&self.repository_path(&format!("{name}-{number}")), &["rev-parse", "main"]);
                (format!("part-{number}"), url, commit)
            })
            .collect();
        self.create_from(name, |work| {
            let entry =
                |(path, url, _): &(String, String, String)| format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
            write(&work.join(".gitmodules"), parts.iter().map(entry).collect::<String>());
            for (path, _, commit) in &parts {
                make_private(&work.join(path));
                git(work, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
            }
        })
    }

    /// The commit at the head of `main`, as the server has it.
    pub fn head(&self, name: &str) -> String {
        git(&self.repository_path(name), &["rev-parse", "main"])
    }

    /// Makes a repository with one commit on `main` of what `fill` puts into a folder; gives its URL.
    pub fn create_from(&self, name: &str, fill: impl FnOnce(&Path)) -> String {
        begin(&self.repository_path(name), fill);
        self.repository_url(name)
    }

    /// Makes a repository with one commit on `main` that is asked for as `path`, as `/organisation/project/_git/name`.
    pub fn create_at(&self, path: &str) {
        begin(&self.shared.place(path), |work| write(&work.join("README.md"), format!("# {path}\n")));
    }

    /// The commit at the head of `main` of the repository that is asked for as `path`.
    pub fn head_at(&self, path: &str) -> String {
        git(&self.shared.place(path), &["rev-parse", "main"])
    }

    pub fn challenge(&self, challenge: Challenge) {
        self.behave(challenge.into());
    }

    pub fn behave(&self, manners: Manners) {
        self.shared.behaviour().manners = manners;
    }

    /// Answers 403 to good tokens, as a server does that knows the person and says no.
    pub fn forbid(&self, forbid: bool) {
        self.shared.behaviour().forbid = forbid;
    }

    /// Every request so far, in order.
    pub fn log(&self) -> Vec<Logged> {
        self.shared.behaviour().log.clone()
    }
}

/// Makes the bare repository `bare` with one commit on `main` of what `fill` puts into a folder.
fn begin(bare: &Path, fill: impl FnOnce(&Path)) {
    let work = TempDir::new("work");
    git(work.path(), &["init", "--quiet", "--initial-branch=main"]);
    fill(work.path());
    git(work.path(), &["add", "--all"]);
    git(work.path(), &["commit", "--quiet", "--message", "Begin"]);
    git(work.path(), &["clone", "--quiet", "--bare", ".", &bare.to_string_lossy()]);
    git(bare, &["config", "http.receivepack", "true"]);
}

/// Runs git on `folder` with no configuration but its own; gives stdout without the line's end.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "submodule.recurse=false"]).args(arguments);
    without_configuration(&mut command, folder);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.com");
    }
    process::run(&mut command, b"").success().stdout.trim_end().to_owned()
}

fn without_configuration(command: &mut Command, home: &Path) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
}

fn answer(shared: &Shared, request: &Request) -> Response {
    let header = request.header("authorization").unwrap_or_default();
    let (scheme, credential) = header.split_once(' ').unwrap_or((header, ""));
    let scheme = scheme.to_ascii_lowercase();
    let (username, token) = match scheme.as_str() {
        "basic" => user_and_password(credential).unwrap_or_default(),
        _ => (String::new(), credential.to_owned()),
    };
    let (manners, forbid) = {
        let behaviour = shared.behaviour();
        (behaviour.manners.clone(), behaviour.forbid)
    };
    let named = scheme != "basic" || manners.username.is_none_or(|wanted| username == wanted);
    let authorized = manners.schemes.contains(&scheme.as_str()) && named && (shared.verify)(&token);
    let response = match (authorized, forbid) {
        (false, _) => {
            let refusal = Response::text(401, "sign in first");
            manners.refusal.iter().fold(refusal, |response, (name, value)| response.with(name, value))
        }
        (true, true) => Response::text(403, "you may not"),
        (true, false) => lfs::answer(&shared.folder, request).unwrap_or_else(|| backend(shared, request)),
    };
    let status = if let Response::Full { status, .. } = &response { *status } else { 0 };
    let (method, path) = (request.method.clone(), request.path.clone());
    let attempt = !token.is_empty();
    shared.behaviour().log.push(Logged { method, path, scheme, username, attempt, authorized, status });
    response
}

fn user_and_password(credential: &str) -> Option<(String, String)> {
    let text = String::from_utf8(from_base64(credential)?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// Answers with `git http-backend`, by the common gateway interface (RFC 3875).
fn backend(shared: &Shared, request: &Request) -> Response {
    let mut command = Command::new("git");
    without_configuration(&mut command, &shared.folder);
    command.arg("http-backend").env("GIT_PROJECT_ROOT", &shared.folder).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("REQUEST_METHOD", &request.method).env("PATH_INFO", &request.path).env("QUERY_STRING", &request.query);
    command.env("CONTENT_LENGTH", request.body.len().to_string()).env("REMOTE_USER", "alice").env("REMOTE_ADDR", "127.0.0.1");
    let passed = [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("accept-encoding", "HTTP_ACCEPT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ];
    for (name, variable) in passed {
        if let Some(value) = request.header(name) {
            command.env(variable, value);
        }
    }
    match process::run_raw(&mut command, &request.body) {
        Ok(output) => from_gateway(&output),
        Err(e) => Response::text(500, &format!("git http-backend: {e}")),
    }
}

/// Turns a gateway's output (headers, empty line, body) into an answer.
fn from_gateway(output: &[u8]) -> Response {
    let (mut status, mut headers, mut rest) = (200, Vec::new(), output);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&rest[..end]).trim_end().to_owned();
        rest = &rest[end + 1..];
        match line.split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("status") => {
                status = value.split_ascii_whitespace().next().and_then(|code| code.parse().ok()).unwrap_or(500);
            }
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
        }
    }
    Response::Full { status, headers, body: rest.to_vec() }
}
