//! The conventions of git hosts, one row each: real git of either age clones, fetches and pushes there, and what the host would refuse or
//! answer with 404 is never sent.
mod table;

use super::versions;
use crate::support::authorization_server::{AuthorizationServer, Client, Options};
use crate::support::clock;
use crate::support::forge::Forge;
use crate::support::front::Front;
use crate::support::git_server::Logged;
use crate::support::process::{self, Output};
use crate::support::temp_dir::{TempDir, write};
use std::path::Path;
use std::sync::Arc;
use table::{Host, SECRET, bitbucket, hosts};

/// A host, and a home that is configured for it.
struct Stand {
    forge: Forge,
    front: Front,
    url: String,
    /// What stands in the table of the login.
    table: String,
    _secret: TempDir,
}

fn stand(host: &Host) -> Stand {
    let clients = vec![host.client.clone(), Client::confidential("another-id", SECRET)];
    let (front, secret) = (Front::start(), TempDir::new("secret"));
    let known_as = (!host.sign_in.is_empty()).then(|| front.url());
    let options = Options { clients, paths: host.endpoints.to_vec(), known_as, ..Options::default() };
    let server = Arc::new(AuthorizationServer::start_with(options));
    server.configure(|settings| {
        (settings.iss_parameter, settings.refresh_always, settings.redirect) = (false, true, host.redirect.into());
        settings.access_life = host.life.unwrap_or(settings.access_life);
        (host.answers)(settings);
    });
    let judge = Arc::clone(&server);
    let forge = Forge::with(server, move |token| judge.is_alive(token));
    forge.git.behave(host.manners.clone());
    forge.git.create_at(host.repository);
    for path in host.sign_in {
        front.lead(path, &format!("http://127.0.0.1:{}", forge.server.port()));
    }
    front.lead(host.root, &forge.git.url());
    write(&secret.join("secret"), SECRET);
    let file = host.client.secret.as_ref().map(|_| format!("client_secret_file = \"{}\"\n", secret.join("secret").display()));
    let table = host.table.replace("HOST", &front.url()).replace("ELSEWHERE", &forge.server.issuer());
    let as_user = |user: &str| front.url().replace("://", &format!("://{user}"));
    let (table, route) = (
        format!("preset = \"{}\"\n{table}\n{}", host.name, file.unwrap_or_default()),
        as_user(if host.named { host.user } else { "" }),
    );
    forge.configure(&format!("[login.corp]\n{table}[git.\"{route}\"]\nlogin = \"corp\"\nbearer = {}\n", host.bearer));
    let url = as_user(host.user) + host.repository;
    Stand { forge, front, url, table, _secret: secret }
}

impl Stand {
    #[track_caller]
    fn git(&self, git: &Path, arguments: &[&str]) -> Output {
        process::run(self.forge.command(git).args(arguments), b"")
    }

    /// Clones, fetches and pushes.
    fn use_all(&self, git: &Path, host: &Host) {
        self.git(git, &["clone", "--quiet", &self.url, "work"]).success();
        self.git(git, &["-C", "work", "fetch", "--quiet"]).success();
        write(&self.forge.home.path().join("work/more"), "a line\n");
        self.git(git, &["-C", "work", "add", "more"]).success();
        self.git(git, &["-C", "work", "commit", "--quiet", "--message", "More"]).success();
        self.git(git, &["-C", "work", "push", "--quiet"]).success();
        let pushed = self.git(git, &["-C", "work", "rev-parse", "HEAD"]).success().stdout;
        assert_eq!(self.forge.git.head_at(host.repository), pushed.trim(), "{}", host.name);
    }

    /// What came with a token, in order.
    fn attempts(&self) -> Vec<Logged> {
        self.forge.git.log().into_iter().filter(|one| one.attempt).collect()
    }

    /// How often people signed in, and how often a token was refreshed.
    fn asked(&self) -> (usize, usize) {
        let counts = self.forge.server.counts();
        (counts.authorizations, counts.refreshes)
    }

    /// The tokens that are kept.
    fn kept(&self) -> usize {
        self.forge.home.files().into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rec")).count()
    }

