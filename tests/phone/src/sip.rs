//! SIP messages through rsip: read, made, and the few fields the phone looks at.

use std::net::SocketAddr;

use rsip::headers::{ToTypedHeader, UntypedHeader};
use rsip::{Header, Headers, Method, Request, Response, SipMessage, StatusCode, Version};

/// The first value of a header field.
pub fn value(headers: &Headers, name: &str) -> Option<String> {
    values(headers, name).into_iter().next()
}

/// Every value of a header field, as it came.
pub fn values(headers: &Headers, name: &str) -> Vec<String> {
    let texts = headers.iter().map(ToString::to_string);
    texts
        .filter_map(|text| {
            let (found, value) = text.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
        .collect()
}

/// A header field in rsip's own variant where it has one.
pub fn header(name: &str, value: &str) -> Header {
    use rsip::headers as h;
    match name.to_ascii_lowercase().as_str() {
        "via" => h::Via::new(value).into(),
        "from" => h::From::new(value).into(),
        "to" => h::To::new(value).into(),
        "call-id" => h::CallId::new(value).into(),
        "cseq" => h::CSeq::new(value).into(),
        "contact" => h::Contact::new(value).into(),
        "max-forwards" => h::MaxForwards::new(value).into(),
        "content-type" => h::ContentType::new(value).into(),
        "content-length" => h::ContentLength::new(value).into(),
        "route" => h::Route::new(value).into(),
        "record-route" => h::RecordRoute::new(value).into(),
        "allow" => h::Allow::new(value).into(),
        "supported" => h::Supported::new(value).into(),
        "user-agent" => h::UserAgent::new(value).into(),
        "event" => h::Event::new(value).into(),
        "subscription-state" => h::SubscriptionState::new(value).into(),
        _ => Header::Other(name.to_owned(), value.to_owned()),
    }
}

/// What a message needs besides its start line.
#[derive(Debug, Default)]
pub struct Parts {
    pub fields: Vec<(String, String)>,
    pub body: Option<(String, String)>,
}

impl Parts {
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    pub fn sdp(self, body: String) -> Self {
        self.body("application/sdp", body)
    }

    pub fn body(mut self, content_type: &str, body: String) -> Self {
        self.body = Some((content_type.to_owned(), body));
        self
    }

    fn into_headers(self) -> (Headers, Vec<u8>) {
        let mut headers: Vec<Header> =
            self.fields.iter().map(|(name, value)| header(name, value)).collect();
        let (content_type, body) = self.body.unwrap_or_default();
        if !content_type.is_empty() {
            headers.push(header("Content-Type", &content_type));
        }
        headers.push(header("Content-Length", &body.len().to_string()));
        (headers.into(), body.into_bytes())
    }
}

/// # Errors
/// When rsip cannot read the URI.
pub fn request(method: Method, uri: &str, parts: Parts) -> Result<Vec<u8>, String> {
    let uri = rsip::Uri::try_from(uri).map_err(|error| format!("{uri}: {error}"))?;
    let (headers, body) = parts.into_headers();
    let request = Request { method, uri, version: Version::V2, headers, body };
    Ok(SipMessage::from(request).to_string().into_bytes())
}

/// A response with the request's Via, From, To (and its tag), Call-ID, `CSeq` and Record-Route.
pub fn response(request: &Request, status: u16, to_tag: &str, parts: Parts) -> Vec<u8> {
    let mut copied = Parts::default();
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in values(&request.headers, name) {
            let bare = name == "To" && tag(&value).is_none() && status > 100;
            let value = if bare { format!("{value};tag={to_tag}") } else { value };
            copied.fields.push((name.to_owned(), value));
        }
    }
    copied.fields.extend(parts.fields);
    copied.body = parts.body;
    let (headers, body) = copied.into_headers();
    // rsip would print `BusyHere`.
    let status_code = StatusCode::Other(status, phrase(status).to_owned());
    let response = Response { status_code, version: Version::V2, headers, body };
    SipMessage::from(response).to_string().into_bytes()
}

/// The tag of a From or To value.
pub fn tag(value: &str) -> Option<String> {
    let typed = rsip::headers::To::new(value).typed().ok()?;
    typed.tag().map(|tag| tag.value().to_owned())
}

/// The URI of a From, To, Contact or Refer-To value.
pub fn uri(value: &str) -> Option<String> {
    let typed = rsip::headers::Contact::new(value).typed().ok()?;
    Some(typed.uri.to_string())
}

/// The URI of a Refer-To and the headers that it asks for, unescaped.
pub fn refer_to(value: &str) -> (Option<String>, Vec<(String, String)>) {
    let inner = value.split(['<', '>']).nth(1).unwrap_or(value);
    let (address, headers) = inner.split_once('?').unwrap_or((inner, ""));
    let pair = |header: &str| {
        let (name, value) = header.split_once('=')?;
        Some((name.to_owned(), unescaped(value)))
    };
    (uri(&format!("<{address}>")), headers.split('&').filter_map(pair).collect())
}

/// As a header in a URI holds it.
pub fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn unescaped(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(code.map_or('%', char::from));
        plain.push_str(piece.get(2..).unwrap_or_default());
    }
    plain
}

