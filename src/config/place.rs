//! The one spelling of a host, a git URL and a registry, so that two that mean the same compare equal and no others do.
use std::net::{Ipv4Addr, Ipv6Addr};

/// More path segments than this are not routed by, so that a look-up stays cheap.
pub(super) const DEEPEST: usize = 32;

/// A git URL in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// `https` or `http`.
    pub(crate) scheme: &'static str,
    pub(crate) user: Option<String>,
    /// Host, and port where it is not the scheme's own.
    pub(crate) host: String,
    /// Whole segments without a slash at either end.
    pub(crate) path: String,
}

impl Place {
    /// Reads a URL from the configuration.
    ///
    /// # Errors
    /// One sentence on what a git URL looks like.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("write the whole URL, as \"https://git.example.com\"")?;
        let scheme = known_scheme(scheme).ok_or("only https and http are answered")?;
        if rest.contains(['?', '#', '\\']) {
            return Err("a git URL has no `?`, `#` or `\\`");
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains([':', '@'])) {
            return Err("only the account's name goes before the host; write `:` in it as %3A and `@` as %40");
        }
        let user = user.map(|user| decode(user).ok_or("the account's name is not well formed")).transpose()?;
        if user.as_ref().is_some_and(String::is_empty) {
            return Err("the account's name before `@` is empty");
        }
        if host.contains('*') {
            return Err("patterns are for docker registries; name each git host");
        }
        if !host.is_ascii() {
            return Err("write the host in ASCII, as xn--mnchen-3ya.example for münchen.example");
        }
        let host = canonical_host(host, default_ports(scheme)).ok_or("the host is not well formed")?;
        let path = decode(path).ok_or("the path is not well formed")?;
        let path = path.trim_matches('/');
        if segments(path).count() > DEEPEST || (!path.is_empty() && plain_path(path).is_empty()) {
            return Err("the path is not well formed");
        }
        Ok(Self { scheme, user, host, path: path.to_owned() })
    }

    /// Reads the key of a git route (see [`super::Route::key`]), whose path is not escaped and does not end in `.git`; `None` for another
    /// key.
    pub(crate) fn of_route(key: &str) -> Option<Self> {
        let (scheme, rest) = key.strip_prefix("git ")?.split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.split_once('@').map_or((None, authority), |(user, host)| (decode(user), host));
        Some(Self { scheme: known_scheme(scheme)?, user, host: host.to_owned(), path: path.to_owned() })
    }

    /// Returns the URL without the account, its path percent-encoded.
    pub(crate) fn url(&self) -> String {
        let mut url = format!("{}://{}", self.scheme, self.host);
        for segment in segments(&self.path) {
            url.push('/');
            push_user(&mut url, segment);
        }
        url
    }

    /// Tells whether the host can be nobody but this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let name = match self.host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => name,
            _ => &self.host,
        };
        is_loopback(name)
    }
}

/// Returns the scheme in lower case, if it is one that can be routed.
pub(super) fn known_scheme(scheme: &str) -> Option<&'static str> {
    ["https", "http"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))
}

/// Returns the port that goes without saying.
pub(super) const fn default_ports(scheme: &str) -> &'static [u16] {
    if scheme.len() == "https".len() { &[443] } else { &[80] }
}

/// Tells whether `host`, in its one spelling and without a port, can be nobody but this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Returns `text`, a host with or without a port, in its one spelling: lower case, without a final dot and without a port of
/// `default_ports`. `None` for everything that a URL parser could read differently: user names, percent signs, backslashes, blanks,
/// control and non-ASCII characters, empty labels, odd ports.
pub(super) fn canonical_host(text: &str, default_ports: &[u16]) -> Option<String> {
    canonical(text, default_ports, false)
}

/// Returns `text`, a registry's host in which `*` stands for whole labels, in its one spelling. At least two labels, the last
/// among them, must be named.
pub(super) fn canonical_pattern(text: &str) -> Option<String> {
    let pattern = canonical(text, &[443, 80], true)?;
    let host = pattern.split(':').next()?;
    let named = host.split('.').filter(|label| *label != "*").count();
    (named >= 2 && named < host.split('.').count() && !host.ends_with('*') && host.split('.').count() <= 32).then_some(pattern)
}

