//! Real git with keyfob as its only helper, against servers on loopback.
mod accounts;
mod commands;
mod routes;
mod storage;
mod storage_schemes;
mod unrouted;
mod versions;
