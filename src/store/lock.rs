//! The locks, on empty files that are never deleted; the system frees those of a process that died.
//!
//! The functions of `fs2` are used by their full path: the standard library has methods of the same names that would be taken
//! instead. A lock ends when its file is closed.
use super::{RecordId, Store};
use crate::{
    failure::{Failure, Kind},
    os::{self, Folder, How},
};
use std::{
    fs::File,
    io, thread,
    time::{Duration, Instant},
};

/// Everybody who may write holds this one together; who moves the key holds it alone.
const KEY: &str = "key.lock";

/// Whoever comes to write passes through this one, and who waits to move the key closes it: else there would always be a writer.
const GATE: &str = "key.gate";

/// Of this one, each terminal has a byte: who asks there holds it alone.
const ASKING: &str = "asking.lock";

/// The right to write one record.
#[derive(Debug)]
pub(crate) struct RecordLock {
    file: File,
    id: RecordId,
}

impl RecordLock {
    pub(crate) fn id(&self) -> &RecordId {
        &self.id
    }

    /// Returns the file that carries the lock, to be handed to another process: the lock lasts as long as any copy is open.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

/// The right to sign in for one record, and so to have a person asked.
#[derive(Debug)]
pub(crate) struct SignInLock {
    _file: File,
    id: RecordId,
}

/// While this lives, the worker of one record knows that somebody waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    _file: File,
}

/// A lock that gives the right to write a record's notes.
pub(crate) trait Held {
    fn id(&self) -> &RecordId;

    /// Returns a word that no other kind of lock has, so that holders of two kinds do not meet in one file.
    fn word(&self) -> &'static str;
}

impl Held for RecordLock {
    fn id(&self) -> &RecordId {
        &self.id
    }

    fn word(&self) -> &'static str {
        "lock"
    }
}

impl Held for SignInLock {
    fn id(&self) -> &RecordId {
        &self.id
    }

    fn word(&self) -> &'static str {
        "signin"
    }
}

/// What came of taking the key's lock to write.
#[derive(Debug)]
pub(super) enum KeyLock {
    /// As long as this lives, the key stays what it is.
    Held { _file: File },
    /// The lock's file cannot be used. What is there can still be read; who is about to write gets this failure.
    Unusable(Failure),
}

/// The right to move the key: nobody else may write anything that is sealed.
#[derive(Debug)]
pub(super) struct KeyMove {
    _gate: File,
    _file: File,
}

impl Store {
    /// Takes the lock of the record `id` if nobody has it. The store must have been unlocked to write.
    ///
    /// # Errors
    /// Misconfigured, if the lock's file or the key's lock cannot be used.
    pub(crate) fn try_lock(&self, id: &RecordId) -> Result<Option<RecordLock>, Failure> {
        self.may_write()?;
        let (name, file) = open(&self.folder, format!("{id}.lock"))?;
        let taken = try_exclusive(&file).map_err(|error| refused(&self.folder, &name, &error))?;
        Ok(taken.then_some(RecordLock { file, id: *id }))
    }

    /// Takes the lock of the record `id`, waiting for as long as `patience`. The store must have been unlocked to write.
    ///
    /// # Errors
    /// Unreachable, if somebody else has it all that time; misconfigured, if the lock's file or the key's lock cannot be used.
    pub(crate) fn lock(&self, id: &RecordId, patience: Duration) -> Result<RecordLock, Failure> {
        self.may_write()?;
        let (name, file) = open(&self.folder, format!("{id}.lock"))?;
        exclusive_within(&self.folder, &name, &file, patience)?;
        Ok(RecordLock { file, id: *id })
    }

    /// Returns the lock of the record `id` that another process took and handed over as `file`.
    ///
    /// # Errors
    /// A defect, if the file is another one or somebody else holds its lock; misconfigured, if its file or the key's lock cannot be used.
    pub(crate) fn adopt_lock(&self, id: &RecordId, file: File) -> Result<RecordLock, Failure> {
        self.may_write()?;
        let wrong = || Failure::new(Kind::Bug, "the worker was handed something that is not the record's lock");
        let (name, own) = open(&self.folder, format!("{id}.lock"))?;
        let place = |file: &File| {
            let facts = os::facts_of(file).map_err(|error| self.folder.failed("cannot look at", &name, &error))?;
            Ok::<_, Failure>((facts.device, facts.inode))
        };
        if place(&file)? != place(&own)? {
            return Err(wrong());
        }
        // taking it again through the same open file succeeds at once, and changes nothing
        let held = try_exclusive(&file).map_err(|error| refused(&self.folder, &name, &error))?;
        if held { Ok(RecordLock { file, id: *id }) } else { Err(wrong()) }
    }

