//! The store's side of a passphrase: it is chosen once, and the key that it makes is handed to processes that cannot ask for it.
use super::{
    SourceKind, Store,
    key::{
        Key, KeyId, PassphraseSource, kernel,
        passphrase::{self, Chosen},
    },
    lock, meta, to_hex, unlock,
};
use crate::failure::{Failure, Kind};
use helper_protocols::Secret;

impl Store {
    /// Returns the key for a process that cannot ask a person for it, in the form of [`Store::accept_key`]; `None` where every process gets
    /// it from its source. The kernel's copy does not count: it may be forgotten at any time.
    pub(crate) fn key_to_hand_over(&self) -> Option<Secret> {
        let key = self.key.as_ref().filter(|key| key.source() == SourceKind::Passphrase)?;
        Some(Secret::new(std::mem::take(&mut *key.text())))
    }

    /// Takes the key that a person typed for another process; one that is not the key in use is left.
    ///
    /// # Errors
    /// Misconfigured, where what is known of the key in use is damaged.
    pub(crate) fn accept_key(&mut self, handed_over: &Secret) -> Result<(), Failure> {
        let Some(in_use) = self.meta.key(&self.folder)? else { return Ok(()) };
        let key = Key::read(handed_over.expose().as_bytes(), SourceKind::Passphrase);
        if in_use.source == SourceKind::Passphrase {
            self.key = key.filter(|key| key.id() == in_use.id);
        }
        Ok(())
    }

    /// Returns the passphrase of which the key `expected` was made, as the source of that key.
    pub(super) fn passphrase(&self, expected: KeyId) -> PassphraseSource<'_> {
        PassphraseSource {
            store_id: to_hex(&self.id),
            expected,
            derivation: self.meta.derivation().cloned(),
            asking: self.settings.asking.clone(),
            folder: &self.folder,
            start_anew: meta::start_anew(&self.folder),
        }
    }

    /// Whether a new key is to be made of a passphrase.
    pub(super) fn sets_passphrase(&self) -> bool {
        self.settings.key_file.is_none() && self.settings.source == Some(SourceKind::Passphrase)
    }

    /// Has a person choose a passphrase, and makes the store's key of it.
    pub(super) fn set_passphrase(&mut self) -> Result<bool, Failure> {
        self.may_write()?;
        // a person takes their time, and nobody else has to wait for them
        let ask = self.settings.asking.turn(&self.folder).map_err(passphrase::unchosen)?;
        if self.look_again()? && self.meta.derivation().is_some() {
            // it was chosen at this terminal meanwhile, and is asked for in a turn of its own
            drop(ask);
            return self.unlock_recorded(false);
        }
        let Chosen { typed, key, derivation } = passphrase::choose(&ask)?;
        let _lock = lock::store(&self.folder, unlock::patience(&self.settings))?;
        let before = self.meta.clone();
        self.meta = meta::read(&self.folder)?.unwrap_or(before);
        if let (Some(theirs), Some(in_use)) = (self.meta.derivation(), self.meta.key(&self.folder)?) {
            // somebody else was faster, at another terminal or here
            let key = theirs.key(&typed)?;
            if key.id() != in_use.id {
                return Err(Failure::new(Kind::Refused, "another terminal has just set a passphrase, and it is not the same")
                    .hint("run the command again, and type that one"));
            }
            self.key = Some(key);
            return Ok(true);
        }
        if self.unlock_recorded(true)? {
            return Ok(true);
        }
        if self.has_records()? {
            match self.meta.source() {
                Some(SourceKind::Kernel) => self.give_up_records()?,
                other => return Err(self.missing_key(other.unwrap_or(SourceKind::None))),
            }
        }
        self.meta.record_passphrase(key.id(), derivation);
        meta::write(&self.folder, &self.meta)?;
        kernel::keep_copy(&to_hex(&self.id), &key);
        self.key = Some(key);
        Ok(true)
    }
}
