//! Moving the key from one source to another: all records are sealed anew beside the old ones, one write makes the new key the one in
//! use, and then the new files take their names.
//!
//! Killed before that write, the new files are leftovers that nobody reads; killed after it, they are the records, and whoever holds a
//! record's lock next gives its file its name.
use super::{
    RecordId, Settings, SourceKind, Store,
    key::{
        Key, Source, kernel,
        passphrase::{self, Chosen},
    },
    key_trouble, lock,
    meta::{self, Meta},
    random,
    record::{self, ROLE, ReadError, Record},
    sealed_file::{self, Binding},
    to_hex, unlock,
};
use crate::failure::{Failure, Kind};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// What the file of a record that was sealed anew is called until it takes the record's name.
pub(super) const SUFFIX: &str = "rekey";

/// How long those who may write are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a move ended.
#[derive(Debug)]
pub(crate) struct Moved {
    /// Where the key was; `None` if there was none.
    pub(crate) from: Option<String>,
    /// Where it is.
    pub(crate) to: String,
    pub(crate) ended: Ended,
    /// The files of former keys, of which nobody has any more use.
    pub(crate) useless: Vec<PathBuf>,
    /// Why a former key could not be removed.
    pub(crate) leftover: Option<Failure>,
}

/// What a move did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing: the key is where it should be.
    Already,
    /// It sealed so many records anew; tombstones are not counted.
    Sealed(usize),
    /// It gave the key up: nothing is kept any more.
    GivenUp,
}

/// Whether an earlier move has left something to do.
///
/// # Errors
/// Those of opening the store.
pub(crate) fn is_unfinished(settings: &Settings) -> Result<bool, Failure> {
    Store::open(settings)?.map_or(Ok(false), |store| store.is_unfinished())
}

/// Where the key goes.
enum Target {
    Source(Box<dyn Source>),
    Passphrase(Chosen),
}

/// Moves the key of the records to the place that `settings` name, or makes it there. All is sealed anew, or nothing is changed. With
/// `change` a passphrase that is in use gives way to another one.
///
/// # Errors
/// Unreachable, if somebody may write and goes on for longer than 5 s; misconfigured, if the key in use or the new place cannot be used,
/// a record is of a newer version, or the system refuses; needs a person, if a keyring is locked.
pub(crate) fn run(settings: &Settings, change: bool) -> Result<Moved, Failure> {
    let mut store = Store::open_or_create(settings)?;
    let change = change && store.sets_passphrase();
    if !change && !store.is_unfinished()? && store.is_there()? {
        return Ok(store.already());
    }
    // a person takes their time, and nobody else has to wait for them
    let chosen = store.ask_first(change)?;
    let _alone = lock::move_key(&store.folder, PATIENCE)?;
    let _store = lock::store(&store.folder, PATIENCE)?;
    store.look_again()?;
    if store.key.is_none() {
        store.key = store.key_in_use()?;
    }
    let mut moved = store.already();
    store.finish_move_of_all(&mut moved)?;
    if change || !store.is_there()? {
        let target = match chosen {
            Some(chosen) => Some(Target::Passphrase(chosen)),
            None => store.choose()?.map(Target::Source),
        };
        match target {
            Some(target) => store.move_to(target, &mut moved)?,
            None if store.sets_passphrase() => return Err(overtaken()),
            None => store.give_up(&mut moved)?,
        }
    }
    let file = store.meta.file();
    moved.useless.retain(|path| path.to_str() != file);
    Ok(moved)
}

impl Store {
    /// Whether an earlier move was killed before its end.
    fn is_unfinished(&self) -> Result<bool, Failure> {
        let left = self.folder.names()?.iter().any(|name| is_resealed(name));
        Ok(left || self.meta.former(&self.folder)?.is_some())
    }

    /// Whether the key is where the settings name it.
    fn is_there(&self) -> Result<bool, Failure> {
        let Some(key) = self.meta.key(&self.folder)? else { return Ok(false) };
        if !self.agrees(key.source, key.file) {
            // the place where a service manager shows the key is another one for each service
            return Ok(self.settings.handed_over && self.moved_by_hand(key.source, key.id).is_some());
        }
        // a passphrase is in its place by being known of
        Ok(key.source == SourceKind::Passphrase || self.load_in_use(key, false)?.is_some())
    }

