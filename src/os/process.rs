//! Processes on Unix: hardening our own, starting the worker and the browser, and waiting at a pipe.
use super::{
    signals::{empty_set, termination_set},
    unix::retry,
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    ptr,
    sync::OnceLock,
    time::Duration,
};

/// The signals from 1 on that every Unix has.
const LAST_SIGNAL: libc::c_int = 31;

/// Makes this process safe to hold secrets; the first thing that `main` does.
///
/// Other processes of the user cannot read its memory (not in debug builds, which are debugged), it leaves no core file, standard
/// descriptors that were closed lead to `/dev/null`, so that no file of ours takes their numbers, and SIGPIPE is ignored.
pub(crate) fn harden() {
    // SAFETY: the calls take numbers and structures that live through them; the path is a string that ends in NUL.
    unsafe {
        #[cfg(target_os = "linux")]
        if !cfg!(debug_assertions) {
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        }
        libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
        for descriptor in 0..3 {
            if libc::fcntl(descriptor, libc::F_GETFD) == -1 {
                // the lowest free number is taken, which is this one
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// The umask that this process was started with, once it has taken its own.
static UMASK: OnceLock<libc::mode_t> = OnceLock::new();

/// Closes what this process makes to everybody else (umask 077). A browser that it starts gets back the umask it was started with.
pub(crate) fn make_files_private() {
    // SAFETY: the call takes a number and cannot fail.
    let before = unsafe { libc::umask(0o077) };
    let _ = UMASK.set(before);
}

/// Lets a limit on file sizes be an error of the write that meets it, and not the death of the process by SIGXFSZ. Whoever opens a file
/// to write calls this first; a cached answer opens none.
pub(crate) fn survive_file_size_limit() {
    // SAFETY: the call takes numbers.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Ends the process at once: nothing is flushed and no thread is waited for, so one that is stuck does no harm.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Starts `command` as a process that outlives us: own session, working directory `/`, no descriptor but the three given,
/// INT, TERM, HUP and PIPE held back, SIGXFSZ ignored so that a file-size limit is an error and no death, all others as at login.
///
/// `stderr` is the lock that the process takes over; our copy is closed. SIGCHLD is as usual in this process, too, from here on.
///
/// # Errors
/// Those of the system.
pub(crate) fn start_detached(mut command: Command, stdin: Stdio, stdout: Stdio, stderr: File) -> io::Result<Child> {
    command.stdin(stdin).stdout(stdout).stderr(stderr).current_dir("/");
    let blocked = termination_set();
    // SAFETY: the call takes numbers. A caller that ignores it makes the standard library panic where a program cannot be started.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // SAFETY: between fork and exec only calls are made that are safe in a signal handler, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            leave_session()?;
            default_signals();
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const blocked, ptr::null_mut());
            Ok(())
        });
    }
    command.spawn()
}

/// Starts `command`, an opener or a browser, so that it holds nothing of ours: null descriptors, own session, signals as at login,
/// the umask that we were started with.
///
/// # Errors
/// Those of the system.
pub(crate) fn start_browser(mut command: Command) -> io::Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let none = empty_set();
    let umask = UMASK.get().copied();
    // SAFETY: between fork and exec only calls are made that are safe in a signal handler, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            leave_session()?;
            default_signals();
            if let Some(umask) = umask {
                libc::umask(umask);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
            Ok(())
        });
    }
    command.spawn()
}

/// Lets no signal be ignored because somebody above us ignores it, as `nohup` and shells do for what runs in the background.
fn default_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the call takes numbers; one that cannot be changed is an error without consequence.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Makes this freshly forked process a session of its own whose further descriptors end with `exec`.
fn leave_session() -> io::Result<()> {
    // SAFETY: both calls take nothing but numbers.
    retry(|| unsafe { libc::setsid() })?;
    close_others_on_exec();
    Ok(())
}

#[cfg(target_os = "linux")]
fn close_others_on_exec() {
    // SAFETY: the call takes numbers. By number, because the C library's wrapper is younger than the systems we run on.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done != 0 {
        close_each_on_exec();
    }
}

#[cfg(not(target_os = "linux"))]
fn close_others_on_exec() {
    close_each_on_exec();
}

fn close_each_on_exec() {
    // SAFETY: the calls take numbers; one that is not open is an error without consequence.
    unsafe {
        let limit = libc::sysconf(libc::_SC_OPEN_MAX);
        for descriptor in 3..i32::try_from(limit).unwrap_or(1024).clamp(256, 65_536) {
            let flags = libc::fcntl(descriptor, libc::F_GETFD);
            if flags >= 0 {
                libc::fcntl(descriptor, libc::F_SETFD, flags | libc::FD_CLOEXEC);
            }
        }
    }
}

/// Takes the lock file that the worker was given as standard error, and lets standard error lead to `/dev/null`.
///
/// # Errors
/// Those of the system.
pub(crate) fn take_lock_from_stderr() -> io::Result<File> {
    // SAFETY: the call takes numbers; the copy is open and nobody else's.
    let lock = unsafe { File::from_raw_fd(retry(|| libc::fcntl(2, libc::F_DUPFD_CLOEXEC, 3))?) };
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    // SAFETY: both descriptors are open.
    retry(|| unsafe { libc::dup2(null.as_raw_fd(), 2) })?;
    Ok(lock)
}

