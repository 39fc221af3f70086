//! Which gits there are: since 2.46 one hands a helper's mark back when a token is refused, and knows schemes.
use crate::support::peers;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A git that knows marks and schemes; none where the test is to be skipped.
pub(crate) fn newer() -> Option<PathBuf> {
    find(true, "git of 2.46 or newer")
}

/// A git that does not know them yet; none where the test is to be skipped.
pub(crate) fn older() -> Option<PathBuf> {
    find(false, "git older than 2.46")
}

/// The gits there are, each once.
pub(crate) fn all() -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let mut found: Vec<PathBuf> = folders.into_iter().map(|folder| folder.join("git")).filter(|git| git.is_file()).collect();
    found.sort_by_key(|git| git.canonicalize().unwrap());
    found.dedup_by_key(|git| git.canonicalize().unwrap());
    found
}

fn find(knows: bool, called: &str) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let found =
        folders.iter().map(|folder| folder.join("git")).find(|git| version(git).is_some_and(|at| (at >= (2, 46)) == knows));
    if found.is_none() {
        peers::require(called);
    }
    found
}

/// The version of a git, as 2 and 46.
pub(super) fn version(git: &Path) -> Option<(u32, u32)> {
    let output = Command::new(git).arg("version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}
