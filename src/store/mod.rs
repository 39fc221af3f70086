//! Records: one sealed file each, the key that opens them, the locks that order their writers.
//!
//! Nothing here knows what a record means. Names are salted hashes, so that they give away no host, user or issuer.
mod folder;
mod journal;
mod key;
mod key_trouble;
mod lock;
mod meta;
mod note;
mod passphrase;
mod record;
mod rescue;
mod sealed_file;
mod unlock;

pub(crate) mod rekey;
pub(crate) mod routes;

pub(crate) use folder::others_beside;
pub(crate) use lock::{Held, RecordLock, SignInLock, Waiting};
pub(crate) use note::Note;
pub(crate) use record::{LARGEST_WRITTEN, ReadError, Reservation};

use crate::{
    failure::{Failure, Kind},
    os::{self, Folder},
};
use key::Key;
use lock::KeyLock;
use meta::Meta;
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use std::{fmt, fs::File, path::PathBuf};
use zeroize::Zeroizing;

/// What the configuration and the surroundings say about the store.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) state_dir: PathBuf,
    /// The folder for what lasts until this session's end, should the one above fail; `None` where there is none.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// The key file that was named; it is the source of the key then.
    pub(crate) key_file: Option<PathBuf>,
    /// A service manager handed that file over: root owns it, and no key is ever made there.
    pub(crate) handed_over: bool,
    /// The source that was asked for; `None` leaves the choice to what this machine has.
    pub(crate) source: Option<SourceKind>,
    /// What tells this machine from others that share the folder; `None` where it has no such name.
    pub(crate) machine_id: Option<String>,
    /// A person is there: the keyring may ask them, for 120 seconds instead of 2.
    pub(crate) attended: bool,
    /// Tells them what they wait for.
    pub(crate) tell: fn(&str),
    pub(crate) asking: Asking,
}

/// How a person is asked for a passphrase.
#[derive(Clone, Debug)]
pub(crate) enum Asking {
    /// By what this returns when nobody else asks at the same terminal, which the file is there to lock; a lack of persons has the bare
    /// reason as its message.
    By(fn(Option<File>) -> Result<Asker, Failure>),
    /// Nobody may be asked, for this reason, if there is one to tell.
    Nobody(String),
}

/// Shows a question and returns the line that was typed unseen. As long as it lives, nobody else asks at the same terminal.
type Asker = Box<dyn Fn(&str) -> Result<Zeroizing<Vec<u8>>, Failure>>;

impl Asking {
    /// Waits for the turn to ask. Without a file to lock it is had at once.
    fn turn(&self, folder: &Folder) -> Result<Asker, Failure> {
        match self {
            Self::By(begin) => begin(lock::asking(folder)),
            Self::Nobody(reason) => Err(Failure::new(Kind::NeedsPerson, reason.clone())),
        }
    }
}

/// Where the key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceKind {
    /// In a file that was named.
    File,
    /// In the keyring of the desktop or the system.
    Keyring,
    /// In the keyring of the Linux kernel alone, until the machine's next start.
    Kernel,
    /// In a person's head: it is made of a passphrase.
    Passphrase,
    /// Nowhere: nothing can be kept.
    None,
}

impl SourceKind {
    /// Returns the word by which the configuration and reports name this source.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Keyring => "keyring",
            Self::Kernel => "kernel",
            Self::Passphrase => "passphrase",
            Self::None => "none",
        }
    }

    /// Returns the source that [`SourceKind::word`] names.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::File, Self::Keyring, Self::Kernel, Self::Passphrase, Self::None].into_iter().find(|kind| kind.word() == word)
    }
}

/// The name of a record: 16 bytes, 32 hexadecimal digits in file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordId(pub(crate) [u8; 16]);

