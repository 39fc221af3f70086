//! Real git with keyfob as its only helper, against servers on loopback.
mod accounts;
mod callers;
mod commands;
mod healing;
mod open_input;
mod parallel;
mod routes;
mod storage;
mod storage_schemes;
mod told;
mod unrouted;
pub(crate) mod versions;
