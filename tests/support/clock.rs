//! The wall clock of the test servers.
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("the clock is before the year 292 billion")
}

/// A copy of the program in `folder` that takes its clock from a file in its home, see [`set`]. `None`, said loudly, where none can be
/// made.
#[cfg(test)]
pub fn program_with_a_clock(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    use super::home::program;
    if !super::peers::require("patchelf") {
        return None;
    }
    let library = program().parent()?.join("examples/libclock.so");
    assert!(library.exists(), "the clock is not built: cargo build --examples");
    let copy = folder.join("keyfob-with-a-clock");
    std::fs::copy(program(), &copy).expect("the program can be copied");
    let patched = std::process::Command::new("patchelf").arg("--add-needed").arg(library).arg(&copy).status();
    assert!(patched.expect("patchelf can be started").success());
    Some(copy)
}

/// Sets how many seconds the clock of such a program in `home` is ahead, and how many the machine has run longer than this one.
#[cfg(test)]
pub fn set(home: &super::home::Home, ahead: i64, run: i64) {
    super::temp_dir::write(&home.path().join(".clock"), format!("{ahead} {run}\n"));
}
