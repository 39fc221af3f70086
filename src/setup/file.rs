//! A settings file of another tool: read, and replaced whole, in words a person understands.
use crate::failure::{Failure, Kind};
use crate::os::{self, Replaced, SharedFile};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long another program may hold the lock.
const PATIENCE: Duration = Duration::from_secs(2);
/// Who can read whatever anybody makes.
const ROOT: u32 = 0;
/// More links than this lead nowhere.
const LINKS: usize = 40;

/// Reads the file at `path`, which may be absent.
///
/// # Errors
/// [`Kind::Misconfigured`] where it cannot be read, is no regular file or larger than 16 MiB.
pub(crate) fn read(path: &Path) -> Result<SharedFile, Failure> {
    SharedFile::read(path).map_err(|error| {
        let failure = Failure::new(Kind::Misconfigured, format!("cannot read `{}`", os::shown(path)));
        match error.kind() {
            io::ErrorKind::NotFound => {
                let end = end_of_links(path);
                let folder = os::quoted(end.parent().unwrap_or(&end));
                let what = if end == path { String::new() } else { format!("it is a link to `{}`, and ", os::shown(&end)) };
                failure.because(format!("{what}its folder does not exist")).hint(format!("run: mkdir -p {folder}"))
            }
            _ => failure.because(error).hint(format!("see what it is: ls -lL {}", os::quoted(path))),
        }
    })
}

/// Returns where `path` leads in the end, though nothing need be there.
fn end_of_links(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = std::fs::read_link(&end) else { break };
        let folder = end.parent().unwrap_or(&end);
        end = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()).join(target);
    }
    end
}

/// Reads the file at `path`; `None` where it, or the folder that it would be in, is not there.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_if_there(path: &Path) -> Result<Option<SharedFile>, Failure> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

/// Gives `file` the content `bytes`, or removes it, once nobody else holds its lock; false where somebody changed it since it was read.
///
/// # Errors
/// [`Kind::Misconfigured`] where it is read-only, its lock is held for 2 s, it would be made in another user's folder, or the system
/// refuses; then nothing was changed.
pub(crate) fn write(file: &SharedFile, bytes: Option<&[u8]>) -> Result<bool, Failure> {
    let shown = os::shown(file.path());
    let failed = |what: String| {
        Failure::new(Kind::Misconfigured, what)
            .hint("if something else manages it, that has to add the lines: see them with `--dry-run`")
    };
    let refused = |error: io::Error| failed(format!("cannot change `{shown}`")).because(error);
    if file.is_read_only().map_err(refused)? {
        return Err(failed(format!("`{shown}` is read-only, so it is not changed")));
    }
    if let (None, Some(_), Some(folder)) = (file.bytes(), bytes, file.path().parent()) {
        let owner = os::facts_at(folder).map_err(refused)?.map(|facts| facts.owner);
        if let Some(owner) = owner.filter(|owner| ![os::effective_uid(), ROOT].contains(owner)) {
            let folder = os::shown(folder);
            let what = format!("`{folder}` belongs to user {owner}, who could not read a `{shown}` that you make");
            return Err(Failure::new(Kind::Misconfigured, what)
                .hint("run it as that user, without sudo; or set `HOME` to a folder of your own"));
        }
    }
    let begun = Instant::now();
    loop {
        match file.replace(bytes).map_err(refused)? {
            Replaced::Done => return Ok(true),
            Replaced::Changed => return Ok(false),
            Replaced::Locked if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            Replaced::Locked => {
                let lock = file.lock();
                let failure = Failure::new(Kind::Misconfigured, format!("another program is changing `{shown}`"));
                return Err(failure.hint(format!("if none is, it was killed then; run: rm {}", os::quoted(&lock))));
            }
        }
    }
}
