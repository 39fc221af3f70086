//! The environment: every variable the program reads, and those a worker may inherit.
use crate::failure::{Failure, Kind};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// The administrator's configuration, under the user's own.
const SYSTEM_CONFIG: &str = "/etc/keyfob/config.toml";

/// Names a worker inherits beside those of [`WORKER_PREFIXES`], compared without case because Windows and proxies mix it.
const WORKER_NAMES: [&str; 36] = [
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "CI",
    "GIT_TERMINAL_PROMPT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_CA_BUNDLE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "BROWSER",
    "CREDENTIALS_DIRECTORY",
    "SSH_CONNECTION",
    "SSH_TTY",
    "container",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "APPDATA",
    "LOCALAPPDATA",
    "USERPROFILE",
    "USERNAME",
    "TEMP",
    "TMP",
];

/// First letters of the names a worker inherits. None of ours holds a secret: they are paths and words.
const WORKER_PREFIXES: [&str; 4] = ["XDG_", "KEYFOB_", "LC_", "WSL_"];

/// More `GIT_CONFIG_KEY_n` than this are not looked at: the count is the caller's word.
const GIT_CONFIG_LIMIT: u32 = 1000;

/// The variables of one process.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// `None` reads the process's own, one at a time, so that the cached path does not copy all of them; tests bring a map.
    variables: Option<BTreeMap<OsString, OsString>>,
}

/// What the environment says about asking a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one setting, made by somebody else")]
pub(crate) struct Interaction {
    /// `KEYFOB_INTERACTIVE=never`.
    pub(crate) never: bool,
    /// `CI` is set, and not to a no.
    pub(crate) ci: bool,
    /// `GIT_TERMINAL_PROMPT=0`.
    pub(crate) no_terminal_prompt: bool,
    /// git was told `credential.interactive=false`.
    pub(crate) git_forbids: bool,
}

impl Environment {
    /// Returns the environment of this process.
    pub(crate) const fn process() -> Self {
        Self { variables: None }
    }

    /// Returns an environment of exactly `variables`.
    #[cfg(test)]
    pub(crate) fn from_map(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self { variables: Some(variables.into_iter().collect()) }
    }

    fn raw(&self, name: &str) -> Option<OsString> {
        self.given(name).filter(|value| !value.is_empty())
    }

    #[expect(clippy::disallowed_methods, reason = "this file owns the environment")]
    fn given(&self, name: &str) -> Option<OsString> {
        match &self.variables {
            None => std::env::var_os(name),
            Some(map) => map.get(OsStr::new(name)).cloned(),
        }
    }

