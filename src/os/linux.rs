//! What only Linux has: a keyring in the kernel, and a table that says whose a loopback connection is.
use super::KernelKeyError;
use std::{
    ffi::CString,
    fmt::Write,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use zeroize::Zeroizing;

const SEARCH: libc::c_long = 10;
const READ: libc::c_long = 11;
const UNLINK: libc::c_long = 9;
const SET_PERMISSION: libc::c_long = 5;
const SET_TIMEOUT: libc::c_long = 15;

/// The keyring of the user, common to all sessions.
const USER_KEYRING: libc::c_long = -4;

/// Everything for the possessor and for the user. A session that does not link the user's keyring possesses nothing in it.
const OURS: libc::c_long = 0x3f3f_0000;

/// More than any key of ours; what is longer is not ours.
const LONGEST: usize = 256;

/// Returns the key `name` from the user's keyring in the kernel; `None` if it is not there, or no longer.
///
/// # Errors
/// [`KernelKeyError::Unsupported`] where the keyring cannot be used at all.
pub(crate) fn kernel_key_read(name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KernelKeyError> {
    let Some(key) = find(name)? else { return Ok(None) };
    let mut bytes = Zeroizing::new(vec![0_u8; LONGEST]);
    // SAFETY: the buffer lives through the call and its length is given.
    let length = match unsafe { libc::syscall(libc::SYS_keyctl, READ, key, bytes.as_mut_ptr(), LONGEST) } {
        length if length >= 0 => usize::try_from(length).unwrap_or(0),
        _ => return absent_or(io::Error::last_os_error()),
    };
    bytes.truncate(length);
    Ok(Some(bytes))
}

/// Keeps `bytes` as the key `name` in the user's keyring in the kernel, readable in every session of the user, and gone after
/// `timeout` or with the machine's next start.
///
/// # Errors
/// [`KernelKeyError::Unsupported`] where the keyring cannot be used at all; otherwise the system's.
pub(crate) fn kernel_key_write(name: &str, bytes: &[u8], timeout: Option<Duration>) -> Result<(), KernelKeyError> {
    let name = c_name(name)?;
    // SAFETY: the strings end in NUL, the bytes' length is given, and all live through the call.
    let key = checked(unsafe {
        libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), bytes.as_ptr(), bytes.len(), USER_KEYRING)
    })?;
    // SAFETY: the calls take numbers.
    unsafe {
        checked(libc::syscall(libc::SYS_keyctl, SET_PERMISSION, key, OURS))?;
        if let Some(timeout) = timeout {
            let seconds = libc::c_long::try_from(timeout.as_secs()).unwrap_or(libc::c_long::MAX);
            checked(libc::syscall(libc::SYS_keyctl, SET_TIMEOUT, key, seconds))?;
        }
    }
    Ok(())
}

/// Removes the key `name` from the user's keyring in the kernel; that it is absent is no error.
///
/// # Errors
/// [`KernelKeyError::Unsupported`] where the keyring cannot be used at all.
pub(crate) fn kernel_key_remove(name: &str) -> Result<(), KernelKeyError> {
    if let Some(key) = find(name)? {
        // SAFETY: the call takes numbers.
        checked(unsafe { libc::syscall(libc::SYS_keyctl, UNLINK, key, USER_KEYRING) })?;
    }
    Ok(())
}

fn find(name: &str) -> Result<Option<libc::c_long>, KernelKeyError> {
    let name = c_name(name)?;
    // SAFETY: the strings end in NUL and live through the call.
    let key = unsafe { libc::syscall(libc::SYS_keyctl, SEARCH, USER_KEYRING, c"user".as_ptr(), name.as_ptr(), 0) };
    if key >= 0 { Ok(Some(key)) } else { absent_or(io::Error::last_os_error()) }
}

fn absent_or<T>(error: io::Error) -> Result<Option<T>, KernelKeyError> {
    match error.raw_os_error() {
        Some(libc::ENOKEY | libc::EKEYEXPIRED | libc::EKEYREVOKED) => Ok(None),
        _ => Err(sorted(error)),
    }
}

fn checked(answer: libc::c_long) -> Result<libc::c_long, KernelKeyError> {
    if answer >= 0 { Ok(answer) } else { Err(sorted(io::Error::last_os_error())) }
}

fn sorted(error: io::Error) -> KernelKeyError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => KernelKeyError::Unsupported,
        _ => KernelKeyError::Failed(error),
    }
}

fn c_name(name: &str) -> Result<CString, KernelKeyError> {
    CString::new(name).map_err(|error| KernelKeyError::Failed(error.into()))
}

/// Returns the user who holds the far end of a loopback connection: `local` is our end, `peer` the far one. `None` if unknown.
pub(crate) fn connection_uid(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|table| owner_in(&std::fs::read_to_string(table).ok()?, local, peer))
}

