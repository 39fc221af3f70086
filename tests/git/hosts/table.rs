//! What each kind of git host takes and says, by its documentation and by what other helpers found.
use crate::support::authorization_server::{Client, Endpoint, Settings};
use crate::support::git_server::Manners;
use serde_json::json;
use std::sync::Arc;

pub(super) const SECRET: &str = "the-client-secret-0123456789";

/// One host: what it is, what a person configures for it, and what has to come of that.
pub(super) struct Host {
    pub(super) name: &'static str,
    /// Of the login. `HOST` stands for the host, `ELSEWHERE` for the server where people sign in.
    pub(super) table: &'static str,
    pub(super) client: Client,
    pub(super) redirect: &'static str,
    pub(super) endpoints: &'static [(&'static str, Endpoint)],
    /// Where its own sign-in server and its API are; nowhere where people sign in elsewhere.
    pub(super) sign_in: &'static [&'static str],
    pub(super) answers: fn(&mut Settings),
    /// The life of its tokens in seconds, where it names one.
    pub(super) life: Option<i64>,
    /// Whether a refresh token comes along.
    pub(super) refreshes: bool,
    /// What is below this is git's, and all else is nothing.
    pub(super) root: &'static str,
    pub(super) repository: &'static str,
    /// What stands before the host in the URL that people clone.
    pub(super) user: &'static str,
    /// Whether the route names that user, too.
    pub(super) named: bool,
    pub(super) manners: Manners,
    /// The user name that must come with Basic.
    pub(super) username: &'static str,
    /// Whether the route asks for Bearer, which a git that can then sends.
    pub(super) bearer: bool,
}

fn usual(name: &'static str, realm: &str) -> Host {
    let refusal = vec![("www-authenticate", format!("Basic realm=\"{realm}\""))];
    Host {
        name,
        table: "host = \"HOST\"\nclient_id = \"the-id\"",
        client: Client::public("the-id"),
        redirect: "http://127.0.0.1/callback",
        endpoints: &[("/login/oauth/authorize", Endpoint::Authorize), ("/login/oauth/access_token", Endpoint::Token)],
        sign_in: &["/login/oauth/"],
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
        sign_in: &[],
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
    let endpoints = &[
        ("/login/oauth/authorize", Endpoint::Authorize),
        ("/login/oauth/access_token", Endpoint::Token),
        ("/api/v3/user", Endpoint::Userinfo),
    ];
    Host {
        client,
        endpoints,
        sign_in: &["/login/oauth/", "/api/v3/"],
        answers,
        life: None,
        refreshes: false,
        username: "x-access-token",
        ..host
    }
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
        endpoints: &[
            ("/gitea/login/oauth/authorize", Endpoint::Authorize),
            ("/gitea/login/oauth/access_token", Endpoint::Token),
            ("/gitea/login/oauth/userinfo", Endpoint::Userinfo),
        ],
        sign_in: &["/gitea/login/oauth/"],
        root: "/gitea/",
        repository: "/gitea/team/app.git",
        ..host
    }
}

/// Bitbucket Cloud takes one user name of a token, whoever the URL that it shows names.
pub(super) fn bitbucket() -> Host {
    let mut host = usual("bitbucket", "Bitbucket.org HTTP");
    (host.manners.schemes, host.manners.username) = (&["basic", "bearer"], Some("x-token-auth"));
    Host {
        client: Client::confidential("the-id", SECRET),
        redirect: "http://127.0.0.1",
        endpoints: &[("/site/oauth2/authorize", Endpoint::Authorize), ("/site/oauth2/access_token", Endpoint::Token)],
        sign_in: &["/site/oauth2/"],
        life: Some(7200),
        user: "alice@",
        username: "x-token-auth",
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
        sign_in: &["/oauth/"],
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
        sign_in: &[],
        answers: |settings| settings.rotate = false,
        root: "/chromium/",
        repository: "/chromium/src",
        bearer: true,
        ..host
    }
}

pub(super) fn hosts() -> [Host; 11] {
    let named = |host: Host| Host { named: true, ..host };
    [
        azure(),
        github(),
        github_app(),
        gitea("gitea", "Gitea"),
        Host { bearer: true, ..gitea("gitea", "Gitea") },
        gitea("forgejo", "Forgejo"),
        bitbucket(),
        named(bitbucket()),
        gitlab(),
        named(gitlab()),
        google_source(),
    ]
}
