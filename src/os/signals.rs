//! Signals on Unix: holding back what would end the process, and noticing Ctrl-C.
use std::{
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

/// The signals that ask a process to end.
pub(super) const TERMINATION: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE];

/// Tells whether somebody asked this process to end while those signals were held back.
pub(crate) fn termination_pending() -> bool {
    let mut pending = empty_set();
    // SAFETY: the set is initialised and lives through both calls.
    unsafe {
        libc::sigpending(&raw mut pending);
        [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].into_iter().any(|signal| libc::sigismember(&raw const pending, signal) == 1)
    }
}

/// Does `work` while no signal can end this process; one that came meanwhile ends it then.
pub(crate) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let mut before = empty_set();
    // SAFETY: both sets are initialised and live through the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &termination_set(), &raw mut before) };
    let done = work();
    // SAFETY: the set is the one that was in force, and lives through the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    done
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C set the returned flag instead of ending the process; a wait of [`super::wait_readable`] ends early with it.
pub(crate) fn on_interrupt() -> &'static AtomicBool {
    extern "C" fn note(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::SeqCst);
    }
    // SAFETY: all zeroes is a valid `sigaction`, the handler only stores to an atomic, and both live as long as the process.
    unsafe {
        let mut before: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(libc::SIGINT, ptr::null(), &raw mut before);
        if before.sa_sigaction == libc::SIG_IGN {
            // `nohup` and background jobs mean it
            return &INTERRUPTED;
        }
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGINT, &raw const action, ptr::null_mut());
    }
    &INTERRUPTED
}

pub(super) fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

pub(super) fn termination_set() -> libc::sigset_t {
    let mut set = empty_set();
    for signal in TERMINATION {
        // SAFETY: the set is initialised and the signal exists.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_termination_that_came_while_blocked_is_seen() {
        std::thread::spawn(|| {
            // SAFETY: the set lives through the call; the signal goes to this thread alone, which holds it back.
            unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, &termination_set(), ptr::null_mut());
                assert!(!termination_pending());
                libc::pthread_kill(libc::pthread_self(), libc::SIGHUP);
            }
            assert!(termination_pending());
            let mut taken = 0;
            // SAFETY: the set and the number live through the call; the pending signal makes it return at once.
            unsafe { libc::sigwait(&termination_set(), &raw mut taken) };
            assert_eq!(taken, libc::SIGHUP);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn nothing_ends_what_must_not_be_disturbed() {
        std::thread::spawn(|| {
            let pending = undisturbed(|| {
                // SAFETY: the signal goes to this thread alone, which holds it back.
                unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGHUP) };
                let pending = termination_pending();
                // SAFETY: the call takes numbers; a signal that is ignored while it is pending is dropped.
                unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
                pending
            });
            assert!(pending && !termination_pending());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn an_interrupt_sets_the_flag_and_does_not_end_the_process() {
        let flag = on_interrupt();
        // SAFETY: a handler is in place.
        unsafe { libc::raise(libc::SIGINT) };
        assert!(flag.swap(false, Ordering::SeqCst));
    }
}
