//! Requests that come to a callback's port and are not the callback: what browsers, scanners and other pages send.
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Sends each in turn; `[{name, status}]`, status null where the connection ended without an answer.
pub(super) fn send(port: u16) -> Vec<Value> {
    let host = format!("127.0.0.1:{port}");
    let wrong_state = "/callback?code=stray&state=stray-state-of-another-page-entirely";
    let request = |method: &str, target: &str, host: &str| {
        format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").into_bytes()
    };
    let all = [
        ("favicon", request("GET", "/favicon.ico", &host)),
        ("wrong state", request("GET", wrong_state, &host)),
        ("no state", request("GET", "/callback?code=stray", &host)),
        ("wrong path", request("GET", "/elsewhere?code=stray&state=stray", &host)),
        ("wrong method", request("POST", wrong_state, &host)),
        ("wrong host", request("GET", wrong_state, "attacker.example")),
        ("TLS hello", b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03\x00\x01\x02\x03\r\n\r\n".to_vec()),
    ];
    all.iter().map(|(name, bytes)| json!({ "name": name, "status": status(port, bytes) })).collect()
}

fn status(port: u16, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    stream.write_all(bytes).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split_ascii_whitespace().nth(1)?.parse().ok()
}
