//! Getting the key: from the source in use, or minted once where there is none and nothing needs an older one.
use super::{
    SourceKind, Store,
    key::{FileSource, KernelSource, Key, KeyId, KeyringSource, Source, kernel},
    lock,
    meta::{self, InUse},
    record, to_hex,
};
use crate::{
    failure::{Failure, Kind},
    os::{SecretService, shown},
};
use std::{path::PathBuf, time::Duration};

/// How long the key may take to be moved by another process.
const MOVE: Duration = Duration::from_secs(10);

/// How long another process may be at making the store or its key.
pub(super) fn patience(settings: &super::Settings) -> Duration {
    Duration::from_secs(if settings.attended { 150 } else { 10 })
}

impl Store {
    /// Gets the key, after which records can be read and written. With `mint` it is made where there is none: once, by one process, and
    /// only while nothing is sealed with an older one. False: there is no key, so there is nothing to read and nothing can be kept.
    ///
    /// A key that was in the kernel's keyring alone and is gone can never come back; with `mint`, what it sealed is kept aside and another
    /// key is made.
    ///
    /// # Errors
    /// Misconfigured, if the key in use is missing, another one, or elsewhere than the settings say; needs a person, if its keyring is
    /// locked or the key is gone with the kernel's keyring.
    pub(crate) fn unlock(&mut self, mint: bool) -> Result<bool, Failure> {
        if mint {
            self.hold_key(true)?;
        }
        if self.key.is_some() || self.unlock_recorded(mint)? {
            return Ok(true);
        }
        match mint {
            true if self.sets_passphrase() => self.set_passphrase(),
            true => self.mint(),
            false => Ok(false),
        }
    }

    /// Gets the key as [`Store::unlock`] does without `mint`, to write with it: as long as this store lives, nobody moves it.
    ///
    /// # Errors
    /// As [`Store::unlock`]; unreachable, if the key is being moved and that does not end.
    pub(crate) fn unlock_to_write(&mut self) -> Result<bool, Failure> {
        self.hold_key(true)?;
        Ok(self.key.is_some() || self.unlock_recorded(false)?)
    }

    /// Keeps the key where it is from now on, as [`Store::unlock`] does with `mint`, for a process that others wait for who do so already.
    ///
    /// # Errors
    /// Unreachable, if the key is being moved and that does not end.
    pub(crate) fn hold_key_with_others(&mut self) -> Result<(), Failure> {
        self.hold_key(false)
    }

    /// Whether whoever wanted to write now would have to wait for a move of the key.
    pub(crate) fn key_is_moving(&self) -> bool {
        lock::hold_key(&self.folder, true, Duration::ZERO).is_err()
    }

    fn hold_key(&mut self, queues: bool) -> Result<(), Failure> {
        if self.key_lock.is_none() {
            self.key_lock = Some(lock::hold_key(&self.folder, queues, MOVE)?);
            self.look_again()?;
        }
        Ok(())
    }

    /// Reads again which key is in use, and forgets the one at hand if another is; whether anything has changed.
    pub(super) fn look_again(&mut self) -> Result<bool, Failure> {
        let Some(meta) = meta::read(&self.folder)?.filter(|meta| *meta != self.meta) else { return Ok(false) };
        self.meta = meta;
        self.key = None;
        Ok(true)
    }

    /// Returns where the key in use is kept; `None` where there has been none so far.
    pub(crate) fn source(&self) -> Option<SourceKind> {
        self.meta.source()
    }

    /// Returns one line that says where the key is kept.
    pub(crate) fn describe_source(&self) -> String {
        match self.meta.source() {
            Some(SourceKind::Kernel) => {
                "the kernel's keyring alone: signed in until this machine starts again, at the latest".to_owned()
            }
            Some(source) => describe(source, self.meta.file()),
            None => "no key so far".to_owned(),
        }
    }

    /// Forgets the copy of the key that makes answers fast, so that the keyring or a person is asked next time; false where there is no
    /// such copy.
    ///
    /// # Errors
    /// Misconfigured, if the kernel refuses.
    pub(crate) fn forget_key_copy(&self) -> Result<bool, Failure> {
        let is_copied = matches!(self.meta.source(), Some(SourceKind::Keyring | SourceKind::Passphrase));
        if is_copied {
            kernel::forget_copy(&to_hex(&self.id))?;
        }
        Ok(is_copied)
    }

