//! Text that every codec writes or checks alike: bounded error lines, JSON strings, control characters.
use crate::{Malformed, Reply};
use alloc::{format, string::String, vec::Vec};
use core::str::FromStr;
use zeroize::Zeroizing;

/// The largest request that is read, in bytes.
pub(crate) const MAX_REQUEST: usize = 1 << 20;

/// The most of a message that is written, in bytes. With its end it stays under 4 KiB: some callers drain standard error only
/// after the helper has ended.
const MAX_MESSAGE: usize = 4000;

/// Returns the reply that says nothing at all.
pub(crate) fn silence(exit_code: u8) -> Reply {
    Reply { stdout: Zeroizing::new(Vec::new()), stderr: Vec::new(), exit_code }
}

/// Returns the reply with `stdout` and nothing on standard error.
pub(crate) fn output(stdout: impl Into<Vec<u8>>, exit_code: u8) -> Reply {
    Reply { stdout: Zeroizing::new(stdout.into()), stderr: Vec::new(), exit_code }
}

/// Returns the reply with `message` on standard error and nothing on standard output.
pub(crate) fn complaint(message: &str, exit_code: u8) -> Reply {
    Reply { stdout: Zeroizing::new(Vec::new()), stderr: bounded(message).into_bytes(), exit_code }
}

/// Returns `message` with one final newline, cut where it would pass 4 KiB.
pub(crate) fn bounded(message: &str) -> String {
    let message = message.trim_end_matches('\n');
    if message.len() <= MAX_MESSAGE {
        return format!("{message}\n");
    }
    let end = (0..=MAX_MESSAGE).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    format!("{}…\n", &message[..end])
}

/// Refuses a request that is longer than [`MAX_REQUEST`].
pub(crate) fn check_length(stdin: &[u8]) -> Result<(), Malformed> {
    if stdin.len() > MAX_REQUEST { Err(Malformed::new("the request is longer than 1 MiB")) } else { Ok(()) }
}

/// Returns whether a line-based caller would take `value` for more or less than one value.
pub(crate) fn breaks_lines(value: &str) -> bool {
    value.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | 0))
}

/// Returns whether `value` holds a control character: C0, DEL or C1.
pub(crate) fn has_control(value: &str) -> bool {
    value.chars().any(char::is_control)
}

/// Reads a number of decimal digits alone, as `parse` does without its sign.
pub(crate) fn number<T: FromStr>(value: &str) -> Option<T> {
    if value.bytes().all(|byte| byte.is_ascii_digit()) { value.parse().ok() } else { None }
}

/// Collects JSON in one buffer that is wiped when dropped and never moved while it grows, so no copy of a secret stays behind.
pub(crate) struct Json(Zeroizing<Vec<u8>>);

impl Json {
    /// Starts an object with room for members whose names and values have `text` bytes together and number `members`.
    pub(crate) fn object(text: usize, members: usize) -> Self {
        // A byte grows to six at most (`\u0000`); a member needs four quotes, a colon and a comma.
        let mut buffer = Vec::with_capacity(text * 6 + members * 6 + 16);
        buffer.push(b'{');
        Self(Zeroizing::new(buffer))
    }

    /// Adds a member with a string value.
    pub(crate) fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    /// Adds a member with a value of one digit.
    pub(crate) fn digit(&mut self, name: &str, value: u8) {
        self.name(name);
        self.0.push(b'0' + value % 10);
    }

    /// Ends the object and its line.
    pub(crate) fn finish(mut self) -> Reply {
        self.0.extend_from_slice(b"}\n");
        Reply { stdout: self.0, stderr: Vec::new(), exit_code: 0 }
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.quoted(name);
        self.0.push(b':');
    }

    fn quoted(&mut self, value: &str) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.0.push(b'"');
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                0..=0x1f => self.0.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]),
                _ => self.0.push(byte),
            }
        }
        self.0.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_long_message_is_cut_between_characters_and_stays_under_4_kib() {
        for message in ["x".repeat(100_000), "é".repeat(100_000), "日".repeat(100_000)] {
            let text = bounded(&message);
            assert!(text.len() < 4096 && text.ends_with("…\n"), "{}", text.len());
        }
        assert_eq!(bounded("as it is\n"), "as it is\n");
    }

    #[test]
    fn every_string_comes_out_of_json_as_it_went_in() {
        let value: String =
            (0..=0x250).filter_map(char::from_u32).chain("\"\\\u{2028}\u{10ffff}".chars()).chain(['\u{1}'; 5000]).collect();
        let mut json = Json::object("name".len() + value.len(), 1);
        let capacity = json.0.capacity();
        json.string("name", &value);
        let reply = json.finish();
        assert_eq!(reply.stdout.capacity(), capacity, "the buffer was moved");
        let read: serde_json::Value = serde_json::from_slice(&reply.stdout).unwrap();
        assert_eq!(read["name"].as_str().unwrap().to_string(), value);
    }
}
