//! Real git with keyfob as its only helper, against servers on loopback.
mod accounts;
mod callers;
mod commands;
mod healing;
mod hosts;
mod open_input;
mod organisations;
mod parallel;
mod plain_http;
mod routes;
mod storage;
mod storage_schemes;
mod told;
mod unrouted;
pub(crate) mod versions;
