//! Real git with keyfob as its only helper, against servers on loopback.
mod commands;
mod routes;
mod storage;
mod storage_schemes;
mod unrouted;
pub(crate) mod versions;
