//! The key as what Argon2id makes of a passphrase: kept nowhere, but for the kernel's copy of it that saves typing.
use super::{Key, KeyId, Source, kernel};
use crate::{
    failure::{Failure, Kind},
    os::Folder,
    store::{Asker, Asking, SourceKind, from_hex, random, to_hex},
};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// How often a person may be wrong.
const TRIES: usize = 3;

/// What is asked of a machine for a new passphrase: RFC 9106, section 4, the second recommended option with one lane, since nothing here
/// works in parallel.
const WORK: (u32, u32, u32) = (64 * 1024, 3, 1);

/// What is done at most and at least for a store that asks for it: a file that somebody else wrote must not use the machine up.
const MEMORY_KIB: RangeInclusive<u32> = 8 * 1024..=256 * 1024;
const PASSES: RangeInclusive<u32> = 1..=16;
const LANES: RangeInclusive<u32> = 1..=16;

/// How a passphrase becomes a key. There is nothing secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Derivation {
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Derivation {
    fn new() -> Result<Self, Failure> {
        let (memory_kib, passes, lanes) = WORK;
        Ok(Self { salt: to_hex(&random::<16>()?), memory_kib, passes, lanes })
    }

    /// Whether this can be done, and within bounds.
    pub(in crate::store) fn is_sound(&self) -> bool {
        self.salt().is_some()
            && MEMORY_KIB.contains(&self.memory_kib)
            && PASSES.contains(&self.passes)
            && LANES.contains(&self.lanes)
    }

    fn salt(&self) -> Option<[u8; 16]> {
        from_hex(&self.salt)
    }

    /// Makes the key of `passphrase`; takes a tenth of a second or more.
    ///
    /// # Errors
    /// Misconfigured, where the memory cannot be had.
    pub(in crate::store) fn key(&self, passphrase: &[u8]) -> Result<Key, Failure> {
        let unsound = || Failure::new(Kind::Bug, "a passphrase was to become a key in an unsound way");
        let salt = self.salt().filter(|_| self.is_sound()).ok_or_else(unsound)?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None).map_err(|_| unsound())?;
        let mut memory: Zeroizing<Vec<Block>> = Zeroizing::new(Vec::new());
        memory.try_reserve_exact(params.block_count()).map_err(|_| {
            Failure::new(Kind::Misconfigured, format!("a passphrase takes {} MiB of memory", self.memory_kib / 1024))
                .hint("free some memory, or raise its limit (`ulimit -v`)")
        })?;
        memory.resize(params.block_count(), Block::default());
        let mut bytes = Zeroizing::new([0; super::SIZE]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase, &salt, &mut *bytes, &mut memory[..])
            .map_err(|_| unsound())?;
        Ok(Key::new(*bytes, SourceKind::Passphrase))
    }
}

/// A passphrase that has been set.
#[derive(Debug)]
pub(in crate::store) struct PassphraseSource<'a> {
    pub(in crate::store) store_id: String,
    /// The key in use, by which the right passphrase is known.
    pub(in crate::store) expected: KeyId,
    pub(in crate::store) derivation: Option<Derivation>,
    pub(in crate::store) asking: Asking,
    /// Where those who ask at one terminal take turns.
    pub(in crate::store) folder: &'a Folder,
    /// What helps somebody who forgot it.
    pub(in crate::store) start_anew: String,
}

impl PassphraseSource<'_> {
    fn copy(&self) -> Option<Key> {
        kernel::copy(&self.store_id, SourceKind::Passphrase).filter(|key| key.id() == self.expected)
    }
}

