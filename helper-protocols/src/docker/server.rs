//! Which registry a docker server string means.
use crate::text::number;
use alloc::{borrow::ToOwned, format, string::String};
use core::net::Ipv6Addr;

/// The name under which all of Docker Hub's aliases go.
const HUB: &str = "docker.io";
const HUB_ALIASES: [&str; 3] = [HUB, "index.docker.io", "registry-1.docker.io"];

/// Paths under which docker's own Hub sign-in keeps two tokens of its own. They are names of storage, not of a registry.
const HUB_STORAGE: [&str; 2] = ["/v1/access-token", "/v1/refresh-token"];

/// Returns the one name of the registry that `server` means: `host` or `host:port` in lower case, without scheme, path, port 443
/// and trailing dot; port 80 stays, because what answers there speaks without TLS; `docker.io` for every alias of Docker Hub. An IPv6 address stays in brackets.
///
/// The Hub's `…/v1/access-token` and `…/v1/refresh-token` come back as they were asked: they hold a slash, so they equal no registry.
///
/// Returns `None` for what is no plain registry name - user information, another scheme, empty labels, an unbracketed IPv6
/// address, anything outside ASCII - so that it can match nothing.
#[must_use]
pub fn normalize(server: &str) -> Option<String> {
    let server = server.trim();
    let rest = without_scheme(server);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let registry = registry(authority)?;
    if registry == HUB && HUB_STORAGE.contains(&path.trim_end_matches('/')) {
        return Some(server.trim_end_matches('/').to_owned());
    }
    Some(registry)
}

/// Strips `https://` or `http://` in any case. The colon of another scheme is left, where it makes a port without number.
fn without_scheme(server: &str) -> &str {
    match server.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") => rest,
        _ => server,
    }
}

fn registry(authority: &str) -> Option<String> {
    let (host, port) = split_port(authority)?;
    let host = if host.starts_with('[') { bracketed(host)? } else { name(host)? };
    Some(match port {
        None | Some(443) if HUB_ALIASES.contains(&host.as_str()) => HUB.to_owned(),
        None | Some(443) => host,
        Some(port) => format!("{host}:{port}"),
    })
}

/// Splits `host:port`. A port has to be a number from 1 to 65535; a name holds no colon.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[after_brackets..].find(':').map(|at| at + after_brackets) else {
        return Some((authority, None));
    };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    number(port).filter(|&port| port != 0).map(|port| (host, Some(port)))
}

fn bracketed(host: &str) -> Option<String> {
    let address: Ipv6Addr = host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
    Some(format!("[{address}]"))
}

fn name(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let plain =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    host.split('.').all(plain).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_registry_leads_to_one_name() {
        let table = [
            ("registry.example.com", "registry.example.com"),
            ("https://Registry.Example.COM/", "registry.example.com"),
            ("HTTP://registry.example.com./v2/", "registry.example.com"),
            ("registry.example.com:443", "registry.example.com"),
            ("https://registry.example.com:443", "registry.example.com"),
            ("http://registry.example.com:443", "registry.example.com"),
            ("registry.example.com:80", "registry.example.com:80"),
            ("registry.example.com:8443/team/app", "registry.example.com:8443"),
            ("registry.example.com/team/app", "registry.example.com"),
            ("registry.example.com/team@sha256:ab", "registry.example.com"),
            ("registry.example.com?ns=docker.io", "registry.example.com"),
            (" 127.0.0.1:5000\r\n", "127.0.0.1:5000"),
            ("localhost:05000", "localhost:5000"),
            ("my_host", "my_host"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]:443", "[::1]"),
            ("http://[2001:DB8::A]:5000/v1/", "[2001:db8::a]:5000"),
        ];
        for (server, registry) in table {
            assert_eq!(normalize(server).as_deref(), Some(registry), "{server}");
            assert_eq!(normalize(registry).as_deref(), Some(registry), "{registry} is not stable");
        }
    }

    #[test]
    fn every_alias_of_the_hub_is_docker_io() {
        for server in [
            "docker.io",
            "index.docker.io",
            "registry-1.docker.io",
            "https://index.docker.io/v1/",
            "https://index.docker.io/v1",
            "http://INDEX.docker.io:443/v2/",
            "docker.io/library/alpine",
            "docker.io.",
        ] {
            assert_eq!(normalize(server).as_deref(), Some("docker.io"), "{server}");
        }
        for other in ["hub.docker.com", "docker.io:5000", "xdocker.io", "index.docker.io.evil.test", "evil.index.docker.io"] {
            assert_ne!(normalize(other).as_deref(), Some("docker.io"), "{other}");
        }
    }

    #[test]
    fn the_hubs_two_token_keys_stay_as_they_are() {
        for key in
            ["https://index.docker.io/v1/access-token", "https://index.docker.io/v1/refresh-token", "docker.io/v1/access-token"]
        {
            assert_eq!(normalize(key).as_deref(), Some(key));
            assert_eq!(normalize(&format!("{key}/")).as_deref(), Some(key));
        }
        assert_eq!(normalize("https://registry.example.com/v1/access-token").as_deref(), Some("registry.example.com"));
        assert_eq!(normalize("https://index.docker.io/v1/access-tokens").as_deref(), Some("docker.io"));
    }

    #[test]
    fn what_is_no_plain_registry_name_matches_nothing() {
        for server in [
            "",
            "https://",
            "/v1/",
            "alice@registry.example.com",
            "https://alice:pw@registry.example.com/",
            "registry.example.com@evil.test",
            "ftp://registry.example.com",
            "nerdctl-experimental://registry.example.com:443?ns=x",
            "registry.example.com:",
            "registry.example.com:0",
            "registry.example.com:65536",
            "registry.example.com:+80",
            "registry.example.com:80:80",
            "registry..example.com",
            ".example.com",
            ".",
            "*.example.com",
            "registry.example.com\\evil",
            "registry example.com",
            "registry.example.com\nevil",
            "registry%2eexample.com",
            "b\u{fc}cher.example",
            "::1",
            "[::1",
            "[::1]x:5000",
            "[::1%eth0]",
            "[fe80]",
            "x[::1]",
        ] {
            assert_eq!(normalize(server), None, "{server:?}");
        }
    }
}
