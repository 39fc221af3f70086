//! The starters of third-party software work: what the other tests lean on, shown once.
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::containers::ContainerHome;
use crate::support::http_server::{HttpServer, Response};
use crate::support::peers::{self, Django, Glewlwyd, Keyring, Moto, OidcProvider};
use crate::support::registry::Registry;
use crate::support::sts::Sts;
use crate::support::{browser, http_client, introspection, oci_image};

/// A folder of this test's own, emptied first.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peers-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the build folder can be written");
    folder
}

/// Runs `command`; its standard output. Panics where it fails.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}: {said}{complained}", output.status);
    said.into_owned()
}

#[test]
fn the_authorization_server_does_what_the_tests_lean_on() {
    if peers::require("oidc-provider") {
        let said = run(Command::new("node").arg("tests/peers/oidc-provider/check.mjs"));
        assert!(said.ends_with("ok\n"), "{said}");
    }
}

#[test]
fn the_authorization_server_counts_and_obeys() {
    let Some(server) = OidcProvider::start_with(&[("TB_ACCESS_TTL", "90")]) else { return };
    assert_eq!(server.stats()["knobs"]["accessTtl"], 90);
    server.set(&json!({ "accessTtl": 5 }));
    server.fault(&json!({ "path": "/jwks", "status": 503 }));
    server.forget("AccessToken");
    assert_eq!(server.stats()["knobs"]["accessTtl"], 5);
    assert_eq!(server.token_requests("refresh_token", "arrived"), 0);
    server.reset();
    assert_eq!(server.stats()["knobs"]["accessTtl"], 90);
}

#[test]
fn sts_answers_boto3_and_the_aws_command_line() {
    if peers::require("moto") && peers::require("aws") {
        let said = run(Command::new(peers::python()).arg("tests/peers/moto/check.py"));
        assert!(said.ends_with("ok\n"), "{said}");
    }
}

#[test]
fn sts_counts_and_obeys() {
    let Some(sts) = Moto::start() else { return };
    let assume = || {
        let mut aws = Command::new(peers::aws());
        aws.args(["sts", "assume-role-with-web-identity", "--no-sign-request", "--endpoint-url", sts.url(), "--output", "json"]);
        aws.args(["--role-arn", "arn:aws:iam::123456789012:role/dev", "--role-session-name", "alice"]);
        aws.args(["--web-identity-token", "a token", "--duration-seconds", "900"]).env("AWS_DEFAULT_REGION", "eu-central-1");
        let answer: Value = serde_json::from_str(&run(aws.env("AWS_MAX_ATTEMPTS", "2"))).expect("--output json");
        answer["Credentials"]["Expiration"].as_str().expect("credentials have an end").to_owned()
    };
    let long = assume();
    sts.set_ttl(Some(5));
    sts.fault(&json!({ "action": "AssumeRoleWithWebIdentity", "times": 1, "status": 503 }));
    assert!(assume() < long, "the life of the second credentials was cut, the client tried again after the fault");
    let stats = sts.stats();
    assert_eq!(stats["refused"], json!({ "ServiceUnavailable": 1 }));
    assert_eq!(stats["ok"], json!({ "AssumeRoleWithWebIdentity": 2 }));
    assert_eq!(stats["roles"][1]["DurationSeconds"], "900");
    sts.reset();
    assert_eq!(sts.stats()["roles"], json!([]));
}

#[test]
fn a_gate_before_sts_takes_only_tokens_that_the_issuer_signed() {
    let Some(server) = OidcProvider::start() else { return };
    let Some(sts) = Moto::start() else { return };
    let gate = Sts::in_front_of(sts.url(), introspection::id_tokens_of(server.issuer(), "keyfob"));
    let answer = run(Command::new("node").args(["tests/peers/oidc-provider/check.mjs", server.issuer()]));
    let answer: Value = serde_json::from_str(&answer).expect("it prints the token answer");
    let token = answer["id_token"].as_str().expect("openid was asked for");
    let unsigned = format!("{}.", token.rsplit_once('.').expect("three parts").0);
    for (token, status) in [(token, 200), (&unsigned, 400), ("no.such.token", 400)] {
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", "arn:aws:iam::123456789012:role/dev"),
            ("RoleSessionName", "alice"),
            ("WebIdentityToken", token),
        ];
        assert_eq!(http_client::post_form(&gate.url(), &[], &fields).expect("it answers").status, status);
    }
    assert_eq!(sts.stats()["roles"].as_array().map(Vec::len), Some(1), "what the gate refused came no further");
}

