//! What the standard library offers on Windows. What it does not offer (signals, pipes that can be polled, a machine's name) is absent
//! here and says so; who may read a file is decided by the access list that the user's profile hands down.
use super::{Facts, HiddenInputError, How, Kind, Pasted};
use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::windows::{
        fs::{MetadataExt, OpenOptionsExt},
        io::AsHandle,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::AtomicBool,
    time::Duration,
};
use zeroize::Zeroizing;

/// The Credential Manager would otherwise carry the item to every machine of the domain.
pub(crate) const KEYRING_MODIFIERS: &[(&str, &str)] = &[("persistence", "Local")];

const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const DETACHED_PROCESS: u32 = 0x0000_0008;
const NEW_PROCESS_GROUP: u32 = 0x0000_0200;
const NO_WINDOW: u32 = 0x0800_0000;

/// Returns 0: users are not numbers here.
pub(crate) fn effective_uid() -> u32 {
    0
}

pub(super) fn facts(metadata: &Metadata) -> Facts {
    let kind = match metadata.file_type() {
        kind if kind.is_symlink() => Kind::Link,
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Folder,
        _ => Kind::Other,
    };
    // the system counts steps of 100 ns since 1601
    let nanoseconds = |steps: u64| (i128::from(steps) - 116_444_736_000_000_000) * 100;
    Facts {
        owner: 0,
        mode: if kind == Kind::Folder { 0o700 } else { 0o600 },
        links: 1,
        size: metadata.file_size(),
        kind,
        device: 0,
        inode: 0,
        mtime_ns: nanoseconds(metadata.last_write_time()),
        ctime_ns: nanoseconds(metadata.creation_time()),
    }
}

/// A folder, in which files are named by their last part.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Finds the folder at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        std::fs::symlink_metadata(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Makes the folder at `path`; one that is there is left as it is.
    pub(super) fn make(path: &Path) -> io::Result<()> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    pub(super) fn facts(&self) -> io::Result<Facts> {
        std::fs::symlink_metadata(&self.0).map(|metadata| facts(&metadata))
    }

    /// Opens the file `name` in this folder; a link is opened itself, not followed.
    pub(super) fn open_at(&self, name: &str, how: How) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OPEN_REPARSE_POINT);
        match how {
            How::Read => &mut options,
            How::ReadWrite => options.write(true),
            How::New => options.write(true).create_new(true),
            How::Lock => options.write(true).create(true).truncate(false),
        }
        .open(self.0.join(name))
    }

    /// Gives the file `from` the name `to`; a file of that name is replaced in one step.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    /// Gives the file `from` the name `to`; that the name is taken is an error, and the file there stays.
    pub(super) fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::hard_link(self.0.join(from), self.0.join(to))?;
        self.remove(from)
    }

    /// Removes the file `name`; that it is absent is an error.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }

    /// Does nothing: a folder cannot be synced here, its file system keeps a journal of names.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the file that a person named for reading.
