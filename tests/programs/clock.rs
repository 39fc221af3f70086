//! A clock to be set: a library that a copy of the program is linked to, whose `clock_gettime` adds what the file `.clock` in the home
//! says: seconds for the wall clock, for how long the machine has run, and for what waits are measured by. Linux only.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "it stands in for a function of the C library")]
#![allow(clippy::disallowed_methods, reason = "it is no part of the program")]

/// Stands in for the function of the same name.
///
/// # Safety
/// As for that function: `time` leads to a structure that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the arguments are handed on as they came.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if result == 0 {
        let [wall, run, waits] = set();
        // SAFETY: the kernel has just written there.
        let time = unsafe { &mut *time };
        time.tv_sec += match clock {
            libc::CLOCK_REALTIME => wall,
            libc::CLOCK_BOOTTIME => run,
            libc::CLOCK_MONOTONIC => waits,
            _ => 0,
        };
    }
    libc::c_int::try_from(result).unwrap_or(-1)
}

fn set() -> [i64; 3] {
    let text = std::env::var_os("HOME").and_then(|home| std::fs::read_to_string(std::path::Path::new(&home).join(".clock")).ok());
    let mut numbers = text.iter().flat_map(|text| text.split_whitespace()).map(|word| word.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}
