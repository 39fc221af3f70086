//! The authorization server gives what it should, refuses what it should, and says so.
use crate::support::authorization_server::{AuthorizationServer, Client, Endpoint, Fault, Options};
use crate::support::encoding::{base64, base64url, random_text};
use crate::support::http_client::{self, Answer};
use crate::support::jose::{self, Refused, SigningKey};
use crate::support::{clock, introspection};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use url::Url;

/// A client by hand: what it must remember between the authorization request and the code's redemption.
pub(super) struct SignIn {
    redirect_uri: String,
    verifier: String,
    state: String,
    nonce: String,
    pub(super) address: Url,
}

impl SignIn {
    pub(super) fn at(server: &AuthorizationServer, scope: &str) -> Self {
        let redirect_uri = "http://127.0.0.1:49152/callback".to_owned();
        let (verifier, state, nonce) = (random_text("verifier_"), random_text("state_"), random_text("nonce_"));
        let challenge = base64url(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()).as_ref());
        let mut address = Url::parse(&format!("{}/authorize", server.issuer())).unwrap();
        address
            .query_pairs_mut()
            .extend_pairs([("response_type", "code"), ("client_id", "keyfob"), ("redirect_uri", &redirect_uri)])
            .extend_pairs([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")])
            .extend_pairs([("state", state.as_str()), ("nonce", &nonce), ("scope", scope), ("prompt", "consent")]);
        Self { redirect_uri, verifier, state, nonce, address }
    }

    /// The query of the redirect to the callback.
    fn callback(&self) -> HashMap<String, String> {
        let answer = http_client::get(self.address.as_str(), &[]).unwrap();
        assert_eq!(answer.status, 302, "{}", answer.text());
        let location = Url::parse(answer.header("location").unwrap()).unwrap();
        assert!(location.as_str().starts_with(&self.redirect_uri));
        location.query_pairs().into_owned().collect()
    }

    fn redeem(&self, server: &AuthorizationServer, code: &str) -> Answer {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("client_id", "keyfob"),
            ("code_verifier", &self.verifier),
        ];
        http_client::post_form(&format!("{}/token", server.issuer()), &[], &fields).unwrap()
    }
}

pub(super) const SCOPE: &str = "openid offline_access";

fn tokens(server: &AuthorizationServer) -> Value {
    let sign_in = SignIn::at(server, SCOPE);
    let answer = sign_in.redeem(server, &sign_in.callback()["code"]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn refresh(server: &AuthorizationServer, token: &str) -> std::io::Result<Answer> {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "keyfob")];
    http_client::post_form(&format!("{}/token", server.issuer()), &[], &fields)
}

pub(super) fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {tokens}"))
}

#[test]
fn a_sign_in_by_the_book_gives_tokens_and_no_violation() {
    let server = AuthorizationServer::start();
    let metadata = introspection::metadata(&server.issuer());
    assert_eq!(metadata["issuer"], server.issuer());
    let sign_in = SignIn::at(&server, SCOPE);
    let callback = sign_in.callback();
    assert_eq!((&callback["state"], &callback["iss"]), (&sign_in.state, &server.issuer()));
    let tokens = sign_in.redeem(&server, &callback["code"]).json();
    let check = introspection::id_tokens_of(&server.issuer(), "keyfob");
    assert_eq!(check(text(&tokens, "id_token")).unwrap()["nonce"], sign_in.nonce.as_str());
    let active = introspection::active_at(&server.issuer(), None);
    assert!(active(text(&tokens, "access_token")) && !active("at_unknown"));
    let secrets = server.issued_secrets();
    for secret in [text(&tokens, "refresh_token"), &sign_in.verifier, &sign_in.state, &callback["code"]] {
        assert!(secrets.iter().any(|known| known == secret), "{secret} is not among the issued secrets");
    }
    assert_eq!(server.violations(), Vec::<String>::new());
    let counts = server.counts();
    assert_eq!((counts.authorizations, counts.codes_redeemed, counts.refreshes), (1, 1, 0));
}

