//! What a person pastes of an authorization response: how it reaches the sign-in that waits for it, and what it is taken for.
use super::loopback::is_foreign;
use super::request::Parameters;
use helper_protocols::Secret;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// The most bytes that may be pasted: more than any server's address, whose codes can be tokens of some KiB.
pub(crate) const PASTED: usize = 32 << 10;
/// The fewest characters of a bare code: whoever types a word by mistake has not ended the sign-in.
const SHORTEST: usize = 8;
/// How long the sign-in may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What terminals put around pasted text where a program before us asked for that (xterm, "bracketed paste mode").
const MARKERS: [&str; 2] = ["\u{1b}[200~", "\u{1b}[201~"];

/// Why a text is not taken.
const ANOTHER: &str = "that is the address of another sign-in: paste the one at which the browser ended this time";
const NO_CODE: &str = "that is no code: paste the whole address at which the browser ended";
const LOGIN_PAGE: &str =
    "that is the address of the sign-in page: sign in there, and paste the address at which the browser ends afterwards";

/// What came of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Taken,
    /// Not taken, with a sentence that says why; another text may be.
    Refused(String),
    /// The sign-in is over, or cannot be reached.
    Over,
}

/// Brings `text` to the sign-in that waits at `address`, a secret one of this machine.
pub(crate) fn deliver(address: &Secret, text: &[u8]) -> Delivery {
    let Ok(url) = Url::parse(address.expose()) else { return Delivery::Over };
    match send(&url, text) {
        Ok((202, _)) => Delivery::Taken,
        Ok((422, sentence)) => Delivery::Refused(crate::terminal::printable(&sentence)),
        _ => Delivery::Over,
    }
}

fn send(url: &Url, text: &[u8]) -> io::Result<(u16, String)> {
    let there = *url.socket_addrs(|| None)?.first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect_timeout(&there, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // where the sign-in has ended, somebody else may listen there by now
    if is_foreign(&stream) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let head = Zeroizing::new(format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
        url.path(),
        url.authority(),
        text.len()
    ));
    stream.write_all(head.as_bytes())?;
    stream.write_all(text)?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, body.trim_end().to_owned()))
}

/// Reads what was pasted to a sign-in with `state`: the address at which the browser ended, its query alone, `code#state`, or the bare
/// code. Pure.
///
/// Blanks, quotes and angle brackets around it do not count. A `state` that came has to be the sign-in's own; a code without one is
/// taken, for it is of no use without the verifier (RFC 7636 §1) and comes by an address that only this sign-in's terminals know.
///
/// # Errors
/// A sentence that says why it is not taken.
pub(super) fn read(pasted: &[u8], state: &Secret) -> Result<Parameters, &'static str> {
    let text = std::str::from_utf8(pasted).map_err(|_| NO_CODE)?;
    let text = Zeroizing::new(MARKERS.iter().fold(text.to_owned(), |text, marker| text.replace(marker, "")));
    let text = text.trim_matches(|c: char| c.is_whitespace() || "\"'`<>".contains(c));
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NO_CODE);
    }
    if text.contains("://") {
        let url = Url::parse(text).map_err(|_| NO_CODE)?;
        return response(url.query().unwrap_or_default(), state).unwrap_or(Err(NO_CODE));
    }
    // a code may end in `=` signs, but does not look like a query
    if let Some(response) = response(text.trim_start_matches('?'), state) {
        return response;
    }
    let (code, theirs) = text.rsplit_once('#').map_or((text, None), |(code, state)| (code, Some(state)));
    if theirs.is_some_and(|theirs| Secret::new(theirs.to_owned()) != *state) {
        return Err(ANOTHER);
    }
    if code.len() < SHORTEST {
        return Err(NO_CODE);
    }
    // from an address line it comes as it stands there
    let code = percent_decoded(code).ok_or(NO_CODE)?;
    Ok(Parameters { code: Some(Secret::new(code)), is_bare: true, ..Parameters::default() })
}

/// Reads an authorization response (RFC 6749 §4.1.2) from a query; `None` where it is something else.
fn response(query: &str, state: &Secret) -> Option<Result<Parameters, &'static str>> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let all = |name: &str| pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    let (codes, errors, states, issuers) = (all("code"), all("error"), all("state"), all("iss"));
    if all("code_challenge").len() == 1 {
        return Some(Err(LOGIN_PAGE));
    }
    if codes.is_empty() && errors.is_empty() {
        return None;
    }
    if codes.len() + errors.len() != 1 || states.len() > 1 || issuers.len() > 1 || codes == [""] {
        return Some(Err(NO_CODE));
    }
    if states.iter().any(|theirs| Secret::new((*theirs).to_owned()) != *state) {
        return Some(Err(ANOTHER));
    }
    Some(Ok(Parameters {
        code: codes.first().map(|code| Secret::new((*code).to_owned())),
        error: errors.first().map(|error| (*error).to_owned()),
        error_description: all("error_description").first().map(|text| (*text).to_owned()),
        iss: issuers.first().map(|iss| (*iss).to_owned()),
        is_bare: states.is_empty(),
    }))
}

