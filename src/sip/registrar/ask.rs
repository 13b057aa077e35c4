//! What a REGISTER asks for: RFC 3261 §10.3 steps 6 and 7, RFC 3327, RFC 5626 §6.

use std::time::Duration;

use super::{GRUU, OUTBOUND, RegistrarOptions};
use crate::sip::StatusCode;
use crate::sip::Uri;
use crate::sip::endpoint::{Flow, Registering, Rejection};
use crate::sip::headers::{CallId, Name, NameAddr};
use crate::sip::scan;

/// A REGISTER, read.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) wish: Wish,
    pub(super) paths: Vec<NameAddr>,
    /// RFC 5626: the phone keeps the flow alive and is reached over it alone.
    pub(super) keeps_flow: bool,
    /// RFC 5627: the phone wants to know a name for each of its Contacts.
    pub(super) wants_gruu: bool,
    pub(super) flow: Flow,
    pub(super) user_agent: String,
    pub(super) call_id: CallId,
    pub(super) sequence: u32,
}

#[derive(Debug)]
pub(super) enum Wish {
    /// To be told what there is.
    Query,
    /// `Contact: *`.
    Clear,
    Bind(Vec<Contact>),
}

#[derive(Debug)]
pub(super) struct Contact {
    pub(super) uri: Uri,
    pub(super) quality: u16,
    pub(super) instance: Option<String>,
    pub(super) reg_id: Option<u32>,
    /// Zero takes it back.
    pub(super) lasts: Duration,
}

impl Ask {
    pub(super) fn read(
        request: &Registering,
        options: &RegistrarOptions,
    ) -> Result<Self, Rejection> {
        let headers = &request.request.headers;
        let (Ok(call_id), Ok(cseq)) = (headers.call_id(), headers.cseq()) else {
            return Err(bad("Call-ID and CSeq are needed"));
        };
        let contacts = read_contacts(request, options)?;
        let paths: Vec<NameAddr> = headers
            .addresses(&Name::Path)
            .take(PATHS + 1)
            .collect::<Result<_, _>>()
            .map_err(|_| bad("a Path is no address"))?;
        if paths.len() > PATHS {
            return Err(bad("the Path is too long"));
        }
        let names_way = contacts.iter().any(|contact| {
            contact.instance.is_some() && contact.reg_id.is_some() && !contact.lasts.is_zero()
        });
        let wants_flow = names_way && headers.has_token(&Name::Supported, OUTBOUND);
        if wants_flow && !is_first_hop_able(request, &paths) {
            return Err(StatusCode::FIRST_HOP_LACKS_OUTBOUND.into());
        }
        let wish = match contacts {
            _ if is_clear(request)? => Wish::Clear,
            contacts if contacts.is_empty() => Wish::Query,
            contacts => Wish::Bind(contacts),
        };
        let is_direct = paths.is_empty();
        let flow = if wants_flow && is_direct { request.flow.kept() } else { request.flow };
        let user_agent = headers.first(&Name::UserAgent).map(|value| scan::text(value));
        Ok(Self {
            wish,
            paths,
            keeps_flow: wants_flow,
            wants_gruu: headers.has_token(&Name::Supported, GRUU),
            flow,
            user_agent: user_agent.unwrap_or_default().chars().take(USER_AGENT).collect(),
            call_id,
            sequence: cseq.number,
        })
    }
}

/// RFC 5626 §6: whoever speaks to the phone has to keep the flow.
fn is_first_hop_able(request: &Registering, paths: &[NameAddr]) -> bool {
    let is_ours = request.request.headers.items(&Name::Via).nth(1).is_none();
    is_ours || paths.last().is_some_and(|path| path.uri.param("ob").is_some())
}

/// `Contact: *` stands alone, with `Expires: 0`.
fn is_clear(request: &Registering) -> Result<bool, Rejection> {
    let headers = &request.request.headers;
    if !headers.items(&Name::Contact).any(|contact| contact == b"*") {
        return Ok(false);
    }
    let is_alone = headers.items(&Name::Contact).nth(1).is_none();
    let is_zero = headers.first(&Name::Expires).is_some_and(|value| seconds(value) == Some(0));
    if is_alone && is_zero { Ok(true) } else { Err(bad("Contact * needs Expires 0 and no other")) }
}

