//! The device authorization grant (RFC 8628): asking for a code, reading what polls bring, and deciding when the next one may go out.
use super::Registration;
use super::error_codes::{Action, Place, Said, Sent, action, busy, no_device_flow, sentence};
use super::leads_on;
use super::token_endpoint::{Grant, read_answer, seconds};
use crate::failure::{Failure, Kind};
use crate::http::{Response, TOTAL};
use crate::terminal::printable;
use helper_protocols::Secret;
use oauth2::PkceCodeChallenge;
use serde_json::{Map, Value};
use std::time::{Duration, Instant};
use url::Url;

/// The grant type of a poll.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The largest answer to a device authorization request, in bytes.
const ANSWER: usize = 48 << 10;
/// The longest device code that is taken, in bytes.
const DEVICE_CODE: usize = 16 << 10;
/// The longest user code that a person is shown, in characters.
const USER_CODE: usize = 64;
/// The longest address that a person is shown: what [`printable`] leaves whole.
const ADDRESS: usize = 200;
/// The scope that is left out where a server refuses the scopes: without it a sign-in still works, though not for long.
const OPTIONAL: &str = "offline_access";
/// The seconds between polls where the server names none (RFC 8628 §3.2).
const INTERVAL: i64 = 5;
/// What `slow_down` adds to them, at least (RFC 8628 §3.5).
const SLOWER: i64 = 5;
/// The longest that a code is waited for, in seconds, and what it is taken to last where the server does not say.
pub(crate) const LONGEST: i64 = 1800;
const UNSAID: i64 = 300;
/// The longest pause after a poll that brought no answer, unless the interval or the server's own word is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a server gave for a person to sign in with (RFC 8628 §3.2).
#[derive(Debug)]
pub(crate) struct Authorization {
    pub(crate) device_code: Secret,
    /// Printable, as the person has to type it.
    pub(crate) user_code: String,
    /// Printable, [`ADDRESS`] characters at most.
    pub(crate) verification_uri: Url,
    /// The same with the code in it.
    pub(crate) verification_uri_complete: Option<Url>,
    /// Seconds, 1 to [`LONGEST`].
    pub(crate) expires_in: i64,
    /// Seconds between polls, 1 or more.
    pub(crate) interval: i64,
    /// What a server that wants PKCE compares with the request.
    pub(crate) verifier: Option<Secret>,
}

/// Why there is no code to show.
#[derive(Debug)]
pub(crate) enum NoCode {
    /// This server, or this client there, does not do it: another flow may.
    NotOffered(Failure),
    /// Not with these scopes: with fewer it may.
    LessScope(Failure),
    Failed(Failure),
}

/// What one poll brought.
#[derive(Debug)]
pub(crate) enum Heard {
    Granted(Box<Grant>),
    /// The person has not finished.
    Pending,
    /// The polls come too fast; the interval that the server wants, in seconds, where it says so.
    SlowDown(Option<i64>),
    /// No answer, or none that says anything of the code: why, and for how many seconds the server wants to be left alone.
    Trouble(String, Option<i64>),
    /// The person, or policy, said no.
    Denied(Failure),
    Expired,
    /// The server, or this client there, does not do it after all.
    NotOffered(Failure),
    Failed(Failure),
}

/// What to do after a poll.
#[derive(Debug)]
pub(crate) enum Step {
    /// Poll again, not before this time since the waiting began.
    Wait(Duration),
    Granted(Box<Grant>),
    Denied(Failure),
    /// The code has ended, or will before it may be asked for again; what is in the way, where something is.
    Expired(Option<String>),
    NotOffered(Failure),
    Failed(Failure),
}

/// How fast one code is polled, and until when. All times count from where its waiting began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The server's own, in seconds.
    pub(crate) interval: i64,
    /// How often it said that polls come too fast.
    pub(crate) slow_downs: u32,
    end: Duration,
    /// Polls without an answer, in a row.
    troubles: u32,
    trouble: Option<String>,
}

