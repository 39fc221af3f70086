//! What differs by system, and the only home of unsafe code: processes, signals, private files, the terminal device, kernel services.
//!
//! Nothing here knows of tokens, configuration or people. Where a system lacks a service, its function says so in its result.
#![allow(unsafe_code, reason = "system calls that the standard library does not offer are made in this folder alone")]

mod defect;
mod private;
mod shared;
mod start;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;
#[cfg(unix)]
mod hidden_input;
#[cfg(unix)]
mod pasting;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
pub(crate) use {hidden_input::take_turn, pasting::Pasting, process::*, signals::*};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;
#[cfg(windows)]
pub(crate) use windows::{
    Pasting, exit_now, harden, make_files_private, on_interrupt, start_browser, start_detached, survive_file_size_limit,
    take_lock_from_stderr, take_stdin, take_turn, termination_pending, undisturbed, wait_readable,
};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod secret_service;
#[cfg(target_os = "linux")]
pub(crate) use {linux::*, secret_service::secret_service};

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::*;

pub(crate) use defect::install_panic_hook;
pub(crate) use private::{Folder, create_private, quoted, read_handed_over, read_private, remove_private, shown};
pub(crate) use shared::{Replaced, SharedFile};
pub(crate) use start::entry;
use std::{
    fs::{File, Metadata},
    io,
    path::Path,
};
pub(crate) use system::{KEYRING_MODIFIERS, effective_uid, machine_id, open_terminal, terminal_size, uptime};

/// Whether a browser that is opened shows up in front of the person: where there is a display, the environment says so instead.
pub(crate) const HAS_DESKTOP: bool = cfg!(any(windows, target_os = "macos"));

/// What kind of thing a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    /// A pipe, a socket or a device.
    Other,
}

/// What the system says about a file.
///
/// Windows has neither owner, mode, device nor inode here: they are those of a private file of ours, because there the access list
/// inherited from the user's profile decides who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) owner: u32,
    /// The permission bits, `0o7777` at most.
    pub(crate) mode: u32,
    pub(crate) links: u64,
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) kind: Kind,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Nanoseconds since the epoch.
    pub(crate) mtime_ns: i128,
    /// Nanoseconds since the epoch.
    pub(crate) ctime_ns: i128,
}

/// How a private file is opened; links are never followed and pipes never waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that does not exist yet, for reading and writing, created for its owner alone.
    New,
    /// As [`How::ReadWrite`], created as by [`How::New`] where it is absent.
    Lock,
}

/// What the desktop's keyring can do for us now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretService {
    /// It answers, and its default collection is open.
    Ready,
    /// It answers, but a person has to unlock it first.
    Locked,
    /// It answers, but has no default collection; making one asks a person.
    Empty,
    /// There is none in this session.
    Absent,
}

/// Why the kernel keyring gave nothing.
#[derive(Debug)]
pub(crate) enum KernelKeyError {
    /// This system has no kernel keyring, or forbids its use here, as containers do.
    Unsupported,
    /// It is there and refused this one call, as when its quota is used up.
    Failed(std::io::Error),
}

/// Why nothing was typed at the terminal unseen.
#[derive(Debug)]
pub(crate) enum HiddenInputError {
    /// There is no controlling terminal.
    NoTerminal,
    /// The terminal is given to another job, which this process must not disturb.
    Background,
    /// Another process has been asking at this terminal all the time.
    Busy,
    /// More was typed than the limit.
    TooLong,
    /// The person ended the input (Ctrl-D).
    Ended,
    /// A signal asked this process to end, and is caught.
    Interrupted,
    /// The system refused, or offers no such input.
    Failed(std::io::Error),
}

/// What a look at a terminal brought at which a line may be pasted.
#[derive(Debug)]
pub(crate) enum Pasted {
    /// Nothing so far.
    Nothing,
    /// The question has just been shown.
    Asked,
    /// The terminal is given to another job, or another process asks there.
    NotHere,
    /// A line, without its end.
    Line(zeroize::Zeroizing<Vec<u8>>),
    /// A line longer than the limit, which is thrown away.
    TooLong,
    /// The person ended the input (Ctrl-D).
    Ended,
}

/// Returns the facts of an open file.
///
/// # Errors
/// Those of the system.
pub(crate) fn facts_of(file: &File) -> io::Result<Facts> {
    again(|| file.metadata()).map(|metadata| system::facts(&metadata))
}

/// Returns the facts of what `path` leads to, through links; `None` where there is nothing.
///
/// # Errors
/// Those of the system.
pub(crate) fn facts_at(path: &Path) -> io::Result<Option<Facts>> {
    present(again(|| std::fs::metadata(path)))
}

/// Returns the facts of `path` itself, be it a link; `None` where there is nothing.
///
/// # Errors
/// Those of the system.
pub(crate) fn link_facts_at(path: &Path) -> io::Result<Option<Facts>> {
    present(again(|| std::fs::symlink_metadata(path)))
}

/// Makes `call` again for as long as a signal interrupts it, which network and user-space file systems let happen to any call.
///
/// # Errors
/// Any other of the system's.
pub(crate) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn present(answer: io::Result<Metadata>) -> io::Result<Option<Facts>> {
    match answer {
        Ok(metadata) => Ok(Some(system::facts(&metadata))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
