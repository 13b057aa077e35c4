//! SIP in WebSockets (RFC 7118): one message a frame, and a ping that finds out who is gone.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL,
};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::sip::transport::Refusal;

use super::connection::{Context, Link};
use super::gate::{self, PROTOCOL};
use super::stream::LAST_WORDS;

/// How long a peer may leave unread what it is sent.
const UNREAD: Duration = Duration::from_secs(30);
/// Pings in a row that may stay without any sign of life.
const PATIENCE: u8 = 2;

/// Lets those in who speak SIP and may come; the others are told over HTTP why not.
pub(super) async fn upgrade<S>(
    stream: S,
    link: &Link,
    context: &Context,
) -> Option<WebSocketStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let options = &context.options;
    let size = Some(options.message.message);
    let config = WebSocketConfig::default().max_message_size(size).max_frame_size(size);
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let answer = |request: &Request, mut response: Response| {
        gate::admit(request.headers(), &options.origins).map_err(refuse)?;
        let headers = response.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        Ok(response)
    };
    let upgrading = accept_hdr_async_with_config(stream, answer, Some(config));
    let error = match timeout(options.handshake, upgrading).await {
        Ok(Ok(socket)) => return Some(socket),
        Ok(Err(Error::Http(response))) => {
            String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(elapsed) => elapsed.to_string(),
    };
    let Link { transport, peer, .. } = link;
    tracing::info!(%peer, %transport, error, "connection refused: no WebSocket");
    context.refused(*transport, Refusal::Upgrade);
    None
}

fn refuse((status, reason): (StatusCode, &'static str)) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(reason.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(reason.len()));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Reads and writes until either side is done.
pub(super) async fn serve<S>(
    mut socket: WebSocketStream<S>,
    link: &Link,
    mut writes: mpsc::Receiver<Bytes>,
    context: &Context,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut pings = interval(context.options.ping);
    pings.reset(); // the first tick would come at once
    let mut unanswered = 0;
    loop {
        let message = tokio::select! {
            came = socket.next() => match came {
                Some(Ok(message)) => {
                    unanswered = 0;
                    let Some(answer) = receive(message, link, context).await else { continue };
                    answer
                }
                Some(Err(error)) => return Err(give_up(socket, error, link, context).await),
                None => return Ok(()),
            },
            bytes = writes.recv() => match bytes {
                Some(bytes) => frame(bytes),
                None => return socket.close(None).await.map_err(io::Error::other),
            },
            _ = pings.tick() => {
                if unanswered == PATIENCE {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                unanswered += 1;
                Message::Ping(Bytes::new())
            }
        };
        timeout(UNREAD, socket.send(message)).await?.map_err(io::Error::other)?;
    }
}

/// Hands a message on; gives what is to be answered at once.
async fn receive(message: Message, link: &Link, context: &Context) -> Option<Message> {
    let bytes = match message {
        Message::Text(text) => Bytes::from(text),
        Message::Binary(bytes) => bytes,
        // The library answers pings and closing.
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return None,
    };
    match &bytes[..] {
        b"\r\n\r\n" => return Some(Message::text("\r\n")), // RFC 5626 §3.5.1
        [] | b"\r\n" => {}
        // Without a bridge the queue of writes has ended too.
        [..] => drop(context.deliver(link, bytes).await),
    }
    None
}

/// Says why the connection ends, where the peer is to blame.
async fn give_up<S>(
    mut socket: WebSocketStream<S>,
    error: Error,
    link: &Link,
    context: &Context,
) -> io::Error
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let code = if matches!(error, Error::Capacity(_)) {
        CloseCode::Size
    } else if matches!(error, Error::Protocol(_) | Error::Utf8(_)) {
        CloseCode::Protocol
    } else {
        return io::Error::other(error);
    };
    context.refused(link.transport, Refusal::Garbage);
    let close = CloseFrame { code, reason: Utf8Bytes::default() };
    drop(timeout(UNREAD, socket.close(Some(close))).await);
    drop(timeout(LAST_WORDS, unheard(socket.get_mut())).await);
    io::Error::other(error)
}

/// Reads to the end what nobody wants: what is left unread when a connection ends makes the kernel reset it, and the peer
/// would not read why.
async fn unheard<S>(stream: &mut S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.shutdown().await?;
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Text, which every client takes, unless it holds what no text does (RFC 7118 §5).
fn frame(bytes: Bytes) -> Message {
    Utf8Bytes::try_from(bytes.clone()).map_or(Message::Binary(bytes), Message::Text)
}
