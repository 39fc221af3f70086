//! One line typed unseen at the controlling terminal of a Unix process. Whatever signal comes, the terminal shows what is typed again.
use super::{HiddenInputError, signals::empty_set};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    mem::MaybeUninit,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};
use zeroize::Zeroizing;

/// The signals that end a process.
const ENDING: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
/// The signals that stop a process until it is continued.
const STOPPING: [libc::c_int; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
/// How long it takes at most until a key or a signal is noticed. Not every system can wait for its terminal device otherwise.
const GLANCE: Duration = Duration::from_millis(30);

/// The signals that came, one bit each: the numbers of all of them are below 32.
static CAME: AtomicU32 = AtomicU32::new(0);

/// Shows `question` on the controlling terminal and returns the line that is typed there, without its end. It is not shown, and what was
/// typed ahead does not count.
///
/// Ctrl-C and its like take effect as if nothing had been asked, after the terminal was put back; where they are caught, this is
/// [`HiddenInputError::Interrupted`]. After Ctrl-Z and a return to the foreground the question comes again.
///
/// # Errors
/// See [`HiddenInputError`]; what was typed beyond `limit` bytes is thrown away.
pub(crate) fn read_hidden(question: &str, limit: usize) -> Result<Zeroizing<Vec<u8>>, HiddenInputError> {
    // opened anew, so that not to wait is a property of this descriptor and not of the person's shell
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open("/dev/tty")
        .map_err(|_| HiddenInputError::NoTerminal)?;
    loop {
        if !is_ours(&terminal) {
            return Err(HiddenInputError::Background);
        }
        let typed = attempt(&terminal, question, limit);
        // now that the terminal and what signals do are as they were
        let came = CAME.swap(0, Ordering::SeqCst);
        let came = |signal: &libc::c_int| came & (1 << *signal) != 0;
        for signal in ENDING.into_iter().chain(STOPPING).filter(came) {
            // SAFETY: the calls take numbers.
            unsafe { libc::kill(libc::getpid(), signal) };
        }
        match typed? {
            _ if ENDING.iter().any(came) => return Err(HiddenInputError::Interrupted),
            Some(line) => return Ok(line),
            None => {}
        }
    }
}

/// Asks once; `None` if a signal came first.
fn attempt(terminal: &File, question: &str, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, HiddenInputError> {
    let _noted = Noted::begin();
    // given up first, so that no signal comes between
    let unseen = Unseen::begin(terminal).map_err(HiddenInputError::Failed)?;
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
fn wait_after(error: io::Error) -> Result<(), HiddenInputError> {
    match error.kind() {
        io::ErrorKind::WouldBlock => thread::sleep(GLANCE),
        io::ErrorKind::Interrupted => {}
        _ => return Err(HiddenInputError::Failed(error)),
    }
    Ok(())
}

fn signal_came() -> bool {
    CAME.load(Ordering::SeqCst) != 0
}

/// Whether this process belongs to the job that the terminal is given to; others may neither read it nor change how it behaves.
fn is_ours(terminal: &File) -> bool {
    // SAFETY: the descriptor is open.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) == libc::getpgrp() }
}

/// While this lives, what is typed is not shown.
struct Unseen<'a> {
    terminal: &'a File,
    before: libc::termios,
}

impl<'a> Unseen<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: the descriptor is open, and the call fills the structure or fails.
        let before = unsafe {
            if libc::tcgetattr(terminal.as_raw_fd(), before.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            before.assume_init()
        };
        let this = Self { terminal, before };
        let mut unseen = before;
        unseen.c_lflag &= !libc::ECHO;
        // whole lines, Ctrl-C as a signal, and the end of the line alone is seen
        unseen.c_lflag |= libc::ICANON | libc::ISIG | libc::ECHONL;
        unseen.c_iflag |= libc::ICRNL;
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
    fn discard(&self) {
        // SAFETY: the descriptor is open.
        unsafe { libc::tcflush(self.terminal.as_raw_fd(), libc::TCIFLUSH) };
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        // a shell that took the terminal back has its own settings by now
        if is_ours(self.terminal) {
            let _ = self.set(&self.before);
        }
    }
}

/// While this lives, signals that would end or stop the process are noted in [`CAME`] instead; those that are ignored stay so.
struct Noted([(libc::c_int, Option<libc::sigaction>); ENDING.len() + STOPPING.len()]);

impl Noted {
    fn begin() -> Self {
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
