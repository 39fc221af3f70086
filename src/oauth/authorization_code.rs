//! The authorization code grant with PKCE on a loopback redirect (RFC 6749 §4.1, RFC 7636, RFC 8252).
use super::Registration;
use super::loopback::{Browser, Event, Loopback, Seen, Tour, way_on};
use super::metadata::{Metadata, lacking};
use super::request::{Expectation, Parameters};
use super::result_page::Page;
use crate::config::{Login, Redirect};
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

/// A code that came back, with the browser that still waits for a page.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) code: Secret,
    pub(crate) checks: Checks,
    pub(crate) browser: Browser,
}

/// Why no code came back.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The server or the person said no, or the answer was not what it had to be; the browser still waits for a page.
    Refused(Failure, Option<Browser>),
    TimedOut(Seen),
    Stopped,
}

/// Starts to listen, and builds the authorization request for `registration` at the server that `metadata` describes. Where there is a
/// `question`, the browser shows that page first, and goes on by a link that it gets here, with these words. `switches`: the person is to
/// choose the account.
///
/// # Errors
/// [`Kind::Misconfigured`] where no port can be had, the redirect leads to no port of this machine, or the server has no page to sign
/// in at.
pub(crate) fn begin(
    registration: &Registration<'_>,
    metadata: &Metadata,
    question: Option<(Page, String)>,
    switches: bool,
) -> Result<Attempt, Failure> {
    let login = registration.login;
    let page = metadata.authorization_endpoint.clone().ok_or_else(|| lacking(&metadata.issuer, login, "authorization"))?;
    let Redirect::Loopback { host, path } = &login.redirect else { return Err(out_of_band(login)) };
    let loopback = Loopback::bind(*host, &login.redirect_ports)?;
    let redirect_uri = login.redirect.uri(loopback.port());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let client = oauth2::basic::BasicClient::new(ClientId::new(registration.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(page))
        .set_redirect_uri(RedirectUrl::new(redirect_uri.clone()).expect("an address and a port make a URL"));
    let mut request = client
        .authorize_url(|| CsrfToken::new_random_len(32))
        .add_scopes(login.scopes.iter().cloned().map(Scope::new))
        .set_pkce_challenge(challenge);
    let asks = |scope: &str| login.scopes.iter().any(|asked| asked == scope);
    if let Some(account) = &login.account {
        request = request.add_extra_param("login_hint", account);
    }
    let nonce = asks("openid").then(|| CsrfToken::new_random_len(32).into_secret());
    if let Some(nonce) = &nonce {
        request = request.add_extra_param("nonce", nonce);
    }
    let choice = if switches { choosing(metadata, asks("openid")) } else { None };
    // without it a server that follows OpenID Connect Core §11 gives no refresh token
    let consent = (login.asks_consent && asks("offline_access")).then_some("consent");
    let prompts: Vec<&str> = choice.into_iter().chain(consent).collect();
    if !prompts.is_empty() {
        request = request.add_extra_param("prompt", prompts.join(" "));
    }
    let (url, state) = request.url();
    let ticket = new_ticket();
    let page_ticket = question.is_some().then(new_ticket);
    let link = page_ticket.as_deref().map(way_on);
    Ok(Attempt {
        start_address: loopback.start_address(&ticket),
        loopback,
        tour: Tour {
            expectation: Expectation {
                ticket,
                page_ticket,
                // what browsers ask for where a URI has no path
                path: if path.is_empty() { "/".to_owned() } else { path.clone() },
                state: Secret::new(state.into_secret()),
            },
            authorization_url: Secret::new(url.as_str().replace('+', "%20")),
            page: question.zip(link).map(|((page, words), link)| Page { link: Some((link, words)), ..page }),
        },
        sent: Sent { client_id: registration.client_id.clone(), redirect_uri: redirect_uri.clone() },
        checks: Checks {
            redirect_uri,
            verifier: Secret::new(verifier.into_secret()),
            nonce: nonce.map(Secret::new),
            issuer: metadata.issuer.clone(),
            knows_issuer: metadata.knows_issuer,
            sends_iss: metadata.sends_iss,
        },
    })
}

/// Returns 128 random bits in letters that fit into a path.
fn new_ticket() -> String {
    CsrfToken::new_random_len(16).secret().bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn out_of_band(login: &Login) -> Failure {
    Failure::new(
        Kind::Misconfigured,
        format!("the redirect {} of login `{}` shows a code instead of sending it", login.redirect.registered(&[]), login.name),
    )
    .hint(format!("set `flow = \"paste\"` of `{}`, or register `http://127.0.0.1/callback`", login.name))
}

impl Attempt {
    /// Waits until the browser brings the answer, `limit` has passed, or `stop` says so.
    ///
    /// # Errors
    /// [`Ended`] says why there is no code.
    pub(crate) fn wait(self, limit: Duration, stop: &mut dyn FnMut() -> bool) -> Result<Received, Ended> {
        match self.loopback.wait(self.tour, limit, stop) {
            Event::Response(parameters, browser) => match check(parameters, &self.checks) {
                Ok(code) => Ok(Received { code, checks: self.checks, browser }),
                Err(failure) => Err(Ended::Refused(failure, Some(browser))),
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
/// from an error hides no error (RFC 9207 §2.4).
fn check(parameters: Parameters, checks: &Checks) -> Result<Secret, Failure> {
    if parameters.iss.as_ref().is_some_and(|iss| !is_from(iss, checks)) {
        return Err(Failure::new(
            Kind::Refused,
            format!("the answer to this sign-in came from another server than `{}`", printable(&checks.issuer)),
        )
        .hint("do not use that server; check `issuer` in the configuration"));
    }
    if let Some(error) = parameters.error {
        let said = parameters
            .error_description
            .map_or_else(|| printable(&error), |text| format!("{}: {}", printable(&error), printable(&text)));
        return Err(match error.as_str() {
            "access_denied" => {
                Failure::new(Kind::Refused, format!("sign-in was refused in the browser, by you or by policy ({said})"))
            }
            "temporarily_unavailable" | "server_error" => {
                Failure::new(Kind::Unreachable, format!("the sign-in server cannot answer right now ({said})"))
                    .hint("try again in a moment")
            }
            "invalid_scope" => Failure::new(Kind::Misconfigured, format!("the sign-in server refused the scopes ({said})"))
                .hint("change `scopes` of the login in the configuration"),
            _ => Failure::new(Kind::Refused, format!("the sign-in server refused ({said})")),
        });
    }
    if checks.sends_iss && parameters.iss.is_none() {
        return Err(Failure::new(
            Kind::Refused,
            "the answer to this sign-in does not say which server it is from, though the server promises to",
        ));
    }
    parameters.code.ok_or_else(|| Failure::new(Kind::Refused, "the answer to this sign-in has no code"))
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
        };
        let answer = |code: Option<&str>, error: Option<&str>, iss: Option<&str>| Parameters {
            code: code.map(|code| Secret::new(code.into())),
            error: error.map(Into::into),
            error_description: None,
            iss: iss.map(Into::into),
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
        ];
        for (parameters, sends_iss, expected) in rows {
            match (check(parameters, &checks(sends_iss)), expected) {
                (Ok(code), None) => assert_eq!(code.expose(), "c"),
                (Err(failure), Some(words)) => assert!(failure.message.contains(words), "{}", failure.message),
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
