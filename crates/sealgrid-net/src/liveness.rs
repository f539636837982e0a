//! Noticing at once that a peer's process has ended.
//!
//! A killed process says no goodbye, and in QUIC its silence becomes a loss only at the idle timeout. But the system it
//! ran on answers a datagram to the port that nobody holds any more with an ICMP "port unreachable", and a *connected*
//! UDP socket reports that as an error. So where calls wait and nothing arrives, one byte is sent from such a socket,
//! a few times a second; an endpoint that lives drops it unread, and long calls of a living peer go on.
//!
//! What the answer is worth: it makes a caller turn to somebody else, no more. Who can forge it sees the packets and
//! could as well drop them all; others have to guess the port of a socket that lives for a tenth of a second. Where a
//! firewall swallows the answer, or the whole machine is gone, the idle timeout remains.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Weak;
use std::time::Duration;

use iroh::endpoint::Connection;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use crate::call::Link;
use crate::endpoint::close;

/// How often a connection on which calls wait is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a system may take to say that nobody holds the port.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// Closes `connection` when calls wait on it, nothing arrives, and nobody holds any of the peer's `addresses`. Ends
/// with the connection.
pub(crate) fn watch(connection: &Connection, link: Weak<Link>, addresses: Vec<SocketAddr>) {
    if addresses.is_empty() {
        return;
    }
    let (handle, mut heard) = (connection.weak_handle(), 0);
    tokio::spawn(async move {
        loop {
            sleep(LOOK_EVERY).await;
            let (Some(connection), Some(link)) = (handle.upgrade(), link.upgrade()) else { return };
            if connection.close_reason().is_some() {
                return;
            }
            let last = std::mem::replace(&mut heard, connection.stats().udp_rx.datagrams);
            if last == heard && link.has_calls() && nobody_at(&addresses).await {
                connection.close(close::SILENT, b"silent");
                return;
            }
        }
    });
}

/// Returns when nobody holds any of `addresses`, seen twice, so that a process that is just starting is not missed.
/// Never where that cannot be seen.
pub(crate) async fn gone(addresses: &[SocketAddr]) {
    let mut seen = 0;
    loop {
        seen = if !addresses.is_empty() && nobody_at(addresses).await { seen + 1 } else { 0 };
        if seen == 2 {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn nobody_at(addresses: &[SocketAddr]) -> bool {
    for address in addresses {
        if !is_refused(*address).await {
            return false;
        }
    }
    true
}

async fn is_refused(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let asked = async {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        // Neither a long nor a short header of QUIC (RFC 9000, 17.2 and 17.3): dropped where somebody listens.
        socket.send(&[0]).await?;
        socket.recv(&mut [0]).await
    };
    matches!(timeout(ANSWER_TIME, asked).await, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_refused_when_nobody_holds_it_and_only_then() {
        let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let let_go = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let (held_at, free_at) = (held.local_addr().expect("bound"), let_go.local_addr().expect("bound"));
        assert!(!nobody_at(&[free_at]).await);
        drop(let_go);
        assert!(nobody_at(&[free_at]).await);
        assert!(!nobody_at(&[free_at, held_at]).await, "one way to the peer is enough");
    }
}
