//! One WebSocket of `/v1/ws`: what its client asks, and what its subscriptions have to tell.
//!
//! A client that does not read is not waited for: its subscriptions fall behind in the log, not in a queue of ours, and are cut
//! off by it as any reader is.

mod feeds;
mod message;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy, sink};
use tokio::time::{interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::debug;

use crate::auth::{Bounds, Scope};
use crate::control::{Command, Control, ControlError, Placed};
use crate::error::{ApiError, FieldError};
use crate::events::{Cut, EventLog, Filter};
use crate::extract::parse;
use crate::gate::Pass;
use crate::id::RoomId;
use crate::meters::Meters;
use crate::model::Snapshot;
use crate::routes::{kinds_like, room_id};
use crate::streams::Seat;

use self::feeds::{Feeds, News};
use self::message::{Ask, Asked, Closing, Ping, Subscribe, Topic, Unsubscribe};
pub(crate) use self::message::{ClientMessage, ServerMessage};

/// What a WebSocket stands on.
pub(crate) struct Session {
    pub(crate) control: Control,
    pub(crate) log: EventLog,
    /// The key that it was opened with, and where that leads.
    pub(crate) pass: Pass,
    pub(crate) bounds: Bounds,
    pub(crate) request_id: String,
    /// Its place among the streams.
    pub(crate) _seat: Seat,
}

/// Why a WebSocket ends.
enum End {
    /// The client has left, or cannot be reached.
    Left,
    /// We end it, and say so.
    Told(Closing, CloseCode),
}

impl Session {
    /// Serves the client until either side is done.
    pub(crate) async fn converse(self, upgraded: Upgraded) {
        let size = Some(MAX_MESSAGE);
        let config = WebSocketConfig::default().max_message_size(size).max_frame_size(size);
        let stream = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let mut talk = Talk { session: self, socket, feeds: Feeds::default(), unanswered: 0 };
        match talk.run().await {
            End::Left => debug!("the client of a WebSocket has left"),
            End::Told(closing, code) => talk.close(closing, code).await,
        }
    }

    /// Their ids; of a key that is bound to rooms never none, which would be all.
    async fn rooms(&self, named: &[String]) -> Result<Vec<RoomId>, ApiError> {
        let Self { control, bounds, .. } = self;
        let mut rooms = Vec::new();
        for room in named {
            bounds.admit(control, room).await?;
            rooms.push(room_id(control, room.clone()).await?);
        }
        if named.is_empty() { Ok(bounds.rooms(control).await?) } else { Ok(rooms) }
    }

    async fn snapshot(&self, rooms: &[RoomId]) -> Result<(u64, Snapshot), ApiError> {
        let Self { control, log, pass, .. } = self;
        pass.may(Scope::RoomsRead)?;
        let rooms = rooms.to_vec();
        let ask = |reply| Command::Snapshot { rooms, reply: Placed::new(log.clone(), reply) };
        Ok(control.ask(ask).await?)
    }
}

struct Talk {
    session: Session,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    feeds: Feeds,
    /// Pings in a row without a sign of life.
    unanswered: u8,
}

impl Talk {
    async fn run(&mut self) -> End {
        let (pass, log) = (self.session.pass.clone(), self.session.log.clone());
        let (mut over, mut closed) = (Box::pin(pass.over()), Box::pin(log.closed()));
        let mut pings = interval(PING);
        pings.reset(); // the first tick would come at once
        let mut done = self.say([ServerMessage::Ready { seq: log.newest() }]).await;
        while done.is_ok() {
            done = tokio::select! {
                came = self.socket.next() => self.hear(came).await,
                (name, news) = self.feeds.next() => self.tell(name, news).await,
                _ = pings.tick() => self.ping().await,
                () = &mut over => Err(End::because("key_ended", "the key has expired, or was changed or deleted")),
                // Those of the log end by themselves once they have told what was there.
                () = &mut closed, if !self.feeds.follow_log() => Err(End::stopping()),
            };
        }
        done.err().unwrap_or(End::Left)
    }

    /// Takes a frame of the client.
    async fn hear(&mut self, came: Option<Result<Message, Error>>) -> Result<(), End> {
        self.unanswered = 0;
        match came {
            Some(Ok(Message::Text(text))) => self.answer(&text).await,
            // The library answers pings.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Binary(_))) => {
                Err(End::because("not_text", "expected text frames, found a binary one"))
            }
            Some(Err(Error::Capacity(_))) => {
                let detail = format!("expected messages of at most {MAX_MESSAGE} bytes");
                Err(End::because("too_large", detail))
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Left),
        }
    }

    async fn answer(&mut self, text: &str) -> Result<(), End> {
        match self.carry_out(text).await {
            Ok(messages) => self.say(messages).await,
            Err(error) => {
                let request_id = self.session.request_id.clone();
                let problem = crate::Problem { request_id, ..error.problem() };
                let named: Option<Named> = serde_json::from_str(text).ok();
                let subscription = named.and_then(|named| named.subscription);
                self.say([ServerMessage::Error { subscription, problem }]).await
            }
        }
    }

    /// Does what a message asks for; gives what is to be said.
    async fn carry_out(&mut self, text: &str) -> Result<Vec<ServerMessage>, ApiError> {
        self.session.pass.take()?;
        let text = text.as_bytes();
        match parse::<Asked>(text)?.r#type {
            Ask::Subscribe => self.subscribe(parse(text)?).await,
            Ask::Unsubscribe => {
                let Unsubscribe { subscription, .. } = parse(text)?;
                if !self.feeds.end(&subscription) {
                    return Err(no_subscription(subscription));
                }
                Ok(vec![ServerMessage::Unsubscribed { subscription: subscription.into() }])
            }
            Ask::Ping => {
                let Ping { id, .. } = parse(text)?;
                Ok(vec![ServerMessage::Pong { id }])
            }
        }
    }

    async fn subscribe(&mut self, ask: Subscribe) -> Result<Vec<ServerMessage>, ApiError> {
        self.has_place(&ask.subscription)?;
        let name: Arc<str> = ask.subscription.as_str().into();
        let kinds = kinds_like(&ask.types);
        let kinds = kinds.map_err(|detail| vec![FieldError::at("/types", detail)]);
        let kinds = kinds.map_err(ApiError::Content)?;
        let rooms = self.session.rooms(&ask.rooms).await?;
        let filter = Filter { kinds, rooms, legs: ask.legs, calls: ask.calls };
        if ask.topic == Topic::Levels {
            self.feeds.meter(&name, Meters::new(&self.session.log, filter));
            return Ok(vec![ServerMessage::Subscribed { subscription: name, seq: None }]);
        }
        let (after, snapshot) = if ask.snapshot {
            let (seq, snapshot) = self.session.snapshot(&filter.rooms).await?;
            (Some(seq), Some(snapshot))
        } else {
            (ask.resume_from, None)
        };
        let reader = self.session.log.reader(after, filter)?;
        let seq = reader.last();
        self.feeds.follow(&name, reader);
        let subscribed =
            ServerMessage::Subscribed { subscription: Arc::clone(&name), seq: Some(seq) };
        let parts = snapshot.into_iter().flat_map(|snapshot| parts(&name, seq, snapshot));
        Ok([subscribed].into_iter().chain(parts).collect())
    }

    fn has_place(&self, name: &str) -> Result<(), ControlError> {
        if self.feeds.contains(name) {
            let detail = format!("there is a subscription {name:?}; unsubscribe it first");
            return Err(ControlError::Conflict { code: "subscription_name_taken", detail });
        }
        if self.feeds.len() >= MAX_SUBSCRIPTIONS {
            let detail = format!("expected at most {MAX_SUBSCRIPTIONS} subscriptions a connection");
            return Err(ControlError::Conflict { code: "too_many_subscriptions", detail });
        }
        Ok(())
    }

    /// Passes on what a subscription has to tell.
    async fn tell(&mut self, subscription: Arc<str>, news: News) -> Result<(), End> {
        match news {
            News::Events(events) => {
                let named =
                    |event| ServerMessage::Event { subscription: Arc::clone(&subscription), event };
                self.say(events.into_iter().map(named)).await
            }
            News::Levels(levels) => {
                self.say([ServerMessage::Levels { subscription, levels }]).await
            }
            News::Cut(cut) => Err(End::cut(subscription, &cut)),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.unanswered == PATIENCE {
            return Err(End::because("silent", "pings are not answered"));
        }
        self.unanswered += 1;
        self.send([Message::Ping(Bytes::new())]).await
    }

    async fn say(&mut self, messages: impl IntoIterator<Item = ServerMessage>) -> Result<(), End> {
        self.send(messages.into_iter().map(|message| frame(&message))).await
    }

    /// Sends all in as few packets as they fit in. Who does not read for a while has left.
    async fn send(&mut self, frames: impl IntoIterator<Item = Message>) -> Result<(), End> {
        let sending = async {
            for frame in frames {
                self.socket.feed(frame).await?;
            }
            self.socket.flush().await
        };
        match timeout(UNREAD, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Left),
        }
    }

    /// Says why, and lets the client read it: a connection that is closed on unread bytes takes last words with it.
    async fn close(mut self, closing: Closing, code: CloseCode) {
        let close = CloseFrame { code, reason: closing.code.into() };
        let last = frame(&ServerMessage::Closing(closing));
        if self.send([last, Message::Close(Some(close))]).await.is_err() {
            return;
        }
        let stream = self.socket.get_mut();
        let reading = async {
            stream.shutdown().await?;
            copy(stream, &mut sink()).await
        };
        drop(timeout(LAST_WORDS, reading).await); // whoever goes on sending is cut off
    }
}

