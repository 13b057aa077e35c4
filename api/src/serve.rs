//! The listener: serves the router until told to stop, ends the event streams with a reason, and waits for what is under way.
//!
//! What a client can hold up is bounded: connections by number, request headers and unread answers by time.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;
use tracing::{debug, info, warn};

use crate::gate::Peer;
use crate::routes::{Api, router};

/// Serves the API and the operator page (HTTP/1.1) on `listener` until `shutdown` is done. Requests under way are then
/// answered and event streams told that the bridge stops; what takes longer than 5 s is cut off.
///
/// Also ends connections whose request header takes longer than 10 s, or whose client does not read for 30 s.
pub async fn serve(listener: TcpListener, api: Api, shutdown: impl Future<Output = ()> + Send) {
    let log = api.log.clone();
    let sources = Sources::new(api.settings.connections_per_source);
    let router = router(api);
    let stop = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let full = connections.len() >= MAX_CONNECTIONS;
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, peer) = accept(&listener), if !full => {
                let Some(seat) = sources.seat(peer) else {
                    info!(%peer, "limits.api_connections_per_source is reached: a connection is closed");
                    continue;
                };
                connections.spawn(converse((stream, peer, seat), router.clone(), stop.subscribe()));
            }
        }
    }
    drop(listener);
    log.close();
    stop.send_replace(true);
    let all_done = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all_done).await.is_err() {
        info!("connections still open after the grace time are cut off");
    }
}

/// The next connection. Waits a little when there are no descriptors left, instead of spinning.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer.ip().to_canonical()),
            Err(error) => {
                warn!(%error, "cannot accept a connection to the API");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn converse(
    (stream, peer, _seat): (TcpStream, IpAddr, SourceSeat),
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = prepare(&stream) {
        debug!(%error, "cannot set socket options");
    }
    let afterwards = Afterwards::default();
    let last = afterwards.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(afterwards.clone());
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection to the API broke");
    }
    if let Some(work) = last.take() {
        work.await;
    }
}

/// How many connections each address has.
#[derive(Clone, Debug)]
struct Sources {
    taken: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    max: usize,
}

/// The place of a connection, free again when it is dropped.
struct SourceSeat {
    sources: Sources,
    from: IpAddr,
}

impl Sources {
    fn new(max: usize) -> Self {
        Self { taken: Arc::default(), max }
    }

    fn seat(&self, peer: IpAddr) -> Option<SourceSeat> {
        let from = network(peer);
        let mut taken = self.taken();
        let count = taken.entry(from).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(SourceSeat { sources: self.clone(), from })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        // Nothing panics while it is held; if something did, the counts are whole all the same.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SourceSeat {
    fn drop(&mut self) {
        let mut taken = self.sources.taken();
        let Some(count) = taken.get_mut(&self.from) else { return };
        *count -= 1;
        if *count == 0 {
            taken.remove(&self.from);
        }
    }
}

/// Of IPv6 the /64, of which one host has every address.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64).into(),
    }
}

/// What goes on on a connection when it carries HTTP no more.
#[derive(Clone, Default)]
pub(crate) struct Afterwards(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl Afterwards {
    /// Has this done once the answer under way was sent.
    pub(crate) fn set(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Nothing panics while it is held; if something did, the place is whole all the same.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(work));
    }

    fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Answers leave at once, and the kernel gives up on a client that does not read them.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_TIME))?;
    Ok(())
}

/// Connections at once; the next ones wait in the backlog of the listener.
const MAX_CONNECTIONS: usize = 1024;
/// How long the header of a request may take, also the first after connecting.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// How long an answer may go unread.
const UNREAD_TIME: Duration = Duration::from_secs(30);
/// How long answers under way may take once we stop.
const GRACE: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
