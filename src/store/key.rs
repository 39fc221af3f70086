//! The key that opens the records, as text and as bytes, and what a source of it must do.
mod file;
pub(super) mod kernel;
mod keyring;
pub(super) mod passphrase;

pub(super) use {file::FileSource, kernel::KernelSource, keyring::KeyringSource, passphrase::PassphraseSource};

use super::{SourceKind, random};
use crate::failure::Failure;
use ring::digest;
use std::fmt;
use zeroize::Zeroizing;

/// Tells one key from another and gives neither away.
pub(super) type KeyId = [u8; 8];

/// How many bytes a key has.
const SIZE: usize = 32;

/// The key of a store, and the source it came from.
pub(super) struct Key {
    bytes: Zeroizing<[u8; SIZE]>,
    id: KeyId,
    source: SourceKind,
}

/// One place where a key can be kept.
pub(super) trait Source {
    fn kind(&self) -> SourceKind;

    /// Returns the key; `None` only if it is certain that there is none.
    ///
    /// # Errors
    /// Whatever leaves it open whether there is a key: the source cannot be reached, is locked, or holds something else.
    fn load(&self) -> Result<Option<Key>, Failure>;

    /// Keeps `key` where there is none so far. If another process was faster, its key stays; [`Source::load`] tells which it is.
    ///
    /// # Errors
    /// The source cannot be written.
    fn save(&self, key: &Key) -> Result<(), Failure>;

    /// Removes the key and every copy of it that this source made; that there is none is no error.
    ///
    /// # Errors
    /// The source cannot be written.
    fn remove(&self) -> Result<(), Failure>;
}

impl Key {
    pub(super) fn new(bytes: [u8; SIZE], source: SourceKind) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"keyfob key");
        context.update(&bytes);
        let mut id = [0; 8];
        id.copy_from_slice(&context.finish().as_ref()[..8]);
        Self { bytes: Zeroizing::new(bytes), id, source }
    }

    /// Makes a new key.
    pub(super) fn mint(source: SourceKind) -> Result<Self, Failure> {
        Ok(Self::new(*Zeroizing::new(random()?), source))
    }

    /// Reads a key as a source holds it: one line of base64, or the bare bytes.
    pub(super) fn read(held: &[u8], source: SourceKind) -> Option<Self> {
        let bytes = match <[u8; SIZE]>::try_from(held) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(_) => decode(held.trim_ascii())?,
        };
        Some(Self::new(*bytes, source))
    }

    /// Returns the key as a line of base64, without the end of the line.
    pub(super) fn text(&self) -> Zeroizing<String> {
        encode(&self.bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; SIZE] {
        &self.bytes
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn source(&self) -> SourceKind {
        self.source
    }

    /// Returns the number by which a record's header names the source.
    pub(super) fn source_byte(&self) -> u8 {
        match self.source {
            SourceKind::None => 0,
            SourceKind::File => 1,
            SourceKind::Keyring => 2,
            SourceKind::Kernel => 3,
            SourceKind::Passphrase => 4,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key([redacted], {})", self.source.word())
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// How many characters of base64 a key has, padding not counted.
const DIGITS: usize = 43;

fn encode(bytes: &[u8; SIZE]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(DIGITS + 1));
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, place| word << 8 | u32::from(group.get(place).copied().unwrap_or(0)));
        for place in 0..=group.len() {
            let digit = word >> (18 - 6 * place) & 63;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text.push('=');
    text
}

fn decode(text: &[u8]) -> Option<Zeroizing<[u8; SIZE]>> {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    if text.len() != DIGITS {
        return None;
    }
    let mut bytes = Zeroizing::new([0; SIZE]);
    for (place, group) in text.chunks(4).enumerate() {
        let mut word = 0_u32;
        for position in 0..4 {
            let digit = match group.get(position) {
                Some(character) => u32::try_from(ALPHABET.iter().position(|digit| digit == character)?).ok()?,
                None => 0,
            };
            word = word << 6 | digit;
        }
        let octets = word.to_be_bytes();
        for (target, octet) in bytes[3 * place..].iter_mut().zip(&octets[1..]) {
            *target = *octet;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_text_and_from_bare_bytes() {
        for seed in 0..=255_u8 {
            let mut bytes = [0; SIZE];
            for (place, byte) in bytes.iter_mut().enumerate() {
                *byte = seed.wrapping_mul(31).wrapping_add(u8::try_from(place).unwrap().wrapping_mul(seed));
            }
            let key = Key::new(bytes, SourceKind::File);
            let line = format!(" {}\r\n", *key.text());
            for held in [line.as_bytes(), line.trim().trim_end_matches('=').as_bytes(), &bytes] {
                let again = Key::read(held, SourceKind::File).unwrap();
                assert_eq!((again.bytes(), again.id()), (&bytes, key.id()));
            }
        }
    }

    #[test]
    fn the_text_is_ordinary_base64() {
        let mut bytes = [0xfb; SIZE];
        bytes[31] = 0x01;
        let text = Key::new(bytes, SourceKind::File).text();
        assert_eq!(*text, "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+wE=");
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        for held in
            [b"".as_slice(), b"password", b"+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+wE==", &[b'!'; 43], &[0; 31], &[0; 33]]
        {
            assert!(Key::read(held, SourceKind::File).is_none(), "{held:?}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::new([0x61; SIZE], SourceKind::File);
        assert_eq!(format!("{key:?}"), "Key([redacted], file)");
    }
}