impl Pace {
    /// Returns the pace of a code that lasts `left` more seconds.
    pub(crate) fn new(interval: i64, slow_downs: u32, left: i64) -> Self {
        let end = Duration::from_secs(left.clamp(0, LONGEST).unsigned_abs());
        Self { interval, slow_downs, end, troubles: 0, trouble: None }
    }

    /// Decides when the first poll may go out: after one interval, also where somebody else polled before.
    pub(crate) fn first(&self) -> Step {
        self.after(self.pause(), Duration::ZERO)
    }

    /// Decides what follows a poll that brought `heard` at `now`. Pure: does not look at the clock.
    ///
    /// The pause is counted from the answer, never from the request. `slow_down` lengthens it for good; a poll without an answer
    /// doubles it until one comes (RFC 8628 §3.5).
    pub(crate) fn next(&mut self, heard: Heard, now: Duration) -> Step {
        let mut wanted = Duration::ZERO;
        match heard {
            Heard::Granted(grant) => return Step::Granted(grant),
            Heard::Denied(failure) => return Step::Denied(failure),
            Heard::Expired => return Step::Expired(None),
            Heard::NotOffered(failure) => return Step::NotOffered(failure),
            Heard::Failed(failure) => return Step::Failed(failure),
            Heard::Trouble(why, retry_after) => {
                self.troubles = self.troubles.saturating_add(1);
                self.trouble = Some(why);
                wanted = Duration::from_secs(retry_after.unwrap_or(0).unsigned_abs());
            }
            Heard::Pending => self.recover(),
            Heard::SlowDown(interval) => {
                self.recover();
                self.interval = self.interval.saturating_add(SLOWER).max(interval.unwrap_or(0));
                self.slow_downs = self.slow_downs.saturating_add(1);
                self.trouble = Some(format!("the server wants {} seconds between two questions", self.interval));
            }
        }
        self.after(self.pause().max(wanted), now)
    }

    fn recover(&mut self) {
        self.troubles = 0;
        self.trouble = None;
    }

    /// The interval and a tenth of it, for clocks that run fast (virtual machines have such); each `slow_down` makes it a tenth more.
    fn pause(&self) -> Duration {
        let interval = Duration::from_secs(self.interval.clamp(1, LONGEST).unsigned_abs());
        let kept = interval + interval / 10 * (1 + self.slow_downs.min(4));
        let doubled = kept.saturating_mul(1 << self.troubles.min(10));
        doubled.min(LONGEST_PAUSE.max(kept))
    }

    fn after(&self, pause: Duration, now: Duration) -> Step {
        let due = now.saturating_add(pause);
        if due >= self.end { Step::Expired(self.trouble.clone()) } else { Step::Wait(due) }
    }

    /// Whether the code has ended at `now`.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        now >= self.end
    }
}

