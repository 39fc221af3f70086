//! What git's configuration says about sign-ins for other helpers, as tables of ours: the keys that Git Credential Manager has for any
//! server, and those of git-credential-oauth.
use super::git::Setting;
use crate::config::Place;
use crate::os;
use std::collections::BTreeMap;
use std::path::Path;
use url::Url;
use zeroize::Zeroizing;

/// What both helpers are registered with where nothing else is said (their documentation: read).
const REDIRECT: &str = "http://127.0.0.1";

/// The names that one thing has, in lower case, as git lists them.
const CLIENT: &[&str] = &["oauthclientid", "gitlabdevclientid"];
const SECRET: &[&str] = &["oauthclientsecret", "gitlabdevclientsecret"];
const REDIRECTS: &[&str] = &["oauthredirecturi", "oauthredirecturl"];
const SCOPES: &[&str] = &["oauthscopes"];
const USERNAME: &[&str] = &["oauthdefaultusername"];
const IN_HEADER: &[&str] = &["oauthuseclientauthheader"];
const ENDPOINTS: [(&str, &[&str]); 3] = [
    ("authorization", &["oauthauthorizeendpoint", "oauthauthurl"]),
    ("token", &["oauthtokenendpoint", "oauthtokenurl"]),
    ("device_authorization", &["oauthdeviceendpoint", "oauthdeviceauthurl"]),
];
/// The registration for one URL. It holds a secret, and so shows nothing of itself.
pub(crate) struct Registration {
    /// As it stands in git's configuration.
    pub(crate) url: String,
    keys: BTreeMap<String, Zeroizing<String>>,
    /// Where its client stands.
    pub(crate) origin: String,
    /// The key of its secret, and where that stands.
    secret: Option<(String, String)>,
}

/// A registration as tables of ours. It holds a secret, and so shows nothing of itself.
pub(crate) struct Tables {
    /// `[login.NAME]` and `[git."URL"]`; a secret is named by its file.
    pub(crate) text: String,
    pub(crate) secret: Option<Zeroizing<String>>,
    /// The keys that have no counterpart.
    pub(crate) left: Vec<String>,
}

/// Returns the registrations of the user and the system in `settings`; where both have a key, the user's counts, as in git.
pub(crate) fn registrations(settings: &[Setting]) -> Vec<Registration> {
    let mut found: Vec<Registration> = Vec::new();
    for setting in settings.iter().filter(|setting| matches!(setting.scope.as_str(), "system" | "global")) {
        let (Ok(key), Some(Ok(value))) =
            (std::str::from_utf8(&setting.key), setting.value.as_deref().map(|value| std::str::from_utf8(value)))
        else {
            continue;
        };
        let Some((url, name)) = key.strip_prefix("credential.").and_then(|rest| rest.rsplit_once('.')) else { continue };
        if !(name.starts_with("oauth") || name.starts_with("gitlabdev") || name == "provider") {
            continue;
        }
        let place = found.iter().position(|one| one.url == url).unwrap_or_else(|| {
            found.push(Registration { url: url.to_owned(), keys: BTreeMap::new(), origin: String::new(), secret: None });
            found.len() - 1
        });
        found[place].keys.insert(name.to_owned(), Zeroizing::new(value.to_owned()));
        if CLIENT.contains(&name) {
            found[place].origin.clone_from(&setting.origin);
        }
        if SECRET.contains(&name) && !value.is_empty() {
            found[place].secret = Some((key.to_owned(), setting.origin.clone()));
        }
    }
    found.retain(|one| CLIENT.iter().any(|name| one.keys.contains_key(*name)));
    found
}

