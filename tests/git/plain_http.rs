//! Plain http to another machine: no token goes there, neither by git's URL nor by a redirect, and git's user reads why in one sentence.
use super::versions;
use crate::support::forge::{Forge, value};
use crate::support::http_server::{HttpServer, Response};
use crate::support::process::{self, Output};
use crate::support::proxy::TestProxy;
use crate::support::temp_dir::write;
use crate::support::tls::{TlsIdentity, Wrong};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A name that is not this machine's; the network leads it here.
const HOST: &str = "git.example.com";

/// `git.example.com`: a git server over plain http at its port 80, and over https one that sends everybody on to that.
struct Network {
    forge: Forge,
    proxy: TestProxy,
    /// Whether the server over https asks for a token before it sends anybody on, and how many tokens it got.
    asks_first: Arc<AtomicBool>,
    tokens: Arc<AtomicUsize>,
    _secure: HttpServer,
}

impl Network {
    /// The login `corp` answers for the place with these lines in its table.
    fn new(place: &str, lines: &str) -> Self {
        let forge = Forge::new();
        forge.git.create("hello");
        let identity = TlsIdentity::with(&[HOST], Wrong::Nothing);
        write(&forge.home.path().join("authorities.pem"), identity.authority_pem());
        let (asks_first, tokens) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (asks, count) = (Arc::clone(&asks_first), Arc::clone(&tokens));
        let secure = HttpServer::start_tls(&identity, move |request| {
            let comes_with = request.header("authorization").is_some();
            count.fetch_add(usize::from(comes_with), Ordering::SeqCst);
            if asks.load(Ordering::SeqCst) && !comes_with {
                return Response::text(401, "").with("www-authenticate", "Basic realm=\"x\"");
            }
            Response::redirect(&format!("http://{HOST}{}?{}", request.path, request.query))
        });
        let proxy = TestProxy::start_by_port(&[(80, forge.git.port()), (443, secure.port())]);
        let network = Self { forge, proxy, asks_first, tokens, _secure: secure };
        network.configure(place, lines);
        network
    }

    fn configure(&self, place: &str, lines: &str) {
        self.forge.configure(&format!("{}[git.\"{place}\"]\nlogin = \"corp\"\n{lines}", self.forge.login("corp", "")));
    }

    /// `git ls-remote` with that git, all of whose names are looked up by the proxy.
    #[track_caller]
    fn list(&self, git: &Path, more: &str, url: &str) -> Output {
        let mut command = self.forge.command(git);
        command.env("NO_PROXY", "127.0.0.1").env("GIT_SSL_CAINFO", self.forge.home.path().join("authorities.pem"));
        command.args(["-c", &format!("http.proxy=socks5h://{}", self.proxy.address()), "-c", more]);
        process::run(command.args(["ls-remote", url]), b"")
    }

    /// How many tokens came over plain http.
    fn came_in_the_open(&self) -> usize {
        self.forge.git.log().iter().filter(|one| one.attempt).count()
    }

    /// How many browsers were started and how many requests made to sign anybody in.
    fn asked(&self) -> (usize, usize) {
        (self.forge.home.browser_runs().len(), self.forge.server.requests().len())
    }
}

const FOLLOWS: [&str; 2] = ["http.followRedirects=initial", "http.followRedirects=true"];

/// Panics unless git failed, and keyfob said one sentence that names what would permit it.
#[track_caller]
fn refused(output: &Output) {
    let ours: Vec<&str> = output.stderr.lines().filter(|line| line.contains("keyfob")).collect();
    let [line] = ours.as_slice() else { panic!("not one sentence: {output:?}") };
    assert!(line.starts_with("keyfob: error: ") && line.contains(&format!("http://{HOST}")), "{line}");
    assert!(line.contains("for all to read") && line.contains("`allow_http = true`"), "{line}");
    assert_eq!(output.code, Some(128), "{output:?}");
}

fn url(user: &str) -> String {
    format!("http://{user}{HOST}/private/hello.git")
}