    /// Asks a person what has to be asked before anything is locked: the passphrase in use, the one that is to come, and for a keyring to
    /// be unlocked.
    fn ask_first(&mut self, change: bool) -> Result<Option<Chosen>, Failure> {
        let key = self.find_key()?;
        if matches!(self.meta.source(), Some(SourceKind::Passphrase | SourceKind::Keyring)) {
            self.key = key;
        }
        if self.settings.source == Some(SourceKind::Keyring) {
            // its window opens now, if it has to
            self.choose()?.map(|keyring| keyring.load()).transpose()?;
        }
        let wanted = self.sets_passphrase() && (change || !self.is_there()?);
        if !wanted {
            return Ok(None);
        }
        let ask = self.settings.asking.turn(&self.folder).map_err(passphrase::unchosen)?;
        passphrase::choose(&ask).map(Some)
    }

    fn already(&self) -> Moved {
        Moved { from: None, to: self.describe_source(), ended: Ended::Already, useless: Vec::new(), leftover: None }
    }

    /// Returns the key in use from where it is recorded, or from the file to which somebody moved it, which is recorded then. `None`:
    /// there is none, and nothing needs it.
    fn key_in_use(&mut self) -> Result<Option<Key>, Failure> {
        let Some(key) = self.find_key()? else { return Ok(None) };
        let recorded = self.meta.key(&self.folder)?;
        let by_hand =
            recorded.is_some_and(|it| !self.agrees(it.source, it.file) && self.moved_by_hand(it.source, it.id).is_some());
        if by_hand && !self.settings.handed_over {
            self.record_key(&key, SourceKind::File)?;
            meta::write(&self.folder, &self.meta)?;
        }
        Ok(Some(key))
    }

    fn find_key(&self) -> Result<Option<Key>, Failure> {
        let Some(recorded) = self.meta.key(&self.folder)? else {
            return if self.has_records()? { Err(self.missing_key(SourceKind::None)) } else { Ok(None) };
        };
        let agrees = self.agrees(recorded.source, recorded.file);
        match if agrees { None } else { self.moved_by_hand(recorded.source, recorded.id) } {
            Some(key) => Ok(Some(key)),
            None => self.load_in_use(recorded, false),
        }
    }

    /// Rolls forward what was received for the record `id`.
    ///
    /// # Errors
    /// As there; and where a rescue is left that does not open, for it would never open afterwards.
    fn roll_forward_whole(&self, id: &RecordId) -> Result<(), Failure> {
        self.roll_forward(id)?.map_or(Ok(()), Err)
    }

    fn move_to(&mut self, target: Target, moved: &mut Moved) -> Result<(), Failure> {
        let old = self.meta.clone();
        let (new, source, derivation, is_new) = match target {
            Target::Source(source) => {
                let (key, is_new) = unlock::obtain(&*source)?;
                (key, Some(source), None, is_new)
            }
            Target::Passphrase(Chosen { key, derivation, .. }) => (key, None, Some(derivation), false),
        };
        if self.key.is_some() {
            moved.from = old.key(&self.folder)?.map(|key| unlock::describe(key.source, key.file));
            self.meta.retire();
        }
        let recorded = match derivation {
            Some(derivation) => {
                self.meta.record_passphrase(new.id(), derivation);
                Ok(())
            }
            None => self.record_key(&new, new.source()),
        };
        let switched = recorded
            .and_then(|()| self.seal_anew(&new))
            // from here on the new key is the one in use
            .and_then(|count| meta::write(&self.folder, &self.meta).map(|()| count));
        match switched {
            Ok(count) => moved.ended = Ended::Sealed(count),
            Err(failure) => {
                self.take_back(&old, source.as_deref().filter(|_| is_new));
                return Err(failure);
            }
        }
        self.key = Some(new);
        moved.to = self.describe_source();
        self.forget_notes().and_then(|()| self.finish_move_of_all(moved)).map_err(|failure| {
            failure.hint("the new key is in use; run `keyfob setup key` again to go on with what is left to do")
        })?;
        if let Some(key) = self.key.as_ref().filter(|key| key.source() == SourceKind::Passphrase) {
            kernel::keep_copy(&to_hex(&self.id), key);
        }
        Ok(())
    }

