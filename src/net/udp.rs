//! SIP over UDP.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::sip::endpoint::Packet;
use crate::sip::transport::Transport;

use super::Event;

/// The largest datagram there is.
const LARGEST: usize = 65_535;

/// Reads until the bridge is gone. A full queue drops the datagram: SIP sends it again, and a flood costs no memory.
pub(super) async fn read(socket: Arc<UdpSocket>, local: SocketAddr, events: mpsc::Sender<Event>) {
    let mut buffer = vec![0; LARGEST];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, peer)) => {
                let bytes = Bytes::copy_from_slice(&buffer[..length]);
                let packet = Packet { transport: Transport::Udp, peer, local, bytes };
                match events.try_send(Event::Packet(packet)) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        tracing::debug!(%peer, "datagram dropped: the SIP queue is full");
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => return,
                }
            }
            // An ICMP error of an earlier send; the socket is fine.
            Err(error) => tracing::debug!(%error, "receive failed"),
        }
    }
}
