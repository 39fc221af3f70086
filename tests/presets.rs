//! What a table of two lines makes of a sign-in, by the bytes that a server of each known kind gets, and what git and docker are answered.
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Fault, Options, Recorded, Settings};
use crate::support::home::Home;
use crate::support::process;
use crate::support::scene::{Scene, one_error};
use crate::support::temp_dir::{TempDir, write};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Held by who may listen on the port that servers want to know beforehand.
static PORT: Mutex<()> = Mutex::new(());

const ID: &str = "the-id";
const SECRET: &str = "the-client-secret-0123456789";
/// `ID:SECRET` in base64.
const BASIC: &str = "Basic dGhlLWlkOnRoZS1jbGllbnQtc2VjcmV0LTAxMjM0NTY3ODk=";
const GITEA: &str = "a4792ccc-144e-407e-86c9-5e7d8d9c3269";

/// One kind of server: the table that a person writes for it, and everything that has to come of it.
struct Row {
    name: &'static str,
    /// `URL` stands for the test's server.
    table: &'static str,
    client: &'static str,
    secret: bool,
    /// The issuer's path.
    path: &'static str,
    paths: &'static [(&'static str, Endpoint)],
    dialect: fn(&mut Settings, &str),
    scope: &'static str,
    /// As it is registered; a port in it is compared.
    redirect: &'static str,
    nonce: bool,
    git: &'static str,
    docker: &'static str,
    /// Where a sign-out is sent; empty where nowhere.
    revocation: &'static str,
    /// Where it is asked who signed in; empty where nowhere.
    userinfo: &'static str,
    /// Who that is, by `keyfob status`.
    account: &'static str,
}

const USUAL: Row = Row {
    name: "",
    table: "",
    client: ID,
    secret: false,
    path: "",
    paths: &[],
    dialect: |_, _| {},
    scope: "",
    redirect: "http://127.0.0.1/callback",
    nonce: false,
    git: "oauth2",
    docker: "oauth2",
    revocation: "",
    userinfo: "",
    account: "",
};

/// Patches a token answer into what a server of a kind sends.
fn answers(settings: &mut Settings, patch: fn(&mut Value)) {
    settings.token_patch = Some(Arc::new(patch));
}

/// GitHub, as its documentation has it: every status is 200, scopes with commas, no end and no refresh token for an OAuth app; and the
/// issuer that it sends since April 2026. Its API counts its users.
fn github(settings: &mut Settings, url: &str) {
    settings.errors_with_200 = true;
    settings.iss = Some(format!("{url}/login/oauth"));
    answers(settings, |answer| {
        *answer = json!({ "access_token": answer["access_token"], "scope": "repo,gist", "token_type": "bearer" });
    });
    settings.userinfo_patch = Some(Arc::new(|answer| *answer = json!({ "login": "octoalice", "id": 583_231, "email": null })));
}

/// GitLab, as its API documentation has it: a refresh ends the old access token; `created_at`, and no `iss`.
fn gitlab(settings: &mut Settings, _: &str) {
    (settings.refresh_always, settings.refresh_ends_access, settings.iss_parameter) = (true, true, false);
    answers(settings, |answer| {
        answer["token_type"] = "bearer".into();
        answer["created_at"] = 1_607_635_748.into();
    });
}

fn plain(settings: &mut Settings, _: &str) {
    (settings.refresh_always, settings.iss_parameter, settings.rotate) = (true, false, false);
}

/// Bitbucket, as git-credential-manager reads it: `scopes`, and a state of its own.
fn bitbucket(settings: &mut Settings, url: &str) {
    plain(settings, url);
    answers(settings, |answer| {
        let scope = answer.as_object_mut().and_then(|answer| answer.remove("scope")).unwrap_or_default();
        answer["scopes"] = scope;
        answer["state"] = "authorization_code".into();
    });
}

/// Bitbucket Data Center, as jira.js found its provider: a refresh has to name the redirect URI.
fn data_center(settings: &mut Settings, url: &str) {
    plain(settings, url);
    settings.refresh_names_redirect = true;
}

/// Entra ID, as its documentation has it: a second end, lives in text from the older endpoint, a new refresh token beside the old.
fn entra(settings: &mut Settings, url: &str) {
    (settings.consent_free, settings.reuse_interval) = (true, Duration::from_secs(3600));
    settings.iss = Some(format!("{url}/3f1c0000/v2.0"));
    answers(settings, |answer| {
        answer["ext_expires_in"] = answer["expires_in"].clone();
        answer["expires_in"] = answer["expires_in"].to_string().into();
    });
}