    /// Writes every record that opens beside itself, sealed with `new`, and returns how many of them are no tombstones.
    fn seal_anew(&self, new: &Key) -> Result<usize, Failure> {
        let mut count = 0;
        if self.key.is_none() {
            return Ok(count);
        }
        for id in self.ids_of_all()? {
            self.roll_forward_whole(&id)?;
            let record = match self.read_file(&id, &record::file_name(&id)) {
                Ok(Some(record)) => record,
                Ok(None) | Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => continue,
                Err(ReadError::Other(failure)) => return Err(failure),
            };
            let binding = Binding { key: new, ..self.binding(&id, ROLE)? };
            let payload = record.payload.as_ref().map(|payload| payload.as_slice());
            let sealed = sealed_file::seal(binding, record.generation, &random()?, payload);
            let name = resealed(&id);
            let file = self.folder.create(&name, &sealed)?;
            file.sync_all().map_err(|error| self.folder.failed("cannot sync", &name, &error))?;
            count += usize::from(payload.is_some());
        }
        self.folder.sync()?;
        Ok(count)
    }

    /// Undoes what a move did that failed, unless the new key is in use in spite of the failure, or may be.
    fn take_back(&mut self, old: &Meta, minted: Option<&dyn Source>) {
        if !matches!(meta::read(&self.folder), Ok(Some(meta)) if meta == *old) {
            return;
        }
        // what cannot be removed is a leftover that does no harm
        for name in self.folder.names().unwrap_or_default().iter().filter(|name| is_resealed(name)) {
            let _ = self.folder.remove(name);
        }
        let _ = minted.map(Source::remove);
    }

    /// Gives every record that was sealed anew its name, and removes the former key.
    fn finish_move_of_all(&mut self, moved: &mut Moved) -> Result<(), Failure> {
        for name in self.folder.names()? {
            if let Some((id, SUFFIX)) = record::part(&name) {
                self.finish_move(&id)?;
            }
        }
        meta::clean(&self.folder)?;
        self.folder.sync()?;
        let Some(former) = self.meta.former(&self.folder)? else { return Ok(()) };
        let in_use = self.meta.source();
        match former.source {
            // what is removed by its name would be the key in use: it was found there again, and taken
            SourceKind::Keyring | SourceKind::Kernel if in_use == Some(former.source) => {}
            SourceKind::File => moved.useless.extend(former.file.map(PathBuf::from)),
            source => {
                moved.leftover = self.recorded_source(source, former.id, former.file).remove().err();
                if moved.leftover.is_some() {
                    return Ok(());
                }
            }
        }
        self.meta.forget_former();
        meta::write(&self.folder, &self.meta)
    }

    /// Gives the record `id` the file that was sealed for the key in use, if there is one. The record's lock must be held, or the key's
    /// alone.
    pub(super) fn finish_move(&self, id: &RecordId) -> Result<(), Failure> {
        let (name, resealed) = (record::file_name(id), resealed(id));
        let generation = match self.read_file(id, &resealed) {
            Ok(None) => return Ok(()),
            Ok(Some(record)) => record.generation,
            // of a move that ended before its key was in use
            Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => return self.folder.remove(&resealed),
            Err(ReadError::Other(failure)) => return Err(failure),
        };
        match self.read_file(id, &name) {
            Ok(Some(record)) if record.generation >= generation => self.folder.remove(&resealed),
            Err(ReadError::Other(failure)) => Err(failure),
            _ => self.folder.replace(&resealed, &name),
        }
    }

    /// Reads the record `id`, whose file is `unreadable` because another key sealed it, where the key has been moved.
    pub(super) fn read_moved(&self, id: &RecordId, unreadable: Failure) -> Result<Option<Record>, ReadError> {
        if let Ok(Some(record)) = self.read_file(id, &resealed(id)) {
            return Ok(Some(record));
        }
        // the file may have got its name since that was looked at
        match self.read_file(id, &record::file_name(id)) {
            Err(ReadError::AnotherKey(_)) => {}
            done => return done,
        }
        match self.moved_on().map_err(ReadError::Other)? {
            Some(store) => store.read(id),
            None => Err(ReadError::AnotherKey(unreadable)),
        }
    }

    /// Opens the store anew if the key was moved since this one was opened.
    fn moved_on(&self) -> Result<Option<Self>, Failure> {
        if self.key_lock.is_some() {
            return Ok(None);
        }
        let Some(mut store) = Self::open(&self.settings)?.filter(|store| store.meta != self.meta) else { return Ok(None) };
        Ok(store.unlock(false)?.then_some(store))
    }

