//! Where a call has been: Max-Forwards (RFC 3261 §20.22), History-Info (RFC 7044), Diversion (RFC 5806).
//!
//! A call that goes on says all three, so that one which comes back again and again ends: with 483 when its hops are used up, with
//! 482 when it has been diverted too often.

use std::fmt::Write as _;

use crate::sip::headers::{MaxForwards, Name, NameAddr};
use crate::sip::{Message, Uri};

/// What an INVITE told of its past, and what we add.
#[derive(Clone, Debug)]
pub(super) struct Past {
    hops: u8,
    /// Newest first.
    diversions: Vec<String>,
    history: Vec<String>,
    /// The entry of where the call is now.
    here: Option<Entry>,
    /// Index of the last entry of `history`.
    index: String,
}

#[derive(Clone, Debug)]
struct Entry {
    uri: Uri,
    index: String,
    /// The index of what it was diverted from.
    from: Option<String>,
}

/// Why a call goes elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    /// A route says so.
    Unconditional,
    /// This status came from where it was.
    Refused(u16),
    /// Nobody answered there.
    NoAnswer,
}

impl Past {
    /// # Errors
    /// The status by which a call is refused that may go no further.
    pub(super) fn of(invite: &Message) -> Result<Self, u16> {
        let hops = invite.headers.max_forwards().ok().flatten();
        let hops = hops.map_or(MOST_HOPS, |MaxForwards(hops)| hops).min(MOST_HOPS);
        let hops = hops.checked_sub(1).ok_or(483_u16)?;
        let entries = |name| {
            let all = invite.headers.addresses(&name);
            all.filter_map(Result::ok).take(MOST_DIVERSIONS + 1).collect::<Vec<NameAddr>>()
        };
        let (diversions, history) = (entries(Name::Diversion), entries(Name::HistoryInfo));
        let counted = |entry: &NameAddr| {
            entry.params.value("counter").map_or(1, |n| n.parse().unwrap_or(MOST_DIVERSIONS))
        };
        let diverted = diversions.iter().map(counted).fold(0, usize::saturating_add);
        if diverted > MOST_DIVERSIONS || history.len() > MOST_DIVERSIONS {
            return Err(482);
        }
        let index = history.last().and_then(|entry| entry.params.value("index"));
        let is_index = |text: &&str| {
            text.len() <= 100 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        };
        Ok(Self {
            hops,
            index: index.filter(is_index).unwrap_or_default().to_owned(),
            diversions: diversions.iter().map(ToString::to_string).collect(),
            history: history.iter().map(ToString::to_string).collect(),
            here: None,
        })
    }

    /// The call was for `from` and goes to `to` instead.
    pub(super) fn divert(&mut self, from: &Uri, to: &Uri, why: Why) {
        let from = from.without_headers();
        let reason = why.diversion();
        self.diversions.insert(0, format!("<{from}>;reason={reason};counter=1"));
        let last = self.here.take().unwrap_or_else(|| Entry {
            uri: from,
            index: below(&self.index),
            from: None,
        });
        self.history.push(last.print(Some(why.cause())));
        let index = below(&last.index);
        self.here = Some(Entry { uri: to.without_headers(), index, from: Some(last.index) });
    }

    /// Header fields of the INVITE that goes on.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![(Name::MaxForwards.to_string(), self.hops.to_string())];
        let diversions = self.diversions.iter().cloned();
        headers.extend(diversions.map(|value| (Name::Diversion.to_string(), value)));
        let history = self.history.iter().cloned();
        let history = history.chain(self.here.as_ref().map(|entry| entry.print(None)));
        headers.extend(history.map(|value| (Name::HistoryInfo.to_string(), value)));
        headers
    }
}

impl Entry {
    fn print(&self, cause: Option<u16>) -> String {
        let Self { uri, index, from } = self;
        let mut text = format!("<{uri}");
        if let Some(cause) = cause {
            write!(text, "?Reason=SIP%3Bcause%3D{cause}").expect("a string takes any text");
        }
        write!(text, ">;index={index}").expect("a string takes any text");
        if let Some(from) = from {
            write!(text, ";mp={from}").expect("a string takes any text");
        }
        text
    }
}