/// Takes standard input as a file without a buffer, so that waiting for it misses nothing that was already read.
///
/// # Errors
/// Those of the system.
pub(crate) fn take_stdin() -> io::Result<File> {
    std::io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

/// Waits until `descriptor` can be read or has come to its end; false when `patience` is over or a signal came first.
///
/// # Errors
/// Those of the system.
pub(crate) fn wait_readable(descriptor: &impl AsFd, patience: Duration) -> io::Result<bool> {
    let patience = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    Ok(poll(descriptor, libc::POLLIN, patience)? != 0)
}

fn poll(descriptor: &impl AsFd, events: libc::c_short, milliseconds: i32) -> io::Result<libc::c_short> {
    let mut one = libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events, revents: 0 };
    // SAFETY: the structure lives through the call, and its number is given.
    let answer = unsafe { libc::poll(&raw mut one, 1, milliseconds) };
    if answer >= 0 {
        return Ok(one.revents);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::signals::TERMINATION;
    use std::{
        io::{Read, Write, pipe},
        time::Instant,
    };

    fn temporary_file(name: &str) -> (std::path::PathBuf, File) {
        let path = std::env::temp_dir().join(format!("keyfob-process-{name}-{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        (path, file)
    }

    #[test]
    fn a_pipe_is_readable_when_something_came_and_when_it_ended() {
        let (mut reader, mut writer) = pipe().unwrap();
        let begun = Instant::now();
        assert!(!wait_readable(&reader, Duration::from_millis(30)).unwrap());
        assert!(begun.elapsed() >= Duration::from_millis(25));
        writer.write_all(b"x").unwrap();
        assert!(wait_readable(&reader, Duration::from_secs(60)).unwrap());
        reader.read_exact(&mut [0]).unwrap();
        drop(writer);
        assert!(wait_readable(&reader, Duration::from_secs(60)).unwrap());
    }

    /// Returns the set of signals that a process's status names with `word`.
    #[cfg(target_os = "linux")]
    fn signals(status: &str, word: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_detached_process_has_signals_held_back_and_no_file_size_death() {
        let (path, lock) = temporary_file("signals");
        let (mut reader, writer) = pipe().unwrap();
        // a shell would give itself another mask
        let mut command = Command::new("/bin/cat");
        command.arg("/proc/self/status");
        let mut child = start_detached(command, Stdio::null(), Stdio::from(writer), lock).unwrap();
        let mut status = String::new();
        reader.read_to_string(&mut status).unwrap();
        assert!(child.wait().unwrap().success());
        for signal in TERMINATION {
            assert_ne!(signals(&status, "SigBlk:") & (1 << (signal - 1)), 0, "{signal}");
        }
        assert_ne!(signals(&status, "SigIgn:") & (1 << (libc::SIGXFSZ - 1)), 0);
        std::fs::remove_file(path).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_detached_process_has_its_own_session_the_root_folder_and_no_descriptor_of_ours() {
        use std::os::fd::IntoRawFd;
        let (path, lock) = temporary_file("detached");
        let (leaked, _keep) = temporary_file("leaked");
        // an inheritable descriptor, as a careless parent leaves it
        let inherited = File::open(&leaked).unwrap().into_raw_fd();
        // SAFETY: the descriptor is open.
        unsafe { libc::fcntl(inherited, libc::F_SETFD, 0) };
        let (mut reader, writer) = pipe().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "pwd; cut -d' ' -f6 /proc/$$/stat; echo $$; ls -l /proc/$$/fd; echo to the lock >&2"]);
        let mut child = start_detached(command, Stdio::null(), Stdio::from(writer), lock).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        // SAFETY: the descriptor is ours.
        drop(unsafe { File::from_raw_fd(inherited) });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "/");
        assert_eq!(lines[1], lines[2], "the process leads its session");
        assert!(text.contains("keyfob-process-detached") && !text.contains("keyfob-process-leaked"), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "to the lock\n");
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(leaked).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_browser_starts_with_no_signal_held_back_or_ignored_although_we_hold_them_back() {
        const ODD: libc::c_int = libc::SIGURG;
        let (path, _file) = temporary_file("browser");
        // SAFETY: the call takes numbers; nothing here is sent that signal.
        unsafe { libc::signal(ODD, libc::SIG_IGN) };
        // SAFETY: the set lives through the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &termination_set(), ptr::null_mut()) };
        let mut command = Command::new("/bin/cp");
        command.arg("/proc/self/status").arg(&path);
        let mut child = start_browser(command).unwrap();
        // SAFETY: as above.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &termination_set(), ptr::null_mut()) };
        assert!(child.wait().unwrap().success());
        let status = std::fs::read_to_string(&path).unwrap();
        for signal in TERMINATION.into_iter().chain([libc::SIGCHLD, libc::SIGXFSZ, ODD]) {
            assert_eq!(
                (signals(&status, "SigBlk:") | signals(&status, "SigIgn:")) & (1 << (signal - 1)),
                0,
                "{signal}: {status}"
            );
        }
        std::fs::remove_file(path).unwrap();
    }
}
