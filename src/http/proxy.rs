//! The proxies that the environment names, and which of them a request goes through.
use crate::config::Environment;
use crate::failure::{Failure, Kind};
use crate::terminal::printable;
use helper_protocols::Secret;
use reqwest::blocking::ClientBuilder;
use reqwest::{NoProxy, Proxy};
use std::net::IpAddr;
use url::Url;

/// Where requests to this machine go: never through a proxy, which would be another machine's idea of it.
const HERE: &str = "localhost,127.0.0.0/8,::1";

/// The proxies for https and for http.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    https: Option<Named>,
    http: Option<Named>,
    /// Where no proxy is used, as `no_proxy` has it.
    except: String,
}

/// One proxy, and the variable that names it.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) variable: &'static str,
    /// As it is named, without user name and password, fit to be shown.
    pub(super) shown: String,
    pub(super) has_password: bool,
    /// The whole address.
    address: Secret,
}

impl Proxies {
    /// Reads the variables as curl does, small letters first; `HTTP_PROXY` is left out, since a web server sets it from what a visitor sends
    /// (CGI, RFC 3875 §4.1.18). None where none is set: then the system's own settings apply.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] naming the variable that holds no address of a proxy; never its value, which may hold a password.
    pub(super) fn read(environment: &Environment) -> Result<Option<Self>, Failure> {
        let first = |names: &[&'static str]| names.iter().find_map(|name| environment.text(name).map(|value| (*name, value)));
        let named = |names: &[&'static str]| first(names).map(|(name, value)| parse(name, &value)).transpose();
        let proxies = Self {
            https: named(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            http: named(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
            except: first(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value).unwrap_or_default(),
        };
        Ok((proxies.https.is_some() || proxies.http.is_some()).then_some(proxies))
    }

    /// Lets the requests of `builder` go through these proxies, and none through another.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] naming the variable whose proxy the HTTP client does not take.
    pub(super) fn apply(&self, mut builder: ClientBuilder) -> Result<ClientBuilder, Failure> {
        builder = builder.no_proxy();
        for (named, is_for_https) in [(&self.https, true), (&self.http, false)] {
            let Some(named) = named else { continue };
            let address = named.address.expose();
            let proxy = if is_for_https { Proxy::https(address) } else { Proxy::http(address) };
            let proxy = proxy.map_err(|_| unusable(named.variable, "it is no address of a proxy"))?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&format!("{},{HERE}", self.except))));
        }
        Ok(builder)
    }

    /// Returns the proxy for URLs like `url`, unless `no_proxy` names its host.
    pub(super) fn of(&self, url: &Url) -> Option<&Named> {
        let named = if url.scheme() == "http" { self.http.as_ref() } else { self.https.as_ref() };
        named.filter(|_| !is_excepted(&format!("{},{HERE}", self.except), url))
    }
}

/// Whether `list`, which is written as `no_proxy`, names the host of `url`: by name with everything below it, address, network or `*`.
fn is_excepted(list: &str, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.');
    let address = host.parse::<IpAddr>().ok();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let name = entry.trim_start_matches('.');
        let below = || host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        entry == "*" || address.map_or_else(below, |address| is_within(entry, address))
    })
}

/// Whether `address` is `network` (`192.0.2.1`), or in it (`192.0.2.0/24`).
fn is_within(network: &str, address: IpAddr) -> bool {
    let (base, length) = network.split_once('/').map_or((network, None), |(base, length)| (base, length.parse::<u32>().ok()));
    let common = |one: u128, other: u128, bits: u32| {
        let length = length.unwrap_or(bits).min(bits);
        length == 0 || (one ^ other) >> (bits - length) == 0
    };
    match (base.parse(), address) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address)) => common(u32::from(base).into(), u32::from(address).into(), 32),
        (Ok(IpAddr::V6(base)), IpAddr::V6(address)) => common(base.into(), address.into(), 128),
        _ => false,
    }
}

fn unusable(variable: &str, reason: &str) -> Failure {
    Failure::new(Kind::Misconfigured, format!("cannot use the proxy in `{variable}`"))
        .because(reason)
        .hint("write it as http://USER:PASSWORD@proxy.example.com:3128, with %23 for a # and %40 for an @ in the password")
}

