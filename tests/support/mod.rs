//! What the tests and the test programs share: servers, homes, and ways to run the built program.
#![allow(dead_code, reason = "each program, and the tests, use a part of this")]
#![allow(unreachable_pub, reason = "each test and each program includes this tree as a private module")]
#![allow(clippy::disallowed_methods, reason = "clock, environment and files are restricted in the program, not around it")]
pub mod authorization_server;
pub mod browser;
pub mod clock;
#[cfg(test)]
pub mod containers;
#[cfg(test)]
pub mod crowd;
pub mod encoding;
#[cfg(test)]
pub mod forge;
#[cfg(test)]
pub mod front;
pub mod git_server;
#[cfg(test)]
pub mod home;
pub mod http_client;
pub mod http_server;
pub mod introspection;
pub mod jose;
#[cfg(test)]
pub mod kernel_keyring;
pub mod lfs;
pub mod oci_image;
#[cfg(test)]
pub mod open_sign_in;
#[cfg(test)]
pub mod peers;
#[cfg(test)]
pub mod ports;
pub mod process;
pub mod program;
#[cfg(test)]
pub mod proxy;
pub mod registry;
#[cfg(test)]
pub mod scene;
pub mod sts;
pub mod temp_dir;
#[cfg(test)]
pub mod terminal;
pub mod tls;
