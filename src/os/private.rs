//! Private folders and files: opened without following anything, judged once they are open, and refused in words.
use super::{
    Facts, How, Kind, facts_of,
    system::{Directory, effective_uid, has_no_descriptor_left, open_named},
};
use crate::failure::{self, Failure};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};
use zeroize::Zeroizing;

/// The permissions of the group and of everybody else.
const OTHERS: u32 = 0o077;

/// What an access list's mask shows as.
const READABLE_BY_GROUP: u32 = 0o040;

/// Who gives files away for anybody to use.
const ROOT: u32 = 0;

/// A folder that belongs to us alone. Every file in it is named by its last part, opened without following links, and checked.
#[derive(Debug)]
pub(crate) struct Folder {
    directory: Directory,
    path: PathBuf,
    user: u32,
}

impl Folder {
    /// Opens the folder at `path`; `None` if it does not exist.
    ///
    /// # Errors
    /// Misconfigured, if it is no folder, not ours, or open to others.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let directory = match Directory::open(path) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("cannot open the folder", path, &error)),
        };
        let facts = directory.facts().map_err(|error| failed("cannot look at the folder", path, &error))?;
        let user = effective_uid();
        judge_folder(&facts, user, path)?;
        Ok(Some(Self { directory, path: path.to_owned(), user }))
    }

    /// Opens the folder at `path`, making it and what is missing above it for us alone.
    ///
    /// # Errors
    /// Misconfigured, as with [`Folder::open`], or if it would be made in a folder that belongs to another user.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, Failure> {
        if let Some(folder) = Self::open(path)? {
            return Ok(folder);
        }
        make(path)?;
        Self::open(path)?.ok_or_else(|| failed("cannot open the folder", path, &io::ErrorKind::NotFound.into()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file `name`, which may hold `limit` bytes at most; `None` if it does not exist, which [`How::New`] and [`How::Lock`]
    /// never answer.
    ///
    /// # Errors
    /// Misconfigured, at once, if it is a link, a pipe, a folder or a device, not ours, open to others, known by a second name, or too large.
    pub(crate) fn open_private(&self, name: &str, how: How, limit: u64) -> Result<Option<File>, Failure> {
        self.open_with_facts(name, how, limit).map(|found| found.map(|(file, _)| file))
    }

    fn open_with_facts(&self, name: &str, how: How, limit: u64) -> Result<Option<(File, Facts)>, Failure> {
        let file = match self.directory.open_at(name, how) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && matches!(how, How::Read | How::ReadWrite) => {
                return Ok(None);
            }
            Err(error) => return Err(self.refused(name, &error)),
        };
        let facts = facts_of(&file).map_err(|error| self.failed("cannot look at", name, &error))?;
        judge_file(&facts, self.user, limit, &self.path.join(name))?;
        Ok(Some((file, facts)))
    }

    /// Reads the file `name`, of `limit` bytes at most; `None` if it does not exist. The result is wiped when it is dropped.
    ///
    /// # Errors
    /// As [`Folder::open_private`], or if it cannot be read.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let Some((file, facts)) = self.open_with_facts(name, How::Read, limit)? else { return Ok(None) };
        read_all(&file, facts.size).map(Some).map_err(|error| self.failed("cannot read", name, &error))
    }

    /// Creates the file `name` with `bytes`; a file of that name that was left over is removed first.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn create(&self, name: &str, bytes: &[u8]) -> Result<File, Failure> {
        self.remove(name)?;
        let mut file = self
            .open_private(name, How::New, u64::MAX)?
            .ok_or_else(|| self.failed("cannot create", name, &io::ErrorKind::NotFound.into()))?;
        file.write_all(bytes).map_err(|error| self.failed("cannot write", name, &error))?;
        Ok(file)
    }

    /// Gives the finished file `temporary` the name `name` in one step. After a crash of the machine the old file may be back.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn replace(&self, temporary: &str, name: &str) -> Result<(), Failure> {
        self.directory.rename(temporary, name).map_err(|error| self.failed("cannot replace", name, &error))
    }

    /// Gives the finished and synced file `temporary` the name `name` in one step, and waits until that is on the disk.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn replace_durably(&self, temporary: &str, name: &str) -> Result<(), Failure> {
        self.replace(temporary, name)?;
        self.sync()
    }

    /// Waits until the names in this folder are on the disk.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        self.directory.sync().map_err(|error| failed("cannot sync the folder", &self.path, &error))
    }

    /// Writes `bytes` as the file `name`, durably and in one step, by way of `temporary`.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn write_durably(&self, temporary: &str, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let write = || {
            let file = self.create(temporary, bytes)?;
            file.sync_all().map_err(|error| self.failed("cannot sync", temporary, &error))?;
            self.replace_durably(temporary, name)
        };
        write().inspect_err(|_| {
            let _ = self.remove(temporary);
        })
    }

    /// Removes the file `name`; that it is absent is no error.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        match self.directory.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed("cannot remove", name, &error)),
            _ => Ok(()),
        }
    }

    /// Returns the names in this folder, in no order; those that are not text are left out.
    ///
    /// # Errors
    /// Misconfigured, if the system refuses.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        let list =
            || std::fs::read_dir(&self.path)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>();
        let names = super::again(list).map_err(|error| failed("cannot list the folder", &self.path, &error))?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    /// Returns the failure to do something to the file `name`: `doing` is "cannot …".
    pub(crate) fn failed(&self, doing: &str, name: &str, error: &io::Error) -> Failure {
        failed(doing, &self.path.join(name), error)
    }

    fn refused(&self, name: &str, error: &io::Error) -> Failure {
        let path = self.path.join(name);
        match super::link_facts_at(&path) {
            Ok(Some(facts)) => judge_file(&facts, self.user, u64::MAX, &path).err(),
            _ => None,
        }
        .unwrap_or_else(|| failed("cannot open", &path, error))
    }
}

