//! One line typed unseen at the controlling terminal of a Unix process. Whatever signal comes, the terminal shows what is typed again.
use super::{HiddenInputError, signals::empty_set};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// The signals that end a process.
const ENDING: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
/// The signals that stop a process until it is continued.
const STOPPING: [libc::c_int; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
/// How long it takes at most until a key or a signal is noticed. Not every system can wait for its terminal device otherwise.
const GLANCE: Duration = Duration::from_millis(30);
/// How long another process may be asking at the same terminal.
const PATIENCE: Duration = Duration::from_secs(300);

/// The signals that came, one bit each: the numbers of all of them are below 32.
static CAME: AtomicU32 = AtomicU32::new(0);

/// The right to ask at the controlling terminal, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(super) terminal: File,
    /// The file that the terminal has a byte of, and where; without it others may ask meanwhile.
    lock: Option<(File, i64)>,
}

/// Takes the right to ask at the controlling terminal, by a lock on the byte of `lock` that stands for it, waiting at most five minutes.
/// Other terminals have other bytes. Ctrl-C and its like take effect meanwhile as in [`Turn::read_hidden`].
///
/// No other copy of `lock`'s file may be closed in this process while the result lives.
///
/// # Errors
/// See [`HiddenInputError`].
pub(crate) fn take_turn(lock: Option<File>) -> Result<Turn, HiddenInputError> {
    let turn = future_turn(lock)?;
    turn.wait()?;
    Ok(turn)
}

/// Returns what is [`take_turn`]'s without having the right yet.
pub(super) fn future_turn(lock: Option<File>) -> Result<Turn, HiddenInputError> {
    // opened anew, so that not to wait is a property of this descriptor and not of the person's shell
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open("/dev/tty")
        .map_err(|_| HiddenInputError::NoTerminal)?;
    Ok(Turn { terminal, lock: lock.map(|file| (file, byte_of_terminal())) })
}

impl Turn {
    /// Shows `question` on the controlling terminal and returns the line that is typed there, without its end. It is not shown, and what
    /// was typed ahead does not count.
    ///
    /// Ctrl-C and its like take effect as if nothing had been asked, after the terminal was put back; where they are caught, this is
    /// [`HiddenInputError::Interrupted`]. After Ctrl-Z and a return to the foreground the question comes again; meanwhile others may ask.
    ///
    /// # Errors
    /// See [`HiddenInputError`]; what was typed beyond `limit` bytes is thrown away.
    pub(crate) fn read_hidden(&self, question: &str, limit: usize) -> Result<Zeroizing<Vec<u8>>, HiddenInputError> {
        loop {
            if !is_ours(&self.terminal) {
                return Err(HiddenInputError::Background);
            }
            if let Some(line) = self.unless_signalled(|| attempt(&self.terminal, question, limit))? {
                return Ok(line);
            }
            self.wait()?;
        }
    }

    /// Waits until nobody else asks at this terminal.
    fn wait(&self) -> Result<(), HiddenInputError> {
        let begun = Instant::now();
        let attempt = || {
            let _noted = Noted::begin();
            while !signal_came() {
                if !is_ours(&self.terminal) {
                    return Err(HiddenInputError::Background);
                }
                if self.lock(true) {
                    return Ok(Some(()));
                }
                if begun.elapsed() > PATIENCE {
                    return Err(HiddenInputError::Busy);
                }
                thread::sleep(GLANCE);
            }
            Ok(None)
        };
        while self.unless_signalled(attempt)?.is_none() {}
        Ok(())
    }

    /// Makes `attempt`, which notes signals and gives up with `None` when one comes, and then has them do what they do.
    fn unless_signalled<T>(
        &self,
        attempt: impl FnOnce() -> Result<Option<T>, HiddenInputError>,
    ) -> Result<Option<T>, HiddenInputError> {
        let outcome = attempt();
        let (ends, stops) = self.obey();
        let outcome = outcome?;
        if ends {
            return Err(HiddenInputError::Interrupted);
        }
        // what was got as the signal came is kept, and so is the turn, which the next line may need
        if stops && outcome.is_some() {
            self.wait()?;
        }
        Ok(outcome)
    }