impl Registration<'_> {
    /// Asks for a device code and a code for a person (RFC 8628 §3.1), with PKCE where the login says that the server wants it.
    ///
    /// A server that refuses the scopes is asked once more without `offline_access`, which some do not know.
    ///
    /// # Errors
    /// See [`NoCode`].
    pub(crate) fn request_device_code(&self, endpoint: &Url) -> Result<Authorization, NoCode> {
        let all: Vec<&str> = self.login.scopes.iter().map(String::as_str).collect();
        let begun = Instant::now();
        match self.request_with_scopes(endpoint, &all, TOTAL) {
            Err(NoCode::LessScope(_)) if all.contains(&OPTIONAL) => {
                let rest: Vec<&str> = all.into_iter().filter(|scope| *scope != OPTIONAL).collect();
                self.request_with_scopes(endpoint, &rest, TOTAL.saturating_sub(begun.elapsed()))
            }
            other => other,
        }
    }

    fn request_with_scopes(&self, endpoint: &Url, scopes: &[&str], limit: Duration) -> Result<Authorization, NoCode> {
        let scope = scopes.join(" ");
        let mut fields = Vec::new();
        if !scope.is_empty() {
            fields.push(("scope", scope.as_str()));
        }
        let pkce = self.login.device.pkce.then(PkceCodeChallenge::new_random_sha256);
        if let Some((challenge, _)) = &pkce {
            fields.push(("code_challenge", challenge.as_str()));
            fields.push(("code_challenge_method", "S256"));
        }
        let proof = self.authenticate(&mut fields);
        let response = self.http.post_form(endpoint, &fields, proof, limit).map_err(|none| NoCode::Failed(none.into()))?;
        let base = self.login.issuer.as_ref().unwrap_or(endpoint);
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let mut authorization =
            read_authorization(&response, base, &Sent { names: &names, ..self.sent(Place::Device, endpoint) })?;
        authorization.verifier = pkce.map(|(_, verifier)| Secret::new(verifier.into_secret()));
        Ok(authorization)
    }

    /// Asks once whether the person has finished (RFC 8628 §3.4).
    pub(crate) fn poll(&self, endpoint: &Url, device_code: &Secret, verifier: Option<&Secret>) -> Heard {
        let mut fields = vec![("grant_type", GRANT), ("device_code", device_code.expose())];
        if let Some(verifier) = verifier {
            fields.push(("code_verifier", verifier.expose()));
        }
        let proof = self.authenticate(&mut fields);
        match self.http.post_form(endpoint, &fields, proof, TOTAL).map_err(Failure::from) {
            Ok(response) => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                read_poll(&response, &Sent { names: &names, ..self.sent(Place::Poll, endpoint) })
            }
            Err(failure) if failure.kind == Kind::Unreachable => Heard::Trouble(failure.message, None),
            Err(failure) => Heard::Failed(failure),
        }
    }
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// Returns the text under the first of `names` that has one.
fn text<'o>(object: &'o Map<String, Value>, names: &[&str]) -> Option<&'o str> {
    names.iter().find_map(|name| object.get(*name).and_then(Value::as_str).filter(|text| !text.is_empty()))
}

/// Reads the answer to a device authorization request that was `sent`. Pure.
///
/// Takes what servers are known to send: `verification_url` (Google), lives and intervals as text or fraction, or none. Refuses what a
/// person could not be shown, or would be led astray by: `base` is what the person configured.
fn read_authorization(response: &Response, base: &Url, sent: &Sent<'_>) -> Result<Authorization, NoCode> {
    let (status, host) = (response.status, sent.host);
    let failed = |kind, message: String| NoCode::Failed(Failure::new(kind, message));
    if status >= 500 || status == 429 {
        return Err(NoCode::Failed(busy(sent, &format!("status {status}"))));
    }
    let answer = object(&response.body).filter(|_| response.body.len() <= ANSWER);
    if let Some(said) = answer.as_ref().and_then(|answer| Said::find(answer, status)) {
        let failure = sentence(&said, sent);
        return Err(match action(&said, sent.place) {
            Action::NextWay => NoCode::NotOffered(failure),
            Action::LessScope => NoCode::LessScope(failure),
            _ => NoCode::Failed(failure),
        });
    }
    if matches!(status, 404 | 405) {
        return Err(NoCode::NotOffered(no_device_flow(sent, &format!("status {status}"), None)));
    }
    let Some(answer) = answer.filter(|_| (200..=299).contains(&status)) else {
        return Err(failed(Kind::Unreachable, format!("`{host}` sent something that is no device code (status {status})")));
    };
    let refused = |what: &str| failed(Kind::Refused, format!("`{host}` sent a device code that cannot be used: {what}"));
    let device_code = text(&answer, &["device_code"])
        .filter(|code| code.len() <= DEVICE_CODE && code.bytes().all(|byte| (0x20..=0x7e).contains(&byte)))
        .ok_or_else(|| refused("its device_code is missing, too long or has control characters"))?;
    let user_code = text(&answer, &["user_code"])
        .filter(|code| code.chars().count() <= USER_CODE && printable(code) == **code && !code.trim().is_empty())
        .ok_or_else(|| refused("its user_code is missing, too long or has control characters"))?;
    let address = |names: &[&str]| text(&answer, names).map(|text| (text, shown_address(text, base)));
    let verification_uri = match address(&["verification_uri", "verification_url"]) {
        Some((_, Some(url))) => url,
        Some((text, None)) => return Err(refused(&format!("it sends people to `{}`", printable(text)))),
        None => return Err(refused("it does not say where to enter it")),
    };
    let expires_in = answer.get("expires_in").and_then(seconds).unwrap_or(UNSAID).min(LONGEST);
    let interval = answer.get("interval").and_then(seconds).unwrap_or(INTERVAL).max(1);
    if expires_in <= interval {
        return Err(refused(&format!("it lasts {expires_in} seconds, and may be asked for every {interval}")));
    }
    Ok(Authorization {
        device_code: Secret::new(device_code.to_owned()),
        user_code: user_code.to_owned(),
        verification_uri,
        verification_uri_complete: address(&["verification_uri_complete", "verification_url_complete"]).and_then(|(_, url)| url),
        expires_in,
        interval,
        verifier: None,
    })
}