impl RecordId {
    /// Returns the id that [`fmt::Display`] writes.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

/// The records of this machine's user.
#[derive(Debug)]
pub(crate) struct Store {
    settings: Settings,
    folder: Folder,
    /// The machine's name, which is part of every record's key.
    machine: String,
    /// Whether that name was made up by us.
    machine_is_ours: bool,
    /// The user's number, which is part of every record's key as well.
    user: u32,
    meta: Meta,
    id: [u8; 16],
    key: Option<Key>,
    /// It was made by this process.
    key_is_new: bool,
    /// Taken by whoever may write.
    key_lock: Option<KeyLock>,
}

impl Store {
    /// Returns the file by which those who ask at one terminal take turns; `None` where it cannot be had, which must keep nobody from asking.
    /// While one is used, no other may be taken and closed in this process.
    pub(crate) fn asking_lock(&self) -> Option<std::fs::File> {
        lock::asking(&self.folder)
    }

    /// Opens the store that is there; `None` if none was ever made. No key is touched, nothing is written, no lock is taken.
    ///
    /// # Errors
    /// Misconfigured, if its folder or one of its files is not ours alone or cannot be read, or if it is of a newer version. That it is a
    /// copy of another machine's or another user's is said as soon as something in it does not open.
    pub(crate) fn open(settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some(place) = folder::find(settings)? else { return Ok(None) };
        match meta::read(&place.folder)? {
            Some(meta) => Ok(Some(Self::new(settings, place, meta)?)),
            None => Ok(None),
        }
    }

    /// Opens the store, making its folder and its id where there is none.
    ///
    /// # Errors
    /// As [`Store::open`], or if it cannot be made, or is a copy of another machine's or another user's.
    pub(crate) fn open_or_create(settings: &Settings) -> Result<Self, Failure> {
        let place = folder::make(settings)?;
        if let Some(meta) = meta::read(&place.folder)? {
            let store = Self::new(settings, place, meta)?;
            return match store.foreign() {
                Some(failure) => Err(failure),
                None => Ok(store),
            };
        }
        let _lock = lock::store(&place.folder, unlock::patience(settings))?;
        let meta = match meta::read(&place.folder)? {
            Some(meta) => meta,
            None => meta::create(&place.folder, &place.machine, os::effective_uid())?,
        };
        Self::new(settings, place, meta)
    }

    fn new(settings: &Settings, place: folder::Place, meta: Meta) -> Result<Self, Failure> {
        let id = meta.store_id(&place.folder)?;
        let folder::Place { folder, machine, is_ours } = place;
        let user = os::effective_uid();
        let settings = settings.clone();
        Ok(Self {
            settings,
            folder,
            machine,
            machine_is_ours: is_ours,
            user,
            meta,
            id,
            key: None,
            key_is_new: false,
            key_lock: None,
        })
    }

    /// Returns the failure to open anything here, if these are the records of another machine or user.
    fn foreign(&self) -> Option<Failure> {
        self.meta.belongs_to(&self.folder, &self.machine, self.user).err()
    }

    /// Has [`Store::unlock`] ask a person by `asking` from now on.
    pub(crate) fn may_ask(&mut self, asking: Asking) {
        self.settings.asking = asking;
    }

    /// Whether the machine has a name by itself; where it has none, a copied folder is this machine's as well.
    pub(crate) fn has_machine_id(&self) -> bool {
        !self.machine_is_ours
    }

    /// Adds to the lack of a person what may explain it: that there are records, but none of this machine.
    pub(crate) fn explain_lack(&self, failure: Failure) -> Failure {
        match (failure.kind, self.ids()) {
            (Kind::NeedsPerson, Ok(ids)) if ids.is_empty() => match others_beside(&self.settings) {
                Some(others) => failure.hint(others),
                None => failure,
            },
            _ => failure,
        }
    }

    /// Returns the name of the record that `kind` and `parts` describe; no two different lists of parts share one.
    pub(crate) fn record_id(&self, kind: &str, parts: &[&str]) -> RecordId {
        let mut all = vec!["record", kind];
        all.extend(parts);
        let digest = salted(&self.id, &all);
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        RecordId(id)
    }

    /// Returns a hash of `text` for the purpose `label` that is of no use outside this store.
    pub(crate) fn digest(&self, label: &str, text: &str) -> [u8; 32] {
        salted(&self.id, &["digest", label, text])
    }

