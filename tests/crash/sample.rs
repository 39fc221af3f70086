//! Which points of a long round a short one takes: every so many from an offset that is printed, or given to repeat a run.
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// Fixes what is random about a run; it is printed by each.
const OFFSET: &str = "KEYFOB_TESTS_CRASH_OFFSET";

/// Whether long rounds were asked for.
pub(super) fn soak() -> bool {
    std::env::var_os("KEYFOB_TESTS_SOAK").is_some_and(|value| value == "1")
}

/// A number that differs by run, unless it is fixed.
pub(super) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let fixed = std::env::var(OFFSET).ok().map(|text| text.parse().expect("the offset is a number"));
        fixed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) % 1_000_000)
    })
}

/// All of `points` in a long round, else every `stride`th of them.
pub(super) fn some<T>(what: &str, points: Vec<T>, stride: usize) -> Vec<T> {
    if soak() {
        return points;
    }
    let (all, seed) = (points.len(), seed());
    let offset = usize::try_from(seed).expect("a seed is small") % stride;
    let taken: Vec<T> = points.into_iter().skip(offset).step_by(stride).collect();
    eprintln!("{what}: {} of {all} points, every {stride}th from {offset} ({OFFSET}={seed} repeats it)", taken.len());
    taken
}

/// Numbers that look random and depend on the seed alone (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