/// The subscription that a message is about, be it as it may.
#[derive(serde::Deserialize)]
struct Named {
    subscription: Option<String>,
}

fn no_subscription(name: String) -> ApiError {
    ControlError::NotFound { what: "subscription", name }.into()
}

/// A snapshot in messages that any client can take.
fn parts(name: &Arc<str>, seq: u64, mut whole: Snapshot) -> Vec<ServerMessage> {
    let mut parts = Vec::new();
    loop {
        let mut place = PART;
        let rooms = take(&mut whole.rooms, &mut place);
        let participants = take(&mut whole.participants, &mut place);
        let calls = take(&mut whole.calls, &mut place);
        let legs = take(&mut whole.legs, &mut place);
        let playbacks = take(&mut whole.playbacks, &mut place);
        let last = whole == Snapshot::default();
        let subscription = Arc::clone(name);
        parts.push(ServerMessage::Snapshot {
            subscription,
            seq,
            rooms,
            participants,
            calls,
            legs,
            playbacks,
            last,
        });
        if last {
            return parts;
        }
    }
}

/// As many of the first as there is place for.
fn take<T>(items: &mut Vec<T>, place: &mut usize) -> Vec<T> {
    let count = items.len().min(*place);
    *place -= count;
    items.drain(..count).collect()
}

