//! Where a login's authorization server is: its issuer or its endpoints, by preset or by hand.
use super::{
    document::Section,
    preset::{Preset, Server},
};
use crate::failure::Failure;
use url::{Host, Url};

/// Endpoints that need no discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) authorization: Option<Url>,
    pub(crate) token: Option<Url>,
    pub(crate) revocation: Option<Url>,
    pub(crate) device_authorization: Option<Url>,
    /// What says whose an access token is.
    pub(crate) userinfo: Option<Url>,
}

/// What a login says of its server.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) issuer: Option<Url>,
    pub(super) endpoints: Endpoints,
    /// The page to register a client at, to be shown.
    pub(super) registration: Option<String>,
    /// Whether it is the preset's public instance.
    pub(super) at_home: bool,
}

/// Reads the keys that say where the server is.
///
/// # Errors
/// Names the line of what does not fit.
pub(super) fn read(section: &Section<'_>, preset: Option<&Preset>) -> Result<Place, Failure> {
    let allow_http = section.flag("allow_http")?.unwrap_or(false);
    let issuer = section.text("issuer")?;
    if let (Some(issuer), true) = (&issuer, preset.is_some()) {
        return Err(issuer.fault("a login has `preset` or `issuer`, not both"));
    }
    let mut place = match preset {
        Some(preset) => of_preset(section, preset, allow_http)?,
        None => {
            if let Some(key) = ["host", "tenant", "realm"].into_iter().find(|key| section.value.contains_key(*key)) {
                return Err(section.at(key).fault(&format!("`{key}` goes with a `preset`; name the server with `issuer`")));
            }
            let issuer = issuer.map(|text| text.read(|text| server_url(text, "issuer", allow_http, false))).transpose()?;
            Place { issuer, ..Place::default() }
        }
    };
    read_endpoints(section, &mut place.endpoints, allow_http)?;
    Ok(place)
}

fn of_preset(section: &Section<'_>, preset: &Preset, allow_http: bool) -> Result<Place, Failure> {
    let root = read_root(section, preset, allow_http)?;
    let part = read_part(section, preset)?;
    let at = |path: &str| root.join(&path.replace("{}", &part)).ok();
    let mut place = Place { at_home: !section.value.contains_key("host"), ..Place::default() };
    match preset.server {
        Server::Endpoints { authorization, token, revocation, device_authorization } => {
            let with_device = !preset.own_device_client || section.value.contains_key("device_client_id");
            place.endpoints = Endpoints {
                authorization: at(authorization),
                token: at(token),
                revocation: revocation.and_then(at),
                device_authorization: device_authorization.filter(|_| with_device).and_then(at),
                userinfo: preset
                    .userinfo
                    .and_then(|userinfo| at(if place.at_home { userinfo.at_home } else { userinfo.elsewhere })),
            };
        }
        // an issuer is written without the slash that a root ends with
        Server::Issuer(path) => {
            let issuer = at(path).map(|url| url.as_str().trim_end_matches('/').to_owned());
            place.issuer = issuer.and_then(|text| Url::parse(&text).ok());
        }
    }
    place.registration = at(preset.registration.page).map(|url| url.to_string().replace("%20", " "));
    Ok(place)
}

/// Returns the root below which a preset's endpoints lie, from `host` or the preset's public instance.
fn read_root(section: &Section<'_>, preset: &Preset, allow_http: bool) -> Result<Url, Failure> {
    let host = match (section.text("host")?, preset.host) {
        (Some(host), _) if !preset.has_a_host() => {
            return Err(host.fault("this preset has its server at Google's own addresses; leave `host` out"));
        }
        (Some(host), _) => host,
        (None, Some(public)) => section.with(public),
        (None, None) => return Err(section.fault("this preset needs the `host`").hint("add `host = \"git.example.com\"`")),
    };
    host.read(|host| {
        let root = if host.contains("://") { (*host).to_owned() } else { format!("https://{host}") };
        server_url(&format!("{}/", root.trim_end_matches('/')), "host", allow_http, false)
    })
}

/// Returns what stands for `{}` in a preset's paths.
fn read_part(section: &Section<'_>, preset: &Preset) -> Result<String, Failure> {
    let wanted = preset.part.map(|part| part.key);
    if let Some(key) = ["tenant", "realm"].into_iter().find(|key| wanted != Some(*key) && section.value.contains_key(*key)) {
        return Err(section.at(key).fault(&format!("this preset has no `{key}`")));
    }
    let Some(part) = preset.part else { return Ok(String::new()) };
    let text = match (section.text(part.key)?, part.usual) {
        (Some(text), _) => text,
        (None, Some(usual)) => section.with(usual),
        (None, None) => {
            let fault = section.fault(&format!("this preset needs the `{}`", part.key));
            return Err(fault.hint(format!("add `{} = \"{}\"`", part.key, part.example)));
        }
    };
    let plain = |text: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && text.chars().any(|c| c.is_ascii_alphanumeric())
    };
    text.read(
        |text| {
            if plain(text) { Ok((*text).to_owned()) } else { Err(format!("`{}` must be letters, digits and `._-`", part.key)) }
        },
    )
}

fn read_endpoints(section: &Section<'_>, endpoints: &mut Endpoints, allow_http: bool) -> Result<(), Failure> {
    let Some(given) = section.section("endpoints")? else { return Ok(()) };
    given.allow(&["authorization", "token", "revocation", "device_authorization", "userinfo"])?;
    for (key, endpoint) in [
        ("authorization", &mut endpoints.authorization),
        ("token", &mut endpoints.token),
        ("revocation", &mut endpoints.revocation),
        ("device_authorization", &mut endpoints.device_authorization),
        ("userinfo", &mut endpoints.userinfo),
    ] {
        if let Some(text) = given.text(key)? {
            *endpoint = Some(text.read(|text| server_url(text, key, allow_http, true))?);
        }
    }
    Ok(())
}

/// Reads the address of an authorization server: https, or http where it is this machine or `allow_http` is set.
fn server_url(text: &str, key: &str, allow_http: bool, query: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("`{key}` must be a whole address, as \"https://sso.example.com\""))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(format!("`{key}` must begin with https://"));
    }
    if url.scheme() == "http" && !local && !allow_http {
        return Err(format!(
            "`{key}` must begin with https://, or tokens cross the network for all to read (`allow_http = true` permits it)"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("`{key}` must not hold a user name or password"));
    }
    if url.fragment().is_some() || url.query().is_some() && !query {
        return Err(format!("`{key}` must not have a `?` or `#` part"));
    }
    Ok(url)
}
