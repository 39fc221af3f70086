//! The conventions of git hosts, one row each: real git of either age clones, fetches and pushes there, and what the host would refuse or
//! answer with 404 is never sent.
use super::versions;
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Options, Settings};
use crate::support::clock;
use crate::support::forge::Forge;
use crate::support::front::Front;
use crate::support::git_server::{Logged, Manners};
use crate::support::process::{self, Output};
use crate::support::temp_dir::{TempDir, write};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

const SECRET: &str = "the-client-secret-0123456789";

/// One host: what it is, what a person configures for it, and what has to come of that.
struct Host {
    name: &'static str,
    /// Of the login. `HOST` stands for the host, `ELSEWHERE` for the server where people sign in.
    table: &'static str,
    client: Client,
    redirect: &'static str,
    endpoints: &'static [(&'static str, Endpoint)],
    /// Where its own sign-in server is; none where people sign in elsewhere.
    sign_in: Option<&'static str>,
    answers: fn(&mut Settings),
    /// The life of its tokens in seconds, where it names one.
    life: Option<i64>,
    /// Whether a refresh token comes along.
    refreshes: bool,
    /// What is below this is git's, and all else is nothing.
    root: &'static str,
    repository: &'static str,
    /// What stands before the host in the URL that people clone.
    user: &'static str,
    /// Whether the route names that user, too.
    named: bool,
    manners: Manners,
    /// The user name that must come with Basic.
    username: &'static str,
    /// Whether a git that can sends the token as Bearer.
    bearer: bool,
}

fn usual(name: &'static str, realm: &str) -> Host {
    let refusal = vec![("www-authenticate", format!("Basic realm=\"{realm}\""))];
    Host {
        name,
        table: "host = \"HOST\"\nclient_id = \"the-id\"",
        client: Client::public("the-id"),
        redirect: "http://127.0.0.1/callback",
        endpoints: &[("/login/oauth/authorize", Endpoint::Authorize), ("/login/oauth/access_token", Endpoint::Token)],
        sign_in: Some("/login/oauth/"),
        answers: |_| {},
        life: Some(3600),
        refreshes: true,
        root: "/",
        repository: "/team/app.git",
        user: "",
        named: false,
        manners: Manners { schemes: &["basic"], username: None, refusal },
        username: "oauth2",
        bearer: false,
    }
}

/// Azure DevOps: the organisation and `_git` in the path; people sign in at their tenant, which the refusal names.
fn azure() -> Host {
    let mut host = usual("azure", "https://tfsprodweu3.visualstudio.com/");
    let tenant = "Bearer authorization_uri=https://login.microsoftonline.com/3f1c0000-0000-0000-0000-000000000000";
    host.manners.schemes = &["basic", "bearer"];
    host.manners.refusal.insert(0, ("www-authenticate", tenant.into()));
    host.manners.refusal.push(("x-vss-resourcetenant", "3f1c0000-0000-0000-0000-000000000000".into()));
    Host {
        table: "host = \"ELSEWHERE\"\ntenant = \"contoso.onmicrosoft.com\"\nclient_id = \"the-id\"",
        endpoints: &[
            ("/contoso.onmicrosoft.com/oauth2/v2.0/authorize", Endpoint::Authorize),
            ("/contoso.onmicrosoft.com/oauth2/v2.0/token", Endpoint::Token),
        ],
        sign_in: None,
        redirect: "http://localhost/callback",
        answers: |settings| settings.consent_free = true,
        root: "/contoso/",
        repository: "/contoso/web/_git/shop",
        user: "contoso@",
        ..host
    }
}

/// GitHub Enterprise Server, to a client that is an OAuth app: no end, no refresh token.
fn github() -> Host {
    let mut host = usual("github", "GitHub");
    host.manners.refusal.push(("x-github-request-id", "0A1B:2C3D:4E5F60:718293:6920B1A0".into()));
    let answers = |settings: &mut Settings| {
        settings.errors_with_200 = true;
        settings.token_patch = Some(Arc::new(|answer| {
            *answer = json!({ "access_token": answer["access_token"], "scope": "repo", "token_type": "bearer" });
        }));
    };
    let client = Client::confidential("the-id", SECRET);
    Host { client, answers, life: None, refreshes: false, username: "x-access-token", ..host }
}

