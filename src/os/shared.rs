//! A file that the person, another tool and we all change: replaced in one step, under the lock that git has for it.
use super::{How, system, system::Directory};
use std::{
    fs::Metadata,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// More links than this lead nowhere.
const LINKS: usize = 40;

/// Larger files are none that a person writes.
const LIMIT: u64 = 16 << 20;

/// A file as it was read. Some people keep secrets in it, so its content is not shown, and wiped when it is dropped.
pub(crate) struct SharedFile {
    /// Where it lies, behind all links.
    path: PathBuf,
    bytes: Option<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for SharedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What became of an attempt to replace a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    Done,
    /// Somebody else changed it since it was read, and nothing was changed.
    Changed,
    /// Somebody else holds its lock, and nothing was changed.
    Locked,
}

impl SharedFile {
    /// Reads the file at `path`, through links; it may be absent, even where links lead to it.
    ///
    /// # Errors
    /// Those of the system; [`io::ErrorKind::InvalidInput`] where it is no regular file, [`io::ErrorKind::FileTooLarge`] where it is
    /// larger than 16 MiB.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let path = behind_links(path)?;
        let bytes = read(&path)?;
        Ok(Self { path, bytes })
    }

    /// Returns its content; `None` where it is absent.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref().map(Vec::as_slice)
    }

    /// Returns where it lies, behind all links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file whose existence locks it for git, too.
    pub(crate) fn lock(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        self.path.with_file_name(name)
    }

    /// Tells whether its permissions let nobody write to it.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn is_read_only(&self) -> io::Result<bool> {
        Ok(facts(&self.path)?.is_some_and(|found| found.permissions().readonly()))
    }

    /// Gives it the content `bytes`, or removes it, in one step. Its owner and its permissions stay; a new file is ours alone.
    ///
    /// git takes the same lock: a file beside it that must not exist yet, and then gets its name.
    ///
    /// # Errors
    /// Those of the system; then nothing was changed.
    pub(crate) fn replace(&self, bytes: Option<&[u8]>) -> io::Result<Replaced> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name().and_then(|name| name.to_str())) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let directory = Directory::open(folder)?;
        let (temporary, lock) = (format!(".{name}.keyfob-{}", std::process::id()), format!("{name}.lock"));
        super::undisturbed(|| {
            let prepared = || {
                // what a process of this number left behind when it was killed
                let _ = directory.remove(&temporary);
                let mut file = directory.open_at(&temporary, How::New)?;
                file.write_all(bytes.unwrap_or_default())?;
                if let Some(before) = facts(&self.path)? {
                    system::take_after(&file, &before)?;
                }
                file.sync_all()?;
                directory.rename_new(&temporary, &lock)
            };
            match prepared() {
                Ok(()) => {}
                Err(error) => {
                    let _ = directory.remove(&temporary);
                    return if error.kind() == io::ErrorKind::AlreadyExists { Ok(Replaced::Locked) } else { Err(error) };
                }
            }
            let switched = || {
                if read(&self.path)? != self.bytes {
                    return Ok(Replaced::Changed);
                }
                match bytes {
                    Some(_) => directory.rename(&lock, name)?,
                    None => directory.remove(name)?,
                }
                // the content is on the disk, and after a crash of the machine the old file is as good
                let _ = directory.sync();
                Ok(Replaced::Done)
            };
            let done = switched();
            if bytes.is_none() || !matches!(done, Ok(Replaced::Done)) {
                let _ = directory.remove(&lock);
            }
            done
        })
    }
}

/// Returns where `path` leads, which need not exist; the folder must.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let place = folder.canonicalize()?.join(name);
        match std::fs::read_link(&place) {
            Ok(target) => path = place.with_file_name("").join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::other("too many links"))
}

fn facts(path: &Path) -> io::Result<Option<Metadata>> {
    match super::again(|| std::fs::metadata(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(found) = facts(path)? else { return Ok(None) };
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    // large enough at once, so that no copy is left where it grew
    let size = usize::try_from(found.len().min(LIMIT)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    system::open_named(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(Some(bytes)) }
}