/// Google: a refresh token for every desktop client, which stays; `iss` since July 2026.
fn google(settings: &mut Settings, _: &str) {
    (settings.refresh_always, settings.rotate) = (true, false);
}

fn openid(settings: &mut Settings, _: &str) {
    (settings.consent_free, settings.reuse_interval) = (true, Duration::from_secs(30));
}

/// Auth0 writes its issuer with a slash.
fn auth0(settings: &mut Settings, url: &str) {
    openid(settings, url);
    let issuer = format!("{url}/");
    settings.iss = Some(issuer.clone());
    settings.metadata_patch = Some(Arc::new(move |document| document["issuer"] = issuer.clone().into()));
}

const FORGE: [(&str, Endpoint); 4] = [
    ("/login/oauth/authorize", Endpoint::Authorize),
    ("/login/oauth/access_token", Endpoint::Token),
    ("/login/oauth/userinfo", Endpoint::Userinfo),
    ("/api/v3/user", Endpoint::Userinfo),
];
const GOOGLE: &str = "client_id = \"the-id\"\nendpoints.authorization = \"URL/o/oauth2/v2/auth\"\nendpoints.token = \"URL/token\"\n\
                      endpoints.revocation = \"URL/revoke\"";
const GOOGLE_PATHS: [(&str, Endpoint); 1] = [("/o/oauth2/v2/auth", Endpoint::Authorize)];

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    vec![
        Row { name: "gitlab", table: "host = \"URL\"\nclient_id = \"the-id\"", paths: &[("/oauth/authorize", Endpoint::Authorize), ("/oauth/token", Endpoint::Token), ("/oauth/revoke", Endpoint::Revoke)], dialect: gitlab, scope: "openid read_repository write_repository", nonce: true, revocation: "/oauth/revoke", account: "alice@example.com", ..USUAL },
        Row { name: "github", table: "host = \"URL\"\nclient_id = \"the-id\"", secret: true, paths: &FORGE, dialect: github, scope: "repo", git: "x-access-token", docker: "x-access-token", userinfo: "/api/v3/user", account: "octoalice", ..USUAL },
        Row { name: "gitea", table: "host = \"URL/code\"", client: GITEA, paths: &[("/code/login/oauth/authorize", Endpoint::Authorize), ("/code/login/oauth/access_token", Endpoint::Token), ("/code/login/oauth/userinfo", Endpoint::Userinfo)], dialect: plain, redirect: "http://127.0.0.1", userinfo: "/code/login/oauth/userinfo", account: "alice@example.com", ..USUAL },
        Row { name: "forgejo", table: "host = \"URL\"\nclient_id = \"the-id\"", paths: &FORGE, dialect: plain, userinfo: "/login/oauth/userinfo", account: "alice@example.com", ..USUAL },
        Row { name: "bitbucket", table: "host = \"URL\"\nclient_id = \"the-id\"", secret: true, paths: &[("/site/oauth2/authorize", Endpoint::Authorize), ("/site/oauth2/access_token", Endpoint::Token)], dialect: bitbucket, scope: "repository repository:write", redirect: "http://127.0.0.1", git: "x-token-auth", ..USUAL },
        Row { name: "bitbucket-dc", table: "host = \"URL\"\nclient_id = \"the-id\"", secret: true, paths: &[("/rest/oauth2/latest/authorize", Endpoint::Authorize), ("/rest/oauth2/latest/token", Endpoint::Token)], dialect: data_center, scope: "REPO_READ REPO_WRITE", redirect: "http://localhost:8417/callback", git: "x-token-auth", ..USUAL },
        Row { name: "azure", table: "host = \"URL\"\nclient_id = \"the-id\"", paths: &[("/organizations/oauth2/v2.0/authorize", Endpoint::Authorize), ("/organizations/oauth2/v2.0/token", Endpoint::Token)], dialect: entra, scope: "499b84ac-1321-427f-aa17-267ca6975798/.default offline_access", redirect: "http://localhost/callback", ..USUAL },
        Row { name: "google-source", table: GOOGLE, secret: true, paths: &GOOGLE_PATHS, dialect: google, scope: "https://www.googleapis.com/auth/gerritcodereview", revocation: "/revoke", ..USUAL },
        Row { name: "google-artifact", table: GOOGLE, paths: &GOOGLE_PATHS, dialect: google, scope: "https://www.googleapis.com/auth/cloud-platform", docker: "oauth2accesstoken", revocation: "/revoke", ..USUAL },
        Row { name: "okta", table: "host = \"URL/oauth2/default\"\nclient_id = \"the-id\"", path: "/oauth2/default", dialect: openid, scope: "openid email offline_access", redirect: "http://127.0.0.1:8417/callback", nonce: true, revocation: "/oauth2/default/revoke", account: "alice@example.com", ..USUAL },
        Row { name: "auth0", table: "host = \"URL\"\nclient_id = \"the-id\"", dialect: auth0, scope: "openid email offline_access", redirect: "http://127.0.0.1:8417/callback", nonce: true, revocation: "/revoke", account: "alice@example.com", ..USUAL },
        Row { name: "keycloak", table: "host = \"URL\"\nrealm = \"dev\"\nclient_id = \"the-id\"", path: "/realms/dev", dialect: openid, scope: "openid email offline_access", nonce: true, revocation: "/realms/dev/revoke", account: "alice@example.com", ..USUAL },
    ]
}