    /// When git is told that the token ends, in seconds from now.
    fn told_life(&self) -> Option<i64> {
        let request = format!("protocol=http\nhost={}\n", self.front.url().trim_start_matches("http://"));
        let answer = process::run(self.forge.command("keyfob").args(["git", "get"]), request.as_bytes()).success().stdout;
        let end = answer.lines().find_map(|line| line.strip_prefix("password_expiry_utc="));
        end.map(|end| end.parse::<i64>().unwrap() - clock::now())
    }

    /// Panics unless all that came was what the host has, and nobody sent a cookie.
    #[track_caller]
    fn check(&self, host: &Host) {
        for one in self.front.passed() {
            assert!(one.status != 404 && one.request.header("cookie").is_none(), "{}: {one:?}", host.name);
        }
        self.forge.check();
    }
}

/// Uses `host` with `git`; `knows` says whether that git knows schemes and marks.
fn is_at_home(host: &Host, git: &Path, knows: bool) {
    let stand = stand(host);
    stand.use_all(git, host);
    let expected = if knows && host.bearer { ("bearer", "") } else { ("basic", host.username) };
    let attempts = stand.attempts();
    assert!(attempts.len() >= 6, "{}: {attempts:?}", host.name);
    for one in attempts {
        assert_eq!((one.scheme.as_str(), one.username.as_str(), one.authorized), (expected.0, expected.1, true), "{}", host.name);
    }
    assert_eq!((stand.asked(), stand.kept()), ((1, 0), 1), "{}", host.name);

    let told = stand.told_life();
    let as_named = |(told, life)| (life - 60..=life).contains(&told);
    assert!(told.is_some() == host.life.is_some() && told.zip(host.life).is_none_or(as_named), "{}: {told:?}", host.name);

    // what was refused is reported under the name that was answered, and found by it
    stand.forge.server.kill_access_tokens();
    let fetch = || stand.git(git, &["-C", "work", "fetch", "--quiet"]);
    if !knows {
        let first = fetch();
        assert!(first.code == Some(128) && first.stderr.contains("Authentication failed"), "{}: {first:?}", host.name);
    }
    let told = fetch().success();
    assert_eq!(told.stderr, "", "{}", host.name);
    assert_eq!((stand.asked(), stand.kept()), (if host.refreshes { (1, 1) } else { (2, 0) }, 1), "{}", host.name);
    assert!(stand.attempts().last().is_some_and(|one| one.authorized), "{}", host.name);
    stand.check(host);
}

#[test]
fn a_newer_git_is_at_home_at_every_host() {
    let Some(git) = versions::newer() else { return };
    for host in hosts() {
        is_at_home(&host, &git, true);
    }
}

#[test]
fn an_older_git_is_at_home_at_every_host() {
    let Some(git) = versions::older() else { return };
    for host in hosts() {
        is_at_home(&host, &git, false);
    }
}

#[test]
fn a_report_under_the_one_user_name_of_bitbucket_reaches_the_account_that_it_is_about() {
    let Some(git) = versions::older() else { return };
    let host = bitbucket();
    let stand = stand(&host);
    let (url, mut config) = (stand.front.url(), String::new());
    // a workspace each, where a client is registered
    for (name, client) in [("alice", "the-id"), ("bob", "another-id")] {
        let (table, route) = (stand.table.replace("the-id", client), url.replace("://", &format!("://{name}@")));
        config += &format!("[login.{name}]\n{table}[git.\"{route}\"]\nlogin = \"{name}\"\n");
    }
    stand.forge.configure(&config);
    for name in ["alice", "bob"] {
        stand.git(&git, &["clone", "--quiet", &stand.url.replace("alice@", &format!("{name}@")), name]).success();
    }
    assert_eq!((stand.asked(), stand.kept()), ((2, 0), 2));
    stand.forge.server.kill_access_tokens();
    let fetch = |name: &str| stand.git(&git, &["-C", name, "fetch", "--quiet"]);
    for (count, name) in (1..).zip(["bob", "alice"]) {
        assert_eq!(fetch(name).code, Some(128), "{name}");
        fetch(name).success();
        assert_eq!((stand.asked(), stand.kept()), ((2, count), 2), "{name} alone was asked for anew");
    }
    stand.check(&host);
}
