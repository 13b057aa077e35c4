//! What all connections have in common, whatever carries them: a name, a way to the writer, an end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::sip::endpoint::Packet;
use crate::sip::transport::{Refusal, Transport};

use super::tls::Tls;
use super::{Event, Options, stream};

/// Messages that may wait for a slow peer; one more closes the connection.
const WRITE_QUEUE: usize = 256;

/// Names a connection: how and whom it reaches, and as whom the peer has proved itself to us.
///
/// Two domains at one address have a connection each (RFC 5923 §3.5). One that a peer opened has proved nothing.
pub(super) type Key = (Transport, SocketAddr, Option<String>);

/// The way to a connection's writer.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) id: u64,
    writes: mpsc::Sender<Bytes>,
}

impl Connection {
    /// A connection, and what its writer reads from; what is sent before it is up waits.
    pub(super) fn new(id: u64) -> (Self, mpsc::Receiver<Bytes>) {
        let (writes, queue) = mpsc::channel(WRITE_QUEUE);
        (Self { id, writes }, queue)
    }

    /// Queues `bytes`, or gives them back when the connection is gone or hopelessly slow.
    pub(super) fn send(&self, bytes: Bytes) -> Result<(), Bytes> {
        self.writes.try_send(bytes).map_err(mpsc::error::TrySendError::into_inner)
    }
}

/// Both ends of a connection that is up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    local: SocketAddr,
}

impl Link {
    pub(super) fn of(
        transport: Transport,
        peer: SocketAddr,
        stream: &TcpStream,
    ) -> io::Result<Self> {
        drop(stream.set_nodelay(true)); // only slower without
        Ok(Self { transport, peer, local: stream.local_addr()? })
    }
}

/// What every connection needs.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) options: Arc<Options>,
    pub(super) tls: Tls,
}

/// Nobody takes messages any more.
#[derive(Debug)]
pub(super) struct BridgeGone;

impl Context {
    /// Hands a message on. A full queue stops the reading: TCP slows the peer down.
    pub(super) async fn deliver(&self, link: &Link, bytes: Bytes) -> Result<(), BridgeGone> {
        let Link { transport, peer, local } = *link;
        let packet = Packet { transport, peer, local, bytes };
        self.events.send(Event::Packet(packet)).await.map_err(|_| BridgeGone)
    }

    /// Counts what was not taken or kept. Where that comes in floods, not each is counted.
    pub(super) fn refused(&self, transport: Transport, refusal: Refusal) {
        drop(self.events.try_send(Event::Refused(transport, refusal)));
    }

    /// Tells the end of a connection, and the log why.
    pub(super) async fn close(&self, key: Key, id: u64, ended: io::Result<()>) {
        if let Err(error) = ended {
            tracing::debug!(peer = %key.1, transport = %key.0, %error, "connection ended");
        }
        drop(self.events.send(Event::Closed(key, id)).await); // the bridge may be gone: then nobody cares
    }
}

/// Opens a connection, inside TLS if the key names a domain, and serves it.
pub(super) async fn open(key: Key, id: u64, writes: mpsc::Receiver<Bytes>, context: Context) {
    let (transport, peer) = (key.0, key.1);
    let ended = match &key.2 {
        None => open_plain(peer, writes, &context).await,
        Some(domain) => open_secure((peer, domain), writes, &context).await,
    };
    let was_up = ended.is_ok();
    context.close(key, id, ended.flatten()).await;
    if !was_up {
        drop(context.events.send(Event::Failed(transport, peer)).await);
    }
}

/// How the connection ended; the outer error: before it was up.
async fn open_plain(
    peer: SocketAddr,
    writes: mpsc::Receiver<Bytes>,
    context: &Context,
) -> io::Result<io::Result<()>> {
    let stream = connect(peer, context).await?;
    let link = Link::of(Transport::Tcp, peer, &stream)?;
    Ok(stream::serve(stream, &link, writes, context).await)
}

/// How the connection ended; the outer error: before it was up.
async fn open_secure(
    (peer, domain): (SocketAddr, &str),
    writes: mpsc::Receiver<Bytes>,
    context: &Context,
) -> io::Result<io::Result<()>> {
    let stream = connect(peer, context).await?;
    let link = Link::of(Transport::Tls, peer, &stream)?;
    let shaking = timeout(context.options.handshake, context.tls.dial(domain, stream));
    let shaken = shaking.await.map_err(io::Error::from).flatten().inspect_err(|error| {
        tracing::warn!(%peer, domain, %error, "no TLS with whom we call");
        context.refused(Transport::Tls, Refusal::Handshake);
    });
    Ok(stream::serve(shaken?, &link, writes, context).await)
}

async fn connect(peer: SocketAddr, context: &Context) -> io::Result<TcpStream> {
    timeout(context.options.connect, TcpStream::connect(peer)).await?
}
