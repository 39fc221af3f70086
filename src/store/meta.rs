//! The file `store`: the store's id, whose it is, and which key its records are sealed with.
use super::{
    SourceKind, from_hex,
    key::{KeyId, passphrase::Derivation},
    random, salted, to_hex,
};
use crate::{
    failure::{Failure, Kind},
    os::{self, Folder},
};
use serde::{Deserialize, Serialize};

pub(super) const NAME: &str = "store";
/// What is being written, until it is finished.
const TEMPORARY: &str = "store.tmp";
const LIMIT: u64 = 16 * 1024;
const VERSION: u32 = 1;

/// What is known of a store before its key is. There is nothing secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    version: u32,
    store: String,
    /// The machine and the user whose records these are, hashed: a copy can tell why it does not open, and gives neither away.
    machine: String,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Recorded>,
    /// The key before, from the moment in which another took its place until nothing is left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<Recorded>,
}

/// A key and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct InUse<'a> {
    pub(super) source: SourceKind,
    pub(super) id: KeyId,
    /// Where it is, if in a file.
    pub(super) file: Option<&'a str>,
}

/// A key and where it is, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    source: SourceKind,
    id: String,
    /// Where it is, if in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// How it is made, if of a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    derivation: Option<Derivation>,
}

impl Meta {
    /// Returns the store's id.
    pub(super) fn store_id(&self, folder: &Folder) -> Result<[u8; 16], Failure> {
        from_hex(&self.store).ok_or_else(|| damaged(folder, "the store's id"))
    }

    /// Refuses a store that was made for another machine or for another user: nothing in it could be opened.
    ///
    /// # Errors
    /// Misconfigured, saying which of the two it is.
    pub(super) fn belongs_to(&self, folder: &Folder, machine: &str, user: u32) -> Result<(), Failure> {
        let id = self.store_id(folder)?;
        let whose = match (self.machine == hashed(&id, "machine", machine), self.user == hashed(&id, "user", &user.to_string())) {
            (true, true) => return Ok(()),
            (false, true) => "of another machine, and they open there alone",
            (true, false) => "of another user, and they open for that user alone",
            (false, false) => "of another user on another machine, and they open there alone",
        };
        let shown = os::shown(folder.path());
        Err(Failure::new(Kind::Misconfigured, format!("`{shown}` holds the records {whose}")).hint(start_anew(folder)))
    }

    /// Returns the key in use; `None` if there has been none so far.
    pub(super) fn key(&self, folder: &Folder) -> Result<Option<InUse<'_>>, Failure> {
        self.key.as_ref().map(|key| key.read(folder)).transpose()
    }

    /// Returns the key whose place the one in use has taken, if something may be left of it.
    pub(super) fn former(&self, folder: &Folder) -> Result<Option<InUse<'_>>, Failure> {
        self.former.as_ref().map(|key| key.read(folder)).transpose()
    }

    pub(super) fn source(&self) -> Option<SourceKind> {
        self.key.as_ref().map(|key| key.source)
    }

    pub(super) fn file(&self) -> Option<&str> {
        self.key.as_ref()?.file.as_deref()
    }

    /// Notes the key in use.
    pub(super) fn record(&mut self, source: SourceKind, id: KeyId, file: Option<String>) {
        self.key = Some(Recorded { source, id: to_hex(&id), file, derivation: None });
    }

    /// Notes the key in use, which `derivation` makes of a passphrase.
    pub(super) fn record_passphrase(&mut self, id: KeyId, derivation: Derivation) {
        self.key = Some(Recorded { source: SourceKind::Passphrase, id: to_hex(&id), file: None, derivation: Some(derivation) });
    }

    /// Returns how the key in use is made of a passphrase, if it is.
    pub(super) fn derivation(&self) -> Option<&Derivation> {
        self.key.as_ref()?.derivation.as_ref()
    }

    /// Whether a key of a passphrase can be made as is written, and by no more work than is bearable.
    fn is_sound(&self) -> bool {
        self.key.as_ref().is_none_or(|key| match &key.derivation {
            Some(derivation) => derivation.is_sound(),
            None => key.source != SourceKind::Passphrase,
        })
    }

    /// Makes the key in use the former one; none is in use then.
    pub(super) fn retire(&mut self) {
        self.former = self.key.take().or(self.former.take());
    }

    /// Notes that nothing is left of the former key.
    pub(super) fn forget_former(&mut self) {
        self.former = None;
    }
}

