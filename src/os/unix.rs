//! Files, folders, the machine and the terminal device on Unix.
use super::{Facts, How, Kind};
use std::{
    ffi::{CStr, CString},
    fs::{File, Metadata, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, RawFd},
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        },
    },
    path::Path,
};

/// How an item of ours in the desktop's keyring is kept; the Secret Service and the Keychain keep it on this machine by themselves.
pub(crate) const KEYRING_MODIFIERS: &[(&str, &str)] = &[];

/// Returns the user whose files this process makes.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

pub(super) fn facts(metadata: &Metadata) -> Facts {
    let kind = match metadata.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Folder,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::Other,
    };
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Facts {
        owner: metadata.uid(),
        mode: metadata.mode() & 0o7777,
        links: metadata.nlink(),
        size: metadata.size(),
        kind,
        device: metadata.dev(),
        inode: metadata.ino(),
        mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// An open folder, in which files are named by their last part.
#[derive(Debug)]
pub(super) struct Directory(File);

impl Directory {
    /// Opens the folder at `path`, whose last part must not be a link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        retry(|| {
            // SAFETY: the path is a string that ends in NUL and lives through the call.
            unsafe { libc::open(path.as_ptr(), flags) }
        })
        // SAFETY: the descriptor is open and nobody else's.
        .map(|descriptor| Self(unsafe { File::from_raw_fd(descriptor) }))
    }

    /// Makes the folder at `path` with mode 0700, whatever the umask; one that is there is left as it is.
    pub(super) fn make(path: &Path) -> io::Result<()> {
        match super::again(|| std::fs::DirBuilder::new().mode(0o700).create(path)) {
            Ok(()) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn facts(&self) -> io::Result<Facts> {
        super::facts_of(&self.0)
    }

    /// Opens the file `name` in this folder.
    pub(super) fn open_at(&self, name: &str, how: How) -> io::Result<File> {
        const ALWAYS: libc::c_int = libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        if how != How::Read {
            super::process::survive_file_size_limit();
        }
        match how {
            How::Read => self.open_with(name, libc::O_RDONLY | ALWAYS),
            How::ReadWrite => self.open_with(name, libc::O_RDWR | ALWAYS),
            How::New => {
                let file = self.open_with(name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | ALWAYS)?;
                set_mode(&file, 0o600)?;
                Ok(file)
            }
            How::Lock => loop {
                match self.open_at(name, How::ReadWrite) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    done => return done,
                }
                match self.open_at(name, How::New) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    done => return done,
                }
            },
        }
    }

    fn open_with(&self, name: &str, flags: libc::c_int) -> io::Result<File> {
        let name = CString::new(name)?;
        let mode: libc::c_uint = 0o600;
        retry(|| {
            // SAFETY: the folder is open and the name is a string that ends in NUL and lives through the call.
            unsafe { libc::openat(self.0.as_raw_fd(), name.as_ptr(), flags, mode) }
        })
        // SAFETY: the descriptor is open and nobody else's.
        .map(|descriptor| unsafe { File::from_raw_fd(descriptor) })
    }

    /// Gives the file `from` the name `to`; a file of that name is replaced in one step.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (CString::new(from)?, CString::new(to)?);
        let folder = self.0.as_raw_fd();
        retry(|| {
            // SAFETY: the folder is open and both names are strings that end in NUL and live through the call.
            unsafe { libc::renameat(folder, from.as_ptr(), folder, to.as_ptr()) }
        })
        .map(drop)
    }

    /// Gives the file `from` the name `to`; that the name is taken is an error, and the file there stays.
    pub(super) fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (old, new) = (CString::new(from)?, CString::new(to)?);
        let folder = self.0.as_raw_fd();
        match retry(|| rename_exclusively(folder, &old, &new)) {
            // this file system cannot do it in one step
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::ENOTSUP)) => {}
            done => return done.map(drop),
        }
        retry(|| {
            // SAFETY: the folder is open and both names are strings that end in NUL and live through the call.
            unsafe { libc::linkat(folder, old.as_ptr(), folder, new.as_ptr(), 0) }
        })?;
        self.remove(from)
    }

    /// Removes the file `name`; that it is absent is an error.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let name = CString::new(name)?;
        retry(|| {
            // SAFETY: the folder is open and the name is a string that ends in NUL and lives through the call.
            unsafe { libc::unlinkat(self.0.as_raw_fd(), name.as_ptr(), 0) }
        })
        .map(drop)
    }

    /// Waits until the names in this folder are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self.0.sync_all() {
            // some network and user-space file systems cannot sync a folder, and order renames by themselves
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            done => done,
        }
    }
}

