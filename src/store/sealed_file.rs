//! The format of a sealed file: a clear header, then XChaCha20-Poly1305. Pure: bytes in, bytes out.
//!
//! `KFB1`, version (1 byte), key source (1), key id (8), generation (8, big-endian), length of what follows the header (4, big-endian),
//! nonce (24), ciphertext, tag (16). What is sealed ends with one byte: 1 after a payload, 0 alone as a tombstone. The whole header, the
//! record's id and what the file is to the record are authenticated, so neither an edit nor a swap opens.
use super::{
    RecordId,
    key::{Key, KeyId},
};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::AeadInOut};
use ring::hkdf;
use std::fmt;
use zeroize::Zeroizing;

const MAGIC: &[u8; 4] = b"KFB1";
const VERSION: u8 = 1;
const HEADER: usize = 4 + 1 + 1 + 8 + 8 + 4 + 24;
const TAG: usize = 16;
const PAYLOAD: u8 = 1;
const TOMBSTONE: u8 = 0;

/// How many bytes a sealed file has beyond its payload.
pub(super) const OVERHEAD: usize = HEADER + 1 + TAG;

pub(super) type Nonce = [u8; 24];

/// Why a file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its bytes are not what was written as this file.
    Damaged(&'static str),
    /// It was sealed with another key.
    AnotherKey,
    /// It was written by a newer keyfob, in the format of this number.
    Newer(u8),
}

/// The part of a file that can be read without the key; nothing of it is certain before the file has been opened.
struct Header {
    key_id: KeyId,
    generation: u64,
    length: usize,
    nonce: Nonce,
}

/// A file that opened.
pub(super) struct Opened {
    pub(super) generation: u64,
    /// `None` is a tombstone.
    pub(super) payload: Option<Zeroizing<Vec<u8>>>,
    /// How many of the given bytes the file is.
    pub(super) length: usize,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// What a sealed file is bound to.
#[derive(Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) key: &'a Key,
    pub(super) machine: &'a str,
    pub(super) user: u32,
    pub(super) id: &'a RecordId,
    /// What the file is to the record: the record itself, or one of its notes.
    pub(super) role: &'a str,
}

impl Binding<'_> {
    fn cipher(&self) -> XChaCha20Poly1305 {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, self.machine.as_bytes());
        let mut file_key = Zeroizing::new([0; 32]);
        salt.extract(self.key.bytes())
            .expand(&[b"keyfob record", &self.user.to_be_bytes(), &self.id.0], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut *file_key))
            .expect("one block of output is asked for");
        XChaCha20Poly1305::new((&*file_key).into())
    }

    fn associated(&self, header: &[u8]) -> Vec<u8> {
        [header, &self.id.0, self.role.as_bytes()].concat()
    }
}

/// Seals `payload`, or a tombstone where there is none.
pub(super) fn seal(binding: Binding<'_>, generation: u64, nonce: &Nonce, payload: Option<&[u8]>) -> Vec<u8> {
    let text = payload.unwrap_or_default();
    let length = text.len() + 1 + TAG;
    let mut file = Vec::with_capacity(HEADER + length);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&[VERSION, binding.key.source_byte()]);
    file.extend_from_slice(&binding.key.id());
    file.extend_from_slice(&generation.to_be_bytes());
    file.extend_from_slice(&u32::try_from(length).expect("a payload is less than a slot").to_be_bytes());
    file.extend_from_slice(nonce);
    let mut body = Zeroizing::new(Vec::with_capacity(length));
    body.extend_from_slice(text);
    body.push(if payload.is_some() { PAYLOAD } else { TOMBSTONE });
    binding
        .cipher()
        .encrypt_in_place(&XNonce::from(*nonce), &binding.associated(&file), &mut *body)
        .expect("a payload is less than the cipher's limit");
    file.extend_from_slice(&body);
    file
}

/// Opens the file at the beginning of `bytes`, which may go on after it.
pub(super) fn open_first(binding: Binding<'_>, bytes: &[u8]) -> Result<Opened, Refusal> {
    let header = header(bytes)?;
    if header.key_id != binding.key.id() {
        return Err(Refusal::AnotherKey);
    }
    let end = HEADER.checked_add(header.length).filter(|end| *end <= bytes.len()).ok_or(Refusal::Damaged("it is cut short"))?;
    let mut body = Zeroizing::new(bytes[HEADER..end].to_vec());
    binding
        .cipher()
        .decrypt_in_place(&XNonce::from(header.nonce), &binding.associated(&bytes[..HEADER]), &mut *body)
        .map_err(|_| Refusal::Damaged("its seal is broken"))?;
    let payload = match body.pop() {
        Some(PAYLOAD) => Some(body),
        Some(TOMBSTONE) if body.is_empty() => None,
        _ => return Err(Refusal::Damaged("what is sealed in it makes no sense")),
    };
    Ok(Opened { generation: header.generation, payload, length: end })
}

/// Opens the file that `bytes` are.
pub(super) fn open(binding: Binding<'_>, bytes: &[u8]) -> Result<Opened, Refusal> {
    match open_first(binding, bytes)? {
        opened if opened.length == bytes.len() => Ok(opened),
        _ => Err(Refusal::Damaged("something was added to it")),
    }
}

/// Returns the generation that the header claims; 0 where there is none.
pub(super) fn claimed_generation(bytes: &[u8]) -> u64 {
    header(bytes).map_or(0, |header| header.generation)
}

