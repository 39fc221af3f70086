//! Notes beside a record: sealed as it is, but passing. Losing one costs a question asked again, never a token.
use super::{
    Held, RecordId, Store, random,
    record::{self, LARGEST_PAYLOAD, SLOT},
    sealed_file,
};
use crate::failure::{Failure, Kind};
use zeroize::Zeroizing;

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A sign-in that is under way.
    Pending,
    /// The last failure.
    Failed,
    /// A refresh token that was sent and not yet answered.
    Sent,
    /// A device code that is waited for.
    Device,
}

impl Note {
    const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Sent => "sent",
            Self::Device => "device",
        }
    }
}

impl Store {
    /// Replaces the note of the record that `held` is about.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses; a bug, if there is no key or too much is written.
    pub(crate) fn write_note(&self, held: &dyn Held, note: Note, payload: &[u8]) -> Result<(), Failure> {
        if payload.len() > LARGEST_PAYLOAD {
            return Err(Failure::new(Kind::Bug, format!("a note of {} bytes is too large", payload.len())));
        }
        let sealed = sealed_file::seal(self.binding(held.id(), note.word())?, 0, &random()?, Some(payload));
        let name = name(held.id(), note);
        let temporary = format!("{name}.{}", held.word());
        self.folder.create(&temporary, &sealed)?;
        self.folder.replace(&temporary, &name)
    }

    /// Reads a note of the record `id`; `None` if there is none, or none that opens.
    ///
    /// # Errors
    /// Misconfigured, if its file is not ours alone or cannot be read; a bug, if there is no key.
    pub(crate) fn read_note(&self, id: &RecordId, note: Note) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let Some(bytes) = self.folder.read(&name(id, note), SLOT as u64)? else { return Ok(None) };
        Ok(sealed_file::open(self.binding(id, note.word())?, &bytes).ok().and_then(|opened| opened.payload))
    }

    /// Removes a note of the record that `held` is about; that there is none is no error.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn clear_note(&self, held: &dyn Held, note: Note) -> Result<(), Failure> {
        self.folder.remove(&name(held.id(), note))
    }
}

fn name(id: &RecordId, note: Note) -> String {
    record::name(id, note.word())
}

#[cfg(test)]
mod tests {
    use super::Note;
    use crate::store::testing::Place;

    #[test]
    fn notes_are_kept_apart_sealed_and_cleared_and_holders_of_either_lock_write_them() {
        let place = Place::new();
        let store = place.store();
        let id = store.record_id("login", &["one"]);
        let lock = store.try_lock(&id).unwrap().unwrap();
        let signing_in = store.try_sign_in_lock(&id, &lock).unwrap().unwrap();
        store.write_note(&signing_in, Note::Pending, b"code ABCD").unwrap();
        store.write_note(&lock, Note::Failed, b"denied").unwrap();
        assert_eq!(store.read_note(&id, Note::Pending).unwrap().unwrap().as_slice(), b"code ABCD");
        assert_eq!(store.read_note(&id, Note::Failed).unwrap().unwrap().as_slice(), b"denied");
        let pending = store.folder.path().join(format!("{id}.pending"));
        assert!(!std::fs::read(&pending).unwrap().windows(4).any(|window| window == b"ABCD"));
        store.clear_note(&signing_in, Note::Pending).unwrap();
        store.clear_note(&signing_in, Note::Pending).unwrap();
        assert!(store.read_note(&id, Note::Pending).unwrap().is_none());
        std::fs::rename(store.folder.path().join(format!("{id}.failed")), &pending).unwrap();
        assert!(store.read_note(&id, Note::Pending).unwrap().is_none(), "a note opens only as what it is");
    }
}
