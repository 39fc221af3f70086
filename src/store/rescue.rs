//! The rescue: where the next state of a record goes when it has been paid for and its slot cannot be written after all.
//!
//! It lies in the folder of this session, which is another file system and mostly memory: sealed as the record is, and until somebody who
//! holds the record's lock puts it in its place.
use super::{
    RecordId, Store,
    record::{ROLE, SLOT, file_name, kept_in, name, slot_name},
    sealed_file::{self, Refusal},
};
use crate::{
    failure::{Failure, Kind},
    os::{self, Folder},
};
use std::path::{Path, PathBuf};

const FOLDER: &str = "keyfob";

impl Store {
    /// Keeps `sealed`, the next state of the record `id`, which `failure` keeps out of its slot. Returns that failure with where it is now.
    pub(super) fn rescue(&self, id: &RecordId, sealed: &[u8], failure: Failure) -> Failure {
        let name = rescue_name(id);
        let kept = self.rescue_folder().map(|path| {
            let folder = Folder::open_or_create(&path)?;
            folder.write_durably(&format!("{name}.new"), &name, sealed).map(|()| path.join(&name))
        });
        match kept {
            Some(Ok(path)) => failure.hint(kept_in(&path)),
            Some(Err(second)) => failure.hint(format!("{}, so what it was to hold is lost; then sign in again", second.message)),
            None => failure.hint("there is no XDG_RUNTIME_DIR to keep what it was to hold, so that is lost; then sign in again"),
        }
    }

    /// Makes a rescued state that is newer than the record the record, and removes one that is not. Returns what a person should know of
    /// one that does not open, and is left where it is.
    ///
    /// # Errors
    /// Misconfigured, if the record or its slot cannot be written, or the record is of a newer version.
    pub(super) fn recover_rescue(&self, id: &RecordId) -> Result<Option<Failure>, Failure> {
        let name = rescue_name(id);
        let Some(path) = self.rescue_folder() else { return Ok(None) };
        // what cannot be looked at may be anything; the record's own folder goes on without it
        let found = Folder::open(&path).and_then(|folder| {
            let Some(folder) = folder else { return Ok(None) };
            Ok(folder.read(&name, SLOT as u64)?.map(|bytes| (folder, bytes)))
        });
        let (folder, bytes) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(failure) => return Ok(Some(failure)),
        };
        let opened = match sealed_file::open(self.binding(id, ROLE)?, &bytes) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Some(does_not_open(&path.join(&name), refusal))),
        };
        if opened.generation > self.current_generation(id)? {
            self.folder.write_durably(&slot_name(id), &file_name(id), &bytes)?;
        }
        // where it stays, the next one finds that it is not newer
        Ok(folder.remove(&name).err())
    }

    /// Whether a slot or a rescue holds a newer state of the record `id`, which whoever takes its lock next makes the record.
    pub(crate) fn has_next(&self, id: &RecordId) -> bool {
        let current = self.read(id).ok().flatten().map_or(0, |record| record.generation);
        let slot = self.folder.read(&slot_name(id), SLOT as u64).ok().flatten();
        let rescues = self.rescue_folder().and_then(|path| Folder::open(&path).ok().flatten());
        let rescue = rescues.and_then(|folder| folder.read(&rescue_name(id), SLOT as u64).ok().flatten());
        let generation = |bytes: zeroize::Zeroizing<Vec<u8>>| {
            Some(sealed_file::open_first(self.binding(id, ROLE).ok()?, &bytes).ok()?.generation)
        };
        slot.into_iter().chain(rescue).filter_map(generation).any(|generation| generation > current)
    }

    /// Returns the folder of rescues; `None` where this session has no folder that is ours.
    fn rescue_folder(&self) -> Option<PathBuf> {
        let session = self.settings.runtime_dir.as_ref()?;
        // `su` and `sudo` may leave that of another user in the environment
        let ours = matches!(os::facts_at(session), Ok(Some(facts)) if facts.kind == os::Kind::Folder && facts.owner == os::effective_uid());
        ours.then(|| session.join(FOLDER))
    }
}

fn rescue_name(id: &RecordId) -> String {
    name(id, "rescue")
}

