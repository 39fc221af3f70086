//! Ports that are free until whoever was told them listens there.
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody listens at, at either address of this machine, and that no two tests get. It lies below those that the system gives
/// out by itself to whoever asks for any, or connects to somebody.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // another test program begins elsewhere
    let start = std::process::id().wrapping_mul(977) % u32::from(COUNT);
    for _ in 0..COUNT {
        let place = (start + u32::from(GIVEN.fetch_add(1, Ordering::SeqCst))) % u32::from(COUNT);
        let port = FIRST + u16::try_from(place).expect("it is less than their count");
        let is_taken =
            |address: &str| TcpListener::bind((address, port)).is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
        if !is_taken("127.0.0.1") && !is_taken("::1") {
            return port;
        }
    }
    panic!("no port is free");
}