fn read_contacts(
    request: &Registering,
    options: &RegistrarOptions,
) -> Result<Vec<Contact>, Rejection> {
    let headers = &request.request.headers;
    let usual = headers.first(&Name::Expires).and_then(|value| seconds(value));
    let usual = usual.map_or(options.usual, Duration::from_secs);
    let mut contacts: Vec<Contact> = Vec::new();
    for item in headers.items(&Name::Contact).filter(|item| *item != b"*") {
        if contacts.len() >= options.contacts {
            return Err(bad("too many Contacts"));
        }
        let address = NameAddr::parse(item).map_err(|_| bad("a Contact is no address"))?;
        let contact = Contact::read(address, (usual, options))?;
        // The last word on a Contact counts.
        contacts.retain(|other| !other.uri.is_equivalent(&contact.uri));
        contacts.push(contact);
    }
    let ways = contacts.iter().filter(|contact| contact.reg_id.is_some()).count();
    // RFC 5626 §6: several Contacts cannot be at the end of one flow.
    if ways > 1 { Err(bad("one reg-id a request")) } else { Ok(contacts) }
}

impl Contact {
    fn read(
        address: NameAddr,
        (usual, options): (Duration, &RegistrarOptions),
    ) -> Result<Self, Rejection> {
        let NameAddr { uri, params, .. } = address;
        if !uri.is_sip() || uri.host().is_none() || uri.as_str().len() > CONTACT {
            return Err(bad("a Contact is no SIP URI"));
        }
        // RFC 3261 §10.2.1.1: what is no number is as if it were 3600.
        let wanted = params
            .value("expires")
            .map(|value| seconds(value.as_bytes()).map_or(options.usual, Duration::from_secs));
        let lasts = wanted.unwrap_or(usual);
        if !lasts.is_zero() && lasts < options.min {
            let min = options.min.as_secs().to_string();
            let mut rejection = Rejection::new(StatusCode::INTERVAL_TOO_BRIEF);
            rejection.headers.push((Name::MinExpires.to_string(), min));
            return Err(rejection);
        }
        let instance = params.unquoted("+sip.instance").map(std::borrow::Cow::into_owned);
        let reg_id = params.value("reg-id").and_then(|value| value.parse().ok());
        Ok(Self {
            quality: address_quality(params.value("q")),
            instance: instance.filter(|instance| instance.len() <= INSTANCE),
            reg_id: reg_id.filter(|&reg_id: &u32| reg_id > 0),
            lasts: lasts.min(options.max),
            uri: uri.without_headers(),
        })
    }
}

/// Thousandths of a `q` (RFC 3261 §20.10); 1000 if there is none, 0 if it is no number.
fn address_quality(text: Option<&str>) -> u16 {
    let Some(text) = text else { return 1000 };
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = rest.chars().chain("000".chars()).take(3).collect();
    match whole {
        "1" => 1000,
        "0" => digits.parse().unwrap_or(0),
        _ => 0,
    }
}

/// Whole seconds; more than 32 bits of them are cut there.
fn seconds(value: &[u8]) -> Option<u64> {
    scan::number(scan::trim(value)).map(|seconds| seconds.min(u64::from(u32::MAX)))
}

fn bad(why: &'static str) -> Rejection {
    let mut rejection = Rejection::new(StatusCode::BAD_REQUEST);
    rejection.headers.push((Name::Warning.to_string(), format!("399 plenary \"{why}\"")));
    rejection
}

/// Proxies on the way to a phone.
const PATHS: usize = 8;
/// Octets of a Contact's URI, and of an instance.
const CONTACT: usize = 1024;
const INSTANCE: usize = 256;
/// Characters that are kept of what a phone says it is.
const USER_AGENT: usize = 128;