    /// Gets the key that the records are sealed with. False: there is none, and nothing needs it, or, with `mint`, it can be given up.
    pub(super) fn unlock_recorded(&mut self, mint: bool) -> Result<bool, Failure> {
        let found = self.load_recorded(mint);
        // whoever only reads may have been overtaken by a move
        let found = if !matches!(found, Ok(Some(_))) && self.key_lock.is_none() && self.look_again()? {
            self.load_recorded(mint)
        } else {
            found
        };
        self.key = found?;
        if self.key_lock.is_some() && self.key.is_some() {
            self.follow_key_file();
        }
        Ok(self.key.is_some())
    }

    pub(super) fn load_recorded(&self, mint: bool) -> Result<Option<Key>, Failure> {
        let Some(InUse { source: kind, id, file }) = self.meta.key(&self.folder)? else { return Ok(None) };
        if !self.agrees(kind, file) {
            return match self.moved_by_hand(kind, id) {
                Some(key) => Ok(Some(key)),
                // what it sealed is lost wherever the next one is to be
                None if mint && kind == SourceKind::Kernel && self.kernel().load()?.is_none() => Ok(None),
                None if self.has_records()? => Err(self.disagreement()),
                None => Ok(None),
            };
        }
        self.load_in_use(InUse { source: kind, id, file }, mint)
    }

    /// Gets the key in use from where it is recorded, whatever the settings say. `None`: there is none, and nothing needs it, or, with
    /// `mint`, it can be given up.
    pub(super) fn load_in_use(&self, InUse { source: kind, id, file }: InUse<'_>, mint: bool) -> Result<Option<Key>, Failure> {
        match self.recorded_source(kind, id, file).load()? {
            Some(key) if key.id() == id => Ok(Some(key)),
            _ if kind == SourceKind::Kernel && mint => Ok(None),
            Some(_) if self.has_records()? => Err(self.another_key()),
            None if self.has_records()? => Err(self.missing_key(kind)),
            _ => Ok(None),
        }
    }

    /// Returns the key in use from the file that the settings name instead of the recorded one: somebody moved or copied the file.
    pub(super) fn moved_by_hand(&self, kind: SourceKind, id: KeyId) -> Option<Key> {
        let path = self.settings.key_file.clone().filter(|_| kind == SourceKind::File)?;
        // whatever else is there is not the key, and the settings are said to disagree
        self.file(path.to_str()?).load().ok().flatten().filter(|key| key.id() == id)
    }

    /// Records that the key's file is where the settings say, if it was found there. What cannot be recorded now will be by the next who
    /// writes.
    fn follow_key_file(&mut self) {
        let (Some(key), Ok(Some(recorded))) = (&self.key, self.meta.key(&self.folder)) else { return };
        // what a service manager hands over has another place for each service
        if self.agrees(recorded.source, recorded.file) || self.settings.handed_over {
            return;
        }
        let follow = || -> Result<Option<meta::Meta>, Failure> {
            let _lock = lock::store(&self.folder, Duration::ZERO)?;
            let Some(mut meta) = meta::read(&self.folder)?.filter(|meta| *meta == self.meta) else { return Ok(None) };
            meta.record(SourceKind::File, key.id(), Some(self.key_file()?));
            meta::write(&self.folder, &meta)?;
            Ok(Some(meta))
        };
        if let Ok(Some(meta)) = follow() {
            self.meta = meta;
        }
    }

    fn mint(&mut self) -> Result<bool, Failure> {
        self.may_write()?;
        let _lock = lock::store(&self.folder, patience(&self.settings))?;
        let before = self.meta.clone();
        self.meta = meta::read(&self.folder)?.unwrap_or(before);
        // somebody else may have been faster, or something may have been sealed meanwhile
        if self.unlock_recorded(true)? {
            return Ok(true);
        }
        let Some(source) = self.choose()? else { return Ok(false) };
        let records = self.has_records()?;
        if records && self.meta.source() != Some(SourceKind::Kernel) {
            return Err(self.missing_key(self.meta.source().unwrap_or(SourceKind::None)));
        }
        let (key, is_new) = obtain(&*source)?;
        if records {
            self.give_up_records()?;
        }
        self.record_key(&key, source.kind())?;
        meta::write(&self.folder, &self.meta)?;
        self.key = Some(key);
        self.key_is_new = is_new;
        Ok(true)
    }

    /// Whether this process made a key that is gone when this machine starts again.
    pub(crate) fn has_made_passing_key(&self) -> bool {
        self.key_is_new && self.meta.source() == Some(SourceKind::Kernel)
    }

