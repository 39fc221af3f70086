//! What a server's error codes mean: for each, by the request it answers, what to do and what a person reads.
use crate::failure::{Failure, Kind};
use crate::terminal::printable;
use serde_json::{Map, Value};

/// The request that an error answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The authorization request, answered through the browser (RFC 6749 §4.1.2.1).
    Redirect,
    /// A code that is traded for tokens (RFC 6749 §5.2).
    Code,
    /// A refresh token that is traded for tokens (RFC 6749 §5.2).
    Refresh,
    /// The request for a device code (RFC 8628 §3.2).
    Device,
    /// A poll (RFC 8628 §3.5).
    Poll,
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Poll again after the interval.
    Wait,
    /// Poll again after a longer one, for good.
    SlowDown,
    /// The device code has ended.
    Expired,
    /// The person, or policy, said no.
    Denied,
    /// What was sent has ended: a refresh token leads to a person, a code is never sent again.
    Over,
    /// A person has to go through a further step in the browser.
    Interact,
    /// The server cannot answer now, and nothing has ended.
    Busy,
    /// This client may not sign in this way; another way may be open to it.
    NextWay,
    /// Ask once more without optional scopes.
    LessScope,
    /// Something has to be changed, here or there.
    Stop,
}

/// How the client showed who it is (RFC 6749 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// By its id alone.
    NoSecret,
    SecretInBody,
    SecretInHeader,
}

/// The request that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) place: Place,
    /// As it is shown.
    pub(crate) host: &'a str,
    pub(crate) login: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) tried: Tried,
    /// The names of its parameters; never a value.
    pub(crate) names: &'a [&'a str],
    /// The scopes asked for, at one time or another.
    pub(crate) scopes: &'a [String],
    /// The redirect URI, where one was sent.
    pub(crate) redirect_uri: &'a str,
}

/// The error that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) code: &'a str,
    pub(crate) description: Option<&'a str>,
    pub(crate) status: Option<u16>,
}

impl<'a> Said<'a> {
    /// Reads the error in `answer`, where it is one; `error_code` is how Google names some.
    pub(crate) fn find(answer: &'a Map<String, Value>, status: u16) -> Option<Self> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let code = text("error").or_else(|| text("error_code").filter(|_| status >= 400))?;
        Some(Self { code, description: text("error_description"), status: Some(status) })
    }

    /// Returns the server's own words, fit to be shown.
    fn words(&self) -> String {
        let code = printable(self.code);
        self.description.map_or_else(|| code.clone(), |text| format!("{code}: {}", printable(text)))
    }

