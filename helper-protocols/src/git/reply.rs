//! The strict writer of git's `key=value` lines.
use crate::{Capabilities, Credential, Proof, Reply, text};
use alloc::{format, string::ToString, vec::Vec};
use zeroize::Zeroizing;

/// Writes the reply to `get` that hands out `credential`, or nothing where the caller could not understand it.
///
/// The capabilities used come first, for git forgets values whose capability has not been named. Protocol and host are never
/// printed: they would redirect what the caller stores next.
pub(super) fn credential(credential: &Credential, caller: Capabilities) -> Reply {
    let scheme = matches!(credential.proof, Some(Proof::Authorization { .. }));
    // `ephemeral` belongs to the same capability.
    let ephemeral = credential.ephemeral && caller.authtype;
    let mark = credential.mark.as_deref().filter(|mark| caller.state && !mark.is_empty());
    // git takes 0 for "never", and a negative number for a huge one.
    let expires_at = credential.expires_at.map(|end| end.max(1).to_string());
    let mut lines: Vec<(&str, &str)> = Vec::with_capacity(12);
    if scheme || ephemeral {
        lines.push(("capability[]", "authtype"));
    }
    if mark.is_some() {
        lines.push(("capability[]", "state"));
    }
    match &credential.proof {
        Some(Proof::Password(password)) => {
            // Without a user name git would ask the person for one.
            lines.push(("username", credential.username.as_deref().unwrap_or_default()));
            lines.push(("password", password.expose()));
        }
        Some(Proof::Authorization { scheme, credential: proof }) if caller.authtype => {
            lines.push(("authtype", scheme));
            lines.push(("credential", proof.expose()));
            lines.extend(credential.username.as_deref().map(|username| ("username", username)));
        }
        _ => return text::silence(0),
    }
    if ephemeral {
        lines.push(("ephemeral", "1"));
    }
    lines.extend(expires_at.as_deref().map(|end| ("password_expiry_utc", end)));
    lines.extend(credential.refresh_token.as_ref().map(|token| ("oauth_refresh_token", token.expose())));
    if let Some(mark) = mark {
        lines.push(("state[]", mark));
        lines.push(("continue", "1"));
    }
    write(&lines)
}

fn write(lines: &[(&str, &str)]) -> Reply {
    if let Some((key, _)) = lines.iter().find(|(_, value)| text::breaks_lines(value)) {
        return text::complaint(&format!("cannot answer: `{key}` holds a line break or NUL"), 0);
    }
    let length = lines.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let mut stdout = Zeroizing::new(Vec::with_capacity(length));
    for (key, value) in lines {
        for part in [key, "=", value, "\n"] {
            stdout.extend_from_slice(part.as_bytes());
        }
    }
    Reply { stdout, stderr: Vec::new(), exit_code: 0 }
}

#[cfg(test)]
mod tests {
    use super::super::Git;
    use crate::{Answer, Credential, Input, Proof, Protocol, Secret};
    use std::{
        format,
        string::{String, ToString},
    };

    fn secret(value: &str) -> Secret {
        Secret::new(value.to_string())
    }

    fn password(username: &str, value: &str) -> Credential {
        Credential::new(Some(username.to_string()), Some(Proof::Password(secret(value))))
    }

    fn bearer(value: &str) -> Credential {
        Credential::new(None, Some(Proof::Authorization { scheme: "Bearer".to_string(), credential: secret(value) }))
    }

    const BOTH: &str = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h\n";

    /// What `get` prints for `credential` to a caller that sent `stdin`, and what it complains of.
    fn got(stdin: &str, credential: &Credential) -> (String, String) {
        let reply = Git::render(
            &Git::parse(Input { arguments: &["get"], stdin: stdin.as_bytes() }).unwrap(),
            &Answer::Credential(credential),
        );
        assert_eq!(reply.exit_code, 0);
        (String::from_utf8(reply.stdout.to_vec()).unwrap(), String::from_utf8(reply.stderr.clone()).unwrap())
    }

    #[test]
    fn a_password_is_printed_with_its_user_name_always() {
        assert_eq!(got("host=h\n", &password("alice", "s3cret")).0, "username=alice\npassword=s3cret\n");
        let nameless = Credential::new(None, Some(Proof::Password(secret(""))));
        assert_eq!(got("host=h\n", &nameless).0, "username=\npassword=\n");
        let full = Credential { expires_at: Some(12), refresh_token: Some(secret("r")), ephemeral: true, ..password("a", "b") };
        let old = "username=a\npassword=b\npassword_expiry_utc=12\noauth_refresh_token=r\n";
        assert_eq!(got("host=h\n", &full).0, old);
        let understood =
            "capability[]=authtype\nusername=a\npassword=b\nephemeral=1\npassword_expiry_utc=12\noauth_refresh_token=r\n";
        assert_eq!(got(BOTH, &full).0, understood);
        for past in [0, -5, i64::MIN] {
            let ended = Credential { expires_at: Some(past), ..password("a", "b") };
            assert_eq!(got("", &ended).0, "username=a\npassword=b\npassword_expiry_utc=1\n", "git would take {past} for never");
        }
    }

    #[test]
    fn a_mark_is_printed_only_to_a_caller_that_returns_it() {
        let marked = Credential { mark: Some("keyfob:1f".to_string()), ..password("a", "b") };
        assert_eq!(got(BOTH, &marked).0, "capability[]=state\nusername=a\npassword=b\nstate[]=keyfob:1f\ncontinue=1\n");
        assert_eq!(got("capability[]=authtype\n", &marked).0, "username=a\npassword=b\n");
        let empty = Credential { mark: Some(String::new()), ..password("a", "b") };
        assert_eq!(got(BOTH, &empty).0, "username=a\npassword=b\n", "an empty value would clear the caller's list");
    }

    #[test]
    fn a_scheme_is_printed_only_to_a_caller_that_understands_it() {
        let plain = bearer("tok");
        assert_eq!(got(BOTH, &plain).0, "capability[]=authtype\nauthtype=Bearer\ncredential=tok\n");
        for stdin in ["", "capability[]=state\n"] {
            assert_eq!(got(stdin, &plain), (String::new(), String::new()));
        }
        let full = Credential {
            username: Some("alice".to_string()),
            expires_at: Some(12),
            ephemeral: true,
            mark: Some("keyfob:1f".to_string()),
            ..bearer("tok")
        };
        assert_eq!(
            got(BOTH, &full).0,
            "capability[]=authtype\ncapability[]=state\nauthtype=Bearer\ncredential=tok\nusername=alice\nephemeral=1\n\
         password_expiry_utc=12\nstate[]=keyfob:1f\ncontinue=1\n"
        );
    }

    #[test]
    fn a_value_that_would_break_the_lines_keeps_everything_back() {
        for value in ["a\nhost=evil", "a\rb", "a\0b"] {
            let nothing = |key: &str| (String::new(), format!("cannot answer: `{key}` holds a line break or NUL\n"));
            assert_eq!(got(BOTH, &password("u", value)), nothing("password"));
            assert_eq!(got(BOTH, &password(value, "p")), nothing("username"));
            assert_eq!(got(BOTH, &bearer(value)), nothing("credential"));
            let refresh_token = Some(secret(value));
            assert_eq!(got(BOTH, &Credential { refresh_token, ..password("u", "p") }), nothing("oauth_refresh_token"));
            assert_eq!(got(BOTH, &Credential { mark: Some(value.to_string()), ..password("u", "p") }), nothing("state[]"));
        }
    }
}