    /// Returns the value of `name`; an empty one, or one that is not Unicode, counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.raw(name)?.into_string().ok()
    }

    /// Returns the path in `name`; a relative one counts as absent (XDG Base Directory Specification).
    pub(crate) fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Returns the person's home.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.absolute("HOME").or_else(|| self.absolute("USERPROFILE"))
    }

    /// Returns the configuration files in the order in which they win: the user's, then the system's.
    ///
    /// A relative `KEYFOB_CONFIG` is returned as it is, for whoever reads it to refuse.
    pub(crate) fn config_paths(&self) -> Vec<PathBuf> {
        let user = self.raw("KEYFOB_CONFIG").map(PathBuf::from).or_else(|| {
            let folder = self
                .absolute("XDG_CONFIG_HOME")
                .or_else(|| if on_windows() { self.absolute("APPDATA") } else { self.home().map(|home| home.join(".config")) });
            folder.map(|folder| folder.join("keyfob").join("config.toml"))
        });
        let system = Some(PathBuf::from(SYSTEM_CONFIG)).filter(|path| path.is_absolute() && user.as_ref() != Some(path));
        user.into_iter().chain(system).collect()
    }

    /// Returns the folder under which state is kept.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] if no variable names one.
    pub(crate) fn state_dir(&self) -> Result<PathBuf, Failure> {
        if self.raw("KEYFOB_STATE_DIR").is_some() {
            return self.absolute("KEYFOB_STATE_DIR").ok_or_else(|| {
                Failure::new(Kind::Misconfigured, "`KEYFOB_STATE_DIR` is not an absolute path").hint("write it out from the root")
            });
        }
        let folder = self.absolute("XDG_STATE_HOME").or_else(|| {
            if on_windows() { self.absolute("LOCALAPPDATA") } else { self.home().map(|home| home.join(".local").join("state")) }
        });
        folder.map(|folder| folder.join("keyfob")).ok_or_else(|| {
            Failure::new(Kind::Misconfigured, "there is no place to keep anything: `HOME` is not set")
                .hint("set `HOME`, or `KEYFOB_STATE_DIR` to an absolute path")
        })
    }

    /// Returns the folder for what lasts until this session's end (XDG Base Directory Specification), where there is one.
    pub(crate) fn runtime_dir(&self) -> Option<PathBuf> {
        self.absolute("XDG_RUNTIME_DIR")
    }

    /// Returns the file that is to hold the key, where the person names one.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] where its path is a relative one, which would lead to another file in each folder.
    pub(crate) fn key_file(&self) -> Result<Option<PathBuf>, Failure> {
        let named = self.raw("KEYFOB_KEY_FILE").map(PathBuf::from);
        if named.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(
                Failure::new(Kind::Misconfigured, "`KEYFOB_KEY_FILE` is not an absolute path").hint("write it out from the root")
            );
        }
        Ok(named)
    }

    /// Returns the file with the key that a service manager hands over (systemd.exec(5), "Credentials"); `None` only where it is certain
    /// that there is none.
    pub(crate) fn credential(&self) -> Option<PathBuf> {
        let file = self.absolute("CREDENTIALS_DIRECTORY")?.join("keyfob");
        file.try_exists().unwrap_or(true).then_some(file)
    }

    /// Returns what the environment says about asking a person.
    pub(crate) fn interaction(&self) -> Interaction {
        let says_no = |name| self.text(name).is_some_and(|word| is_no(&word));
        Interaction {
            never: says_no("KEYFOB_INTERACTIVE"),
            ci: self.text("CI").is_some_and(|word| !is_no(&word)),
            no_terminal_prompt: says_no("GIT_TERMINAL_PROMPT"),
            git_forbids: self.git_setting("credential.interactive").is_some_and(|word| is_no(&word)),
        }
    }

    /// Returns the command lines that open a page, the first that starts to be taken, and the variable that has them: the one in
    /// `KEYFOB_BROWSER`, else those in `BROWSER`, which by its convention are separated by colons.
    pub(crate) fn browser_commands(&self) -> Option<(&'static str, Vec<String>)> {
        if let Some(command) = self.text("KEYFOB_BROWSER") {
            return Some(("KEYFOB_BROWSER", vec![command]));
        }
        let commands = self.text("BROWSER")?;
        let named: Vec<String> =
            commands.split(':').filter(|command| !command.trim().is_empty()).map(ToOwned::to_owned).collect();
        (!named.is_empty()).then_some(("BROWSER", named))
    }

    /// Returns the variable that names a graphical display, where one does.
    pub(crate) fn display(&self) -> Option<&'static str> {
        self.first_set(&["WAYLAND_DISPLAY", "DISPLAY"])
    }

    /// Returns the variable by which this session came over SSH, where it did.
    pub(crate) fn ssh(&self) -> Option<&'static str> {
        self.first_set(&["SSH_CONNECTION", "SSH_TTY"])
    }

    /// Tells whether this is Linux under Windows.
    pub(crate) fn wsl(&self) -> bool {
        self.raw("WSL_DISTRO_NAME").is_some()
    }

    /// Tells whether the session names a socket by which programs of Windows are started; that they can be is another matter.
    pub(crate) fn wsl_interop(&self) -> bool {
        self.raw("WSL_INTEROP").is_some()
    }

    /// Tells whether this process was told by its container that it is in one, as systemd-nspawn, Podman and LXC do.
    pub(crate) fn container(&self) -> bool {
        self.raw("container").is_some()
    }

    /// Tells whether the terminal is one that understands more than lines of text: `TERM` is set, and not to `dumb`.
    pub(crate) fn terminal_has_colours(&self) -> bool {
        self.text("TERM").is_some_and(|term| term != "dumb")
    }

    /// Tells whether text is UTF-8, by the variable that wins (POSIX, "Environment Variables"): `LC_ALL`, `LC_CTYPE`, `LANG`.
    pub(crate) fn speaks_utf8(&self) -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| self.text(name)).unwrap_or_default();
        let codeset = locale.split_once('.').map_or("", |(_, codeset)| codeset).to_ascii_lowercase();
        codeset.split('@').next().is_some_and(|codeset| codeset == "utf-8" || codeset == "utf8")
    }

    fn first_set(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.raw(name).is_some())
    }

    /// Tells whether events are to be traced: `KEYFOB_TRACE` is set, and not to `0`, `no`, `false` or `never`.
    pub(crate) fn trace(&self) -> bool {
        self.text("KEYFOB_TRACE").is_some_and(|word| !is_no(&word))
    }

    /// Returns the variables a worker may have: an allow-list, with `PATH` reduced to its absolute entries.
    pub(crate) fn for_worker(&self) -> Vec<(OsString, OsString)> {
        self.allowed(inherited)
    }

    fn allowed(&self, is_allowed: impl Fn(&str) -> bool) -> Vec<(OsString, OsString)> {
        let all: Vec<_> = match &self.variables {
            None => std::env::vars_os().collect(),
            Some(map) => map.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        };
        all.into_iter()
            .filter_map(|(name, value)| match name.to_str()? {
                text if text.eq_ignore_ascii_case("PATH") => Some((name, absolute_entries(&value)?)),
                text if is_allowed(text) => Some((name, value)),
                _ => None,
            })
            .collect()
    }

    /// Returns the absolute folders of the search path, in order.
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        let path = self.raw("PATH").unwrap_or_default();
        std::env::split_paths(&path).filter(|entry| entry.is_absolute()).collect()
    }

    /// Returns the user's git configuration, where git itself would change it (git-config(1), "FILES"); the second is the one that it
    /// takes where only that is there. A `GIT_CONFIG_GLOBAL` that is relative, or empty and so no file to git, is returned as it is, for
    /// whoever reads it to refuse.
    pub(crate) fn git_config_paths(&self) -> Vec<PathBuf> {
        if let Some(path) = self.given("GIT_CONFIG_GLOBAL") {
            return vec![path.into()];
        }
        let folder = self.absolute("XDG_CONFIG_HOME").or_else(|| self.home().map(|home| home.join(".config")));
        let own = self.home().map(|home| home.join(".gitconfig"));
        own.into_iter().chain(folder.map(|folder| folder.join("git").join("config"))).collect()
    }

    /// Returns the files in which `git credential-store` keeps passwords (git-credential-store(1), "FILES").
    pub(crate) fn git_credential_files(&self) -> Vec<PathBuf> {
        let folder = self.absolute("XDG_CONFIG_HOME").or_else(|| self.home().map(|home| home.join(".config")));
        let own = self.home().map(|home| home.join(".git-credentials"));
        own.into_iter().chain(folder.map(|folder| folder.join("git").join("credentials"))).collect()
    }

    /// Returns the variables for a git that is asked about its configuration: those that decide which it reads, and those of a worker.
    pub(crate) fn for_git(&self) -> Vec<(OsString, OsString)> {
        let decides = |name: &str| name.starts_with("GIT_CONFIG_") || name == "GIT_EXEC_PATH";
        self.allowed(|name| decides(name) || inherited(name))
    }

    /// Returns the repository that git runs this in; none where it runs it in none, or something else does (git(1), `GIT_DIR`).
    pub(crate) fn git_repository(&self) -> Option<String> {
        let folder = PathBuf::from(self.raw("GIT_DIR")?);
        let folder = if folder.is_absolute() { folder } else { std::env::current_dir().ok()?.join(folder) };
        Some(folder.to_string_lossy().into_owned())
    }

    /// Returns what git was told about `key` on its command line or through `GIT_CONFIG_COUNT`; the command line wins in git too.
    fn git_setting(&self, key: &str) -> Option<String> {
        let parameters = self.text("GIT_CONFIG_PARAMETERS").unwrap_or_default();
        if let Some((_, value)) = git_parameters(&parameters).into_iter().rfind(|(name, _)| name.eq_ignore_ascii_case(key)) {
            return Some(value);
        }
        let count: u32 = self.text("GIT_CONFIG_COUNT")?.trim().parse().ok()?;
        (0..count.min(GIT_CONFIG_LIMIT))
            .rev()
            .find(|n| self.text(&format!("GIT_CONFIG_KEY_{n}")).is_some_and(|name| name.eq_ignore_ascii_case(key)))
            .map(|n| self.text(&format!("GIT_CONFIG_VALUE_{n}")).unwrap_or_default())
    }
}

