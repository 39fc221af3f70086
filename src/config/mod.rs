//! The configuration: files and environment in, typed logins and routes out.
pub(crate) mod environment;
pub(crate) mod file;
pub(crate) mod route;

mod client;
mod document;
mod login;
mod place;
mod preset;
mod redirect;
mod registration;
mod server;
mod target;

pub(crate) use self::{
    client::ClientAuth,
    environment::Environment,
    file::Stamp,
    login::{Flow, Interactive, Login},
    place::Place,
    redirect::{LoopbackHost, Redirect},
    route::{AwsRole, Route, Routes, Tool},
};

use self::document::{Located, Section, Source};
use crate::{failure::Failure, os};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Everything that was configured; empty where there is no file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) logins: BTreeMap<String, Login>,
    pub(crate) routes: Routes,
    pub(crate) store: StoreSettings,
    /// The command line that opens a page.
    pub(crate) browser: Option<String>,
    /// What is noted of what happens to tokens.
    pub(crate) audit: Audit,
    /// Every place that was looked at, in the order in which they win.
    pub(crate) sources: Vec<Stamp>,
}

/// What the audit log is to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Audit {
    /// Nothing: there is none.
    Off,
    /// What happens to tokens.
    #[default]
    Tokens,
    /// And every answer that a tool gets.
    All,
}

impl Audit {
    const WORDS: [(&str, Self); 3] = [("off", Self::Off), ("tokens", Self::Tokens), ("all", Self::All)];

    /// Returns the word by which the configuration and reports name it.
    pub(crate) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, audit)| *audit == self).map_or("", |(word, _)| word)
    }
}

/// Where the key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreSettings {
    /// `keyring`, `file`, `kernel`, `passphrase` or `none`.
    pub(crate) key: Option<String>,
    /// Absolute.
    pub(crate) key_file: Option<PathBuf>,
}

impl Config {
    /// Reads the user's and the system's file; what both define is the user's.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Misconfigured`], naming file, line and remedy. A missing file is no error.
    pub(crate) fn load(env: &Environment) -> Result<Self, Failure> {
        Self::from_files(&env.config_paths(), os::effective_uid(), None)
    }

    /// Returns what [`Config::load`] would if the user's file held `text`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn with_text(env: &Environment, text: &str) -> Result<Self, Failure> {
        Self::from_files(&env.config_paths(), os::effective_uid(), Some(text))
    }

    /// Reads the files at `paths`; the first holds `text`, where that is given.
    fn from_files(paths: &[PathBuf], euid: u32, text: Option<&str>) -> Result<Self, Failure> {
        let mut sources = Vec::new();
        let mut texts: Vec<(&Path, String)> = Vec::new();
        for (place, path) in paths.iter().enumerate() {
            let mut found = file::read(path, euid)?;
            if let Some(text) = text.filter(|_| place == 0) {
                texts.push((path, text.to_owned()));
                found = None;
            }
            sources.push(Stamp { path: path.clone(), facts: found.as_ref().map(|(_, facts)| *facts) });
            texts.extend(found.map(|(text, _)| (path.as_path(), text)));
        }
        let documents: Vec<_> = texts.iter().map(|(path, text)| Source { path: path.to_path_buf(), text }).collect();
        let parsed = documents.iter().map(Source::parse).collect::<Result<Vec<_>, _>>()?;
        let roots: Vec<_> =
            documents.iter().zip(&parsed).map(|(source, table)| Located::new(source, 0, table.get_ref())).collect();
        Ok(Self { sources, ..read(&roots)? })
    }
}

