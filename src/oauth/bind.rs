//! Binds the port that one authorization response comes to, at every address where its redirect URI can lead.
use crate::config::LoopbackHost;
use crate::failure::{Failure, Kind};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// How many ports of the system's choice are tried where two addresses need the same one.
const ATTEMPTS: usize = 16;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Binds the first free one of `ports` for `host`, or a port the system picks where none is fixed; returns the sockets, which listen, and
/// the port they share.
///
/// Where `host` is the name, both addresses are bound (RFC 8252 §8.3): a browser may take either, and who holds the other would get
/// the code.
///
/// # Errors
/// [`Kind::Misconfigured`] naming the addresses and, as far as the system tells, who holds them.
pub(super) fn bind(host: LoopbackHost, ports: &[u16]) -> Result<(Vec<TcpListener>, u16), Failure> {
    let addresses = match host {
        LoopbackHost::V4 => &[V4][..],
        LoopbackHost::V6 => &[V6],
        LoopbackHost::Localhost if has_ipv6() => &[V4, V6],
        // no browser of this machine reaches an address that it does not have, and nobody else can listen there
        LoopbackHost::Localhost => &[V4],
    };
    let any = [0; ATTEMPTS];
    let mut taken = Vec::new();
    for port in if ports.is_empty() { &any[..] } else { ports } {
        match bind_all(addresses, *port) {
            Ok(bound) => return Ok(bound),
            Err(refused) => taken.push(refused),
        }
    }
    if ports.is_empty() {
        // one of them says it
        taken.truncate(1);
    }
    Err(nothing_free(host, &taken))
}

/// Whether this machine has the address at all: containers and hardened machines may not.
fn has_ipv6() -> bool {
    TcpListener::bind((V6, 0)).is_ok()
}

fn bind_all(addresses: &[IpAddr], port: u16) -> Result<(Vec<TcpListener>, u16), (SocketAddr, io::Error)> {
    let mut port = port;
    let mut listeners = Vec::new();
    for address in addresses {
        let wanted = SocketAddr::new(*address, port);
        let bound = TcpListener::bind(wanted).and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        let (given, listener) = bound.map_err(|error| (wanted, error))?;
        port = given;
        listeners.push(listener);
    }
    Ok((listeners, port))
}

fn nothing_free(host: LoopbackHost, taken: &[(SocketAddr, io::Error)]) -> Failure {
    let reasons: Vec<String> = taken.iter().map(|(address, error)| reason(*address, error)).collect();
    let failure = Failure::new(Kind::Misconfigured, "cannot listen for the answer to the sign-in").because(reasons.join(", "));
    let (v4, v6) = (LoopbackHost::V4.name(), LoopbackHost::V6.name());
    match host {
        LoopbackHost::V6 if !has_ipv6() => failure.hint(format!("register the redirect with {v4}: this machine has no {v6}")),
        LoopbackHost::Localhost if taken.iter().any(|(address, _)| address.is_ipv6()) => failure.hint(format!(
            "end what listens there, for `localhost` may lead a browser to it, or register the redirect with {v4} instead"
        )),
        _ => failure.hint("end what listens there, or register further ports and name them in `redirect_ports`"),
    }
}

fn reason(address: SocketAddr, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::AddrInUse {
        return format!("{address}: {error}");
    }
    match crate::os::listener_uid(address) {
        Some(uid) if uid == crate::os::effective_uid() => format!("{address} is taken by a program of yours"),
        Some(0) => format!("{address} is taken by a program of the system"),
        Some(uid) => format!("{address} is taken by another user (uid {uid})"),
        None => format!("{address} is taken"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LoopbackHost::{Localhost, V4 as Four, V6 as Six};

    fn addresses(listeners: &[TcpListener]) -> Vec<IpAddr> {
        listeners.iter().map(|listener| listener.local_addr().unwrap().ip()).collect()
    }

    /// Whether [::1] can be listened on; says so where not.
    fn six() -> bool {
        if !has_ipv6() {
            println!("SKIPPED: this machine has no [::1], so nothing of it was tested");
        }
        has_ipv6()
    }

    #[test]
    fn a_literal_address_is_bound_alone_and_the_name_at_both() {
        assert_eq!(addresses(&bind(Four, &[]).unwrap().0), [V4]);
        if six() {
            assert_eq!(addresses(&bind(Six, &[]).unwrap().0), [V6]);
            let (both, port) = bind(Localhost, &[]).unwrap();
            assert_eq!(addresses(&both), [V4, V6]);
            assert!(both.iter().all(|listener| listener.local_addr().unwrap().port() == port));
        } else {
            assert_eq!(addresses(&bind(Localhost, &[]).unwrap().0), [V4]);
        }
    }

    #[test]
    fn the_first_free_port_is_taken_and_all_taken_ones_are_named() {
        let holders: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind((V4, 0)).unwrap()).collect();
        let taken: Vec<u16> = holders.iter().map(|holder| holder.local_addr().unwrap().port()).collect();
        let free = TcpListener::bind((V4, 0)).unwrap().local_addr().unwrap().port();
        assert_eq!(bind(Four, &[taken[0], free, taken[1]]).unwrap().1, free);
        let said = bind(Four, &taken).unwrap_err().lines();
        for port in &taken {
            let holder = if cfg!(target_os = "linux") { " by a program of yours" } else { "" };
            assert!(said.contains(&format!("127.0.0.1:{port} is taken{holder}")), "{said}");
        }
        assert!(said.contains("redirect_ports"), "{said}");
    }

    #[test]
    fn a_name_whose_other_address_is_taken_goes_on_to_the_next_port_or_is_refused() {
        if !six() {
            return;
        }
        let squatter = TcpListener::bind((V6, 0)).unwrap();
        let port = squatter.local_addr().unwrap().port();
        let said = bind(Localhost, &[port]).unwrap_err().lines();
        assert!(
            said.contains(&format!("[::1]:{port} is taken")) && said.contains("register the redirect with 127.0.0.1"),
            "{said}"
        );
        assert_eq!(bind(Four, &[port]).unwrap().1, port, "the literal address leads nowhere else");
        let (_, free) = bind(Localhost, &[]).unwrap();
        assert_eq!(bind(Localhost, &[port, free]).unwrap().1, free);
    }
}