fn canonical(text: &str, default_ports: &[u16], pattern: bool) -> Option<String> {
    let (mut host, port) = if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), port)
    } else {
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        let name = name.strip_suffix('.').unwrap_or(name);
        let good = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(plain) || pattern && label == "*"
        };
        if name.len() > 253 || !name.split('.').all(good) {
            return None;
        }
        (name.to_ascii_lowercase(), port)
    };
    if let Some(port) = port {
        if port.len() > 5 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
        if !default_ports.contains(&port) {
            host.push(':');
            host.push_str(&port.to_string());
        }
    }
    Some(host)
}

/// Returns the segments of a path without slashes at its ends.
pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Returns `path` without slashes at its ends, or nothing if a server could read it as another one (`..`, empty segments,
/// backslashes, control characters) or it is longer than any path that is meant.
pub(super) fn plain_path(path: &str) -> &str {
    let path = path.trim_matches('/');
    let odd = |segment: &str| matches!(segment, "" | "." | "..");
    if path.len() > 4096 || path.split('/').any(odd) || path.contains(|c: char| c.is_control() || c == '\\') { "" } else { path }
}

/// Returns `path` without the `.git` that servers take or leave at the end of a repository's name.
pub(super) fn without_git_suffix(path: &str) -> &str {
    path.strip_suffix(".git").filter(|rest| !rest.is_empty() && !rest.ends_with('/')).unwrap_or(path)
}

/// Writes `user` behind `key` so that no name can look like another key: all but letters, digits and `-._~` percent-encoded.
pub(super) fn push_user(key: &mut String, user: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            key.push(char::from(byte));
        } else {
            key.extend(['%', char::from(DIGITS[usize::from(byte >> 4)]), char::from(DIGITS[usize::from(byte & 15)])]);
        }
    }
}

