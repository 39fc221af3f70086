//! A long line that is pasted or typed unseen at the controlling terminal of a Unix process, which does other things meanwhile.
use super::{
    HiddenInputError, Pasted,
    hidden_input::{Noted, Turn, Unseen, future_turn, is_ours, signal_came, wait_after},
};
use std::{
    fs::File,
    io::{self, Read, Write},
    thread,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// How long a terminal is waited for that is about to hand over more. Not every system can wait for its terminal device otherwise.
const SOON: Duration = Duration::from_millis(20);
const GLANCE: Duration = Duration::from_millis(2);
/// How long a turn that was waited for is held before it is used: what the one before brought may have ended the waiting.
const SETTLED: Duration = Duration::from_millis(500);
/// The longest that one look may take.
const LOOK: Duration = Duration::from_millis(500);

/// The wish to have a line pasted at the controlling terminal. Of the processes that have it there, one at a time asks.
///
/// While it does, it has the terminal hide what is typed and hand it over at once, for as a whole line the system takes 4095 bytes. When
/// this is dropped the terminal is as before, what was not read is thrown away, and signals that came meanwhile do what they do.
#[derive(Debug)]
pub(crate) struct Pasting {
    /// First, so that the terminal is as it was before others may ask.
    asking: Option<Asking>,
    turn: Turn,
    /// The turn was waited for, and since when it is held.
    waited: bool,
    since: Option<Instant>,
    line: Zeroizing<Vec<u8>>,
    is_too_long: bool,
}

/// The terminal, as long as it is this process that asks.
struct Asking {
    /// First, so that no signal comes between.
    unseen: Unseen,
    _noted: Noted,
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asking")
    }
}

/// What the bytes so far come to.
enum Typed {
    Part,
    Line,
    Ended,
}

impl Pasting {
    /// Prepares to ask; takes turns by `lock` as [`super::take_turn`] does.
    ///
    /// # Errors
    /// [`HiddenInputError::NoTerminal`].
    pub(crate) fn begin(lock: Option<File>) -> Result<Self, HiddenInputError> {
        Ok(Self {
            asking: None,
            turn: future_turn(lock)?,
            waited: false,
            since: None,
            line: Zeroizing::new(Vec::new()),
            is_too_long: false,
        })
    }

    /// Looks what was pasted since the last look, without waiting for more. Shows `question` where it is not there yet, after Ctrl-Z and a
    /// return to the foreground again; a line of more than `limit` bytes is thrown away.
    ///
    /// A signal that would end or stop this process does so in here, after the terminal was put back.
    pub(crate) fn look(&mut self, question: &str, limit: usize) -> Pasted {
        if self.asking.is_some() && signal_came() {
            self.stop();
            return Pasted::Nothing;
        }
        if !is_ours(&self.turn.terminal) {
            self.give_up();
            return Pasted::NotHere;
        }
        if self.asking.is_none() {
            if !self.turn.lock(true) {
                self.waited = true;
                return Pasted::NotHere;
            }
            if self.waited && self.since.get_or_insert_with(Instant::now).elapsed() < SETTLED {
                return Pasted::Nothing;
            }
            return if self.ask(question).is_ok() { Pasted::Asked } else { Pasted::NotHere };
        }
        self.read(limit).unwrap_or(Pasted::NotHere)
    }

    fn ask(&mut self, question: &str) -> io::Result<()> {
        let noted = Noted::begin();
        match Unseen::begin(&self.turn.terminal, false) {
            Ok(unseen) => self.asking = Some(Asking { unseen, _noted: noted }),
            Err(error) => {
                drop(noted);
                self.turn.obey();
                return Err(error);
            }
        }
        self.forget();
        self.write(question.as_bytes());
        Ok(())
    }

    /// Writes `text` behind the question, as while this asks.
    pub(crate) fn say(&self, text: &str) {
        self.write(text.as_bytes());
    }

