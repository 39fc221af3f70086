//! The key as one item of the system's keyring: Keychain, Credential Manager, or the desktop's Secret Service.
//!
//! A keyring may open a window or never answer, so it is asked by a helper thread and waited for so long and no longer: for a person's
//! time where one is there, else for a moment, and once.
use super::{Key, KeyId, Source, kernel};
use crate::{
    failure::{Failure, Kind},
    os::{self, SecretService},
    store::SourceKind,
};
use keyring_core::Error;
use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use zeroize::Zeroizing;

/// What keyfob's items in a keyring are called.
const SERVICE: &str = "keyfob";

/// How long a keyring may take where nobody is there, and until a person is told what they wait for.
const MOMENT: Duration = Duration::from_secs(2);
/// How long a person may take at it.
const PERSONS_TIME: Duration = Duration::from_secs(120);

/// The keyring let a moment pass without an answer: unattended, this process does not ask it again.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The keyring, and the copy of its key in the kernel.
#[derive(Debug)]
pub(in crate::store) struct KeyringSource {
    pub(in crate::store) store_id: String,
    /// The key that is looked for, if it is known: an older copy is no use.
    pub(in crate::store) expected: Option<KeyId>,
    pub(in crate::store) attended: bool,
    /// Tells the person what they wait for.
    pub(in crate::store) tell: fn(&str),
}

impl KeyringSource {
    /// Returns what the keyring can do now.
    ///
    /// # Errors
    /// Misconfigured, if there is one that does not answer properly or in time.
    pub(in crate::store) fn state(&self) -> Result<SecretService, Failure> {
        let patience = self.patience();
        self.within(move || look(patience))
    }

    fn patience(&self) -> Duration {
        if self.attended { PERSONS_TIME } else { MOMENT }
    }

    /// Does `work` in a thread of its own and waits for it, but not for ever; a thread that is stuck is left behind.
    fn within<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
        if !self.attended && SILENT.load(Ordering::SeqCst) {
            return Err(silent(MOMENT));
        }
        let (sender, receiver) = mpsc::channel();
        let thread = move || {
            let _ = sender.send(work());
        };
        thread::Builder::new().name("keyring".to_owned()).spawn(thread).map_err(|error| {
            Failure::new(Kind::Misconfigured, "cannot start a thread to ask your keyring")
                .because(error)
                .hint("raise the limit of processes (`ulimit -u`)")
        })?;
        if let Ok(done) = receiver.recv_timeout(MOMENT) {
            return done;
        }
        SILENT.store(true, Ordering::SeqCst);
        if !self.attended {
            return Err(silent(MOMENT));
        }
        (self.tell)("waiting for your keyring, which may be asking you in a window - Ctrl-C to stop");
        receiver.recv_timeout(PERSONS_TIME.saturating_sub(MOMENT)).unwrap_or_else(|_| Err(silent(PERSONS_TIME)))
    }
}

