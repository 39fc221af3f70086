//! Proxies that a variable names: by every kind, with credentials and without, and whatever they answer.
use super::{HOST, Office};
use crate::support::forge::until;
use crate::support::peers;
use crate::support::ports::free_port;
use crate::support::process::Output;
use crate::support::proxy::{Asked, TestProxy, Way};
use crate::support::scene::one_error;
use crate::support::temp_dir::{TempDir, write};
use crate::support::tls::{TlsIdentity, Wrong};
use std::process::{Child, Command, Stdio};

const PASSWORD: &str = "p@ss#w/rd%41";
/// The same in a URL.
const ENCODED: &str = "p%40ss%23w%2Frd%2541";

/// Panics unless `output` is one error with these words, which ends with 5 and tells no password.
#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    one_error(output);
    assert_eq!(output.code, Some(5), "{output:?}");
    for word in words {
        assert!(output.stderr.contains(word), "{word}: {output:?}");
    }
    for secret in [PASSWORD, ENCODED, "wrong-secret", "cEBzcyN3L3Jk"] {
        assert!(!output.stderr.contains(secret), "{output:?}");
    }
}

fn asked(credentials: Option<&str>) -> Asked {
    Asked { target: format!("{HOST}:443"), credentials: credentials.map(Into::into) }
}

#[test]
fn every_request_goes_through_the_proxy_with_the_credentials_of_its_url() {
    let office = Office::new();
    let proxy = TestProxy::start(Way::For(format!("alice:{PASSWORD}")), office.scene.server.port());
    let named = format!("http://alice:{ENCODED}@{}", proxy.address());
    let through = |command: &mut Command| _ = command.env("https_proxy", &named).env("KEYFOB_TRACE", "1");
    let output = office.run(&["login", "corp"], through).success();
    assert!(!output.stderr.contains(PASSWORD) && !output.stderr.contains(ENCODED), "{output:?}");
    office.scene.server.kill_access_tokens();
    office.run(&["token", "corp", "--min-life", "7200"], through);
    office.run(&["logout", "corp"], through).success();
    assert!(!office.scene.server.family_alive(), "the revocation arrived");
    let expected = asked(Some(&format!("alice:{PASSWORD}")));
    let all = proxy.asked();
    assert!(all.len() >= 3 && all.iter().all(|one| *one == expected), "{all:?}");
    assert_eq!(office.scene.server.violations(), Vec::<String>::new());
}

#[test]
fn every_variable_and_every_kind_of_proxy_is_understood() {
    let office = Office::new();
    let port = office.scene.server.port();
    let (open, guarded) = (TestProxy::start(Way::Open, port), TestProxy::start(Way::For(format!("alice:{PASSWORD}")), port));
    let secured = TestProxy::start_with(Way::Open, port, Some(&TlsIdentity::with(&["127.0.0.1"], Wrong::Nothing)));
    let identity = TlsIdentity::with(&["127.0.0.1"], Wrong::Nothing);
    let trusted = TestProxy::start_with(Way::Open, port, Some(&identity));
    let authorities = office.scene.home.path().join("proxy.pem");
    write(&authorities, identity.authority_pem());
    let rows = [
        ("HTTPS_PROXY", format!("http://{}", open.address()), &open),
        ("ALL_PROXY", open.address(), &open),
        ("all_proxy", format!("socks5h://{}", open.address()), &open),
        ("https_proxy", format!("socks5h://alice:{ENCODED}@{}", guarded.address()), &guarded),
        ("https_proxy", format!("https://{}", trusted.address()), &trusted),
    ];
    for (variable, value, proxy) in rows {
        let before = proxy.asked().len();
        let through = |command: &mut Command| _ = command.env(variable, &value).env("SSL_CERT_FILE", &authorities);
        office.run(&["login", "corp"], through).success();
        let new = &proxy.asked()[before..];
        let guarded = value.contains("alice").then(|| format!("alice:{PASSWORD}"));
        assert_eq!(new, [asked(guarded.as_deref())], "{variable} {value}");
    }
    let output =
        office.run(&["login", "corp"], |command| _ = command.env("https_proxy", format!("https://{}", secured.address())));
    refused(&output, &["the proxy https://127.0.0.1:", "keyfob test authority", "SSL_CERT_FILE"]);
    assert_eq!(secured.asked(), []);
}

