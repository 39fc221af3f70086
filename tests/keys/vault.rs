//! A home with every kind of record, whose key can be in any place and is looked at from outside.
use crate::support::authorization_server::AuthorizationServer;
use crate::support::home::Home;
use crate::support::peers::{self, Keyring};
use crate::support::process::{self, Output};
use crate::support::scene::{KEPT, Scene};
use crate::support::temp_dir::TempDir;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// A place that a key can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(&'static str),
    Keyring,
    Kernel,
}

impl Place {
    /// The word for it in the file `store`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Keyring => "keyring",
            Self::Kernel => "kernel",
        }
    }
}

/// A scene whose settings name no place for the key. Dropping it takes its keys out of the kernel's keyring, where they would stay.
pub(super) struct Vault {
    pub(super) scene: Scene,
    /// The access token of its login.
    pub(super) token: String,
    keyring: Option<Keyring>,
    /// After the session that uses it.
    keyring_folder: TempDir,
}

impl Vault {
    /// Signed in, with an entry of git's, one of docker's and a tombstone, all sealed with a key in `place`. A desktop's keyring is
    /// there if `with_keyring`. `None` where something for that is missing.
    pub(super) fn new(place: Place, with_keyring: bool) -> Option<Self> {
        if !peers::require("keyctl") {
            return None;
        }
        let keyring_folder = TempDir::new("keyring");
        let keyring = if with_keyring { Some(Keyring::start(keyring_folder.path())?) } else { None };
        let mut home = Home::without_key_file();
        if let Some((name, value)) = keyring.as_ref().map(Keyring::environment) {
            home.set(name, value);
        }
        let scene = Scene::with(home, AuthorizationServer::start());
        let mut vault = Self { scene, token: String::new(), keyring, keyring_folder };
        let made = vault.move_to(place).success();
        assert!(made.stdout.starts_with("the key was made: "), "{made:?}");
        vault.scene.sign_in().success();
        vault.token = vault.scene.token();
        vault.scene.keep_entries();
        let passing = b"protocol=https\nhost=gone.example.org\nusername=alice\npassword=pw-gone\n\n";
        vault.scene.git("store", passing).success();
        vault.scene.git("erase", passing).success();
        vault.fail_elsewhere();
        assert_eq!(vault.sealed().len(), 5, "a login, two entries, a tombstone and a note");
        Some(vault)
    }

    /// Leaves a note of a failure.
    #[track_caller]
    fn fail_elsewhere(&self) {
        let other = "[login.other]\nissuer = \"https://localhost:9\"\nclient_id = \"other\"\n";
        self.scene.home.write_config(&format!("{other}{}", self.scene.config()));
        let output = process::run(self.scene.home.keyfob(["token", "other"]).env("KEYFOB_INTERACTIVE", "never"), b"");
        assert_eq!(output.code, Some(3), "{output:?}");
        self.scene.home.write_config(&self.scene.config());
        assert_eq!(self.scene.files(".failed").len(), 1);
    }

    /// Ends the desktop's session and begins another one, whose keyring is locked or not.
    pub(super) fn next_session(&mut self, locked: bool) {
        self.keyring = None;
        let start = if locked { Keyring::locked } else { Keyring::start };
        let keyring = start(self.keyring_folder.path()).expect("it started a moment ago");
        let (name, value) = keyring.environment();
        self.scene.home.set(name, value);
        self.keyring = Some(keyring);
    }

    /// The command that moves the key there.
    pub(super) fn arguments(&self, place: Place) -> Vec<String> {
        let mut words = vec!["setup".to_owned(), "key".to_owned(), place.word().to_owned()];
        if let Place::File(name) = place {
            words.push(self.file(name).to_string_lossy().into_owned());
        }
        words
    }

    #[track_caller]
    pub(super) fn move_to(&self, place: Place) -> Output {
        self.scene.home.run(self.arguments(place), "")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.scene.home.path().join(".config/keyfob").join(name)
    }

    /// Panics unless everything that was kept answers as before, without a word to the server.
    #[track_caller]
    pub(super) fn answers(&self) {
        let asked = self.scene.server.requests().len();
        self.scene.still_answers(&self.token);
        let routed = self.scene.git_get("git.example.com").success();
        assert!(routed.stdout.contains(&self.token), "{routed:?}");
        self.scene.entries_answer();
        let gone = self.scene.git_get("gone.example.org").success();
        assert_eq!((gone.stdout.as_str(), gone.stderr.as_str()), ("", ""), "what was erased stays so");
        assert_eq!(self.scene.server.requests().len(), asked, "a server was asked");
        assert_eq!(self.scene.server.counts().authorizations, 1);
    }

