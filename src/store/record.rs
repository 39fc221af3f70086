//! Reading and writing one record: what is written is written beside it first, so that the old one stays until the new one is safe.
use super::{
    RecordId, RecordLock, Store, fill_random, random,
    sealed_file::{self, Binding, Nonce, Opened, Refusal},
};
use crate::{
    failure::{Failure, Kind},
    os::{self, How},
};
use std::{
    fmt,
    fs::File,
    io::{Seek, Write},
};
use zeroize::Zeroizing;

/// The largest payload that may be planned for, in bytes.
pub(crate) const LARGEST_PAYLOAD: usize = 48 * 1024;

/// The size of a slot that is reserved before a token is spent, in bytes; no record is larger.
pub(super) const SLOT: usize = 64 * 1024;

/// The largest payload that is written, in bytes.
pub(crate) const LARGEST_WRITTEN: usize = SLOT - sealed_file::OVERHEAD;

/// What a record's own file is to the record; its slot and its rescue hold the same.
pub(super) const ROLE: &str = "record";

/// What is stored under one name.
pub(crate) struct Record {
    /// Grows by one with every write.
    pub(crate) generation: u64,
    /// `None`: a tombstone, what was there has been deleted on purpose.
    pub(crate) payload: Option<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Why a record gave nothing.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// This record is damaged; others are not concerned. The next write keeps it aside.
    Damaged(Failure),
    /// This record was sealed with another key. The next write keeps it aside.
    AnotherKey(Failure),
    /// Something has to be mended before anything is read or written here.
    Other(Failure),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(failure) | ReadError::AnotherKey(failure) | ReadError::Other(failure) => failure,
        }
    }
}

/// A place on the disk for the next state of a record, paid for in advance. Dropped unused, it is given back.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    store: &'a Store,
    lock: &'a RecordLock,
    file: File,
    nonce: Nonce,
    generation: u64,
    /// Whether what is stored now does not open, and is to be kept aside.
    keep_aside: bool,
    used: bool,
}

