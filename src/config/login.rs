//! The `[login.NAME]` tables: one registration at one authorization server each.
use super::{
    client::{ClientAuth, DeviceClient, read_client_auth, read_device_client},
    document::{Located, Section, printable},
    preset::{self, Preset, Wanted},
    redirect::{self, Redirect},
    registration::Applicant,
    server::{self, Endpoints},
};
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::Url;

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
    /// The parameter by which the server is given that hint.
    pub(crate) account_hint: &'static str,
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
    /// Whether the server wants to be asked for consent where it is asked for `offline_access` (OpenID Connect Core §11).
    pub(crate) asks_consent: bool,
    /// Whether a refresh has to name the redirect URI again.
    pub(crate) refresh_names_redirect: bool,
    /// Whether a refresh ends the access token before it.
    pub(crate) late_refresh: bool,
}

/// Which way a person signs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flow {
    /// By browser where one can be seen, else by device code where the server has it, else by pasting.
    #[default]
    Auto,
    /// The authorization code grant.
    Browser,
    /// The device authorization grant.
    Device,
    /// The authorization code grant, in a browser anywhere; what it ends at is pasted into the terminal.
    Paste,
}

impl Flow {
    const WORDS: [(&str, Self); 4] =
        [("auto", Self::Auto), ("browser", Self::Browser), ("device", Self::Device), ("paste", Self::Paste)];

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

const KEYS: [&str; 21] = [
    "issuer",
    "preset",
    "host",
    "tenant",
    "realm",
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
        let preset = preset::read(section)?;
        let place = server::read(section, preset)?;
        let own_client = section.text("client_id")?.map(|id| id.value.to_owned());
        let known_client = preset.and_then(|preset| preset.known_client(place.at_home)).filter(|_| own_client.is_none());
        let known_redirect = known_client.map(|client| client.redirect).or(preset.map(|preset| preset.redirect));
        let (redirect, redirect_ports) = redirect::read(section, known_redirect.unwrap_or(redirect::USUAL))?;
        let (client_secret_file, client_auth) = read_client_auth(section)?;
        let flow = read_flow(section, preset, &place.endpoints)?;
        let first = if flow == Flow::Device { &place.endpoints.device_authorization } else { &place.endpoints.authorization };
        if place.issuer.is_none() && (first.is_none() || place.endpoints.token.is_none()) {
            return Err(section
                .fault(&format!("login `{name}` names no server"))
                .hint("add `issuer = \"https://…\"`, or a `preset`"));
        }
        let scopes = read_scopes(section, preset)?;
        let applicant =
            Applicant { login: name, preset, place: &place, redirect: &redirect, ports: &redirect_ports, scopes: &scopes };
        let client_id = own_client
            .or_else(|| known_client.map(|client| client.id.to_owned()))
            .ok_or_else(|| applicant.lacks(section, "client_id"))?;
        if client_secret_file.is_none() && preset.is_some_and(|preset| preset.secret == Wanted::Always) {
            return Err(applicant.lacks(section, "client_secret_file"));
        }
        let username = |known: Option<&str>| known.unwrap_or("oauth2").to_owned();
        Ok(Self {
            name: name.to_owned(),
            issuer: place.issuer,
            endpoints: place.endpoints,
            client_id,
            client_secret_file,
            client_auth,
            device: read_device_client(section)?,
            scopes,
            account: section.text("account")?.map(|text| text.value.to_owned()),
            account_hint: preset.map_or("login_hint", |preset| preset.account_hint),
            interactive: read_interactive(section)?,
            flow,
            redirect,
            redirect_ports,
            ca_file: absolute_path(section, "ca_file")?,
            git_username: username(preset.map(|preset| preset.git_username)),
            fixed_username: preset.is_some_and(|preset| preset.fixed_username),
            docker_username: username(preset.map(|preset| preset.docker_username)),
            asks_consent: preset.is_none(),
            refresh_names_redirect: preset.is_some_and(|preset| preset.refresh_names_redirect),
            late_refresh: preset.is_some_and(|preset| preset.late_refresh),
        })
    }
}

impl Login {
    /// Returns the redirect URI that a refresh has to name, where the server wants that and one port alone is registered.
    pub(crate) fn redirect_of_refresh(&self) -> Option<String> {
        let [port] = self.redirect_ports[..] else { return None };
        self.refresh_names_redirect.then(|| self.redirect.uri(port))
    }
}

/// Reads `flow`. Where the browser's grant wants a secret that the login does not have, and the device grant none, it is the latter.
fn read_flow(section: &Section<'_>, preset: Option<&Preset>, endpoints: &Endpoints) -> Result<Flow, Failure> {
    let flow = section.word("flow", &Flow::WORDS)?.unwrap_or_default();
    let Some(preset) = preset else { return Ok(flow) };
    let by_hand = endpoints.authorization.is_some();
    match flow {
        Flow::Auto if preset.secret == Wanted::InBrowser && !section.value.contains_key("client_secret_file") => Ok(Flow::Device),
        Flow::Device if by_hand && endpoints.device_authorization.is_none() => {
            let fault = section.at("flow").fault("this preset has no device grant for this client");
            Err(if preset.own_device_client {
                fault.hint("register a client for it, and name that in `device_client_id` and `device_client_secret_file`")
            } else {
                fault.hint("leave `flow` out")
            })
        }
        _ => Ok(flow),
    }
}