impl Source for PassphraseSource<'_> {
    fn kind(&self) -> SourceKind {
        SourceKind::Passphrase
    }

    fn load(&self) -> Result<Option<Key>, Failure> {
        if let Some(key) = self.copy() {
            return Ok(Some(key));
        }
        let Some(derivation) = &self.derivation else { return Ok(None) };
        let ask = self.asking.turn(self.folder).map_err(nobody)?;
        // the one before may have asked for the same
        if let Some(key) = self.copy() {
            return Ok(Some(key));
        }
        let mut question = "keyfob: passphrase: ";
        for _ in 0..TRIES {
            let typed = ask(question).map_err(nobody)?;
            let key = derivation.key(&typed)?;
            if key.id() == self.expected {
                kernel::keep_copy(&self.store_id, &key);
                return Ok(Some(key));
            }
            question = "keyfob: that is not it; passphrase: ";
        }
        Err(Failure::new(Kind::Refused, format!("what was typed is not the passphrase, {TRIES} times"))
            .hint("run the command again")
            .hint(format!("nobody can bring back what is forgotten; {}", self.start_anew)))
    }

    fn save(&self, _: &Key) -> Result<(), Failure> {
        Err(Failure::new(Kind::Bug, "a passphrase cannot be given a key"))
    }

    fn remove(&self) -> Result<(), Failure> {
        kernel::forget_copy(&self.store_id)
    }
}

/// A passphrase that a person has just chosen.
pub(in crate::store) struct Chosen {
    pub(in crate::store) typed: Zeroizing<Vec<u8>>,
    /// Kept nowhere so far.
    pub(in crate::store) key: Key,
    pub(in crate::store) derivation: Derivation,
}

/// Has a person choose a passphrase, whom `ask` asks.
///
/// # Errors
/// Needs a person, where nobody may be asked; refused, where they do not settle on one.
pub(in crate::store) fn choose(ask: &Asker) -> Result<Chosen, Failure> {
    let first = "keyfob: choose a passphrase for the key of your records. You are asked for it about once a working day.\n\
                 keyfob: it is kept nowhere: if it is forgotten, the records are lost and you sign in again.\n\
                 keyfob: new passphrase: ";
    let mut question = first;
    for _ in 0..TRIES {
        let typed = ask(question).map_err(unchosen)?;
        if typed.is_empty() {
            question = "keyfob: it may not be empty; new passphrase: ";
            continue;
        }
        if ask("keyfob: the same again: ").map_err(unchosen)? == typed {
            let derivation = Derivation::new()?;
            let key = derivation.key(&typed)?;
            return Ok(Chosen { typed, key, derivation });
        }
        question = "keyfob: these were two; new passphrase: ";
    }
    Err(Failure::new(Kind::Refused, "no passphrase was chosen").hint("run the command again"))
}

/// Says of a lack of persons what it keeps from being chosen.
pub(in crate::store) fn unchosen(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NeedsPerson => nobody_here("no passphrase has been chosen for the key so far", &failure.message)
            .hint("run `keyfob login` in a terminal"),
        _ => failure,
    }
}

fn nobody(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NeedsPerson => {
            nobody_here("the key is behind a passphrase", &failure.message).hint("run `keyfob status` in a terminal")
        }
        _ => failure,
    }
}