impl Store {
    /// Reads the record `id`; `None` if there is none. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(crate) fn read(&self, id: &RecordId) -> Result<Option<Record>, ReadError> {
        match self.read_file(id, &file_name(id)) {
            Err(ReadError::AnotherKey(failure)) => self.read_moved(id, failure),
            done => done,
        }
    }

    /// Reads the record `id` as the file `name` holds it; `None` if there is no such file.
    pub(super) fn read_file(&self, id: &RecordId, name: &str) -> Result<Option<Record>, ReadError> {
        let Some(bytes) = self.folder.read(name, SLOT as u64).map_err(ReadError::Other)? else { return Ok(None) };
        let opened = self.open_record(id, name, &bytes)?;
        Ok(Some(Record { generation: opened.generation, payload: opened.payload }))
    }

    fn open_record(&self, id: &RecordId, name: &str, bytes: &[u8]) -> Result<Opened, ReadError> {
        let binding = self.binding(id, ROLE).map_err(ReadError::Other)?;
        sealed_file::open(binding, bytes).map_err(|refusal| self.explain(name, refusal))
    }

    /// Finishes what a writer that died, or that the disk failed, had completed but for the last step: what was sealed anew for another
    /// key, and a slot or a rescue that opens and is newer, becomes the record. Returns what a person should know of a rescue that was
    /// left where it is.
    ///
    /// Everybody who takes the lock to read and then write calls this first.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses or the slot is of a newer version.
    pub(crate) fn recover(&self, lock: &RecordLock) -> Result<Option<Failure>, Failure> {
        self.finish_move(lock.id())?;
        self.roll_forward(lock.id())
    }

    /// Makes a finished slot or a rescue the record. The record's lock must be held, or the key's alone.
    pub(super) fn roll_forward(&self, id: &RecordId) -> Result<Option<Failure>, Failure> {
        self.recover_slot(id)?;
        self.recover_rescue(id)
    }

    fn recover_slot(&self, id: &RecordId) -> Result<(), Failure> {
        let slot = slot_name(id);
        let Some(bytes) = self.folder.read(&slot, SLOT as u64)? else { return Ok(()) };
        let opened = match sealed_file::open_first(self.binding(id, ROLE)?, &bytes) {
            Ok(opened) => opened,
            // a slot that was reserved and never used
            Err(Refusal::Damaged(_)) => return self.folder.remove(&slot),
            Err(Refusal::AnotherKey) => return self.set_aside(id, &slot),
            Err(refusal @ Refusal::Newer(_)) => return Err(self.explain(&slot, refusal).into()),
        };
        if opened.generation <= self.current_generation(id)? {
            return self.folder.remove(&slot);
        }
        let Some(file) = self.folder.open_private(&slot, How::ReadWrite, SLOT as u64)? else { return Ok(()) };
        self.finish_slot(&file, id, opened.length)?;
        self.folder.replace_durably(&slot, &file_name(id))
    }

    /// Returns the generation of the record that is there; what does not open is kept aside and counts as none.
    pub(super) fn current_generation(&self, id: &RecordId) -> Result<u64, Failure> {
        match self.read_file(id, &file_name(id)) {
            Ok(record) => Ok(record.map_or(0, |record| record.generation)),
            Err(ReadError::Other(failure)) => Err(failure),
            Err(ReadError::Damaged(_) | ReadError::AnotherKey(_)) => self.set_aside(id, &file_name(id)).map(|()| 0),
        }
    }

    /// Reserves the place for the next state of the record, before a token is spent: a slot is created, filled and synced.
    ///
    /// # Errors
    /// Misconfigured, if the disk is full, the record may not be replaced, or the system refuses; a bug, if there is no key.
    pub(crate) fn reserve<'a>(&'a self, lock: &'a RecordLock) -> Result<Reservation<'a>, Failure> {
        let mut filler = vec![0; SLOT];
        // random, because a file system that compresses would reserve nothing for zeroes
        fill_random(&mut filler)?;
        let reservation = self.slot(lock, &filler)?;
        reservation
            .file
            .sync_all()
            .map_err(|error| self.folder.failed("cannot reserve space in", &slot_name(lock.id()), &error))?;
        self.folder.sync()?;
        Ok(reservation)
    }

    fn slot<'a>(&'a self, lock: &'a RecordLock, filler: &[u8]) -> Result<Reservation<'a>, Failure> {
        let id = lock.id();
        self.recover(lock)?;
        let before = self.folder.read(&file_name(id), SLOT as u64)?;
        let (current, keep_aside) = match before.as_ref().map(|bytes| (bytes, self.open_record(id, &file_name(id), bytes))) {
            None => (0, false),
            Some((_, Ok(opened))) => (opened.generation, false),
            Some((_, Err(ReadError::Other(failure)))) => return Err(failure),
            // the claim may be false, so only a plausible one is followed
            Some((bytes, Err(_))) => {
                (Some(sealed_file::claimed_generation(bytes)).filter(|claim| *claim < 1 << 32).unwrap_or(0), true)
            }
        };
        let nonce = random()?;
        let mut file = self.folder.create(&slot_name(id), filler).inspect_err(|_| {
            // a part of it would only take up what little space there is
            let _ = self.folder.remove(&slot_name(id));
        })?;
        file.rewind().map_err(|error| self.folder.failed("cannot write", &slot_name(id), &error))?;
        Ok(Reservation { store: self, lock, file, nonce, generation: current.saturating_add(1), keep_aside, used: false })
    }

    /// Replaces the record durably; returns its generation.
    ///
    /// # Errors
    /// Misconfigured, if the disk is full, the record may not be replaced, or the system refuses; a bug, if there is no key or `payload`
    /// does not fit a slot.
    pub(crate) fn write(&self, lock: &RecordLock, payload: &[u8]) -> Result<u64, Failure> {
        if payload.len() > LARGEST_WRITTEN {
            return Err(too_large(payload.len()));
        }
        let reservation = self.slot(lock, &[])?;
        let generation = reservation.generation;
        reservation.replace(Some(payload)).map(|()| generation)
    }

    /// Replaces the record by a tombstone, durably.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(crate) fn bury(&self, lock: &RecordLock) -> Result<(), Failure> {
        self.slot(lock, &[])?.replace(None)
    }

    pub(super) fn binding<'a>(&'a self, id: &'a RecordId, role: &'a str) -> Result<Binding<'a>, Failure> {
        let key = self.key.as_ref().ok_or_else(|| Failure::new(Kind::Bug, "a record is used before the store has its key"))?;
        Ok(Binding { key, machine: &self.machine, user: self.user, id, role })
    }

    /// Cuts the slot to what was written into it, and waits until that is on the disk.
    fn finish_slot(&self, file: &File, id: &RecordId, length: usize) -> Result<(), Failure> {
        file.set_len(length as u64)
            .and_then(|()| file.sync_all())
            .map_err(|error| self.folder.failed("cannot finish writing", &slot_name(id), &error))
    }

    /// Keeps a file that does not open under a name that nothing uses.
    pub(super) fn set_aside(&self, id: &RecordId, name: &str) -> Result<(), Failure> {
        for number in 1_u32.. {
            let aside = format!("{id}.bad-{number}");
            let taken = os::link_facts_at(&self.folder.path().join(&aside))
                .map_err(|error| self.folder.failed("cannot look at", &aside, &error))?;
            if taken.is_none() {
                return self.folder.replace(name, &aside);
            }
        }
        Ok(())
    }

    fn explain(&self, name: &str, refusal: Refusal) -> ReadError {
        let shown = os::shown(&self.folder.path().join(name));
        let say = |what: &str| Failure::new(Kind::Misconfigured, format!("`{shown}` {what}"));
        if let Some(failure) = self.foreign() {
            return ReadError::Other(failure);
        }
        match refusal {
            Refusal::Damaged(why) => {
                let aside = "sign in again with `keyfob login`, or store the credential again; the damaged file is kept aside";
                ReadError::Damaged(say(&format!("is damaged: {why}")).hint(aside))
            }
            Refusal::AnotherKey => {
                let again =
                    format!("bring that key back, or sign in again with `keyfob login`; now in use: {}", self.describe_source());
                ReadError::AnotherKey(say("was sealed with another key than the one in use").hint(again))
            }
            Refusal::Newer(version) => {
                ReadError::Other(say(&format!("was written by a newer keyfob (format {version})")).hint("use that newer keyfob"))
            }
        }
    }
}

