//! The tests: they drive the built program from outside, against servers on loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "clock, environment and files are restricted in the program, not around it")]
mod accounts;
mod architecture;
mod audit;
mod cached_path;
mod choice;
mod clock;
mod commands;
mod concurrency;
mod crash;
mod device;
mod errors;
mod git;
mod hostile;
mod https;
mod keyless;
mod keys;
mod networks;
mod paste;
mod peers;
mod presets;
mod readme;
mod real;
mod secrets;
mod setup;
mod sign_out;
mod sources;
mod support;
mod support_selftest;
mod surroundings;
mod userinfo;
