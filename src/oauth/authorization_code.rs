//! The authorization code grant with PKCE on a loopback redirect (RFC 6749 §4.1, RFC 7636, RFC 8252).
use super::Registration;
use super::error_codes::{self, Action, Place, Said, Tried, action, sentence};
use super::loopback::{Browser, Event, Loopback, Seen, Tour, way_on};
use super::metadata::{Metadata, lacking};
use super::request::{Expectation, Parameters};
use super::result_page::Page;
use super::token_endpoint::Claims;
use crate::config::{Login, LoopbackHost, Redirect};
use crate::failure::{Failure, Kind};
use crate::terminal::printable;
use helper_protocols::Secret;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};
use std::time::Duration;
use url::Url;

/// The issuer that does not know `login`.
const GOOGLE: &str = "https://accounts.google.com";

/// One attempt to sign in: a listener that waits, and everything its answer will be checked against.
#[derive(Debug)]
pub(crate) struct Attempt {
    loopback: Loopback,
    tour: Tour,
    /// What the browser is to open: an address of this machine that works once, so that `state` shows in no process list.
    pub(crate) start_address: Url,
    /// Where what a person pastes is to be brought: an address of this machine that nobody else knows.
    pub(crate) paste_address: Option<Secret>,
    /// What is sent that has to be registered at the server.
    pub(crate) sent: Sent,
    checks: Checks,
}

/// What a server compares with what is registered there.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
}

/// The parameters of an authorization request, but for those that only some logins send.
const REQUEST: [&str; 7] =
    ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"];

/// What the answer is checked against, and what redeeming it needs.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) redirect_uri: String,
    pub(crate) verifier: Secret,
    pub(crate) nonce: Option<Secret>,
    issuer: String,
    /// Whether `issuer` is the server's own word; else an `iss` has only to be of the same origin.
    knows_issuer: bool,
    sends_iss: bool,
    /// What a refusal is held against.
    asked: Asked,
}

/// What was asked for in the browser, as far as a refusal is explained by it.
#[derive(Debug)]
struct Asked {
    host: String,
    login: String,
    client_id: String,
    scopes: Vec<String>,
}

impl Asked {
    fn by(registration: &Registration<'_>, host: String) -> Self {
        let Login { name, scopes, .. } = registration.login;
        Self { host, login: name.clone(), client_id: registration.client_id.clone(), scopes: scopes.clone() }
    }
}

/// Returns the `prompt` that lets a person choose whose account it is, at the server that `metadata` describes; none where that knows no
/// such thing, and whoever is signed in there has to sign out there first. Pure.
///
/// Every server of OpenID Connect lets a person sign in as anybody by `login` (OpenID Connect Core §3.1.2.1), which is what is asked for
/// where it does not say which ones it knows: some refuse a request with an unknown one. Google knows a list of accounts instead, and so
/// does GitHub (read in their documentation); servers without OpenID Connect leave out what they do not know (RFC 6749 §3.1).
fn choosing(metadata: &Metadata, openid: bool) -> Option<&'static str> {
    let Some(known) = &metadata.prompts else {
        return Some(if openid && metadata.issuer != GOOGLE { "login" } else { "select_account" });
    };
    ["select_account", "login"].into_iter().find(|word| known.iter().any(|known| known == word))
}

/// A code that came back, with the browser that still waits for a page, where one brought it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) code: Secret,
    pub(crate) checks: Checks,
    pub(crate) browser: Option<Browser>,
}

/// Why no code came back.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The server or the person said no, or the answer was not what it had to be; the browser still waits for a page.
    Refused(Failure, Option<Browser>),
    /// The server does not let this client have codes; the browser still waits for a page.
    NotThisGrant(Failure, Option<Browser>),
    TimedOut(Seen),
    Stopped,
}

/// How a sign-in goes.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    /// The page that the browser shows first, and the words of its link, by which it goes on.
    pub(crate) question: Option<(Page, String)>,
    /// The person is to choose the account.
    pub(crate) switches: bool,
    /// The answer may be pasted, too.
    pub(crate) pasted: bool,
    /// What the server wants to be asked for.
    pub(crate) claims: Option<Claims>,
}

