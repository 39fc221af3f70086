//! The presets, each with where it was learnt. Nothing here was tried against the real services.
use super::{KnownClient, Part, Preset, Registration, Server, Userinfo, Wanted};

/// What is registered at servers that take any port (RFC 8252 §7.3).
const ANY_PORT: &str = "http://127.0.0.1/callback";
/// The same at servers that compare the port: one that systems do not give out by themselves.
const ONE_PORT: &str = "http://127.0.0.1:8417/callback";

/// The client that Gitea and Forgejo register on every instance for git's OAuth helpers. Its redirect URIs are `http://127.0.0.1` and
/// `https://127.0.0.1` with any port and no path (Gitea documentation, "Pre-configured Applications", and its database: read).
const GITEA_CLIENT: KnownClient = KnownClient { id: "a4792ccc-144e-407e-86c9-5e7d8d9c3269", redirect: "http://127.0.0.1" };

/// What most have in common: a public client with the names that no server minds.
const USUAL: Preset = Preset {
    names: &[],
    host: None,
    part: None,
    server: Server::Issuer(""),
    userinfo: None,
    account_hint: "login_hint",
    scopes: &["openid", "email", "offline_access"],
    redirect: ANY_PORT,
    secret: Wanted::Never,
    own_device_client: false,
    refresh_names_redirect: false,
    late_refresh: false,
    client: None,
    built_in: None,
    git_username: "oauth2",
    fixed_username: false,
    docker_username: "oauth2",
    registration: Registration { page: "", kind: "a public client with PKCE", permissions: None, enters_redirect: true },
};

/// GitLab. Endpoints, scopes, device grant (17.1 and newer, its client alone), that a refresh ends the old access token: read (its API
/// documentation, gitlab issue 364111). User name: read (there). Any port on 127.0.0.1: read (doorkeeper, `uri_checker.rb`). The
/// registry takes the same token with the scopes read_registry and write_registry: read. With `openid`, and not without it, it says who
/// signed in: the number in the ID token, the name (`nickname`) at the userinfo endpoint (read: `doorkeeper_openid_connect.rb`). Unverified: that a refresh need not name the redirect URI, as its documentation does.
const GITLAB: Preset = Preset {
    names: &["gitlab"],
    host: Some("gitlab.com"),
    server: Server::Endpoints {
        authorization: "oauth/authorize",
        token: "oauth/token",
        revocation: Some("oauth/revoke"),
        device_authorization: Some("oauth/authorize_device"),
    },
    userinfo: Some(Userinfo { at_home: "oauth/userinfo", elsewhere: "oauth/userinfo" }),
    scopes: &["openid", "read_repository", "write_repository"],
    late_refresh: true,
    fixed_username: true,
    built_in: option_env!("KEYFOB_CLIENT_ID_GITLAB"),
    registration: Registration {
        page: "-/user_settings/applications",
        kind: "an application; leave \"Confidential\" off",
        ..USUAL.registration
    },
    ..USUAL
};

/// GitHub and its Enterprise Server. Endpoints, any port on 127.0.0.1 with the path as it is registered, the secret for the browser's
/// grant and none for the device grant, which has to be enabled: read (its documentation, "Authorizing OAuth apps"). PKCE is taken:
/// read (its changelog, July 2025). Any user name; a GitHub App's refresh ends the old access token: read (git-credential-manager; its
/// documentation). Its way to revoke is not RFC 7009. The container registry takes any user name that is not empty: read in an issue
/// of its command line, unverified. `login` suggests an account, `/user` of its API names the one of a token of any scope: read (its
/// documentation, "Authorizing OAuth apps", "Get the authenticated user"). Unverified: Enterprise Server, beyond that it is documented
/// as the same.
const GITHUB: Preset = Preset {
    names: &["github"],
    host: Some("github.com"),
    server: Server::Endpoints {
        authorization: "login/oauth/authorize",
        token: "login/oauth/access_token",
        revocation: None,
        device_authorization: Some("login/device/code"),
    },
    userinfo: Some(Userinfo { at_home: "https://api.github.com/user", elsewhere: "api/v3/user" }),
    account_hint: "login",
    scopes: &["repo"],
    secret: Wanted::InBrowser,
    late_refresh: true,
    built_in: option_env!("KEYFOB_CLIENT_ID_GITHUB"),
    git_username: "x-access-token",
    docker_username: "x-access-token",
    registration: Registration {
        page: "settings/applications/new",
        kind: "an OAuth app; tick \"Enable Device Flow\"",
        permissions: Some("none to enter; the scopes are asked for at the sign-in"),
        ..USUAL.registration
    },
    ..USUAL
};