/// Returns the address in `text` where a person may be sent there: https, or what [`leads_on`] allows, and short enough to be shown.
fn shown_address(text: &str, base: &Url) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| leads_on(base, url))?;
    (url.as_str().len() <= ADDRESS && url.as_str().bytes().all(|byte| byte.is_ascii_graphic())).then_some(url)
}

/// Reads the answer to a poll. Pure.
///
/// The error code counts, whatever the status: servers send `authorization_pending` with 200 (GitHub), 400, 403 and 428 (Google).
/// Pages of proxies, redirects and server errors say nothing of the code, so waiting goes on; a refusal that says nothing ends it.
fn read_poll(response: &Response, sent: &Sent<'_>) -> Heard {
    let (status, host) = (response.status, sent.host);
    let answer = object(&response.body);
    let said = answer.as_ref().and_then(|answer| Said::find(answer, status));
    let trouble = |what: &str| Heard::Trouble(format!("`{host}` {what} (status {status})"), response.retry_after);
    let no_answer = "sent something that is no answer to a poll";
    let Some(said) = said else {
        return match status {
            428 => Heard::Pending,
            408 | 425 | 429 | 500.. => trouble("could not answer"),
            300..=399 if answer.is_none() => trouble(no_answer),
            403 if answer.is_none() && !response.body.is_empty() => trouble(no_answer),
            200..=299 if answer.is_none() => trouble(no_answer),
            _ => match read_answer(status, &response.body, sent) {
                Ok(grant) => Heard::Granted(Box::new(Grant { server_now: response.date, ..grant })),
                Err(denial) => Heard::Failed(denial.failure()),
            },
        };
    };
    let failure = || sentence(&said, sent);
    match (action(&said, sent.place), status) {
        (Action::Wait, _) => Heard::Pending,
        (Action::SlowDown, _) => Heard::SlowDown(answer.as_ref().and_then(|answer| answer.get("interval")).and_then(seconds)),
        (Action::Busy, _) | (_, 408 | 425 | 429 | 500..) => trouble("could not answer"),
        (Action::Denied, _) => Heard::Denied(failure()),
        (Action::Expired, _) => Heard::Expired,
        (Action::NextWay, _) => Heard::NotOffered(failure()),
        _ => Heard::Failed(failure()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::error_codes::Tried;
    use super::*;

    const HOST: &str = "sso.example.com";

    fn response(status: u16, body: &str) -> Response {
        Response { status, body: body.as_bytes().to_vec().into(), date: None, retry_after: None }
    }

    fn sent(place: Place) -> Sent<'static> {
        Sent {
            place,
            host: HOST,
            login: "corp",
            client_id: "keyfob",
            tried: Tried::NoSecret,
            names: &[],
            scopes: &[],
            redirect_uri: "",
        }
    }

    fn authorization(status: u16, body: &str) -> Result<Authorization, NoCode> {
        let endpoint = Url::parse("https://sso.example.com/device").unwrap();
        read_authorization(&response(status, body), &endpoint, &sent(Place::Device))
    }

    /// An answer with `change` made to it.
    fn changed(change: impl Fn(&mut Value)) -> Result<Authorization, NoCode> {
        let mut answer = serde_json::json!({
            "device_code": "dc", "user_code": "ABCD-EFGH", "verification_uri": "https://sso.example.com/enter", "expires_in": 600,
        });
        change(&mut answer);
        authorization(200, &answer.to_string())
    }

    #[test]
    fn every_known_form_of_a_device_code_is_read() {
        let plain = changed(|_| ()).unwrap();
        assert_eq!((plain.device_code.expose(), plain.user_code.as_str()), ("dc", "ABCD-EFGH"));
        assert_eq!((plain.expires_in, plain.interval), (600, 5));
        assert_eq!(plain.verification_uri.as_str(), "https://sso.example.com/enter");
        assert!(plain.verification_uri_complete.is_none());
        let google = changed(|answer| {
            answer["verification_uri"] = Value::Null;
            answer["verification_url"] = "https://www.google.com/device".into();
        });
        assert_eq!(google.unwrap().verification_uri.as_str(), "https://www.google.com/device");
        let complete =
            changed(|answer| answer["verification_uri_complete"] = "https://sso.example.com/enter?c=A".into()).unwrap();
        assert_eq!(complete.verification_uri_complete.unwrap().as_str(), "https://sso.example.com/enter?c=A");
        let rows = [
            // expires_in, interval, and what is made of them
            ("\"600\"", "\"7\"", (600, 7)),
            ("600.9", "1.5", (600, 1)),
            ("86400", "null", (LONGEST, 5)),
            ("null", "0", (UNSAID, 1)),
            ("\"soon\"", "-3", (UNSAID, 1)),
            ("1e300", "[]", (LONGEST, 5)),
        ];
        for (expires_in, interval, expected) in rows {
            let found = changed(|answer| {
                answer["expires_in"] = serde_json::from_str(expires_in).unwrap();
                answer["interval"] = serde_json::from_str(interval).unwrap();
            });
            let found = found.unwrap();
            assert_eq!((found.expires_in, found.interval), expected, "{expires_in} {interval}");
        }
    }

    #[test]
    fn a_complete_address_that_may_not_be_shown_is_left_out() {
        for address in ["http://sso.example.com/e", "https://127.0.0.1/e", "javascript:1", "https://u:p@h/e", "", "not one"] {
            let found = changed(|answer| answer["verification_uri_complete"] = address.into()).unwrap();
            assert!(found.verification_uri_complete.is_none(), "{address}");
        }
        let long = format!("https://h/{}", "x".repeat(ADDRESS));
        assert!(
            changed(|answer| answer["verification_uri_complete"] = long.as_str().into())
                .unwrap()
                .verification_uri_complete
                .is_none()
        );
    }

    #[test]
    fn a_device_code_that_cannot_be_used_says_why() {
        let long = "x".repeat(DEVICE_CODE + 1);
        let rows: [(&str, Value, &str); 22] = [
            ("device_code", Value::Null, "its device_code"),
            ("device_code", "".into(), "its device_code"),
            ("device_code", "a\nb".into(), "its device_code"),
            ("device_code", long.as_str().into(), "its device_code"),
            ("user_code", Value::Null, "its user_code"),
            ("user_code", "   ".into(), "its user_code"),
            ("user_code", "A\u{1b}[2J".into(), "its user_code"),
            ("user_code", "A\nkeyfob: signed in".into(), "its user_code"),
            ("user_code", "\u{202e}ABCD".into(), "its user_code"),
            ("user_code", "A".repeat(USER_CODE + 1).into(), "its user_code"),
            ("verification_uri", Value::Null, "does not say where"),
            ("verification_uri", "http://sso.example.com/enter".into(), "sends people to `http://sso"),
            ("verification_uri", "http://127.0.0.1/enter".into(), "sends people to"),
            ("verification_uri", "https://localhost/enter".into(), "sends people to"),
            ("verification_uri", "javascript:alert(1)".into(), "sends people to `javascript"),
            ("verification_uri", "file:///etc/passwd".into(), "sends people to"),
            ("verification_uri", "\u{1b}]8;;https://evil\u{7}".into(), "sends people to"),
            ("verification_uri", format!("https://h/{}", "x".repeat(ADDRESS)).into(), "sends people to"),
            ("expires_in", 0.into(), "lasts 0 seconds"),
            ("expires_in", (-7).into(), "lasts 0 seconds"),
            ("expires_in", 5.into(), "lasts 5 seconds, and may be asked for every 5"),
            ("interval", 1_000_000.into(), "asked for every 1000000"),
        ];
        for (name, value, expected) in rows {
            match changed(|answer| answer[name] = value.clone()).unwrap_err() {
                NoCode::Failed(failure) => {
                    assert!(failure.message.contains(expected), "{name} {value}: {}", failure.message);
                    assert!(failure.kind == Kind::Refused && !failure.message.contains(char::is_control), "{failure:?}");
                }
                other => panic!("{name} {value}: {other:?}"),
            }
        }
    }

    #[test]
    fn only_a_server_that_does_not_do_it_leads_to_another_flow() {
        let rows = [
            (400, r#"{"error":"unauthorized_client","error_description":"not for you"}"#, None),
            (400, r#"{"error":"unsupported_grant_type"}"#, None),
            (200, r#"{"error":"device_flow_disabled"}"#, None),
            (400, r#"{"error":"invalid_grant","error_description":"AADSTS53003: Access has been blocked"}"#, None),
            (404, "<html>no such page</html>", None),
            (405, "", None),
            (401, r#"{"error":"invalid_client"}"#, Some(Kind::Misconfigured)),
            (403, r#"{"error_code":"rate_limit_exceeded"}"#, Some(Kind::Unreachable)),
            (400, r#"{"error":"invalid_grant"}"#, Some(Kind::Refused)),
            (503, r#"{"error":"unauthorized_client"}"#, Some(Kind::Unreachable)),
            (429, "", Some(Kind::Unreachable)),
            (200, "<html>proxy</html>", Some(Kind::Unreachable)),
            (200, "[]", Some(Kind::Unreachable)),
            (302, "", Some(Kind::Unreachable)),
            (200, "{}", Some(Kind::Refused)),
        ];
        for (status, body, expected) in rows {
            match (authorization(status, body).unwrap_err(), expected) {
                (NoCode::NotOffered(failure), None) => assert!(failure.message.contains("has no device flow"), "{failure:?}"),
                (NoCode::Failed(failure), Some(kind)) => assert_eq!(failure.kind, kind, "{status} {body}"),
                (found, expected) => panic!("{status} {body}: {found:?} instead of {expected:?}"),
            }
        }
    }

    /// What a poll's answer is taken for, in one word.
    fn word(heard: &Heard) -> &'static str {
        match heard {
            Heard::Granted(_) => "granted",
            Heard::Pending => "pending",
            Heard::SlowDown(None) => "slow down",
            Heard::SlowDown(Some(_)) => "slow down to",
            Heard::Trouble(..) => "trouble",
            Heard::Denied(_) => "denied",
            Heard::Expired => "expired",
            Heard::NotOffered(_) => "not offered",
            Heard::Failed(_) => "failed",
        }
    }

    #[test]
    fn every_known_answer_to_a_poll_is_understood() {
        let rows = [
            (200, r#"{"access_token":"at"}"#, "granted"),
            (201, r#"{"access_token":"at","token_type":"bearer"}"#, "granted"),
            (400, r#"{"error":"authorization_pending"}"#, "pending"),
            (200, r#"{"error":"authorization_pending"}"#, "pending"),
            (403, r#"{"error":"authorization_pending"}"#, "pending"),
            (428, r#"{"error":"authorization_pending"}"#, "pending"),
            (428, "", "pending"),
            (400, r#"{"error":"slow_down"}"#, "slow down"),
            (429, r#"{"error":"slow_down"}"#, "slow down"),
            (403, r#"{"error":"slow_down","error_description":"Forbidden"}"#, "slow down"),
            (200, r#"{"error":"slow_down","interval":10}"#, "slow down to"),
            (400, r#"{"error":"slow_down","interval":"10"}"#, "slow down to"),
            (503, "<html>busy</html>", "trouble"),
            (500, r#"{"error":"invalid_grant"}"#, "trouble"),
            (429, "", "trouble"),
            (408, "", "trouble"),
            (400, r#"{"error":"temporarily_unavailable"}"#, "trouble"),
            (400, r#"{"error":"server_error"}"#, "trouble"),
            (200, "<html>the network's own page</html>", "trouble"),
            (200, "", "trouble"),
            (302, "", "trouble"),
            (403, "<html>blocked</html>", "trouble"),
            (400, r#"{"error":"access_denied"}"#, "denied"),
            (200, r#"{"error":"access_denied"}"#, "denied"),
            (400, r#"{"error":"authorization_declined"}"#, "denied"),
            (400, r#"{"error":"expired_token"}"#, "expired"),
            (400, r#"{"error":"invalid_grant"}"#, "failed"),
            (400, r#"{"error":"bad_verification_code"}"#, "failed"),
            (200, r#"{"error":"incorrect_device_code"}"#, "failed"),
            (403, r#"{"error":"invalid_code"}"#, "failed"),
            (401, r#"{"error":"invalid_client"}"#, "failed"),
            (400, r#"{"error":"unauthorized_client"}"#, "not offered"),
            (400, r#"{"error":"unsupported_grant_type"}"#, "not offered"),
            (200, r#"{"error":"device_flow_disabled"}"#, "not offered"),
            (400, r#"{"error":"access_denied","error_description":"AADSTS53003: Access has been blocked"}"#, "not offered"),
            (400, r#"{"error":"invalid_grant","error_description":"AADSTS50076: use multi-factor"}"#, "failed"),
            (400, r#"{"error":"odd"}"#, "failed"),
            (400, "", "failed"),
            (404, "<html></html>", "failed"),
            (200, "{}", "failed"),
            (200, r#"{"access_token":"at","token_type":"DPoP"}"#, "failed"),
            (200, r#"{"access_token":"a\nb"}"#, "failed"),
        ];
        for (status, body, expected) in rows {
            assert_eq!(word(&read_poll(&response(status, body), &sent(Place::Poll))), expected, "{status} {body}");
        }
        let busy = Response { retry_after: Some(7), ..response(429, "") };
        assert!(matches!(read_poll(&busy, &sent(Place::Poll)), Heard::Trouble(_, Some(7))));
    }

    #[test]
    fn no_word_of_a_server_gets_out_unprintable() {
        for body in [
            r#"{"error":"access_denied","error_description":"\u001b[2J\u202egnip"}"#,
            r#"{"error":"invalid_grant\u001b","error_description":"\u001b[2J"}"#,
            r#"{"error":"unauthorized_client","error_description":"\u001b[2J"}"#,
        ] {
            let said = match read_poll(&response(400, body), &sent(Place::Poll)) {
                Heard::Denied(failure) | Heard::Failed(failure) | Heard::NotOffered(failure) => failure.lines().replace('\n', ""),
                other => panic!("{other:?}"),
            };
            assert!(!said.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
        }
    }

    /// Where the next poll may be, in tenths of a second; `None` where there is none.
    fn due(step: &Step) -> Option<u128> {
        match step {
            Step::Wait(due) => Some(due.as_millis() / 100),
            _ => None,
        }
    }

    /// What is heard, and for how many tenths of a second nothing is asked after it.
    type Course = Vec<(Heard, u128)>;

    #[test]
    fn the_pace_is_kept_by_the_table() {
        let trouble = || Heard::Trouble("busy".into(), None);
        let wait = |seconds| Heard::Trouble("busy".into(), Some(seconds));
        let rows: [(&str, i64, Course); 8] = [
            ("pending", 5, vec![(Heard::Pending, 55), (Heard::Pending, 55)]),
            ("slow_down for good", 5, vec![(Heard::SlowDown(None), 120), (Heard::Pending, 120), (Heard::Pending, 120)]),
            ("slow_down twice", 5, vec![(Heard::SlowDown(None), 120), (Heard::SlowDown(None), 195), (Heard::Pending, 195)]),
            ("a larger interval", 5, vec![(Heard::SlowDown(Some(20)), 240), (Heard::Pending, 240)]),
            ("a smaller interval", 5, vec![(Heard::SlowDown(Some(1)), 120), (Heard::Pending, 120)]),
            ("trouble", 5, vec![(trouble(), 110), (trouble(), 220), (trouble(), 440), (trouble(), 600), (Heard::Pending, 55)]),
            ("its own word", 5, vec![(wait(30), 300), (wait(2), 220), (Heard::Pending, 55)]),
            ("a long interval", 100, vec![(trouble(), 1100), (Heard::Pending, 1100)]),
        ];
        for (name, interval, heard) in rows {
            let mut pace = Pace::new(interval, 0, LONGEST);
            let mut now = Duration::from_secs(1);
            for (place, (heard, expected)) in heard.into_iter().enumerate() {
                let step = pace.next(heard, now);
                let found = due(&step).map(|due| due - now.as_millis() / 100);
                assert_eq!(found, Some(expected), "{name}, answer {place}");
                now += Duration::from_secs(7);
            }
        }
    }

    #[test]
    fn the_first_poll_waits_an_interval_and_none_comes_after_the_end() {
        assert_eq!(due(&Pace::new(5, 0, 600).first()), Some(55));
        assert_eq!(due(&Pace::new(10, 1, 600).first()), Some(120), "a worker that takes over keeps what was learned");
        assert!(matches!(Pace::new(5, 0, 5).first(), Step::Expired(None)));
        assert!(matches!(Pace::new(5, 0, -1).first(), Step::Expired(None)));
        let mut pace = Pace::new(5, 0, 20);
        assert_eq!(due(&pace.next(Heard::Pending, Duration::from_secs(14))), Some(195));
        assert!(matches!(pace.next(Heard::Pending, Duration::from_secs(15)), Step::Expired(None)));
        assert!(matches!(pace.next(Heard::Trouble("away".into(), None), Duration::from_secs(15)), Step::Expired(Some(_))));
        assert!(matches!(pace.next(Heard::Trouble("away".into(), Some(i64::MAX)), Duration::ZERO), Step::Expired(Some(_))));
        assert!(matches!(pace.next(Heard::SlowDown(Some(i64::MAX)), Duration::ZERO), Step::Expired(Some(_))));
    }

    #[test]
    fn what_ends_it_ends_it_at_once() {
        let ends =
            [Heard::Denied(Failure::new(Kind::Refused, "x")), Heard::Expired, Heard::Failed(Failure::new(Kind::Refused, "x"))];
        for heard in ends {
            assert_eq!(due(&Pace::new(5, 0, 600).next(heard, Duration::ZERO)), None);
        }
    }
}