    /// Has the signals that were noted do what they do, now that the terminal and what signals do are as they were; tells whether one was
    /// to end, and one to stop this process.
    pub(super) fn obey(&self) -> (bool, bool) {
        let came = CAME.swap(0, Ordering::SeqCst);
        let came = |signal: &libc::c_int| came & (1 << *signal) != 0;
        let stops = STOPPING.iter().any(came);
        if stops {
            // who is stopped keeps nobody waiting
            self.lock(false);
        }
        for signal in ENDING.into_iter().chain(STOPPING).filter(came) {
            // SAFETY: the calls take numbers.
            unsafe { libc::kill(libc::getpid(), signal) };
        }
        (ENDING.iter().any(came), stops)
    }

    /// Takes or gives up the terminal's byte; false where somebody else has it. Where there are no locks, it is had.
    #[allow(clippy::cast_possible_truncation, reason = "the kinds of locks are below 4, and their type differs by system")]
    pub(super) fn lock(&self, take: bool) -> bool {
        let Some((file, byte)) = &self.lock else { return true };
        // SAFETY: all zeroes is a valid `flock` that counts from the file's start, and it lives through the call; the descriptor is open.
        let done = unsafe {
            let mut range: libc::flock = MaybeUninit::zeroed().assume_init();
            range.l_type = if take { libc::F_WRLCK } else { libc::F_UNLCK } as libc::c_short;
            range.l_start = *byte as libc::off_t;
            range.l_len = 1;
            libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const range)
        };
        done == 0 || !matches!(io::Error::last_os_error().raw_os_error(), Some(libc::EACCES | libc::EAGAIN))
    }
}

/// Returns the byte that stands for the controlling terminal: by the session, which has one terminal and is the only one that has it.
/// The terminal's own device cannot be opened by everybody who may use it, and `/dev/tty` is one file for all.
fn byte_of_terminal() -> i64 {
    // SAFETY: the call takes a number.
    let session = unsafe { libc::getsid(0) };
    // containers that share a folder count their processes each by themselves; a number of 32 bits, before one of 22
    let namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino());
    i64::try_from(namespace & 0xffff_ffff).unwrap_or(0) << 22 | i64::from(session)
}