    /// Tells whether there may be a record, without opening it: where the system does not say, opening it tells why.
    pub(crate) fn has_record(&self, id: &RecordId) -> bool {
        !matches!(crate::os::link_facts_at(&self.folder.path().join(record::file_name(id))), Ok(None))
    }

    /// Returns the names of all records, tombstones included, in order.
    ///
    /// # Errors
    /// Misconfigured, if the folder cannot be listed.
    pub(crate) fn ids(&self) -> Result<Vec<RecordId>, Failure> {
        let names = self.folder.names()?;
        let mut ids: Vec<_> = names.iter().filter_map(|name| RecordId::from_hex(name.strip_suffix(".rec")?)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Reads the unsealed file `name`, of `limit` bytes at most; `None` if there is none.
    ///
    /// # Errors
    /// Misconfigured, if it is not ours alone or cannot be read.
    pub(crate) fn read_plain(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.folder.read(name, limit)?.map(|mut bytes| std::mem::take(&mut *bytes)))
    }

    /// Replaces the unsealed file `name` in one step. Nothing secret may be in `bytes`.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn replace_plain(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let temporary = format!("{name}.{}", to_hex(&random::<8>()?));
        let done = self.folder.create(&temporary, bytes).and_then(|_| self.folder.replace(&temporary, name));
        if done.is_err() {
            let _ = self.folder.remove(&temporary);
        }
        done
    }
}

/// Returns the hash of a list of texts that is of use beside the store `id` alone; no two different lists share one.
fn salted(id: &[u8; 16], parts: &[&str]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(id);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// Returns fresh random bytes.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

fn fill_random(bytes: &mut [u8]) -> Result<(), Failure> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| Failure::new(Kind::Misconfigured, "the system gives no random numbers").hint("make /dev/urandom available"))
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod testing {
    use super::{Asking, Settings};
    use std::{
        path::{Path, PathBuf},
        process::Command,
        sync::atomic::{AtomicU32, Ordering},
    };

    /// Whether the system has the permissions, links and pipes that some tests are about, and the programs that make them.
    pub(super) fn is_unix() -> bool {
        std::env::consts::FAMILY == "unix"
    }

    /// Runs a program on `path` that must succeed, as `chmod 666`.
    pub(super) fn run(program: &str, arguments: &[&str], path: &Path) {
        assert!(Command::new(program).args(arguments).arg(path).status().unwrap().success(), "{program}");
    }

    pub(super) fn mode(path: &Path) -> u32 {
        crate::os::facts_at(path).unwrap().unwrap().mode
    }

    /// A folder for one test's store, removed with it.
    pub(super) struct Place {
        pub(super) settings: Settings,
        pub(super) path: PathBuf,
    }

    impl Place {
        pub(super) fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("keyfob-store-{}-{number}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            for folder in [&path, &path.join("run")] {
                std::fs::create_dir(folder).unwrap();
            }
            let settings = Settings {
                state_dir: path.join("state"),
                runtime_dir: Some(path.join("run")),
                key_file: Some(path.join("key")),
                handed_over: false,
                source: None,
                machine_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
                attended: false,
                tell: |_| {},
                asking: Asking::Nobody(String::new()),
            };
            Self { settings, path }
        }

        pub(super) fn write_key(&self, bytes: &[u8]) {
            let path = self.settings.key_file.as_ref().unwrap();
            let _ = std::fs::remove_file(path);
            assert!(crate::os::create_private(path, bytes).unwrap());
        }

        pub(super) fn store(&self) -> super::Store {
            let mut store = super::Store::open_or_create(&self.settings).unwrap();
            assert!(store.unlock(true).unwrap());
            store
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        testing::{Place, is_unix, mode, run},
        *,
    };

    #[test]
    fn looking_makes_nothing() {
        let place = Place::new();
        assert!(Store::open(&place.settings).unwrap().is_none());
        assert!(!place.settings.state_dir.exists());
    }

    #[test]
    fn all_who_make_a_store_at_once_make_the_same_and_for_its_owner_alone() {
        let place = Place::new();
        let ids: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Store::open_or_create(&place.settings).unwrap().id)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
        let store = Store::open(&place.settings).unwrap().unwrap();
        assert_eq!(store.id, ids[0]);
        for folder in [&place.settings.state_dir, &place.settings.state_dir.join("v1"), store.folder.path()] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
        for entry in std::fs::read_dir(store.folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.file_name());
        }
    }

    #[test]
    fn a_machine_without_a_name_gets_one_that_lasts() {
        let mut place = Place::new();
        place.settings.machine_id = None;
        let store = Store::open_or_create(&place.settings).unwrap();
        assert!(!store.has_machine_id());
        let again = Store::open(&place.settings).unwrap().unwrap();
        assert_eq!((again.id, &again.machine), (store.id, &store.machine));
        place.settings.machine_id = Some("another0another0".to_owned());
        assert!(Store::open(&place.settings).unwrap().is_none(), "another machine sees a store of its own");
    }

    #[test]
    fn names_depend_on_the_store_the_kind_and_where_one_part_ends() {
        let (one, other) = (Place::new(), Place::new());
        let (one, other) = (Store::open_or_create(&one.settings).unwrap(), Store::open_or_create(&other.settings).unwrap());
        let id = one.record_id("login", &["ab", "c"]);
        assert_eq!(one.record_id("login", &["ab", "c"]), id);
        for different in [
            one.record_id("login", &["a", "bc"]),
            one.record_id("login", &["ab", "c", ""]),
            one.record_id("exchange", &["ab", "c"]),
            other.record_id("login", &["ab", "c"]),
        ] {
            assert_ne!(different, id);
        }
        assert_ne!(one.digest("route", "x"), one.digest("state", "x"));
        assert_ne!(one.digest("route", "x"), other.digest("route", "x"));
        assert_eq!(RecordId::from_hex(&id.to_string()), Some(id));
        for text in ["", "0", "0123456789ABCDEF0123456789abcdef", "+123456789abcdef0123456789abcdef"] {
            assert_eq!(RecordId::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_store_whose_id_is_gone_beside_records_is_not_made_anew() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        store.write(&store.try_lock(&id).unwrap().unwrap(), b"token").unwrap();
        std::fs::remove_file(store.folder.path().join("store")).unwrap();
        assert!(Store::open_or_create(&place.settings).unwrap_err().message.contains("is gone"));
        assert_eq!(store.ids().unwrap(), [id]);
    }

    #[test]
    fn a_damaged_and_a_newer_store_are_different_failures() {
        let place = Place::new();
        let store = place.store();
        store.replace_plain("store", b"{").unwrap();
        assert!(Store::open(&place.settings).unwrap_err().message.contains("is damaged"));
        store.replace_plain("store", br#"{"version":2,"anything":[]}"#).unwrap();
        assert!(Store::open(&place.settings).unwrap_err().message.contains("newer version 2"));
    }

    #[test]
    fn plain_files_are_replaced_whole_and_bounded_when_read() {
        let place = Place::new();
        let store = place.store();
        assert_eq!(store.read_plain("routes", 10).unwrap(), None);
        store.replace_plain("routes", b"first").unwrap();
        store.replace_plain("routes", b"second").unwrap();
        assert_eq!(store.read_plain("routes", 10).unwrap().unwrap(), b"second");
        assert!(store.read_plain("routes", 5).unwrap_err().message.contains("6 bytes"));
        assert_eq!(store.folder.names().unwrap().iter().filter(|name| name.starts_with("routes")).count(), 1);
    }

    #[test]
    fn a_folder_that_is_open_to_others_is_refused_with_what_mends_it() {
        let place = Place::new();
        let store = place.store();
        if !is_unix() {
            return;
        }
        run("chmod", &["750"], store.folder.path());
        let failure = Store::open(&place.settings).unwrap_err();
        assert!(failure.message.contains("open to other users") && failure.hints[0].contains("chmod 700"), "{failure}");
    }
}
