//! `/v1/ws`: the log, the levels and what there is, over one WebSocket (RFC 6455).

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::on;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tracing::debug;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use crate::auth::Bounds;
use crate::envelope::RequestName;
use crate::error::ApiError;
use crate::gate::Pass;
use crate::serve::Afterwards;
use crate::socket::Session;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(open))
}

/// Open a WebSocket
///
/// Messages are JSON objects in text frames, both ways: `ClientMessage` and `ServerMessage`. The first is `ready`. Each
/// `subscribe` follows the event log or the levels, and may begin with a snapshot: what there is after event `seq`, and then
/// the events from the next on. A message that is wrong is answered by `error`. A reader that is too slow gets `closing` with
/// the reason and is closed by code 4008; it can resume. A browser, which cannot set headers, offers the sub-protocols
/// `plenary.v1` and `plenary.bearer.KEY`, and its page must be of this host or of one
/// that `api_cors` names.
#[utoipa::path(get, path = "/ws", tag = "events", operation_id = "openWebSocket",
    params(("Sec-WebSocket-Protocol" = Option<String>, Header,
        description = "`plenary.v1`, and `plenary.bearer.KEY` where there is no `Authorization`"),
        ("token" = Option<String>, Query, description = "A room token, where there is neither")),
    responses((status = SWITCHING_PROTOCOLS, description = "A WebSocket"),
        (status = UPGRADE_REQUIRED, description = "Not a request for a WebSocket")))]
async fn open(
    State(shared): State<Shared>,
    pass: Pass,
    bounds: Bounds,
    mut request: Request,
) -> Result<Response, ApiError> {
    let Shared { control, log, streams, origins, .. } = shared;
    origins.admit(request.headers())?;
    let answer = answer(&request)?;
    let seat = streams.seat(pass.principal())?;
    let name = request.extensions().get::<RequestName>();
    let request_id = name.map(|name| name.0.clone()).unwrap_or_default();
    let session = Session { control, log, pass, bounds, request_id, _seat: seat };
    let afterwards = request.extensions().get::<Afterwards>().cloned().ok_or_else(no_socket)?;
    let upgrading = on(&mut request);
    afterwards.set(async move {
        match upgrading.await {
            Ok(upgraded) => session.converse(upgraded).await,
            Err(error) => debug!(%error, "no WebSocket came of a request for one"),
        }
    });
    Ok(answer)
}

/// Checks the request, and gives the answer that makes a WebSocket of its connection.
fn answer(request: &Request) -> Result<Response, ApiError> {
    let mut asked = axum::http::Request::new(());
    *asked.method_mut() = request.method().clone();
    *asked.version_mut() = request.version();
    *asked.headers_mut() = request.headers().clone();
    let answer =
        create_response(&asked).map_err(|error| ApiError::NoWebSocket(error.to_string()))?;
    let mut answer = answer.map(|()| axum::body::Body::empty()).into_response();
    if offers_ours(request.headers()) {
        let ours = HeaderValue::from_static(PROTOCOL);
        answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, ours);
    }
    Ok(answer)
}

fn offers_ours(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    offers.any(|offer| offer.trim() == PROTOCOL)
}

fn no_socket() -> ApiError {
    let detail = "this connection cannot become a WebSocket".to_owned();
    ApiError::Http { status: StatusCode::NOT_IMPLEMENTED, detail }
}

/// The sub-protocol.
const PROTOCOL: &str = "plenary.v1";