    /// Takes the sign-in lock of the record `id` if nobody has it. Never waited for, because the record's lock is held meanwhile.
    ///
    /// # Errors
    /// Misconfigured, if the lock's file cannot be used.
    pub(crate) fn try_sign_in_lock(&self, id: &RecordId, _held: &RecordLock) -> Result<Option<SignInLock>, Failure> {
        let (name, file) = open(&self.folder, format!("{id}.signin"))?;
        let taken = try_exclusive(&file).map_err(|error| refused(&self.folder, &name, &error))?;
        Ok(taken.then_some(SignInLock { _file: file, id: *id }))
    }

    /// Counts this process among those that wait for the record `id`, until the result is dropped.
    ///
    /// # Errors
    /// Misconfigured, if the lock's file cannot be used.
    pub(crate) fn wait_for(&self, id: &RecordId) -> Result<Waiting, Failure> {
        let (name, file) = open(&self.folder, format!("{id}.waiters"))?;
        // who holds it alone only looks, and lets go at once
        os::again(|| fs2::FileExt::lock_shared(&file)).map_err(|error| refused(&self.folder, &name, &error))?;
        Ok(Waiting { _file: file })
    }

    /// Makes sure that nobody moves the key while this store lives.
    ///
    /// # Errors
    /// Misconfigured, if the key's lock cannot be used; a defect, if the store was not unlocked to write.
    pub(super) fn may_write(&self) -> Result<(), Failure> {
        match &self.key_lock {
            Some(KeyLock::Held { .. }) => Ok(()),
            Some(KeyLock::Unusable(failure)) => Err(failure.clone()),
            None => Err(Failure::new(Kind::Bug, "a record is to be written by who has not unlocked the store to write")),
        }
    }

    /// Tells whether nobody waits for the record `id`.
    ///
    /// # Errors
    /// Misconfigured, if the lock's file cannot be used.
    pub(crate) fn nobody_waits(&self, id: &RecordId) -> Result<bool, Failure> {
        let (name, file) = open(&self.folder, format!("{id}.waiters"))?;
        try_exclusive(&file).map_err(|error| refused(&self.folder, &name, &error))
    }
}

/// Takes the key's lock together with all others who may write, waiting for as long as `patience`. Who `queues` lets somebody who waits
/// to move the key go first; one for whom a holder of the lock waits must not.
///
/// # Errors
/// Unreachable, if the key is being moved all that time.
pub(super) fn hold_key(folder: &Folder, queues: bool, patience: Duration) -> Result<KeyLock, Failure> {
    let begun = Instant::now();
    let taken = |name: &str, patience: Duration| -> Result<Option<File>, Failure> {
        let (name, file) = open(folder, name.to_owned())?;
        let mut attempt = || try_shared(&file).map_err(|error| refused(folder, &name, &error));
        Ok(within(patience, &mut attempt)?.then_some(file))
    };
    let both = || -> Result<Option<File>, Failure> {
        let gate = if queues { Some(taken(GATE, patience)?) } else { None };
        if matches!(gate, Some(None)) {
            return Ok(None);
        }
        taken(KEY, patience.saturating_sub(begun.elapsed()))
    };
    match both() {
        Ok(Some(file)) => Ok(KeyLock::Held { _file: file }),
        Ok(None) => Err(Failure::new(
            Kind::Unreachable,
            format!("the key is being moved by `keyfob setup key`, which has not ended within {} seconds", patience.as_secs()),
        )
        .hint(format!(
            "try again in a minute; if it lasts, find the process with `fuser {}` and end it",
            os::shown(&folder.path().join(KEY))
        ))),
        Err(failure) => Ok(KeyLock::Unusable(failure)),
    }
}

/// Takes the key's lock alone, waiting for as long as `patience`. Meanwhile nobody new gets it.
///
/// # Errors
/// Unreachable, if somebody may write all that time; misconfigured, if the lock's file cannot be used.
pub(super) fn move_key(folder: &Folder, patience: Duration) -> Result<KeyMove, Failure> {
    let begun = Instant::now();
    let taken = |name: &str| -> Result<File, Failure> {
        let (name, file) = open(folder, name.to_owned())?;
        let mut attempt = || try_exclusive(&file).map_err(|error| refused(folder, &name, &error));
        if within(patience.saturating_sub(begun.elapsed()), &mut attempt)? {
            return Ok(file);
        }
        Err(Failure::new(
            Kind::Unreachable,
            format!(
                "the key is in use: a sign-in or a renewal is under way, and has not ended within {} seconds",
                patience.as_secs()
            ),
        )
        .hint("finish the sign-in, or stop it with Ctrl-C or `keyfob logout`; then run `keyfob setup key` again"))
    };
    let gate = taken(GATE)?;
    Ok(KeyMove { _file: taken(KEY)?, _gate: gate })
}

/// Takes the lock of the whole store, under which its id and its key are made, waiting for as long as `patience`.
pub(super) fn store(folder: &Folder, patience: Duration) -> Result<File, Failure> {
    file(folder, "store.lock".to_owned(), patience)
}

