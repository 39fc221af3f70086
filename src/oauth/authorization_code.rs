//! The authorization code grant with PKCE on a loopback redirect (RFC 6749 §4.1, RFC 7636, RFC 8252).
use super::Registration;
use super::loopback::{Browser, Event, Expectation, Loopback, Parameters};
use super::metadata::{Metadata, lacking};
use crate::config::{Login, Redirect};
use crate::failure::{Failure, Kind};
use crate::terminal::printable;
use helper_protocols::Secret;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};
use std::time::Duration;
use url::Url;

/// One attempt to sign in: a listener that waits, and everything its answer will be checked against.
#[derive(Debug)]
pub(crate) struct Attempt {
    loopback: Loopback,
    expectation: Expectation,
    /// What the browser is to open: an address of this machine that works once, so that `state` shows in no process list.
    pub(crate) start_address: Url,
    checks: Checks,
}

/// What the answer is checked against, and what redeeming it needs.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) redirect_uri: String,
    pub(crate) verifier: Secret,
    pub(crate) nonce: Option<Secret>,
    issuer: String,
    sends_iss: bool,
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
    TimedOut,
    Stopped,
}

/// Starts to listen, and builds the authorization request for `registration` at the server that `metadata` describes.
///
/// # Errors
/// [`Kind::Misconfigured`] where no port can be had, the redirect leads to no port of this machine, or the server has no page to sign
/// in at.
pub(crate) fn begin(registration: &Registration<'_>, metadata: &Metadata) -> Result<Attempt, Failure> {
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
    if asks("offline_access") {
        // without it a server that follows OpenID Connect Core §11 gives no refresh token
        request = request.add_extra_param("prompt", "consent");
    }
    let (url, state) = request.url();
    let ticket: String = CsrfToken::new_random_len(16).secret().bytes().map(|byte| format!("{byte:02x}")).collect();
    let start_address = loopback.start_address(&ticket);
    Ok(Attempt {
        loopback,
        start_address,
        expectation: Expectation {
            ticket,
            // what browsers ask for where a URI has no path
            path: if path.is_empty() { "/".to_owned() } else { path.clone() },
            state: Secret::new(state.into_secret()),
            authorization_url: Secret::new(url.as_str().replace('+', "%20")),
        },
        checks: Checks {
            redirect_uri,
            verifier: Secret::new(verifier.into_secret()),
            nonce: nonce.map(Secret::new),
            issuer: metadata.issuer.clone(),
            sends_iss: metadata.sends_iss,
        },
    })
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
        match self.loopback.wait(self.expectation, limit, stop) {
            Event::Response(parameters, browser) => match check(parameters, &self.checks) {
                Ok(code) => Ok(Received { code, checks: self.checks, browser }),
                Err(failure) => Err(Ended::Refused(failure, Some(browser))),
            },
            Event::StartedTwice => Err(Ended::Refused(
                Failure::new(Kind::Refused, "the sign-in address was opened twice, so this sign-in was stopped")
                    .hint("sign in again; if you did not open it yourself, another program on this machine watches"),
                None,
            )),
            Event::TimedOut => Err(Ended::TimedOut),
            Event::Stopped => Err(Ended::Stopped),
        }
    }
}

/// Checks an authorization response against the attempt it answers. Pure.
///
/// `iss` must be the issuer to the letter where it came, and must have come on success where the metadata promises it; its absence
/// from an error hides no error (RFC 9207 §2.4).
fn check(parameters: Parameters, checks: &Checks) -> Result<Secret, Failure> {
    if parameters.iss.as_ref().is_some_and(|iss| *iss != checks.issuer) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_checked_against_its_attempt() {
        let checks = |sends_iss| Checks {
            redirect_uri: String::new(),
            verifier: Secret::new("v".into()),
            nonce: None,
            issuer: "https://sso.example.com".into(),
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
}
