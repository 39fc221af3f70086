//! The redirect URI of a login: where the answer to a sign-in in a browser comes.
use super::document::{Located, Section};
use crate::failure::Failure;
use url::{Host, Url};

/// What is registered where the configuration says nothing else (RFC 8252 §7.3).
pub(super) const USUAL: &str = "http://127.0.0.1/callback";

/// What servers without a page of their own call it that a code is shown instead of sent.
const OUT_OF_BAND: [&str; 2] = ["urn:ietf:wg:oauth:2.0:oob", "urn:ietf:wg:oauth:2.0:oob:auto"];

/// Where the answer to a sign-in comes, as it is registered at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// This machine. The path is as it is registered: empty, or with a slash in front.
    Loopback { host: LoopbackHost, path: String },
    /// A page that shows the code: its URI.
    OutOfBand(String),
}

/// How a redirect URI names this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopbackHost {
    V4,
    V6,
    /// By name, which a browser may take to either address (RFC 8252 §8.3).
    Localhost,
}

impl LoopbackHost {
    const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Localhost];

    /// Returns the host as a URI has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.1",
            Self::V6 => "[::1]",
            Self::Localhost => "localhost",
        }
    }
}

impl Redirect {
    /// Returns the `redirect_uri` of a request whose answer is waited for on `port`.
    pub(crate) fn uri(&self, port: u16) -> String {
        match self {
            Self::Loopback { host, path } => format!("http://{}:{port}{path}", host.name()),
            Self::OutOfBand(uri) => uri.clone(),
        }
    }

    /// Returns what has to be registered at the server where `ports` are listened on, to be shown.
    pub(crate) fn registered(&self, ports: &[u16]) -> String {
        match self {
            Self::Loopback { host, path } if ports.is_empty() => format!("`http://{}{path}` with any port", host.name()),
            _ if ports.is_empty() => format!("`{}`", self.uri(0)),
            _ => ports.iter().map(|port| format!("`{}`", self.uri(*port))).collect::<Vec<_>>().join(" and "),
        }
    }
}

/// Reads `redirect_uri` (`known` where there is none) and the ports to listen on, in turn; none lets the system pick.
///
/// # Errors
/// Names the line of what keyfob could not receive an answer at.
pub(super) fn read(section: &Section<'_>, known: &str) -> Result<(Redirect, Vec<u16>), Failure> {
    let text = section.text("redirect_uri")?.unwrap_or_else(|| section.with(known));
    let (redirect, own) = parse(&text)?;
    let ports = read_ports(section)?;
    let Some(key) = ["redirect_port", "redirect_ports"].into_iter().find(|key| section.value.contains_key(*key)) else {
        return Ok((redirect, own.into_iter().collect()));
    };
    let wrong = match (&redirect, own) {
        (Redirect::OutOfBand(_), _) => format!("`{key}` is of no use with a `redirect_uri` that is not on this machine"),
        (_, Some(_)) => format!("a login has a port in `redirect_uri` or `{key}`, not both"),
        (_, None) => return Ok((redirect, ports)),
    };
    Err(section.at(key).fault(&wrong))
}

fn read_ports(section: &Section<'_>) -> Result<Vec<u16>, Failure> {
    let one = section.number("redirect_port", 1..=65535)?;
    let many = section.numbers("redirect_ports", 1..=65535)?;
    if one.is_some() && many.is_some() {
        return Err(section.at("redirect_port").fault("a login has `redirect_port` or `redirect_ports`, not both"));
    }
    Ok(many.unwrap_or_default().into_iter().chain(one).filter_map(|port| u16::try_from(port).ok()).collect())
}

/// Reads one redirect URI and the port that is in it.
fn parse(text: &Located<'_, &str>) -> Result<(Redirect, Option<u16>), Failure> {
    if OUT_OF_BAND.contains(&text.value) {
        return Ok((Redirect::OutOfBand(text.value.to_owned()), None));
    }
    let hint = "register `http://127.0.0.1/callback` there and leave `redirect_uri` out; where the server takes nothing of the kind, \
                use the device flow, or a page of the server's that shows the code";
    text.read(|text| check(text)).map_err(|failure| failure.hint(hint))
}