#[test]
fn a_person_signs_in_with_a_browser_and_sees_the_result_page() {
    let page = HttpServer::start(|request| {
        let code = if request.parameter("code").is_some() { "a code came" } else { "no code came" };
        Response::new(200, "text/html", format!("<title>done</title><p>{code}<script>console.error('seen')</script>"))
    });
    let Some(server) = OidcProvider::start() else { return };
    let (challenge, port) = ("x".repeat(43), page.port());
    let url = format!(
        "{}/auth?client_id=keyfob&response_type=code&scope=openid&state=s&nonce=n&code_challenge={challenge}\
         &code_challenge_method=S256&redirect_uri=http%3A%2F%2F127.0.0.1%3A{port}%2Fcallback",
        server.issuer()
    );
    let picture = folder("chromium").join("result.png");
    let Some(seen) = peers::chromium(&url, &picture, &[("TB_SCHEME", "dark")]) else { return };
    assert_eq!(seen["title"], "done");
    assert_eq!(seen["text"], "a code came");
    assert_eq!(seen["url"], format!("{}/callback", page.url()));
    assert_eq!(seen["requests"], json!([{ "url": format!("{}/callback", page.url()), "type": "document" }]));
    assert_eq!(seen["console"], json!(["error: seen"]));
    assert_eq!(seen["visited"], json!([server.issuer(), page.url()]));
    assert!(std::fs::read(&picture).expect("a picture was taken").starts_with(b"\x89PNG"));
    assert_eq!(server.stats()["authorizations"], json!({ "begun": 1, "ok": 1, "error": 0 }));
}

#[test]
fn a_desktop_keyring_keeps_a_secret_between_sessions() {
    let folder = folder("keyring");
    let Some(keyring) = Keyring::start(&folder) else { return };
    let (name, address) = keyring.environment();
    if !peers::require("secret-tool") {
        return;
    }
    let mut store = Command::new("sh");
    run(store.args(["-c", "printf kept | secret-tool store --label=test test peers"]).env(name, address));
    drop(keyring);
    let mut session = Keyring::session(&folder).expect("it started a moment ago");
    assert_eq!(run(session.args(["secret-tool", "lookup", "test", "peers"])), "kept");
    let locked = Keyring::locked(&folder).expect("it started a moment ago");
    let (name, address) = locked.environment();
    let lookup = Command::new("dbus-send")
        .args(["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets/collection/login"])
        .args(["org.freedesktop.DBus.Properties.Get", "string:org.freedesktop.Secret.Collection", "string:Locked"])
        .env(name, address)
        .output()
        .expect("dbus-send is there");
    assert!(String::from_utf8_lossy(&lookup.stdout).contains("boolean true"), "{lookup:?}");
}

