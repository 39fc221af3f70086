//! The `[login.NAME]` tables: one registration at one authorization server each.
use super::{
    client::{ClientAuth, DeviceClient, read_client_auth, read_device_client},
    document::{Located, Section, nearest, printable},
    preset::{self, Preset},
    redirect::{self, Redirect},
};
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::{Host, Url};

/// A configured registration at one authorization server, and how to sign in there.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) name: String,
    /// Where endpoints are discovered; absent where they are all given.
    pub(crate) issuer: Option<Url>,
    pub(crate) endpoints: Endpoints,
    pub(crate) client_id: String,
    /// Absolute.
    pub(crate) client_secret_file: Option<PathBuf>,
    pub(crate) client_auth: ClientAuth,
    pub(crate) device: DeviceClient,
    pub(crate) scopes: Vec<String>,
    /// The account that is to sign in; a hint to the server, and checked afterwards.
    pub(crate) account: Option<String>,
    pub(crate) interactive: Interactive,
    pub(crate) flow: Flow,
    /// Where the answer comes.
    pub(crate) redirect: Redirect,
    /// Ports to listen on, in turn; empty lets the system pick.
    pub(crate) redirect_ports: Vec<u16>,
    /// Absolute.
    pub(crate) ca_file: Option<PathBuf>,
    /// What git is answered as user name where the route does not say.
    pub(crate) git_username: String,
    /// Whether git must be answered with that name even for a URL that names another.
    pub(crate) fixed_username: bool,
    /// What docker is answered as user name where the route does not say.
    pub(crate) docker_username: String,
    /// Whether a refresh ends the access token before it.
    pub(crate) late_refresh: bool,
    /// Whether git hosts behind this login take the token as `Authorization: Bearer`.
    pub(crate) git_bearer: bool,
}

/// Endpoints that need no discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) authorization: Option<Url>,
    pub(crate) token: Option<Url>,
    pub(crate) revocation: Option<Url>,
    pub(crate) device_authorization: Option<Url>,
}

/// Which way a person signs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flow {
    /// By browser where one can be seen, else by device code where the server has it.
    #[default]
    Auto,
    /// The authorization code grant.
    Browser,
    /// The device authorization grant.
    Device,
}

impl Flow {
    const WORDS: [(&str, Self); 3] = [("auto", Self::Auto), ("browser", Self::Browser), ("device", Self::Device)];

    /// Returns the flow that the configuration and the command line call `word`.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, flow)| flow)
    }
}

/// When a person may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interactive {
    Auto,
    /// Only where there is a terminal.
    Terminal,
    Never,
}

const KEYS: [&str; 19] = [
    "issuer",
    "preset",
    "host",
    "client_id",
    "client_secret_file",
    "client_auth",
    "scopes",
    "account",
    "interactive",
    "redirect_uri",
    "redirect_port",
    "redirect_ports",
    "endpoints",
    "ca_file",
    "allow_http",
    "flow",
    "device_client_id",
    "device_client_secret_file",
    "device_pkce",
];

