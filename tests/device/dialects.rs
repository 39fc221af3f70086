//! The device grant of servers that are known by a preset.
use super::{Terminal, check};
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Options, Recorded};
use crate::support::forge::Forge;
use serde_json::{Value, json};
use std::sync::Arc;

fn forge(paths: &[(&'static str, Endpoint)], clients: Vec<Client>, table: &str) -> Forge {
    let options = Options { clients, paths: paths.to_vec(), ..Options::default() };
    let server = Arc::new(AuthorizationServer::start_with(options));
    let judge = Arc::clone(&server);
    let forge = Forge::with(server, move |token| judge.is_alive(token));
    let table = table.replace("URL", &forge.server.issuer());
    forge.configure(&format!("[login.corp]\n{table}\n[git.\"{}\"]\nlogin = \"corp\"\n", forge.git.url()));
    forge
}

fn parameters(requests: &[Recorded], endpoint: Endpoint, names: &[&str]) -> Vec<(String, String)> {
    let request = requests.iter().find(|request| request.endpoint == endpoint).expect("it was asked");
    assert_eq!(request.parameters.len(), names.len(), "{:?}", request.parameters);
    request.parameters.iter().filter(|(name, _)| name != "device_code").cloned().collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn github_without_a_secret_is_asked_for_a_code_though_a_browser_is_there() {
    let paths = [("/login/device/code", Endpoint::Device), ("/login/oauth/access_token", Endpoint::Token)];
    let table = "preset = \"github\"\nhost = \"URL\"\nclient_id = \"the-id\"";
    let forge = forge(&paths, vec![Client::public("the-id")], table);
    forge.server.configure(|settings| {
        (settings.errors_with_200, settings.slow_downs, settings.slow_down_interval) = (true, 1, Some(2));
        settings.token_patch = Some(Arc::new(|answer: &mut Value| {
            *answer = json!({ "access_token": answer["access_token"], "scope": "repo", "token_type": "bearer" });
        }));
    });
    let terminal = Terminal::run_with(&forge, "one", "keyfob login corp", &[("DISPLAY", ":fake")]);
    terminal.wait_for_code();
    forge.server.wait_for(Endpoint::Token, 1);
    forge.server.decide(true);
    terminal.end().success();
    let requests = forge.server.requests();
    let asked = parameters(&requests, Endpoint::Device, &["client_id", "scope"]);
    assert!(asked.contains(&pair("client_id", "the-id")) && asked.contains(&pair("scope", "repo")), "{asked:?}");
    let polled = parameters(&requests, Endpoint::Token, &["grant_type", "device_code", "client_id"]);
    assert!(polled.contains(&pair("client_id", "the-id")), "{polled:?}");
    assert_eq!((forge.server.counts().authorizations, forge.home.browser_runs().len()), (0, 0));
    check(&forge);
}

#[test]
fn google_source_has_another_client_for_codes_and_calls_the_page_by_another_name() {
    let clients = vec![
        Client::confidential("for-browsers", "secret-of-browsers"),
        Client::confidential("for-devices", "secret-of-devices"),
    ];
    let table = "preset = \"google-source\"\nclient_id = \"for-browsers\"\nflow = \"device\"\ndevice_client_id = \"for-devices\"\n\
                 device_client_secret_file = \"HOME/secret\"\nendpoints.token = \"URL/token\"\n\
                 endpoints.device_authorization = \"URL/device/code\"";
    let forge = forge(&[("/device/code", Endpoint::Device)], clients, table);
    let secret = forge.home.path().join("secret");
    crate::support::temp_dir::write(&secret, "secret-of-devices");
    let text = std::fs::read_to_string(forge.home.config_file()).unwrap();
    forge.configure(&text.replace("HOME/secret", &secret.display().to_string()));
    forge.server.configure(|settings| {
        settings.refresh_always = true;
        settings.device_patch = Some(Arc::new(|answer: &mut Value| {
            let page = answer["verification_uri"].take();
            answer.as_object_mut().map(|answer| answer.remove("verification_uri"));
            answer["verification_url"] = page;
        }));
    });
    let terminal = Terminal::run(&forge, "one", "keyfob login corp");
    terminal.wait_for_code();
    forge.server.decide(true);
    terminal.end().success();
    let asked = parameters(&forge.server.requests(), Endpoint::Device, &["scope"]);
    assert_eq!(asked, [pair("scope", "https://www.googleapis.com/auth/gerritcodereview")]);
    std::fs::remove_file(&secret).unwrap();
    check(&forge);
}