fn parse(variable: &'static str, text: &str) -> Result<Named, Failure> {
    let whole = if text.contains("://") { text.trim().to_owned() } else { format!("http://{}", text.trim()) };
    let url = Url::parse(&whole).map_err(|_| unusable(variable, "it is no address of a proxy"))?;
    if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h" | "socks4" | "socks4a") {
        return Err(unusable(variable, &format!("there is no way through a proxy of the kind `{}`", printable(url.scheme()))));
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(unusable(variable, "it names no host"));
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(unusable(variable, "it goes on behind the host and the port"));
    }
    let port = url.port_or_known_default().unwrap_or(1080);
    Ok(Named {
        variable,
        shown: format!("{}://{}:{port}", url.scheme(), printable(host)),
        has_password: !url.username().is_empty(),
        address: Secret::new(url.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_proxy_names_goes_through_none() {
        let list = " corp.example, .dot.example,192.0.2.7,198.51.100.0/24,2001:db8::/32";
        let rows = [
            ("https://corp.example/x", true),
            ("https://sso.corp.example", true),
            ("https://sso.corp.example.", true),
            ("https://xcorp.example", false),
            ("https://corp.example.net", false),
            ("https://a.dot.example", true),
            ("https://192.0.2.7", true),
            ("https://192.0.2.70", false),
            ("https://198.51.100.9", true),
            ("https://198.51.101.9", false),
            ("https://[2001:db8::1]", true),
            ("https://[2001:db9::1]", false),
        ];
        for (url, expected) in rows {
            assert_eq!(is_excepted(list, &Url::parse(url).unwrap()), expected, "{url}");
        }
        let named = |url: &str| {
            let pairs = [("https_proxy", "http://p:1"), ("http_proxy", "http://p:2"), ("no_proxy", "corp.example")];
            let environment = Environment::from_map(pairs.map(|(name, value)| (name.into(), value.into())));
            let proxies = Proxies::read(&environment).unwrap().unwrap();
            proxies.of(&Url::parse(url).unwrap()).map(|named| named.variable)
        };
        assert_eq!(named("https://sso.example.com"), Some("https_proxy"));
        assert_eq!(named("https://sso.corp.example"), None);
        for here in ["http://127.0.0.1:4000", "http://localhost:4000", "http://[::1]:4000"] {
            assert_eq!(named(here), None, "{here}");
        }
        assert!(is_excepted("*", &Url::parse("https://any.example").unwrap()));
        let capital = Environment::from_map([("HTTP_PROXY".into(), "http://visitor:1".into())]);
        assert!(Proxies::read(&capital).unwrap().is_none(), "a visitor of a web server sets it");
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Proxies>, Failure> {
        Proxies::read(&Environment::from_map(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()))))
    }

    #[test]
    fn small_letters_come_first_and_the_one_for_all_last() {
        let (https, http) = (Url::parse("https://h").unwrap(), Url::parse("http://h").unwrap());
        type Row = (&'static [(&'static str, &'static str)], Option<&'static str>, Option<&'static str>);
        let rows: [Row; 6] = [
            (&[("https_proxy", "http://a:1"), ("HTTPS_PROXY", "http://b:2")], Some("https_proxy http://a:1"), None),
            (&[("HTTPS_PROXY", "b:2"), ("ALL_PROXY", "c:3")], Some("HTTPS_PROXY http://b:2"), Some("ALL_PROXY http://c:3")),
            (
                &[("all_proxy", "socks5h://c"), ("ALL_PROXY", "d")],
                Some("all_proxy socks5h://c:1080"),
                Some("all_proxy socks5h://c:1080"),
            ),
            (&[("http_proxy", "proxy.example.com")], None, Some("http_proxy http://proxy.example.com:80")),
            (&[("https_proxy", "https://[::1]/")], Some("https_proxy https://[::1]:443"), None),
            (&[("https_proxy", ""), ("HTTPS_PROXY", "b:2")], Some("HTTPS_PROXY http://b:2"), None),
        ];
        for (pairs, for_https, for_http) in rows {
            let proxies = read(pairs).unwrap().unwrap();
            let shown = |url| proxies.of(url).map(|named| format!("{} {}", named.variable, named.shown));
            assert_eq!((shown(&https).as_deref(), shown(&http).as_deref()), (for_https, for_http), "{pairs:?}");
        }
        assert!(read(&[("no_proxy", "*")]).unwrap().is_none());
    }

    #[test]
    fn no_password_of_a_proxy_is_ever_shown() {
        for address in ["http://alice:s3cret%40x@proxy:3128", "http://alice:s3cret@x@proxy:3128", "alice:s3cret@proxy:3128"] {
            let proxies = read(&[("https_proxy", address)]).unwrap().unwrap();
            let named = proxies.https.as_ref().unwrap();
            assert_eq!((named.shown.as_str(), named.has_password), ("http://proxy:3128", true), "{address}");
            assert!(!format!("{proxies:?}").contains("s3cret"), "{address}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_by_the_name_of_its_variable() {
        let rows = [
            ("http://alice:s3#cret@proxy:3128", "it is no address"),
            ("http://proxy:port", "it is no address"),
            ("http://", "it is no address"),
            ("socks5://", "it names no host"),
            ("ftp://proxy", "of the kind `ftp`"),
            ("http://proxy/s3cret", "goes on behind"),
            ("http://proxy?s3cret", "goes on behind"),
        ];
        for (address, reason) in rows {
            let failure = read(&[("HTTPS_PROXY", address)]).unwrap_err();
            assert!(failure.message.contains("`HTTPS_PROXY`") && failure.message.contains(reason), "{address}: {failure}");
            assert!(!failure.lines().contains("cret@") && !failure.lines().contains("s3"), "{address}: {failure}");
        }
    }
}