/// Asks once; `None` if a signal came first.
fn attempt(terminal: &File, question: &str, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, HiddenInputError> {
    let _noted = Noted::begin();
    // given up first, so that no signal comes between
    let unseen = Unseen::begin(terminal, true).map_err(HiddenInputError::Failed)?;
    let mut terminal = terminal;
    let mut question = question.as_bytes();
    while !question.is_empty() && !signal_came() {
        match terminal.write(question) {
            Ok(count) => question = &question[count..],
            Err(error) => wait_after(error)?,
        }
    }
    let mut line = Zeroizing::new(vec![0; limit.saturating_add(2)]);
    let mut filled = 0;
    while !signal_came() {
        match terminal.read(&mut line[filled..]) {
            Ok(0) => return Err(HiddenInputError::Ended),
            Ok(count) => filled += count,
            Err(error) => wait_after(error)?,
        }
        match line[..filled].iter().position(|byte| *byte == b'\n') {
            Some(end) if end <= limit => {
                line.truncate(end);
                return Ok(Some(line));
            }
            None if filled <= limit => {}
            _ => {
                unseen.discard();
                return Err(HiddenInputError::TooLong);
            }
        }
    }
    // the shell's next line does not begin behind the question
    let _ = terminal.write(b"\n");
    Ok(None)
}

/// Lets some time pass where there is nothing to read or no room to write.
pub(super) fn wait_after(error: io::Error) -> Result<(), HiddenInputError> {
    match error.kind() {
        io::ErrorKind::WouldBlock => thread::sleep(GLANCE),
        io::ErrorKind::Interrupted => {}
        _ => return Err(HiddenInputError::Failed(error)),
    }
    Ok(())
}

pub(super) fn signal_came() -> bool {
    CAME.load(Ordering::SeqCst) != 0
}

/// Whether this process belongs to the job that the terminal is given to; others may neither read it nor change how it behaves.
pub(super) fn is_ours(terminal: &File) -> bool {
    // SAFETY: the descriptor is open.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) == libc::getpgrp() }
}

/// While this lives, what is typed is not shown.
pub(super) struct Unseen {
    terminal: File,
    pub(super) before: libc::termios,
}

impl Unseen {
    /// `whole`: the system edits the line and hands it over when it is whole, which a long one is not.
    pub(super) fn begin(terminal: &File, whole: bool) -> io::Result<Self> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: the descriptor is open, and the call fills the structure or fails.
        let before = unsafe {
            if libc::tcgetattr(terminal.as_raw_fd(), before.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            before.assume_init()
        };
        let this = Self { terminal: terminal.try_clone()?, before };
        let mut unseen = before;
        unseen.c_lflag &= !libc::ECHO;
        // Ctrl-C as a signal
        unseen.c_lflag |= libc::ISIG;
        unseen.c_iflag |= libc::ICRNL;
        if whole {
            // the end of the line alone is seen
            unseen.c_lflag |= libc::ICANON | libc::ECHONL;
        } else {
            unseen.c_lflag &= !libc::ICANON;
            (unseen.c_cc[libc::VMIN], unseen.c_cc[libc::VTIME]) = (1, 0);
        }
        this.set(&unseen)?;
        this.discard();
        Ok(this)
    }

    fn set(&self, settings: &libc::termios) -> io::Result<()> {
        // SAFETY: the descriptor is open and the structure lives through the call.
        match unsafe { libc::tcsetattr(self.terminal.as_raw_fd(), libc::TCSANOW, settings) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Throws away what was typed and not read.
    pub(super) fn discard(&self) {
        // SAFETY: the descriptor is open.
        unsafe { libc::tcflush(self.terminal.as_raw_fd(), libc::TCIFLUSH) };
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // a shell that took the terminal back has its own settings by now
        if is_ours(&self.terminal) {
            let _ = self.set(&self.before);
        }
    }
}

/// While this lives, signals that would end or stop the process are noted in [`CAME`] instead; those that are ignored stay so.
pub(super) struct Noted([(libc::c_int, Option<libc::sigaction>); ENDING.len() + STOPPING.len()]);

impl Noted {
    pub(super) fn begin() -> Self {
        extern "C" fn note(signal: libc::c_int) {
            CAME.fetch_or(1 << signal, Ordering::SeqCst);
        }
        CAME.store(0, Ordering::SeqCst);
        let mut all = [(0, None); ENDING.len() + STOPPING.len()];
        for (place, signal) in all.iter_mut().zip(ENDING.into_iter().chain(STOPPING)) {
            // SAFETY: all zeroes is a valid `sigaction`, the handler only changes an atomic, and everything lives through the calls.
            let before = unsafe {
                let mut before: libc::sigaction = MaybeUninit::zeroed().assume_init();
                libc::sigaction(signal, ptr::null(), &raw mut before);
                if before.sa_sigaction != libc::SIG_IGN {
                    let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
                    action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
                    action.sa_mask = empty_set();
                    libc::sigaction(signal, &raw const action, ptr::null_mut());
                }
                before
            };
            *place = (signal, (before.sa_sigaction != libc::SIG_IGN).then_some(before));
        }
        Self(all)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        for (signal, before) in &self.0 {
            if let Some(before) = before {
                // SAFETY: the structure is what the system returned, and lives through the call.
                unsafe { libc::sigaction(*signal, before, ptr::null_mut()) };
            }
        }
    }
}
