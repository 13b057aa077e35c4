//! Connections that others open: first a seat, then TLS, then the WebSocket, each within its time; then SIP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

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
        let mut told = Told::default();
        loop {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, peer)) => match self.seats.take(peer.ip()) {
                    Ok(seat) => drop(connections.spawn(self.clone().welcome(stream, peer, seat))),
                    Err(refusal) => self.turn_away(peer, refusal, &mut told),
                },
                Err(error) => {
                    // Out of descriptors, most likely: give others time to close theirs.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn turn_away(&self, peer: SocketAddr, refusal: Refusal, told: &mut Told) {
        self.context.refused(self.transport, refusal);
        let Some(untold) = told.say(Instant::now()) else { return };
        let limit = if refusal == Refusal::Source {
            "limits.connections_per_source"
        } else {
            "limits.connections"
        };
        tracing::warn!(%peer, transport = %self.transport, untold, "connection refused: {limit} is reached");
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

/// What the log was told of those who are turned away: a line a second, or who knocks would fill the disk.
#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl Told {
    /// How many were not told of before this one; `None` if this one is not either.
    fn say(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + TOLD_EACH) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// How often the log is told that somebody was turned away.
const TOLD_EACH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_the_log_is_told_once_a_second_and_how_many_it_was_not_told_of() {
        let (mut told, start) = (Told::default(), Instant::now());
        let millis = |after| start + Duration::from_millis(after);

        let said = [0, 1, 999, 1_000, 2_500].map(|after| told.say(millis(after)));

        assert_eq!(said, [Some(0), None, None, Some(2), Some(0)]);
    }
}