impl Recorded {
    fn read(&self, folder: &Folder) -> Result<InUse<'_>, Failure> {
        let id = from_hex(&self.id).ok_or_else(|| damaged(folder, "the key's id"))?;
        Ok(InUse { source: self.source, id, file: self.file.as_deref() })
    }
}

/// Reads the file; `None` if there is none.
pub(super) fn read(folder: &Folder) -> Result<Option<Meta>, Failure> {
    let Some(bytes) = folder.read(NAME, LIMIT)? else { return Ok(None) };
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice::<Meta>(&bytes) {
        Ok(meta) if meta.version == VERSION && !meta.is_sound() => return Err(damaged(folder, "how a passphrase makes the key")),
        Ok(meta) if meta.version == VERSION => return Ok(Some(meta)),
        _ => {}
    }
    match serde_json::from_slice::<Version>(&bytes) {
        Ok(Version { version }) if version > VERSION => {
            let shown = os::shown(folder.path());
            Err(Failure::new(Kind::Misconfigured, format!("the store in `{shown}` is of the newer version {version}"))
                .hint("use the newer keyfob that wrote it"))
        }
        _ => Err(damaged(folder, "its content")),
    }
}

/// Makes the store's id and writes the file for the first time, for this `machine` and `user`. The lock of the store must be held.
pub(super) fn create(folder: &Folder, machine: &str, user: u32) -> Result<Meta, Failure> {
    if folder.names()?.iter().any(|name| super::record::is_record(name)) {
        let shown = os::shown(folder.path());
        return Err(Failure::new(
            Kind::Misconfigured,
            format!("`{shown}` holds records, but the file `{NAME}` that belongs to them is gone"),
        )
        .hint(format!("restore it from a backup; or, {}", start_anew(folder))));
    }
    let id = random::<16>()?;
    let meta = Meta {
        version: VERSION,
        store: to_hex(&id),
        machine: hashed(&id, "machine", machine),
        user: hashed(&id, "user", &user.to_string()),
        key: None,
        former: None,
    };
    write(folder, &meta)?;
    Ok(meta)
}

/// Replaces the file, durably. The lock of the store must be held.
pub(super) fn write(folder: &Folder, meta: &Meta) -> Result<(), Failure> {
    let text = serde_json::to_vec(meta).map_err(|_| damaged(folder, "its content"))?;
    folder.write_durably(TEMPORARY, NAME, &text)
}

/// Removes what is left of a write that was killed. The lock of the store must be held.
pub(super) fn clean(folder: &Folder) -> Result<(), Failure> {
    folder.remove(TEMPORARY)
}

fn damaged(folder: &Folder, what: &str) -> Failure {
    let shown = os::shown(&folder.path().join(NAME));
    Failure::new(Kind::Misconfigured, format!("`{shown}` is damaged: {what} cannot be read"))
        .hint(format!("restore it from a backup; or, {}", start_anew(folder)))
}

fn hashed(id: &[u8; 16], label: &str, text: &str) -> String {
    to_hex(&salted(id, &["holder", label, text])[..16])
}

/// Returns the command that makes room for new records and loses none of the old ones.
pub(super) fn start_anew(folder: &Folder) -> String {
    let path = os::quoted(folder.path());
    format!("to start anew, keeping what is there: mv {path} {path}.old && keyfob login")
}