impl Registration {
    /// Returns the tables; `name` is the login's, and its secret is to be in the file `secret_file`.
    ///
    /// # Errors
    /// Why there can be none.
    pub(crate) fn tables(&self, name: &str, secret_file: &str) -> Result<Tables, String> {
        let place = Place::parse(&self.url).map_err(ToOwned::to_owned)?;
        let base = Url::parse(&format!("{}/", place.url())).map_err(|error| error.to_string())?;
        let client = self.value(CLIENT).ok_or("it names no client")?;
        let mut text = format!("[login.{name}]\n");
        let preset = self.preset(&place);
        let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
        if let Some((preset, host)) = &preset {
            line("preset", quoted(preset));
            if let Some(host) = host {
                line("host", quoted(host));
            }
        }
        line("client_id", quoted(client));
        let secret = self.value(SECRET).filter(|secret| !secret.is_empty()).map(|secret| Zeroizing::new(secret.to_owned()));
        if secret.is_some() {
            line("client_secret_file", quoted(secret_file));
            if self.value(IN_HEADER).is_some_and(is_no) {
                line("client_auth", quoted("post"));
            }
        }
        if let Some(scopes) = self.value(SCOPES) {
            line(
                "scopes",
                format!(
                    "[{}]",
                    scopes.split([' ', ',']).filter(|one| !one.is_empty()).map(quoted).collect::<Vec<_>>().join(", ")
                ),
            );
        }
        line("redirect_uri", quoted(self.value(REDIRECTS).unwrap_or(REDIRECT)));
        for (key, names) in ENDPOINTS {
            if let Some(value) = self.value(names) {
                let url = base.join(value).map_err(|error| format!("its {key} endpoint is no URL: {error}"))?;
                line(&format!("endpoints.{key}"), quoted(url.as_str()));
            }
        }
        if preset.is_none() && self.value(ENDPOINTS[1].1).is_none() {
            return Err("it names no endpoints, and this host's are not known".into());
        }
        text.push_str(&format!("\n[git.{}]\nlogin = {}\n", quoted(&self.url), quoted(name)));
        if let Some(username) = self.value(USERNAME) {
            text.push_str(&format!("username = {}\n", quoted(username)));
        }
        let taken =
            [CLIENT, SECRET, REDIRECTS, SCOPES, USERNAME, IN_HEADER, ENDPOINTS[0].1, ENDPOINTS[1].1, ENDPOINTS[2].1].concat();
        let left = self.keys.keys().filter(|key| *key != "provider" && !taken.contains(&key.as_str())).cloned().collect();
        Ok(Tables { text, secret, left })
    }

    /// Returns the word for what is known of this host, and where the server is unless the word says that; none where all that is needed
    /// is said. Only a provider is said of a server below a path: else the path is a repository's.
    fn preset(&self, place: &Place) -> Option<(&'static str, Option<String>)> {
        if self.value(ENDPOINTS[1].1).is_some() {
            return None;
        }
        let by_host = [("github.com", "github"), ("gitlab.com", "gitlab"), ("codeberg.org", "codeberg")];
        let by_word = ["github", "gitlab", "gitea", "forgejo"];
        if let Some((_, word)) = by_host.into_iter().find(|(host, _)| *host == place.host) {
            return Some((word, None));
        }
        let provider = self.keys.get("provider").map_or("", |word| word.as_str());
        let provider = by_word.into_iter().find(|word| word.eq_ignore_ascii_case(provider));
        let gitlab = self.keys.contains_key("gitlabdevclientid").then_some("gitlab");
        let host = if provider.is_some() { place.url() } else { format!("{}://{}", place.scheme, place.host) };
        gitlab.or(provider).map(|word| (word, Some(host)))
    }

    /// Returns the command that removes the secret from the file where it counts; `None` where there is no secret, or no file.
    pub(crate) fn removal(&self) -> Option<String> {
        let (key, origin) = self.secret.as_ref()?;
        let file = origin.strip_prefix("file:")?;
        Some(format!("git config --file {} --unset-all {}", os::quoted(Path::new(file)), os::quoted(Path::new(key))))
    }

    fn value(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.keys.get(*name)).map(|value| value.as_str())
    }
}

/// Returns a login's name for `url`: its host, and a number where `is_taken` says that of the name alone.
pub(crate) fn name_for(url: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let host = Place::parse(url).map_or_else(|_| String::new(), |place| place.host);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = host.chars().map(plain).take(50).collect();
    let name = if name.trim_matches('-').is_empty() { "git".to_owned() } else { name.trim_matches('-').to_owned() };
    std::iter::once(name.clone())
        .chain((2..).map(|number| format!("{name}-{number}")))
        .find(|name| !is_taken(name))
        .unwrap_or(name)
}