/// Takes the lock on the file `name` alone, waiting for as long as `patience`.
pub(super) fn file(folder: &Folder, name: String, patience: Duration) -> Result<File, Failure> {
    let (name, file) = open(folder, name)?;
    exclusive_within(folder, &name, &file, patience)?;
    Ok(file)
}

/// Returns the file by which those who ask at one terminal take turns; `None` where it cannot be had, which must keep nobody from asking.
pub(super) fn asking(folder: &Folder) -> Option<File> {
    open(folder, ASKING.to_owned()).ok().map(|(_, file)| file)
}

fn open(folder: &Folder, name: String) -> Result<(String, File), Failure> {
    let file = folder
        .open_private(&name, How::Lock, 0)?
        .ok_or_else(|| folder.failed("cannot create", &name, &io::ErrorKind::NotFound.into()))?;
    Ok((name, file))
}

fn exclusive_within(folder: &Folder, name: &str, file: &File, patience: Duration) -> Result<(), Failure> {
    if within(patience, &mut || try_exclusive(file).map_err(|error| refused(folder, name, &error)))? {
        return Ok(());
    }
    let (shown, seconds) = (os::shown(&folder.path().join(name)), patience.as_secs());
    Err(Failure::new(Kind::Unreachable, format!("another keyfob has held `{shown}` for more than {seconds} seconds"))
        .hint("try again in a minute; if it lasts, find its process with `fuser` and end it"))
}

/// Makes `attempt` until it succeeds; false where it has not for as long as `patience`.
fn within(patience: Duration, attempt: &mut dyn FnMut() -> Result<bool, Failure>) -> Result<bool, Failure> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(5);
    while !attempt()? {
        let left = patience.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        // the clock's last digits keep those who came together apart
        let jitter = Duration::from_micros(u64::from(begun.elapsed().subsec_nanos() % 5_000));
        thread::sleep((pause + jitter).min(left));
        pause = (pause * 2).min(Duration::from_millis(45));
    }
    Ok(true)
}

fn try_exclusive(file: &File) -> io::Result<bool> {
    taken(os::again(|| fs2::FileExt::try_lock_exclusive(file)))
}

fn try_shared(file: &File) -> io::Result<bool> {
    taken(os::again(|| fs2::FileExt::try_lock_shared(file)))
}

fn taken(answer: io::Result<()>) -> io::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(error) => Err(error),
    }
}

fn refused(folder: &Folder, name: &str, error: &io::Error) -> Failure {
    folder
        .failed("cannot lock", name, error)
        .hint("if its file system has no locks, choose a folder on a local disk with KEYFOB_STATE_DIR")
}

#[cfg(test)]
mod tests {
    use crate::{failure::Kind, store::testing::Place};
    use std::time::{Duration, Instant};

    #[test]
    fn one_at_a_time_holds_a_records_lock_and_others_are_not_concerned() {
        let place = Place::new();
        let store = place.store();
        let (one, other) = (store.record_id("login", &["one"]), store.record_id("login", &["other"]));
        let held = store.try_lock(&one).unwrap().unwrap();
        assert!(store.try_lock(&one).unwrap().is_none());
        assert!(store.try_lock(&other).unwrap().is_some());
        drop(held);
        assert!(store.try_lock(&one).unwrap().is_some());
    }

    #[test]
    fn waiting_for_a_lock_is_bounded_and_ends_when_it_is_free() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let held = store.try_lock(&id).unwrap().unwrap();
        let begun = Instant::now();
        let failure = store.lock(&id, Duration::from_millis(100)).unwrap_err();
        assert_eq!(failure.kind, Kind::Unreachable);
        assert!((Duration::from_millis(100)..Duration::from_secs(20)).contains(&begun.elapsed()));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| store.lock(&id, Duration::from_secs(60)).map(drop));
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
            waiter.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_lock_that_was_handed_over_lasts_until_its_last_copy_is_closed() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let file = store.try_lock(&id).unwrap().unwrap().into_file();
        let adopted = store.adopt_lock(&id, file.try_clone().unwrap());
        drop(file);
        assert!(store.try_lock(&id).unwrap().is_none());
        drop(adopted);
        assert!(store.try_lock(&id).unwrap().is_some());
    }

    #[test]
    fn the_sign_in_lock_is_another_one_and_outlives_the_records_lock() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        let signing_in = store.try_sign_in_lock(&id, &lock).unwrap().unwrap();
        drop(lock);
        let lock = store.try_lock(&id).unwrap().unwrap();
        assert!(store.try_sign_in_lock(&id, &lock).unwrap().is_none());
        drop(signing_in);
        assert!(store.try_sign_in_lock(&id, &lock).unwrap().is_some());
    }

    #[test]
    fn nobody_waits_only_when_the_last_waiter_has_left() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        assert!(store.nobody_waits(&id).unwrap());
        let (first, second) = (store.wait_for(&id).unwrap(), store.wait_for(&id).unwrap());
        drop(first);
        assert!(!store.nobody_waits(&id).unwrap());
        drop(second);
        assert!(store.nobody_waits(&id).unwrap());
    }
}
