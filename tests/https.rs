//! Signing in over TLS with a company's own authority, through and past a proxy, and without any authority at all.
use crate::support::http_server::{HttpServer, Response};
use crate::support::scene::{Scene, one_error};
use crate::support::temp_dir::write;
use crate::support::tls::TlsIdentity;
use std::path::PathBuf;
use std::process::Command;

fn behind_tls() -> (Scene, PathBuf) {
    Scene::behind(&TlsIdentity::generate())
}

#[test]
fn an_authority_that_nobody_named_is_refused_with_the_remedy() {
    let (scene, _) = behind_tls();
    let output = scene.sign_in_with(|_| {});
    one_error(&output);
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(output.stderr.contains("cannot reach `127.0.0.1`") && output.stderr.contains("ca_file"), "{output:?}");
    assert!(scene.home.browser_runs().is_empty());
}

#[test]
fn a_company_authority_is_taken_from_the_login_and_from_the_environment() {
    let (scene, file) = behind_tls();
    scene.sign_in_with(|command| _ = command.env("SSL_CERT_FILE", &file)).success();
    let named =
        scene.config().replace("client_id = \"keyfob\"", &format!("client_id = \"keyfob\"\nca_file = \"{}\"", file.display()));
    scene.home.write_config(&named);
    scene.sign_in_with(|_| {}).success();
    let token = scene.token();
    assert!(scene.server.is_alive(&token));
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}

#[test]
fn an_authority_file_that_is_none_is_named() {
    let (scene, file) = behind_tls();
    write(&file, "not a certificate\n");
    let named =
        scene.config().replace("client_id = \"keyfob\"", &format!("client_id = \"keyfob\"\nca_file = \"{}\"", file.display()));
    scene.home.write_config(&named);
    let output = scene.sign_in_with(|_| {});
    one_error(&output);
    assert_eq!(output.code, Some(6), "{output:?}");
    assert!(output.stderr.contains("company.pem") && output.stderr.contains("it holds no certificate"), "{output:?}");
}

#[test]
fn a_proxy_is_asked_for_servers_elsewhere_and_never_for_this_machine() {
    let scene = Scene::new();
    let proxy = HttpServer::start(|_| Response::text(502, "no way through"));
    let through = |command: &mut Command| {
        command.env_remove("NO_PROXY").env("https_proxy", proxy.url()).env("http_proxy", proxy.url());
    };
    scene.sign_in_with(through).success();
    scene.home.write_config(&scene.config().replace(&scene.server.issuer(), "https://sso.example.invalid"));
    let output = scene.sign_in_with(through);
    one_error(&output);
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(!output.stderr.contains("lookup"), "the name was left to the proxy: {output:?}");
}