    /// Writes to the terminal; a person who has stopped its output holds nobody up.
    fn write(&self, mut text: &[u8]) {
        let begun = Instant::now();
        while !text.is_empty() && begun.elapsed() < LOOK {
            match (&self.turn.terminal).write(text) {
                Ok(count) => text = &text[count..],
                Err(error) => {
                    if wait_after(error).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn read(&mut self, limit: usize) -> io::Result<Pasted> {
        let begun = Instant::now();
        let mut part = Zeroizing::new([0; 4096]);
        while begun.elapsed() < LOOK && !signal_came() {
            // a long text comes in parts
            let patience = if self.line.is_empty() { Duration::ZERO } else { SOON };
            let count = match self.read_within(&mut part[..], patience)? {
                None => break,
                Some(0) => return Ok(Pasted::NotHere),
                Some(count) => count,
            };
            match self.take(&part[..count], limit) {
                Typed::Part => {}
                Typed::Ended => return Ok(Pasted::Ended),
                Typed::Line => {
                    self.drain()?;
                    let line = std::mem::replace(&mut self.line, Zeroizing::new(Vec::new()));
                    let is_too_long = std::mem::take(&mut self.is_too_long);
                    return Ok(if is_too_long { Pasted::TooLong } else { Pasted::Line(line) });
                }
            }
        }
        Ok(Pasted::Nothing)
    }

    /// Does with `bytes` what the system does with a whole line: the keys that erase do, Enter ends it, and Ctrl-D where it is empty.
    fn take(&mut self, bytes: &[u8], limit: usize) -> Typed {
        let keys = self.asking.as_ref().map(|asking| asking.unseen.before.c_cc);
        let is = |byte: u8, key: usize| keys.is_some_and(|keys| keys[key] == byte && byte != 0);
        for byte in bytes.iter().copied() {
            if byte == b'\n' || byte == b'\r' {
                return Typed::Line;
            }
            if is(byte, libc::VEOF) {
                if self.line.is_empty() {
                    return Typed::Ended;
                }
            } else if is(byte, libc::VERASE) || byte == 0x7f || byte == 0x08 {
                while self.line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            } else if is(byte, libc::VKILL) {
                self.forget();
            } else if self.line.len() < limit {
                if self.line.capacity() == 0 {
                    // all of it at once, so that growing leaves no copy behind
                    self.line.reserve_exact(limit);
                }
                self.line.push(byte);
            } else {
                self.is_too_long = true;
            }
        }
        Typed::Part
    }

    /// Throws away what comes behind the line: of several that are pasted at once, one counts.
    fn drain(&self) -> io::Result<()> {
        let begun = Instant::now();
        let mut part = Zeroizing::new([0; 4096]);
        while begun.elapsed() < LOOK && self.read_within(&mut part[..], SOON)?.is_some_and(|count| count > 0) {}
        Ok(())
    }

    /// Reads what comes within `patience`; `None` where nothing does.
    fn read_within(&self, part: &mut [u8], patience: Duration) -> io::Result<Option<usize>> {
        let begun = Instant::now();
        loop {
            match (&self.turn.terminal).read(part) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if begun.elapsed() >= patience => return Ok(None),
                Err(_) => thread::sleep(GLANCE),
            }
        }
    }

    fn forget(&mut self) {
        self.line = Zeroizing::new(Vec::new());
        self.is_too_long = false;
    }

    /// Asks no more. Nobody else does at this terminal, until this is dropped.
    pub(crate) fn rest(&mut self) {
        self.stop();
    }

    /// Puts the terminal back, and has the signals that came do what they do.
    fn stop(&mut self) {
        let Some(asking) = self.asking.take() else { return };
        if is_ours(&self.turn.terminal) {
            asking.unseen.discard();
        }
        drop(asking);
        self.forget();
        self.turn.obey();
    }

    /// Leaves the terminal, which somebody else has now.
    fn give_up(&mut self) {
        self.stop();
        self.since = None;
        self.turn.lock(false);
    }
}

impl Drop for Pasting {
    fn drop(&mut self) {
        self.stop();
    }
}