/// Reads the private file that a person named, of `limit` bytes at most; `None` if it does not exist.
///
/// The path may lead through links, but the file itself must be regular, ours or root's, and closed to everybody else.
///
/// # Errors
/// Misconfigured, if it is not so or cannot be read.
pub(crate) fn read_private(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    read_named(path, limit, 0)
}

/// Reads the file that a service manager handed over, as [`read_private`] does; one of root's may be open to its group.
///
/// A modern systemd lets a unit's user in by an access list, whose mask stands in the place of the group's permissions.
///
/// # Errors
/// As [`read_private`].
pub(crate) fn read_handed_over(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    read_named(path, limit, READABLE_BY_GROUP)
}

/// Reads a named file. Where it is root's, the permissions in `forgiven` do not matter.
fn read_named(path: &Path, limit: u64, forgiven: u32) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let file = match open_named(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("cannot open", path, &error)),
    };
    let mut facts = facts_of(&file).map_err(|error| failed("cannot look at", path, &error))?;
    let size = facts.size;
    // a second name does no harm to a file that is only read, and one of root's is at least as safe as ours
    facts.links = 1;
    let user = if facts.owner == ROOT { ROOT } else { effective_uid() };
    if facts.owner == ROOT {
        facts.mode &= !forgiven;
    }
    judge_file(&facts, user, limit, path)?;
    read_all(&file, size).map(Some).map_err(|error| failed("cannot read", path, &error))
}

/// Creates the private file that a person named with `bytes`, durably; false, and nothing is changed, if there is one already.
///
/// # Errors
/// Misconfigured, if its folder does not exist or the system refuses.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<bool, Failure> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(failed("cannot create", path, &io::ErrorKind::InvalidInput.into()));
    };
    // a folder that a person named may be reached through links
    let parent = super::again(|| parent.canonicalize()).map_err(|error| failed("cannot find the folder of", path, &error))?;
    let directory = Directory::open(&parent).map_err(|error| failed("cannot open the folder of", path, &error))?;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let temporary = format!(".{name}.{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let write = || {
        let mut file = directory.open_at(&temporary, How::New)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        directory.rename_new(&temporary, name)?;
        directory.sync()
    };
    match write() {
        Ok(()) => Ok(true),
        Err(error) => {
            let _ = directory.remove(&temporary);
            if error.kind() == io::ErrorKind::AlreadyExists { Ok(false) } else { Err(failed("cannot create", path, &error)) }
        }
    }
}

/// Removes the file that a person named, durably; that it is absent is no error.
///
/// # Errors
/// Misconfigured, if the system refuses.
pub(crate) fn remove_private(path: &Path) -> Result<(), Failure> {
    let remove = || {
        std::fs::remove_file(path)?;
        let parent = path.parent().unwrap_or(path).canonicalize()?;
        Directory::open(&parent)?.sync()
    };
    match remove() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("cannot remove", path, &error)),
        _ => Ok(()),
    }
}

fn read_all(mut file: &File, size: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?]);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Makes the folder at `path` and what is missing above it, if the first folder that exists may be written to by us alone.
fn make(path: &Path) -> Result<(), Failure> {
    let parent = path.parent().ok_or_else(|| failed("cannot create", path, &io::ErrorKind::InvalidInput.into()))?;
    match super::facts_at(parent).map_err(|error| failed("cannot look at the folder", parent, &error))? {
        None => make(parent)?,
        Some(facts) => judge_place(&facts, effective_uid(), parent)?,
    }
    Directory::make(path).map_err(|error| failed("cannot create the folder", path, &error))
}