#[test]
fn a_url_over_plain_http_of_what_is_configured_for_https_is_refused_with_the_reason() {
    let network = Network::new(&format!("https://{HOST}"), "");
    for git in versions::all() {
        for user in ["", "alice@", "oauth2@"] {
            refused(&network.list(&git, FOLLOWS[0], &url(user)));
        }
    }
    assert_eq!((network.came_in_the_open(), network.asked()), (0, (0, 0)));

    // signed in, and from the compiled routes: nothing else is read then
    let ask = |protocol: &str, host: &str| {
        let request = format!("protocol={protocol}\nhost={host}\n");
        process::run(network.forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success()
    };
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let token = value(&ask("https", HOST).stdout, "password").to_owned();
    assert_eq!(value(&ask("https", HOST).stdout, "password"), token);
    network.forge.wait_for_quiet();
    let asked = network.asked();
    for git in versions::all() {
        refused(&network.list(&git, FOLLOWS[0], &url("")));
    }
    assert_eq!((network.came_in_the_open(), network.asked()), (0, asked));
    for (protocol, host) in [("http", "git.example.com:80"), ("HTTP", "GIT.example.com."), ("http", "git.example.com")] {
        let answer = ask(protocol, host);
        assert_eq!((answer.stdout.as_str(), answer.stderr.lines().count()), ("", 1), "{protocol} {host}: {answer:?}");
    }
    for (protocol, host) in
        [("http", "other.example.com"), ("http", "git.example.com:8080"), ("http", "git.example.com.evil.net")]
    {
        let answer = ask(protocol, host);
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("", ""), "{protocol} {host}");
    }
    network.forge.check();
}

#[test]
fn a_route_over_plain_http_is_refused_when_it_is_read_and_answers_where_it_says_that_it_may() {
    let place = format!("http://{HOST}");
    let network = Network::new(&place, "");
    for git in versions::all() {
        refused(&network.list(&git, FOLLOWS[0], &url("")));
    }
    assert_eq!((network.came_in_the_open(), network.asked()), (0, (0, 0)));
    let status = network.forge.keyfob(&["status"]);
    assert!(status.code == Some(6) && status.stderr.contains("`allow_http = true`"), "{status:?}");

    network.configure(&place, "allow_http = true\n");
    for git in versions::all() {
        network.list(&git, FOLLOWS[0], &url("")).success();
    }
    assert!(network.came_in_the_open() > 0 && network.forge.server.counts().authorizations == 1);
    network.forge.check();
}

#[test]
fn what_somebody_typed_in_for_plain_http_is_given_back_without_a_word() {
    let network = Network::new(&format!("https://{HOST}"), "");
    let typed = format!("protocol=http\nhost={HOST}\nusername=alice\npassword=typed-by-hand\n");
    process::run(network.forge.command("git").args(["credential", "approve"]), typed.as_bytes()).success();
    let request = format!("protocol=http\nhost={HOST}\n");
    let answer = process::run(network.forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success();
    assert_eq!((value(&answer.stdout, "password"), answer.stderr.as_str()), ("typed-by-hand", ""));
    network.forge.check();
}

#[test]
fn a_host_that_sends_git_on_from_https_to_http_leads_to_no_answer_there() {
    let network = Network::new(&format!("https://{HOST}"), "");
    for git in versions::all() {
        for follow in FOLLOWS {
            refused(&network.list(&git, follow, &url("").replace("http:", "https:")));
        }
    }
    assert_eq!((network.came_in_the_open(), network.asked()), (0, (0, 0)));
    assert!(!network.forge.git.log().is_empty(), "git was sent on");
    network.forge.check();
}

#[test]
fn a_host_that_sends_git_on_from_https_to_http_with_a_token_in_hand_gets_none_there() {
    let ways = FOLLOWS.into_iter().flat_map(|follow| ["", "bearer = true\n"].map(|lines| (follow, lines)));
    for (git, (follow, lines)) in versions::all().into_iter().flat_map(|git| ways.clone().map(move |way| (git.clone(), way))) {
        let network = Network::new(&format!("https://{HOST}"), lines);
        network.asks_first.store(true, Ordering::SeqCst);
        let output = network.list(&git, follow, &url("").replace("http:", "https:"));
        assert_eq!((output.code, network.came_in_the_open()), (Some(128), 0), "{output:?}");
        assert!(network.tokens.load(Ordering::SeqCst) > 0 && !network.forge.git.log().is_empty(), "{output:?}");
        assert_eq!(network.forge.server.counts().authorizations, 1, "for https alone");
        network.forge.check();
    }
}
