//! Asks a server to revoke tokens (RFC 7009), once more where it is busy.
use super::Registration;
use crate::http::{NoAnswer, Response};
use crate::terminal::printable;
use helper_protocols::Secret;
use std::time::{Duration, Instant};
use url::Url;

/// How long one answer is waited for: somebody who signs out looks on.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a busy server is left alone that does not say, and for how long at most one that does, in seconds.
const BUSY: (i64, i64) = (1, 5);
/// How soon an answer must be lost for the request to be sent once more.
const HASTE: Duration = Duration::from_secs(2);

/// What became of one token at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is no longer good.
    Revoked,
    /// The server does not revoke tokens of this kind, as those that it has signed and forgotten (§2.2.1).
    NotThisKind,
    /// The server would not, and said this.
    Refused(String),
    /// For this reason no answer came, or none that says anything.
    Unreached(String),
}

impl Registration<'_> {
    /// Asks the server at `endpoint` to revoke `token`, of the kind that `hint` names (§2.1). A busy server is asked once more.
    pub(crate) fn revoke(&self, endpoint: &Url, token: &Secret, hint: &str) -> Fate {
        let ask = || {
            let mut fields = vec![("token", token.expose()), ("token_type_hint", hint)];
            let proof = self.authenticate(&mut fields);
            self.http.post_form(endpoint, &fields, proof, LIMIT)
        };
        let begun = Instant::now();
        let first = ask();
        let fate = match pause(&first, begun.elapsed()) {
            Some(pause) => {
                std::thread::sleep(pause);
                ask()
            }
            None => first,
        };
        fate.map_or_else(|no_answer| Fate::Unreached(no_answer.failure.message), |answer| judge(answer.status, &answer.body))
    }
}

/// After how long the same should be asked once more; none where that would change nothing, or not soon.
fn pause(answer: &Result<Response, NoAnswer>, took: Duration) -> Option<Duration> {
    match answer {
        Ok(answer) if is_busy(answer.status) => {
            let seconds = answer.retry_after.unwrap_or(BUSY.0);
            u64::try_from(seconds).ok().filter(|_| seconds <= BUSY.1).map(Duration::from_secs)
        }
        // what was revoked twice is revoked
        Err(no_answer) if no_answer.sent && took < HASTE => Some(Duration::ZERO),
        _ => None,
    }
}

const fn is_busy(status: u16) -> bool {
    status >= 500 || status == 429
}

/// Reads an answer. A token that the server does not know counts as revoked (§2.2), also where it says so by an error. Pure.
fn judge(status: u16, body: &[u8]) -> Fate {
    if (200..300).contains(&status) {
        return Fate::Revoked;
    }
    if is_busy(status) {
        return Fate::Unreached(format!("it answered with status {status}"));
    }
    let answer = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
    match (text("error"), text("error_description")) {
        (Some("unsupported_token_type"), _) => Fate::NotThisKind,
        (Some("invalid_token"), _) => Fate::Revoked,
        (Some(error), Some(description)) => {
            Fate::Refused(format!("{}: {}, status {status}", printable(error), printable(description)))
        }
        (Some(error), None) => Fate::Refused(format!("{}, status {status}", printable(error))),
        (None, _) => Fate::Refused(format!("status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, Kind};

    #[test]
    fn an_answer_says_what_became_of_the_token() {
        let refused = |text: &str| Fate::Refused(text.to_owned());
        let rows = [
            (200, "", Fate::Revoked),
            (200, r#"{"error":"odd"}"#, Fate::Revoked),
            (204, "", Fate::Revoked),
            (400, r#"{"error":"unsupported_token_type","error_description":"a JWT"}"#, Fate::NotThisKind),
            (400, r#"{"error":"invalid_token"}"#, Fate::Revoked),
            (401, "", refused("status 401")),
            (
                401,
                r#"{"error":"invalid_client","error_description":"no\u001b[2J"}"#,
                refused("invalid_client: no[2J, status 401"),
            ),
            (400, r#"{"error":"\u202einvalid_request"}"#, refused("invalid_request, status 400")),
            (404, "<html>", refused("status 404")),
            (302, "", refused("status 302")),
            (503, "", Fate::Unreached("it answered with status 503".into())),
            (500, r#"{"error":"invalid_token"}"#, Fate::Unreached("it answered with status 500".into())),
            (429, "", Fate::Unreached("it answered with status 429".into())),
        ];
        for (status, body, expected) in rows {
            assert_eq!(judge(status, body.as_bytes()), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_busy_server_is_asked_once_more_where_that_is_soon() {
        let answer =
            |status, retry_after| Ok(Response { status, date: None, retry_after, body: zeroize::Zeroizing::new(Vec::new()) });
        let lost = |sent| Err(NoAnswer { failure: Failure::new(Kind::Unreachable, "x"), sent });
        let (soon, late) = (Duration::ZERO, HASTE);
        let rows = [
            (answer(503, Some(3)), soon, Some(3)),
            (answer(503, Some(0)), soon, Some(0)),
            (answer(503, None), soon, Some(1)),
            (answer(503, Some(6)), soon, None),
            (answer(503, Some(i64::MAX)), soon, None),
            (answer(429, Some(5)), soon, Some(5)),
            (answer(200, Some(3)), soon, None),
            (answer(401, None), soon, None),
            (lost(true), soon, Some(0)),
            (lost(true), late, None),
            (lost(false), soon, None),
        ];
        for (answer, took, seconds) in rows {
            assert_eq!(pause(&answer, took), seconds.map(Duration::from_secs), "{answer:?} after {took:?}");
        }
    }
}