fn header(bytes: &[u8]) -> Result<Header, Refusal> {
    let mut rest = bytes;
    if *part::<4>(&mut rest)? != *MAGIC {
        return Err(Refusal::Damaged("it does not begin as a record does"));
    }
    let [version, _source] = *part::<2>(&mut rest)?;
    if version > VERSION {
        return Err(Refusal::Newer(version));
    }
    if version < VERSION {
        return Err(Refusal::Damaged("there is no such version"));
    }
    let key_id = *part(&mut rest)?;
    let generation = u64::from_be_bytes(*part(&mut rest)?);
    let length = usize::try_from(u32::from_be_bytes(*part(&mut rest)?)).map_err(|_| Refusal::Damaged("its length is wrong"))?;
    Ok(Header { key_id, generation, length, nonce: *part(&mut rest)? })
}

fn part<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Refusal> {
    let (first, others) = rest.split_first_chunk().ok_or(Refusal::Damaged("it is cut short"))?;
    *rest = others;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SourceKind;

    const ID: RecordId = RecordId([7; 16]);
    const NONCE: Nonce = [9; 24];

    fn key(byte: u8) -> Key {
        Key::new([byte; 32], SourceKind::File)
    }

    fn binding(key: &Key) -> Binding<'_> {
        Binding { key, machine: "machine", user: 1000, id: &ID, role: "record" }
    }

    #[test]
    fn what_was_sealed_opens_as_it_was() {
        let key = key(1);
        for payload in [Some(b"".as_slice()), Some(b"token"), Some(&[0; 48 * 1024]), None] {
            let sealed = seal(binding(&key), 42, &NONCE, payload);
            assert_eq!(sealed.len(), payload.map_or(0, <[u8]>::len) + OVERHEAD);
            let opened = open(binding(&key), &sealed).unwrap();
            assert_eq!(opened.generation, 42);
            assert_eq!(opened.payload.as_deref().map(Vec::as_slice), payload);
        }
    }

    #[test]
    fn no_single_byte_can_be_changed_and_nothing_left_out_or_added() {
        let key = key(1);
        let sealed = seal(binding(&key), 42, &NONCE, Some(b"token"));
        for place in 0..sealed.len() {
            let mut edited = sealed.clone();
            edited[place] ^= 1;
            let refusal = open(binding(&key), &edited).unwrap_err();
            match place {
                4 => assert_eq!(refusal, Refusal::Damaged("there is no such version")),
                6..14 => assert_eq!(refusal, Refusal::AnotherKey, "{place}"),
                _ => assert!(matches!(refusal, Refusal::Damaged(_)), "{place}"),
            }
            assert!(matches!(open(binding(&key), &sealed[..place]).unwrap_err(), Refusal::Damaged(_)), "cut at {place}");
        }
        let longer = [sealed.as_slice(), b"x"].concat();
        assert_eq!(open(binding(&key), &longer).unwrap_err(), Refusal::Damaged("something was added to it"));
        assert_eq!(open_first(binding(&key), &longer).unwrap().length, sealed.len());
    }

    #[test]
    fn a_file_opens_only_as_what_it_was_sealed_for() {
        let (ours, other) = (key(1), key(2));
        let sealed = seal(binding(&ours), 1, &NONCE, Some(b"token"));
        assert_eq!(open(binding(&other), &sealed).unwrap_err(), Refusal::AnotherKey);
        let broken = Refusal::Damaged("its seal is broken");
        let neighbour = RecordId([8; 16]);
        assert_eq!(open(Binding { id: &neighbour, ..binding(&ours) }, &sealed).unwrap_err(), broken);
        assert_eq!(open(Binding { machine: "another", ..binding(&ours) }, &sealed).unwrap_err(), broken);
        assert_eq!(open(Binding { user: 1001, ..binding(&ours) }, &sealed).unwrap_err(), broken);
        assert_eq!(open(Binding { role: "failed", ..binding(&ours) }, &sealed).unwrap_err(), broken);
    }

    #[test]
    fn no_two_records_machines_or_users_share_a_cipher_key() {
        let key = key(1);
        let body = |binding| seal(binding, 1, &NONCE, Some(b"token"))[HEADER..HEADER + 5].to_vec();
        let ours = body(binding(&key));
        assert_ne!(body(Binding { id: &RecordId([8; 16]), ..binding(&key) }), ours);
        assert_ne!(body(Binding { machine: "another", ..binding(&key) }), ours);
        assert_ne!(body(Binding { user: 1001, ..binding(&key) }), ours);
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let key = key(1);
        let mut sealed = seal(binding(&key), 1, &NONCE, None);
        sealed[4] = 2;
        assert_eq!(open(binding(&key), &sealed).unwrap_err(), Refusal::Newer(2));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let key = key(1);
        let mut seed = 1_u32;
        for length in 0..400 {
            let mut bytes: Vec<u8> = (0..length)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    seed.to_be_bytes()[0]
                })
                .collect();
            assert!(open(binding(&key), &bytes).is_err());
            let start = seal(binding(&key), 1, &NONCE, Some(b"x"));
            let shared = bytes.len().min(14);
            bytes[..shared].copy_from_slice(&start[..shared]);
            assert!(open(binding(&key), &bytes).is_err());
        }
    }
}