#[test]
fn a_refresh_token_that_comes_again_kills_its_family() {
    let server = AuthorizationServer::start();
    let first = tokens(&server);
    let second = refresh(&server, text(&first, "refresh_token")).unwrap().json();
    assert!(server.family_alive() && server.is_alive(text(&second, "access_token")));
    assert_eq!(refresh(&server, text(&first, "refresh_token")).unwrap().json()["error"], "invalid_grant");
    assert!(!server.family_alive() && !server.is_alive(text(&second, "access_token")));
    assert_eq!(refresh(&server, text(&second, "refresh_token")).unwrap().status, 400);
    let counts = server.counts();
    assert_eq!((counts.refresh_requests, counts.refreshes, counts.reuses), (3, 1, 1));
}

#[test]
fn wrong_authorization_requests_are_refused_and_recorded() {
    let server = AuthorizationServer::start();
    let cases = [
        ("response_type", "token", "response_type"),
        ("client_id", "stranger", "client_id"),
        ("redirect_uri", "http://localhost:49152/callback", "redirect_uri"),
        ("redirect_uri", "http://127.0.0.1/callback", "redirect_uri"),
        ("redirect_uri", "http://127.0.0.1:49152/elsewhere", "redirect_uri"),
        ("state", "short", "state"),
        ("nonce", "", "nonce"),
        ("code_challenge", "short", "code_challenge"),
        ("code_challenge_method", "plain", "code_challenge"),
        ("prompt", "login", "prompt=consent"),
    ];
    for (name, value, said) in cases {
        let mut address = SignIn::at(&server, SCOPE).address;
        let changed: Vec<(String, String)> = address.query_pairs().into_owned().collect();
        let changed = changed.into_iter().map(|(n, v)| if n == name { (n, value.to_owned()) } else { (n, v) });
        let changed: Vec<_> = changed.collect();
        address.query_pairs_mut().clear().extend_pairs(changed);
        assert_eq!(http_client::get(address.as_str(), &[]).unwrap().status, 400, "{name}={value}");
        let last = server.violations().pop().unwrap_or_default();
        assert!(last.contains(said), "{name}={value}: {last}");
    }
    assert_eq!(server.violations().len(), cases.len());
}

#[test]
fn wrong_redemptions_are_refused_and_recorded() {
    let server = AuthorizationServer::start();
    let sign_in = SignIn::at(&server, SCOPE);
    let code = &sign_in.callback()["code"];
    let other = SignIn::at(&server, SCOPE);
    assert_eq!(other.redeem(&server, code).json()["error"], "invalid_grant");
    assert!(server.violations()[0].contains("code_verifier"), "{:?}", server.violations());
    let alive = sign_in.redeem(&server, code).json();
    assert!(server.is_alive(text(&alive, "access_token")));
    assert_eq!(sign_in.redeem(&server, code).json()["error"], "invalid_grant");
    assert!(server.violations()[1].contains("redeemed before"), "{:?}", server.violations());
    assert!(!server.family_alive());
}

#[test]
fn confidential_clients_authenticate_by_basic_or_by_post() {
    let clients = vec![Client::confidential("key fob", "s:e+c%ret")];
    let server = AuthorizationServer::start_with(Options { clients, ..Options::default() });
    let place = format!("{}/revoke", server.issuer());
    let status = |headers: &[(&str, &str)], more: &[(&str, &str)]| {
        let fields = [&[("token", "unknown")], more].concat();
        http_client::post_form(&place, headers, &fields).unwrap().status
    };
    let basic = introspection::basic("key fob", "s:e+c%ret");
    assert_eq!(basic, format!("Basic {}", base64(b"key+fob:s%3Ae%2Bc%25ret")));
    assert_eq!(status(&[("authorization", &basic)], &[]), 200);
    assert_eq!(status(&[], &[("client_id", "key fob"), ("client_secret", "s:e+c%ret")]), 200);
    assert_eq!(server.violations(), Vec::<String>::new());
    let unencoded = format!("Basic {}", base64(b"key fob:s:e+c%ret"));
    assert_eq!(status(&[("authorization", &unencoded)], &[]), 401);
    assert_eq!(status(&[], &[("client_id", "key fob")]), 401);
    assert_eq!(server.violations().len(), 2);
}