/// Reads documents, the one that wins first.
fn read(roots: &[Section<'_>]) -> Result<Config, Failure> {
    let mut config = Config::default();
    let (mut store, mut audit) = (None, None);
    for root in roots {
        // Before anything else: a newer file may hold keys that this version would call mistakes.
        check_version(root)?;
        root.allow(&["min_version", "audit", "browser", "store", "login", "git", "docker", "aws"])?;
        config.browser = config.browser.or(root.text("browser")?.map(|text| text.value.to_owned()));
        audit = audit.or(root.word("audit", &Audit::WORDS)?);
        let settings = root.section("store")?.map(|section| read_store(&section)).transpose()?;
        store = store.or(settings);
        for (name, section) in root.sections("login")? {
            let login = Login::read(name, &section)?;
            config.logins.entry(name.to_owned()).or_insert(login);
        }
    }
    config.audit = audit.unwrap_or_default();
    config.store = store.unwrap_or_default();
    config.routes = target::read(roots, &config.logins)?;
    Ok(config)
}

fn read_store(section: &Section<'_>) -> Result<StoreSettings, Failure> {
    section.allow(&["key", "key_file"])?;
    let words = [("keyring", "keyring"), ("file", "file"), ("kernel", "kernel"), ("passphrase", "passphrase"), ("none", "none")];
    Ok(StoreSettings { key: section.word("key", &words)?.map(Into::into), key_file: login::absolute_path(section, "key_file")? })
}

fn check_version(root: &Section<'_>) -> Result<(), Failure> {
    let Some(wanted) = root.text("min_version")? else { return Ok(()) };
    let this = env!("CARGO_PKG_VERSION");
    let number = wanted.read(|text| version(text).ok_or_else(|| "`min_version` must be a version, as \"1.2.0\"".into()))?;
    if Some(number) > version(this) {
        let fault = wanted.fault(&format!("this file is for keyfob {} or newer, and this is {this}", wanted.value));
        return Err(fault.hint("install a newer keyfob"));
    }
    Ok(())
}

/// Reads one to three numbers with dots between; missing ones are 0.
fn version(text: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    for (place, part) in text.split('.').enumerate() {
        *numbers.get_mut(place)? = part.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::failure::Kind;
    use std::{fs, io::Write};

    /// Reads `texts` as the files `/1.toml`, `/2.toml`, …; the first wins.
    pub(crate) fn from_texts(texts: &[&str]) -> Result<Config, Failure> {
        let documents: Vec<_> =
            texts.iter().enumerate().map(|(n, text)| Source { path: format!("/{}.toml", n + 1).into(), text }).collect();
        let parsed = documents.iter().map(Source::parse).collect::<Result<Vec<_>, _>>()?;
        let roots: Vec<_> =
            documents.iter().zip(&parsed).map(|(source, table)| Located::new(source, 0, table.get_ref())).collect();
        read(&roots)
    }

    const CORP: &str = "[login.corp]\nissuer = \"https://sso.example.com\"\nclient_id = \"keyfob\"\n";

    #[test]
    fn the_designs_example_is_read() {
        let config = from_texts(&[r#"
min_version = "0.1"
browser = "firefox --new-window"
[store]
key = "file"
key_file = "/run/key"

[login.corp]
issuer    = "https://sso.example.com/realms/dev"
client_id = "keyfob"
scopes    = ["openid", "offline_access"]

[login.forge]
preset    = "gitlab"
host      = "gitlab.example.com"
client_id = "abc"

[git."https://gitlab.example.com"]
login = "forge"
[docker."registry.gitlab.example.com"]
login = "forge"
[docker."*.registry.example.com"]
login = "corp"

[aws.prod]
login    = "corp"
role_arn = "arn:aws:iam::123456789012:role/Developer"
"#])
        .unwrap();
        assert_eq!(config.browser.as_deref(), Some("firefox --new-window"));
        assert_eq!(config.store, StoreSettings { key: Some("file".into()), key_file: Some("/run/key".into()) });
        assert_eq!(config.logins["corp"].scopes, ["openid", "offline_access"]);
        let keys: Vec<_> =
            config.routes.iter().map(|(key, route)| (key, route.login.as_str(), route.username.as_str())).collect();
        assert_eq!(
            keys,
            [
                ("aws prod", "corp", ""),
                ("docker *.registry.example.com", "corp", "oauth2"),
                ("docker registry.gitlab.example.com", "forge", "oauth2"),
                ("git https://gitlab.example.com", "forge", "oauth2"),
            ]
        );
        let role = config.routes.iter().next().unwrap().1.aws.clone().unwrap();
        assert_eq!((role.account_id.as_str(), role.partition.as_str(), role.duration), ("123456789012", "aws", 3600));
    }

    #[test]
    fn nothing_at_all_is_an_empty_configuration() {
        let config = from_texts(&[]).unwrap();
        assert!(config.logins.is_empty() && config.routes.iter().next().is_none());
        assert_eq!(config.store, StoreSettings::default());
        assert!(from_texts(&[""]).is_ok());
    }

    #[test]
    fn every_mistake_names_its_line_and_what_would_be_right() {
        let role = "arn:aws:iam::123456789012:role/R";
        let cases = [
            ("logn = 1\n".into(), 1, "there is no key `logn` here", "did you mean `login`?"),
            (format!("{CORP}scpes = []\n"), 4, "there is no key `scpes` here", "did you mean `scopes`?"),
            (format!("{CORP}[git.\"https://h\"]\nlogin = \"crop\"\n"), 5, "there is no login `crop`", "did you mean `corp`?"),
            (format!("{CORP}[git.\"https://h\"]\nuser = \"x\"\n"), 5, "there is no key `user` here", "did you mean `username`?"),
            (format!("{CORP}[git.\"https://h\"]\n"), 4, "needs a `login`", "add `login = \"NAME\"`"),
            (format!("{CORP}[git.\"h\"]\nlogin = \"corp\"\n"), 4, "write the whole URL", ""),
            (format!("{CORP}[git.\"http://h\"]\nlogin = \"corp\"\n"), 4, "for all to read", "`allow_http = true`"),
            (format!("{CORP}[git.\"https://h\"]\nlogin = \"corp\"\nallow_http = true\n"), 6, "answers https only", "http URL"),
            (
                format!("{CORP}[git.\"https://h\"]\nlogin = \"corp\"\n[git.\"https://H.:443/\"]\nlogin = \"corp\"\n"),
                6,
                "in line 4",
                "",
            ),
            (
                format!("{CORP}[docker.\"x.com\"]\nlogin = \"corp\"\n[docker.\"https://X.com/v2/\"]\nlogin = \"corp\"\n"),
                6,
                "in line 4",
                "",
            ),
            (format!("{CORP}[docker.\"*.com\"]\nlogin = \"corp\"\n"), 4, "is not a pattern", ""),
            (format!("{CORP}[docker.\"x.com/team\"]\nlogin = \"corp\"\n"), 4, "named by its host", ""),
            (format!("{CORP}[docker.\"x com\"]\nlogin = \"corp\"\n"), 4, "not a registry's host", ""),
            (format!("{CORP}[aws.p]\nlogin = \"corp\"\n"), 4, "needs a `role_arn`", "arn:aws:iam"),
            (format!("{CORP}[aws.p]\nlogin = \"corp\"\nrole_arn = \"x\"\n"), 6, "must look like", ""),
            (format!("{CORP}[aws.p]\nlogin = \"corp\"\nrole_arn = \"{role}\"\nduration = 60\n"), 7, "from 900 to 43200", ""),
            (format!("{CORP}[aws.p]\nlogin = \"corp\"\nrole_arn = \"{role}\"\nregion = \"a/b\"\n"), 7, "a region's name", ""),
            (format!("{CORP}[aws.p]\nlogin = \"corp\"\nrole_arn = \"{role}\"\nsession_name = \"a\"\n"), 7, "2 to 64", ""),
            ("[login.\"a b\"]\n".into(), 1, "cannot name a login", ""),
            ("login = 1\n".into(), 1, "`login` must be a table", ""),
            ("[login]\ncorp = 1\n".into(), 2, "`[login.NAME]`", ""),
            ("[store]\nkey = \"disk\"\n".into(), 2, "\"keyring\" or \"file\"", ""),
            ("[store]\nkey_file = \"key\"\n".into(), 2, "absolute", ""),
            ("min_version = \"99\"\nnew_key = 1\n".into(), 1, "for keyfob 99 or newer", "install a newer"),
            ("min_version = \"x\"\n".into(), 1, "must be a version", ""),
            ("\n[login.corp\n".into(), 2, "this is not TOML", ""),
        ];
        for (text, line, message, hint) in cases {
            let failure = from_texts(&[&text]).map(|_| ()).unwrap_err();
            assert_eq!(failure.kind, Kind::Misconfigured);
            assert!(failure.message.starts_with(&format!("/1.toml:{line}: ")), "line {line}: {}", failure.lines());
            assert!(failure.message.contains(message), "{}", failure.lines());
            assert!(hint.is_empty() || failure.hints.iter().any(|shown| shown.contains(hint)), "{}", failure.lines());
        }
    }

    #[test]
    fn text_of_the_file_is_made_harmless_before_it_is_shown() {
        let failure = from_texts(&[&format!("\"\\u001b[31m{}\" = 1\n", "x".repeat(500))]).unwrap_err();
        assert!(!failure.lines().contains('\u{1b}'));
        assert!(failure.message.len() < 200, "{}", failure.message);
    }

    #[test]
    fn the_users_file_wins_over_the_systems_table_by_table() {
        let user = r#"
[login.corp]
issuer = "https://user.example.com"
client_id = "mine"
[git."https://git.example.com"]
login = "other"
"#;
        let system = r#"
browser = "b"
[store]
key = "none"
[login.corp]
issuer = "https://system.example.com"
client_id = "theirs"
account = "a"
[login.other]
issuer = "https://other.example.com"
client_id = "o"
[git."https://GIT.example.com:443"]
login = "corp"
[git."https://two.example.com"]
login = "corp"
"#;
        let config = from_texts(&[user, system]).unwrap();
        assert_eq!((config.browser.as_deref(), config.store.key.as_deref()), (Some("b"), Some("none")));
        assert_eq!((config.logins["corp"].client_id.as_str(), config.logins["corp"].account.as_deref()), ("mine", None));
        let routes: Vec<_> = config.routes.iter().map(|(key, route)| (key, route.login.as_str())).collect();
        assert_eq!(routes, [("git https://git.example.com", "other"), ("git https://two.example.com", "corp")]);
        let fault = from_texts(&["", "x = 1\n"]).unwrap_err();
        assert!(fault.message.starts_with("/2.toml:1: "));
    }

    #[test]
    fn versions_compare_by_number() {
        for (text, number) in [
            ("1", Some([1, 0, 0])),
            ("1.2", Some([1, 2, 0])),
            ("1.10.3", Some([1, 10, 3])),
            ("1.2.3.4", None),
            ("v1", None),
            ("", None),
        ] {
            assert_eq!(version(text), number, "{text}");
        }
        assert!(from_texts(&[&format!("min_version = \"{}\"\n", env!("CARGO_PKG_VERSION"))]).is_ok());
    }

    #[test]
    fn a_configuration_of_three_hundred_lines_is_read() {
        let mut text = CORP.to_owned();
        for n in 0..100 {
            text.push_str(&format!("[git.\"https://host{n}.example.com/team\"]\nlogin = \"corp\"\nusername = \"u{n}\"\n"));
        }
        assert!(text.lines().count() > 300);
        let config = from_texts(&[&text]).unwrap();
        let resource =
            helper_protocols::Resource::Url { protocol: Some("https"), host: Some("host42.example.com"), path: Some("team/x") };
        assert_eq!(config.routes.find(&resource, None).unwrap().username, "u42");
        let broken = format!("{text}oops = 1\n");
        assert!(from_texts(&[&broken]).unwrap_err().message.starts_with("/1.toml:304: "));
    }

    #[test]
    fn files_are_read_through_links_and_every_place_is_remembered() {
        let folder = std::env::temp_dir().join(format!("keyfob-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (target, link, missing) = (folder.join("dotfile"), folder.join("config.toml"), folder.join("missing.toml"));
        fs::File::create(&target).unwrap().write_all(CORP.as_bytes()).unwrap();
        assert!(std::process::Command::new("ln").arg("-s").args([&target, &link]).status().unwrap().success());
        let config = Config::from_files(&[link.clone(), missing.clone()], os::effective_uid(), None).unwrap();
        assert!(config.logins.contains_key("corp"));
        let stamps: Vec<_> = config.sources.iter().map(|stamp| (&stamp.path, stamp.facts.is_some())).collect();
        assert_eq!(stamps, [(&link, true), (&missing, false)]);
        assert_eq!(config.sources[0].facts, os::facts_at(&link).unwrap());
        assert_eq!(config.sources[0].facts, os::facts_at(&target).unwrap());
        fs::remove_file(&target).unwrap();
        assert_eq!(os::facts_at(&link).unwrap(), None);
        assert!(Config::from_files(&[link], os::effective_uid(), None).unwrap().logins.is_empty());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_environment_says_where_to_look() {
        let env = Environment::from_map([("KEYFOB_CONFIG".into(), "relative.toml".into())]);
        assert!(Config::load(&env).unwrap_err().message.contains("absolute"));
    }
}