fn read_interactive(section: &Section<'_>) -> Result<Interactive, Failure> {
    let words = [("auto", Interactive::Auto), ("terminal", Interactive::Terminal), ("never", Interactive::Never)];
    Ok(section.word("interactive", &words)?.unwrap_or(Interactive::Auto))
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
        assert!(!login.late_refresh && login.redirect_ports.is_empty());
    }

    #[test]
    fn presets_know_their_endpoints_and_habits() {
        let text = |url: &Option<Url>| url.as_ref().map(Url::to_string);
        let gitlab = login("preset = \"gitlab\"\nhost = \"gitlab.example.com:8443\"\nclient_id = \"c\"\n").unwrap();
        assert_eq!(text(&gitlab.endpoints.authorization).as_deref(), Some("https://gitlab.example.com:8443/oauth/authorize"));
        assert_eq!(text(&gitlab.endpoints.token).as_deref(), Some("https://gitlab.example.com:8443/oauth/token"));
        assert_eq!(text(&gitlab.endpoints.revocation).as_deref(), Some("https://gitlab.example.com:8443/oauth/revoke"));
        assert_eq!(gitlab.scopes, ["openid", "read_repository", "write_repository"]);
        assert!(gitlab.late_refresh && gitlab.fixed_username && gitlab.issuer.is_none());
        let forgejo = login("preset = \"forgejo\"\nhost = \"git.example.com/code/\"\n").unwrap();
        assert_eq!(text(&forgejo.endpoints.token).as_deref(), Some("https://git.example.com/code/login/oauth/access_token"));
        assert_eq!((forgejo.redirect.uri(1).as_str(), forgejo.client_id.len()), ("http://127.0.0.1:1", 36));
        assert!(!forgejo.late_refresh);
        let own = login("preset = \"codeberg\"\nclient_id = \"mine\"\n").unwrap();
        assert_eq!((own.client_id.as_str(), own.redirect.uri(1).as_str()), ("mine", "http://127.0.0.1:1/callback"));
        let github = login("preset = \"github\"\nclient_id = \"c\"\nscopes = [\"repo\", \"workflow\"]\n").unwrap();
        assert_eq!(text(&github.endpoints.token).as_deref(), Some("https://github.com/login/oauth/access_token"));
        assert_eq!(github.scopes, ["repo", "workflow"]);
        assert_eq!(text(&github.endpoints.userinfo).as_deref(), Some("https://api.github.com/user"));
        let enterprise = login("preset = \"github\"\nhost = \"github.example.com\"\nclient_id = \"c\"\n").unwrap();
        assert_eq!(text(&enterprise.endpoints.userinfo).as_deref(), Some("https://github.example.com/api/v3/user"));
        assert_eq!((enterprise.account_hint, gitlab.account_hint), ("login", "login_hint"));
        let azure = |more: &str| login(&format!("preset = \"azure\"\nclient_id = \"c\"\n{more}")).unwrap().endpoints;
        let page = "https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize";
        assert_eq!(text(&azure("").authorization).as_deref(), Some(page));
        let other = azure("tenant = \"3f1c-77\"\nhost = \"login.microsoftonline.us\"\n");
        let code = "https://login.microsoftonline.us/3f1c-77/oauth2/v2.0/devicecode";
        assert_eq!(text(&other.device_authorization).as_deref(), Some(code));
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
            (format!("{head}flow = \"cookie\"\n"), 4, "`flow` must be \"auto\" or \"browser\" or \"device\""),
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
            ("preset = \"google-source\"\nhost = \"h\"\n".into(), 3, "leave `host` out"),
            ("preset = \"keycloak\"\nhost = \"h\"\n".into(), 1, "needs the `realm`"),
            ("preset = \"keycloak\"\nhost = \"h\"\nrealm = \"a/b\"\n".into(), 4, "letters, digits"),
            ("preset = \"azure\"\ntenant = \"..\"\n".into(), 3, "letters, digits"),
            ("preset = \"azure\"\nrealm = \"x\"\n".into(), 3, "this preset has no `realm`"),
            (format!("{head}tenant = \"x\"\n"), 4, "`tenant` goes with a `preset`"),
            ("preset = \"codeberg\"\nflow = \"device\"\n".into(), 3, "has no device grant"),
            ("preset = \"google-source\"\nclient_id = \"c\"\nflow = \"device\"\n".into(), 4, "has no device grant"),
        ];
        for (body, line, message) in cases {
            let failure = login(&body).unwrap_err();
            assert!(failure.message.starts_with(&format!("/1.toml:{line}: ")), "{} (line {line})", failure.message);
            assert!(failure.message.contains(message), "{}", failure.message);
            assert!(!failure.lines().contains("s3cret"));
        }
    }
}