impl Source for KeyringSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Keyring
    }

    fn load(&self) -> Result<Option<Key>, Failure> {
        if let Some(key) = kernel::copy(&self.store_id, SourceKind::Keyring).filter(|key| self.expected == Some(key.id())) {
            return Ok(Some(key));
        }
        let (patience, user, attended) = (self.patience(), self.store_id.clone(), self.attended);
        let found = self.within(move || {
            let state = look(patience)?;
            match state {
                SecretService::Absent => return Err(absent()),
                SecretService::Locked if !attended => return Err(locked()),
                SecretService::Ready | SecretService::Locked | SecretService::Empty => {}
            }
            match entry(&user).and_then(|entry| entry.get_password()) {
                Ok(text) => Ok(Some(Zeroizing::new(text))),
                // a keyring that nobody unlocked when it asked finds nothing either
                Err(Error::NoEntry) if state == SecretService::Locked && look(patience)? != SecretService::Ready => Err(locked()),
                Err(Error::NoEntry) => Ok(None),
                Err(error) => Err(explain(&error)),
            }
        })?;
        let Some(text) = found else { return Ok(None) };
        let key = Key::read(text.as_bytes(), SourceKind::Keyring).ok_or_else(|| {
            Failure::new(Kind::Misconfigured, format!("the item `{SERVICE}` of your keyring does not hold a key")).hint(format!(
                "restore or remove the item `{SERVICE}`, user `{}`, with your keyring's own program",
                self.store_id
            ))
        })?;
        kernel::keep_copy(&self.store_id, &key);
        Ok(Some(key))
    }

    fn save(&self, key: &Key) -> Result<(), Failure> {
        let (user, text) = (self.store_id.clone(), key.text());
        self.within(move || entry(&user).and_then(|entry| entry.set_password(&text)).map_err(|error| explain(&error)))
    }

    fn remove(&self) -> Result<(), Failure> {
        let (patience, user, attended) = (self.patience(), self.store_id.clone(), self.attended);
        kernel::forget_copy(&self.store_id)?;
        self.within(move || {
            let state = look(patience)?;
            match state {
                SecretService::Absent => return Err(absent()),
                // a locked one finds no item, and says that there is none
                SecretService::Locked if !attended => return Err(locked()),
                SecretService::Ready | SecretService::Locked | SecretService::Empty => {}
            }
            match entry(&user).and_then(|entry| entry.delete_credential()) {
                Err(Error::NoEntry) if state == SecretService::Locked && look(patience)? != SecretService::Ready => Err(locked()),
                Ok(()) | Err(Error::NoEntry) => Ok(()),
                Err(error) => Err(explain(&error)),
            }
        })
    }
}

fn entry(user: &str) -> Result<keyring_core::Entry, Error> {
    if keyring::Entry::store_status().is_err() {
        return Err(Error::NoDefaultStore);
    }
    let modifiers: HashMap<&str, &str> = os::KEYRING_MODIFIERS.iter().copied().collect();
    if modifiers.is_empty() {
        return keyring_core::Entry::new(SERVICE, user);
    }
    keyring_core::Entry::new_with_modifiers(SERVICE, user, &modifiers)
}

fn silent(patience: Duration) -> Failure {
    Failure::new(Kind::Misconfigured, format!("your keyring did not answer within {} seconds", patience.as_secs()))
        .hint("see whether it waits for you in a window, or start it again; or name a key file with KEYFOB_KEY_FILE")
}

/// Looks at the keyring. Who waits for this leaves first, and says so in other words.
fn look(patience: Duration) -> Result<SecretService, Failure> {
    os::secret_service(patience * 2).map_err(|reason| {
        Failure::new(Kind::Misconfigured, "your keyring does not answer properly")
            .because(printable(&reason))
            .hint("start it again, or name a key file with KEYFOB_KEY_FILE")
    })
}

fn absent() -> Failure {
    Failure::new(Kind::Misconfigured, "the key is in your desktop's keyring, and this session has none").hint(
        "run keyfob in the session that has the keyring, or start one with `gnome-keyring-daemon --start --components=secrets`",
    )
}

fn locked() -> Failure {
    Failure::new(Kind::NeedsPerson, "your keyring is locked")
        .hint("unlock it (log in to the desktop, or open its own program), then try again")
}

/// Says what went wrong. The library's errors can hold what was stored, so only those parts are shown that the system wrote.
fn explain(error: &Error) -> Failure {
    let say = |what: &str| Failure::new(Kind::Misconfigured, what);
    match error {
        Error::PlatformFailure(cause) => say("your keyring failed").because(printable(&cause.to_string())),
        Error::NoStorageAccess(cause) => say("your keyring refused access").because(printable(&cause.to_string())),
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) => {
            say("what your keyring holds in keyfob's name is not a key")
        }
        Error::Ambiguous(_) => say("your keyring holds several items in keyfob's name, and only one can be the key"),
        Error::NoDefaultStore => say("this system's keyring cannot be opened"),
        _ => say("your keyring cannot do what keyfob needs"),
    }
    .hint("look at it with your keyring's own program, or name a key file with KEYFOB_KEY_FILE")
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}