/// Gitea's endpoints and token rules: read (its documentation and source). That a refresh leaves the old access token good (it is a
/// signed token with its own end): unverified. No device grant: read (gitea issue 27309, forgejo issue 4830). The
/// userinfo endpoint: read (its documentation); that a token without `openid` may ask there: unverified. Installations below a path:
/// read (git-credential-manager issue 1650).
const GITEA: Preset = Preset {
    names: &["gitea", "forgejo"],
    server: Server::Endpoints {
        authorization: "login/oauth/authorize",
        token: "login/oauth/access_token",
        revocation: None,
        device_authorization: None,
    },
    userinfo: Some(Userinfo { at_home: "login/oauth/userinfo", elsewhere: "login/oauth/userinfo" }),
    scopes: &[],
    client: Some(GITEA_CLIENT),
    registration: Registration {
        page: "user/settings/applications",
        kind: "an OAuth2 application; leave \"Confidential client\" off",
        ..USUAL.registration
    },
    ..USUAL
};

/// Codeberg runs Forgejo: read.
const CODEBERG: Preset = Preset { names: &["codeberg"], host: Some("codeberg.org"), ..GITEA };

/// Bitbucket Cloud. Endpoints, key and secret by Basic, that the redirect begins with the registered one: read (its developer and
/// support documentation). Any port on 127.0.0.1 without a path, scopes, user name: read (git-credential-oauth's source;
/// the name in its support documentation, too). PKCE is not documented and sent all the same. Unverified: whether a refresh rotates,
/// and that it has no way to revoke.
const BITBUCKET: Preset = Preset {
    names: &["bitbucket"],
    host: Some("bitbucket.org"),
    server: Server::Endpoints {
        authorization: "site/oauth2/authorize",
        token: "site/oauth2/access_token",
        revocation: None,
        device_authorization: None,
    },
    scopes: &["repository", "repository:write"],
    redirect: "http://127.0.0.1",
    secret: Wanted::Always,
    built_in: option_env!("KEYFOB_CLIENT_ID_BITBUCKET"),
    git_username: "x-token-auth",
    fixed_username: true,
    registration: Registration {
        page: "WORKSPACE/workspace/settings/oauth-consumers",
        kind: "an OAuth consumer of a workspace; its \"Key\" is the client id",
        permissions: Some("Repositories: Write"),
        ..USUAL.registration
    },
    ..USUAL
};

/// Bitbucket Data Center (7.21 and newer). Endpoints, scopes, id and secret of an incoming application link, any user name, a redirect to
/// `localhost` with its port: read (git-credential-manager's source). PKCE: read (its documentation, "OAuth 2.0 provider API"). That a
/// refresh has to name the redirect URI: read (jira.js, of the same provider). Unverified: that it takes a redirect to `localhost`
/// where it wants https otherwise (read: `skip.redirect.url.https.requirement`), the page, whether a refresh rotates.
const BITBUCKET_DC: Preset = Preset {
    names: &["bitbucket-dc"],
    server: Server::Endpoints {
        authorization: "rest/oauth2/latest/authorize",
        token: "rest/oauth2/latest/token",
        revocation: None,
        device_authorization: None,
    },
    scopes: &["REPO_READ", "REPO_WRITE"],
    redirect: "http://localhost:8417/callback",
    secret: Wanted::Always,
    refresh_names_redirect: true,
    git_username: "x-token-auth",
    registration: Registration {
        page: "plugins/servlet/applinks/listApplicationLinks",
        kind: "an incoming link of an external application (for administrators)",
        permissions: Some("Repositories: Write"),
        ..USUAL.registration
    },
    ..USUAL
};

/// Azure DevOps through Entra ID. Endpoints, scope (the application id of Azure DevOps): read (git-credential-manager's source and
/// documentation). `http://localhost` with any port and the path as it is registered, `127.0.0.1` by the manifest alone: read (Entra
/// documentation, "Redirect URI restrictions"). A client of one directory is refused at `organizations` (AADSTS50194): read in several
/// projects. The device grant wants public client flows allowed, and is often forbidden by policy: read (git-credential-manager issue
/// 2368). No RFC 7009. Unverified: any user name, that a refresh leaves older tokens good, the page.
const AZURE: Preset = Preset {
    names: &["azure"],
    host: Some("login.microsoftonline.com"),
    part: Some(Part { key: "tenant", usual: Some("organizations"), example: "contoso.onmicrosoft.com" }),
    server: Server::Endpoints {
        authorization: "{}/oauth2/v2.0/authorize",
        token: "{}/oauth2/v2.0/token",
        revocation: None,
        device_authorization: Some("{}/oauth2/v2.0/devicecode"),
    },
    scopes: &["499b84ac-1321-427f-aa17-267ca6975798/.default", "offline_access"],
    redirect: "http://localhost/callback",
    built_in: option_env!("KEYFOB_CLIENT_ID_AZURE"),
    registration: Registration {
        page: "https://entra.microsoft.com/ (App registrations)",
        kind: "for mobile and desktop; switch \"Allow public client flows\" on",
        permissions: Some("Azure DevOps, delegated: user_impersonation"),
        ..USUAL.registration
    },
    ..USUAL
};