#[cfg(target_os = "linux")]
fn rename_exclusively(folder: RawFd, from: &CStr, to: &CStr) -> libc::c_int {
    // SAFETY: the folder is open and both names live through the call. By number, because musl lacks the wrapper.
    let answer =
        unsafe { libc::syscall(libc::SYS_renameat2, folder, from.as_ptr(), folder, to.as_ptr(), libc::RENAME_NOREPLACE) };
    if answer == 0 { 0 } else { -1 }
}

#[cfg(target_os = "macos")]
fn rename_exclusively(folder: RawFd, from: &CStr, to: &CStr) -> libc::c_int {
    // SAFETY: the folder is open and both names are strings that end in NUL and live through the call.
    unsafe { libc::renameatx_np(folder, from.as_ptr(), folder, to.as_ptr(), libc::RENAME_EXCL) }
}

/// Opens the file that a person named for reading, through links, without waiting for the other end of a pipe.
pub(super) fn open_named(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Whether `error` says that this process, or the machine, has as many files open as it may.
pub(super) fn has_no_descriptor_left(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn set_mode(file: &File, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: the descriptor is open.
    retry(|| unsafe { libc::fchmod(file.as_raw_fd(), mode) }).map(drop)
}

/// Gives `file` the owner, the group and the permissions that another file has.
pub(super) fn take_after(file: &File, other: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (other.uid(), other.gid()) {
        // SAFETY: the descriptor is open.
        retry(|| unsafe { libc::fchown(file.as_raw_fd(), other.uid(), other.gid()) })?;
    }
    file.set_permissions(std::fs::Permissions::from_mode(other.mode() & 0o7777))
}

/// Calls `call` again for as long as a signal interrupts it; a negative answer is the error that the system noted.
pub(super) fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        let answer = call();
        if answer >= 0 {
            return Ok(answer);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Opens the controlling terminal, for reading and for writing, whatever standard input and output are.
///
/// # Errors
/// Those of the system, above all where there is none.
pub(crate) fn open_terminal() -> io::Result<(File, File)> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    Ok((terminal.try_clone()?, terminal))
}

/// Returns how many columns and rows `terminal` has; `None` where it does not say.
pub(crate) fn terminal_size(terminal: &File) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open and the structure lives through the call, which fills it or fails.
    let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_col, size.ws_row))
}

/// Returns what tells this machine from others that may share the home folder; `None` where the system was given no such name.
pub(crate) fn machine_id() -> Option<String> {
    first_id(&[Path::new("/etc/machine-id"), Path::new("/var/lib/dbus/machine-id")])
}

/// Returns how long the machine has run, sleep included, in seconds; 0 where the system does not say.
#[allow(clippy::useless_conversion, reason = "seconds are narrower on some systems")]
pub(crate) fn uptime() -> i64 {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives through the call, which fills it or fails.
    unsafe { libc::clock_gettime(CLOCK, &raw mut time) };
    i64::from(time.tv_sec)
}

fn first_id(paths: &[&Path]) -> Option<String> {
    paths.iter().find_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        let id = text.trim();
        (id.len() >= 16 && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{facts_at, link_facts_at};

    #[test]
    fn a_machine_id_is_taken_from_the_first_file_that_holds_one() {
        let folder = std::env::temp_dir().join(format!("keyfob-machine-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::io::Write::write_all(&mut File::create(&path).unwrap(), text.as_bytes()).unwrap();
            path
        };
        let (empty, fresh, good) =
            (write("a", ""), write("b", "uninitialized\n"), write("c", "3d1219c7c4c5404aaa1f6d2a48adfda4\n"));
        let absent = folder.join("d");
        assert_eq!(first_id(&[&absent, &empty, &fresh, &good]).as_deref(), Some("3d1219c7c4c5404aaa1f6d2a48adfda4"));
        assert_eq!(first_id(&[&absent, &empty, &fresh]), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn facts_tell_a_link_from_what_it_leads_to() {
        let folder = std::env::temp_dir().join(format!("keyfob-facts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let link = folder.join("link");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert_eq!(facts_at(&link).unwrap().map(|facts| facts.kind), Some(Kind::Folder));
        assert_eq!(link_facts_at(&link).unwrap().map(|facts| facts.kind), Some(Kind::Link));
        assert_eq!(facts_at(&folder.join("nothing")).unwrap(), None);
        assert_eq!(facts_at(&folder.join("nothing/below")).unwrap(), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
