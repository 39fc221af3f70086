//! Redeems and refreshes at the token endpoint, and reads its answers as leniently as real servers need.
use super::Registration;
use crate::failure::{Failure, Kind};
use crate::http::TOTAL;
use crate::terminal::printable;
use helper_protocols::Secret;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// The largest answer that is kept, in bytes: what a record can hold.
const ANSWER: usize = 48 << 10;
/// The longest token that is taken, in bytes.
const TOKEN: usize = 16 << 10;
/// The longest life that is believed: ten years, in seconds.
const LONGEST_LIFE: i64 = 10 * 366 * 86_400;

/// What a token endpoint granted (RFC 6749 §5.1).
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) access_token: Secret,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) id_token: Option<Secret>,
    /// Seconds that the access token lives, 0 to ten years; absent where the server names none.
    pub(crate) expires_in: Option<i64>,
    /// Absent means: as asked for.
    pub(crate) scope: Option<Vec<String>>,
    /// What the server took for the present, in seconds since the epoch.
    pub(crate) server_now: Option<i64>,
}

/// Why there is no grant.
#[derive(Debug)]
pub(crate) enum Denial {
    /// The code or refresh token is not valid, or not any more (RFC 6749 §5.2): only this may lead to a person.
    InvalidGrant(String),
    /// The request may have arrived, and no whole answer came back: what it spent may be spent.
    Lost(Failure),
    /// The server cannot answer right now, and names how many seconds it wants to be left alone, or does not.
    Busy(Failure, Option<i64>),
    /// Anything else; what was stored may still be good.
    Failed(Failure),
}

impl Denial {
    /// Returns what a person reads where no sign-in is at stake.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::InvalidGrant(said) => Failure::new(Kind::Refused, format!("the server does not take this grant ({said})")),
            Self::Lost(failure) | Self::Busy(failure, _) | Self::Failed(failure) => failure,
        }
    }
}

impl Registration<'_> {
    /// Trades an authorization code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).
    ///
    /// # Errors
    /// [`Denial::InvalidGrant`] where the code was used or is too old, [`Denial::Failed`] for everything else.
    pub(crate) fn redeem(&self, endpoint: &Url, code: &Secret, verifier: &Secret, redirect_uri: &str) -> Result<Grant, Denial> {
        self.ask(
            endpoint,
            vec![
                ("grant_type", "authorization_code"),
                ("code", code.expose()),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier.expose()),
            ],
            TOTAL,
        )
    }

    /// Trades `refresh_token` for new tokens (RFC 6749 §6).
    ///
    /// If the answer carries a new refresh token the old one may already be dead, so it must be written before anybody is answered.
    /// If it carries none, the old one stays. An answer is waited for as long as `limit`.
    ///
    /// # Errors
    /// [`Denial::InvalidGrant`] where the sign-in is over; [`Denial::Lost`] where the old token may be spent without a new one;
    /// [`Denial::Failed`] for everything else, network included: the refresh token is still good for all we know.
    pub(crate) fn refresh(&self, endpoint: &Url, refresh_token: &Secret, limit: Duration) -> Result<Grant, Denial> {
        let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        let redirect_uri = self.login.redirect_of_refresh();
        fields.extend(redirect_uri.as_deref().map(|uri| ("redirect_uri", uri)));
        self.ask(endpoint, fields, limit)
    }

    fn ask<'s>(&'s self, endpoint: &Url, mut fields: Vec<(&'s str, &'s str)>, limit: Duration) -> Result<Grant, Denial> {
        let proof = self.authenticate(&mut fields);
        let response = self.http.post_form(endpoint, &fields, proof, limit).map_err(|no_answer| {
            if no_answer.sent { Denial::Lost(no_answer.failure) } else { Denial::Failed(no_answer.failure) }
        })?;
        let host = endpoint.host_str().unwrap_or_default();
        match read_answer(response.status, &response.body, host, &self.login.name) {
            Ok(grant) => Ok(Grant { server_now: response.date, ..grant }),
            Err(Denial::Busy(failure, _)) => Err(Denial::Busy(failure, response.retry_after)),
            Err(other) => Err(other),
        }
    }
}

