//! Who may open a WebSocket: who speaks SIP (RFC 7118 §4.1), and comes from a page that may (RFC 6455 §10.2).

use tokio_tungstenite::tungstenite::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::uri::Authority;
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode, Uri};

/// The sub-protocol.
pub(super) const PROTOCOL: &str = "sip";

/// Judges the headers of a request for a WebSocket.
///
/// `origins` are whole origins, `*` for all, `self` for pages of the host that is asked. A request without Origin
/// comes from no browser, and is as good as one over TCP.
///
/// # Errors
/// The status that refuses it, and a sentence for people.
pub(super) fn admit(
    headers: &HeaderMap,
    origins: &[String],
) -> Result<(), (StatusCode, &'static str)> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    if !offered.any(|name| name.trim().eq_ignore_ascii_case(PROTOCOL)) {
        return Err((StatusCode::BAD_REQUEST, "the sub-protocol \"sip\" is not offered"));
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    if origins.iter().any(|allowed| allows(allowed, origin.as_bytes(), headers)) {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, "sip.ws_origins does not name the origin of this page"))
    }
}

fn allows(allowed: &str, origin: &[u8], headers: &HeaderMap) -> bool {
    match allowed {
        "*" => true,
        "self" => host_of(origin).is_some_and(|host| asked_host(headers) == Some(host)),
        _ => allowed.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin),
    }
}

/// The host of an origin; ports differ between a page and its WebSocket.
fn host_of(origin: &[u8]) -> Option<String> {
    Some(Uri::try_from(origin).ok()?.host()?.to_ascii_lowercase())
}

fn asked_host(headers: &HeaderMap) -> Option<String> {
    let authority = Authority::try_from(headers.get(HOST)?.as_bytes()).ok()?;
    Some(authority.host().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subprotocol_must_be_offered() {
        for (offered, status) in [
            ("sip", None),
            ("xmpp, sip", None),
            ("SIP", None),
            ("sips", Some(StatusCode::BAD_REQUEST)),
            ("", Some(StatusCode::BAD_REQUEST)),
        ] {
            assert_eq!(judge(offered, None, &[]), status, "{offered}");
        }
    }

    #[test]
    fn a_page_must_be_of_an_origin_that_may() {
        let forbidden = Some(StatusCode::FORBIDDEN);
        for (origin, allowed, status) in [
            ("https://pbx.example", "self", None),
            ("http://PBX.example:8080", "self", None),
            ("https://evil.example", "self", forbidden),
            ("https://phone.example", "https://phone.example/", None),
            ("https://phone.example:444", "https://phone.example", forbidden),
            ("null", "self", forbidden),
            ("https://evil.example", "*", None),
        ] {
            assert_eq!(judge("sip", Some(origin), &[allowed]), status, "{origin} {allowed}");
        }
        assert_eq!(judge("sip", Some("https://pbx.example"), &[]), forbidden);
    }

    fn judge(offered: &str, origin: Option<&str>, allowed: &[&str]) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "pbx.example:7443".parse().unwrap());
        headers.insert(SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        admit(&headers, &allowed).err().map(|(status, _)| status)
    }
}