fn frame(message: &ServerMessage) -> Message {
    // Our own shapes have string keys only: they always serialise.
    Message::text(serde_json::to_string(message).unwrap_or_default())
}

impl End {
    fn because(code: &'static str, detail: impl Into<String>) -> Self {
        let close = match code {
            "not_text" => CloseCode::Unsupported,
            "too_large" => CloseCode::Size,
            "stopping" => CloseCode::Away,
            _ => CloseCode::Policy,
        };
        let (detail, subscription, last_seq) = (detail.into(), None, None);
        Self::Told(Closing { code, detail, subscription, last_seq }, close)
    }

    fn stopping() -> Self {
        Self::because("stopping", "the bridge is stopping")
    }

    fn cut(subscription: Arc<str>, cut: &Cut) -> Self {
        let (code, close, last) = match cut {
            Cut::Slow { last } => ("slow_reader", SLOW_READER, last),
            Cut::Lost { last } => ("events_lost", SLOW_READER, last),
            Cut::Unread { last, .. } => ("store_unavailable", CloseCode::Again, last),
            Cut::Closed { last } => ("stopping", CloseCode::Away, last),
        };
        let (detail, subscription, last_seq) = (cut.to_string(), Some(subscription), Some(*last));
        Self::Told(Closing { code, detail, subscription, last_seq }, close)
    }
}

/// Largest message of a client, bytes.
const MAX_MESSAGE: usize = 16 * 1024;
/// Subscriptions of a connection.
const MAX_SUBSCRIPTIONS: usize = 16;
/// Resources in one message of a snapshot, so that it has at most some 200 kB.
const PART: usize = 200;
/// How often a client is pinged.
const PING: Duration = Duration::from_secs(20);
/// Pings in a row that may stay without any sign of life.
const PATIENCE: u8 = 2;
/// How long a client may leave unread what it is sent.
const UNREAD: Duration = Duration::from_secs(30);
/// How long a client may take to read why its connection ends.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A code for private use (RFC 6455 §7.4.2).
const SLOW_READER: CloseCode = CloseCode::Library(4008);