    /// Notes `key` of the source `kind` that the settings name as the one in use.
    pub(super) fn record_key(&mut self, key: &Key, kind: SourceKind) -> Result<(), Failure> {
        let file = match kind {
            SourceKind::File => Some(self.key_file()?),
            _ => None,
        };
        self.meta.record(kind, key.id(), file);
        Ok(())
    }

    /// Sets aside what a lost key of the kernel's keyring sealed.
    pub(super) fn give_up_records(&self) -> Result<(), Failure> {
        for name in self.folder.names()?.iter().filter(|name| record::is_record(name)) {
            if let Some(id) = name.get(..32).and_then(super::RecordId::from_hex) {
                self.set_aside(&id, name)?;
            }
        }
        self.folder.sync()
    }

    pub(super) fn recorded_source(&self, kind: SourceKind, id: KeyId, file: Option<&str>) -> Box<dyn Source + '_> {
        match kind {
            SourceKind::File | SourceKind::None => Box::new(self.file(file.unwrap_or_default())),
            SourceKind::Keyring => Box::new(self.keyring(Some(id))),
            SourceKind::Kernel => Box::new(self.kernel()),
            SourceKind::Passphrase => Box::new(self.passphrase(id)),
        }
    }

    /// Chooses the source of a new key: what the settings name, else the first that this machine has. `None`: it has none.
    pub(super) fn choose(&self) -> Result<Option<Box<dyn Source>>, Failure> {
        if self.settings.key_file.is_some() {
            return Ok(Some(Box::new(self.file(&self.key_file()?))));
        }
        match self.settings.source {
            Some(SourceKind::File) => Err(Failure::new(Kind::Misconfigured, "the key is to be in a file, and no file is named")
                .hint("name one with KEYFOB_KEY_FILE or `key_file` in the table `store`")),
            Some(SourceKind::Keyring) => Ok(Some(Box::new(self.keyring(None)))),
            Some(SourceKind::Kernel) => Ok(Some(Box::new(self.kernel()))),
            Some(SourceKind::Passphrase | SourceKind::None) => Ok(None),
            None => {
                let keyring = self.keyring(None);
                match keyring.state()? {
                    SecretService::Ready | SecretService::Locked => return Ok(Some(Box::new(keyring))),
                    // a collection is made in a window, which somebody has to see
                    SecretService::Empty if self.settings.attended => return Ok(Some(Box::new(keyring))),
                    SecretService::Empty | SecretService::Absent => {}
                }
                let kernel = self.kernel();
                Ok(if kernel.is_usable() { Some(Box::new(kernel)) } else { None })
            }
        }
    }

    fn file(&self, path: &str) -> FileSource {
        let path = PathBuf::from(path);
        FileSource { handed_over: self.settings.handed_over && self.settings.key_file.as_ref() == Some(&path), path }
    }

    fn keyring(&self, expected: Option<KeyId>) -> KeyringSource {
        KeyringSource { store_id: to_hex(&self.id), expected, attended: self.settings.attended, tell: self.settings.tell }
    }

    fn kernel(&self) -> KernelSource {
        KernelSource { store_id: to_hex(&self.id) }
    }

    /// Whether the settings leave the key where it is.
    pub(super) fn agrees(&self, kind: SourceKind, file: Option<&str>) -> bool {
        match (&self.settings.key_file, self.settings.source) {
            (Some(path), _) => kind == SourceKind::File && file.is_some_and(|file| path.as_os_str() == file),
            (None, Some(wanted)) => wanted == kind,
            (None, None) => true,
        }
    }

    pub(super) fn has_records(&self) -> Result<bool, Failure> {
        Ok(self.folder.names()?.iter().any(|name| record::is_record(name)))
    }

    pub(super) fn key_file(&self) -> Result<String, Failure> {
        let path = self.settings.key_file.clone().unwrap_or_default();
        if !path.is_absolute() {
            return Err(Failure::new(Kind::Misconfigured, format!("the key file `{}` is not an absolute path", shown(&path)))
                .hint("name it by a path that begins at the root"));
        }
        path.into_os_string().into_string().map_err(|path| {
            Failure::new(Kind::Misconfigured, format!("the name of the key file `{}` is not UTF-8", shown(path.as_ref())))
                .hint("choose another name")
        })
    }
}

