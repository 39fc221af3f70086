//! Nothing that was received is ever lost: processes that are killed at every system call and at any time, and disks that fail.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "figures are for whoever asks for them with --nocapture")]
mod errors;
mod found;
mod kills;
mod random;
mod rescue;
mod sample;
mod stage;
mod traced;
