//! Headers that a trunk is sent beside those of every call, that it is not sent, and that it is passed from the caller.

use crate::bridge::Pattern;
use crate::sip::Message;
use crate::sip::headers::Name;

/// Rules about the headers of an INVITE through a trunk. None may name a header that makes a dialog, finds the way, proves who calls or describes the body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderRules {
    /// Names and values that every call has.
    pub add: Vec<(String, String)>,
    /// Names of those that are left out, such as `Diversion`.
    pub remove: Vec<String>,
    /// Names of those that the caller's INVITE may bring, as in `X-*`.
    pub pass: Vec<Pattern>,
}

impl HeaderRules {
    /// What cannot be: the name, and what was expected.
    pub fn fault(&self) -> Option<String> {
        let names = self.add.iter().map(|(name, _)| name).chain(&self.remove);
        let names = names.map(String::as_str).chain(self.pass.iter().map(Pattern::as_str));
        for name in names.clone() {
            if !is_token(name.trim_end_matches('*')) {
                return Some(format!("expected the name of a header, found \"{name}\""));
            }
            if is_ours(&Name::new(name)) {
                return Some(format!("expected no header that we decide, found {name}"));
            }
        }
        if names.count() > MOST_RULES {
            return Some(format!("expected at most {MOST_RULES} headers"));
        }
        let is_value = |value: &str| {
            value.len() <= MOST_OCTETS && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        let bad = self.add.iter().find(|(_, value)| !is_value(value));
        bad.map(|(name, _)| format!("expected visible ASCII characters as the value of {name}"))
    }

    /// Of what the caller told, what passes.
    pub(in crate::bridge) fn passed(&self, told: &[(String, String)]) -> Vec<(String, String)> {
        let passes = |name: &str| {
            let name = name.to_ascii_lowercase();
            self.pass
                .iter()
                .any(|rule| Pattern::new(&rule.as_str().to_ascii_lowercase()).matches(&name))
        };
        told.iter().filter(|(name, _)| passes(name)).cloned().collect()
    }

    /// Applies what is to be removed and added.
    pub(in crate::bridge) fn apply(&self, headers: &mut Vec<(String, String)>) {
        headers.retain(|(name, _)| {
            !self.remove.iter().any(|removed| Name::new(removed) == Name::new(name))
        });
        headers.extend(self.add.iter().cloned());
    }
}

/// Headers of an INVITE that some trunk may be passed: not ours to decide, and of bounded length.
pub(in crate::bridge) fn passable(invite: &Message) -> Vec<(String, String)> {
    let mut octets = 0;
    let mut found = Vec::new();
    // Where a call was is told anyway.
    let told = [Name::Diversion, Name::HistoryInfo];
    let others = invite.headers.iter().filter(|header| !is_ours(&header.name));
    for header in others.filter(|header| !told.contains(&header.name)) {
        let Ok(value) = std::str::from_utf8(header.value()) else { continue };
        let name = header.name.to_string();
        octets += name.len() + value.len();
        if octets > MOST_OCTETS || found.len() >= MOST_RULES {
            break;
        }
        found.push((name, value.to_owned()));
    }
    found
}

/// RFC 3261 §25.1.
fn is_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(is_token)
}

/// Whether we alone decide about a header of an INVITE.
fn is_ours(name: &Name) -> bool {
    OURS.contains(name)
}

const OURS: &[Name] = &[
    Name::Accept,
    Name::Allow,
    Name::AllowEvents,
    Name::AuthenticationInfo,
    Name::Authorization,
    Name::CSeq,
    Name::CallId,
    Name::Contact,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::ContentLanguage,
    Name::ContentLength,
    Name::ContentType,
    Name::Event,
    Name::Expires,
    Name::From,
    Name::Join,
    Name::MaxForwards,
    Name::MimeVersion,
    Name::MinExpires,
    Name::MinSe,
    Name::PAssertedIdentity,
    Name::PPreferredIdentity,
    Name::Path,
    Name::Privacy,
    Name::ProxyAuthenticate,
    Name::ProxyAuthorization,
    Name::ProxyRequire,
    Name::RAck,
    Name::RSeq,
    Name::RecordRoute,
    Name::ReferSub,
    Name::ReferTo,
    Name::ReferredBy,
    Name::Replaces,
    Name::Require,
    Name::RetryAfter,
    Name::Route,
    Name::Server,
    Name::ServiceRoute,
    Name::SessionExpires,
    Name::SubscriptionState,
    Name::Supported,
    Name::TargetDialog,
    Name::To,
    Name::Unsupported,
    Name::UserAgent,
    Name::Via,
    Name::WwwAuthenticate,
];

/// Names in the rules of a trunk, and headers of a caller that are kept for them.
const MOST_RULES: usize = 32;
/// Octets of the headers of a caller that are kept, and of one value.
const MOST_OCTETS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn headers_of_dialogs_and_ways_are_nobodys_to_rule() {
        for (name, is_fine) in [
            ("X-Account", true),
            ("Diversion", true),
            ("Call-Info", true),
            ("from", false),
            ("v", false),
            ("Route", false),
            ("Record-Route", false),
            ("P-Asserted-Identity", false),
            ("content-length", false),
            ("X Account", false),
            ("X-A:", false),
            ("", false),
        ] {
            let name = name.to_owned();
            let add =
                HeaderRules { add: vec![(name.clone(), "1".to_owned())], ..HeaderRules::default() };
            let pass = HeaderRules { pass: vec![Pattern::new(&name)], ..HeaderRules::default() };
            let remove = HeaderRules { remove: vec![name.clone()], ..HeaderRules::default() };

            for rules in [add, pass, remove] {
                assert_eq!(rules.fault().is_none(), is_fine, "{name} {:?}", rules.fault());
            }
        }
        let line =
            HeaderRules { add: text(&[("X-A", "1\r\nRoute: <sip:x>")]), ..HeaderRules::default() };
        assert!(line.fault().is_some());
    }

    #[test]
    fn what_passes_is_named_and_bounded() {
        let rules = HeaderRules {
            add: text(&[("X-Account", "17")]),
            remove: vec!["diversion".to_owned()],
            pass: vec![Pattern::new("X-Cust*"), Pattern::new("call-info")],
        };
        let told = text(&[("x-customer", "7"), ("X-Secret", "s"), ("Call-Info", "<a:b>")]);

        let mut headers = rules.passed(&told);
        headers.push(("Diversion".to_owned(), "<sip:a@b>".to_owned()));
        rules.apply(&mut headers);

        assert_eq!(
            headers,
            text(&[("x-customer", "7"), ("Call-Info", "<a:b>"), ("X-Account", "17")])
        );
        let long = format!("X-Long: {}\r\n", "a".repeat(1000)).repeat(20);
        let invite = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKx\r\nFrom: <sip:c@c>;tag=t\r\n\
             To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n{long}Content-Length: 0\r\n\r\n"
        );
        let invite = Message::parse(&invite.into(), &crate::sip::Limits::default()).unwrap();
        assert_eq!(passable(&invite).len(), 4);
    }
}