impl Reservation<'_> {
    /// Returns the lock that the reservation is made under.
    pub(crate) fn lock(&self) -> &RecordLock {
        self.lock
    }

    /// Makes `payload` the record, durably. What fits the slot is taken, even beyond [`LARGEST_PAYLOAD`]: the token in it has been paid
    /// for. For the same reason it goes to a rescue where the slot cannot be written; the failure says where it is kept then.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses; what was written stays and is rolled forward if it is whole. A bug, if `payload` does not fit.
    pub(crate) fn commit(mut self, payload: &[u8]) -> Result<(), Failure> {
        if payload.len() > LARGEST_WRITTEN {
            return Err(too_large(payload.len()));
        }
        let sealed = self.seal(Some(payload))?;
        if let Err(failure) = self.fill(&sealed) {
            return Err(self.store.rescue(self.lock.id(), &sealed, failure));
        }
        let slot = self.store.folder.path().join(slot_name(self.lock.id()));
        // the slot is whole and on the disk, so whoever takes the lock next finds it there
        self.put_in_place().map_err(|failure| failure.hint(kept_in(&slot)))
    }

    fn replace(mut self, payload: Option<&[u8]>) -> Result<(), Failure> {
        let sealed = self.seal(payload)?;
        self.fill(&sealed)?;
        self.put_in_place()
    }

    fn seal(&self, payload: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let binding = self.store.binding(self.lock.id(), ROLE)?;
        Ok(sealed_file::seal(binding, self.generation, &self.nonce, payload))
    }

    fn fill(&mut self, sealed: &[u8]) -> Result<(), Failure> {
        let (store, id) = (self.store, self.lock.id());
        self.used = true;
        self.file.write_all(sealed).map_err(|error| store.folder.failed("cannot write", &slot_name(id), &error))?;
        store.finish_slot(&self.file, id, sealed.len())
    }

    fn put_in_place(&self) -> Result<(), Failure> {
        let (store, id) = (self.store, self.lock.id());
        if self.keep_aside {
            store.set_aside(id, &file_name(id))?;
        }
        store.folder.replace_durably(&slot_name(id), &file_name(id))
    }
}

