//! The tests: they drive the built program from outside, against servers on loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "clock, environment and files are restricted in the program, not around it")]
mod architecture;
mod cached_path;
mod clock;
mod commands;
mod concurrency;
mod crash;
mod device;
mod git;
mod hostile;
mod https;
mod keyless;
mod keys;
mod peers;
mod readme;
mod real;
mod secrets;
mod setup;
mod sources;
mod support;
mod support_selftest;
mod surroundings;
