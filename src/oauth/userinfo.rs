//! Asks a server whose an access token is: OpenID Connect's userinfo endpoint, or what a host without it has in its place.
use super::Registration;
use crate::failure::{Failure, Kind};
use crate::http::Response;
use crate::terminal::printable;
use helper_protocols::Secret;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How long the answer is waited for: a person looks on, and the tokens are still unwritten.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest subject, in bytes (OpenID Connect Core §2).
const SUBJECT: usize = 255;

/// Whose a token is, as far as the server says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// What the server never gives to another account.
    pub(crate) subject: Option<String>,
    /// A name that a person recognises, printable.
    pub(crate) account: Option<String>,
    pub(crate) email: Option<String>,
}

/// What is read of an answer; whatever else it has may be anything.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    sub: Value,
    id: Value,
    // what people are called by: OpenID Connect Core §5.1, GitHub, GitLab
    preferred_username: Value,
    login: Value,
    nickname: Value,
    username: Value,
    email: Value,
}

impl Registration<'_> {
    /// Asks `endpoint` whose `token` is.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] where no answer came or it says nothing; the sentence names the host.
    pub(crate) fn whose(&self, endpoint: &Url, token: &Secret) -> Result<Person, Failure> {
        let Response { status, body, .. } = self.http.get_with(endpoint, token, LIMIT)?;
        let host = printable(endpoint.host_str().unwrap_or_default());
        let said =
            |what: String| Failure::new(Kind::Unreachable, format!("`{host}` does not say whose a token is")).because(what);
        if status != 200 {
            return Err(said(format!("status {status}")));
        }
        read(&body).ok_or_else(|| said("its answer names nobody".into()))
    }
}

/// Reads an answer; none where it names nobody. Pure.
fn read(body: &[u8]) -> Option<Person> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(printable);
    let subject = |value: &Value| match value {
        Value::String(text) if (1..=SUBJECT).contains(&text.len()) => Some(text.clone()),
        // GitHub counts its accounts
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let email = text(&answer.email);
    let names = [&answer.preferred_username, &answer.login, &answer.nickname, &answer.username];
    let account = names.into_iter().find_map(text).or_else(|| email.clone());
    let person = Person { subject: subject(&answer.sub).or_else(|| subject(&answer.id)), account, email };
    (person != Person::default()).then_some(person)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_named_in_each_hosts_words() {
        let rows = [
            (r#"{"sub":"7","preferred_username":"alice","email":"a@b.c"}"#, Some([Some("7"), Some("alice"), Some("a@b.c")])),
            (r#"{"id":7,"login":"alice","email":null,"name":"Alice"}"#, Some([Some("7"), Some("alice"), None])),
            (r#"{"sub":"7","nickname":"alice"}"#, Some([Some("7"), Some("alice"), None])),
            (r#"{"sub":"7","email":"a@b.c"}"#, Some([Some("7"), Some("a@b.c"), Some("a@b.c")])),
            (r#"{"login":"al\u001b[31mice"}"#, Some([None, Some("al[31mice"), None])),
            (r#"{"sub":["7"],"login":{"a":1}}"#, None),
            (r#"{"sub":""}"#, None),
            ("{}", None),
            ("[]", None),
            ("\"alice\"", None),
            ("", None),
            ("<html>", None),
        ];
        for (body, expected) in rows {
            let person = read(body.as_bytes()).map(|person| [person.subject, person.account, person.email]);
            assert_eq!(person, expected.map(|names| names.map(|name| name.map(ToOwned::to_owned))), "{body}");
        }
        let long = format!(r#"{{"sub":"{}","login":"alice"}}"#, "x".repeat(SUBJECT + 1));
        assert_eq!(read(long.as_bytes()).unwrap().subject, None);
    }
}