/// Returns `text` as a TOML string (TOML 1.0, "String").
fn quoted(text: &str) -> String {
    let mut written = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            c if c.is_control() => written.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

/// Tells whether `word` is one of git's spellings of no.
fn is_no(word: &str) -> bool {
    ["", "0", "false", "no", "off"].iter().any(|no| word.eq_ignore_ascii_case(no))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::Environment;

    fn list(scope: &str, lines: &[&str]) -> Vec<Setting> {
        let one = |line: &&str| {
            let (key, value) = line.split_once('=').unwrap();
            let (key, value) = (key.as_bytes().to_vec(), Some(value.as_bytes().to_vec().into()));
            Setting { key, value, origin: "file:/x".into(), scope: scope.into() }
        };
        lines.iter().map(one).collect()
    }

    fn tables(lines: &[&str]) -> Result<Tables, String> {
        let found = registrations(&list("global", lines));
        assert_eq!(found.len(), 1, "{lines:?}");
        found[0].tables("x", "/secret")
    }

    const SERVER: [&str; 2] = [
        "credential.https://h.com.oauthauthorizeendpoint=https://sso.com/auth",
        "credential.https://h.com.oauthtokenendpoint=https://sso.com/token",
    ];

    #[test]
    fn the_keys_of_git_credential_manager_become_a_login_and_a_route() {
        let more = [
            "credential.https://h.com.provider=generic",
            "credential.https://h.com.oauthclientid=it's \"mine\"",
            "credential.https://h.com.oauthclientsecret=s3cret",
            "credential.https://h.com.oauthscopes=read write",
            "credential.https://h.com.oauthredirecturi=http://localhost:7171/auth",
            "credential.https://h.com.oauthdeviceendpoint=https://sso.com/device",
            "credential.https://h.com.oauthdefaultusername=OAUTH-USER",
            "credential.https://h.com.oauthuseclientauthheader=false",
            "credential.https://h.com.oauthresponsemode=form_post",
        ];
        let found = tables(&[&SERVER[..], &more].concat()).unwrap();
        assert_eq!(
            found.text,
            "[login.x]\nclient_id = \"it's \\\"mine\\\"\"\nclient_secret_file = \"/secret\"\nclient_auth = \"post\"\n\
             scopes = [\"read\", \"write\"]\nredirect_uri = \"http://localhost:7171/auth\"\n\
             endpoints.authorization = \"https://sso.com/auth\"\nendpoints.token = \"https://sso.com/token\"\n\
             endpoints.device_authorization = \"https://sso.com/device\"\n\n\
             [git.\"https://h.com\"]\nlogin = \"x\"\nusername = \"OAUTH-USER\"\n"
        );
        assert_eq!(found.secret.as_deref().map(String::as_str), Some("s3cret"));
        assert_eq!(found.left, ["oauthresponsemode"]);
        assert!(Config::with_text(&Environment::from_map([("KEYFOB_CONFIG".into(), "/none".into())]), &found.text).is_ok());
    }

    #[test]
    fn the_keys_of_git_credential_oauth_may_be_relative() {
        let found = tables(&[
            "credential.https://h.com:8443/git.oauthclientid=c",
            "credential.https://h.com:8443/git.oauthauthurl=/login/oauth/authorize",
            "credential.https://h.com:8443/git.oauthtokenurl=login/oauth/access_token",
            "credential.https://h.com:8443/git.oauthdeviceauthurl=https://other.com/device",
        ])
        .unwrap();
        assert_eq!(
            found.text,
            "[login.x]\nclient_id = \"c\"\nredirect_uri = \"http://127.0.0.1\"\n\
             endpoints.authorization = \"https://h.com:8443/login/oauth/authorize\"\n\
             endpoints.token = \"https://h.com:8443/git/login/oauth/access_token\"\n\
             endpoints.device_authorization = \"https://other.com/device\"\n\n[git.\"https://h.com:8443/git\"]\nlogin = \"x\"\n"
        );
        assert!(found.secret.is_none() && found.left.is_empty());
    }

    #[test]
    fn where_no_endpoint_is_named_a_known_host_or_provider_helps() {
        const OWN: &str = "host = \"https://h.com\"";
        let rows = [
            (&["credential.https://gitlab.com.oauthclientid=c"][..], Some(("gitlab", ""))),
            (&["credential.https://gitlab.com/acme.oauthclientid=c"], Some(("gitlab", ""))),
            (&["credential.https://gitlab.com/acme.gitlabdevclientid=c"], Some(("gitlab", ""))),
            (
                &[
                    "credential.https://codeberg.org/acme/x.oauthclientid=c",
                    "credential.https://codeberg.org/acme/x.provider=gitea",
                ],
                Some(("codeberg", "")),
            ),
            (&["credential.https://github.com.oauthclientid=c"], Some(("github", ""))),
            (&["credential.https://h.com.gitlabdevclientid=c"], Some(("gitlab", OWN))),
            (&["credential.https://h.com/acme.gitlabdevclientid=c"], Some(("gitlab", OWN))),
            (
                &["credential.https://h.com/code.oauthclientid=c", "credential.https://h.com/code.provider=gitlab"],
                Some(("gitlab", "host = \"https://h.com/code\"")),
            ),
            (&["credential.https://h.com.oauthclientid=c", "credential.https://h.com.provider=Forgejo"], Some(("forgejo", OWN))),
            (&["credential.https://h.com.oauthclientid=c", "credential.https://h.com.provider=generic"], None),
            (&["credential.https://h.com/acme.oauthclientid=c"], None),
            (&["credential.https://gitlab.com.evil.net.oauthclientid=c"], None),
        ];
        for (lines, preset) in rows {
            match (tables(lines), preset) {
                (Ok(found), Some((preset, host))) => {
                    assert!(found.text.contains(&format!("preset = \"{preset}\"\n")), "{}", found.text);
                    let line = found.text.lines().find(|line| line.starts_with("host = ")).unwrap_or_default();
                    assert_eq!(line, host, "{lines:?}");
                    assert!(
                        Config::with_text(&Environment::from_map([("KEYFOB_CONFIG".into(), "/none".into())]), &found.text)
                            .is_ok()
                    );
                }
                (Err(reason), None) => assert_eq!(reason, "it names no endpoints, and this host's are not known"),
                (found, _) => panic!("{lines:?}: {:?}", found.map(|found| found.text)),
            }
        }
        assert_eq!(
            tables(&["credential.h.com.oauthclientid=c"]).err().unwrap(),
            "write the whole URL, as \"https://git.example.com\""
        );
    }

    #[test]
    fn only_the_users_and_the_systems_settings_count_and_the_users_win() {
        let url = "credential.https://h.com";
        let mut settings = list("system", &[&format!("{url}.oauthclientid=theirs"), &format!("{url}.oauthtokenurl=/token")]);
        settings.extend(list("global", &[&format!("{url}.oauthclientid=mine"), &format!("{url}.username=a")]));
        for scope in ["local", "worktree", "command"] {
            settings
                .extend(list(scope, &[&format!("{url}.oauthtokenurl=https://evil.net"), "credential.https://i.oauthclientid=x"]));
        }
        let found = registrations(&settings);
        assert_eq!((found.len(), found[0].url.as_str()), (1, "https://h.com"));
        let text = found[0].tables("x", "").unwrap().text;
        assert!(text.contains("\"mine\"") && text.contains("\"https://h.com/token\"") && !text.contains("evil"), "{text}");
    }

    #[test]
    fn a_login_is_called_by_its_host_and_a_number_where_that_is_taken() {
        assert_eq!(name_for("https://git.example.com:8443/team", |_| false), "git-example-com-8443");
        assert_eq!(name_for("https://h", |name| ["h", "h-2"].contains(&name)), "h-3");
        assert_eq!(name_for("https://[::1]", |_| false), "1");
        assert_eq!(name_for("?", |_| false), "git");
    }
}
