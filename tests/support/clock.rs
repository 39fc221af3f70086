//! The wall clock of the test servers.
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("the clock is before the year 292 billion")
}

/// A copy of the program that takes its clock from a file in its home, see `Home::set_clock`. `None`, said loudly, where none can be made.
/// All tests of one run share it.
#[cfg(test)]
pub fn program_with_a_clock() -> Option<std::path::PathBuf> {
    static COPY: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    super::peers::require("patchelf").then(|| COPY.get_or_init(copy_with_a_clock).clone())
}

#[cfg(test)]
fn copy_with_a_clock() -> std::path::PathBuf {
    let program = super::home::program();
    let library = program.with_file_name("examples").join("libclock.so");
    assert!(library.exists(), "the clock is not built: cargo build --examples");
    let (copy, new) =
        (program.with_file_name("keyfob-with-a-clock"), program.with_file_name(super::encoding::random_text("keyfob-")));
    std::fs::copy(&program, &new).expect("the program can be copied");
    let patched = std::process::Command::new("patchelf").arg("--add-needed").arg(library).arg(&new).status();
    assert!(patched.expect("patchelf can be started").success());
    // another run may be using the one that is there
    std::fs::rename(new, &copy).expect("it can be renamed");
    copy
}