    /// Gives the key up, where nothing is sealed with it.
    fn give_up(&mut self, moved: &mut Moved) -> Result<(), Failure> {
        let Some(key) = self.meta.key(&self.folder)? else { return Ok(()) };
        moved.from = Some(unlock::describe(key.source, key.file));
        let (mut tombstones, mut kept) = (Vec::new(), 0_usize);
        for id in self.ids_of_all()? {
            self.roll_forward_whole(&id)?;
            match self.read_file(&id, &record::file_name(&id)) {
                Ok(Some(Record { payload: None, .. })) => tombstones.push(id),
                Ok(None) => {}
                Ok(Some(_)) | Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => kept += 1,
                Err(ReadError::Other(failure)) => return Err(failure),
            }
        }
        if kept > 0 {
            return Err(key_trouble::still_needed(kept, &self.describe_source()));
        }
        // before the key, so that none is ever left without it; nobody is there whom they would have to stop
        for id in &tombstones {
            self.folder.remove(&record::file_name(id))?;
        }
        self.forget_notes()?;
        self.meta.retire();
        meta::write(&self.folder, &self.meta)?;
        self.key = None;
        (moved.ended, moved.to) = (Ended::GivenUp, self.describe_source());
        self.finish_move_of_all(moved)
    }

    /// Removes what is passing beside the records.
    fn forget_notes(&self) -> Result<(), Failure> {
        for name in self.folder.names()? {
            if matches!(record::part(&name), Some((_, "pending" | "failed" | "sent" | "device"))) {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Returns the names of all records, those that nobody has finished writing included.
    fn ids_of_all(&self) -> Result<BTreeSet<RecordId>, Failure> {
        let names = self.folder.names()?;
        Ok(names.iter().filter(|name| record::is_record(name)).filter_map(|name| record::part(name)).map(|(id, _)| id).collect())
    }
}

fn resealed(id: &RecordId) -> String {
    record::name(id, SUFFIX)
}

fn is_resealed(name: &str) -> bool {
    record::part(name).is_some_and(|(_, suffix)| suffix == SUFFIX)
}

fn overtaken() -> Failure {
    Failure::new(Kind::Unreachable, "the key was changed by another process while the passphrase was chosen").hint("run it again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Place;
    use std::fs;

    /// A key that could not be removed after a move, and was taken again by a later one.
    #[test]
    fn a_former_key_that_is_in_use_again_is_not_removed() {
        let mut place = Place::new();
        place.settings.key_file = None;
        place.settings.source = Some(SourceKind::Kernel);
        if matches!(crate::os::kernel_key_read("keyfob:test"), Err(crate::os::KernelKeyError::Unsupported)) {
            println!("SKIPPED: this system forbids the kernel keyring, so a key in it was not tested");
            return;
        }
        let (id, _) = sealed(&place, b"token");
        let mut store = opened(&place.settings, false);
        let key = store.key.take().unwrap();
        store.meta.retire();
        store.record_key(&key, SourceKind::Kernel).unwrap();
        meta::write(&store.folder, &store.meta).unwrap();
        assert!(is_unfinished(&place.settings).unwrap());
        assert_eq!(run(&place.settings, false).unwrap().ended, Ended::Already);
        assert!(!is_unfinished(&place.settings).unwrap());
        assert_eq!(opened(&place.settings, false).read(&id).unwrap().unwrap().payload.unwrap().as_slice(), b"token");
        crate::os::kernel_key_remove(&format!("keyfob:{}", to_hex(&store.id))).unwrap();
    }

    /// The settings of `place` with another key file, as they are for a move to it.
    fn elsewhere(place: &Place) -> Settings {
        Settings { key_file: Some(place.path.join("other key")), ..place.settings.clone() }
    }

    /// A store with one record, and where its files are.
    fn sealed(place: &Place, text: &[u8]) -> (RecordId, PathBuf) {
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        store.write(&store.try_lock(&id).unwrap().unwrap(), text).unwrap();
        (id, store.folder.path().to_owned())
    }

    fn opened(settings: &Settings, mint: bool) -> Store {
        let mut store = Store::open(settings).unwrap().unwrap();
        assert!(store.unlock(mint).unwrap());
        store
    }

    fn text(store: &Store, id: &RecordId) -> (u64, Option<Vec<u8>>) {
        let record = store.read(id).unwrap().unwrap();
        (record.generation, record.payload.map(|payload| payload.to_vec()))
    }

    #[test]
    fn what_a_writer_that_died_had_finished_is_taken_along_and_what_it_had_not_is_not() {
        let place = Place::new();
        let (id, folder) = sealed(&place, b"before");
        let newest = {
            let store = place.store();
            let lock = store.try_lock(&id).unwrap().unwrap();
            store.write(&lock, b"newest").unwrap();
            fs::rename(folder.join(record::file_name(&id)), folder.join("aside")).unwrap();
            store.write(&lock, b"before").unwrap();
            fs::rename(folder.join("aside"), folder.join(record::name(&id, "next"))).unwrap();
            let unfinished = store.record_id("login", &["unfinished"]);
            drop(store.folder.create(&record::name(&unfinished, "next"), &[7; record::SLOT]).unwrap());
            let first = store.record_id("login", &["first"]);
            let slot = sealed_file::seal(store.binding(&first, ROLE).unwrap(), 1, &random().unwrap(), Some(b"first"));
            drop(store.folder.create(&record::name(&first, "next"), &slot).unwrap());
            first
        };
        let moved = run(&elsewhere(&place), false).unwrap();
        assert_eq!(moved.ended, Ended::Sealed(2));
        let store = opened(&elsewhere(&place), true);
        assert_eq!(text(&store, &id), (2, Some(b"newest".to_vec())));
        assert_eq!(text(&store, &newest), (1, Some(b"first".to_vec())));
        assert!(store.folder.names().unwrap().iter().all(|name| !name.contains(".next") && !name.contains(SUFFIX)));
    }

    /// The store as a move leaves it that is killed right after the new key is in use, and the settings for it.
    fn half_moved(place: &Place) -> (RecordId, PathBuf, Settings) {
        let (id, folder) = sealed(place, b"token");
        let before = fs::read(folder.join(record::file_name(&id))).unwrap();
        let settings = elsewhere(place);
        run(&settings, false).unwrap();
        let (record, moved) = (folder.join(record::file_name(&id)), folder.join(resealed(&id)));
        fs::rename(&record, &moved).unwrap();
        let store = Store::open(&settings).unwrap().unwrap();
        drop(store.folder.create(&record::file_name(&id), &before).unwrap());
        (id, folder, settings)
    }

    #[test]
    fn what_was_sealed_anew_is_read_before_it_has_its_name_and_gets_it_from_the_next_who_writes() {
        let place = Place::new();
        let (id, folder, settings) = half_moved(&place);
        let store = opened(&settings, false);
        assert_eq!(text(&store, &id), (1, Some(b"token".to_vec())));
        assert!(folder.join(resealed(&id)).exists(), "who only reads changes nothing");
        let store = opened(&settings, true);
        store.recover(&store.try_lock(&id).unwrap().unwrap()).unwrap();
        assert!(!folder.join(resealed(&id)).exists());
        assert_eq!(text(&store, &id), (1, Some(b"token".to_vec())));
        assert!(store.read_file(&id, &record::file_name(&id)).is_ok());
    }

    #[test]
    fn what_was_sealed_anew_does_not_come_back_over_a_newer_record() {
        let place = Place::new();
        let (id, folder, settings) = half_moved(&place);
        let old = fs::read(folder.join(resealed(&id))).unwrap();
        let store = opened(&settings, true);
        let lock = store.try_lock(&id).unwrap().unwrap();
        assert_eq!(store.write(&lock, b"newer").unwrap(), 2, "it goes on where the move ended");
        drop(store.folder.create(&resealed(&id), &old).unwrap());
        store.recover(&lock).unwrap();
        assert!(!folder.join(resealed(&id)).exists());
        assert_eq!(text(&store, &id), (2, Some(b"newer".to_vec())));
    }

    #[test]
    fn what_a_move_left_that_was_killed_before_its_key_was_in_use_is_never_read() {
        let place = Place::new();
        let (id, folder) = sealed(&place, b"current");
        let other = Key::mint(SourceKind::File).unwrap();
        let store = place.store();
        let binding = Binding { key: &other, ..store.binding(&id, ROLE).unwrap() };
        let leftover = sealed_file::seal(binding, 9, &random().unwrap(), Some(b"stale"));
        let put = |store: &Store| drop(store.folder.create(&resealed(&id), &leftover).unwrap());
        put(&store);
        assert_eq!(text(&store, &id), (1, Some(b"current".to_vec())));
        store.recover(&store.try_lock(&id).unwrap().unwrap()).unwrap();
        assert!(!folder.join(resealed(&id)).exists());
        put(&store);
        drop(store.folder.create(&record::file_name(&id), b"damaged").unwrap());
        drop(store);
        // even where the same key is moved to in the end
        let file = elsewhere(&place).key_file.unwrap();
        assert!(crate::os::create_private(&file, other.text().as_bytes()).unwrap());
        assert_eq!(run(&elsewhere(&place), false).unwrap().ended, Ended::Sealed(0));
        let store = opened(&elsewhere(&place), false);
        assert!(matches!(store.read(&id), Err(ReadError::Damaged(_))));
    }

    #[test]
    fn who_read_which_key_is_in_use_before_a_move_still_reads_and_writes_after_it() {
        let mut place = Place::new();
        let (id, _) = sealed(&place, b"token");
        let target = elsewhere(&place);
        place.settings.key_file = None;
        let mut locked = Store::open(&place.settings).unwrap().unwrap();
        let mut unlocked = opened(&place.settings, false);
        run(&target, false).unwrap();
        fs::remove_file(place.path.join("key")).unwrap();
        assert_eq!(text(&unlocked, &id), (1, Some(b"token".to_vec())));
        assert!(locked.unlock(false).unwrap());
        assert_eq!(text(&locked, &id), (1, Some(b"token".to_vec())));
        assert!(unlocked.unlock_to_write().unwrap());
        let lock = unlocked.try_lock(&id).unwrap().unwrap();
        assert_eq!(unlocked.write(&lock, b"next").unwrap(), 2);
        assert_eq!(text(&opened(&target, false), &id), (2, Some(b"next".to_vec())));
    }

    #[test]
    fn a_move_is_alone_and_nobody_gets_a_records_lock_who_could_not_stop_it() {
        let place = Place::new();
        let (id, folder) = sealed(&place, b"token");
        let reader = opened(&place.settings, false);
        assert_eq!(reader.try_lock(&id).unwrap_err().kind, Kind::Bug);
        assert_eq!(reader.lock(&id, PATIENCE).unwrap_err().kind, Kind::Bug);
        let folder = crate::os::Folder::open(&folder).unwrap().unwrap();
        {
            let _writer = opened(&place.settings, true);
            assert_eq!(lock::move_key(&folder, Duration::from_millis(50)).unwrap_err().kind, Kind::Unreachable);
        }
        let moving = lock::move_key(&folder, PATIENCE).unwrap();
        for queues in [true, false] {
            let failure = lock::hold_key(&folder, queues, Duration::from_millis(50)).unwrap_err();
            assert!(failure.kind == Kind::Unreachable && failure.message.contains("keyfob setup key"), "{failure}");
        }
        assert!(reader.key_is_moving());
        drop(moving);
        assert!(!reader.key_is_moving());
        let mut writer = Store::open(&place.settings).unwrap().unwrap();
        assert!(writer.unlock_to_write().unwrap());
        assert!(writer.try_lock(&id).unwrap().is_some());
    }

    #[test]
    fn who_waits_to_move_the_key_is_not_overtaken_but_by_those_for_whom_a_writer_waits() {
        let place = Place::new();
        let (_, folder) = sealed(&place, b"token");
        let folder = crate::os::Folder::open(&folder).unwrap().unwrap();
        let writer = opened(&place.settings, true);
        std::thread::scope(|scope| {
            let mover = scope.spawn(|| lock::move_key(&folder, Duration::from_secs(60)).map(drop));
            let is_closed = || lock::hold_key(&folder, true, Duration::ZERO).is_err();
            let closed = (0..50_000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                is_closed()
            });
            assert!(closed, "whoever comes now would go first");
            assert!(lock::hold_key(&folder, false, Duration::ZERO).is_ok());
            drop(writer);
            mover.join().unwrap().unwrap();
        });
        assert!(lock::hold_key(&folder, true, Duration::ZERO).is_ok());
    }
}
