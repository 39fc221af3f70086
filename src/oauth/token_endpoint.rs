//! Redeems and refreshes at the token endpoint, and reads its answers as leniently as real servers need.
use super::Registration;
use super::error_codes::{Action, Place, Said, Sent, action, busy, sentence, silent};
use crate::failure::{Failure, Kind};
use crate::http::TOTAL;
use crate::terminal::printable;
use helper_protocols::Secret;
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;

/// The largest answer that is kept, in bytes: what a record can hold.
const ANSWER: usize = 48 << 10;
/// The longest token that is taken, in bytes.
const TOKEN: usize = 16 << 10;
/// The longest life that is believed: ten years, in seconds.
const LONGEST_LIFE: i64 = 10 * 366 * 86_400;
/// The most of a claims request that is passed on, in bytes: it becomes a part of an address.
const CLAIMS: usize = 4 << 10;

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
    /// The code or refresh token is not valid, or not any more (RFC 6749 §5.2): a refresh token that ended leads to a person.
    Over(Failure),
    /// A person has to go through a further step; the claims that are to be asked for there, where the server names any.
    Interact(Failure, Option<Claims>),
    /// The request did not go out: what it would have spent is as good as before.
    Unsent(Failure),
    /// The request may have arrived, and no whole answer came back: what it spent may be spent.
    Lost(Failure),
    /// The server cannot answer right now, and names how many seconds it wants to be left alone, or does not.
    Busy(Failure, Option<i64>),
    /// Any other answer; what was stored may still be good.
    Failed(Failure),
}

impl Denial {
    /// Returns what a person reads.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Over(failure)
            | Self::Interact(failure, _)
            | Self::Unsent(failure)
            | Self::Lost(failure)
            | Self::Busy(failure, _)
            | Self::Failed(failure) => failure,
        }
    }
}

/// What an authorization server wants to be asked for in the next authorization request: a JSON object (OpenID Connect Core §5.5),
/// [`CLAIMS`] bytes at most. It is passed on as it came, to the server that it came from.
#[derive(Clone, Debug)]
pub(crate) struct Claims(String);