fn scene(row: &Row) -> Scene {
    let client = if row.secret { Client::confidential(row.client, SECRET) } else { Client::public(row.client) };
    let options = Options { clients: vec![client], path: row.path.into(), paths: row.paths.to_vec(), ..Options::default() };
    let scene = Scene::with(Home::new(), AuthorizationServer::start_with(options));
    let url = format!("http://127.0.0.1:{}", scene.server.port());
    scene.server.configure(|settings| {
        settings.redirect = row.redirect.into();
        (row.dialect)(settings, &url);
    });
    let file = scene.home.path().join("secret");
    write(&file, format!("{SECRET}\n"));
    let secret = if row.secret { format!("client_secret_file = \"{}\"\n", file.display()) } else { String::new() };
    let table = row.table.replace("URL", &url);
    scene.home.write_config(&format!(
        "[login.corp]\npreset = \"{}\"\n{table}\n{secret}[git.\"https://git.example.com\"]\nlogin = \"corp\"\n\
         [docker.\"registry.example.com\"]\nlogin = \"corp\"\n",
        row.name
    ));
    scene
}

fn only(scene: &Scene, endpoint: Endpoint, grant: &str) -> Recorded {
    let requests = scene.server.requests().into_iter();
    let mut found: Vec<_> = requests.filter(|one| one.endpoint == endpoint && one.grant_type == grant).collect();
    assert_eq!(found.len(), 1, "{endpoint:?} {grant}");
    found.remove(0)
}