/// Resolves percent escapes, as git does with the parts of a URL before it asks a helper.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits =
                std::str::from_utf8(after.get(..2)?).ok().filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_mean_the_same_are_spelt_the_same() {
        let cases = [
            ("github.com", "github.com"),
            ("GITHUB.COM", "github.com"),
            ("github.com.", "github.com"),
            ("github.com:443", "github.com"),
            ("github.com.:0443", "github.com"),
            ("github.com:8443", "github.com:8443"),
            ("github.com:80", "github.com:80"),
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("[::1]", "[::1]"),
            ("[0:0::1]:443", "[::1]"),
            ("[::1]:8080", "[::1]:8080"),
            ("my_host", "my_host"),
        ];
        for (text, host) in cases {
            assert_eq!(canonical_host(text, &[443]).as_deref(), Some(host), "{text}");
        }
    }

    #[test]
    fn hosts_that_could_be_read_two_ways_are_none() {
        let long = "x".repeat(64);
        let longer = "abc.".repeat(80);
        for text in [
            "",
            ".",
            "..",
            "github.com..",
            ".github.com",
            "git..hub.com",
            "alice@github.com",
            "github.com@evil",
            "github.com\\",
            "github.com\\@evil",
            "github.com/",
            "github.com%2eevil",
            "github.com evil",
            "github.com\n",
            "github.com\revil",
            "github.com\0",
            "github.com\u{2028}",
            "g\u{456}thub.com",
            "github。com",
            "github.com:",
            "github.com:0",
            "github.com:65536",
            "github.com:999999",
            "github.com:+443",
            "github.com:44 3",
            "github.com:443:443",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]8080",
            "[github.com]",
            "[::1%25eth0]",
            "*.github.com",
            "github.com?x",
            "github.com#x",
            &long,
            &longer,
        ] {
            assert_eq!(canonical_host(text, &[443]), None, "{text:?}");
        }
    }

    #[test]
    fn patterns_name_at_least_two_labels() {
        let cases = [
            ("*.azurecr.io", Some("*.azurecr.io")),
            ("*.DKR.ecr.*.amazonaws.com:443", Some("*.dkr.ecr.*.amazonaws.com")),
            ("*.example.com:5000", Some("*.example.com:5000")),
            ("registry.example.com", None),
            ("*", None),
            ("*.com", None),
            ("*.*.com", None),
            ("example.com.*", None),
            ("x*.example.com", None),
            ("**.example.com", None),
            (".example.com", None),
            ("*.example.com/team", None),
        ];
        for (text, pattern) in cases {
            assert_eq!(canonical_pattern(text).as_deref(), pattern, "{text}");
        }
    }

    #[test]
    fn loopback_is_told_by_the_literal_address_or_the_one_name() {
        for url in ["http://127.0.0.1", "http://127.9.9.9:8080/x", "http://localhost", "http://LOCALHOST:80", "http://[::1]:3000"]
        {
            assert!(Place::parse(url).unwrap().is_loopback(), "{url}");
        }
        for url in [
            "http://127.0.0.1.evil.net",
            "http://localhost.evil.net",
            "http://0.0.0.0",
            "http://127.1",
            "http://[::2]",
            "http://10.0.0.1",
        ] {
            assert!(!Place::parse(url).unwrap().is_loopback(), "{url}");
        }
    }

    #[test]
    fn a_url_is_taken_apart_and_its_escapes_resolved() {
        let place = Place::parse("HTTPS://alice%40corp.com@Git.Example.com:443/a%20b/c.git/").unwrap();
        assert_eq!((place.scheme, place.user.as_deref()), ("https", Some("alice@corp.com")));
        assert_eq!((place.host.as_str(), place.path.as_str()), ("git.example.com", "a b/c.git"));
    }

    #[test]
    fn the_key_of_a_route_becomes_the_url_it_was_made_of() {
        let rows = [
            ("git https://h.com", None, "https://h.com"),
            ("git https://evil%2Fx%40y@h.com:8443/a b/c@d", Some("evil/x@y"), "https://h.com:8443/a%20b/c%40d"),
            ("git http://[::1]:3000/100%/\u{e4}", None, "http://[::1]:3000/100%25/%C3%A4"),
        ];
        for (key, user, url) in rows {
            let place = Place::of_route(key).unwrap();
            assert_eq!((place.user.as_deref(), place.url().as_str()), (user, url));
            assert_eq!(Place { user: None, ..place }, Place::parse(url).unwrap());
        }
        for key in ["docker h.com", "aws prod"] {
            assert_eq!(Place::of_route(key), None);
        }
    }

    #[test]
    fn urls_that_are_none_are_refused() {
        let deep = format!("https://h/{}", "a/".repeat(DEEPEST + 1));
        for url in [
            "git.example.com",
            "ssh://git.example.com",
            "https://",
            "https:///path",
            "https://@h",
            "https://alice:password@h",
            "https://a@b@h",
            "https://h?x=1",
            "https://h#x",
            "https://h\\x",
            "https://h/a/../b",
            "https://h/a//b",
            "https://h/%2e%2e",
            "https://h/%zz",
            "https://h/%0a",
            "https://*.example.com",
            &deep,
        ] {
            assert!(Place::parse(url).is_err(), "{url}");
        }
        for url in ["https://größe.example", "https://me@größe.example:8443/a", "https://git。example.com"] {
            assert!(Place::parse(url).is_err_and(|reason| reason.contains("xn--")), "{url}");
        }
    }

    #[test]
    fn a_path_that_a_server_could_read_differently_counts_as_none() {
        for (path, plain) in
            [("a/b", "a/b"), ("/a/b/", "a/b"), ("a/../b", ""), ("./a", ""), ("a//b", ""), ("a\\b", ""), ("a\n", ""), ("", "")]
        {
            assert_eq!(plain_path(path), plain, "{path:?}");
        }
        assert_eq!(plain_path(&"a/".repeat(4000)), "");
        for (path, without) in [("a/b.git", "a/b"), ("a/b", "a/b"), (".git", ".git"), ("a/.git", "a/.git"), ("b.git", "b")] {
            assert_eq!(without_git_suffix(path), without);
        }
    }

    #[test]
    fn a_user_name_cannot_end_its_part_of_a_key() {
        let mut key = String::new();
        push_user(&mut key, "evil.com/foo@ä:%");
        assert_eq!(key, "evil.com%2Ffoo%40%C3%A4%3A%25");
    }
}