impl Login {
    /// Reads the table of the login called `name`.
    ///
    /// # Errors
    /// Names the line of the first thing that does not fit.
    pub(super) fn read(name: &str, section: &Section<'_>) -> Result<Self, Failure> {
        check_name(name, section)?;
        refuse_secret(section)?;
        section.allow(&KEYS)?;
        let allow_http = section.flag("allow_http")?.unwrap_or(false);
        let preset = read_preset(section)?;
        let base = read_base(section, preset, allow_http)?;
        let issuer = section.text("issuer")?;
        if let (Some(issuer), true) = (&issuer, preset.is_some()) {
            return Err(issuer.fault("a login has `preset` or `issuer`, not both"));
        }
        let issuer = issuer.map(|text| text.read(|text| server_url(text, "issuer", allow_http, false))).transpose()?;
        let endpoints = read_endpoints(section, preset.zip(base.as_ref()), allow_http)?;
        let flow = section.word("flow", &Flow::WORDS)?.unwrap_or_default();
        let first = if flow == Flow::Device { &endpoints.device_authorization } else { &endpoints.authorization };
        if issuer.is_none() && (first.is_none() || endpoints.token.is_none()) {
            return Err(section
                .fault(&format!("login `{name}` names no server"))
                .hint("add `issuer = \"https://…\"`, or a `preset`"));
        }
        let own_client = section.text("client_id")?.map(|id| id.value.to_owned());
        let known_client = preset.and_then(|preset| preset.client_id);
        let known_redirect = if own_client.is_none() && known_client.is_some() { preset::REDIRECT } else { redirect::USUAL };
        let (redirect, redirect_ports) = redirect::read(section, known_redirect)?;
        let client_id =
            own_client.or_else(|| known_client.map(Into::into)).ok_or_else(|| no_client(name, section, preset, base.as_ref()))?;
        let (client_secret_file, client_auth) = read_client_auth(section)?;
        let username = |known: Option<&str>| known.unwrap_or("oauth2").to_owned();
        Ok(Self {
            name: name.to_owned(),
            issuer,
            endpoints,
            client_id,
            client_secret_file,
            client_auth,
            device: read_device_client(section)?,
            scopes: read_scopes(section, preset)?,
            account: section.text("account")?.map(|text| text.value.to_owned()),
            interactive: section
                .word(
                    "interactive",
                    &[("auto", Interactive::Auto), ("terminal", Interactive::Terminal), ("never", Interactive::Never)],
                )?
                .unwrap_or(Interactive::Auto),
            flow,
            redirect,
            redirect_ports,
            ca_file: absolute_path(section, "ca_file")?,
            git_username: username(preset.map(|preset| preset.git_username)),
            fixed_username: preset.is_some_and(|preset| preset.fixed_username),
            docker_username: username(preset.map(|preset| preset.docker_username)),
            late_refresh: preset.is_some_and(|preset| preset.late_refresh),
            git_bearer: preset.is_some_and(|preset| preset.git_bearer),
        })
    }
}

fn check_name(name: &str, section: &Section<'_>) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-') {
        return Ok(());
    }
    Err(section.fault(&format!("`{}` cannot name a login: letters, digits and `._-`, 64 at most", printable(name))))
}

/// Gives a better answer than "there is no such key" to what other programs take here.
fn refuse_secret(section: &Section<'_>) -> Result<(), Failure> {
    match ["client_secret", "device_client_secret"].into_iter().find(|key| section.value.contains_key(*key)) {
        Some(key) => Err(section
            .at(key)
            .fault("a secret does not belong in this file")
            .hint(format!("put it in a file and name it in `{key}_file`"))),
        None => Ok(()),
    }
}

