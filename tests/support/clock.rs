//! The wall clock of the test servers.
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("the clock is before the year 292 billion")
}

/// A copy of the program in `folder` that takes its clock from a file in its home, see `Home::set_clock`. `None`, said loudly, where none can be
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
