//! Moving the key from one source to another: all records are sealed anew beside the old ones, one write makes the new key the one in
//! use, and then the new files take their names.
//!
//! Killed before that write, the new files are leftovers that nobody reads; killed after it, they are the records, and whoever holds a
//! record's lock next gives its file its name.
use super::{
    RecordId, Settings, SourceKind, Store,
    key::{Key, Source},
    lock,
    meta::{self, Meta},
    random,
    record::{self, ROLE, ReadError, Record},
    sealed_file::{self, Binding},
    unlock,
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

/// Moves the key of the records to the place that `settings` name, or makes it there. All is sealed anew, or nothing is changed.
///
/// # Errors
/// Unreachable, if somebody may write and goes on for longer than 5 s; misconfigured, if the key in use or the new place cannot be used,
/// a record is of a newer version, or the system refuses; needs a person, if a keyring is locked.
pub(crate) fn run(settings: &Settings) -> Result<Moved, Failure> {
    let mut store = Store::open_or_create(settings)?;
    if !store.is_unfinished()? && store.is_there()? {
        return Ok(store.already());
    }
    let _alone = lock::move_key(&store.folder, PATIENCE)?;
    let _store = lock::store(&store.folder, PATIENCE)?;
    store.look_again()?;
    store.key = store.key_in_use()?;
    let mut moved = store.already();
    store.finish_move_of_all(&mut moved)?;
    if !store.is_there()? {
        match store.choose()? {
            Some(target) => store.move_to(&*target, &mut moved)?,
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
        Ok(self.agrees(key.source, key.file) && self.load_in_use(key, false)?.is_some())
    }

    fn already(&self) -> Moved {
        Moved { from: None, to: self.describe_source(), ended: Ended::Already, useless: Vec::new(), leftover: None }
    }

    /// Returns the key in use from where it is recorded, or from the file to which somebody moved it, which is recorded then. `None`:
    /// there is none, and nothing needs it.
    fn key_in_use(&mut self) -> Result<Option<Key>, Failure> {
        let Some(recorded) = self.meta.key(&self.folder)? else {
            return if self.has_records()? { Err(self.missing_key(SourceKind::None)) } else { Ok(None) };
        };
        if self.agrees(recorded.source, recorded.file) {
            return self.load_in_use(recorded, false);
        }
        let Some(key) = self.moved_by_hand(recorded.source, recorded.id) else { return self.load_in_use(recorded, false) };
        self.record_key(&key, SourceKind::File)?;
        meta::write(&self.folder, &self.meta)?;
        Ok(Some(key))
    }

    fn move_to(&mut self, target: &dyn Source, moved: &mut Moved) -> Result<(), Failure> {
        let old = self.meta.clone();
        let (new, is_new) = unlock::obtain(target)?;
        if self.key.is_some() {
            moved.from = old.key(&self.folder)?.map(|key| unlock::describe(key.source, key.file));
            self.meta.retire();
        }
        let switched = self
            .record_key(&new, target.kind())
            .and_then(|()| self.seal_anew(&new))
            // from here on the new key is the one in use
            .and_then(|count| meta::write(&self.folder, &self.meta).map(|()| count));
        match switched {
            Ok(count) => moved.ended = Ended::Sealed(count),
            Err(failure) => {
                self.take_back(&old, is_new.then_some(target));
                return Err(failure);
            }
        }
        self.key = Some(new);
        moved.to = self.describe_source();
        self.forget_notes().and_then(|()| self.finish_move_of_all(moved)).map_err(|failure| {
            failure.hint("the new key is in use; run `keyfob setup key` again to go on with what is left to do")
        })
    }

    /// Writes every record that opens beside itself, sealed with `new`, and returns how many of them are no tombstones.
    fn seal_anew(&self, new: &Key) -> Result<usize, Failure> {
        let mut count = 0;
        if self.key.is_none() {
            return Ok(count);
        }
        for id in self.ids_of_all()? {
            self.roll_forward(&id)?;
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
        match former.source {
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
            self.roll_forward(&id)?;
            match self.read_file(&id, &record::file_name(&id)) {
                Ok(Some(Record { payload: None, .. })) => tombstones.push(id),
                Ok(None) => {}
                Ok(Some(_)) | Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => kept += 1,
                Err(ReadError::Other(failure)) => return Err(failure),
            }
        }
        if kept > 0 {
            return Err(still_needed(kept, &self.describe_source()));
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
            if matches!(record::part(&name), Some((_, "pending" | "failed"))) {
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

fn still_needed(records: usize, place: &str) -> Failure {
    let records = if records == 1 { "1 record is".to_owned() } else { format!("{records} records are") };
    Failure::new(Kind::Misconfigured, format!("the key cannot be given up: {records} sealed with it ({place})"))
        .hint("run `keyfob logout --all` first, while no setting says `none` yet")
        .hint("what git and docker gave keyfob to keep goes with `git credential reject` and `docker logout`")
}