    /// Panics unless the key in use is in `place`, every record is sealed with it, and nothing is left that a move made on its way.
    #[track_caller]
    pub(super) fn is_in(&self, place: Place) {
        let meta = self.meta();
        assert_eq!(meta["key"]["source"], place.word(), "{meta}");
        let file = match place {
            Place::File(name) => self.file(name).to_string_lossy().into_owned().into(),
            _ => serde_json::Value::Null,
        };
        assert_eq!(meta["key"]["file"], file, "{meta}");
        assert_eq!(meta["former"], serde_json::Value::Null);
        let id = self.key_id();
        let sealed = self.sealed();
        assert_eq!(sealed.values().filter(|by| **by == id).count(), sealed.len(), "{id}: {sealed:?}");
        assert!(sealed.keys().all(|name| [".rec", ".failed", ".sent"].iter().any(|end| name.ends_with(end))), "{sealed:?}");
        assert_eq!(self.scene.files(".tmp"), Vec::<String>::new());
    }

    /// Panics unless no key is where `place` says, for this store.
    #[track_caller]
    pub(super) fn is_not_in(&self, place: Place) {
        assert!(!self.has_key_in(place), "there is still a key in {place:?}");
    }

    pub(super) fn has_key_in(&self, place: Place) -> bool {
        let id = self.store_id();
        match place {
            Place::File(name) => self.file(name).exists(),
            Place::Kernel => kernel_key(&format!("keyfob:{id}")).is_some(),
            Place::Keyring => kernel_key(&format!("keyfob:{id}:copy")).is_some() || self.keyring_items() > 0,
        }
    }

    /// How many items of this store the desktop's keyring has.
    fn keyring_items(&self) -> usize {
        let Some((name, value)) = self.keyring.as_ref().map(Keyring::environment) else { return 0 };
        let mut command = Command::new("dbus-send");
        command.args(["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"]);
        command.arg("org.freedesktop.Secret.Service.SearchItems").env(name, value);
        command.arg(format!("dict:string:string:service,keyfob,username,{}", self.store_id()));
        process::run(&mut command, b"").success().stdout.matches("object path").count()
    }

    /// Takes the key out of `place`, whether there is one or not.
    pub(super) fn forget(&self, place: Place) {
        match place {
            Place::File(name) => drop(std::fs::remove_file(self.file(name))),
            Place::Kernel => forget_kernel_key(&format!("keyfob:{}", self.store_id())),
            Place::Keyring => {
                forget_kernel_key(&format!("keyfob:{}:copy", self.store_id()));
                let Some((name, value)) = self.keyring.as_ref().map(Keyring::environment) else { return };
                let mut command = Command::new("secret-tool");
                command.args(["clear", "service", "keyfob", "username", &self.store_id()]).env(name, value);
                let _ = command.status();
            }
        }
        self.is_not_in(place);
    }

    /// The text of the key in `place`, as whoever reads it there sees it.
    pub(super) fn key_text(&self, place: Place) -> Option<String> {
        let text = match place {
            Place::File(name) => std::fs::read_to_string(self.file(name)).ok()?,
            Place::Kernel => kernel_key(&format!("keyfob:{}", self.store_id()))?,
            Place::Keyring => kernel_key(&format!("keyfob:{}:copy", self.store_id()))?,
        };
        Some(text.trim().to_owned())
    }

    /// The file `store`, which is not sealed.
    pub(super) fn meta(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.scene.records().join("store")).unwrap()).unwrap()
    }

    fn store_id(&self) -> String {
        self.meta()["store"].as_str().unwrap().to_owned()
    }

    pub(super) fn key_id(&self) -> String {
        self.meta()["key"]["id"].as_str().unwrap().to_owned()
    }

    /// Every sealed file by its name, with the id of the key that sealed it.
    pub(super) fn sealed(&self) -> BTreeMap<String, String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let files = self.content().into_iter().filter(|(_, bytes)| bytes.starts_with(b"KFB1"));
        files.map(|(name, bytes)| (name, hex(&bytes[6..14]))).collect()
    }

    /// Every file of the store by its name.
    pub(super) fn content(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.scene.records()).unwrap().flatten();
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap())).collect()
    }

    /// Panics where a secret stands in a file of the home that is not sealed, `keys` among them.
    #[track_caller]
    pub(super) fn shows_no_secret(&self, keys: &[Option<String>]) {
        let mut secrets = self.scene.server.issued_secrets();
        secrets.push(KEPT.to_owned());
        secrets.extend(keys.iter().flatten().cloned());
        self.scene.home.scan_for_secrets(&secrets);
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let Ok(Some(id)) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let folder = self.scene.files("store");
            (!folder.is_empty()).then(|| self.store_id())
        })) else {
            return;
        };
        for name in [format!("keyfob:{id}"), format!("keyfob:{id}:copy")] {
            forget_kernel_key(&name);
        }
    }
}

fn kernel_key_number(name: &str) -> Option<String> {
    let output = Command::new("keyctl").args(["search", "@u", "user", name]).output().unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn kernel_key(name: &str) -> Option<String> {
    let output = Command::new("keyctl").args(["print", &kernel_key_number(name)?]).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn forget_kernel_key(name: &str) {
    if let Some(number) = kernel_key_number(name) {
        let _ = Command::new("keyctl").args(["unlink", &number, "@u"]).status();
    }
}