#[test]
fn a_proxy_that_wants_to_know_who_asks_is_named_with_its_variable() {
    let office = Office::new();
    let proxy = TestProxy::start(Way::For("alice:another".into()), office.scene.server.port());
    let at = proxy.address();
    let rows = [
        ("https_proxy", format!("http://{at}"), ["wants a user name and a password", "USER:PASSWORD@127.0.0.1:"]),
        ("HTTPS_PROXY", format!("http://alice:{ENCODED}@{at}"), ["does not accept the user name and password", "`HTTPS_PROXY`"]),
        ("all_proxy", format!("socks5h://alice:wrong-secret@{at}"), ["127.0.0.1", "`all_proxy`"]),
    ];
    for (variable, value, words) in rows {
        let output = office.run(&["login", "corp"], |command| _ = command.env(variable, &value));
        refused(&output, &[&words[..], &[&format!("`{variable}`"), &at]].concat());
    }
    assert_eq!(proxy.asked().len(), 3);
}

#[test]
fn whatever_a_proxy_does_instead_is_one_sentence_that_names_it() {
    let office = Office::new();
    let port = office.scene.server.port();
    let free = format!("127.0.0.1:{}", free_port());
    let html = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\n\r\n<h1>\u{1b}[2Jnot allowed</h1>";
    let page = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 302 Found\r\nlocation: http://portal.example/\r\n\r\n";
    let rows = [
        (Way::Say(html), "did not open a way to it", "no_proxy"),
        (Way::Say("HTTP/1.1 502 Bad Gateway\r\n\r\n"), "did not open a way to it", "no_proxy"),
        (Way::Say("SSH-2.0-OpenSSH_9.9\r\n"), "did not open a way to it", "no_proxy"),
        (Way::Close, "did not open a way to it", "no_proxy"),
        (Way::Say(page), "https", "sign-in page"),
    ];
    for (way, says, remedy) in rows {
        let name = format!("{way:?}");
        let proxy = TestProxy::start(way, port);
        let output = office.run(&["login", "corp"], |command| _ = command.env("https_proxy", proxy.address()));
        refused(&output, &[says, remedy]);
        assert_eq!(proxy.asked(), [asked(None)], "{name}");
    }
    let output = office.run(&["login", "corp"], |command| _ = command.env("https_proxy", format!("http://{free}")));
    refused(&output, &["cannot be reached: Connection refused", "`https_proxy`", &free, "`sso.corp.invalid` to `no_proxy`"]);
    let output = office.run(&["login", "corp"], |command| _ = command.env("https_proxy", "http://proxy.corp.invalid:3128"));
    refused(&output, &["the proxy http://proxy.corp.invalid:3128", "cannot be reached", "`https_proxy`"]);
    for value in [format!("http://alice:{PASSWORD}@{free}"), "ftp://proxy".into()] {
        let output = office.run(&["login", "corp"], |command| _ = command.env("https_proxy", value));
        one_error(&output);
        assert!(
            output.code == Some(6) && output.stderr.contains("`https_proxy`") && !output.stderr.contains("ss#w"),
            "{output:?}"
        );
    }
}

#[test]
fn what_no_proxy_names_is_asked_directly_and_its_failure_says_what_is_not_read() {
    let office = Office::new();
    let proxy = TestProxy::start(Way::Open, office.scene.server.port());
    for except in [HOST, "corp.invalid", ".invalid", "*", "x, SSO.corp.invalid"] {
        let output =
            office.run(&["login", "corp"], |command| _ = command.env("https_proxy", proxy.address()).env("no_proxy", except));
        refused(&output, &["its name cannot be resolved", "git's `http.proxy` is not read"]);
    }
    office
        .run(&["login", "corp"], |command| _ = command.env("https_proxy", proxy.address()).env("NO_PROXY", "other.invalid"))
        .success();
    assert_eq!(proxy.asked(), [asked(None)]);
}

#[test]
fn what_is_on_this_machine_is_never_asked_through_a_proxy() {
    let office = Office::new();
    let proxy = TestProxy::start(Way::Say("HTTP/1.1 502 Bad Gateway\r\n\r\n"), office.scene.server.port());
    let issuer = office.scene.server.issuer();
    for here in [issuer.clone(), issuer.replace("127.0.0.1", "localhost")] {
        let text = office.scene.config().replace(&issuer, &here);
        office.scene.home.write_config(&text);
        let through = |command: &mut Command| {
            command.env("SSL_CERT_FILE", &office.authority);
            for variable in ["https_proxy", "http_proxy", "ALL_PROXY"] {
                command.env(variable, proxy.address());
            }
        };
        office.run(&["login", "corp"], through);
    }
    assert_eq!(proxy.asked(), []);
    assert!(office.scene.server.counts().discovery > 0, "it was asked directly");
}

#[test]
fn a_proxy_that_reads_the_request_itself_is_told_from_the_server() {
    let office = Office::new();
    let proxy = TestProxy::start(Way::For("alice:another".into()), office.scene.server.port());
    let issuer = format!("http://{HOST}");
    let text = office
        .scene
        .config()
        .replace(&format!("issuer = \"{}\"", office.scene.server.issuer()), &format!("issuer = \"{issuer}\"\nallow_http = true"));
    office.scene.home.write_config(&text);
    let output = office.run(&["login", "corp"], |command| _ = command.env("http_proxy", proxy.address()));
    refused(&output, &["wants a user name and a password", "`http_proxy`"]);
    assert!(proxy.asked()[0].target.starts_with(&issuer), "{:?}", proxy.asked());
}

/// Debian's tinyproxy in front of ours, which alone knows where the name leads.
struct Tinyproxy(Child, TempDir, u16);

impl Tinyproxy {
    fn start(before: &TestProxy) -> Option<Self> {
        if !peers::require("tinyproxy") {
            return None;
        }
        let folder = TempDir::new("tinyproxy");
        let port = free_port();
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 20\nLogFile \"{}\"\nLogLevel Connect\n\
             BasicAuth alice {ENCODED_FOR_TINYPROXY}\nUpstream http {} \"{HOST}\"\n",
            folder.join("log").display(),
            before.address()
        );
        write(&folder.join("tinyproxy.conf"), text);
        let child = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(folder.join("tinyproxy.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("tinyproxy listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self(child, folder, port))
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its configuration takes no other characters.
const ENCODED_FOR_TINYPROXY: &str = "s3cret_word";

#[test]
fn tinyproxy_lets_through_who_says_the_password_and_nobody_else() {
    let office = Office::new();
    let behind = TestProxy::start(Way::Open, office.scene.server.port());
    let Some(tinyproxy) = Tinyproxy::start(&behind) else { return };
    let login = |who: &str| {
        let value = format!("http://{who}127.0.0.1:{}", tinyproxy.2);
        office.run(&["login", "corp"], |command| _ = command.env("https_proxy", value))
    };
    refused(&login(""), &["wants a user name and a password", "`https_proxy`"]);
    // it answers 401, not 407
    refused(&login("alice:wrong-secret@"), &["did not open a way to it", "your user name and password", "`https_proxy`"]);
    assert_eq!(behind.asked(), []);
    login(&format!("alice:{ENCODED_FOR_TINYPROXY}@")).success();
    assert_eq!(behind.asked().len(), 1);
    assert!(tinyproxy.1.join("log").exists());
}