fn percent_decoded(text: &str) -> Option<String> {
    // `+` is a character of codes, and a blank is not
    let query = Zeroizing::new(format!("code={}", text.replace('+', "%2B").replace('&', "%26")));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, code)| code.into_owned())
        .filter(|code| !code.contains('\u{fffd}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<(Option<String>, Option<String>, bool), &'static str> {
        read(text.as_bytes(), &Secret::new("s1+/=".into()))
            .map(|read| (read.code.map(|code| code.expose().to_owned()), read.error, read.is_bare))
    }

    #[test]
    fn what_holds_the_code_is_taken_in_every_form() {
        let code = |code: &str, bare| Ok((Some(code.to_owned()), None, bare));
        let long = "c".repeat(20_000);
        let rows = [
            ("http://127.0.0.1:4000/callback?code=4%2F0Ab+c&state=s1%2B%2F%3D", code("4/0Ab c", false)),
            ("http://localhost/?state=s1%2B%2F%3D&code=abc&iss=https%3A%2F%2Fsso.example.com&x=y", code("abc", false)),
            ("  <http://127.0.0.1:4000/callback?code=abc&state=s1%2B%2F%3D>\t", code("abc", false)),
            ("\"http://127.0.0.1/callback?code=abc&state=s1%2B%2F%3D\"", code("abc", false)),
            ("\u{1b}[200~http://127.0.0.1/callback?code=abc&state=s1%2B%2F%3D\u{1b}[201~", code("abc", false)),
            ("https://sso.example.com/shown?code=abc", code("abc", true)),
            ("http://127.0.0.1/callback?code=abc&state=s1%2B%2F%3D#_=_", code("abc", false)),
            ("code=abc&state=s1%2B%2F%3D", code("abc", false)),
            ("?code=abc&state=s1%2B%2F%3D", code("abc", false)),
            ("abcdefgh#s1+/=", code("abcdefgh", true)),
            ("4/0AY0e-g7_abc", code("4/0AY0e-g7_abc", true)),
            ("4%2F0AY0e-g7%2Bx+y", code("4/0AY0e-g7+x+y", true)),
            ("M.C5_BAY=.abc==", code("M.C5_BAY=.abc==", true)),
            (" 'abcdefgh' ", code("abcdefgh", true)),
            (&long, code(&long, true)),
            (
                "http://127.0.0.1/callback?error=access_denied&error_description=no+way&state=s1%2B%2F%3D",
                Ok((None, Some("access_denied".to_owned()), false)),
            ),
            ("http://127.0.0.1/callback?error=access_denied", Ok((None, Some("access_denied".to_owned()), true))),
        ];
        for (text, expected) in rows {
            assert_eq!(read_text(text), expected, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let rows = [
            ("http://127.0.0.1/callback?code=abc&state=other", ANOTHER),
            ("http://127.0.0.1/callback?error=access_denied&state=other", ANOTHER),
            ("code=abc&state=", ANOTHER),
            ("abcdefgh#s1", ANOTHER),
            ("abcdefgh#", ANOTHER),
            ("https://sso.example.com/authorize?client_id=c&state=s1%2B%2F%3D&code_challenge=x", LOGIN_PAGE),
            ("", NO_CODE),
            ("ls", NO_CODE),
            ("git status please", NO_CODE),
            ("http://127.0.0.1:4000/callback", NO_CODE),
            ("https://", NO_CODE),
            ("http://127.0.0.1/callback?code=a&code=b&state=s1%2B%2F%3D", NO_CODE),
            ("http://127.0.0.1/callback?code=a&error=b&state=s1%2B%2F%3D", NO_CODE),
            ("http://127.0.0.1/callback?code=a&state=s1%2B%2F%3D&state=s1%2B%2F%3D", NO_CODE),
            ("http://127.0.0.1/callback?code=&state=s1%2B%2F%3D", NO_CODE),
            ("abcdefgh\u{1b}[Dx", NO_CODE),
            ("abcdefgh\u{7}", NO_CODE),
            ("größe-größe", NO_CODE),
            ("abcdefgh%ff", NO_CODE),
        ];
        for (text, expected) in rows {
            assert_eq!(read_text(text), Err(expected), "{text}");
        }
        assert_eq!(read(b"\xff\xfe12345678", &Secret::new("s".into())), Err(NO_CODE));
    }
}