fn does_not_open(path: &Path, refusal: Refusal) -> Failure {
    let shown = os::shown(path);
    let (why, mends) = match refusal {
        Refusal::Damaged(why) => (why.to_owned(), format!("remove it; run: rm '{shown}'")),
        Refusal::AnotherKey => (
            "it was sealed with another key than the one in use".to_owned(),
            format!("bring that key back, or run: rm '{shown}'"),
        ),
        Refusal::Newer(version) => (format!("a newer keyfob wrote it (format {version})"), "use that newer keyfob".to_owned()),
    };
    Failure::new(Kind::Misconfigured, format!("`{shown}` holds a sign-in that could not be stored, and does not open: {why}"))
        .hint(mends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Place, mode};
    use std::{fs, io::Write};

    /// A store with one record, `first`, whose next state, `second`, could not be written into its slot.
    fn rescued(place: &Place) -> (Store, RecordId, Failure) {
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        store.write(&lock, b"first").unwrap();
        let failure = store.reserve(&lock).unwrap().on_a_failing_disk().commit(b"second").unwrap_err();
        drop(lock);
        (store, id, failure)
    }

    fn path(place: &Place, id: &RecordId) -> PathBuf {
        place.path.join("run/keyfob").join(rescue_name(id))
    }

    fn text(store: &Store, id: &RecordId) -> Vec<u8> {
        store.read(id).unwrap().unwrap().payload.unwrap().to_vec()
    }

    #[test]
    fn what_cannot_be_written_is_rescued_and_put_in_its_place_by_whoever_holds_the_lock_next() {
        let place = Place::new();
        let (store, id, failure) = rescued(&place);
        let path = path(&place, &id);
        assert!(failure.message.contains(&slot_name(&id)), "{failure}");
        assert!(failure.hints.last().unwrap().contains(path.to_str().unwrap()), "{failure:?}");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert!(!fs::read(&path).unwrap().windows(6).any(|window| window == b"second"), "it is sealed");
        assert_eq!(text(&store, &id), b"first", "nobody who only reads looks at it");
        assert!(store.has_next(&id));
        let lock = store.try_lock(&id).unwrap().unwrap();
        assert!(store.recover(&lock).unwrap().is_none());
        assert_eq!(text(&store, &id), b"second");
        assert!(!path.exists() && !store.has_next(&id));
    }

    #[test]
    fn a_rescue_that_is_no_newer_than_the_record_is_removed() {
        let place = Place::new();
        let (store, id, _) = rescued(&place);
        let path = path(&place, &id);
        let old = fs::read(&path).unwrap();
        let lock = store.try_lock(&id).unwrap().unwrap();
        store.recover(&lock).unwrap();
        for _ in ["the same", "newer"] {
            drop(Folder::open(path.parent().unwrap()).unwrap().unwrap().create(&rescue_name(&id), &old).unwrap());
            assert!(store.recover(&lock).unwrap().is_none());
            assert!(!path.exists());
            assert_ne!(text(&store, &id), b"first");
            store.write(&lock, b"third").unwrap();
        }
        assert_eq!(text(&store, &id), b"third");
    }

    #[test]
    fn a_rescue_that_does_not_open_is_left_and_named_and_the_record_goes_on_without_it() {
        let place = Place::new();
        let (store, id, _) = rescued(&place);
        let path = path(&place, &id);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&bytes).unwrap();
        let lock = store.try_lock(&id).unwrap().unwrap();
        let warning = store.recover(&lock).unwrap().unwrap();
        assert!(warning.message.contains(path.to_str().unwrap()) && warning.hints.len() == 1, "{warning}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        store.write(&lock, b"third").unwrap();
        assert_eq!(text(&store, &id), b"third");
    }

    #[test]
    fn a_rescue_of_a_record_that_does_not_open_replaces_it_and_it_is_kept_aside() {
        let place = Place::new();
        let (store, id, _) = rescued(&place);
        let record = store.folder.path().join(file_name(&id));
        fs::OpenOptions::new().write(true).open(&record).unwrap().set_len(10).unwrap();
        let lock = store.try_lock(&id).unwrap().unwrap();
        store.recover(&lock).unwrap();
        assert_eq!(text(&store, &id), b"second");
        assert!(store.folder.path().join(format!("{id}.bad-1")).exists());
    }

    #[test]
    fn without_a_folder_of_this_session_that_is_ours_it_is_said_that_it_is_lost() {
        let mut place = Place::new();
        for runtime_dir in [None, Some(place.path.join("absent")), Some(place.path.join("key"))] {
            place.settings.runtime_dir = runtime_dir;
            let (store, id, failure) = rescued(&place);
            assert!(failure.hints.last().unwrap().contains("lost") && !store.has_next(&id), "{failure:?}");
            assert!(!place.path.join("absent").exists());
            fs::remove_dir_all(&place.settings.state_dir).unwrap();
            fs::remove_file(place.path.join("key")).unwrap();
        }
    }
}