fn on_windows() -> bool {
    std::env::consts::OS == "windows"
}

/// Tells whether `word` is one of git's spellings of no; git reads an empty value as no.
pub(crate) fn is_no(word: &str) -> bool {
    ["", "0", "false", "no", "off", "never"].iter().any(|no| word.trim().eq_ignore_ascii_case(no))
}

fn inherited(name: &str) -> bool {
    WORKER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || WORKER_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Returns the absolute folders of a search path; a relative one would run what lies in the working directory.
fn absolute_entries(path: &OsStr) -> Option<OsString> {
    let kept = std::env::split_paths(path).filter(|entry| Path::is_absolute(entry));
    std::env::join_paths(kept).ok().filter(|joined| !joined.is_empty())
}

/// Reads `GIT_CONFIG_PARAMETERS`: words quoted for a shell, `'key=value'` or `'key'='value'`, with blanks between. A key without a
/// value means yes. What follows the first word that is not quoted so is left out, as git would refuse it.
fn git_parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some((word, after)) = quoted(rest) {
        let (pair, after) = match after.strip_prefix('=') {
            None => (word.split_once('=').map_or((word.clone(), "true".into()), |(k, v)| (k.into(), v.into())), after),
            Some(value) => match quoted(value) {
                Some((value, after)) => ((word, value), after),
                None => ((word, "true".into()), value),
            },
        };
        found.push(pair);
        rest = after.trim_start();
    }
    found
}