/// The parameters, what is random replaced by `*` and a port that is not registered left out.
fn shape(row: &Row, request: &Recorded) -> Vec<(String, String)> {
    let random = ["state", "code_challenge", "nonce", "code", "code_verifier", "refresh_token", "token"];
    let fixed = |name: &str, value: &str| match name {
        name if random.contains(&name) => "*".to_owned(),
        "redirect_uri" if !row.redirect.contains("8417") => {
            let (before, after) = value.split_at(value.rfind(':').unwrap() + 1);
            format!("{}{}", before.trim_end_matches(':'), after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        _ => value.to_owned(),
    };
    let mut all: Vec<_> = request.parameters.iter().map(|(name, value)| (name.clone(), fixed(name, value))).collect();
    all.sort();
    all
}

fn sorted(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let kept = pairs.iter().filter(|(_, value)| !value.is_empty());
    let mut all: Vec<_> = kept.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.sort();
    all
}

/// Panics unless the requests of one sign-in were exactly those of its row.
fn check_sign_in(row: &Row, scene: &Scene) {
    let path = |endpoint| row.paths.iter().find(|(_, known)| *known == endpoint).map_or("", |(path, _)| path);
    let asked = only(scene, Endpoint::Authorize, "");
    assert_eq!(
        asked.path,
        if path(Endpoint::Authorize).is_empty() { format!("{}/authorize", row.path) } else { path(Endpoint::Authorize).into() }
    );
    let nonce = if row.nonce { "*" } else { "" };
    let expected = sorted(&[
        ("response_type", "code"),
        ("client_id", row.client),
        ("redirect_uri", row.redirect),
        ("scope", row.scope),
        ("state", "*"),
        ("code_challenge", "*"),
        ("code_challenge_method", "S256"),
        ("nonce", nonce),
    ]);
    assert_eq!(shape(row, &asked), expected, "{}", row.name);
    let redeemed = only(scene, Endpoint::Token, "authorization_code");
    let id = if row.secret { "" } else { row.client };
    let expected = sorted(&[
        ("grant_type", "authorization_code"),
        ("code", "*"),
        ("redirect_uri", row.redirect),
        ("code_verifier", "*"),
        ("client_id", id),
    ]);
    assert_eq!(shape(row, &redeemed), expected, "{}", row.name);
    assert_eq!(redeemed.authorization, if row.secret { BASIC } else { "" }, "{}", row.name);
    // by hand or by the preset: nothing is discovered but where the preset is an issuer
    assert_eq!(scene.server.counts().discovery > 0, row.paths.is_empty(), "{}", row.name);
    let asked: Vec<_> = scene.server.requests().into_iter().filter(|one| one.endpoint == Endpoint::Userinfo).collect();
    assert_eq!(asked.iter().map(|one| one.path.as_str()).collect::<String>(), row.userinfo, "{}", row.name);
    let status: Value = serde_json::from_str(&scene.home.run(["status", "--json"], "").success().stdout).unwrap();
    assert_eq!(status["logins"][0]["account"].as_str().unwrap_or_default(), row.account, "{}: {status}", row.name);
}

fn check_answers(row: &Row, scene: &Scene, token: &str) {
    let ask = |more: &str| {
        let request = format!("{more}protocol=https\nhost=git.example.com\n\n");
        scene.git("get", request.as_bytes()).success().stdout
    };
    let basic = format!("username={}\npassword={token}\n", row.git);
    for capability in ["", "capability[]=authtype\n"] {
        let answer = ask(capability);
        assert!(answer.contains(&basic) && !answer.contains("authtype="), "{}: {answer}", row.name);
    }
    let docker: Value = serde_json::from_str(&scene.docker("get", b"registry.example.com").success().stdout).unwrap();
    assert_eq!((docker["Username"].as_str(), docker["Secret"].as_str()), (Some(row.docker), Some(token)), "{}", row.name);
}

#[test]
fn a_short_table_makes_the_requests_that_each_kind_of_server_wants() {
    let _port = PORT.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = rows();
    let scenes: Vec<Scene> = rows.iter().map(scene).collect();
    for (row, scene) in rows.iter().zip(&scenes) {
        let output = scene.sign_in();
        assert_eq!(output.code, Some(0), "{}: {output:?}", row.name);
        check_sign_in(row, scene);
        check_answers(row, scene, &scene.token());
        assert_eq!(scene.server.counts().codes_redeemed, 1, "{}", row.name);
    }
    for (row, scene) in rows.iter().zip(&scenes) {
        scene.home.run(["logout", "corp"], "").success();
        let sent: Vec<_> =
            scene.server.requests().into_iter().filter(|one| one.endpoint == Endpoint::Revoke).map(|one| one.path).collect();
        assert!(
            sent.iter().all(|path| path == row.revocation) && sent.is_empty() == row.revocation.is_empty(),
            "{}: {sent:?}",
            row.name
        );
        assert_eq!(scene.server.violations(), Vec::<String>::new(), "{}", row.name);
        scene
            .home
            .scan_for_secrets(&scene.server.issued_secrets().into_iter().filter(|secret| secret != SECRET).collect::<Vec<_>>());
    }
}

#[test]
fn a_refresh_is_what_each_kind_of_server_wants() {
    let _port = PORT.lock().unwrap_or_else(PoisonError::into_inner);
    let rows: Vec<_> = rows().into_iter().filter(|row| row.name != "github").collect();
    let scenes: Vec<Scene> = rows.iter().map(scene).collect();
    for scene in &scenes {
        scene.sign_in_and_expire();
    }
    for (row, scene) in rows.iter().zip(&scenes) {
        let token = scene.token_unattended().success().stdout;
        assert!(scene.server.is_alive(token.trim()), "{}", row.name);
        let refresh = only(scene, Endpoint::Token, "refresh_token");
        let named = if row.name == "bitbucket-dc" { row.redirect } else { "" };
        let id = if row.secret { "" } else { row.client };
        let expected =
            sorted(&[("grant_type", "refresh_token"), ("refresh_token", "*"), ("client_id", id), ("redirect_uri", named)]);
        assert_eq!(shape(row, &refresh), expected, "{}", row.name);
        assert_eq!(refresh.authorization, if row.secret { BASIC } else { "" }, "{}", row.name);
        assert_eq!(scene.server.violations(), Vec::<String>::new(), "{}", row.name);
        assert_eq!(scene.server.counts().authorizations, 1, "{}", row.name);
    }
}

#[test]
fn an_issuer_of_another_origin_is_refused_where_only_the_endpoints_are_known() {
    let rows = rows();
    let row = rows.iter().find(|row| row.name == "github").unwrap();
    let scene = scene(row);
    scene.server.configure(|settings| settings.iss = Some("https://github.com.evil.example/login/oauth".into()));
    let output = scene.sign_in();
    one_error(&output);
    assert!(output.code == Some(4) && output.stderr.contains("came from another server"), "{output:?}");
    assert_eq!(scene.server.counts().codes_redeemed, 0);
}

#[test]
fn a_refusal_with_status_200_says_what_is_wrong() {
    let rows = rows();
    let row = rows.iter().find(|row| row.name == "github").unwrap();
    let scene = scene(row);
    write(&scene.home.path().join("secret"), "another secret");
    let output = scene.sign_in();
    one_error(&output);
    assert!(output.code == Some(6) && output.stderr.contains("client_secret_file"), "{output:?}");
}

#[test]
fn a_refusal_by_entra_is_one_error_with_what_it_said() {
    let rows = rows();
    let row = rows.iter().find(|row| row.name == "azure").unwrap();
    let scene = scene(row);
    let said = "AADSTS50194: Application 'the-id' is not configured as a multi-tenant application.\r\nTrace ID: 3f1c\r\n";
    let body = json!({
        "error": "invalid_request", "error_description": said, "error_codes": [50194], "timestamp": "2026-11-21 16:00:00Z",
        "trace_id": "3f1c", "correlation_id": "77aa", "error_uri": "https://login.microsoftonline.com/error?code=50194",
    });
    scene.server.fault(Endpoint::Token, Fault::json(400, &body));
    let output = scene.sign_in();
    one_error(&output);
    assert!(output.code == Some(4) && output.stderr.contains("AADSTS50194: Application 'the-id' is not"), "{output:?}");
    scene.sign_in().success();
}

#[test]
fn whoever_has_no_client_is_told_how_to_get_one_by_every_command() {
    let home = Home::new();
    home.write_config("[login.forge]\npreset = \"gitlab\"\n[git.\"https://gitlab.com\"]\nlogin = \"forge\"\n");
    for command in [["status"], ["login"]] {
        let output = home.run(command, "");
        one_error(&output);
        let hints: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("keyfob: hint: ")).collect();
        assert!(output.code == Some(6) && hints.len() <= 23 && hints.iter().all(|line| line.len() <= 100), "{output:?}");
        for words in ["https://gitlab.com/-/user_settings/applications", "http://127.0.0.1/callback", "client_id = \"THE ID\""] {
            assert!(output.stderr.contains(words), "{output:?}");
        }
    }
    let git = process::run(&mut home.keyfob(["git", "get"]), b"protocol=https\nhost=gitlab.com\n\n");
    assert_eq!((git.stdout.as_str(), git.stderr.lines().count()), ("", 1), "{git:?}");
    assert!(git.stderr.contains("has no `client_id`") && git.stderr.contains("`keyfob status`"), "{git:?}");
}

/// What packagers do. It builds the whole program once more, so it is part of the long rounds.
#[test]
fn a_program_that_was_built_with_a_client_id_signs_in_with_it() {
    if std::env::var_os("KEYFOB_TESTS_SOAK").is_none() {
        return;
    }
    let folder = TempDir::new("built");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--locked", "--offline", "--bin", "keyfob", "--target-dir"]);
    let built = cargo.arg(folder.path()).env("KEYFOB_CLIENT_ID_GITHUB", "the-packagers").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let options = Options { clients: vec![Client::public("the-packagers")], ..Options::default() };
    let scene = Scene::with(Home::new(), AuthorizationServer::start_with(options));
    scene.server.configure(|settings| (settings.refresh_always, settings.iss_parameter) = (true, false));
    let url = scene.server.issuer();
    let table = format!(
        "preset = \"github\"\nendpoints.authorization = \"{url}/authorize\"\nendpoints.token = \"{url}/token\"\nflow = \"browser\""
    );
    scene.home.write_config(&format!("[login.corp]\n{table}\n"));
    let output = scene.sign_in();
    assert!(output.code == Some(6) && output.stderr.contains("has no `client_id`"), "{output:?}");
    scene.home.use_program(&folder.join("debug/keyfob"));
    scene.sign_in().success();
    assert!(only(&scene, Endpoint::Authorize, "").parameters.contains(&("client_id".into(), "the-packagers".into())));
    let elsewhere = table.replace("preset = \"github\"", "preset = \"github\"\nhost = \"github.example.com\"");
    scene.home.write_config(&format!("[login.corp]\n{elsewhere}\n"));
    assert!(scene.sign_in().stderr.contains("has no `client_id`"), "another host knows nothing of that client");
}