/// Reads a token endpoint's answer.
///
/// Takes what servers are known to send: `expires_in` as number, text or fraction, negative or absurd; no `token_type`; `scope` as
/// text, with commas, or as an array; an error with status 200 (GitHub). Refuses token types other than Bearer, and tokens with
/// characters outside RFC 6749 A.12, because they would break the lines of a helper protocol. Pure.
pub(super) fn read_answer(status: u16, body: &[u8], host: &str, login: &str) -> Result<Grant, Denial> {
    let failed = |kind, message: String| Denial::Failed(Failure::new(kind, message));
    if status >= 500 || status == 429 {
        return Err(Denial::Busy(
            Failure::new(Kind::Unreachable, format!("`{host}` cannot answer right now (status {status})"))
                .hint("try again in a moment; you are still signed in"),
            None,
        ));
    }
    if body.len() > ANSWER {
        return Err(failed(Kind::Unreachable, format!("`{host}` sent a token answer larger than 48 KiB")));
    }
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(body) else {
        let what = if body.is_empty() { "an empty answer" } else { "something that is not a token answer" };
        return Err(Denial::Failed(Failure::new(Kind::Unreachable, format!("`{host}` sent {what} (status {status})")).hint(
            "a proxy or the network's own sign-in page may stand in between: check `https_proxy`, open a page in a browser",
        )));
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(code) = text("error") {
        return Err(denial(code, text("error_description"), status, host, login));
    }
    let Some(access_token) = text("access_token") else {
        return Err(failed(Kind::Unreachable, format!("`{host}` sent a token answer without an access token (status {status})")));
    };
    if let Some(kind) = text("token_type").filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(failed(
            Kind::Refused,
            format!("`{host}` issued a token of type `{}`, which no tool can use", printable(kind)),
        ));
    }
    let fits = |token: &str| token.len() <= TOKEN && token.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    for name in ["access_token", "refresh_token"] {
        if text(name).is_some_and(|token| !fits(token)) {
            return Err(failed(
                Kind::Refused,
                format!("`{host}` issued a token that no tool can carry: its {name} is too long or has control characters"),
            ));
        }
    }
    let secret = |name: &str| text(name).map(|value| Secret::new(value.to_owned()));
    Ok(Grant {
        access_token: Secret::new(access_token.to_owned()),
        refresh_token: secret("refresh_token"),
        // one that is too large is left out, for the tokens beside it are spent for
        id_token: secret("id_token").filter(|token| fits(token.expose())),
        expires_in: answer.get("expires_in").and_then(seconds),
        scope: answer.get("scope").and_then(scopes),
        server_now: None,
    })
}

/// Returns what an error code of the token endpoint means, in words for a person.
pub(super) fn denial(code: &str, description: Option<&str>, status: u16, host: &str, login: &str) -> Denial {
    let said = description.map_or_else(|| printable(code), |text| format!("{}: {}", printable(code), printable(text)));
    let failure = |kind, message: String| Failure::new(kind, message);
    match code {
        // GitHub's words for the same thing are in its documentation of refreshing user access tokens
        "invalid_grant" | "bad_refresh_token" | "bad_verification_code" => Denial::InvalidGrant(said),
        "invalid_client" | "unauthorized_client" | "incorrect_client_credentials" => Denial::Failed(
            failure(Kind::Misconfigured, format!("`{host}` does not accept the client of login `{login}` ({said})"))
                .hint("check `client_id`, `client_secret_file` and `client_auth` against what is registered there"),
        ),
        "redirect_uri_mismatch" => Denial::Failed(
            failure(Kind::Misconfigured, format!("`{host}` does not accept the redirect of login `{login}` ({said})"))
                .hint("register `http://127.0.0.1/callback` there, or the exact port that `redirect_port` names"),
        ),
        "temporarily_unavailable" | "server_error" => Denial::Busy(
            failure(Kind::Unreachable, format!("`{host}` cannot answer right now ({said})"))
                .hint("try again in a moment; you are still signed in"),
            None,
        ),
        _ => Denial::Failed(failure(Kind::Refused, format!("`{host}` refused ({said}, status {status})"))),
    }
}

/// Reads a life in seconds, clamped to 0 to ten years, so that no arithmetic on it can overflow.
pub(super) fn seconds(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a float is clamped by the cast, then by the bounds")]
    let number = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) => {
            let text = text.trim();
            text.parse::<i64>()
                .ok()
                .or_else(|| text.parse::<f64>().ok().filter(|float| float.is_finite()).map(|float| float as i64))
        }
        _ => None,
    };
    number.map(|seconds| seconds.clamp(0, LONGEST_LIFE))
}