/// Starts to listen, and builds the authorization request for `registration` at the server that `metadata` describes.
///
/// # Errors
/// [`Kind::Misconfigured`] where no port can be had, or the server has no page to sign in at.
pub(crate) fn begin(registration: &Registration<'_>, metadata: &Metadata, manner: Manner) -> Result<Attempt, Failure> {
    let login = registration.login;
    let page = metadata.authorization_endpoint.clone().ok_or_else(|| lacking(&metadata.issuer, login, "authorization"))?;
    let server = printable(page.host_str().unwrap_or_default());
    let (host, path) = leads_to(&login.redirect);
    let ports = &login.redirect_ports;
    let (loopback, redirect_uri, path) = match (Loopback::bind(host, ports), ports.first()) {
        // a browser elsewhere never comes to that port, and what is pasted may come to any
        (Err(_), Some(port)) if manner.pasted => (Loopback::bind(LoopbackHost::V4, &[])?, login.redirect.uri(*port), None),
        (bound, _) => {
            let loopback = bound?;
            let redirect_uri = login.redirect.uri(loopback.port());
            (loopback, redirect_uri, path)
        }
    };
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let nonce = asks(login, "openid").then(|| CsrfToken::new_random_len(32).into_secret());
    let client = oauth2::basic::BasicClient::new(ClientId::new(registration.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(page))
        .set_redirect_uri(RedirectUrl::new(redirect_uri.clone()).expect("a URI that was read makes a URL"));
    let mut request = client
        .authorize_url(|| CsrfToken::new_random_len(32))
        .add_scopes(login.scopes.iter().cloned().map(Scope::new))
        .set_pkce_challenge(challenge);
    let prompt = prompt(login, metadata, manner.switches);
    for (name, value) in [(login.account_hint, &login.account), ("nonce", &nonce), ("prompt", &prompt)] {
        if let Some(value) = value {
            request = request.add_extra_param(name, value);
        }
    }
    if let Some(claims) = &manner.claims {
        request = request.add_extra_param("claims", claims.as_str());
    }
    let (url, state) = request.url();
    let ticket = new_ticket();
    let page_ticket = manner.question.is_some().then(new_ticket);
    let link = page_ticket.as_deref().map(way_on);
    let paste_ticket = manner.pasted.then(|| Secret::new(new_ticket()));
    Ok(Attempt {
        start_address: loopback.start_address(&ticket),
        paste_address: paste_ticket.as_ref().map(|ticket| loopback.paste_address(ticket)),
        loopback,
        tour: Tour {
            expectation: Expectation { ticket, page_ticket, paste_ticket, path, state: Secret::new(state.into_secret()) },
            authorization_url: Secret::new(url.as_str().replace('+', "%20")),
            page: manner.question.zip(link).map(|((page, words), link)| Page { link: Some((link, words)), ..page }),
        },
        sent: Sent { client_id: registration.client_id.clone(), redirect_uri: redirect_uri.clone() },
        checks: Checks {
            redirect_uri,
            verifier: Secret::new(verifier.into_secret()),
            nonce: nonce.map(Secret::new),
            issuer: metadata.issuer.clone(),
            knows_issuer: metadata.knows_issuer,
            sends_iss: metadata.sends_iss,
            asked: Asked::by(registration, server),
        },
    })
}

/// Returns where to listen, and the path that the answer comes to; none where it has to be pasted.
fn leads_to(redirect: &Redirect) -> (LoopbackHost, Option<String>) {
    match redirect {
        // what browsers ask for where a URI has no path
        Redirect::Loopback { host, path } if path.is_empty() => (*host, Some("/".to_owned())),
        Redirect::Loopback { host, path } => (*host, Some(path.clone())),
        // what is pasted comes by a port of this machine all the same
        Redirect::OutOfBand(_) => (LoopbackHost::V4, None),
    }
}

fn asks(login: &Login, scope: &str) -> bool {
    login.scopes.iter().any(|asked| asked == scope)
}

fn prompt(login: &Login, metadata: &Metadata, switches: bool) -> Option<String> {
    let choice = if switches { choosing(metadata, asks(login, "openid")) } else { None };
    // without it a server that follows OpenID Connect Core §11 gives no refresh token
    let consent = (login.asks_consent && asks(login, "offline_access")).then_some("consent");
    let words: Vec<&str> = choice.into_iter().chain(consent).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Returns 128 random bits in letters that fit into a path.
fn new_ticket() -> String {
    CsrfToken::new_random_len(16).secret().bytes().map(|byte| format!("{byte:02x}")).collect()
}

impl Attempt {
    /// Returns the address at the server, with everything in it that the answer will be checked by.
    pub(crate) fn authorization_url(&self) -> &Secret {
        &self.tour.authorization_url
    }

    /// Waits until the browser brings the answer, `limit` has passed, or `stop` says so.
    ///
    /// # Errors
    /// [`Ended`] says why there is no code.
    pub(crate) fn wait(self, limit: Duration, stop: &mut dyn FnMut() -> bool) -> Result<Received, Ended> {
        match self.loopback.wait(self.tour, limit, stop) {
            Event::Response(parameters, browser) => match check(parameters, &self.checks) {
                Ok(code) => Ok(Received { code, checks: self.checks, browser }),
                Err((Action::NextWay, failure)) => Err(Ended::NotThisGrant(failure, browser)),
                Err((_, failure)) => Err(Ended::Refused(failure, browser)),
            },
            Event::StartedTwice => Err(Ended::Refused(
                Failure::new(Kind::Refused, "the sign-in address was opened twice, so this sign-in was stopped")
                    .hint("sign in again; if you did not open it yourself, another program on this machine watches"),
                None,
            )),
            Event::Form(browser) => Err(Ended::Refused(came_as_form(&self.sent), Some(browser))),
            Event::TimedOut(seen) => Err(Ended::TimedOut(seen)),
            Event::Stopped => Err(Ended::Stopped),
        }
    }
}

fn came_as_form(sent: &Sent) -> Failure {
    Failure::new(
        Kind::Misconfigured,
        "the sign-in server sent its answer as a form (`response_mode=form_post`), which is taken from nobody here",
    )
    .because("any page can send one")
    .hint(format!(
        "set the response mode of client `{}` at the server to `query`, and ask for no other one in `endpoints.authorization`",
        printable(&sent.client_id)
    ))
}

/// Checks an authorization response against the attempt it answers. Pure.
///
/// `iss` must be the issuer's where it came, and must have come on success where the metadata promises it; its absence
/// from an error hides no error (RFC 9207 §2.4). A code that a person pasted alone has none, and is bound by PKCE.
fn check(parameters: Parameters, checks: &Checks) -> Result<Secret, (Action, Failure)> {
    let stop = |failure: Failure| (Action::Stop, failure);
    if parameters.iss.as_ref().is_some_and(|iss| !is_from(iss, checks)) {
        let failure = Failure::new(
            Kind::Refused,
            format!("the answer to this sign-in came from another server than `{}`", printable(&checks.issuer)),
        );
        return Err(stop(failure.hint("do not use that server; check `issuer` in the configuration")));
    }
    if let Some(error) = parameters.error {
        return Err(refusal(&error, parameters.error_description.as_deref(), checks));
    }
    if checks.sends_iss && parameters.iss.is_none() && !parameters.is_bare {
        return Err(stop(Failure::new(
            Kind::Refused,
            "the answer to this sign-in does not say which server it is from, though the server promises to",
        )));
    }
    parameters.code.ok_or_else(|| stop(Failure::new(Kind::Refused, "the answer to this sign-in has no code")))
}

/// Returns what the error `code` of an authorization response means.
fn refusal(code: &str, description: Option<&str>, checks: &Checks) -> (Action, Failure) {
    let Asked { host, login, client_id, scopes } = &checks.asked;
    let sent = error_codes::Sent {
        place: Place::Redirect,
        host,
        login,
        client_id,
        tried: Tried::NoSecret,
        names: &REQUEST,
        scopes,
        redirect_uri: &checks.redirect_uri,
    };
    let said = Said { code, description, status: None };
    (action(&said, Place::Redirect), sentence(&said, &sent))
}

/// Whether `iss` is the issuer to the letter; where only its endpoints are known, whether it is of the origin that the person signs in at,
/// for servers begin to send it overnight (GitHub and Google did in 2026).
fn is_from(iss: &str, checks: &Checks) -> bool {
    let origin = || Url::parse(iss).is_ok_and(|url| url.origin().ascii_serialization() == checks.issuer);
    iss == checks.issuer || (!checks.knows_issuer && origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked { host: "sso.example.com".into(), login: "corp".into(), client_id: "keyfob".into(), scopes: Vec::new() }
    }

    #[test]
    fn a_person_chooses_by_what_the_server_knows() {
        let rows = [
            ("https://sso.example.com", None, true, Some("login")),
            ("https://sso.example.com", None, false, Some("select_account")),
            ("https://accounts.google.com", None, true, Some("select_account")),
            ("https://sso.example.com", Some(vec!["none", "login", "consent", "select_account"]), true, Some("select_account")),
            ("https://sso.example.com", Some(vec!["login"]), true, Some("login")),
            ("https://sso.example.com", Some(vec!["none", "consent"]), true, None),
            ("https://sso.example.com", Some(vec![]), false, None),
        ];
        for (issuer, known, openid, expected) in rows {
            let metadata = Metadata {
                issuer: issuer.into(),
                authorization_endpoint: None,
                token_endpoint: Url::parse("https://sso.example.com/token").unwrap(),
                revocation_endpoint: None,
                userinfo_endpoint: None,
                device_authorization_endpoint: None,
                sends_iss: false,
                knows_issuer: true,
                prompts: known.clone().map(|words| words.into_iter().map(Into::into).collect()),
            };
            assert_eq!(choosing(&metadata, openid), expected, "{issuer} {known:?} {openid}");
        }
    }

    #[test]
    fn an_answer_is_checked_against_its_attempt() {
        let checks = |sends_iss| Checks {
            redirect_uri: String::new(),
            verifier: Secret::new("v".into()),
            nonce: None,
            issuer: "https://sso.example.com".into(),
            knows_issuer: true,
            sends_iss,
            asked: asked(),
        };
        let answer = |code: Option<&str>, error: Option<&str>, iss: Option<&str>| Parameters {
            code: code.map(|code| Secret::new(code.into())),
            error: error.map(Into::into),
            error_description: None,
            iss: iss.map(Into::into),
            is_bare: false,
        };
        let ours = Some("https://sso.example.com");
        let rows = [
            (answer(Some("c"), None, ours), true, None),
            (answer(Some("c"), None, None), false, None),
            (answer(Some("c"), None, None), true, Some("does not say")),
            (answer(Some("c"), None, Some("https://sso.example.com/")), false, Some("another server")),
            (answer(None, Some("access_denied"), None), true, Some("refused in the browser")),
            (answer(None, Some("access_denied"), Some("https://evil.example.com")), true, Some("another server")),
            (answer(None, None, ours), true, Some("has no code")),
            (Parameters { is_bare: true, ..answer(Some("c"), None, None) }, true, None),
            (
                Parameters { is_bare: true, ..answer(Some("c"), None, Some("https://evil.example.com")) },
                true,
                Some("another server"),
            ),
        ];
        for (parameters, sends_iss, expected) in rows {
            match (check(parameters, &checks(sends_iss)), expected) {
                (Ok(code), None) => assert_eq!(code.expose(), "c"),
                (Err((_, failure)), Some(words)) => assert!(failure.message.contains(words), "{}", failure.message),
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn where_only_the_endpoints_are_known_the_issuer_is_known_by_its_origin() {
        let checks = |issuer: &str, knows_issuer| Checks {
            redirect_uri: String::new(),
            verifier: Secret::new("v".into()),
            nonce: None,
            issuer: issuer.into(),
            knows_issuer,
            sends_iss: false,
            asked: asked(),
        };
        let rows = [
            ("https://github.com", "https://github.com/login/oauth", true),
            ("https://accounts.google.com", "https://accounts.google.com", true),
            ("https://login.microsoftonline.com", "https://login.microsoftonline.com/3f1c/v2.0", true),
            ("https://git.example.com:8443", "https://git.example.com:8443/gitlab", true),
            ("https://github.com", "https://github.com.evil.example/login/oauth", false),
            ("https://github.com", "https://github.com@evil.example/", false),
            ("https://github.com", "http://github.com/login/oauth", false),
            ("https://github.com", "https://github.com:444/", false),
            ("https://github.com", "github.com", false),
            ("https://github.com", "", false),
        ];
        for (origin, iss, expected) in rows {
            assert_eq!(is_from(iss, &checks(origin, false)), expected, "{origin} {iss}");
            assert_eq!(is_from(iss, &checks(origin, true)), iss == origin, "{origin} {iss}");
        }
    }
}