/// Judges the folder in which ours is to be made.
fn judge_place(facts: &Facts, user: u32, path: &Path) -> Result<(), Failure> {
    const STICKY: u32 = 0o1000;
    const WRITABLE_BY_ALL: u32 = 0o002;
    if facts.mode & STICKY == 0 && facts.mode & WRITABLE_BY_ALL != 0 {
        return Err(refusal(path, "can be written to by everybody, so nothing is created in it")
            .hint(format!("run: chmod o-w {}", quoted(path))));
    }
    if facts.owner == user || facts.owner == ROOT || facts.mode & STICKY != 0 {
        return Ok(());
    }
    Err(refusal(path, &format!("belongs to user {}, so nothing is created in it", facts.owner))
        .hint("run keyfob as that user (not through sudo), or choose another folder with KEYFOB_STATE_DIR"))
}

fn judge_folder(facts: &Facts, user: u32, path: &Path) -> Result<(), Failure> {
    if facts.kind != Kind::Folder {
        return Err(refusal(path, "is not a folder").hint("move it away"));
    }
    if facts.owner != user {
        return Err(strange_owner(facts.owner, user, path));
    }
    if facts.mode & OTHERS != 0 {
        return Err(refusal(path, "is open to other users").hint(format!("run: chmod 700 {}", quoted(path))));
    }
    Ok(())
}

fn judge_file(facts: &Facts, user: u32, limit: u64, path: &Path) -> Result<(), Failure> {
    let remove = || format!("if you did not put it there, somebody else did; run: rm -r {}", quoted(path));
    match facts.kind {
        Kind::File => {}
        Kind::Link => return Err(refusal(path, "is a symbolic link, which is not followed").hint(remove())),
        Kind::Folder => return Err(refusal(path, "is a folder, not a file").hint(remove())),
        Kind::Other => return Err(refusal(path, "is a pipe, a socket or a device, not a file").hint(remove())),
    }
    if facts.owner != user {
        return Err(strange_owner(facts.owner, user, path));
    }
    // none is left when the file was replaced after it had been opened
    if facts.links > 1 {
        return Err(refusal(path, "is known by another name as well (a hard link)").hint(remove()));
    }
    if facts.mode & OTHERS != 0 {
        return Err(refusal(path, "is open to other users").hint(format!("run: chmod 600 {}", quoted(path))));
    }
    if facts.size > limit {
        return Err(refusal(path, &format!("has {} bytes and should have {limit} at most", facts.size))
            .hint(format!("move it away; run: mv {0} {0}.large", quoted(path))));
    }
    Ok(())
}

fn strange_owner(owner: u32, user: u32, path: &Path) -> Failure {
    let hint = if user == ROOT {
        "run keyfob as that user, not through sudo".to_owned()
    } else {
        format!("run: sudo chown -R {user} {}", quoted(path))
    };
    refusal(path, &format!("belongs to user {owner}, not to you (user {user})")).hint(hint)
}

fn refusal(path: &Path, what: &str) -> Failure {
    Failure::new(failure::Kind::Misconfigured, format!("`{}` {what}", shown(path)))
}

/// Returns the failure `doing` ("cannot …") of the system at `path`, with the step that mends it.
fn failed(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let folder = || shown(path.parent().unwrap_or(path));
    let hint = match error.kind() {
        _ if has_no_descriptor_left(error) => "end some programs, or raise the limit on open files (`ulimit -n`)".to_owned(),
        io::ErrorKind::StorageFull => format!("free some space on the disk of `{}`", folder()),
        io::ErrorKind::QuotaExceeded => {
            format!("your quota is used up: remove some of your files from the disk of `{}`", folder())
        }
        io::ErrorKind::FileTooLarge => "raise the limit on the size of files: see `ulimit -f`".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "choose a folder that can be written to with KEYFOB_STATE_DIR".to_owned(),
        io::ErrorKind::PermissionDenied => format!("make sure that you own `{}` and may enter and write it", folder()),
        io::ErrorKind::NotFound => format!("make sure that `{}` exists", folder()),
        _ => format!("check the disk and the permissions of `{}`, or choose another folder with KEYFOB_STATE_DIR", folder()),
    };
    Failure::new(failure::Kind::Misconfigured, format!("{doing} `{}`", shown(path))).because(error).hint(hint)
}