fn owner_in(table: &str, local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    const TIME_WAIT: &str = "06";
    let wanted = |column: &str, address: SocketAddr| spellings(address).iter().any(|spelling| spelling == column);
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (&near, &far, &state, user) = (columns.get(1)?, columns.get(2)?, columns.get(3)?, columns.get(7)?);
        // the far end's row has the addresses the other way round; one that is closing belongs to nobody
        (state != TIME_WAIT && wanted(near, peer) && wanted(far, local)).then(|| user.parse().ok())?
    })
}

/// Returns the user who listens at `address`, be it by the wildcard. `None` if unknown.
pub(crate) fn listener_uid(address: SocketAddr) -> Option<u32> {
    let wildcards =
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].map(|ip: IpAddr| SocketAddr::new(ip, address.port()));
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    std::iter::once(address).chain(wildcards).find_map(|address| tables.iter().find_map(|table| listener_in(table, address)))
}

fn listener_in(table: &str, address: SocketAddr) -> Option<u32> {
    const LISTEN: &str = "0A";
    let wanted = spellings(address);
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (&near, &state, user) = (columns.get(1)?, columns.get(3)?, columns.get(7)?);
        (state == LISTEN && wanted.iter().any(|spelling| spelling == near)).then(|| user.parse().ok())?
    })
}

/// Returns how the kernel's tables may write `address`: words in the machine's own byte order, then the port.
fn spellings(address: SocketAddr) -> Vec<String> {
    let write = |octets: &[u8]| {
        let mut text = String::new();
        for word in octets.chunks_exact(4) {
            let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            let _ = write!(text, "{word:08X}");
        }
        let _ = write!(text, ":{:04X}", address.port());
        text
    };
    match address.ip() {
        IpAddr::V4(ip) => vec![write(&ip.octets()), write(&ip.to_ipv6_mapped().octets())],
        IpAddr::V6(ip) => {
            let mut all = vec![write(&ip.octets())];
            all.extend(ip.to_ipv4_mapped().map(|ip| write(&ip.octets())));
            all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_kernel_key_is_found_again_expires_and_goes_away() {
        let name = format!("keyfob:test:{}", std::process::id());
        match kernel_key_write(&name, b"first", None) {
            Err(KernelKeyError::Unsupported) => {
                println!("SKIPPED: this system forbids the kernel keyring, so nothing of it was tested");
                return;
            }
            done => done.unwrap(),
        }
        assert_eq!(kernel_key_read(&name).unwrap().unwrap().as_slice(), b"first");
        kernel_key_write(&name, b"second", Some(Duration::from_secs(2))).unwrap();
        assert_eq!(kernel_key_read(&name).unwrap().unwrap().as_slice(), b"second");
        let is_gone = || {
            std::thread::sleep(Duration::from_millis(100));
            kernel_key_read(&name).unwrap().is_none()
        };
        assert!((0..600).any(|_| is_gone()), "it does not expire");
        kernel_key_write(&name, b"third", None).unwrap();
        kernel_key_remove(&name).unwrap();
        assert!(kernel_key_read(&name).unwrap().is_none());
        kernel_key_remove(&name).unwrap();
    }

    #[test]
    fn the_owner_of_a_loopback_connection_is_its_far_end() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                println!("SKIPPED: {address} cannot be listened on here");
                continue;
            };
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            assert_eq!(connection_uid(server.local_addr().unwrap(), peer), Some(crate::os::effective_uid()), "{address}");
        }
    }

    #[test]
    fn who_listens_is_found_by_the_address_or_the_wildcard() {
        let own = Some(crate::os::effective_uid());
        for bound in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let at = SocketAddr::new([127, 0, 0, 1].into(), listener.local_addr().unwrap().port());
            assert_eq!(listener_uid(at), own, "{bound}");
            drop(listener);
            assert_eq!(listener_uid(at), None, "{bound}");
        }
    }

    #[test]
    fn a_row_counts_only_if_both_ends_match_and_it_is_not_closing() {
        if cfg!(target_endian = "big") {
            return;
        }
        let rows = |near: &str, far: &str, state: &str| {
            format!(
                "  sl  local_address rem_address   st\n   1: {near} {far} {state} 00000000:00000000 00:00000000 00000000  1234        0 575 1\n"
            )
        };
        let (local, peer) = ("127.0.0.1:80".parse().unwrap(), "127.0.0.1:4242".parse().unwrap());
        let cases = [
            ("0100007F:1092", "0100007F:0050", "01", Some(1234)),
            ("0000000000000000FFFF00000100007F:1092", "0000000000000000FFFF00000100007F:0050", "01", Some(1234)),
            ("0100007F:0050", "0100007F:1092", "01", None),
            ("0100007F:1092", "0100007F:0051", "01", None),
            ("0100007F:1092", "0100007F:0050", "06", None),
        ];
        for (near, far, state, owner) in cases {
            assert_eq!(owner_in(&rows(near, far, state), local, peer), owner, "{near} {far} {state}");
        }
    }
}
