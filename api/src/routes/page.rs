//! The operator page at `/`, embedded in the binary: no outside request, no inline script or style.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Shared;

/// The page and what it loads, open to all: it holds nothing until somebody signs in.
pub(super) fn assets() -> Router<Shared> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(move || async move { asset.response() }))
    })
}

struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    fn response(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.kind)),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin")),
        ];
        (headers, self.content).into_response()
    }
}

macro_rules! assets {
    ($($path:literal, $kind:ident, $file:literal);+ $(;)?) => {
        const ASSETS: &[Asset] = &[$(Asset {
            path: $path,
            kind: $kind,
            content: include_str!(concat!("../../dashboard/", $file)),
        }),+];
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

assets! {
    "/", HTML, "index.html";
    "/dashboard/style.css", STYLE, "style.css";
    "/dashboard/icon.svg", SVG, "icon.svg";
    "/dashboard/app.js", SCRIPT, "app.js";
    "/dashboard/api.js", SCRIPT, "api.js";
    "/dashboard/calls.js", SCRIPT, "calls.js";
    "/dashboard/dialogs.js", SCRIPT, "dialogs.js";
    "/dashboard/dom.js", SCRIPT, "dom.js";
    "/dashboard/feed.js", SCRIPT, "feed.js";
    "/dashboard/room.js", SCRIPT, "room.js";
    "/dashboard/rooms.js", SCRIPT, "rooms.js";
    "/dashboard/store.js", SCRIPT, "store.js";
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");