fn nobody_here(what: &str, reason: &str) -> Failure {
    let failure = Failure::new(Kind::NeedsPerson, format!("{what}, and nobody can be asked here"));
    if reason.is_empty() { failure } else { failure.because(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Place;
    use std::cell::RefCell;

    fn derivation(memory_kib: u32, passes: u32, lanes: u32) -> Derivation {
        Derivation { salt: "000102030405060708090a0b0c0d0e0f".to_owned(), memory_kib, passes, lanes }
    }

    #[test]
    fn the_key_is_what_another_implementation_of_argon2id_makes() {
        // by OpenSSL, through Python's `cryptography` 50.0.2
        let expected = "b7d89682ae89ee82e93d8dd52589aaa07be95aff2805f703d3a52dbdd32a777a";
        let key = derivation(64 * 1024, 3, 1).key(b"correct horse \xff").unwrap();
        assert_eq!((to_hex(key.bytes()).as_str(), to_hex(&key.id()).as_str()), (expected, "18dfe2e416fd402e"));
        assert_eq!((key.source(), key.source_byte()), (SourceKind::Passphrase, 4));
    }

    #[test]
    fn another_passphrase_and_another_salt_make_another_key() {
        let work = derivation(8 * 1024, 1, 1);
        let key = work.key(b"one").unwrap();
        assert_ne!(work.key(b"two").unwrap().id(), key.id());
        assert_ne!(Derivation { salt: "ff".repeat(16), ..work }.key(b"one").unwrap().id(), key.id());
        assert_ne!(Derivation::new().unwrap().salt, Derivation::new().unwrap().salt);
    }

    #[test]
    fn only_bearable_work_is_done() {
        assert!(Derivation::new().unwrap().is_sound());
        for (memory_kib, passes, lanes) in [
            (0, 3, 1),
            (8, 3, 1),
            (256 * 1024 + 1, 3, 1),
            (u32::MAX, 3, 1),
            (65536, 0, 1),
            (65536, 17, 1),
            (65536, 3, 0),
            (65536, 3, 17),
        ] {
            let asked = derivation(memory_kib, passes, lanes);
            assert!(!asked.is_sound() && asked.key(b"x").is_err(), "{asked:?}");
        }
        for salt in ["", "00", "zz", "000102030405060708090a0b0c0d0e0f00"] {
            assert!(!Derivation { salt: salt.to_owned(), ..derivation(65536, 3, 1) }.is_sound(), "{salt}");
        }
    }

    thread_local! {
        static ANSWERS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
        static QUESTIONS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    /// A person who gives these answers, in order, and no more.
    fn person(answers: &[&'static str]) -> Asking {
        ANSWERS.set(answers.iter().rev().copied().collect());
        QUESTIONS.take();
        Asking::By(|_| Ok(asker()))
    }

    fn asker() -> Asker {
        Box::new(|question| {
            QUESTIONS.with_borrow_mut(|all| all.push(question.to_owned()));
            let answer = ANSWERS.with_borrow_mut(Vec::pop).ok_or_else(|| Failure::new(Kind::NeedsPerson, "nobody is left"))?;
            Ok(Zeroizing::new(answer.as_bytes().to_vec()))
        })
    }

    #[test]
    fn a_passphrase_is_chosen_when_it_was_typed_twice_alike() {
        let chosen = {
            person(&["", "one", "two", "three", "three"]);
            choose(&asker())
        }
        .unwrap();
        assert_eq!(chosen.typed.as_slice(), b"three");
        assert_eq!(chosen.derivation.key(b"three").unwrap().id(), chosen.key.id());
        assert_eq!(QUESTIONS.take().len(), 5);
        let failure = {
            person(&["", "", "", "x", "x"]);
            choose(&asker())
        }
        .err()
        .unwrap();
        assert_eq!((failure.kind, QUESTIONS.take().len()), (Kind::Refused, 3));
        let failure = {
            person(&["one"]);
            choose(&asker())
        }
        .err()
        .unwrap();
        assert_eq!(failure.kind, Kind::NeedsPerson);
        assert!(failure.message.ends_with("nobody can be asked here: nobody is left"), "{failure}");
    }

    #[test]
    fn the_right_passphrase_is_known_by_its_key() {
        let derivation = derivation(8 * 1024, 1, 1);
        let expected = derivation.key(b"right").unwrap().id();
        let place = Place::new();
        let store = place.store();
        let load = |asking| {
            let (store_id, start_anew) = (format!("test-{}", std::process::id()), "start anew".to_owned());
            let folder = &store.folder;
            let source =
                PassphraseSource { store_id, expected, derivation: Some(derivation.clone()), asking, folder, start_anew };
            let loaded = source.load();
            kernel::forget_copy(&source.store_id).unwrap();
            loaded
        };
        assert_eq!(load(person(&["wrong", "", "right"])).unwrap().unwrap().id(), expected);
        let failure = load(person(&["a", "b", "c", "right"])).unwrap_err();
        assert_eq!((failure.kind, QUESTIONS.take().len()), (Kind::Refused, 3));
        assert!(failure.hints[1].ends_with("; start anew"), "{failure}");
        let failure = load(Asking::Nobody("CI is set".to_owned())).unwrap_err();
        assert_eq!(failure.kind, Kind::NeedsPerson);
        assert!(failure.message.ends_with("nobody can be asked here: CI is set"), "{failure}");
    }
}