#[test]
fn registry_clients_ask_the_helper_that_their_home_names() {
    if !(["docker-registry", "skopeo", "podman", "docker"].into_iter().all(peers::require)) {
        return;
    }
    let folder = folder("containers");
    let registry = Registry::start(|token| token == "s");
    let home = ContainerHome::new(&folder, &[&registry.host()]);
    oci_image::write_layout(&folder.join("image"), "v1");
    let helper = "#!/bin/sh\nin=$(cat)\necho \"$1 $in\" >>\"$HOME/asked\"\n\
                  printf '{\"ServerURL\":\"%s\",\"Username\":\"u\",\"Secret\":\"s\"}' \"$in\"\n";
    std::fs::create_dir_all(folder.join("bin")).expect("the folder can be written");
    let script = folder.join("bin/docker-credential-keyfob");
    run(Command::new("sh").args(["-c", r#"printf %s "$0" >"$1" && chmod 755 "$1""#, helper]).arg(&script));
    let client = |words: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("PATH={}:$PATH exec {words}", folder.join("bin").display())]);
        run(command.env_remove("DBUS_SESSION_BUS_ADDRESS").envs(home.environment()))
    };
    let (host, image) = (registry.host(), folder.join("image"));
    client(&format!("skopeo copy oci:{}:v1 docker://{host}/team/app:v1", image.display()));
    client(&format!("skopeo inspect docker://{host}/team/app:v1"));
    client(&format!("podman pull -q {host}/team/app:v1"));
    let manifest: Value = serde_json::from_str(&client(&format!("docker manifest inspect --insecure {host}/team/app:v1")))
        .expect("docker prints a manifest");
    assert_eq!(manifest["schemaVersion"], 2);
    let asked = std::fs::read_to_string(folder.join("asked")).expect("the helper was asked");
    assert!(asked.lines().count() >= 4 && asked.lines().all(|line| line == format!("get {host}")), "{asked}");
}

/// What `visit` finds at the redirect of an authorization request to `authorize` for `client`, with `more` parameters.
fn answer_at(authorize: &str, client: &str, redirect: &str, more: &str) -> (Value, Option<String>) {
    let fixed = "response_type=code&state=a-state-of-this-test&code_challenge_method=S256";
    let redirect = url::form_urlencoded::byte_serialize(redirect.as_bytes()).collect::<String>();
    let challenge = "x".repeat(43);
    let start = format!("{authorize}?{fixed}&client_id={client}&code_challenge={challenge}&redirect_uri={redirect}{more}");
    let seen = browser::visit(&start, &browser::Settings::from(&Default::default()));
    let last = seen["hops"].as_array().and_then(|hops| hops.last()?["url"].as_str()).unwrap_or_default().to_owned();
    let callback = seen["callback"].is_object().then_some(last);
    (seen, callback)
}

#[test]
fn glewlwyd_wants_a_nonce_and_the_redirect_to_the_letter() {
    let Some(server) = Glewlwyd::start() else { return };
    let page = HttpServer::start(|_| Response::text(200, "seen"));
    server.register("habits", &[page.port()]);
    let (authorize, redirect) = (format!("{}/auth", server.issuer()), format!("{}/callback", page.url()));
    let (_, callback) = answer_at(&authorize, "habits", &redirect, "&scope=openid&nonce=a-nonce-of-this-test");
    assert!(callback.is_some_and(|url| url.contains("code=")));
    let (_, callback) = answer_at(&authorize, "habits", &redirect, "&scope=openid");
    assert!(callback.is_some_and(|url| url.contains("error=invalid_request") && !url.contains("code=")));
    let elsewhere = HttpServer::start(|_| Response::text(200, "seen"));
    let redirect = format!("{}/callback", elsewhere.url());
    let (seen, callback) = answer_at(&authorize, "habits", &redirect, "&scope=openid&nonce=another-nonce");
    assert_eq!((&seen["status"], &seen["text"], callback), (&json!(403), &json!(""), None));
}

#[test]
fn django_oauth_toolkit_has_a_path_and_no_openid_and_takes_any_port() {
    let Some(server) = Django::start() else { return };
    server.register("habits", "authorization-code");
    let page = HttpServer::start(|_| Response::text(200, "seen"));
    let (authorize, redirect) = (format!("{}/authorize/", server.issuer()), format!("{}/callback", page.url()));
    let (_, callback) = answer_at(&authorize, "habits", &redirect, "&scope=read");
    assert!(callback.is_some_and(|url| url.contains("code=") && url.contains("iss=")));
    let place = |place: &str| http_client::get(&format!("{}{place}", server.front.url()), &[]).expect("it answers").status;
    assert_eq!(place("/.well-known/oauth-authorization-server/o"), 200);
    assert_eq!(place("/o/.well-known/openid-configuration"), 404);
}