/// Google. Endpoints, revocation, any port on 127.0.0.1 without registering it, a refresh token for every desktop client, which stays
/// the same: read (its documentation, "OAuth 2.0 for desktop apps"). Whether the secret of a desktop client has to be sent: sources
/// differ. Unverified: that its revocation ignores the hint of RFC 7009; the page.
const GOOGLE: Preset = Preset {
    host: Some("accounts.google.com"),
    secret: Wanted::Issued,
    own_device_client: true,
    registration: Registration {
        page: "https://console.cloud.google.com/apis/credentials",
        kind: "an OAuth client ID of the type \"Desktop app\"",
        permissions: Some("none to enter; the scope is asked for at the sign-in"),
        enters_redirect: false,
    },
    ..USUAL
};

/// Git on *.googlesource.com. Scope, another client for devices, any user name: read (git-credential-oauth's source).
const GOOGLE_SOURCE: Preset = Preset {
    names: &["google-source"],
    server: Server::Endpoints {
        authorization: "https://accounts.google.com/o/oauth2/v2/auth",
        token: "https://oauth2.googleapis.com/token",
        revocation: Some("https://oauth2.googleapis.com/revoke"),
        device_authorization: Some("https://oauth2.googleapis.com/device/code"),
    },
    scopes: &["https://www.googleapis.com/auth/gerritcodereview"],
    built_in: option_env!("KEYFOB_CLIENT_ID_GOOGLE_SOURCE"),
    ..GOOGLE
};

/// Artifact Registry and Container Registry. Scope: read (docker-credential-gcr's source). User name: read (Google's documentation, by
/// way of the same). No device grant, as its list of scopes does not have this one: recalled, unverified.
const GOOGLE_ARTIFACT: Preset = Preset {
    names: &["google-artifact"],
    server: Server::Endpoints {
        authorization: "https://accounts.google.com/o/oauth2/v2/auth",
        token: "https://oauth2.googleapis.com/token",
        revocation: Some("https://oauth2.googleapis.com/revoke"),
        device_authorization: None,
    },
    scopes: &["https://www.googleapis.com/auth/cloud-platform"],
    built_in: option_env!("KEYFOB_CLIENT_ID_GOOGLE_ARTIFACT"),
    docker_username: "oauth2accesstoken",
    ..GOOGLE
};

/// Okta. The redirect is compared with its port: read (its support article on redirect URIs, AppAuth-iOS issue 357). A refresh may
/// rotate with 0 to 60 seconds of grace: recalled. Device grant and revocation are in its metadata. Unverified: the page, that
/// `offline_access` needs no consent.
const OKTA: Preset = Preset {
    names: &["okta"],
    redirect: ONE_PORT,
    registration: Registration {
        page: "/admin/apps/active",
        kind: "an OIDC native application, with Refresh Token and Device Authorization",
        ..USUAL.registration
    },
    ..USUAL
};

/// Auth0. The redirect is compared with its port: read (AppAuth-iOS issue 357). A refresh may rotate with a leeway of 0 to 60 seconds:
/// read. Unverified: the page, that `offline_access` needs no consent.
const AUTH0: Preset = Preset {
    names: &["auth0"],
    redirect: ONE_PORT,
    registration: Registration {
        page: "https://manage.auth0.com/#/applications",
        kind: "a native application, with the grants Refresh Token and Device Code",
        ..USUAL.registration
    },
    ..USUAL
};

/// Keycloak. `http://127.0.0.1` with any port and the path as it is registered: read (its `RedirectUtils.java`). Refresh tokens are not
/// rotated unless "Revoke Refresh Token" is on: read (issues 29966, 45647, 50999). Unverified: the page.
const KEYCLOAK: Preset = Preset {
    names: &["keycloak"],
    part: Some(Part { key: "realm", usual: None, example: "dev" }),
    server: Server::Issuer("realms/{}"),
    registration: Registration {
        page: "admin/{}/console/#/{}/clients",
        kind: "\"Client authentication\" off; \"Standard flow\" and the device grant on",
        ..USUAL.registration
    },
    ..USUAL
};

pub(super) const PRESETS: [Preset; 12] =
    [GITLAB, GITHUB, GITEA, CODEBERG, BITBUCKET, BITBUCKET_DC, AZURE, GOOGLE_SOURCE, GOOGLE_ARTIFACT, OKTA, AUTH0, KEYCLOAK];