pub(super) fn open_named(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Whether `error` says that this process has as many files open as it may.
pub(super) fn has_no_descriptor_left(error: &io::Error) -> bool {
    const TOO_MANY_OPEN_FILES: i32 = 4;
    error.raw_os_error() == Some(TOO_MANY_OPEN_FILES)
}

/// Opens the console, for reading and for writing, whatever standard input and output are.
///
/// # Errors
/// Those of the system, above all where there is none.
pub(crate) fn open_terminal() -> io::Result<(File, File)> {
    let open = |name| OpenOptions::new().read(true).write(true).open(name);
    Ok((open("CONIN$")?, open("CONOUT$")?))
}

/// The right to ask at a terminal, which nobody has here.
#[derive(Debug)]
pub(crate) enum Turn {}

/// Refuses, because there is no such input here.
///
/// # Errors
/// [`HiddenInputError::Failed`] with [`io::ErrorKind::Unsupported`] always.
pub(crate) fn take_turn(_: Option<File>) -> Result<Turn, HiddenInputError> {
    Err(HiddenInputError::Failed(io::ErrorKind::Unsupported.into()))
}

impl Turn {
    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub(crate) fn read_hidden(&self, _: &str, _: usize) -> Result<Zeroizing<Vec<u8>>, HiddenInputError> {
        match *self {}
    }
}

/// What reads a line that is pasted, which is not to be had here.
#[derive(Debug)]
pub(crate) enum Pasting {}

impl Pasting {
    /// Refuses, because there is no such input here.
    ///
    /// # Errors
    /// [`HiddenInputError::Failed`] with [`io::ErrorKind::Unsupported`] always.
    pub(crate) fn begin(_: Option<File>) -> Result<Self, HiddenInputError> {
        Err(HiddenInputError::Failed(io::ErrorKind::Unsupported.into()))
    }

    /// Is never called.
    pub(crate) fn look(&mut self, _: &str, _: usize) -> Pasted {
        match *self {}
    }

    /// Is never called.
    pub(crate) fn rest(&mut self) {
        match *self {}
    }

    /// Is never called.
    pub(crate) fn say(&self, _: &str) {
        match *self {}
    }
}

/// Returns `None`: how large a console is takes calls that the standard library does not offer.
pub(crate) fn terminal_size(_: &File) -> Option<(u16, u16)> {
    None
}

/// Returns `None`: the machine's name is in the registry, which the standard library does not read.
pub(crate) fn machine_id() -> Option<String> {
    None
}

/// Returns how long the machine has run, sleep included, in seconds.
pub(crate) fn uptime() -> i64 {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        safe fn GetTickCount64() -> u64;
    }
    i64::try_from(GetTickCount64() / 1000).unwrap_or(0)
}

/// Does nothing: memory is closed to other users already, and the runtime takes care of closed standard handles.
pub(crate) fn harden() {}

/// Does nothing: the access list that a file inherits closes it to everybody else.
pub(crate) fn make_files_private() {}

/// Does nothing: there is no signal for a file that grows too large.
pub(crate) fn survive_file_size_limit() {}

/// Ends the process at once, without waiting for any thread.
#[allow(clippy::exit, reason = "this is where the process ends, on purpose")]
pub(crate) fn exit_now(code: i32) -> ! {
    std::process::exit(code)
}

/// Returns false: nothing can be pending.
pub(crate) fn termination_pending() -> bool {
    false
}

/// Does `work`; Ctrl-C ends the process all the same.
pub(crate) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Gives `file` what another had; here it inherits that from its folder.
pub(super) fn take_after(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Returns a flag that stays false: Ctrl-C ends the process.
pub(crate) fn on_interrupt() -> &'static AtomicBool {
    static NEVER: AtomicBool = AtomicBool::new(false);
    &NEVER
}

/// Starts `command` as a process that outlives us, without a console. `stderr` does not carry a lock here.
///
/// # Errors
/// Those of the system.
pub(crate) fn start_detached(mut command: Command, stdin: Stdio, stdout: Stdio, stderr: File) -> io::Result<Child> {
    command.stdin(stdin).stdout(stdout).stderr(stderr).creation_flags(DETACHED_PROCESS | NEW_PROCESS_GROUP);
    command.spawn()
}

/// Starts `command`, an opener or a browser, so that it holds nothing of ours and shows no console.
///
/// # Errors
/// Those of the system.
pub(crate) fn start_browser(mut command: Command) -> io::Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).creation_flags(NO_WINDOW);
    command.spawn()
}

/// There is no lock to take: a lock belongs to the process that took it.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] always.
pub(crate) fn take_lock_from_stderr() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Takes standard input as a file without a buffer.
///
/// # Errors
/// Those of the system.
pub(crate) fn take_stdin() -> io::Result<File> {
    std::io::stdin().as_handle().try_clone_to_owned().map(File::from)
}

/// Pipes cannot be waited for here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] always.
pub(crate) fn wait_readable(_: &impl AsHandle, _: Duration) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
