//! A home whose key is in one of the three places that a key may be in.
use crate::support::home::Home;
use crate::support::kernel_keyring;
use crate::support::peers::{self, Keyring, OidcProvider};
use crate::support::process::{self, Output};
use crate::support::temp_dir::TempDir;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Where a test's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    SecretService,
    KeyFile,
    Kernel,
}

/// A home with its key source. Dropping it takes its keys out of the kernel's keyring, where they would stay.
pub(super) struct Place {
    pub(super) home: Home,
    source: KeySource,
    keyring: Option<Keyring>,
    /// After the session that uses it.
    keyring_folder: TempDir,
}

impl Place {
    /// `None` where the source cannot be had.
    pub(super) fn new(source: KeySource) -> Option<Self> {
        let keyring_folder = TempDir::new("keyring");
        let keyring = match source {
            KeySource::SecretService => Some(Keyring::start(keyring_folder.path())?),
            KeySource::KeyFile | KeySource::Kernel => None,
        };
        if source != KeySource::KeyFile && !peers::require("keyctl") {
            return None;
        }
        let home = if source == KeySource::KeyFile { Home::new() } else { Home::without_key_file() };
        Some(Self { home, source, keyring, keyring_folder })
    }

    /// Writes the configuration: a login `corp`, `rest`, and where the key is to be.
    pub(super) fn configure(&self, server: &OidcProvider, rest: &str) {
        let key = if self.source == KeySource::Kernel { "[store]\nkey = \"kernel\"\n" } else { "" };
        self.home.write_config(&super::configuration(server, &format!("{rest}{key}")));
    }

    /// The word for the source in `keyfob status --json` and in the file `store`.
    pub(super) fn word(&self) -> &'static str {
        match self.source {
            KeySource::SecretService => "keyring",
            KeySource::KeyFile => "file",
            KeySource::Kernel => "kernel",
        }
    }

    /// A program in this home, with a person to ask, that can reach the keyring.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = super::attended(self.home.command(program));
        command.envs(self.keyring.as_ref().map(Keyring::environment));
        command
    }

    #[track_caller]
    pub(super) fn keyfob(&self, arguments: &[&str], stdin: &str) -> Output {
        process::run(self.command("keyfob").args(arguments), stdin.as_bytes())
    }

    /// Ends the desktop's session, forgets the copy of the key, and begins another session whose keyring is locked or not.
    pub(super) fn next_session(&mut self, locked: bool) {
        kernel_keyring::forget(&self.home.state());
        self.keyring_begins_anew(locked);
    }

    /// Ends the desktop's session and begins another one, while the kernel keeps its copy of the key.
    pub(super) fn keyring_begins_anew(&mut self, locked: bool) {
        self.keyring = None;
        let start = if locked { Keyring::locked } else { Keyring::start };
        self.keyring = Some(start(self.keyring_folder.path()).expect("it started a moment ago"));
    }

    /// The folder with the records; `None` before there is one.
    fn store(&self) -> Option<PathBuf> {
        let stores = std::fs::read_dir(self.home.state().join("keyfob/v1")).ok()?;
        let found: Vec<PathBuf> = stores.flatten().map(|entry| entry.path()).filter(|path| path.join("store").exists()).collect();
        assert!(found.len() <= 1, "a home has one store for each machine: {found:?}");
        found.into_iter().next()
    }

    /// Every file of the store by its name; none before there is a store.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = self.store().into_iter().flat_map(|folder| std::fs::read_dir(folder).expect("it is a folder")).flatten();
        let read = |path: PathBuf| std::fs::read(path).unwrap_or_default();
        entries
            .filter(|entry| entry.path().is_file())
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(entry.path())))
            .collect()
    }

    /// Replaces the file `name` of the store.
    pub(super) fn replace(&self, name: &str, content: &[u8]) {
        let path = self.store().expect("there is a store").join(name);
        std::fs::write(path, content).expect("it is ours");
    }

    /// The file `store`, which is not sealed; null before there is one.
    pub(super) fn meta(&self) -> serde_json::Value {
        self.files().get("store").map(|text| serde_json::from_slice(text).expect("it is JSON")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.source != KeySource::KeyFile {
            kernel_keyring::forget(&self.home.state());
        }
    }
}