/// Says where a key is kept, in a few words.
pub(super) fn describe(source: SourceKind, file: Option<&str>) -> String {
    match source {
        SourceKind::File => format!("the key file `{}`", shown(file.unwrap_or_default().as_ref())),
        SourceKind::Keyring => "the system's keyring".to_owned(),
        SourceKind::Kernel => "the kernel's keyring".to_owned(),
        SourceKind::Passphrase => "your passphrase".to_owned(),
        SourceKind::None => "no place".to_owned(),
    }
}

/// Returns the key that `source` has, or gives it a new one; and whether that one is new.
pub(super) fn obtain(source: &dyn Source) -> Result<(Key, bool), Failure> {
    if let Some(key) = source.load()? {
        return Ok((key, false));
    }
    let minted = Key::mint(source.kind())?;
    let is_ours = |key: &Key| key.id() == minted.id();
    // what a source was given and what it gives back need not be the same
    match source.save(&minted).and_then(|()| source.load()) {
        Ok(Some(key)) => {
            let is_new = is_ours(&key);
            Ok((key, is_new))
        }
        failed => {
            // it may have been kept all the same, and nobody is going to use it
            if matches!(source.load(), Ok(Some(key)) if is_ours(&key)) {
                let _ = source.remove();
            }
            Err(failed.err().unwrap_or_else(|| lost(source.kind())))
        }
    }
}

fn lost(kind: SourceKind) -> Failure {
    Failure::new(
        Kind::Misconfigured,
        format!("the new key was given to the source `{}`, which does not give it back", kind.word()),
    )
    .hint("name a key file with KEYFOB_KEY_FILE")
}

#[cfg(test)]
mod tests {
    use crate::{
        failure::Kind,
        store::{
            SourceKind, Store,
            testing::{Place, is_unix, mode, run},
        },
    };

    fn unlocked(place: &Place) -> Store {
        let mut store = Store::open_or_create(&place.settings).unwrap();
        assert!(store.unlock(true).unwrap());
        store
    }

    fn sealed(place: &Place) -> Store {
        let store = unlocked(place);
        let id = store.record_id("login", &["one"]);
        store.write(&store.try_lock(&id).unwrap().unwrap(), b"token").unwrap();
        store
    }

    #[test]
    fn a_key_file_is_made_for_its_owner_alone_and_used_again() {
        let place = Place::new();
        let store = sealed(&place);
        let path = place.settings.key_file.as_ref().unwrap();
        assert_eq!(mode(path), 0o600);
        assert_eq!(std::fs::read_to_string(path).unwrap().len(), 45);
        assert_eq!(store.meta.source(), Some(SourceKind::File));
        let mut again = Store::open(&place.settings).unwrap().unwrap();
        assert!(again.unlock(false).unwrap());
        let record = again.read(&again.record_id("login", &["one"])).unwrap().unwrap();
        assert_eq!(record.payload.unwrap().as_slice(), b"token");
    }

    #[test]
    fn the_key_stays_where_it_is_when_the_settings_name_no_place() {
        let mut place = Place::new();
        sealed(&place);
        place.settings.key_file = None;
        assert!(Store::open(&place.settings).unwrap().unwrap().unlock(false).unwrap());
    }

    #[test]
    fn without_mint_no_key_is_made() {
        let place = Place::new();
        let mut store = Store::open_or_create(&place.settings).unwrap();
        assert!(!store.unlock(false).unwrap());
        assert!(!place.settings.key_file.as_ref().unwrap().exists());
    }

