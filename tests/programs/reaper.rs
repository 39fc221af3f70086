//! `reaper REPORT PROGRAM ARGUMENT…` runs the program and waits for it and for everything that it left behind. REPORT gets one line:
//! the most memory that a process called `keyfob` (or by one of its links) had, or one that it waited for itself, in KiB, and how many of
//! the former ended by a signal or a defect. Linux only.
#![allow(unsafe_code, reason = "the standard library waits for its own children only, and does not say what they used")]
#![allow(clippy::disallowed_methods, reason = "it is no part of the program")]

#[cfg(target_os = "linux")]
fn main() {
    use std::process::Command;
    let mut arguments = std::env::args_os().skip(1);
    let (report, program) = (arguments.next().expect("a report"), arguments.next().expect("a program"));
    // SAFETY: it takes numbers only
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }, 0);
    let child = Command::new(program).args(arguments).spawn().expect("the program starts");
    let main = libc::pid_t::try_from(child.id()).expect("a process id");
    let (mut code, mut most, mut died) = (1, 0, 0);
    while let Some((pid, name)) = next_that_ended() {
        // SAFETY: both places are valid, and all bytes zero are a value of the second
        let (status, used) = unsafe {
            let (mut status, mut used) = (0, std::mem::zeroed::<libc::rusage>());
            libc::wait4(pid, &raw mut status, 0, &raw mut used);
            (status, used)
        };
        // the system keeps fifteen letters of a name
        if ["keyfob", "docker-credenti", "git-credential-"].contains(&name.as_str()) {
            most = most.max(used.ru_maxrss);
            // a panic ends with 101, or with what our own hook makes of it
            died += i32::from(!libc::WIFEXITED(status) || [70, 101].contains(&libc::WEXITSTATUS(status)));
        }
        if pid == main {
            code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 255 };
        }
    }
    std::fs::write(report, format!("{most} {died}\n")).expect("the report can be written");
    std::process::exit(code);
}

/// Waits until a child has ended, and leaves it there: its id and the name it had.
#[cfg(target_os = "linux")]
fn next_that_ended() -> Option<(libc::pid_t, String)> {
    // SAFETY: all bytes zero are a value of it, and the place is valid
    let ended = unsafe {
        let mut ended = std::mem::zeroed::<libc::siginfo_t>();
        let waited = libc::waitid(libc::P_ALL, 0, &raw mut ended, libc::WEXITED | libc::WNOWAIT);
        (waited == 0).then(|| ended.si_pid())?
    };
    let name = std::fs::read_to_string(format!("/proc/{ended}/comm")).unwrap_or_default();
    Some((ended, name.trim().to_owned()))
}

#[cfg(not(target_os = "linux"))]
fn main() {}
