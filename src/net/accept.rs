//! Connections that others open: first a seat, then TLS, then the WebSocket, each within its time; then SIP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sip::transport::{Refusal, Transport};

use super::connection::{Connection, Context, Link};
use super::seats::{Seat, Seats};
use super::{Event, stream, websocket};

/// What a listener knows.
#[derive(Clone, Debug)]
pub(super) struct Acceptor {
    pub(super) transport: Transport,
    pub(super) seats: Seats,
    pub(super) context: Context,
}

impl Acceptor {
    /// Accepts until the bridge is gone; connections beyond the limits are closed at once.
    pub(super) async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, peer)) => match self.seats.take(peer.ip()) {
                    Ok(seat) => drop(connections.spawn(self.clone().welcome(stream, peer, seat))),
                    Err(refusal) => self.turn_away(peer, refusal),
                },
                Err(error) => {
                    // Out of descriptors, most likely: give others time to close theirs.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn turn_away(&self, peer: SocketAddr, refusal: Refusal) {
        let limit = if refusal == Refusal::Source {
            "limits.connections_per_source"
        } else {
            "limits.connections"
        };
        tracing::warn!(%peer, transport = %self.transport, "connection refused: {limit} is reached");
        self.context.refused(self.transport, refusal);
    }

    async fn welcome(self, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        let Ok(link) = Link::of(self.transport, peer, &stream) else { return };
        if !self.transport.is_secure() {
            return self.serve(stream, link, seat).await;
        }
        let limit = self.context.options.handshake;
        let shaking = timeout(limit, self.context.tls.accept(self.transport, stream));
        match shaking.await.map_err(io::Error::from).flatten() {
            Ok(stream) => self.serve(stream, link, seat).await,
            Err(error) => {
                tracing::info!(%peer, transport = %self.transport, %error, "connection refused: no TLS");
                self.context.refused(self.transport, Refusal::Handshake);
            }
        }
    }

    async fn serve<S>(self, stream: S, link: Link, seat: Seat)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let context = &self.context;
        let (connection, writes) = Connection::new(seat.id);
        let key = (link.transport, link.peer, None);
        let announced = Event::Connected(key.clone(), connection);
        let ended = if link.transport.is_websocket() {
            let Some(socket) = websocket::upgrade(stream, &link, context).await else { return };
            if context.events.send(announced).await.is_err() {
                return;
            }
            websocket::serve(socket, &link, writes, context).await
        } else {
            if context.events.send(announced).await.is_err() {
                return;
            }
            stream::serve(stream, &link, writes, context).await
        };
        context.close(key, seat.id, ended).await;
    }
}
