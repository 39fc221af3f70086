//! Reads one request to the listener, as much of it as comes in time.
use super::request::{LARGEST, Stray};
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The longest that one request may take to arrive.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How much is read at once, in bytes.
const PART: usize = 1024;

/// As much of a request as has come.
pub(super) struct Arrival {
    begun: Instant,
    bytes: Zeroizing<Vec<u8>>,
    /// Where the head ends; none where it is too large.
    end: Option<usize>,
}

impl Arrival {
    /// Reads a request up to its blank line; `spoken` is called at its first byte. None where it does not come whole, or not in time.
    pub(super) fn read(stream: &TcpStream, spoken: impl FnOnce()) -> Option<Self> {
        let mut this = Self { begun: Instant::now(), bytes: Zeroizing::new(Vec::with_capacity(LARGEST + PART)), end: None };
        this.receive(stream)?;
        spoken();
        let mut searched = 0_usize;
        loop {
            let found = this.bytes[searched..].windows(4).position(|window| window == b"\r\n\r\n");
            this.end = found.map(|place| searched + place + 4).filter(|end| *end <= LARGEST);
            if found.is_some() || this.bytes.len() > LARGEST {
                return Some(this);
            }
            searched = this.bytes.len().saturating_sub(3);
            this.receive(stream)?;
        }
    }

    pub(super) fn head(&self) -> Option<&[u8]> {
        self.end.map(|end| &self.bytes[..end])
    }

    /// Returns how many bytes the head has; none where it is too large.
    pub(super) fn head_length(&self) -> usize {
        self.end.unwrap_or_default()
    }

    /// Reads the body of `length` bytes behind the head, `most` of them.
    pub(super) fn read_body(&self, length: usize, most: usize, stream: &TcpStream) -> Result<Zeroizing<Vec<u8>>, Stray> {
        if length > most {
            return Err(Stray::TooLarge);
        }
        let come = &self.bytes[self.head_length()..];
        let mut body = Zeroizing::new(vec![0; length]);
        let mut filled = come.len().min(length);
        body[..filled].copy_from_slice(&come[..filled]);
        while filled < length {
            filled += read_before(stream, self.begun + PATIENCE, &mut body[filled..]).ok_or(Stray::OtherState)?;
        }
        Ok(body)
    }

    fn receive(&mut self, stream: &TcpStream) -> Option<()> {
        let mut part = Zeroizing::new([0; PART]);
        let count = read_before(stream, self.begun + PATIENCE, &mut *part)?;
        self.bytes.extend_from_slice(&part[..count]);
        Some(())
    }
}

/// Reads at least one byte before `deadline`.
pub(super) fn read_before(mut stream: &TcpStream, deadline: Instant, part: &mut [u8]) -> Option<usize> {
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    stream.set_read_timeout(Some(left)).ok()?;
    stream.read(part).ok().filter(|count| *count > 0)
}
