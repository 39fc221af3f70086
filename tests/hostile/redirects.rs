//! Redirect URIs other than the usual one: by name, by IPv6, with any path, with fixed ports, and those that lead to no port of ours.
#![cfg(unix)]
use crate::support::peers;
use crate::support::ports::free_port;
use crate::support::process;
use crate::support::scene::{Scene, config_for, one_error};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

/// A scene whose login has `redirect_uri`, registered so at the server.
fn scene(redirect: &str, more: &str) -> Scene {
    let scene = Scene::new();
    configure(&scene, redirect, more);
    scene
}

fn configure(scene: &Scene, redirect: &str, more: &str) {
    let login = format!("client_id = \"keyfob\"\nredirect_uri = \"{redirect}\"\n{more}");
    scene.home.write_config(&config_for(&scene.server.issuer()).replace("client_id = \"keyfob\"\n", &login));
    scene.server.configure(|settings| settings.redirect = redirect.into());
}

#[test]
fn the_redirect_is_sent_letter_for_letter_and_its_answer_is_taken() {
    let six = peers::require_ipv6();
    for redirect in [
        "http://127.0.0.1",
        "http://127.0.0.1/",
        "http://127.0.0.1/a%20b/c.d",
        "http://localhost",
        "http://localhost/",
        "http://localhost/auth/redirect",
        "http://[::1]/callback",
    ] {
        if redirect.contains("::1") && !six {
            continue;
        }
        let scene = scene(redirect, "");
        scene.sign_in().success();
        let visit = scene.home.wait_for_browser_runs(1).remove(0);
        assert_eq!(visit["callback"]["status"], 200, "{redirect}: {visit}");
        let literal = if redirect.contains("::1") { "http://[::1]:" } else { "http://127.0.0.1:" };
        assert!(visit["start"].as_str().unwrap().starts_with(literal), "never by name: {visit}");
        assert!(scene.server.is_alive(&scene.token()), "{redirect}");
        assert_eq!(scene.server.violations(), Vec::<String>::new(), "{redirect}");
    }
}

#[test]
fn a_redirect_that_shows_a_code_needs_a_terminal() {
    for redirect in ["urn:ietf:wg:oauth:2.0:oob", "https://sso.example.com/code"] {
        let scene = scene(redirect, "");
        let mut command = scene.home.command("setsid");
        let output = process::run(command.args(["--wait", "keyfob", "login", "corp"]), b"");
        one_error(&output);
        assert!(output.code == Some(3) && output.stderr.contains("needs a terminal to paste into"), "{output:?}");
        assert_eq!((scene.server.counts().authorizations, scene.home.browser_runs().len()), (0, 0));
    }
}

/// `keyfob login` whose browser is started and does nothing.
fn waiting(scene: &Scene) -> Child {
    scene.home.browser("never");
    let mut command = scene.home.keyfob(["login", "corp"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    scene.home.wait_for_browser_runs(1);
    child
}

fn interrupt(mut child: Child) {
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(process::wait(&mut child, process::LIMIT), Some(Some(4)));
}

#[test]
fn the_name_is_listened_for_at_both_addresses_and_a_literal_at_its_own_alone() {
    if !peers::require_ipv6() {
        return;
    }
    for (redirect, v4, v6) in
        [("http://localhost/", true, true), ("http://127.0.0.1/", true, false), ("http://[::1]/", false, true)]
    {
        let port = free_port();
        let scene = scene(redirect, &format!("redirect_port = {port}\n"));
        let child = waiting(&scene);
        let reached = [format!("127.0.0.1:{port}"), format!("[::1]:{port}")].map(|address| TcpStream::connect(address).is_ok());
        interrupt(child);
        assert_eq!(reached, [v4, v6], "{redirect}");
    }
}

#[test]
fn a_list_of_fixed_ports_takes_the_first_free_one_and_names_all_where_none_is() {
    let scene = Scene::new();
    let holders: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let taken: Vec<u16> = holders.iter().map(|holder| holder.local_addr().unwrap().port()).collect();
    let free = free_port();
    configure(&scene, "http://127.0.0.1/callback", &format!("redirect_ports = [{}, {free}, {}]\n", taken[0], taken[1]));
    scene.sign_in().success();
    let start = scene.home.wait_for_browser_runs(1).remove(0)["start"].as_str().unwrap().to_owned();
    assert!(start.starts_with(&format!("http://127.0.0.1:{free}/")), "{start}");

    configure(&scene, "http://127.0.0.1/callback", &format!("redirect_ports = [{}, {}]\n", taken[0], taken[1]));
    let output = scene.sign_in();
    one_error(&output);
    for port in &taken {
        assert!(output.stderr.contains(&format!("127.0.0.1:{port} is taken by a program of yours")), "{output:?}");
    }
    assert!(output.code == Some(6) && output.stderr.contains("redirect_ports"), "{output:?}");
    assert_eq!(scene.home.browser_runs().len(), 1, "no browser is opened for what cannot be answered");
}

#[test]
fn a_port_whose_other_address_another_user_holds_is_refused_and_the_next_one_taken() {
    if !peers::require_ipv6() || !peers::require_root() {
        return;
    }
    let (held, free) = (free_port(), free_port());
    let squatter = TcpListener::bind(("::1", held)).unwrap();
    std::os::unix::fs::fchown(&squatter, Some(4242), None).unwrap();
    let scene = scene("http://localhost/callback", &format!("redirect_port = {held}\n"));
    let output = scene.sign_in();
    one_error(&output);
    assert!(output.stderr.contains(&format!("[::1]:{held} is taken by another user (uid 4242)")), "{output:?}");
    assert!(output.stderr.contains("register the redirect with 127.0.0.1"), "{output:?}");
    assert_eq!((scene.home.browser_runs().len(), scene.server.counts().authorizations), (0, 0));

    configure(&scene, "http://localhost/callback", &format!("redirect_ports = [{held}, {free}]\n"));
    scene.sign_in().success();
    let start = scene.home.wait_for_browser_runs(1).remove(0)["start"].as_str().unwrap().to_owned();
    assert!(start.starts_with(&format!("http://127.0.0.1:{free}/")), "{start}");

    // the literal leads nowhere else
    configure(&scene, "http://127.0.0.1/callback", &format!("redirect_port = {held}\n"));
    scene.sign_in().success();
    assert_eq!(scene.server.violations(), Vec::<String>::new());
}