/// Returns `path` as it can be shown: on one line, without control characters.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// Returns `path` as one word of a shell's line, without control characters.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", shown(path).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u32 = 1000;

    fn facts(owner: u32, mode: u32, links: u64, size: u64, kind: Kind) -> Facts {
        Facts { owner, mode, links, size, kind, device: 0, inode: 0, mtime_ns: 0, ctime_ns: 0 }
    }

    fn sentence(verdict: Result<(), Failure>) -> Option<String> {
        verdict.err().map(|failure| {
            assert!(!failure.hints.is_empty(), "{failure}");
            failure.message
        })
    }

    #[test]
    fn a_file_is_judged_by_its_kind_owner_names_permissions_and_size() {
        let cases = [
            (facts(US, 0o600, 1, 10, Kind::File), None),
            (facts(US, 0o400, 0, 0, Kind::File), None),
            (facts(US, 0o600, 1, 11, Kind::File), Some("has 11 bytes and should have 10 at most")),
            (facts(US, 0o604, 1, 1, Kind::File), Some("is open to other users")),
            (facts(US, 0o620, 1, 1, Kind::File), Some("is open to other users")),
            (facts(US, 0o600, 2, 1, Kind::File), Some("is known by another name as well (a hard link)")),
            (facts(0, 0o600, 1, 1, Kind::File), Some("belongs to user 0, not to you (user 1000)")),
            (facts(US, 0o600, 1, 1, Kind::Link), Some("is a symbolic link, which is not followed")),
            (facts(US, 0o600, 1, 1, Kind::Folder), Some("is a folder, not a file")),
            (facts(US, 0o600, 1, 1, Kind::Other), Some("is a pipe, a socket or a device, not a file")),
        ];
        for (facts, expected) in cases {
            let expected = expected.map(|what| format!("`/a/b` {what}"));
            assert_eq!(sentence(judge_file(&facts, US, 10, Path::new("/a/b"))), expected, "{facts:?}");
        }
    }

    #[test]
    fn a_folder_is_ours_alone() {
        for (owner, mode, kind, good) in [
            (US, 0o700, Kind::Folder, true),
            (US, 0o750, Kind::Folder, false),
            (US, 0o701, Kind::Folder, false),
            (0, 0o700, Kind::Folder, false),
            (US, 0o700, Kind::File, false),
        ] {
            assert_eq!(
                sentence(judge_folder(&facts(owner, mode, 2, 0, kind), US, Path::new("/a"))).is_none(),
                good,
                "{owner} {mode:o}"
            );
        }
    }

    #[test]
    fn nothing_is_made_where_another_user_could_replace_it() {
        for (user, owner, mode, good) in [
            (US, US, 0o755, true),
            (US, US, 0o775, true),
            (US, 0, 0o755, true),
            (US, 0, 0o1777, true),
            (US, US, 0o777, false),
            (US, 1001, 0o755, false),
            (ROOT, US, 0o755, false),
        ] {
            let verdict = judge_place(&facts(owner, mode, 2, 0, Kind::Folder), user, Path::new("/a"));
            assert_eq!(sentence(verdict).is_none(), good, "{user} in {owner}'s {mode:o}");
        }
    }

    #[test]
    fn what_the_system_refuses_names_the_file_and_a_step() {
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::NotFound,
            io::ErrorKind::Other,
        ] {
            let failure = failed("cannot write", Path::new("/some/where/a\nb"), &kind.into());
            assert!(failure.message.starts_with("cannot write `/some/where/a?b`: "), "{failure}");
            assert!(failure.hints[0].contains("/some/where") || failure.hints[0].contains("KEYFOB_STATE_DIR"), "{kind:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_limit_on_open_files_is_no_fault_of_the_disk() {
        for error in [libc::EMFILE, libc::ENFILE] {
            let failure = failed("cannot open", Path::new("/some/where/a"), &io::Error::from_raw_os_error(error));
            assert!(failure.message.contains("/some/where/a") && failure.hints[0].contains("ulimit -n"), "{failure:?}");
        }
    }

    #[test]
    fn a_named_file_is_created_once_and_read_back() {
        let folder = std::env::temp_dir().join(format!("keyfob-private-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("key");
        assert!(read_private(&path, 10).unwrap().is_none());
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| create_private(&path, b"secret").unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
        });
        assert_eq!(made, 1);
        assert_eq!(read_private(&path, 10).unwrap().unwrap().as_slice(), b"secret");
        assert!(read_private(&path, 5).is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_behind_a_link_is_not_opened() {
        let path = std::env::temp_dir().join(format!("keyfob-behind-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let folder = Folder::open_or_create(&path.join("a/b")).unwrap();
        drop(folder.create("file", b"x").unwrap());
        std::os::unix::fs::symlink(path.join("a/b"), path.join("link")).unwrap();
        assert!(Folder::open(&path.join("link")).is_err());
        assert!(Folder::open(&path.join("a/b/file")).is_err());
        assert!(Folder::open(&path.join("none")).unwrap().is_none());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