/// The same to a client that is a GitHub App: eight hours, and a refresh ends the token before it.
fn github_app() -> Host {
    let answers = |settings: &mut Settings| (settings.errors_with_200, settings.refresh_ends_access) = (true, true);
    Host { answers, life: Some(28_800), refreshes: true, ..github() }
}

/// Gitea on a sub-path: nothing but what is below that is its, the root of the host least of all.
fn gitea(name: &'static str, realm: &str) -> Host {
    let mut host = usual(name, realm);
    host.manners.schemes = &["basic", "bearer"];
    Host {
        table: "host = \"HOST/gitea\"",
        client: Client::public("a4792ccc-144e-407e-86c9-5e7d8d9c3269"),
        redirect: "http://127.0.0.1",
        endpoints: &[("/gitea/login/oauth/authorize", Endpoint::Authorize), ("/gitea/login/oauth/access_token", Endpoint::Token)],
        sign_in: Some("/gitea/login/oauth/"),
        root: "/gitea/",
        repository: "/gitea/team/app.git",
        bearer: true,
        ..host
    }
}

/// Bitbucket Cloud takes one user name of a token, whoever the URL that it shows names.
fn bitbucket() -> Host {
    let mut host = usual("bitbucket", "Bitbucket.org HTTP");
    (host.manners.schemes, host.manners.username) = (&["basic", "bearer"], Some("x-token-auth"));
    Host {
        client: Client::confidential("the-id", SECRET),
        redirect: "http://127.0.0.1",
        endpoints: &[("/site/oauth2/authorize", Endpoint::Authorize), ("/site/oauth2/access_token", Endpoint::Token)],
        sign_in: Some("/site/oauth2/"),
        life: Some(7200),
        user: "alice@",
        username: "x-token-auth",
        bearer: true,
        ..host
    }
}

/// GitLab takes one user name of a token, too.
fn gitlab() -> Host {
    let mut host = usual("gitlab", "GitLab");
    host.manners.username = Some("oauth2");
    host.manners.refusal.push(("x-gitlab-feature-category", "source_code_management".into()));
    Host {
        endpoints: &[("/oauth/authorize", Endpoint::Authorize), ("/oauth/token", Endpoint::Token)],
        sign_in: Some("/oauth/"),
        answers: |settings| settings.refresh_ends_access = true,
        life: Some(7200),
        user: "alice@",
        ..host
    }
}

/// Google's git hosts: people sign in at Google's own addresses, and the cookies that others use there are none of ours.
fn google_source() -> Host {
    let mut host = usual("google-source", "code.google.com");
    host.manners.schemes = &["basic", "bearer"];
    host.manners.refusal.push(("set-cookie", "o=git-theirs; path=/".into()));
    Host {
        table: "client_id = \"the-id\"\nendpoints.authorization = \"ELSEWHERE/o/oauth2/v2/auth\"\n\
                endpoints.token = \"ELSEWHERE/token\"\nendpoints.revocation = \"ELSEWHERE/revoke\"",
        client: Client::confidential("the-id", SECRET),
        endpoints: &[("/o/oauth2/v2/auth", Endpoint::Authorize)],
        sign_in: None,
        answers: |settings| settings.rotate = false,
        root: "/chromium/",
        repository: "/chromium/src",
        bearer: true,
        ..host
    }
}

fn hosts() -> [Host; 10] {
    let named = |host: Host| Host { named: true, ..host };
    [
        azure(),
        github(),
        github_app(),
        gitea("gitea", "Gitea"),
        gitea("forgejo", "Forgejo"),
        bitbucket(),
        named(bitbucket()),
        gitlab(),
        named(gitlab()),
        google_source(),
    ]
}

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
    let options = Options { clients, paths: host.endpoints.to_vec(), ..Options::default() };
    let server = Arc::new(AuthorizationServer::start_with(options));
    server.configure(|settings| {
        (settings.iss_parameter, settings.refresh_always, settings.redirect) = (false, true, host.redirect.into());
        settings.access_life = host.life.unwrap_or(settings.access_life);
        (host.answers)(settings);
    });
    let (judge, front, secret) = (Arc::clone(&server), Front::start(), TempDir::new("secret"));
    let forge = Forge::with(server, move |token| judge.is_alive(token));
    forge.git.behave(host.manners.clone());
    forge.git.create_at(host.repository);
    if let Some(path) = host.sign_in {
        front.lead(path, &forge.server.issuer());
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
    forge.configure(&format!("[login.corp]\n{table}[git.\"{route}\"]\nlogin = \"corp\"\n"));
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
