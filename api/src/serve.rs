//! The listener: serves the router until told to stop, ends the event streams with a reason, and waits for what is under way.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tracing::{debug, info};

use crate::routes::{Api, router};

/// Serves the API and the operator page on `listener` until `shutdown` is done. Requests under way are then answered and
/// event streams told that the bridge stops; what takes longer than 5 s is cut off.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let log = api.log.clone();
    let stopping = Arc::new(Notify::new());
    let stopped = Arc::clone(&stopping);
    let shutdown = async move {
        shutdown.await;
        log.close();
        stopping.notify_one();
    };
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot disable Nagle's algorithm");
        }
    });
    let serving = axum::serve(listener, router(api)).with_graceful_shutdown(shutdown);
    let overdue = async {
        stopped.notified().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = serving => result,
        () = overdue => {
            info!("connections still open after the grace time are cut off");
            Ok(())
        }
    }
}

/// How long answers under way may take once we stop.
const GRACE: Duration = Duration::from_secs(5);