impl Why {
    /// RFC 5806 §9.1.
    fn diversion(self) -> &'static str {
        match self {
            Self::Unconditional => "unconditional",
            Self::Refused(486 | 600) => "user-busy",
            Self::Refused(_) => "unavailable",
            Self::NoAnswer => "no-answer",
        }
    }

    /// RFC 7044 §10.2: the status that was the reason, or that which would have been.
    fn cause(self) -> u16 {
        match self {
            Self::Unconditional => 302,
            Self::Refused(status) => status,
            Self::NoAnswer => 408,
        }
    }
}

/// The first index below this one.
fn below(index: &str) -> String {
    if index.is_empty() { "1".to_owned() } else { format!("{index}.1") }
}

/// RFC 3261 §8.1.1.6.
const MOST_HOPS: u8 = 70;
/// Diversions of a call that it can tell of, by others and by us.
const MOST_DIVERSIONS: usize = 10;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sip::Limits;

    fn invite(headers: &str) -> Message {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:c@c>;tag=t\r\n\
             To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Message::parse(&Bytes::from(text), &Limits::default()).unwrap()
    }

    fn uri(text: &str) -> Uri {
        Uri::parse(text.as_bytes()).unwrap()
    }

    fn told(past: &Past) -> String {
        let lines: Vec<String> =
            past.headers().iter().map(|(name, value)| format!("{name}: {value}")).collect();
        lines.join("\n")
    }

    #[test]
    fn a_diverted_call_tells_where_it_was_and_why() {
        let mut past = Past::of(&invite("Max-Forwards: 9\r\n")).unwrap();

        past.divert(&uri("sip:anna@b"), &uri("sip:bob@b"), Why::Refused(486));
        past.divert(&uri("sip:bob@b"), &uri("sip:carl@b"), Why::NoAnswer);

        assert_eq!(
            told(&past),
            "Max-Forwards: 8\n\
             Diversion: <sip:bob@b>;reason=no-answer;counter=1\n\
             Diversion: <sip:anna@b>;reason=user-busy;counter=1\n\
             History-Info: <sip:anna@b?Reason=SIP%3Bcause%3D486>;index=1\n\
             History-Info: <sip:bob@b?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1\n\
             History-Info: <sip:carl@b>;index=1.1.1;mp=1.1"
        );
    }

    #[test]
    fn what_others_told_goes_on() {
        let told_before = "Diversion: <sip:z@z>;reason=unconditional;counter=2\r\n\
                           History-Info: <sip:z@z>;index=1, <sip:a@b>;index=1.2\r\n";
        let mut past = Past::of(&invite(told_before)).unwrap();

        past.divert(&uri("sip:a@b"), &uri("sip:bob@b"), Why::Unconditional);

        let told = told(&past);
        assert!(told.starts_with("Max-Forwards: 69\nDiversion: <sip:a@b>;reason=unconditional"));
        assert!(told.contains("\nDiversion: <sip:z@z>;reason=unconditional;counter=2\n"), "{told}");
        assert!(told.contains("\nHistory-Info: <sip:a@b>;index=1.2\n"), "{told}");
        assert!(told.ends_with("<sip:bob@b>;index=1.2.1.1;mp=1.2.1"), "{told}");
    }

    #[test]
    fn who_has_been_everywhere_goes_no_further() {
        let often = "Diversion: <sip:a@b>;reason=user-busy;counter=11\r\n".to_owned();
        let nonsense = "Diversion: <sip:a@b>;counter=x, <sip:c@d>\r\n".to_owned();
        let long = "History-Info: <sip:a@b>;index=1\r\n".repeat(11);
        for (headers, status) in
            [("Max-Forwards: 0\r\n".to_owned(), 483), (often, 482), (nonsense, 482), (long, 482)]
        {
            assert_eq!(Past::of(&invite(&headers)).err(), Some(status), "{headers}");
        }
    }
}