fn read_preset(section: &Section<'_>) -> Result<Option<&'static Preset>, Failure> {
    let Some(name) = section.text("preset")? else { return Ok(None) };
    preset::find(name.value).map(Some).ok_or_else(|| {
        let fault = name.fault(&format!("there is no preset `{}`", printable(name.value)));
        match nearest(name.value, preset::names()) {
            Some(known) => fault.hint(format!("did you mean `{known}`?")),
            None => fault.hint(format!("known presets: {}", preset::names().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// Returns the root below which a preset's endpoints lie, from `host` or the preset's public instance.
fn read_base(section: &Section<'_>, preset: Option<&Preset>, allow_http: bool) -> Result<Option<Url>, Failure> {
    let host = section.text("host")?;
    let Some(preset) = preset else {
        return match host {
            Some(host) => Err(host.fault("`host` goes with a `preset`; name the server with `issuer`")),
            None => Ok(None),
        };
    };
    let host = match (host, preset.host) {
        (Some(host), _) => host,
        (None, Some(public)) => section.with(public),
        (None, None) => return Err(section.fault("this preset needs the `host`").hint("add `host = \"git.example.com\"`")),
    };
    host.read(|host| {
        let root = if host.contains("://") { (*host).to_owned() } else { format!("https://{host}") };
        server_url(&format!("{}/", root.trim_end_matches('/')), "host", allow_http, false)
    })
    .map(Some)
}

fn read_endpoints(section: &Section<'_>, preset: Option<(&Preset, &Url)>, allow_http: bool) -> Result<Endpoints, Failure> {
    let mut endpoints = Endpoints::default();
    if let Some((preset, base)) = preset {
        endpoints.authorization = base.join(preset.authorization).ok();
        endpoints.token = base.join(preset.token).ok();
        endpoints.revocation = preset.revocation.and_then(|path| base.join(path).ok());
        endpoints.device_authorization = preset.device_authorization.and_then(|path| base.join(path).ok());
    }
    if let Some(given) = section.section("endpoints")? {
        given.allow(&["authorization", "token", "revocation", "device_authorization"])?;
        for (key, endpoint) in [
            ("authorization", &mut endpoints.authorization),
            ("token", &mut endpoints.token),
            ("revocation", &mut endpoints.revocation),
            ("device_authorization", &mut endpoints.device_authorization),
        ] {
            if let Some(text) = given.text(key)? {
                *endpoint = Some(text.read(|text| server_url(text, key, allow_http, true))?);
            }
        }
    }
    Ok(endpoints)
}

fn no_client(name: &str, section: &Section<'_>, preset: Option<&Preset>, base: Option<&Url>) -> Failure {
    let place = match (preset, base) {
        (Some(preset), Some(base)) => base.join(preset.registration).map_or_else(|_| base.to_string(), |url| url.to_string()),
        _ => "the server".to_owned(),
    };
    section.fault(&format!("login `{name}` has no `client_id`")).hint(format!(
        "register keyfob at {place} with the redirect URI http://127.0.0.1:PORT/callback, then add `client_id = \"…\"` (and \
         `redirect_port = PORT` where the server wants one port)"
    ))
}

fn read_scopes(section: &Section<'_>, preset: Option<&Preset>) -> Result<Vec<String>, Failure> {
    let Some(scopes) = section.texts("scopes")? else {
        return Ok(preset.map_or(&[][..], |preset| preset.scopes).iter().map(ToString::to_string).collect());
    };
    let plain = |scope: &str| scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    let checked = |scope: &&str| {
        if plain(scope) { Ok((*scope).to_owned()) } else { Err("one scope per string, without blanks".to_owned()) }
    };
    scopes.iter().map(|scope| scope.read(checked)).collect()
}

/// Returns the path under `key`.
///
/// # Errors
/// If it is relative: what it would be relative to depends on who calls.
pub(super) fn absolute_path(section: &Section<'_>, key: &str) -> Result<Option<PathBuf>, Failure> {
    let read = |text: &&str| {
        let path = PathBuf::from(text);
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(format!("`{key}` must be an absolute path; `~` and variables are not resolved"))
        }
    };
    section.text(key)?.map(|text: Located<'_, &str>| text.read(read)).transpose()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::from_texts;

    fn login(body: &str) -> Result<Login, Failure> {
        from_texts(&[&format!("[login.x]\n{body}")]).map(|config| config.logins["x"].clone())
    }

    fn corp(more: &str) -> Result<Login, Failure> {
        login(&format!("issuer = \"https://sso.example.com\"\nclient_id = \"c\"\n{more}"))
    }

    #[test]
    fn a_plain_login_is_a_public_client_with_discovery() {
        let login = corp("").unwrap();
        assert_eq!(login.issuer.as_ref().map(Url::as_str), Some("https://sso.example.com/"));
        assert_eq!(login.endpoints, Endpoints::default());
        assert_eq!((login.client_auth, login.interactive), (ClientAuth::None, Interactive::Auto));
        assert_eq!((login.git_username.as_str(), login.docker_username.as_str()), ("oauth2", "oauth2"));
        assert_eq!(login.redirect.uri(1), "http://127.0.0.1:1/callback");
        assert!(!login.late_refresh && !login.git_bearer && login.redirect_ports.is_empty());
    }

    #[test]
    fn presets_know_their_endpoints_and_habits() {
        let text = |url: &Option<Url>| url.as_ref().map(Url::to_string);
        let gitlab = login("preset = \"gitlab\"\nhost = \"gitlab.example.com:8443\"\nclient_id = \"c\"\n").unwrap();
        assert_eq!(text(&gitlab.endpoints.authorization).as_deref(), Some("https://gitlab.example.com:8443/oauth/authorize"));
        assert_eq!(text(&gitlab.endpoints.token).as_deref(), Some("https://gitlab.example.com:8443/oauth/token"));
        assert_eq!(text(&gitlab.endpoints.revocation).as_deref(), Some("https://gitlab.example.com:8443/oauth/revoke"));
        assert_eq!(gitlab.scopes, ["read_repository", "write_repository"]);
        assert!(gitlab.late_refresh && gitlab.fixed_username && gitlab.issuer.is_none());
        let forgejo = login("preset = \"forgejo\"\nhost = \"git.example.com/code/\"\n").unwrap();
        assert_eq!(text(&forgejo.endpoints.token).as_deref(), Some("https://git.example.com/code/login/oauth/access_token"));
        assert_eq!((forgejo.redirect.uri(1).as_str(), forgejo.client_id.len()), ("http://127.0.0.1:1", 36));
        assert!(forgejo.git_bearer && !forgejo.late_refresh);
        let own = login("preset = \"codeberg\"\nclient_id = \"mine\"\n").unwrap();
        assert_eq!((own.client_id.as_str(), own.redirect.uri(1).as_str()), ("mine", "http://127.0.0.1:1/callback"));
        let github = login("preset = \"github\"\nclient_id = \"c\"\nscopes = [\"repo\", \"workflow\"]\n").unwrap();
        assert_eq!(text(&github.endpoints.token).as_deref(), Some("https://github.com/login/oauth/access_token"));
        assert_eq!(github.scopes, ["repo", "workflow"]);
        let local = login("preset = \"gitea\"\nhost = \"http://localhost:3000\"\n").unwrap();
        assert_eq!(text(&local.endpoints.token).as_deref(), Some("http://localhost:3000/login/oauth/access_token"));
    }

    #[test]
    fn an_endpoint_given_by_hand_wins() {
        let login =
            login("preset = \"gitlab\"\nclient_id = \"c\"\nendpoints.revocation = \"https://r.example.com/x?y=1\"\n").unwrap();
        assert_eq!(login.endpoints.revocation.unwrap().as_str(), "https://r.example.com/x?y=1");
        assert_eq!(login.endpoints.token.unwrap().as_str(), "https://gitlab.com/oauth/token");
    }

    #[test]
    fn the_device_grant_has_its_own_keys() {
        let plain = corp("").unwrap();
        assert_eq!((plain.flow, &plain.device), (Flow::Auto, &DeviceClient::default()));
        let own = corp("flow = \"device\"\ndevice_client_id = \"d\"\ndevice_client_secret_file = \"/d\"\ndevice_pkce = true\n")
            .unwrap();
        assert_eq!((own.flow, own.client_id.as_str()), (Flow::Device, "c"));
        assert_eq!(own.device, DeviceClient { client_id: Some("d".into()), client_secret_file: Some("/d".into()), pkce: true });
        let text = |url: &Option<Url>| url.as_ref().map(Url::to_string);
        let gitlab = login("preset = \"gitlab\"\nclient_id = \"c\"\n").unwrap();
        assert_eq!(text(&gitlab.endpoints.device_authorization).as_deref(), Some("https://gitlab.com/oauth/authorize_device"));
        assert!(login("preset = \"codeberg\"\n").unwrap().endpoints.device_authorization.is_none());
        let by_hand = "client_id = \"c\"\nendpoints.token = \"https://h/t\"\nendpoints.device_authorization = \"https://h/d\"\n";
        assert!(login(by_hand).unwrap_err().message.contains("names no server"), "a browser has nowhere to go");
        let device_only = login(&format!("{by_hand}flow = \"device\"\n")).unwrap();
        assert_eq!(text(&device_only.endpoints.device_authorization).as_deref(), Some("https://h/d"));
    }

    #[test]
    fn client_authentication_follows_the_secret() {
        assert_eq!(corp("client_secret_file = \"/s\"\n").unwrap().client_auth, ClientAuth::Basic);
        assert_eq!(corp("client_secret_file = \"/s\"\nclient_auth = \"post\"\n").unwrap().client_auth, ClientAuth::Post);
        assert_eq!(corp("client_auth = \"none\"\n").unwrap().client_auth, ClientAuth::None);
    }

    #[test]
    fn plain_http_is_for_this_machine_or_by_permission() {
        let at = |issuer: &str, more: &str| login(&format!("issuer = \"{issuer}\"\nclient_id = \"c\"\n{more}"));
        for issuer in ["http://127.0.0.1:8080", "http://localhost/realm", "http://[::1]", "https://sso.example.com/realms/dev"] {
            assert!(at(issuer, "").is_ok(), "{issuer}");
        }
        for issuer in ["http://sso.example.com", "http://localhost.evil.net", "http://127.0.0.1.evil.net", "http://10.0.0.1"] {
            assert!(at(issuer, "").unwrap_err().message.contains("https://"), "{issuer}");
            assert!(at(issuer, "allow_http = true\n").is_ok(), "{issuer}");
        }
        for issuer in [
            "ftp://x",
            "sso.example.com",
            "https://u:p@sso.example.com",
            "https://sso.example.com?x",
            "https://sso.example.com#x",
            "file:///x",
        ] {
            assert!(at(issuer, "allow_http = true\n").is_err(), "{issuer}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_said_with_its_line() {
        let head = "issuer = \"https://sso.example.com\"\nclient_id = \"c\"\n";
        let cases = [
            (format!("{head}client_secret = \"s3cret\"\n"), 4, "a secret does not belong"),
            (format!("{head}flow = \"paste\"\n"), 4, "`flow` must be \"auto\" or \"browser\" or \"device\""),
            (format!("{head}device_client_secret = \"s3cret\"\n"), 4, "a secret does not belong"),
            (format!("{head}device_client_secret_file = \"/s\"\n"), 4, "of no client"),
            (format!("{head}device_pkce = \"yes\"\n"), 4, "true or false"),
            (format!("{head}client_auth = \"basic\"\n"), 4, "needs a `client_secret_file`"),
            (format!("{head}client_auth = \"none\"\nclient_secret_file = \"/s\"\n"), 4, "exclude each other"),
            (format!("{head}client_secret_file = \"~/s\"\n"), 4, "must be an absolute path"),
            (format!("{head}redirect_port = 1\nredirect_ports = [2]\n"), 4, "not both"),
            (format!("{head}redirect_port = 0\n"), 4, "from 1 to 65535"),
            (format!("{head}scopes = [\"a b\"]\n"), 4, "one scope per string"),
            (format!("{head}host = \"h\"\n"), 4, "goes with a `preset`"),
            (format!("{head}preset = \"gitlab\"\n"), 2, "not both"),
            (format!("{head}endpoints.tokn = \"https://x\"\n"), 4, "there is no key `tokn`"),
            ("client_id = \"c\"\n".into(), 1, "names no server"),
            ("issuer = \"https://sso.example.com\"\n".into(), 1, "has no `client_id`"),
            ("preset = \"gitlba\"\n".into(), 2, "there is no preset `gitlba`"),
            ("preset = \"gitea\"\n".into(), 1, "needs the `host`"),
            ("preset = \"gitlab\"\nhost = \"a b\"\nclient_id = \"c\"\n".into(), 3, "`host` must be"),
        ];
        for (body, line, message) in cases {
            let failure = login(&body).unwrap_err();
            assert!(failure.message.starts_with(&format!("/1.toml:{line}: ")), "{} (line {line})", failure.message);
            assert!(failure.message.contains(message), "{}", failure.message);
            assert!(!failure.lines().contains("s3cret"));
        }
        let hint = login("preset = \"gitlab\"\n").unwrap_err().hints.concat();
        assert!(hint.contains("https://gitlab.com/-/user_settings/applications"), "{hint}");
    }
}
