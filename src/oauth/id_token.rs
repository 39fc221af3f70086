//! Reads the claims of an ID token that came straight from the token endpoint.
//!
//! Its signature is not checked: over TLS from the token endpoint that is allowed (OpenID Connect Core §3.1.3.7, point 6).
use crate::failure::{Failure, Kind};
use crate::terminal::printable;
use helper_protocols::Secret;
use serde::Deserialize;
use serde_json::Value;

/// The claims that matter here.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) subject: String,
    /// A name that a person recognises, printable.
    pub(crate) account: Option<String>,
    pub(crate) email: Option<String>,
    /// Seconds since the epoch.
    pub(crate) expires_at: i64,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    aud: Value,
    azp: Option<String>,
    exp: Value,
    nonce: Option<String>,
    email: Option<String>,
    preferred_username: Option<String>,
}

/// Reads and checks `token`'s claims: `iss`, `aud`, `azp` where there are several audiences, `exp` after `now` (seconds), and
/// `nonce` where one was sent.
///
/// # Errors
/// [`Kind::Refused`] naming the claim that is not as it must be; never its value.
pub(crate) fn read(token: &Secret, issuer: &str, client_id: &str, nonce: Option<&str>, now: i64) -> Result<Claims, Failure> {
    let wrong = |what: &str| Failure::new(Kind::Refused, format!("`{}` sent an ID token that {what}", printable(issuer)));
    let payload: Payload = token
        .expose()
        .split('.')
        .nth(1)
        .and_then(decode)
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| wrong("cannot be read"))?;
    if !is_by(&payload.iss, issuer) {
        return Err(wrong("was issued by another server"));
    }
    let (meant, several) = match &payload.aud {
        Value::String(audience) => (audience == client_id, false),
        Value::Array(audiences) => (audiences.iter().any(|audience| audience == client_id), audiences.len() > 1),
        _ => (false, false),
    };
    if !meant || payload.azp.as_deref().map_or(several, |azp| azp != client_id) {
        return Err(wrong("is meant for another client"));
    }
    if nonce.is_some() && payload.nonce.as_deref() != nonce {
        return Err(wrong("does not belong to this sign-in"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the cast clamps, and any end far away is as good as another")]
    let expires_at =
        payload.exp.as_i64().or_else(|| payload.exp.as_f64().map(|end| end as i64)).ok_or_else(|| wrong("names no end"))?;
    if expires_at <= now {
        return Err(wrong("has already expired").hint("check this machine's clock"));
    }
    let email = payload.email.map(|name| printable(&name));
    let account = payload.preferred_username.map(|name| printable(&name)).or_else(|| email.clone());
    Ok(Claims { subject: payload.sub, account, email, expires_at })
}

/// Whether `iss` is `issuer`, but for a slash at the end. Where only a server's endpoints are known, `issuer` is an origin, and the server
/// may have a path below it.
fn is_by(iss: &str, issuer: &str) -> bool {
    let (iss, issuer) = (iss.trim_end_matches('/'), issuer.trim_end_matches('/'));
    let is_origin = issuer.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
    iss.strip_prefix(issuer).is_some_and(|rest| rest.is_empty() || is_origin && rest.starts_with('/'))
}

/// Decodes base64url without padding (RFC 7515 §2).
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for symbol in text.trim_end_matches('=').bytes() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held).to_le_bytes()[0]);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(bytes: &[u8]) -> String {
        const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for index in 0..=chunk.len() {
                text.push(char::from(SYMBOLS[(word >> (18 - 6 * index)) as usize & 63]));
            }
        }
        text
    }

    fn check(claims: &Value) -> Result<Claims, Failure> {
        let token = Secret::new(format!("e30.{}.c2ln", encode(claims.to_string().as_bytes())));
        read(&token, "https://sso.example.com", "keyfob", Some("n1"), 1000)
    }

    #[test]
    fn each_claim_is_checked() {
        let good = serde_json::json!({"iss": "https://sso.example.com", "sub": "u1", "aud": "keyfob", "exp": 1001, "nonce": "n1", "email": "a@b.c"});
        let claims = check(&good).unwrap();
        assert_eq!((claims.subject.as_str(), claims.account.as_deref(), claims.expires_at), ("u1", Some("a@b.c"), 1001));
        let rows = [
            ("iss", serde_json::json!("https://evil.example.com")),
            ("aud", serde_json::json!("other")),
            ("aud", serde_json::json!(["keyfob", "other"])),
            ("azp", serde_json::json!("other")),
            ("exp", serde_json::json!(1000)),
            ("exp", serde_json::json!("soon")),
            ("nonce", serde_json::json!("n2")),
            ("nonce", Value::Null),
            ("sub", Value::Null),
        ];
        for (claim, value) in rows {
            let mut bad = good.clone();
            bad[claim] = value.clone();
            assert!(check(&bad).is_err(), "{claim} {value}");
        }
        let mut several = good;
        several["aud"] = serde_json::json!(["keyfob", "other"]);
        several["azp"] = serde_json::json!("keyfob");
        assert!(check(&several).is_ok());
    }

    #[test]
    fn an_issuer_of_which_only_the_origin_is_known_may_have_a_path() {
        let rows = [
            ("https://git.example.com", "https://git.example.com", true),
            ("https://git.example.com/", "https://git.example.com", true),
            ("https://git.example.com/gitlab", "https://git.example.com", true),
            ("https://git.example.com.evil.net", "https://git.example.com", false),
            ("https://git.example.com:8443/gitlab", "https://git.example.com", false),
            ("http://git.example.com/gitlab", "https://git.example.com", false),
            ("https://sso.example.com/realms/dev", "https://sso.example.com/realms/dev/", true),
            ("https://sso.example.com/realms/dev/x", "https://sso.example.com/realms/dev", false),
            ("https://sso.example.com", "https://sso.example.com/realms/dev", false),
        ];
        for (iss, issuer, expected) in rows {
            assert_eq!(is_by(iss, issuer), expected, "{iss} {issuer}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_repeated() {
        for text in ["", "a", "a.b", "a.!!.c", "e30.e30.e30"] {
            let failure = read(&Secret::new(text.into()), "https://sso.example.com", "keyfob", None, 0).unwrap_err();
            assert_eq!(failure.kind, Kind::Refused, "{text}");
        }
        assert_eq!(decode("_-8").unwrap(), [0xff, 0xef]);
    }
}
