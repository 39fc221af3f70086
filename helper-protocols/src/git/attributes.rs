//! The strict reader of git's `key=value` lines.
use super::url;
use crate::{Capabilities, Malformed, Proof, Secret, text};
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

/// The keys that have one value. A key that comes twice with different values is an injected line, or might be.
const SINGLE: [&str; 11] = [
    "protocol",
    "host",
    "path",
    "username",
    "password",
    "authtype",
    "credential",
    "password_expiry_utc",
    "oauth_refresh_token",
    "ephemeral",
    "url",
];

/// The keys that have a list of values; an empty value clears the list.
const LISTS: [&str; 3] = ["capability[]", "state[]", "wwwauth[]"];

/// What the end of the input must look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The last line may lack its line feed.
    Lenient,
    /// Every line has its line feed.
    Whole,
}

/// What a request says. An absent attribute is `None`; one that was sent empty is a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) protocol: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) username: Option<String>,
    password: Option<Secret>,
    authtype: Option<String>,
    credential: Option<Secret>,
    pub(super) expires_at: Option<i64>,
    pub(super) refresh_token: Option<Secret>,
    pub(super) ephemeral: bool,
    pub(super) capabilities: Capabilities,
    pub(super) marks: Vec<String>,
    pub(super) wwwauth: Vec<String>,
}

impl Attributes {
    /// Reads the lines of `stdin` up to a blank one or the end. Keys it does not know are passed over.
    ///
    /// # Errors
    /// [`Malformed`] names the key or the number of the line, never a value.
    pub(super) fn read(stdin: &[u8], end: End) -> Result<Self, Malformed> {
        text::check_length(stdin)?;
        let mut lines = Lines::default();
        let (mut rest, mut number) = (stdin, 0);
        while !rest.is_empty() {
            let (line, ended) = match rest.iter().position(|&byte| byte == b'\n') {
                Some(length) => (&rest[..length], true),
                None => (rest, false),
            };
            if line.is_empty() {
                break;
            }
            number += 1;
            if !ended && end == End::Whole {
                return Err(Malformed::new(format!("line {number} breaks off")));
            }
            lines.take(line, number)?;
            rest = &rest[line.len() + usize::from(ended)..];
        }
        lines.settle()
    }

    /// Returns what proves the account: a scheme with its credential before a password, which may be empty.
    pub(super) fn proof(&self) -> Option<Proof> {
        match (&self.authtype, &self.credential) {
            (Some(scheme), Some(credential)) if !scheme.is_empty() && !credential.expose().is_empty() => {
                Some(Proof::Authorization { scheme: scheme.clone(), credential: credential.clone() })
            }
            _ => self.password.clone().map(Proof::Password),
        }
    }
}

/// The lines of a request, still as they came.
#[derive(Default)]
struct Lines<'a> {
    single: [Option<&'a str>; SINGLE.len()],
    capabilities: Capabilities,
    marks: Vec<String>,
    wwwauth: Vec<String>,
}

impl<'a> Lines<'a> {
    fn take(&mut self, line: &'a [u8], number: usize) -> Result<(), Malformed> {
        let split = line.iter().position(|&byte| byte == b'=');
        let (key, value) = split.map_or((line, None), |at| (&line[..at], Some(&line[at + 1..])));
        // Only a known key is named: what looks like an unknown one may be the rest of a secret with a line break in it.
        let known = SINGLE.iter().chain(&LISTS).find(|known| known.as_bytes() == key);
        let place = || known.map_or_else(|| format!("line {number}"), |key| format!("`{key}`"));
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(Malformed::new(format!("{} holds a carriage return or NUL", place())));
        }
        let Some(value) = value else {
            return Err(Malformed::new(format!("line {number} has no `=`")));
        };
        match known {
            None => Ok(()),
            Some(&"wwwauth[]") => {
                // Server headers may be in any encoding, and nothing is decided by more than their ASCII part.
                add(&mut self.wwwauth, &String::from_utf8_lossy(value));
                Ok(())
            }
            Some(key) => {
                let value = core::str::from_utf8(value).map_err(|_| Malformed::new(format!("{} is not UTF-8", place())))?;
                self.put(key, value)
            }
        }
    }

    fn put(&mut self, key: &str, value: &'a str) -> Result<(), Malformed> {
        match (key, value) {
            ("capability[]", "") => self.capabilities = Capabilities::default(),
            ("capability[]", "authtype") => self.capabilities.authtype = true,
            ("capability[]", "state") => self.capabilities.state = true,
            ("capability[]", _) => {}
            ("state[]", mark) => add(&mut self.marks, mark),
            _ => {
                let slot = SINGLE.iter().position(|single| *single == key).map(|index| &mut self.single[index]);
                match slot {
                    Some(Some(before)) if *before != value => {
                        return Err(Malformed::new(format!("`{key}` comes twice with different values")));
                    }
                    Some(slot) => *slot = Some(value),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn settle(self) -> Result<Attributes, Malformed> {
        let [protocol, host, path, username, password, authtype, credential, expiry, refresh_token, ephemeral, url] = self.single;
        let url = url.map(url::split).transpose()?.unwrap_or_default();
        let trimmed = path.map(|path| path.trim_matches('/'));
        let secret = |value: &str| Secret::new(value.to_owned());
        if let (Some(a), Some(b)) = (password, &url.password)
            && a != b.expose()
        {
            return Err(Malformed::new("`url` and `password` differ"));
        }
        Ok(Attributes {
            protocol: printable("protocol", one("protocol", protocol, url.protocol, str::eq_ignore_ascii_case)?)?,
            host: printable("host", one("host", host, url.host, str::eq_ignore_ascii_case)?)?,
            path: printable("path", one("path", trimmed, url.path, str::eq)?)?,
            username: printable("username", one("username", username, url.username, str::eq)?)?,
            password: password.map(secret).or(url.password),
            authtype: authtype.map(ToOwned::to_owned),
            credential: credential.map(secret),
            // git takes anything else for "never" or "long ago"; here it counts as not said.
            expires_at: expiry.and_then(text::number),
            refresh_token: refresh_token.map(secret),
            ephemeral: ephemeral.is_some_and(truth),
            capabilities: self.capabilities,
            marks: self.marks,
            wwwauth: self.wwwauth,
        })
    }
}

fn add(list: &mut Vec<String>, value: &str) {
    if value.is_empty() {
        list.clear();
    } else {
        list.push(value.to_owned());
    }
}

/// Returns the value that stood for itself, or else the URL's; both must not differ.
fn one(
    key: &str,
    alone: Option<&str>,
    in_url: Option<String>,
    same: impl Fn(&str, &str) -> bool,
) -> Result<Option<String>, Malformed> {
    match (alone, in_url) {
        (Some(a), Some(b)) if !same(a, &b) => Err(Malformed::new(format!("`url` and `{key}` differ"))),
        (Some(value), _) => Ok(Some(value.to_owned())),
        (None, in_url) => Ok(in_url),
    }
}

fn printable(key: &str, value: Option<String>) -> Result<Option<String>, Malformed> {
    if value.as_deref().is_some_and(text::has_control) {
        return Err(Malformed::new(format!("`{key}` holds a control character")));
    }
    Ok(value)
}

/// Reads git's booleans. What is none counts as true, which keeps less.
fn truth(value: &str) -> bool {
    !["", "0", "false", "no", "off"].iter().any(|word| value.eq_ignore_ascii_case(word))
}