/// The top Via's branch.
pub fn branch(headers: &Headers) -> Option<String> {
    let typed = rsip::headers::Via::new(value(headers, "Via")?).typed().ok()?;
    typed.branch().map(|branch| branch.value().to_owned())
}

/// Number and method of `CSeq`.
pub fn cseq(headers: &Headers) -> Option<(u32, Method)> {
    let typed = rsip::headers::CSeq::new(value(headers, "CSeq")?).typed().ok()?;
    Some((typed.seq, typed.method))
}

/// The route set that Record-Route makes, in the order it came.
pub fn record_routes(headers: &Headers) -> Vec<String> {
    let lists = values(headers, "Record-Route").into_iter();
    lists
        .filter_map(|list| rsip::headers::RecordRoute::new(list).typed().ok())
        .flat_map(|typed| typed.uris().iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect()
}

/// Where a URI with a literal address points, and whether it asks for TCP.
pub fn address(uri: &str) -> Option<(SocketAddr, bool)> {
    let uri = rsip::Uri::try_from(uri).ok()?;
    let host = uri.host_with_port.to_string().replace("localhost", "127.0.0.1");
    let host = if host.contains(':') { host } else { format!("{host}:5060") };
    let tcp = uri.transport().is_some_and(|transport| *transport == rsip::Transport::Tcp);
    Some((host.parse().ok()?, tcp))
}

/// The status in a `message/sipfrag` body.
pub fn fragment_status(body: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(body).ok()?;
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The end of the first whole message in a stream (RFC 3261 §18.3).
pub fn frame(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]);
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let end = head + length.unwrap_or(0_usize);
    (bytes.len() >= end).then_some(end)
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        404 => "Not Found",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Because",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_what_was_made() {
        let parts = Parts::default()
            .with("Via", "SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKx;rport")
            .with("From", "<sip:a@127.0.0.1:5070>;tag=1")
            .with("To", "<sip:b@127.0.0.1:5080>")
            .with("Call-ID", "c")
            .with("CSeq", "3 INVITE");
        let bytes = request(Method::Invite, "sip:b@127.0.0.1:5080", parts).unwrap();
        let SipMessage::Request(request) = SipMessage::try_from(bytes.as_slice()).unwrap() else {
            panic!("not a request");
        };

        let answer = response(&request, 486, "2", Parts::default());
        let text = String::from_utf8(answer.clone()).unwrap();

        assert_eq!(branch(&request.headers).unwrap(), "z9hG4bKx");
        assert_eq!(cseq(&request.headers).unwrap(), (3, Method::Invite));
        assert!(
            text.starts_with("SIP/2.0 486 Busy Here\r\n")
                && text.contains("To: <sip:b@127.0.0.1:5080>;tag=2\r\n"),
            "{text}"
        );
        assert_eq!(frame(&answer), Some(answer.len()));
        assert!(address("sip:b@127.0.0.1;transport=tcp").unwrap().1);
    }
}