impl Claims {
    /// Reads `claims` of a refusal (Entra ID sends them as text).
    fn find(answer: &Map<String, Value>) -> Option<Self> {
        let text = answer.get("claims")?.as_str().filter(|text| text.len() <= CLAIMS)?;
        matches!(serde_json::from_str(text), Ok(Value::Object(_))).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Registration<'_> {
    /// Trades an authorization code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).
    ///
    /// # Errors
    /// [`Denial::Over`] where the code was used or is too old, [`Denial::Interact`] where the person has to do more, [`Denial::Failed`]
    /// for everything else.
    pub(crate) fn redeem(&self, endpoint: &Url, code: &Secret, verifier: &Secret, redirect_uri: &str) -> Result<Grant, Denial> {
        let sent = Sent { redirect_uri, ..self.sent(Place::Code, endpoint) };
        self.ask(
            endpoint,
            sent,
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
    /// [`Denial::Over`] where the sign-in is over, [`Denial::Interact`] where a person has to prove more; [`Denial::Lost`] where the old
    /// token may be spent without a new one;
    /// [`Denial::Failed`] for everything else, network included: the refresh token is still good for all we know.
    pub(crate) fn refresh(&self, endpoint: &Url, refresh_token: &Secret, limit: Duration) -> Result<Grant, Denial> {
        let sent = self.sent(Place::Refresh, endpoint);
        let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        let redirect_uri = self.login.redirect_of_refresh();
        fields.extend(redirect_uri.as_deref().map(|uri| ("redirect_uri", uri)));
        self.ask(endpoint, sent, fields, limit)
    }

    fn ask<'s>(
        &'s self,
        endpoint: &Url,
        sent: Sent<'_>,
        mut fields: Vec<(&'s str, &'s str)>,
        limit: Duration,
    ) -> Result<Grant, Denial> {
        let proof = self.authenticate(&mut fields);
        let response = self.http.post_form(endpoint, &fields, proof, limit).map_err(|no_answer| {
            if no_answer.sent { Denial::Lost(no_answer.failure) } else { Denial::Unsent(no_answer.failure) }
        })?;
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        match read_answer(response.status, &response.body, &Sent { names: &names, ..sent }) {
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
pub(super) fn read_answer(status: u16, body: &[u8], sent: &Sent<'_>) -> Result<Grant, Denial> {
    let host = sent.host;
    let failed = |kind, message: String| Denial::Failed(Failure::new(kind, message));
    if status >= 500 || status == 429 {
        return Err(Denial::Busy(busy(sent, &format!("status {status}")), None));
    }
    if body.is_empty() && matches!(status, 400 | 401 | 403) {
        return Err(Denial::Failed(silent(sent, status)));
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
    if let Some(said) = Said::find(&answer, status) {
        return Err(denial(&said, sent, Claims::find(&answer)));
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(access_token) = text("access_token") else {
        return Err(failed(Kind::Unreachable, format!("`{host}` sent a token answer without an access token (status {status})")));
    };
    if !(200..=299).contains(&status) {
        return Err(failed(Kind::Unreachable, format!("`{host}` sent a token with an answer that is none (status {status})")));
    }
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

/// Returns what `said` means to who `sent` a code or token; `claims` came with it.
fn denial(said: &Said<'_>, sent: &Sent<'_>, claims: Option<Claims>) -> Denial {
    let failure = sentence(said, sent);
    match action(said, sent.place) {
        Action::Over => Denial::Over(failure),
        Action::Interact => Denial::Interact(failure, claims),
        Action::Busy => Denial::Busy(failure, None),
        _ => Denial::Failed(failure),
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
    use super::super::error_codes::Tried;
    use super::*;

    fn read_at(place: Place, status: u16, body: &str) -> Result<Grant, Denial> {
        let sent = Sent {
            place,
            host: "sso.example.com",
            login: "corp",
            client_id: "keyfob",
            tried: Tried::NoSecret,
            names: &["grant_type"],
            scopes: &[],
            redirect_uri: "",
        };
        read_answer(status, body.as_bytes(), &sent)
    }

    fn read(status: u16, body: &str) -> Result<Grant, Denial> {
        read_at(Place::Refresh, status, body)
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
    fn only_an_invalid_grant_or_a_further_step_leads_to_a_person() {
        let rows = [
            (400, r#"{"error":"invalid_grant","error_description":"gone"}"#, None),
            (200, r#"{"error":"bad_refresh_token"}"#, None),
            (400, r#"{"error":"interaction_required"}"#, None),
            (400, r#"{"error":"invalid_grant","error_description":"AADSTS50076: use a second factor"}"#, None),
            (401, r#"{"error":"invalid_client"}"#, Some(Kind::Misconfigured)),
            (400, r#"{"error":"temporarily_unavailable"}"#, Some(Kind::Unreachable)),
            (503, "<html>down</html>", Some(Kind::Unreachable)),
            (500, r#"{"error":"invalid_grant"}"#, Some(Kind::Unreachable)),
            (429, "", Some(Kind::Unreachable)),
            (200, "<html>proxy</html>", Some(Kind::Unreachable)),
            (400, "", Some(Kind::Refused)),
            (401, "", Some(Kind::Refused)),
            (403, "", Some(Kind::Refused)),
            (404, "", Some(Kind::Unreachable)),
            (403, "<html>blocked</html>", Some(Kind::Unreachable)),
            (403, r#"{"error":"access_denied"}"#, Some(Kind::Refused)),
            (400, r#"{"error":"unsupported_grant_type"}"#, Some(Kind::Misconfigured)),
            (200, "[]", Some(Kind::Unreachable)),
            (200, r#"{"access_token":""}"#, Some(Kind::Unreachable)),
            (200, r#"{"access_token":7}"#, Some(Kind::Unreachable)),
            (302, r#"{"access_token":"at"}"#, Some(Kind::Unreachable)),
            (404, r#"{"access_token":"at"}"#, Some(Kind::Unreachable)),
            (200, r#"{"access_token":"at","token_type":"DPoP"}"#, Some(Kind::Refused)),
            (200, r#"{"access_token":"a\nhost=evil"}"#, Some(Kind::Refused)),
            (400, r#"{"error":"odd"}"#, Some(Kind::Refused)),
        ];
        for (status, body, expected) in rows {
            match (read(status, body).unwrap_err(), expected) {
                (Denial::Over(_) | Denial::Interact(..), None) => {}
                (Denial::Failed(failure) | Denial::Busy(failure, _), Some(kind)) => {
                    assert_eq!(failure.kind, kind, "{status} {body}");
                }
                (found, expected) => panic!("{status} {body}: {found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn claims_are_passed_on_only_with_a_further_step_and_only_as_a_bounded_object() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(CLAIMS));
        let rows = [
            (serde_json::json!(r#"{"access_token":{"polids":{"essential":true}}}"#), true),
            (serde_json::json!({ "access_token": {} }), false),
            (serde_json::json!("[1]"), false),
            (serde_json::json!("{"), false),
            (serde_json::json!(long), false),
            (Value::Null, false),
        ];
        for (claims, expected) in rows {
            let body = serde_json::json!({ "error": "interaction_required", "claims": claims }).to_string();
            match read(400, &body).unwrap_err() {
                Denial::Interact(_, found) => {
                    let found = found.map(|found| found.as_str().to_owned());
                    assert_eq!(found.as_deref(), claims.as_str().filter(|_| expected), "{claims}");
                }
                other => panic!("{claims}: {other:?}"),
            }
        }
    }

    #[test]
    fn that_a_person_is_still_signed_in_is_said_only_of_a_renewal() {
        for (place, expected) in [(Place::Refresh, true), (Place::Code, false), (Place::Poll, false)] {
            for (status, body) in [(503, ""), (429, "{}"), (400, r#"{"error":"server_error"}"#)] {
                let lines = read_at(place, status, body).unwrap_err().failure().lines();
                assert_eq!(lines.contains("still signed in"), expected, "{place:?} {status}: {lines}");
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
