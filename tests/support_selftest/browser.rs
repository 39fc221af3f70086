//! The fake browser reaches the callback, and brings what it should.
use super::authorization_server::{SCOPE, SignIn, text};
use crate::support::authorization_server::{AuthorizationServer, Options};
use crate::support::browser::{self, Settings};
use crate::support::home::{Home, browser_program};
use crate::support::http_server::{HttpServer, Response};
use crate::support::temp_dir::{TempDir, write};
use crate::support::tls::TlsIdentity;
use crate::support::{http_client, process};

#[test]
fn the_browser_goes_through_the_consent_page_to_the_callback_over_tls() {
    let identity = TlsIdentity::generate();
    let server = AuthorizationServer::start_with(Options { tls: Some(identity.clone()), ..Options::default() });
    server.configure(|settings| settings.consent = true);
    let listener = HttpServer::start(|request| {
        let said = if request.path == "/callback" { request.query.as_str() } else { "stray" };
        Response::new(
            if said == "stray" { 404 } else { 200 },
            "text/html",
            format!("<title>Done &amp; dusted</title><p>{said}</p>"),
        )
    });
    let folder = TempDir::new("authority");
    let authority = folder.join("ca.pem");
    write(&authority, identity.authority_pem());
    for (mode, found) in
        [("ok", "code=co_"), ("deny", "error=access_denied"), ("favicon", "code=co_"), ("preconnect", "code=co_")]
    {
        let mut address = SignIn::at(&server, SCOPE).address;
        let pairs: Vec<(String, String)> = address.query_pairs().into_owned().collect();
        let moved = format!("{}/callback", listener.url());
        let moved: Vec<_> =
            pairs.into_iter().map(|(n, v)| if n == "redirect_uri" { (n, moved.clone()) } else { (n, v) }).collect();
        address.query_pairs_mut().clear().extend_pairs(moved);
        let values = [("MODE", mode), ("CA", authority.to_str().unwrap())];
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let seen = browser::visit(address.as_str(), &Settings::from(&values));
        assert_eq!(seen["callback"]["status"], 200, "{mode}: {seen}");
        assert!(text(&seen, "text").contains(found), "{mode}: {seen}");
        assert_eq!(seen["junk"].as_array().map(Vec::len), (mode == "favicon").then_some(7), "{seen}");
    }
    assert_eq!(server.violations(), Vec::<String>::new());
    assert!(http_client::get(&server.issuer(), &[]).is_err(), "a client without the authority is not served");
}

#[test]
fn the_browser_program_writes_down_what_it_saw() {
    let home = Home::new();
    let page = HttpServer::start(|_| Response::new(200, "text/html", "<title>A page</title><p>of words"));
    let opened = process::run(home.command(browser_program()).arg(page.url()), b"").success();
    assert_eq!((opened.stdout.as_str(), opened.stderr.as_str()), ("", ""));
    assert_eq!(home.wait_for_browser_runs(1)[0]["title"], "A page");
    home.browser("fail");
    let failed = process::run(home.command(browser_program()).arg(page.url()), b"");
    assert_eq!(failed.code, Some(3));
}
