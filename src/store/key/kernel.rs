//! The key in the keyring of the Linux kernel: a copy that saves asking a keyring or a person, or the only place of one that ends with
//! the machine's run.
use super::{Key, Source};
use crate::{
    failure::{Failure, Kind},
    os::{self, KernelKeyError},
    store::SourceKind,
};
use std::time::Duration;

/// How long a copy of a key is kept.
const COPY_LIFE: Duration = Duration::from_secs(8 * 60 * 60);

/// The only place of a key: gone when the machine starts again.
#[derive(Debug)]
pub(in crate::store) struct KernelSource {
    pub(in crate::store) store_id: String,
}

impl KernelSource {
    /// Tells whether the kernel's keyring can be used here.
    pub(in crate::store) fn is_usable(&self) -> bool {
        os::kernel_key_read(&name(&self.store_id)).is_ok()
    }
}

impl Source for KernelSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Kernel
    }

    fn load(&self) -> Result<Option<Key>, Failure> {
        let Some(held) = os::kernel_key_read(&name(&self.store_id)).map_err(explain)? else { return Ok(None) };
        Key::read(&held, SourceKind::Kernel).map(Some).ok_or_else(|| {
            Failure::new(Kind::Misconfigured, "what the kernel's keyring holds in keyfob's name is not a key")
                .hint(format!("run: keyctl purge user '{}'", name(&self.store_id)))
        })
    }

    fn save(&self, key: &Key) -> Result<(), Failure> {
        os::kernel_key_write(&name(&self.store_id), key.text().as_bytes(), None).map_err(explain)
    }

    fn remove(&self) -> Result<(), Failure> {
        remove(&name(&self.store_id))
    }
}

/// Returns the copy of the key of `source`, if there is one. That it cannot be had is no failure.
pub(super) fn copy(store_id: &str, source: SourceKind) -> Option<Key> {
    let held = os::kernel_key_read(&copy_name(store_id)).ok()??;
    Key::read(&held, source)
}

/// Keeps a copy of `key`, where that is possible.
pub(in crate::store) fn keep_copy(store_id: &str, key: &Key) {
    let _ = os::kernel_key_write(&copy_name(store_id), key.text().as_bytes(), Some(COPY_LIFE));
}

/// Forgets the copy of the key.
pub(in crate::store) fn forget_copy(store_id: &str) -> Result<(), Failure> {
    remove(&copy_name(store_id))
}

fn remove(name: &str) -> Result<(), Failure> {
    match os::kernel_key_remove(name) {
        Ok(()) | Err(KernelKeyError::Unsupported) => Ok(()),
        Err(error) => Err(explain(error)),
    }
}

fn name(store_id: &str) -> String {
    format!("keyfob:{store_id}")
}

/// A copy has a name of its own: while a key moves from here to the desktop's keyring or back, both are needed.
fn copy_name(store_id: &str) -> String {
    format!("keyfob:{store_id}:copy")
}

fn explain(error: KernelKeyError) -> Failure {
    match error {
        KernelKeyError::Unsupported => {
            Failure::new(Kind::Misconfigured, "the kernel's keyring, where the key is kept, cannot be used here")
                .hint("containers often forbid it: name a key file with KEYFOB_KEY_FILE, or run keyfob outside")
        }
        KernelKeyError::Failed(error) => Failure::new(Kind::Misconfigured, "the kernel's keyring refused keyfob's key")
            .because(error)
            .hint("look at its use with `keyctl show @u`; keys that are not needed may fill its quota"),
    }
}