    fn eight_at_once(place: &Place) -> Store {
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| *unlocked(place).key.unwrap().bytes())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let store = unlocked(place);
        assert!(keys.iter().all(|key| key == store.key.as_ref().unwrap().bytes()));
        store
    }

    #[test]
    fn of_eight_at_once_one_makes_the_key_and_all_use_it() {
        eight_at_once(&Place::new());
    }

    #[test]
    fn of_eight_at_once_one_makes_the_key_in_the_kernels_keyring_too() {
        let mut place = Place::new();
        place.settings.key_file = None;
        place.settings.source = Some(SourceKind::Kernel);
        if kernel_is_forbidden() {
            return;
        }
        let store = eight_at_once(&place);
        crate::os::kernel_key_remove(&format!("keyfob:{}", crate::store::to_hex(&store.id))).unwrap();
    }

    fn kernel_is_forbidden() -> bool {
        let forbidden = matches!(crate::os::kernel_key_read("keyfob:test"), Err(crate::os::KernelKeyError::Unsupported));
        if forbidden {
            println!("SKIPPED: this system forbids the kernel keyring, so a key in it was not tested");
        }
        forbidden
    }

    #[test]
    fn a_missing_key_beside_records_is_an_error_and_never_a_new_key() {
        let place = Place::new();
        sealed(&place);
        let path = place.settings.key_file.as_ref().unwrap();
        std::fs::remove_file(path).unwrap();
        for mint in [false, true] {
            let failure = Store::open(&place.settings).unwrap().unwrap().unlock(mint).unwrap_err();
            assert_eq!(failure.kind, Kind::Misconfigured);
            assert!(failure.message.contains("missing"), "{failure}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_missing_key_that_sealed_nothing_is_made_again() {
        let place = Place::new();
        unlocked(&place);
        std::fs::remove_file(place.settings.key_file.as_ref().unwrap()).unwrap();
        assert!(!Store::open(&place.settings).unwrap().unwrap().unlock(false).unwrap());
        sealed(&place);
    }

    #[test]
    fn another_key_in_the_same_file_is_told_from_damage() {
        let place = Place::new();
        sealed(&place);
        place.write_key(&[5; 32]);
        let failure = Store::open(&place.settings).unwrap().unwrap().unlock(true).unwrap_err();
        assert!(failure.message.contains("another key"), "{failure}");
        place.write_key(b"not a key");
        let failure = Store::open(&place.settings).unwrap().unwrap().unlock(true).unwrap_err();
        assert!(failure.message.contains("does not hold a key"), "{failure}");
    }

    #[test]
    fn a_key_file_that_is_open_to_others_or_no_file_is_refused() {
        let place = Place::new();
        sealed(&place);
        let path = place.settings.key_file.as_ref().unwrap();
        if is_unix() {
            run("chmod", &["644"], path);
            let failure = Store::open(&place.settings).unwrap().unwrap().unlock(false).unwrap_err();
            assert!(failure.message.contains("open to other users"), "{failure}");
        }
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
        let failure = Store::open(&place.settings).unwrap().unwrap().unlock(false).unwrap_err();
        assert!(failure.message.contains("is a folder"), "{failure}");
    }

    #[test]
    fn settings_that_name_another_place_are_refused_while_records_exist() {
        let mut place = Place::new();
        sealed(&place);
        let path = place.settings.key_file.take().unwrap();
        place.settings.source = Some(SourceKind::Kernel);
        let failure = Store::open(&place.settings).unwrap().unwrap().unlock(true).unwrap_err();
        assert!(failure.message.contains("`kernel`") && failure.message.contains(path.to_str().unwrap()), "{failure}");
        place.settings.source = None;
        place.settings.key_file = Some(path.with_extension("other"));
        assert!(Store::open(&place.settings).unwrap().unwrap().unlock(true).is_err());
    }

    #[test]
    fn with_the_source_none_nothing_is_kept() {
        let mut place = Place::new();
        place.settings.key_file = None;
        place.settings.source = Some(SourceKind::None);
        let mut store = Store::open_or_create(&place.settings).unwrap();
        assert!(!store.unlock(true).unwrap());
        assert_eq!(store.meta.source(), None);
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        assert_eq!(store.write(&lock, b"token").unwrap_err().kind, Kind::Bug);
    }

    #[test]
    fn a_key_lost_with_the_kernels_keyring_is_made_again_only_on_demand_and_its_records_are_kept_aside() {
        let mut place = Place::new();
        place.settings.key_file = None;
        place.settings.source = Some(SourceKind::Kernel);
        let name = {
            let mut store = Store::open_or_create(&place.settings).unwrap();
            if kernel_is_forbidden() {
                assert!(store.unlock(true).is_err());
                return;
            }
            assert!(store.unlock(true).unwrap());
            format!("keyfob:{}", crate::store::to_hex(&store.id))
        };
        let store = sealed(&place);
        let id = store.record_id("login", &["one"]);
        crate::os::kernel_key_remove(&name).unwrap();
        let mut again = Store::open(&place.settings).unwrap().unwrap();
        let failure = again.unlock(false).unwrap_err();
        assert_eq!(failure.kind, Kind::NeedsPerson);
        assert!(again.has_record(&id));
        assert!(again.unlock(true).unwrap());
        assert!(!again.has_record(&id));
        assert!(again.folder.path().join(format!("{id}.bad-1")).exists());
        sealed(&place);
        crate::os::kernel_key_remove(&name).unwrap();
    }
}
