//! The first instruction of ours: on glibc Linux the C library calls it, without the Rust runtime's start in between.
//!
//! That start reads `/proc/self/maps` and sets an overflow handler up, which costs a tenth of a millisecond and a quarter of the system
//! calls of a cached answer. What it would do for us, [`super::harden`] does: descriptors 0 to 2 are open, SIGPIPE is ignored. What is
//! lost is the sentence that a stack overflow would print; the guard page still ends the process. `src/build.rs` says where.

/// Makes `$run`, a function that returns an exit code, the program.
macro_rules! entry {
    ($run:path) => {
        #[cfg(all(bare_start, not(test)))]
        #[allow(unsafe_code, reason = "the name is the one that the C library calls, and nobody else has it")]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            i32::from($run())
        }

        #[cfg(not(all(bare_start, not(test))))]
        fn main() -> std::process::ExitCode {
            std::process::ExitCode::from($run())
        }
    };
}

pub(crate) use entry;