/// Reads one word in single quotes, where `'\''` and `'\!'` stand for the escaped character, and returns what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut word = String::new();
    loop {
        let (plain, after) = rest.split_once('\'')?;
        word.push_str(plain);
        let Some(escaped) = after.strip_prefix('\\').and_then(|after| after.chars().next()).filter(|c| "'!".contains(*c)) else {
            return Some((word, after));
        };
        word.push(escaped);
        rest = after[2..].strip_prefix('\'')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_map(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn an_empty_value_is_an_absent_one_and_a_relative_path_is_ignored() {
        let env = environment(&[("A", ""), ("B", "b"), ("C", "relative/path"), ("D", "/abs")]);
        assert_eq!(env.text("A"), None);
        assert_eq!(env.text("B").as_deref(), Some("b"));
        assert_eq!(env.absolute("C"), None);
        assert_eq!(env.absolute("D"), Some("/abs".into()));
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        type Pairs = &'static [(&'static str, &'static str)];
        let cases: [(Pairs, &[&str]); 5] = [
            (&[("HOME", "/h")], &["/h/.config/keyfob/config.toml", SYSTEM_CONFIG]),
            (&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")], &["/x/keyfob/config.toml", SYSTEM_CONFIG]),
            (&[("HOME", "/h"), ("XDG_CONFIG_HOME", "x")], &["/h/.config/keyfob/config.toml", SYSTEM_CONFIG]),
            (&[("HOME", "/h"), ("KEYFOB_CONFIG", "/k.toml")], &["/k.toml", SYSTEM_CONFIG]),
            (&[], &[SYSTEM_CONFIG]),
        ];
        for (pairs, paths) in cases {
            assert_eq!(environment(pairs).config_paths(), paths.iter().map(PathBuf::from).collect::<Vec<_>>(), "{pairs:?}");
        }
    }

    #[test]
    fn the_state_folder_is_found_or_its_absence_explained() {
        assert_eq!(environment(&[("HOME", "/h")]).state_dir().unwrap(), PathBuf::from("/h/.local/state/keyfob"));
        assert_eq!(environment(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]).state_dir().unwrap(), PathBuf::from("/s/keyfob"));
        assert_eq!(environment(&[("HOME", "/h"), ("KEYFOB_STATE_DIR", "/k")]).state_dir().unwrap(), PathBuf::from("/k"));
        assert_eq!(environment(&[]).state_dir().unwrap_err().kind, Kind::Misconfigured);
        assert!(environment(&[("HOME", "/h"), ("KEYFOB_STATE_DIR", "k")]).state_dir().unwrap_err().message.contains("absolute"));
    }

    #[test]
    fn every_way_to_forbid_asking_is_seen() {
        let none = Interaction::default();
        let never = Interaction { never: true, ..none };
        let git = Interaction { git_forbids: true, ..none };
        let cases: [(&[(&str, &str)], Interaction); 17] = [
            (&[], none),
            (&[("KEYFOB_INTERACTIVE", "never")], never),
            (&[("KEYFOB_INTERACTIVE", "auto")], none),
            (&[("CI", "true")], Interaction { ci: true, ..none }),
            (&[("CI", "false")], none),
            (&[("GIT_TERMINAL_PROMPT", "0")], Interaction { no_terminal_prompt: true, ..none }),
            (&[("GIT_TERMINAL_PROMPT", "1")], none),
            (&[("GIT_CONFIG_PARAMETERS", "'credential.interactive=false'")], git),
            (&[("GIT_CONFIG_PARAMETERS", "'a.b'='it'\\''s' 'Credential.Interactive'='NEVER'")], git),
            (&[("GIT_CONFIG_PARAMETERS", "'credential.interactive'='0' 'credential.interactive=true'")], none),
            (&[("GIT_CONFIG_PARAMETERS", "'credential.interactive'=")], none),
            (&[("GIT_CONFIG_PARAMETERS", "'credential.interactive'")], none),
            (&[("GIT_CONFIG_PARAMETERS", "'x.y=credential.interactive=false'")], none),
            (&[("GIT_CONFIG_PARAMETERS", "'unterminated")], none),
            (&[("GIT_CONFIG_COUNT", "2"), ("GIT_CONFIG_KEY_1", "credential.interactive"), ("GIT_CONFIG_VALUE_1", "no")], git),
            (
                &[
                    ("GIT_CONFIG_COUNT", "2"),
                    ("GIT_CONFIG_KEY_0", "credential.interactive"),
                    ("GIT_CONFIG_VALUE_0", "no"),
                    ("GIT_CONFIG_KEY_1", "credential.interactive"),
                    ("GIT_CONFIG_VALUE_1", "yes"),
                ],
                none,
            ),
            (&[("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_1", "credential.interactive"), ("GIT_CONFIG_VALUE_1", "no")], none),
        ];
        for (pairs, expected) in cases {
            assert_eq!(environment(pairs).interaction(), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_git_configuration_is_found_as_git_finds_it() {
        type Pairs = &'static [(&'static str, &'static str)];
        let cases: [(Pairs, &[&str]); 6] = [
            (&[("HOME", "/h")], &["/h/.gitconfig", "/h/.config/git/config"]),
            (&[("HOME", "/h"), ("GIT_CONFIG_GLOBAL", "")], &[""]),
            (&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")], &["/h/.gitconfig", "/x/git/config"]),
            (&[("HOME", "/h"), ("GIT_CONFIG_GLOBAL", "/g")], &["/g"]),
            (&[("HOME", "/h"), ("GIT_CONFIG_GLOBAL", "g")], &["g"]),
            (&[], &[]),
        ];
        for (pairs, paths) in cases {
            assert_eq!(environment(pairs).git_config_paths(), paths.iter().map(PathBuf::from).collect::<Vec<_>>(), "{pairs:?}");
        }
        let given = environment(&[("HOME", "/h"), ("GIT_CONFIG_COUNT", "0"), ("GIT_DIR", "/evil"), ("GIT_CONFIG", "/evil")]);
        let names: Vec<_> = given.for_git().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["GIT_CONFIG_COUNT", "HOME"], "where it stands and what it is told to read does not matter");
    }

    #[test]
    fn a_worker_inherits_what_is_allowed_and_nothing_else() {
        let env = environment(&[
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/run/user/1"),
            ("KEYFOB_CONFIG", "/k"),
            ("https_proxy", "http://proxy"),
            ("LC_ALL", "C"),
            ("PATH", "/usr/bin:.:bin:/bin"),
            ("LD_PRELOAD", "/evil.so"),
            ("AWS_SECRET_ACCESS_KEY", "s3cret"),
            ("AWS_SESSION_TOKEN", "s3cret"),
            ("GITHUB_TOKEN", "s3cret"),
            ("GIT_CONFIG_PARAMETERS", "'http.extraheader=s3cret'"),
            ("RUST_BACKTRACE", "1"),
        ]);
        let mut names: Vec<_> = env.for_worker().into_iter().map(|(name, _)| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["HOME", "KEYFOB_CONFIG", "LC_ALL", "PATH", "XDG_RUNTIME_DIR", "https_proxy"]);
        assert!(env.for_worker().contains(&("PATH".into(), "/usr/bin:/bin".into())));
        assert!(environment(&[("PATH", ".:bin")]).for_worker().is_empty());
    }

    #[test]
    fn a_terminal_and_its_locale_are_read_by_what_wins() {
        let rows: [(&[(&str, &str)], bool); 8] = [
            (&[("LANG", "de_DE.UTF-8")], true),
            (&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], false),
            (&[("LANG", "C"), ("LC_CTYPE", "en_US.utf8")], true),
            (&[("LC_ALL", "ca_ES.UTF-8@valencia")], true),
            (&[("LC_ALL", "de_DE.ISO-8859-15@euro")], false),
            (&[("LC_ALL", ""), ("LANG", "C.UTF-8")], true),
            (&[("LANG", "POSIX")], false),
            (&[], false),
        ];
        for (pairs, expected) in rows {
            assert_eq!(environment(pairs).speaks_utf8(), expected, "{pairs:?}");
        }
        let colours = |term| environment(&[("TERM", term)]).terminal_has_colours();
        assert_eq!(["xterm-256color", "linux", "dumb", ""].map(colours), [true, true, false, false]);
        assert!(!environment(&[]).terminal_has_colours());
    }

    #[test]
    fn the_key_file_is_the_named_one_or_the_one_handed_over() {
        let folder = std::env::temp_dir().join(format!("keyfob-environment-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let folder_text = folder.to_str().unwrap();
        let handed_over = environment(&[("CREDENTIALS_DIRECTORY", folder_text), ("KEYFOB_KEY_FILE", "/k")]);
        assert_eq!(handed_over.credential(), None);
        std::fs::File::create(folder.join("keyfob")).unwrap();
        assert_eq!(handed_over.credential(), Some(folder.join("keyfob")));
        assert_eq!(handed_over.key_file().unwrap(), Some("/k".into()));
        assert_eq!(environment(&[("CREDENTIALS_DIRECTORY", "credentials")]).credential(), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_real_environment_is_read_where_no_map_is_given() {
        assert!(Environment::process().raw("PATH").is_some());
        assert!(!Environment::process().for_worker().is_empty());
    }
}