#[test]
fn faults_hit_the_requests_they_are_meant_for() {
    let server = AuthorizationServer::start();
    let first = tokens(&server);
    server.fault(Endpoint::Token, Fault::json(503, &json!({ "error": "temporarily_unavailable" })));
    let hold = server.hold(Endpoint::Token);
    assert_eq!(refresh(&server, "rt_unknown").unwrap().status, 503);
    let (issuer, token) = (server.issuer(), text(&first, "refresh_token").to_owned());
    let waiting = std::thread::spawn(move || {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str()), ("client_id", "keyfob")];
        http_client::post_form(&format!("{issuer}/token"), &[], &fields).unwrap().json()
    });
    server.wait_for(Endpoint::Token, 3);
    assert!(!waiting.is_finished(), "it has arrived, and is not answered");
    hold.release();
    let second = waiting.join().unwrap();
    server.fault(Endpoint::Token, Fault::Delay(300));
    let before = Instant::now();
    assert_eq!(refresh(&server, "rt_unknown").unwrap().status, 400);
    assert!(before.elapsed() >= Duration::from_millis(300));
    server.fault(Endpoint::Token, Fault::AfterDrop);
    assert!(refresh(&server, text(&second, "refresh_token")).is_err());
    assert!(server.family_alive());
    assert_eq!(refresh(&server, text(&second, "refresh_token")).unwrap().status, 400);
    assert!(!server.family_alive(), "the server had rotated before the answer was lost");
    server.fault(Endpoint::Metadata, Fault::Huge(3_000_000));
    let huge = http_client::get(&format!("{}/.well-known/openid-configuration", server.issuer()), &[]).unwrap();
    assert!(huge.body.len() > 3_000_000);
}

#[test]
fn a_path_in_the_issuer_moves_the_metadata_as_rfc_8414_says() {
    let path = "/realms/dev".to_owned();
    let server = AuthorizationServer::start_with(Options { path, ..Options::default() });
    server.configure(|settings| settings.oidc_metadata = false);
    assert!(server.issuer().ends_with("/realms/dev"));
    assert_eq!(introspection::metadata(&server.issuer())["issuer"], server.issuer());
    server.metadata_patch(|document| document["issuer"] = "https://elsewhere.example".into());
    assert_eq!(introspection::metadata(&server.issuer())["issuer"], "https://elsewhere.example");
}

#[test]
fn tokens_with_a_flaw_are_told_apart() {
    let (key, now) = (SigningKey::generate(), clock::now());
    let good = json!({ "iss": "i", "aud": ["a", "b"], "exp": now + 60 });
    let token = key.sign(&good);
    let check = |token: &str, issuer, audience, now| jose::verify(token, &key.jwks(), issuer, audience, now);
    assert_eq!(check(&token, "i", "b", now), Ok(good.clone()));
    assert_eq!(check(&token, "j", "b", now), Err(Refused::WrongIssuer));
    assert_eq!(check(&token, "i", "c", now), Err(Refused::WrongAudience));
    assert_eq!(check(&token, "i", "b", now + 60), Err(Refused::Expired));
    assert_eq!(check(&SigningKey::generate().sign(&good), "i", "b", now), Err(Refused::UnknownKey));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let forged = format!("{header}.{}.{signature}", base64url(b"{\"iss\":\"i\",\"aud\":\"b\",\"exp\":9999999999}"));
    assert_eq!(check(&forged, "i", "b", now), Err(Refused::WrongSignature));
    assert_eq!(check("no.token", "i", "b", now), Err(Refused::Malformed));
}
