//! The `credential_process` protocol of the AWS tools: a profile in the arguments, one JSON object back.
use crate::text::{self, Json};
use crate::{Answer, Credential, Framing, Input, Malformed, Operation, Proof, Protocol, Query, Reply, Resource};
use alloc::{borrow::ToOwned, string::String};
use chrono::{DateTime, SecondsFormat};

/// The last second of the year 9999; a later one has no four-digit year.
const LAST_SECOND: i64 = 253_402_300_799;

/// The protocol behind `credential_process`. The arguments are `get PROFILE`; standard input is never read, for it may be the
/// person's terminal or a pipe that does not end.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Aws;

/// One request: credentials for a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The profile's name: not empty, without control characters.
    pub profile: String,
}

impl Protocol for Aws {
    const FRAMING: Framing = Framing::Nothing;
    type Request = Request;

    fn parse(input: Input<'_>) -> Result<Request, Malformed> {
        let &["get", profile] = input.arguments else {
            return Err(Malformed::new("usage: aws get PROFILE"));
        };
        if profile.is_empty() || profile.starts_with('-') {
            return Err(Malformed::new("usage: aws get PROFILE"));
        }
        if text::has_control(profile) {
            return Err(Malformed::new("the profile's name holds a control character"));
        }
        Ok(Request { profile: profile.to_owned() })
    }

    fn query(request: &Request) -> Query<'_> {
        Query::new(Operation::Get, Resource::Profile(&request.profile))
    }

    /// Standard output is one JSON object or empty: callers that hide standard error still see the exit code, 1 for every
    /// failure. `Expiration` is always given, since credentials without one are never asked for again.
    fn render(_: &Request, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Credential(credential) => object(credential),
            Answer::Failed { message, .. } => text::complaint(message, 1),
            Answer::NotFound | Answer::Done | Answer::Entries(_) => not_found(),
        }
    }

    fn refuse(malformed: &Malformed) -> Reply {
        text::complaint(&malformed.message, 1)
    }
}

fn not_found() -> Reply {
    text::complaint("no such profile", 1)
}

fn object(credential: &Credential) -> Reply {
    let Some(Proof::Aws { access_key_id, secret_access_key, session_token, account_id }) = &credential.proof else {
        return not_found();
    };
    let Some(expiration) = credential.expires_at.and_then(timestamp) else {
        return text::complaint("the credentials have no end that can be written as a date", 1);
    };
    let (secret, session) = (secret_access_key.expose(), session_token.expose());
    let account = account_id.as_deref();
    let values = access_key_id.len() + secret.len() + session.len() + account.map_or(0, str::len);
    let mut json = Json::object(values + 96, 6);
    json.digit("Version", 1);
    json.string("AccessKeyId", access_key_id);
    json.string("SecretAccessKey", secret);
    json.string("SessionToken", session);
    json.string("Expiration", &expiration);
    if let Some(account) = account {
        json.string("AccountId", account);
    }
    json.finish()
}

/// Returns `seconds` since the epoch as `YYYY-MM-DDTHH:MM:SSZ`, the one form that every AWS tool reads.
fn timestamp(seconds: i64) -> Option<String> {
    if !(0..=LAST_SECOND).contains(&seconds) {
        return None;
    }
    Some(DateTime::from_timestamp(seconds, 0)?.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use std::{format, string::ToString};

    fn parse(arguments: &[&str]) -> Result<Request, Malformed> {
        Aws::parse(Input { arguments, stdin: b"" })
    }

    fn credential(expires_at: Option<i64>, account_id: Option<&str>) -> Credential {
        let proof = Proof::Aws {
            access_key_id: "ASIAEXAMPLE".to_string(),
            secret_access_key: Secret::new("wJalr/+K=".to_string()),
            session_token: Secret::new("IQoJ\"b3".to_string()),
            account_id: account_id.map(ToString::to_string),
        };
        Credential { expires_at, ..Credential::new(None, Some(proof)) }
    }

    fn render(answer: &Answer<'_>) -> (String, String, u8) {
        let reply = Aws::render(&parse(&["get", "prod"]).unwrap(), answer);
        (String::from_utf8(reply.stdout.to_vec()).unwrap(), String::from_utf8(reply.stderr.clone()).unwrap(), reply.exit_code)
    }

    #[test]
    fn the_profile_is_the_second_word_and_stands_alone() {
        let request = parse(&["get", "prod"]).unwrap();
        let query = Aws::query(&request);
        assert_eq!((query.operation, query.resource), (Operation::Get, Resource::Profile("prod")));
        for arguments in [&[][..], &["get"], &["get", ""], &["get", "-h"], &["put", "prod"], &["get", "a", "b"]] {
            assert_eq!(parse(arguments).unwrap_err().message, "usage: aws get PROFILE", "{arguments:?}");
        }
        assert!(parse(&["get", "a\u{1b}[31m"]).is_err());
    }

    #[test]
    fn the_answer_is_one_object_in_exactly_the_form_every_sdk_reads() {
        let full = credential(Some(1_795_245_296), Some("123456789012"));
        assert_eq!(
            render(&Answer::Credential(&full)),
            (
                concat!(
                    r#"{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"wJalr/+K=","SessionToken":"IQoJ\"b3","#,
                    r#""Expiration":"2026-11-21T07:14:56Z","AccountId":"123456789012"}"#,
                    "\n"
                )
                .to_string(),
                String::new(),
                0
            )
        );
        let (stdout, _, _) = render(&Answer::Credential(&credential(Some(0), None)));
        assert!(stdout.ends_with("\"Expiration\":\"1970-01-01T00:00:00Z\"}\n"), "{stdout}");
    }

    #[test]
    fn an_end_that_cannot_be_written_is_a_failure_and_not_a_guess() {
        assert_eq!(timestamp(LAST_SECOND).as_deref(), Some("9999-12-31T23:59:59Z"));
        for end in [None, Some(-1), Some(LAST_SECOND + 1), Some(i64::MAX), Some(i64::MIN)] {
            let (stdout, stderr, exit_code) = render(&Answer::Credential(&credential(end, None)));
            assert_eq!((stdout.as_str(), exit_code), ("", 1), "{end:?}");
            assert_eq!(stderr, "the credentials have no end that can be written as a date\n");
        }
    }

    #[test]
    fn every_failure_leaves_standard_output_empty_and_exits_with_1() {
        let password = Credential::new(None, Some(Proof::Password(Secret::new("p".to_string()))));
        for answer in [Answer::NotFound, Answer::Done, Answer::Entries(&[]), Answer::Credential(&password)] {
            assert_eq!(render(&answer), (String::new(), "no such profile\n".to_string(), 1));
        }
        let failed = Answer::Failed { message: "cannot reach it\nrun `x`", stop: true };
        assert_eq!(render(&failed), (String::new(), "cannot reach it\nrun `x`\n".to_string(), 1));
        let long = "é".repeat(9000);
        let (_, stderr, _) = render(&Answer::Failed { message: &long, stop: false });
        assert!(stderr.len() < 4096);
        let reply = Aws::refuse(&Malformed::new("usage"));
        assert_eq!((reply.stdout.as_slice(), reply.stderr.as_slice(), reply.exit_code), (&b""[..], &b"usage\n"[..], 1));
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", credential(Some(1), None));
        assert!(!text.contains("wJalr") && !text.contains("IQoJ"), "{text}");
    }
}
