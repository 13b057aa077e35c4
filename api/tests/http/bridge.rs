//! A bridge that answers every command with a sample, or as a test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use api::archive::{
    self, Document, DocumentKind, EventStretch, KeptDelivery, Queues, Read, Record, Unfinished,
    Work,
};
use api::auth::{Keys, Scope};
use api::control::{self, Command, ControlError};
use api::directory::{self, Credentials, Inquiry, LoginFault, Operator, Unavailable};
use api::event::{Data, Event, EventType, Happened};
use api::events::{EventLog, LogSettings};
use api::id::RoomId;
use api::mail::{self, Order};
use api::model::{Admitted, DialIn, Invitation, Page, Pcm, Readiness, Recording, RecordingState};
use api::webhooks::{self, Errand};
use api::{Api, Settings, samples};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

pub(crate) const KEY: &str = "open-sesame";

/// The API with its bridge.
pub(crate) struct House {
    pub(crate) api: Api,
    pub(crate) router: Router,
    asked: Arc<Mutex<Vec<String>>>,
    /// What the store was told to remember.
    pub(crate) noted: Arc<Mutex<Vec<Record>>>,
    _bridge: JoinSet<()>,
}

/// An answer as a client reads it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A house whose bridge answers with samples.
pub(crate) fn house() -> House {
    house_where(Some)
}

/// A house whose bridge lets `first` answer, and answers with a sample what `first` hands back.
pub(crate) fn house_where(
    first: impl Fn(Command) -> Option<Command> + Send + Sync + 'static,
) -> House {
    let (control, mut commands) = control::channel(64);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let mut bridge = JoinSet::new();
    bridge.spawn(async move {
        while let Some(command) = commands.recv().await {
            let name = format!("{command:?}");
            heard.lock().unwrap().push(name.split("reply").next().unwrap().to_owned());
            if let Some(command) = first(command) {
                answer(command);
            }
        }
    });
    let log = EventLog::new(LogSettings { capacity: 16, first_seq: 1, seed: 7 });
    let (desk, work) = archive::desk(QUEUES);
    let noted = Arc::new(Mutex::new(Vec::new()));
    bridge.spawn(store(work, Arc::clone(&noted)));
    let (keys, settings) = (Keys::admin(KEY), Settings::default());
    keys.load(&[kept_key()]);
    let (webhooks, mut errands) = webhooks::webhooks();
    webhooks.load(&[kept_webhook()]);
    bridge.spawn(async move {
        while let Some(Errand { delivery, reply, .. }) = errands.recv().await {
            reply.send(Ok(delivery.delivery));
        }
    });
    let (mailroom, mut orders) = mail::mailroom(MAILS_AN_HOUR);
    bridge.spawn(async move {
        while let Some(Order { invitation, reply, .. }) = orders.recv().await {
            reply.send(Ok(Invitation { to: invitation.to, ..samples::invitation() }));
        }
    });
    let (directory, mut inquiries) = directory::directory(600);
    bridge.spawn(async move {
        while let Some(inquiry) = inquiries.recv().await {
            look_up(inquiry);
        }
    });
    let api = Api { control, log, keys, desk, webhooks, mailroom, directory, settings };
    House { router: api::router(api.clone()), api, asked, noted, _bridge: bridge }
}

/// A directory in which everybody has the same password, and the operators may read rooms and their events.
fn look_up(inquiry: Inquiry) {
    match inquiry {
        Inquiry::Login(Credentials { user, password }, reply) => {
            let scopes = vec![Scope::RoomsRead, Scope::EventsRead];
            drop(reply.send(match (user.as_str(), password.as_str()) {
                (_, "slow") => Err(Unavailable("no answer in time".to_owned()).into()),
                ("guest", "correct-horse") => Err(LoginFault::NoScopes),
                (_, "correct-horse") => Ok(Operator { name: user.to_lowercase(), scopes }),
                _ => Err(LoginFault::Refused),
            }));
        }
        Inquiry::Name(_, reply) => drop(reply.send(None)),
        Inquiry::Search(.., reply) => drop(reply.send(Ok(vec![samples::directory_entry()]))),
    }
}

/// A store that takes everything and remembers one of each.
async fn store(mut work: Work, noted: Arc<Mutex<Vec<Record>>>) {
    loop {
        tokio::select! {
            Some(order) = work.orders.recv() => drop(order.done.send(Ok(()))),
            Some(record) = work.records.recv() => noted.lock().unwrap().push(record),
            Some(read) = work.reads.recv() => match read {
                Read::Legs(_, reply) => reply.send(Ok(page(samples::leg_record()))),
                Read::Leg(_, reply) => reply.send(Ok(samples::leg_record())),
                Read::Calls(_, reply) => reply.send(Ok(page(samples::call_record()))),
                Read::Call(_, reply) => reply.send(Ok(samples::call_record())),
                Read::Rooms(_, reply) => reply.send(Ok(page(samples::room_record()))),
                Read::Room(_, reply) => reply.send(Ok(samples::room_record())),
                Read::Audit(_, reply) => reply.send(Ok(page(samples::audit_entry()))),
                Read::Recordings(_, reply) => reply.send(Ok(page(samples::recording()))),
                Read::Recording(_, reply) => reply.send(Ok(samples::recording())),
                Read::Deliveries(_, _, reply) => reply.send(Ok(page(samples::delivery()))),
                Read::Delivery(_, reply) => reply.send(Ok(kept_delivery())),
                Read::Unfinished(_, reply) => reply.send(Ok(Unfinished::default())),
                Read::Events(_, reply) => reply.send(Ok(EventStretch { items: Vec::new(), oldest: None })),
            },
            else => return,
        }
    }
}

