//! The services that only Linux has, on every other system: they are not there, and say so.
use super::{KernelKeyError, SecretService};
use std::{net::SocketAddr, time::Duration};
use zeroize::Zeroizing;

/// As on Linux; here there is no keyring in the kernel.
///
/// # Errors
/// [`KernelKeyError::Unsupported`] always.
pub(crate) fn kernel_key_read(_: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KernelKeyError> {
    Err(KernelKeyError::Unsupported)
}

/// As on Linux; here there is no keyring in the kernel.
///
/// # Errors
/// [`KernelKeyError::Unsupported`] always.
pub(crate) fn kernel_key_write(_: &str, _: &[u8], _: Option<Duration>) -> Result<(), KernelKeyError> {
    Err(KernelKeyError::Unsupported)
}

/// As on Linux; here there is no keyring in the kernel.
///
/// # Errors
/// [`KernelKeyError::Unsupported`] always.
pub(crate) fn kernel_key_remove(_: &str) -> Result<(), KernelKeyError> {
    Err(KernelKeyError::Unsupported)
}

/// As on Linux; here the system does not tell.
pub(crate) fn connection_uid(_: SocketAddr, _: SocketAddr) -> Option<u32> {
    None
}

/// As on Linux; here the system does not tell.
pub(crate) fn listener_uid(_: SocketAddr) -> Option<u32> {
    None
}

/// As on Linux; here the keyring is part of the system, tells "locked" from "no such item" by itself, and asks by itself.
///
/// # Errors
/// Never.
pub(crate) fn secret_service(_: Duration) -> Result<SecretService, String> {
    Ok(SecretService::Ready)
}