fn check(text: &str) -> Result<(Redirect, Option<u16>), String> {
    let url = Url::parse(text).map_err(|_| "`redirect_uri` must be a whole URI, as \"http://127.0.0.1/callback\"".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "keyfob has no way to receive what is sent to `{}:`; only http on this machine, or a page that shows the code",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`redirect_uri` must not hold a user name or password".into());
    }
    if text.contains(['?', '#']) {
        return Err("`redirect_uri` must not have a `?` or `#` part".into());
    }
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        None => false,
    };
    match (url.scheme(), here) {
        ("https", true) => Err("keyfob answers no https on this machine; the `redirect_uri` must begin with http://".into()),
        ("https", false) => Ok((Redirect::OutOfBand(text.to_owned()), None)),
        (_, false) => Err("an http `redirect_uri` must lead to this machine, or anybody on the way could read the code".into()),
        (_, true) => loopback(text, &url),
    }
}

/// Reads the URI letter for letter, since servers compare it so.
fn loopback(text: &str, url: &Url) -> Result<(Redirect, Option<u16>), String> {
    let rest = text.strip_prefix("http://").unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = LoopbackHost::ALL.into_iter().find(|host| authority.starts_with(host.name()));
    let Some((host, port)) = host.map(|host| (host, &authority[host.name().len()..])) else {
        return Err("the host of an http `redirect_uri` must be 127.0.0.1, localhost or [::1], written so".into());
    };
    let number = port
        .strip_prefix(':')
        .and_then(|digits| digits.parse::<u16>().ok().filter(|number| *number > 0 && number.to_string() == digits));
    if !port.is_empty() && number.is_none() {
        return Err("the port of `redirect_uri` must be a whole number from 1 to 65535".into());
    }
    if !path.is_empty() && path != url.path() {
        return Err(format!("the path of `redirect_uri` must be written as browsers ask for it: `{}`", url.path()));
    }
    Ok((Redirect::Loopback { host, path: path.to_owned() }, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Login;
    use crate::config::tests::from_texts;

    fn login(more: &str) -> Result<Login, Failure> {
        let text = format!("[login.x]\nissuer = \"https://sso.example.com\"\nclient_id = \"c\"\n{more}");
        from_texts(&[&text]).map(|config| config.logins["x"].clone())
    }

    fn here(host: LoopbackHost, path: &str) -> Redirect {
        Redirect::Loopback { host, path: path.into() }
    }

    #[test]
    fn a_redirect_uri_is_read_letter_for_letter() {
        use LoopbackHost::{Localhost, V4, V6};
        let rows: [(&str, Redirect, &[u16]); 12] = [
            ("", here(V4, "/callback"), &[]),
            ("http://127.0.0.1", here(V4, ""), &[]),
            ("http://127.0.0.1/", here(V4, "/"), &[]),
            ("http://127.0.0.1:8400", here(V4, ""), &[8400]),
            ("http://127.0.0.1:80/callback", here(V4, "/callback"), &[80]),
            ("http://localhost", here(Localhost, ""), &[]),
            ("http://localhost/", here(Localhost, "/"), &[]),
            ("http://localhost:7171/auth/redirect", here(Localhost, "/auth/redirect"), &[7171]),
            ("http://[::1]:65535/a%20b", here(V6, "/a%20b"), &[65535]),
            ("http://[::1]/start/x", here(V6, "/start/x"), &[]),
            ("urn:ietf:wg:oauth:2.0:oob", Redirect::OutOfBand("urn:ietf:wg:oauth:2.0:oob".into()), &[]),
            ("https://sso.example.com/code", Redirect::OutOfBand("https://sso.example.com/code".into()), &[]),
        ];
        for (text, expected, ports) in rows {
            let line = if text.is_empty() { String::new() } else { format!("redirect_uri = \"{text}\"\n") };
            let login = login(&line).unwrap();
            assert_eq!((&login.redirect, login.redirect_ports.as_slice()), (&expected, ports), "{text}");
            let sent = login.redirect.uri(ports.first().copied().unwrap_or(4000));
            let registered = sent.replace(":4000", "");
            assert_eq!(registered, if text.is_empty() { USUAL } else { text });
        }
    }

    #[test]
    fn what_could_not_be_answered_at_is_refused_with_its_line() {
        let rows = [
            ("http://192.0.2.1/callback", "must lead to this machine"),
            ("http://sso.example.com/callback", "must lead to this machine"),
            ("http://localhost.example.com/", "must lead to this machine"),
            ("http://127.0.0.2/callback", "must be 127.0.0.1, localhost or [::1]"),
            ("http://0.0.0.0/callback", "must be 127.0.0.1, localhost or [::1]"),
            ("http://app.localhost/callback", "must be 127.0.0.1, localhost or [::1]"),
            ("http://LOCALHOST/callback", "must be 127.0.0.1, localhost or [::1]"),
            ("http://[0:0:0:0:0:0:0:1]/callback", "must be 127.0.0.1, localhost or [::1]"),
            ("HTTP://127.0.0.1/callback", "must be 127.0.0.1, localhost or [::1]"),
            ("http://127.0.0.1:0/callback", "from 1 to 65535"),
            ("http://127.0.0.1:/callback", "from 1 to 65535"),
            ("http://127.0.0.1:080/callback", "from 1 to 65535"),
            ("http://127.0.0.1/a b", "written as browsers ask for it: `/a%20b`"),
            ("http://127.0.0.1/a/../b", "written as browsers ask for it: `/b`"),
            ("http://alice@127.0.0.1/callback", "user name or password"),
            ("http://:pw@127.0.0.1/callback", "user name or password"),
            ("http://127.0.0.1/callback?x=y", "`?` or `#`"),
            ("http://127.0.0.1/callback#", "`?` or `#`"),
            ("https://sso.example.com/code?x", "`?` or `#`"),
            ("https://127.0.0.1/callback", "no https on this machine"),
            ("https://localhost:8400/callback", "no https on this machine"),
            ("myapp:/callback", "no way to receive what is sent to `myapp:`"),
            ("com.example.app:/oauth2redirect", "no way to receive"),
            ("urn:ietf:wg:oauth:2.0:oob:other", "no way to receive what is sent to `urn:`"),
            ("callback", "must be a whole URI"),
            ("http://", "must be a whole URI"),
        ];
        for (text, message) in rows {
            let failure = login(&format!("redirect_uri = \"{text}\"\n")).unwrap_err();
            assert!(failure.message.starts_with("/1.toml:4: "), "{}", failure.message);
            assert!(failure.message.contains(message), "{text}: {}", failure.message);
            assert!(failure.hints.concat().contains("http://127.0.0.1/callback"), "{text}");
        }
    }

    #[test]
    fn a_port_stands_in_one_place() {
        assert_eq!(login("redirect_port = 7171\n").unwrap().redirect_ports, [7171]);
        assert_eq!(login("redirect_ports = [1, 65535]\n").unwrap().redirect_ports, [1, 65535]);
        let rows = [
            ("redirect_uri = \"http://localhost:1/\"\nredirect_port = 2\n", "in `redirect_uri` or `redirect_port`, not both"),
            ("redirect_uri = \"http://localhost:1/\"\nredirect_ports = [2]\n", "in `redirect_uri` or `redirect_ports`, not both"),
            ("redirect_uri = \"urn:ietf:wg:oauth:2.0:oob\"\nredirect_port = 2\n", "is of no use"),
            ("redirect_uri = \"https://sso.example.com/\"\nredirect_ports = [2]\n", "is of no use"),
        ];
        for (more, message) in rows {
            let failure = login(more).unwrap_err();
            assert!(failure.message.starts_with("/1.toml:5: ") && failure.message.contains(message), "{}", failure.message);
        }
    }

    #[test]
    fn what_is_registered_names_every_port_or_says_any() {
        let redirect = |text: &str| login(&format!("redirect_uri = \"{text}\"\n")).unwrap().redirect;
        assert_eq!(redirect("http://localhost/a").registered(&[]), "`http://localhost/a` with any port");
        assert_eq!(redirect("http://[::1]").registered(&[1, 2]), "`http://[::1]:1` and `http://[::1]:2`");
        assert_eq!(redirect("https://sso.example.com/code").registered(&[]), "`https://sso.example.com/code`");
    }
}
