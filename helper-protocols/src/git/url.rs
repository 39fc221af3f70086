//! The `url` attribute, taken apart the way git does it.
use crate::{Malformed, Secret, text};
use alloc::{string::String, vec::Vec};
use zeroize::Zeroizing;

/// The parts of a URL, percent-decoded. A part that the URL lacks is `None`, except the host, which may be empty.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) protocol: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
}

/// Takes `protocol://username:password@host/path` apart.
///
/// # Errors
/// [`Malformed`] where there is no scheme, where two readers might see two hosts, or where decoding yields a line break, NUL or
/// something else than UTF-8.
pub(super) fn split(url: &str) -> Result<Parts, Malformed> {
    let Some((protocol, rest)) = url.split_once("://").filter(|(protocol, _)| !protocol.is_empty()) else {
        return Err(Malformed::new("`url` has no scheme"));
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.bytes().filter(|&byte| byte == b'@').count() > 1 || authority.contains('\\') {
        return Err(Malformed::new("`url` does not say clearly which host it means"));
    }
    let (user, host) = match authority.split_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let (username, password) = match user.map(|user| user.split_once(':')) {
        Some(Some((username, password))) => (Some(username), Some(password)),
        _ => (user, None),
    };
    let path = path.trim_matches('/');
    Ok(Parts {
        protocol: Some(decode(protocol)?),
        host: Some(decode(host)?),
        path: if path.is_empty() { None } else { Some(decode(path)?) },
        username: username.map(decode).transpose()?,
        password: password.map(decode).transpose()?.map(Secret::new),
    })
}

/// Decodes `%XX`; a percent sign without two hexadecimal digits stands for itself.
fn decode(part: &str) -> Result<String, Malformed> {
    let bytes = part.as_bytes();
    // Decoding never lengthens, so this buffer, which may hold a password, is not moved.
    let mut decoded = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hexadecimal =
            |offset: usize| char::from(*bytes.get(at + offset)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (byte, hexadecimal(1), hexadecimal(2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    let text = core::str::from_utf8(&decoded).map_err(|_| Malformed::new("`url` is not UTF-8 when decoded"))?;
    if text::breaks_lines(text) {
        return Err(Malformed::new("`url` holds a line break or NUL when decoded"));
    }
    Ok(String::from(text))
}
