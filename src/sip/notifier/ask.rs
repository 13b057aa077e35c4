//! What a SUBSCRIBE asks for, or why it is refused: RFC 6665 §4.1.2 and §4.2.1.1.

use std::time::Duration;

use super::{PACKAGES, allow_events};
use crate::sip::endpoint::Settings;
use crate::sip::headers::{self, Name};
use crate::sip::layer::Reply;
use crate::sip::{Message, StatusCode};

/// A SUBSCRIBE that can be granted.
#[derive(Clone, Debug)]
pub(in crate::sip) struct Ask {
    pub(super) event: headers::Event,
    /// Zero asks for the state once (RFC 6665 §4.4.3).
    pub(super) expires: Duration,
}

impl Ask {
    /// Reads what is asked for; the error is the refusal.
    pub(in crate::sip) fn read(request: &Message, settings: &Settings) -> Result<Self, Box<Reply>> {
        let event = request.headers.first(&Name::Event);
        let event = event.and_then(|value| headers::Event::parse(value).ok());
        let known = event.and_then(|event| Some((package_of(&event)?, event)));
        let Some((content_type, event)) = known else {
            let reply = Reply::new(StatusCode::BAD_EVENT);
            return Err(Box::new(reply.header(Name::AllowEvents, allow_events())));
        };
        if !accepts(request, content_type) {
            let reply = Reply::new(StatusCode::NOT_ACCEPTABLE);
            return Err(Box::new(reply.header(Name::Accept, content_type)));
        }
        let expires = match request.headers.first(&Name::Expires) {
            Some(value) => {
                seconds(value).ok_or_else(|| Box::new(Reply::new(StatusCode::BAD_REQUEST)))?
            }
            None => settings.subscribe_max,
        };
        if !expires.is_zero() && expires < settings.subscribe_min {
            let min = settings.subscribe_min.as_secs().to_string();
            let reply = Reply::new(StatusCode::INTERVAL_TOO_BRIEF);
            return Err(Box::new(reply.header(Name::MinExpires, min)));
        }
        Ok(Self { event, expires: expires.min(settings.subscribe_max) })
    }
}

/// The body type of a package that we have.
fn package_of(event: &headers::Event) -> Option<&'static str> {
    let known = PACKAGES.iter().find(|(name, _)| event.package.eq_ignore_ascii_case(name));
    known.map(|(_, content_type)| *content_type)
}

/// RFC 3261 §20.1: without Accept, the package decides.
fn accepts(request: &Message, content_type: &str) -> bool {
    let mut ranges = request.headers.items(&Name::Accept).peekable();
    ranges.peek().is_none() || ranges.any(|range| matches(range, content_type))
}

fn matches(range: &[u8], content_type: &str) -> bool {
    let range = String::from_utf8_lossy(range);
    let range = range.split(';').next().unwrap_or_default().trim();
    let kind = content_type.split('/').next().unwrap_or_default();
    let all_of_kind = range.strip_suffix("/*").is_some_and(|of| of.eq_ignore_ascii_case(kind));
    range == "*/*" || all_of_kind || range.eq_ignore_ascii_case(content_type)
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // RFC 3261 §20.19 allows up to 2³²-1; more is as good as that.
    is_number.then(|| Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()))
}