    /// Returns the number of an error of Entra ID, which stands at the beginning of its description.
    fn entra(&self) -> Option<u32> {
        let digits = self.description?.trim_start().strip_prefix("AADSTS")?;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

/// Decides what to do about `said`, which answers a request at `place`. Pure.
///
/// Entra's numbers come first, because its codes are coarse: a policy is an `invalid_grant` there.
pub(crate) fn action(said: &Said<'_>, place: Place) -> Action {
    use Place::{Code, Device, Poll, Redirect, Refresh};
    match (said.entra(), place) {
        (Some(53_003), Device | Poll) => return Action::NextWay,
        (Some(50_074 | 50_076 | 50_079 | 50_158 | 53_000 | 53_001 | 53_003 | 65_001), Refresh | Code) => return Action::Interact,
        (Some(number), _) if entra_remedy(number).is_some() => return Action::Stop,
        _ => {}
    }
    match (said.code, place) {
        ("authorization_pending", Poll) => Action::Wait,
        ("slow_down", Poll) => Action::SlowDown,
        ("expired_token", Poll) => Action::Expired,
        ("access_denied" | "authorization_declined", Redirect | Device | Poll) => Action::Denied,
        // GitHub's words for the same thing are in its documentation of refreshing user access tokens
        ("invalid_grant" | "bad_refresh_token" | "bad_verification_code", Refresh | Code) => Action::Over,
        // glewlwyd's own word, with status 403
        ("invalid_code", Code) => Action::Over,
        ("invalid_grant" | "bad_verification_code" | "incorrect_device_code", Poll) => Action::Over,
        ("interaction_required" | "login_required" | "consent_required" | "account_selection_required", Refresh | Code) => {
            Action::Interact
        }
        ("temporarily_unavailable" | "server_error" | "slow_down" | "rate_limit_exceeded", _) => Action::Busy,
        ("unauthorized_client" | "unsupported_grant_type" | "device_flow_disabled", Device | Poll) => Action::NextWay,
        ("unauthorized_client" | "unsupported_response_type", Redirect) => Action::NextWay,
        ("invalid_scope", Device) => Action::LessScope,
        _ => Action::Stop,
    }
}

/// Returns what a person reads of `said`, which answers `sent`: what failed, and what to change where. Pure.
pub(crate) fn sentence(said: &Said<'_>, sent: &Sent<'_>) -> Failure {
    let Sent { place, host, login, .. } = *sent;
    let (words, sign_in) = (said.words(), format!("run `keyfob login {login}`"));
    let refused = |message: String| Failure::new(Kind::Refused, message);
    match (action(said, place), place) {
        (Action::Over, Place::Refresh) => {
            refused(format!("`{host}` no longer takes the refresh token of `{login}` ({words})")).hint(sign_in)
        }
        (Action::Over, Place::Poll) => refused(format!("`{host}` does not take the code of this sign-in any more ({words})"))
            .hint("it may have been used already, if this machine was stopped at that moment"),
        (Action::Over, _) => refused(format!("`{host}` did not take its own code back ({words})"))
            .hint(format!("codes last about a minute: {sign_in}")),
        (Action::Interact, _) => {
            refused(format!("`{host}` wants a further step from you for `{login}`: your organisation asks for it ({words})"))
                .hint(sign_in)
        }
        (Action::Denied, _) => refused(format!("sign-in was refused in the browser, by you or by policy ({words})")),
        (Action::Expired, _) => refused(format!("the code of this sign-in has ended ({words})")).hint(sign_in),
        (Action::Busy, _) => busy(sent, &words),
        (Action::NextWay, Place::Redirect) => Failure::new(
            Kind::Misconfigured,
            format!("`{host}` does not let the client of login `{login}` sign in by browser ({words})"),
        )
        .hint("allow the authorization code grant where the client is registered, or set `flow = \"device\"`"),
        (Action::NextWay, _) => no_device_flow(sent, &words, said.entra()),
        (Action::Wait | Action::SlowDown | Action::LessScope | Action::Stop, _) => stop(said, sent, &words),
    }
}

/// Returns what is said where the server cannot answer now; it had these `words`. That the person is still signed in is said only where
/// that is what was at stake.
pub(crate) fn busy(sent: &Sent<'_>, words: &str) -> Failure {
    let failure = Failure::new(Kind::Unreachable, format!("`{}` cannot answer right now ({words})", sent.host));
    failure.hint(if sent.place == Place::Refresh {
        "try again in a moment; you are still signed in"
    } else {
        "try again in a moment"
    })
}

/// Returns what is said where a server does not do the device grant, or not for this client.
pub(crate) fn no_device_flow(sent: &Sent<'_>, words: &str, entra: Option<u32>) -> Failure {
    let Sent { host, login, .. } = *sent;
    let failure =
        Failure::new(Kind::Misconfigured, format!("`{host}` has no device flow for the client of login `{login}` ({words})"));
    if entra == Some(53_003) {
        return failure.hint(format!(
            "a policy blocks device codes: run `keyfob login {login} --flow browser`, or `--flow paste` where no browser is"
        ));
    }
    failure
        .hint("allow it where the client is registered, or set `flow = \"browser\"`, or `\"paste\"` where no browser is")
        .hint("a server that wants another client for it: name that one in `device_client_id`")
}

/// Returns what is said where a refusal says nothing: an empty answer of `status`.
pub(crate) fn silent(sent: &Sent<'_>, status: u16) -> Failure {
    let Sent { place, host, login, .. } = *sent;
    let failure = |what: &str| {
        Failure::new(Kind::Refused, format!("`{host}` refused {what} of `{login}` and does not say why (status {status})"))
    };
    match place {
        Place::Refresh => failure("the refresh token").hint(format!("if it goes on, that has ended: run `keyfob login {login}`")),
        _ => failure("the code").hint(format!("run `keyfob login {login}`")),
    }
}

fn stop(said: &Said<'_>, sent: &Sent<'_>, words: &str) -> Failure {
    let Sent { place, host, login, client_id, redirect_uri, .. } = *sent;
    let client_id = printable(client_id);
    let misconfigured = |message: String| Failure::new(Kind::Misconfigured, message);
    let sign_in = |failure: Failure| {
        // what is stored may be good again once that is changed; where it is not, only a person gets on
        if place == Place::Refresh { failure.hint(format!("then run `keyfob login {login}`")) } else { failure }
    };
    if let Some(remedy) = said.entra().and_then(entra_remedy) {
        return sign_in(misconfigured(format!("`{host}` refused login `{login}` ({words})")).hint(remedy));
    }
    let failure = match said.code {
        "invalid_client" | "incorrect_client_credentials" | "unauthorized_client" | "deleted_client" | "invalid_client_id" => {
            not_accepted(sent, words)
        }
        "unsupported_grant_type" => misconfigured(format!("`{host}` does not do this grant for login `{login}` ({words})"))
            .hint(format!("allow {} for the client `{client_id}` where it is registered", grant(place))),
        "redirect_uri_mismatch" | "invalid_redirect_uri" => {
            misconfigured(format!("`{host}` does not accept the redirect of login `{login}` ({words})"))
                .hint(format!("register {} there, or the exact port that `redirect_port` names", redirect(redirect_uri)))
        }
        "invalid_scope" => misconfigured(format!("`{host}` refused the scopes of login `{login}` ({words})"))
            .hint(format!("change `scopes`, which are: {}", printable(&sent.scopes.join(" ")))),
        "invalid_target" | "invalid_resource" => misconfigured(format!(
            "`{host}` issues no tokens for what login `{login}` asks for ({words})"
        ))
        .hint("check `scopes` of the login: the API that they name has to be known to the server, and open to this client"),
        "use_dpop_nonce" | "invalid_dpop_proof" => misconfigured(format!(
            "`{host}` wants tokens bound to a key (DPoP), which git, docker and AWS tools cannot use ({words})"
        ))
        .hint(format!("let the client `{client_id}` have bearer tokens where it is registered")),
        "invalid_request" => Failure::new(Kind::Refused, format!("`{host}` refused the request of login `{login}` ({words})"))
            .hint(format!("it was sent {}", sent.names.join(", "))),
        code => match of_provider(code, sent, words) {
            Some(failure) => failure,
            None => {
                let status = said.status.map(|status| format!(", status {status}")).unwrap_or_default();
                let failure = Failure::new(Kind::Refused, format!("`{host}` refused ({words}{status})"));
                return failure.hint(format!("run `keyfob login {login}`"));
            }
        },
    };
    sign_in(failure)
}

/// Returns what is said of codes that only some providers send, or only where a client does what we do not.
fn of_provider(code: &str, sent: &Sent<'_>, words: &str) -> Option<Failure> {
    let Sent { host, login, .. } = *sent;
    let client_id = printable(sent.client_id);
    let misconfigured = |message: String| Failure::new(Kind::Misconfigured, message);
    Some(match code {
        "org_internal" => misconfigured(format!("`{host}` keeps this client to accounts of its own organisation ({words})"))
            .hint("sign in with an account of that organisation, or register the client for external users"),
        "admin_policy_enforced" | "access_not_configured" | "application_suspended" => {
            misconfigured(format!("an administrator does not allow login `{login}` at `{host}` ({words})"))
                .hint(format!("ask your administrator to allow the client `{client_id}` and its scopes"))
        }
        "disallowed_useragent" => misconfigured(format!("`{host}` does not let this browser sign in ({words})"))
            .hint("name a full browser in `KEYFOB_BROWSER`, not one inside another program"),
        "interaction_required" | "login_required" | "consent_required" | "account_selection_required" => {
            Failure::new(Kind::Refused, format!("`{host}` wants a further step from you ({words})"))
                .hint(format!("run `keyfob login {login} --flow browser`, or `--flow paste` where no browser is"))
        }
        _ => return None,
    })
}

/// Says which client authentication was tried, and what else there is.
fn not_accepted(sent: &Sent<'_>, words: &str) -> Failure {
    let (host, login, id) = (sent.host, sent.login, printable(sent.client_id));
    let (tried, else_try) = match sent.tried {
        Tried::NoSecret => (
            "without a secret",
            "if it was registered with one, name its file in `client_secret_file`, else allow public clients there",
        ),
        Tried::SecretInBody => (
            "with its secret in the body",
            "check `client_secret_file`, or set `client_auth = \"basic\"`, which sends the secret in the header",
        ),
        Tried::SecretInHeader => (
            "with its secret in the header",
            "check `client_secret_file`, or set `client_auth = \"post\"`, which sends the secret in the body",
        ),
    };
    let mut message = format!("`{host}` does not accept the client of login `{login}` ({words}): it sent `{id}` {tried}");
    if sent.place == Place::Refresh {
        message.push_str(" and the grant `refresh_token`");
    }
    Failure::new(Kind::Misconfigured, message)
        .hint("check `client_id` against what is registered there, and which grants it may use")
        .hint(else_try)
}

fn grant(place: Place) -> &'static str {
    match place {
        Place::Refresh => "the grant `refresh_token`",
        Place::Device | Place::Poll => "the device grant",
        Place::Redirect | Place::Code => "the grant `authorization_code`",
    }
}

fn redirect(uri: &str) -> String {
    if uri.is_empty() { "`http://127.0.0.1/callback`".into() } else { format!("`{}`", printable(uri)) }
}

/// Returns what mends the error of Entra ID with this number, where people meet it and it is no matter of signing in again.
fn entra_remedy(number: u32) -> Option<&'static str> {
    Some(match number {
        50_011 => {
            "in the app registration, under Authentication, add the redirect `http://localhost` or `http://127.0.0.1/callback` to \"Mobile and desktop applications\""
        }
        50_020 => "this account is not in the tenant: choose another, or write the right tenant into `issuer`",
        50_105 => "ask for your account to be assigned to the application (Enterprise applications, Users and groups)",
        65_001 | 90_094 => "an administrator has to consent to the application's permissions first",
        70_011 => "change `scopes` of the login: Entra wants each with its API, as `api://APP/SCOPE`",
        90_002 => "the tenant in `issuer` does not exist: check its id",
        500_011 => "the API that `scopes` name is not known in this tenant: check it, or have it added there",
        700_016 => "no application has this `client_id` in this tenant: check `client_id`, and the tenant in `issuer`",
        700_025 => "the application is a public client: remove `client_secret_file` of the login",
        7_000_215 | 7_000_222 => "the client secret is wrong or has ended: put a new one into `client_secret_file`",
        7_000_218 => {
            "in the app registration, under Authentication, set \"Allow public client flows\" to yes, and move the redirect to \"Mobile and desktop applications\""
        }
        9_002_327 => "the redirect is registered for a single-page application: move it to \"Mobile and desktop applications\"",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(place: Place, tried: Tried, scopes: &[String]) -> Sent<'_> {
        let names = &["grant_type", "code"];
        Sent { place, host: "sso.example.com", login: "corp", client_id: "keyfob", tried, names, scopes, redirect_uri: "" }
    }

    fn said<'a>(code: &'a str, description: Option<&'a str>) -> Said<'a> {
        Said { code, description, status: Some(400) }
    }

    const ALL: [Place; 5] = [Place::Redirect, Place::Code, Place::Refresh, Place::Device, Place::Poll];
    const TOKENS: [Place; 2] = [Place::Code, Place::Refresh];
    const DEVICES: [Place; 2] = [Place::Device, Place::Poll];

    /// Every code that servers are known to send: where, what to do, what kind of failure it is, and words that have to be said.
    #[rustfmt::skip]
    fn table() -> Vec<(&'static str, &'static [Place], Action, Kind, &'static str)> {
        use Kind::{Misconfigured, Refused, Unreachable};
        use Place::{Code, Device, Poll, Redirect, Refresh};
        vec![
            ("authorization_pending", &[Poll], Action::Wait, Refused, "refused"),
            ("slow_down", &[Poll], Action::SlowDown, Refused, "refused"),
            ("slow_down", &[Device, Refresh], Action::Busy, Unreachable, "cannot answer right now"),
            ("expired_token", &[Poll], Action::Expired, Refused, "run `keyfob login corp`"),
            ("access_denied", &[Redirect, Device, Poll], Action::Denied, Refused, "by you or by policy"),
            ("access_denied", &TOKENS, Action::Stop, Refused, "run `keyfob login corp`"),
            ("authorization_declined", &[Poll], Action::Denied, Refused, "by you or by policy"),
            ("invalid_grant", &[Refresh], Action::Over, Refused, "no longer takes the refresh token of `corp`"),
            ("bad_refresh_token", &[Refresh], Action::Over, Refused, "run `keyfob login corp`"),
            ("invalid_grant", &[Code], Action::Over, Refused, "codes last about a minute: run `keyfob login corp`"),
            ("bad_verification_code", &[Code], Action::Over, Refused, "its own code"),
            ("invalid_code", &[Code], Action::Over, Refused, "its own code"),
            ("invalid_code", &[Refresh, Poll], Action::Stop, Refused, "refused (invalid_code"),
            ("invalid_grant", &[Poll], Action::Over, Refused, "the code of this sign-in"),
            ("bad_verification_code", &[Poll], Action::Over, Refused, "the code of this sign-in"),
            ("incorrect_device_code", &[Poll], Action::Over, Refused, "the code of this sign-in"),
            ("invalid_client", &ALL, Action::Stop, Misconfigured, "sent `keyfob` without a secret"),
            ("incorrect_client_credentials", &ALL, Action::Stop, Misconfigured, "check `client_id`"),
            ("deleted_client", &ALL, Action::Stop, Misconfigured, "check `client_id`"),
            ("unauthorized_client", &[Redirect], Action::NextWay, Misconfigured, "flow = \"device\""),
            ("unsupported_response_type", &[Redirect], Action::NextWay, Misconfigured, "flow = \"device\""),
            ("unauthorized_client", &DEVICES, Action::NextWay, Misconfigured, "device_client_id"),
            ("unsupported_grant_type", &DEVICES, Action::NextWay, Misconfigured, "flow = \"browser\""),
            ("device_flow_disabled", &DEVICES, Action::NextWay, Misconfigured, "has no device flow"),
            ("unauthorized_client", &TOKENS, Action::Stop, Misconfigured, "which grants it may use"),
            ("unsupported_grant_type", &[Refresh], Action::Stop, Misconfigured, "allow the grant `refresh_token` for the client `keyfob`"),
            ("unsupported_grant_type", &[Code], Action::Stop, Misconfigured, "allow the grant `authorization_code`"),
            ("invalid_scope", &[Device], Action::LessScope, Misconfigured, "change `scopes`, which are: openid offline_access"),
            ("invalid_scope", &[Redirect, Code, Refresh, Poll], Action::Stop, Misconfigured, "change `scopes`, which are: openid"),
            ("invalid_target", &ALL, Action::Stop, Misconfigured, "the API that they name"),
            ("invalid_resource", &ALL, Action::Stop, Misconfigured, "the API that they name"),
            ("invalid_request", &ALL, Action::Stop, Refused, "it was sent grant_type, code"),
            ("interaction_required", &TOKENS, Action::Interact, Refused, "your organisation asks for it"),
            ("login_required", &TOKENS, Action::Interact, Refused, "further step"),
            ("consent_required", &TOKENS, Action::Interact, Refused, "further step"),
            ("account_selection_required", &TOKENS, Action::Interact, Refused, "further step"),
            ("interaction_required", &[Redirect, Device, Poll], Action::Stop, Refused, "keyfob login corp --flow browser"),
            ("temporarily_unavailable", &ALL, Action::Busy, Unreachable, "try again in a moment"),
            ("server_error", &ALL, Action::Busy, Unreachable, "try again in a moment"),
            ("rate_limit_exceeded", &ALL, Action::Busy, Unreachable, "try again in a moment"),
            ("use_dpop_nonce", &ALL, Action::Stop, Misconfigured, "let the client `keyfob` have bearer tokens"),
            ("invalid_dpop_proof", &ALL, Action::Stop, Misconfigured, "DPoP"),
            ("redirect_uri_mismatch", &ALL, Action::Stop, Misconfigured, "register `http://127.0.0.1/callback` there"),
            ("org_internal", &ALL, Action::Stop, Misconfigured, "an account of that organisation"),
            ("admin_policy_enforced", &ALL, Action::Stop, Misconfigured, "ask your administrator"),
            ("application_suspended", &ALL, Action::Stop, Misconfigured, "ask your administrator"),
            ("disallowed_useragent", &[Redirect], Action::Stop, Misconfigured, "KEYFOB_BROWSER"),
            ("a code of tomorrow", &ALL, Action::Stop, Refused, "refused (a code of tomorrow, status 400)"),
        ]
    }

    #[test]
    fn every_code_has_its_action_and_its_sentence() {
        let scopes = ["openid".to_owned(), "offline_access".to_owned()];
        for (code, places, expected, kind, words) in table() {
            for place in places {
                let (said, sent) = (said(code, None), sent(*place, Tried::NoSecret, &scopes));
                assert_eq!(action(&said, *place), expected, "{code} at {place:?}");
                let failure = sentence(&said, &sent);
                let lines = failure.lines();
                assert_eq!(failure.kind, kind, "{code} at {place:?}: {lines}");
                assert!(lines.contains(words) && lines.contains(code), "{code} at {place:?}: {lines}");
                assert!(!lines.contains(". ") && !lines.ends_with('.'), "no full stop: {lines}");
            }
        }
    }

    #[test]
    fn only_what_has_ended_or_wants_a_person_leads_from_a_renewal_to_a_person() {
        let person = |action| matches!(action, Action::Over | Action::Interact);
        let found: Vec<&str> = table()
            .into_iter()
            .filter(|(code, ..)| person(action(&said(code, None), Place::Refresh)))
            .map(|(code, ..)| code)
            .collect();
        let mut distinct = found.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let expected = [
            "account_selection_required",
            "bad_refresh_token",
            "bad_verification_code",
            "consent_required",
            "interaction_required",
            "invalid_grant",
            "login_required",
        ];
        assert_eq!(distinct, expected);
    }

    #[test]
    fn the_numbers_of_entra_count_before_its_codes() {
        use Place::{Code, Device, Poll, Redirect, Refresh};
        let rows: [(u32, &str, Place, Action, &str); 19] = [
            (50_011, "invalid_request", Redirect, Action::Stop, "Mobile and desktop applications"),
            (50_020, "access_denied", Redirect, Action::Stop, "the right tenant"),
            (50_074, "invalid_grant", Refresh, Action::Interact, "further step"),
            (50_076, "invalid_grant", Refresh, Action::Interact, "further step"),
            (50_079, "interaction_required", Code, Action::Interact, "further step"),
            (50_105, "invalid_grant", Code, Action::Stop, "assigned to the application"),
            (50_158, "interaction_required", Refresh, Action::Interact, "further step"),
            (53_000, "invalid_grant", Refresh, Action::Interact, "your organisation"),
            (53_003, "access_denied", Refresh, Action::Interact, "your organisation"),
            (
                53_003,
                "access_denied",
                Poll,
                Action::NextWay,
                "a policy blocks device codes: run `keyfob login corp --flow browser`, or `--flow paste` where no browser is",
            ),
            (53_003, "invalid_grant", Device, Action::NextWay, "a policy blocks device codes"),
            (65_001, "invalid_grant", Refresh, Action::Interact, "further step"),
            (65_001, "invalid_grant", Poll, Action::Stop, "an administrator has to consent"),
            (90_002, "invalid_request", Device, Action::Stop, "the tenant in `issuer` does not exist"),
            (700_016, "unauthorized_client", Device, Action::Stop, "check `client_id`, and the tenant"),
            (700_025, "invalid_client", Refresh, Action::Stop, "remove `client_secret_file`"),
            (7_000_215, "invalid_client", Code, Action::Stop, "a new one into `client_secret_file`"),
            (7_000_218, "invalid_client", Poll, Action::Stop, "Allow public client flows"),
            (70_008, "invalid_grant", Refresh, Action::Over, "no longer takes the refresh token"),
        ];
        for (number, code, place, expected, words) in rows {
            let description = format!("AADSTS{number}: something. Trace ID: 1\r\nTimestamp: 2");
            let (said, sent) = (said(code, Some(&description)), sent(place, Tried::NoSecret, &[]));
            assert_eq!(action(&said, place), expected, "{number} at {place:?}");
            let lines = sentence(&said, &sent).lines();
            assert!(lines.contains(words) && lines.contains(&format!("AADSTS{number}")), "{number} at {place:?}: {lines}");
        }
        for no_number in ["AADSTS", "AADSTSx", "no AADSTS50076", "AADSTS99999999999999999999"] {
            assert_eq!(action(&said("invalid_grant", Some(no_number)), Refresh), Action::Over, "{no_number}");
        }
    }

    #[test]
    fn the_way_that_a_client_showed_itself_is_named_with_the_other_one() {
        let rows = [
            (Tried::NoSecret, "without a secret", "client_secret_file"),
            (Tried::SecretInBody, "with its secret in the body", "client_auth = \"basic\""),
            (Tried::SecretInHeader, "with its secret in the header", "client_auth = \"post\""),
        ];
        for (tried, was, other) in rows {
            let lines = sentence(&said("invalid_client", None), &sent(Place::Refresh, tried, &[])).lines();
            assert!(lines.contains(was) && lines.contains(other) && lines.contains("keyfob login corp"), "{lines}");
        }
    }

    #[test]
    fn the_redirect_that_was_sent_is_the_one_to_register() {
        let sent = Sent { redirect_uri: "http://127.0.0.1:4711/callback", ..sent(Place::Code, Tried::NoSecret, &[]) };
        let lines = sentence(&said("redirect_uri_mismatch", None), &sent).lines();
        assert!(lines.contains("register `http://127.0.0.1:4711/callback` there"), "{lines}");
    }

    #[test]
    fn an_error_is_found_under_the_names_that_servers_use() {
        let rows = [
            (400, r#"{"error":"invalid_grant"}"#, Some("invalid_grant")),
            (200, r#"{"error":"slow_down"}"#, Some("slow_down")),
            (403, r#"{"error_code":"rate_limit_exceeded"}"#, Some("rate_limit_exceeded")),
            (200, r#"{"error_code":"0","access_token":"at"}"#, None),
            (400, r#"{"error":""}"#, None),
            (400, r#"{"error":{"code":403}}"#, None),
        ];
        for (status, body, expected) in rows {
            let Ok(Value::Object(answer)) = serde_json::from_str(body) else { panic!("{body}") };
            assert_eq!(Said::find(&answer, status).map(|said| said.code), expected, "{body}");
        }
    }
}
