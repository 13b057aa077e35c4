//! SIP on a stream, which may be inside TLS (RFC 3261 §18): a reader and a writer per connection.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::sip::transport::{Frame, Framer, Refusal};

use super::connection::{Context, Link};
use super::trace::{self, Direction};

/// How long a connection that no longer sends may still be sent to.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// Reads and writes until either side is done.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    link: &Link,
    writes: mpsc::Receiver<Bytes>,
    context: &Context,
) -> io::Result<()> {
    let (read, write) = tokio::io::split(stream);
    let (replies, answers) = mpsc::channel(4);
    let writing = write_messages(write, writes, answers);
    tokio::pin!(writing);
    tokio::select! {
        ended = read_messages(read, link, context, replies) => {
            // Answers to what came before the end, and what is to be said about it, still go out.
            drop(timeout(LAST_WORDS, &mut writing).await);
            ended
        }
        ended = &mut writing => ended,
    }
}

async fn read_messages(
    mut read: ReadHalf<impl AsyncRead>,
    link: &Link,
    context: &Context,
    replies: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let options = &context.options;
    let mut framer = Framer::new(options.message);
    let mut buffer = BytesMut::with_capacity(8192);
    let mut time_is_up = pin!(sleep(options.message_time));
    loop {
        buffer.clear();
        let was_within = framer.is_within_message();
        let length = tokio::select! {
            length = timeout(options.idle, read.read_buf(&mut buffer)) => length??,
            () = time_is_up.as_mut(), if was_within => return Err(too_slow(link, context)),
        };
        if length == 0 {
            return Ok(());
        }
        framer.push(&buffer);
        if !was_within {
            time_is_up.set(sleep(options.message_time));
        }
        while let Some(frame) = framer.poll() {
            time_is_up.set(sleep(options.message_time));
            match frame {
                Ok(Frame::Message(bytes)) => {
                    if context.deliver(link, bytes).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(Frame::Ping) => send(&replies, Bytes::from_static(b"\r\n")), // RFC 5626 §3.5.1
                Err(error) => {
                    if let Some(response) = error.response() {
                        let (bytes, to) = (response.print(), (link.transport, link.peer));
                        trace::message(Direction::Sent, to, &bytes, &options.message);
                        send(&replies, bytes);
                    }
                    context.refused(link.transport, Refusal::Garbage);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string()));
                }
            }
        }
    }
}

/// A message that trickles in holds a connection, and what has come of it, for nothing.
fn too_slow(link: &Link, context: &Context) -> io::Error {
    let Link { transport, peer, .. } = link;
    tracing::info!(%peer, %transport, "connection refused: a message took longer than sip.message_timeout");
    context.refused(*transport, Refusal::Slow);
    io::ErrorKind::TimedOut.into()
}

async fn write_messages(
    mut write: WriteHalf<impl AsyncWrite>,
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
        write.flush().await?; // TLS may keep a record back
    }
}

/// A peer that asks faster than it reads gets fewer answers.
fn send(replies: &mpsc::Sender<Bytes>, bytes: Bytes) {
    drop(replies.try_send(bytes));
}