fn scopes(value: &Value) -> Option<Vec<String>> {
    let words = |text: &str| text.split([' ', ',']).filter(|word| !word.is_empty()).map(printable).collect::<Vec<_>>();
    match value {
        Value::String(text) => Some(words(text)),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).flat_map(words).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Grant, Denial> {
        read_answer(status, body.as_bytes(), "sso.example.com", "corp")
    }

    #[test]
    fn every_known_form_of_a_life_is_read() {
        let rows = [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("3600.9", Some(3600)),
            ("\"3600.5\"", Some(3600)),
            ("-1", Some(0)),
            ("18446744073709551615", Some(LONGEST_LIFE)),
            ("1e300", Some(LONGEST_LIFE)),
            ("\"never\"", None),
            ("null", None),
            ("[1]", None),
        ];
        for (text, expected) in rows {
            let grant = read(200, &format!(r#"{{"access_token":"at","expires_in":{text}}}"#)).unwrap();
            assert_eq!(grant.expires_in, expected, "{text}");
        }
        assert_eq!(read(200, r#"{"access_token":"at"}"#).unwrap().expires_in, None);
    }

    #[test]
    fn every_known_form_of_a_scope_is_read() {
        let rows = [("\"a b\"", vec!["a", "b"]), ("\"a,b\"", vec!["a", "b"]), (r#"["a","b c"]"#, vec!["a", "b", "c"])];
        for (text, expected) in rows {
            let grant = read(201, &format!(r#"{{"access_token":"at","token_type":"bearer","scope":{text}}}"#)).unwrap();
            assert_eq!(grant.scope.unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_id_token_that_no_record_could_keep_is_left_out_and_the_rest_is_taken() {
        for id_token in ["x".repeat(TOKEN + 1), "a\\nb".into()] {
            let grant = read(200, &format!(r#"{{"access_token":"at","refresh_token":"rt","id_token":"{id_token}"}}"#)).unwrap();
            assert!(grant.id_token.is_none() && grant.refresh_token.is_some());
        }
    }

    #[test]
    fn only_an_invalid_grant_may_lead_to_a_person() {
        let rows = [
            (400, r#"{"error":"invalid_grant","error_description":"gone"}"#, None),
            (200, r#"{"error":"bad_refresh_token"}"#, None),
            (401, r#"{"error":"invalid_client"}"#, Some(Kind::Misconfigured)),
            (400, r#"{"error":"temporarily_unavailable"}"#, Some(Kind::Unreachable)),
            (503, "<html>down</html>", Some(Kind::Unreachable)),
            (500, r#"{"error":"invalid_grant"}"#, Some(Kind::Unreachable)),
            (429, "", Some(Kind::Unreachable)),
            (200, "<html>proxy</html>", Some(Kind::Unreachable)),
            (400, "", Some(Kind::Unreachable)),
            (200, "[]", Some(Kind::Unreachable)),
            (200, r#"{"access_token":""}"#, Some(Kind::Unreachable)),
            (200, r#"{"access_token":7}"#, Some(Kind::Unreachable)),
            (200, r#"{"access_token":"at","token_type":"DPoP"}"#, Some(Kind::Refused)),
            (200, r#"{"access_token":"a\nhost=evil"}"#, Some(Kind::Refused)),
            (400, r#"{"error":"odd"}"#, Some(Kind::Refused)),
        ];
        for (status, body, expected) in rows {
            match (read(status, body).unwrap_err(), expected) {
                (Denial::InvalidGrant(_), None) => {}
                (Denial::Failed(failure) | Denial::Busy(failure, _), Some(kind)) => {
                    assert_eq!(failure.kind, kind, "{status} {body}");
                }
                (found, expected) => panic!("{status} {body}: {found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn no_refusal_repeats_a_token_or_a_control_character() {
        for body in [
            r#"{"access_token":"topsecret\u001b","refresh_token":"rt"}"#,
            r#"{"error":"x\u001b[2J","error_description":"\u202egnip\u0007"}"#,
            r#"{"access_token":"topsecret","token_type":"\u001bmac"}"#,
        ] {
            let text = read(200, body).unwrap_err().failure().lines();
            assert!(!text.contains("topsecret") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
        }
    }
}
