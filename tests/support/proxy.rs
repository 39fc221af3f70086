//! A small proxy on loopback: it opens ways by CONNECT or SOCKS 5 to one server, or to one for each port, whatever name is asked for, counts
//! them, and misbehaves on demand. With a TLS identity it is an https proxy.
use super::tls::TlsIdentity;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a proxy does with a request.
#[derive(Clone, Debug)]
pub enum Way {
    /// Lets everybody through.
    Open,
    /// Lets who brings these credentials through: `user:password`.
    For(String),
    /// Answers these bytes and closes.
    Say(&'static str),
    /// Closes without a byte.
    Close,
}

/// One request that came: where to, and with which `Proxy-Authorization`, or which user name and password of SOCKS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub target: String,
    pub credentials: Option<String>,
}

struct Shared {
    way: Way,
    /// The port that is asked for, where that counts, and the server's port on this machine that it leads to.
    servers: Vec<(Option<u16>, u16)>,
    asked: Mutex<Vec<Asked>>,
}

/// A running proxy. It stops when dropped.
pub struct TestProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl TestProxy {
    /// A proxy that leads to the server on this port of 127.0.0.1.
    pub fn start(way: Way, server: u16) -> Self {
        Self::start_with(way, server, None)
    }

    /// A proxy that leads from each port that is asked for to a server on 127.0.0.1, and from others nowhere.
    pub fn start_by_port(servers: &[(u16, u16)]) -> Self {
        Self::start_among(Way::Open, servers.iter().map(|(asked, server)| (Some(*asked), *server)).collect(), None)
    }

    pub fn start_with(way: Way, server: u16, identity: Option<&TlsIdentity>) -> Self {
        Self::start_among(way, vec![(None, server)], identity)
    }

    fn start_among(way: Way, servers: Vec<(Option<u16>, u16)>, identity: Option<&TlsIdentity>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { way, servers, asked: Mutex::default() });
        let (for_requests, identity) = (Arc::clone(&shared), identity.cloned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if Arc::strong_count(&for_requests) == 1 {
                    return;
                }
                let (shared, identity) = (Arc::clone(&for_requests), identity.clone());
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
                    match identity {
                        None => serve(&shared, &mut &stream),
                        Some(identity) => serve(&shared, &mut identity.accept(stream)),
                    }
                });
            }
        });
        Self { address, shared }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Every request, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        let address = self.address;
        // once the handle is gone the next connection ends the thread
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let _ = TcpStream::connect(address);
        });
    }
}

fn serve(shared: &Shared, client: &mut (impl Read + Write)) {
    let Some(first) = byte(client) else { return };
    let _ = if first == 5 { socks(shared, client) } else { connect(shared, client, first) };
}

/// One byte, waited for as long as it takes; none at the end.
fn byte(client: &mut impl Read) -> Option<u8> {
    let mut one = [0];
    loop {
        match client.read(&mut one) {
            Ok(0) => return None,
            Ok(_) => return Some(one[0]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return None,
        }
    }
}

fn bytes(client: &mut impl Read, count: usize) -> Option<Vec<u8>> {
    (0..count).map(|_| byte(client)).collect()
}

fn note(shared: &Shared, target: String, credentials: Option<String>) {
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { target, credentials });
}

fn connect(shared: &Shared, client: &mut (impl Read + Write), first: u8) -> Option<()> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(client)?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split_ascii_whitespace().nth(1)?.to_owned();
    let basic = head.lines().find_map(|line| line.strip_prefix("proxy-authorization: Basic "));
    let credentials = basic.and_then(super::encoding::from_base64).map(|text| String::from_utf8_lossy(&text).into_owned());
    let port = target.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    note(shared, target, credentials.clone());
    let said = match &shared.way {
        Way::Close => return None,
        Way::Say(said) => said,
        Way::For(wanted) if credentials.as_ref() != Some(wanted) => {
            "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n"
        }
        Way::Open | Way::For(_) => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
            client.flush().ok()?;
            return relay(shared, client, port?);
        }
    };
    client.write_all(said.as_bytes()).ok()?;
    client.flush().ok()?;
    // closed over what was not read yet, a connection is reset, and the answer may never be seen; some clients wait for that end
    for _ in 0..250 {
        match client.read(&mut [0; 4096]) {
            Ok(count) if count > 0 => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    Some(())
}

/// RFC 1928 and RFC 1929, as far as one client needs them.
fn socks(shared: &Shared, client: &mut (impl Read + Write)) -> Option<()> {
    let count = byte(client)?;
    let offered = bytes(client, count.into())?;
    let mut credentials = None;
    let wants = matches!(shared.way, Way::For(_));
    client
        .write_all(&[
            5,
            if !wants {
                0
            } else if offered.contains(&2) {
                2
            } else {
                0xff
            },
        ])
        .ok()?;
    client.flush().ok()?;
    if wants {
        let word = |client: &mut _| -> Option<String> {
            let length = byte(client)?;
            Some(String::from_utf8_lossy(&bytes(client, length.into())?).into_owned())
        };
        byte(client)?;
        let (user, password) = (word(client)?, word(client)?);
        credentials = Some(format!("{user}:{password}"));
    }
    if let Way::For(wanted) = &shared.way {
        let good = credentials.as_ref() == Some(wanted);
        client.write_all(&[1, u8::from(!good)]).ok()?;
        client.flush().ok()?;
        if !good {
            note(shared, String::new(), credentials);
            return None;
        }
    }
    let head = bytes(client, 4)?;
    let host = match head[3] {
        1 => bytes(client, 4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        _ => {
            let length = byte(client)?;
            String::from_utf8_lossy(&bytes(client, length.into())?).into_owned()
        }
    };
    let port = bytes(client, 2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    note(shared, format!("{host}:{port}"), credentials);
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).ok()?;
    client.flush().ok()?;
    relay(shared, client, port)
}

/// Carries bytes both ways between `client`, who asked for `port`, and the server that leads to, until either side ends.
fn relay(shared: &Shared, client: &mut (impl Read + Write), port: u16) -> Option<()> {
    let (_, server) = shared.servers.iter().find(|(asked, _)| asked.is_none_or(|asked| asked == port))?;
    let mut server = TcpStream::connect(("127.0.0.1", *server)).ok()?;
    server.set_read_timeout(Some(Duration::from_millis(20))).ok()?;
    let mut buffer = [0; 16 << 10];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => server.write_all(&buffer[..count]).ok()?,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        match server.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                client.write_all(&buffer[..count]).ok()?;
                client.flush().ok()?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    server.shutdown(Shutdown::Both).ok()
}