/// That a key may have sent.
pub(crate) const MAILS_AN_HOUR: u32 = 100;
pub(crate) const QUEUES: Queues = Queues { orders: 16, records: 64, reads: 16 };

/// The sample delivery, as the store has it.
fn kept_delivery() -> KeptDelivery {
    KeptDelivery { delivery: samples::delivery(), payload: Some("{}".into()), tries: 1 }
}

/// The sample webhook, as the store has it.
fn kept_webhook() -> Document {
    let mut body = json!(samples::webhook());
    body["secrets"] = json!([{"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "until": null}]);
    body["since"] = json!(0);
    let (kind, name) = (DocumentKind::Webhook, samples::webhook().id.to_string());
    Document { kind, name, revision: 1, body: body.to_string() }
}

/// The sample key, as the store has it.
fn kept_key() -> Document {
    let mut body = json!(samples::api_key());
    body["digest"] = json!("00".repeat(32));
    let (kind, name) = (DocumentKind::ApiKey, samples::api_key().id.to_string());
    Document { kind, name, revision: 1, body: body.to_string() }
}

#[allow(clippy::too_many_lines, reason = "an arm for each command")]
fn answer(command: Command) {
    match command {
        Command::CreateRoom { reply, .. }
        | Command::Room { reply, .. }
        | Command::UpdateRoom { reply, .. }
        | Command::LockRoom { reply, .. }
        | Command::EndRoom { reply, .. } => reply.send(Ok(samples::room())),
        Command::DialIn { reply, .. } => {
            reply.send(Ok(DialIn { room: samples::room(), pin: Some("4711".to_owned()) }));
        }
        Command::ListRooms { reply, .. } => reply.send(Ok(page(samples::room()))),
        Command::ListParticipants { reply, .. } => reply.send(Ok(page(samples::participant()))),
        Command::Invite { reply, .. }
        | Command::Participant { reply, .. }
        | Command::UpdateParticipant { reply, .. } => reply.send(Ok(samples::participant())),
        Command::UpdateParticipants { reply, .. } => {
            let one = samples::participant();
            reply.send(Ok(vec![(one.leg, Ok(one))]));
        }
        Command::CreateCall { reply, .. } | Command::Call { reply, .. } => {
            reply.send(Ok(samples::call()));
        }
        Command::ListCalls { reply, .. } => reply.send(Ok(page(samples::call()))),
        Command::ListLegs { reply, .. } => reply.send(Ok(page(samples::leg()))),
        Command::Leg { reply, .. }
        | Command::HoldLeg { reply, .. }
        | Command::MuteLeg { reply, .. }
        | Command::Transfer { reply, .. } => reply.send(Ok(samples::leg())),
        Command::DeleteRoom { reply, .. }
        | Command::Kick { reply, .. }
        | Command::HangUpCall { reply, .. }
        | Command::HangUpLeg { reply, .. }
        | Command::SendDtmf { reply, .. }
        | Command::RemoveRegistration { reply, .. }
        | Command::DeleteRoute { reply, .. }
        | Command::DeleteTrunk { reply, .. }
        | Command::DeleteUser { reply, .. }
        | Command::LiftBan { reply, .. } => {
            reply.send(Ok(()));
        }
        Command::LegStats { reply, .. } => reply.send(Ok(samples::leg_stats())),
        Command::LegTrace { reply, .. } | Command::CallTrace { reply, .. } => {
            reply.send(Ok(samples::trace()));
        }
        Command::Play { reply, .. }
        | Command::PlayMusic { reply, .. }
        | Command::Playback { reply, .. }
        | Command::UpdatePlayback { reply, .. } => reply.send(Ok(samples::playback())),
        Command::ListTemplates { reply, .. } => reply.send(Ok(page(samples::template()))),
        Command::Template { reply, .. } | Command::PutTemplate { reply, .. } => {
            reply.send(Ok(samples::template()));
        }
        Command::ListPlaybacks { reply, .. } => reply.send(Ok(page(samples::playback()))),
        Command::CreateRecording { reply, .. }
        | Command::Recording { reply, .. }
        | Command::UpdateRecording { reply, .. }
        | Command::MarkRecording { reply, .. }
        | Command::StopRecording { reply, .. } => {
            let state = RecordingState::Recording;
            reply.send(Ok(Recording { state, ..samples::recording() }));
        }
        Command::LiveRecordings { reply } => reply.send(Ok(Vec::new())),
        Command::StopMusic { reply, .. }
        | Command::StopPlayback { reply, .. }
        | Command::DeleteTemplate { reply, .. }
        | Command::DiscardRecording { reply, .. }
        | Command::DeleteMedia { reply, .. } => reply.send(Ok(())),
        Command::ListMedia { reply, .. } => reply.send(Ok(page(samples::media()))),
        Command::Media { reply, .. } | Command::PutMedia { reply, .. } => {
            reply.send(Ok(samples::media()));
        }
        Command::MediaContent { reply, .. } => {
            reply.send(Ok(Pcm { rate: 8_000, samples: [0; 80].into() }));
        }
        Command::Admit { reply, .. } | Command::AskToSpeak { reply, .. } => {
            reply.send(Ok(samples::participant()));
        }
        Command::AdmitAll { reply, .. } => reply.send(Ok(Admitted { admitted: 2 })),
        Command::ListTrunks { reply, .. } => reply.send(Ok(page(samples::trunk()))),
        Command::Trunk { reply, .. }
        | Command::CreateTrunk { reply, .. }
        | Command::ReplaceTrunk { reply, .. } => reply.send(Ok(samples::trunk())),
        Command::ListUsers { reply, .. } => reply.send(Ok(page(samples::user()))),
        Command::CreateUser { reply, .. }
        | Command::User { reply, .. }
        | Command::UpdateUser { reply, .. } => reply.send(Ok(samples::user())),
        Command::ListRoutes { reply, .. } => reply.send(Ok(page(samples::kept_route()))),
        Command::CreateRoute { reply, .. }
        | Command::Route { reply, .. }
        | Command::ReplaceRoute { reply, .. } => reply.send(Ok(samples::kept_route())),
        Command::TestRoutes { reply, .. } => reply.send(Ok(samples::route_trace())),
        Command::ListRegistrations { reply, .. } => reply.send(Ok(page(samples::registration()))),
        Command::Registration { reply, .. } => reply.send(Ok(samples::registration())),
        Command::ListPresence { reply, .. } => reply.send(Ok(page(samples::presence()))),
        Command::Presence { reply, .. } | Command::SetPresence { reply, .. } => {
            reply.send(Ok(samples::presence()));
        }
        Command::ListMessages { reply, .. } => reply.send(Ok(page(samples::message()))),
        Command::SendMessage { reply, .. } | Command::Message { reply, .. } => {
            reply.send(Ok(samples::message()));
        }
        Command::ListBans { reply, .. } => reply.send(Ok(page(samples::ban()))),
        Command::Snapshot { reply, .. } => reply.send(Ok(samples::snapshot())),
        Command::ListNodes { reply, .. } => reply.send(Ok(page(samples::node()))),
        Command::Node { reply, .. } => reply.send(Ok(samples::node())),
        Command::Readiness { reply } => reply.send(Ok(Readiness { ready: true, reason: None })),
        Command::Metrics { reply } => reply.send(Ok("plenary_legs 2\n".to_owned())),
    }
}

fn page<T>(item: T) -> Page<T> {
    Page { items: vec![item], next: None }
}

/// A bridge whose every room is answered with `error`.
pub(crate) fn rooms_fail_with(error: ControlError) -> House {
    house_where(move |command| match command {
        Command::Room { reply, .. } | Command::CreateRoom { reply, .. } => {
            reply.send(Err(error.clone()));
            None
        }
        other => Some(other),
    })
}

/// A house whose API is served over real sockets.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    _serving: JoinSet<()>,
}

impl Served {
    /// Has the API stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

impl House {
    pub(crate) async fn serve(&self) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut serving = JoinSet::new();
        let api = self.api.clone();
        serving
            .spawn(async move { api::serve(listener, api, async { drop(stopped.await) }).await });
        Served { address, stop: Some(stop), _serving: serving }
    }

    /// What the bridge was asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(request(Method::GET, path, "")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call(request(Method::POST, path, body)).await
    }

    /// Writes an event to the log.
    pub(crate) fn happens(&self, kind: EventType) -> Arc<Event> {
        self.happens_in(samples::event().room, kind)
    }

    /// The same of another room, or of none.
    pub(crate) fn happens_in(&self, room: Option<RoomId>, kind: EventType) -> Arc<Event> {
        let Event { time, leg, call, .. } = samples::event();
        let data = Data::of(&json!({}));
        self.api.log.push(Happened { kind, time, room, leg, call, data })
    }
}

/// A request with the key; a body is JSON.
pub(crate) fn request(method: Method, path: &str, body: &str) -> Request<Body> {
    request_by(KEY, method, path, body)
}

/// The same with another key.
pub(crate) fn request_by(key: &str, method: Method, path: &str, body: &str) -> Request<Body> {
    let builder = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {key}"));
    let builder = match body {
        "" => builder,
        _ => builder.header(header::CONTENT_TYPE, "application/json"),
    };
    builder.body(Body::from(body.to_owned())).unwrap()
}