/// Says where what could not be put in its place is until then.
pub(super) fn kept_in(path: &std::path::Path) -> String {
    format!("what it was to hold is kept in `{}` until the next command moves it in place", os::shown(path))
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.used {
            let _ = self.store.folder.remove(&slot_name(self.lock.id()));
        }
    }
}

/// Returns the name of a file that belongs to the record `id`.
pub(super) fn name(id: &RecordId, suffix: &str) -> String {
    format!("{id}.{suffix}")
}

/// Returns the name of the record's own file.
pub(super) fn file_name(id: &RecordId) -> String {
    name(id, "rec")
}

pub(super) fn slot_name(id: &RecordId) -> String {
    name(id, "next")
}

/// Returns the record to which the file `name` belongs, and what it is to it.
pub(super) fn part(name: &str) -> Option<(RecordId, &str)> {
    let (id, suffix) = name.split_once('.')?;
    Some((RecordId::from_hex(id)?, suffix))
}

/// Whether the file `name` holds, or may hold, what only the key opens.
pub(super) fn is_record(name: &str) -> bool {
    part(name).is_some_and(|(_, suffix)| matches!(suffix, "rec" | "next" | super::rekey::SUFFIX))
}

fn too_large(length: usize) -> Failure {
    Failure::new(Kind::Bug, format!("a record of {length} bytes is larger than a record may be"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Place, is_unix, run};
    use std::{fs, path::PathBuf};

    impl Reservation<'_> {
        /// Lets every write into the slot fail.
        pub(in crate::store) fn on_a_failing_disk(mut self) -> Self {
            self.file = File::open(path(self.store, self.lock.id(), "next")).unwrap();
            self
        }
    }

    fn path(store: &Store, id: &RecordId, suffix: &str) -> PathBuf {
        store.folder.path().join(name(id, suffix))
    }

    fn text(store: &Store, id: &RecordId) -> Vec<u8> {
        store.read(id).unwrap().unwrap().payload.unwrap().to_vec()
    }

    fn overwrite(path: &std::path::Path, bytes: &[u8]) {
        fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn each_write_replaces_the_record_and_grows_its_generation() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        assert!(store.read(&id).unwrap().is_none());
        assert!(!store.has_record(&id));
        let lock = store.try_lock(&id).unwrap().unwrap();
        assert_eq!(store.write(&lock, b"first").unwrap(), 1);
        store.reserve(&lock).unwrap().commit(b"second").unwrap();
        assert_eq!(store.read(&id).unwrap().unwrap().generation, 2);
        assert_eq!(text(&store, &id), b"second");
        assert!(store.has_record(&id));
        store.bury(&lock).unwrap();
        let record = store.read(&id).unwrap().unwrap();
        assert_eq!((record.generation, record.payload.is_none()), (3, true));
        assert_eq!(store.write(&lock, b"again").unwrap(), 4);
        assert_eq!(store.ids().unwrap(), [id]);
        assert!(!path(&store, &id, "next").exists());
    }

    #[test]
    fn a_reservation_holds_its_space_and_gives_it_back_unused() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        store.write(&lock, b"first").unwrap();
        let reservation = store.reserve(&lock).unwrap();
        assert_eq!(fs::metadata(path(&store, &id, "next")).unwrap().len(), SLOT as u64);
        drop(reservation);
        assert!(!path(&store, &id, "next").exists());
        assert_eq!(text(&store, &id), b"first");
    }

    #[test]
    fn a_payload_has_its_limit_but_a_token_that_was_paid_for_may_fill_the_slot() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        store.write(&lock, &vec![1; SLOT - sealed_file::OVERHEAD]).unwrap();
        assert!(store.write(&lock, &vec![2; SLOT - sealed_file::OVERHEAD + 1]).is_err());
        let all = SLOT - sealed_file::OVERHEAD;
        store.reserve(&lock).unwrap().commit(&vec![3; all]).unwrap();
        assert_eq!(text(&store, &id), vec![3; all]);
        assert!(store.reserve(&lock).unwrap().commit(&vec![4; all + 1]).is_err());
        assert_eq!(text(&store, &id), vec![3; all]);
    }

    #[test]
    fn a_finished_slot_is_rolled_forward_by_the_next_holder_and_an_unfinished_one_removed() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        for existing in [false, true] {
            if existing {
                store.write(&lock, b"before").unwrap();
            }
            // the writer died after its one write: the rest of the slot is still filler
            let mut reservation = store.reserve(&lock).unwrap();
            let sealed =
                sealed_file::seal(store.binding(&id, ROLE).unwrap(), reservation.generation, &reservation.nonce, Some(b"saved"));
            reservation.file.write_all(&sealed).unwrap();
            reservation.used = true;
            drop(reservation);
            assert_ne!(
                store.read(&id).unwrap().map(|record| record.payload.unwrap().to_vec()).as_deref(),
                Some(b"saved".as_slice())
            );
            store.recover(&lock).unwrap();
            assert_eq!(text(&store, &id), b"saved");
            assert!(!path(&store, &id, "next").exists());
        }
        // the writer died before its write
        let mut reservation = store.reserve(&lock).unwrap();
        reservation.used = true;
        drop(reservation);
        store.recover(&lock).unwrap();
        assert_eq!(text(&store, &id), b"saved");
        assert!(!path(&store, &id, "next").exists());
    }

    #[test]
    fn a_slot_of_an_older_or_the_same_generation_is_not_rolled_back_to() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        store.write(&lock, b"old").unwrap();
        let old = fs::read(path(&store, &id, "rec")).unwrap();
        let generation = store.write(&lock, b"new").unwrap();
        let same = sealed_file::seal(store.binding(&id, ROLE).unwrap(), generation, &random().unwrap(), Some(b"other"));
        for slot in [old, same] {
            store.folder.create(&slot_name(&id), &slot).unwrap();
            store.recover(&lock).unwrap();
            assert_eq!(text(&store, &id), b"new");
            assert!(!path(&store, &id, "next").exists());
        }
    }

    #[test]
    fn what_does_not_open_is_told_apart_kept_aside_by_the_next_write_and_leaves_its_neighbours_alone() {
        let place = Place::new();
        let store = place.store();
        let (id, neighbour) = (store.record_id("login", &["one"]), store.record_id("login", &["two"]));
        let lock = store.try_lock(&id).unwrap().unwrap();
        store.write(&store.try_lock(&neighbour).unwrap().unwrap(), b"neighbour").unwrap();
        store.write(&lock, b"first").unwrap();
        let file = path(&store, &id, "rec");
        let good = fs::read(&file).unwrap();
        let mut other_key = good.clone();
        other_key[6] ^= 1;
        let swapped = fs::read(path(&store, &neighbour, "rec")).unwrap();
        for (number, bad) in [(1, &good[..good.len() - 1]), (2, &other_key), (3, &swapped), (4, b"")] {
            overwrite(&file, bad);
            match store.read(&id).unwrap_err() {
                ReadError::AnotherKey(failure) => assert!(number == 2 && failure.message.contains("another key"), "{failure}"),
                ReadError::Damaged(failure) => assert!(number != 2 && failure.message.contains("is damaged"), "{failure}"),
                ReadError::Other(failure) => panic!("{failure}"),
            }
            assert_eq!(text(&store, &neighbour), b"neighbour");
            store.write(&lock, b"anew").unwrap();
            assert_eq!(text(&store, &id), b"anew");
            assert_eq!(fs::read(path(&store, &id, &format!("bad-{number}"))).unwrap(), bad);
        }
    }

    #[test]
    fn a_record_of_a_newer_version_is_neither_read_nor_replaced() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        store.write(&lock, b"first").unwrap();
        let file = path(&store, &id, "rec");
        let mut newer = fs::read(&file).unwrap();
        newer[4] = 2;
        overwrite(&file, &newer);
        assert!(matches!(store.read(&id), Err(ReadError::Other(failure)) if failure.message.contains("newer keyfob")));
        assert!(store.reserve(&lock).is_err());
        assert!(store.write(&lock, b"second").is_err());
        assert_eq!(fs::read(&file).unwrap(), newer);
    }

    #[test]
    fn a_file_of_the_wrong_kind_at_any_name_is_refused_at_once_and_left_alone() {
        if !is_unix() {
            return;
        }
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let outside = place.path.join("outside");
        let begun = std::time::Instant::now();
        for suffix in ["rec", "next", "rekey", "lock", "signin", "waiters", "pending", "failed"] {
            for (what, sentence) in [
                ("symlink", "symbolic link"),
                ("hardlink", "hard link"),
                ("fifo", "a pipe"),
                ("folder", "is a folder"),
                ("open", "open to other users"),
                ("large", "should have"),
            ] {
                let lock = store.try_lock(&id).unwrap().unwrap();
                let planted = path(&store, &id, suffix);
                let _ = fs::remove_file(&planted);
                drop(store.folder.create("outside", b"target").unwrap());
                fs::rename(store.folder.path().join("outside"), &outside).unwrap();
                match what {
                    "symlink" => run("ln", &["-s", outside.to_str().unwrap()], &planted),
                    "hardlink" => run("ln", &[outside.to_str().unwrap()], &planted),
                    "fifo" => run("mkfifo", &["-m", "600"], &planted),
                    "folder" => fs::create_dir(&planted).unwrap(),
                    "open" => {
                        store.folder.create(&name(&id, suffix), b"").unwrap();
                        run("chmod", &["666"], &planted);
                    }
                    _ => store.folder.create(&name(&id, suffix), b"").unwrap().set_len(SLOT as u64 + 1).unwrap(),
                }
                let failure = match suffix {
                    "rec" => store.read(&id).map(drop).map_err(Failure::from),
                    "next" | "rekey" => store.recover(&lock).map(drop),
                    "lock" => store.try_lock(&id).map(drop),
                    "signin" => store.try_sign_in_lock(&id, &lock).map(drop),
                    "waiters" => store.wait_for(&id).map(drop),
                    "pending" => store.read_note(&id, crate::store::Note::Pending).map(drop),
                    _ => store.read_note(&id, crate::store::Note::Failed).map(drop),
                }
                .unwrap_err();
                assert_eq!(failure.kind, Kind::Misconfigured);
                assert!(failure.message.contains(sentence) && !failure.hints.is_empty(), "{suffix} {what}: {failure}");
                assert!(failure.message.contains(&name(&id, suffix)), "{suffix} {what}: {failure}");
                assert_eq!(fs::read(&outside).unwrap(), b"target");
                let _ = fs::remove_file(&planted).or_else(|_| fs::remove_dir(&planted));
            }
        }
        // who opens a pipe that nobody writes to, or waits for a lock, does so for good; the rest is a few processes for each row
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
    }
}
