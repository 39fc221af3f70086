//! The test servers judge keyfob; here real clients and wrong requests judge the test servers.
mod authorization_server;
mod browser;
mod containers;
mod git;
mod homes;
mod sts;
