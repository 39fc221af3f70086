//! A real registry takes the token server's word, and a real client pushes to it.
use super::authorization_server::text;
use crate::support::home::Home;
use crate::support::registry::Registry;
use crate::support::temp_dir::TempDir;
use crate::support::{http_client, jose, oci_image, peers, process};
use serde_json::{Value, json};

#[test]
fn skopeo_pushes_and_inspects_with_a_good_token_only() {
    if !(["docker-registry", "skopeo"].into_iter().all(peers::require)) {
        return;
    }
    let (home, registry, image) = (Home::new(), Registry::start(|token| token == "good"), TempDir::new("image"));
    let digest = oci_image::write_layout(image.path(), "v1");
    let from = format!("oci:{}:v1", image.path().display());
    let to = format!("docker://{}/team/app:v1", registry.host());
    let skopeo = |arguments: &[&str]| process::run(home.command("skopeo").args(arguments), b"");
    let copy = |credentials: &str| {
        skopeo(&["--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", credentials, &from, &to])
    };
    assert_ne!(copy("alice:bad").code, Some(0));
    copy("alice:good").success();
    let inspected = skopeo(&["inspect", "--tls-verify=false", "--creds", "alice:good", &to]).success();
    assert_eq!(serde_json::from_str::<Value>(&inspected.stdout).unwrap()["Digest"], digest);
    let counts = registry.counts();
    assert!(counts.basic >= 2 && counts.issued >= 2 && counts.refused >= 1, "{counts:?}");
}

#[test]
fn an_identity_token_stands_for_the_access_token_it_came_from() {
    if !peers::require("docker-registry") {
        return;
    }
    let registry = Registry::start(|token| token == "good");
    let ask = |fields: &[(&str, &str)]| {
        let common = [("service", "registry.test"), ("client_id", "docker"), ("scope", "repository:team/app:pull,push")];
        http_client::post_form(&registry.token_url(), &[], &[&common, fields].concat()).unwrap()
    };
    let first = ask(&[("grant_type", "password"), ("password", "good"), ("access_type", "offline")]).json();
    let again = ask(&[("grant_type", "refresh_token"), ("refresh_token", text(&first, "refresh_token"))]).json();
    let claims = jose::claims(text(&again, "token")).unwrap();
    assert_eq!(claims["access"], json!([{ "type": "repository", "name": "team/app", "actions": ["pull", "push"] }]));
    assert_eq!(ask(&[("grant_type", "refresh_token"), ("refresh_token", "unknown")]).status, 401);
}
