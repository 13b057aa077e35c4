//! SIP over TCP (RFC 3261 §18): a reader and a writer per connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sip::endpoint::Packet;
use crate::sip::transport::{Frame, Framer, Transport};

use super::trace::{self, Direction};
use super::{Event, Options};

/// Messages that may wait for a slow peer; one more closes the connection.
const WRITE_QUEUE: usize = 256;
/// How long a connection that no longer sends may still be sent to.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The way to a connection's writer.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) id: u64,
    writes: mpsc::Sender<Bytes>,
}

impl Connection {
    /// A connection that is about to be opened; what is sent meanwhile waits.
    pub(super) fn outgoing(id: u64) -> (Self, mpsc::Receiver<Bytes>) {
        let (writes, queue) = mpsc::channel(WRITE_QUEUE);
        (Self { id, writes }, queue)
    }

    /// Queues `bytes`, or gives them back when the connection is gone or hopelessly slow.
    pub(super) fn send(&self, bytes: Bytes) -> Result<(), Bytes> {
        self.writes.try_send(bytes).map_err(mpsc::error::TrySendError::into_inner)
    }
}

/// Accepts until the bridge is gone; connections beyond the limit are closed at once.
pub(super) async fn accept(
    listener: TcpListener,
    events: mpsc::Sender<Event>,
    options: Arc<Options>,
) {
    let seats = Arc::new(Semaphore::new(options.connections));
    let mut connections = JoinSet::new();
    let mut id = 1 << 32; // apart from those we open
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
                    tracing::warn!(%peer, "connection refused: net.connections is reached");
                    continue;
                };
                id += 1;
                let (connection, writes) = Connection::outgoing(id);
                let (events, options) = (events.clone(), Arc::clone(&options));
                connections.spawn(async move {
                    let announced = events.send(Event::Connected(peer, connection)).await;
                    if announced.is_ok() {
                        serve(stream, (peer, id), writes, &events, &options).await;
                    }
                    drop(seat);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: give others time to close theirs.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Opens a connection and serves it.
pub(super) async fn open(
    peer: SocketAddr,
    connection: Connection,
    writes: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<Event>,
    options: Arc<Options>,
) {
    let id = connection.id;
    drop(connection); // the table holds the other one
    if let Ok(Ok(stream)) = timeout(options.connect, TcpStream::connect(peer)).await {
        serve(stream, (peer, id), writes, &events, &options).await;
    } else {
        drop(events.send(Event::Closed(peer, id)).await);
        drop(events.send(Event::Failed(Transport::Tcp, peer)).await);
    }
}

/// Reads and writes until either side is done.
async fn serve(
    stream: TcpStream,
    (peer, id): (SocketAddr, u64),
    writes: mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<Event>,
    options: &Options,
) {
    drop(stream.set_nodelay(true)); // only slower without
    let Ok(local) = stream.local_addr() else { return };
    let (read, write) = stream.into_split();
    let (replies, answers) = mpsc::channel(4);
    let writing = write_messages(write, writes, answers);
    tokio::pin!(writing);
    let ended = tokio::select! {
        ended = read_messages(read, (peer, local), events, options, replies) => {
            // Answers to what came before the end, and what is to be said about it, still go out.
            drop(timeout(LAST_WORDS, &mut writing).await);
            ended
        }
        ended = &mut writing => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
    drop(events.send(Event::Closed(peer, id)).await); // the bridge may be gone: then nobody cares
}

async fn read_messages(
    mut read: OwnedReadHalf,
    (peer, local): (SocketAddr, SocketAddr),
    events: &mpsc::Sender<Event>,
    options: &Options,
    replies: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let mut framer = Framer::new(options.message);
    let mut buffer = BytesMut::with_capacity(8192);
    loop {
        buffer.clear();
        let length = timeout(options.idle, read.read_buf(&mut buffer)).await??;
        if length == 0 {
            return Ok(());
        }
        framer.push(&buffer);
        while let Some(frame) = framer.poll() {
            match frame {
                Ok(Frame::Message(bytes)) => {
                    let packet = Packet { transport: Transport::Tcp, peer, local, bytes };
                    // A full queue stops the reading: TCP slows the peer down.
                    if events.send(Event::Packet(packet)).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(Frame::Ping) => send(&replies, Bytes::from_static(b"\r\n")), // RFC 5626 §3.5.1
                Err(error) => {
                    if let Some(response) = error.response() {
                        let (bytes, to) = (response.print(), (Transport::Tcp, peer));
                        trace::message(Direction::Sent, to, &bytes, &options.message);
                        send(&replies, bytes);
                    }
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string()));
                }
            }
        }
    }
}

async fn write_messages(
    mut write: OwnedWriteHalf,
    mut writes: mpsc::Receiver<Bytes>,
    mut answers: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    loop {
        let bytes = tokio::select! {
            Some(bytes) = answers.recv() => bytes,
            Some(bytes) = writes.recv() => bytes,
            else => return write.shutdown().await,
        };
        write.write_all(&bytes).await?;
    }
}

/// A peer that asks faster than it reads gets fewer answers.
fn send(replies: &mpsc::Sender<Bytes>, bytes: Bytes) {
    drop(replies.try_send(bytes));
}
