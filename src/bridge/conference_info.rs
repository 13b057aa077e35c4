//! What subscribers are told of a room: the conference-info document of RFC 4575, written as XML.
//!
//! A user of the document is an address; its endpoints are the legs that have it.

use std::fmt::{self, Write as _};

use api::model::{Direction, LeftReason, LegId, Role};

use super::leg::{Leg, Privacy, Stage};
use super::xml::{self, Scope, Xml};

/// A conference as one subscriber sees it.
#[derive(Debug)]
pub(super) struct ConferenceInfo<'a> {
    /// Conference URI, as the subscriber wrote it.
    pub(super) entity: &'a str,
    /// Rises by one with each document of a subscription.
    pub(super) version: u32,
    /// Whether it tells everything, or what has changed.
    pub(super) scope: Scope,
    /// What the room is called.
    pub(super) name: &'a str,
    /// How many may take part.
    pub(super) seats: u32,
    /// How many take part.
    pub(super) joined: usize,
    pub(super) locked: bool,
    /// `None`: more than are told one by one.
    pub(super) users: Option<Vec<User<'a>>>,
}

/// Somebody, or who it was.
#[derive(Debug)]
pub(super) struct User<'a> {
    pub(super) entity: String,
    pub(super) presence: Presence<'a>,
}

/// Whether a user is there.
#[derive(Debug)]
pub(super) enum Presence<'a> {
    /// With these legs.
    Here(Vec<&'a Leg>),
    /// Its last leg left, for this reason.
    Left(LeftReason),
}

/// Who a leg is to subscribers; nobody, if its caller wants to be anonymous (RFC 3323, RFC 4575 §7).
pub(super) fn entity_of(leg: &Leg) -> String {
    if leg.privacy == Privacy::Hidden {
        return format!("sip:anonymous-{}@anonymous.invalid", tail(leg.id));
    }
    let uri = leg.remote();
    uri.split_once('?').map_or(uri, |(uri, _)| uri).to_owned()
}

/// The end of an id: it is random, its beginning is time.
fn tail(id: LegId) -> String {
    let id = id.to_string();
    id.get(id.len().saturating_sub(12)..).unwrap_or_default().to_owned()
}

impl ConferenceInfo<'_> {
    /// The document.
    pub(super) fn print(&self) -> String {
        xml::print(1024, |out| self.write(out))
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let state = self.scope;
        write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"{}\" \
             state=\"{state}\" version=\"{}\">",
            Xml(self.entity),
            self.version
        )?;
        if self.scope == Scope::Full {
            self.write_description(out)?;
        }
        write!(
            out,
            "<conference-state><user-count>{}</user-count><active>true</active>\
             <locked>{}</locked></conference-state>",
            self.joined, self.locked
        )?;
        if let Some(users) = &self.users {
            write!(out, "<users state=\"{state}\">")?;
            for user in users {
                user.write(out)?;
            }
            out.write_str("</users>")?;
        }
        out.write_str("</conference-info>\r\n")
    }

    // `status` may be left out of the media (RFC 4575 §5.3.4), but Linphone 5.1 crashes without it.
    fn write_description(&self, out: &mut String) -> fmt::Result {
        let (name, entity) = (Xml(self.name), Xml(self.entity));
        write!(
            out,
            "<conference-description><display-text>{name}</display-text><subject>{name}</subject>\
             <conf-uris><entry><uri>{entity}</uri><purpose>participation</purpose></entry></conf-uris>\
             <maximum-user-count>{}</maximum-user-count><available-media><entry label=\"1\">\
             <type>audio</type><status>sendrecv</status></entry></available-media>\
             </conference-description>",
            self.seats
        )
    }
}

impl User<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let entity = Xml(&self.entity);
        match &self.presence {
            Presence::Here(legs) => {
                write!(out, "<user entity=\"{entity}\" state=\"full\">")?;
                write_person(out, legs.first().copied())?;
                for leg in legs {
                    write_endpoint(out, &self.entity, leg)?;
                }
            }
            Presence::Left(reason) => write!(
                out,
                "<user entity=\"{entity}\" state=\"deleted\"><endpoint entity=\"{entity}\">\
                 <status>disconnected</status>\
                 <disconnection-method>{}</disconnection-method></endpoint>",
                disconnection(*reason)
            )?,
        }
        out.write_str("</user>")
    }
}

fn write_person(out: &mut String, leg: Option<&Leg>) -> fmt::Result {
    let Some(leg) = leg else { return Ok(()) };
    let name = if leg.privacy == Privacy::Hidden {
        Some("Anonymous")
    } else {
        leg.display_name.as_deref()
    };
    if let Some(name) = name {
        write!(out, "<display-text>{}</display-text>", Xml(name))?;
    }
    let role = match leg.controls.role {
        Role::Moderator => "moderator",
        Role::Speaker => "participant",
        Role::Listener => "listener",
        Role::Coach => "coach",
    };
    write!(out, "<roles><entry>{role}</entry></roles>")
}

fn write_endpoint(out: &mut String, entity: &str, leg: &Leg) -> fmt::Result {
    let method = match leg.direction {
        Direction::Inbound => "dialed-in",
        Direction::Outbound => "dialed-out",
    };
    write!(
        out,
        "<endpoint entity=\"{};leg={}\"><status>{}</status><joining-method>{method}</joining-method>",
        Xml(entity),
        leg.id,
        status(leg)
    )?;
    if let Some(at) = leg.joined_at {
        write!(out, "<joining-info><when>{at}</when></joining-info>")?;
        write!(
            out,
            "<media id=\"1\"><type>audio</type><label>1</label><status>{}</status></media>",
            direction(leg)
        )?;
    }
    out.write_str("</endpoint>")
}

/// RFC 4575 §5.7.
fn status(leg: &Leg) -> &'static str {
    match leg.stage {
        Stage::Resolving { .. } | Stage::Opening { .. } | Stage::Dialing => "dialing-out",
        Stage::Answering { .. } | Stage::Waiting(_) | Stage::Confirming => "dialing-in",
        Stage::Ringing => "alerting",
        Stage::Up if leg.hold.by().is_some() => "on-hold",
        Stage::Up if leg.seat().muted => "muted-via-focus",
        Stage::Up => "connected",
    }
}

/// What the endpoint does with its audio (RFC 4575 §5.8).
fn direction(leg: &Leg) -> &'static str {
    let seat = leg.seat();
    match (seat.muted, seat.deaf) {
        (false, false) => "sendrecv",
        (false, true) => "sendonly",
        (true, false) => "recvonly",
        (true, true) => "inactive",
    }
}

fn disconnection(reason: LeftReason) -> &'static str {
    match reason {
        LeftReason::HungUp
        | LeftReason::Moved
        | LeftReason::Transferred
        | LeftReason::Replaced
        | LeftReason::Cancelled
        | LeftReason::PeerLeft => "departed",
        LeftReason::Kicked
        | LeftReason::PinRefused
        | LeftReason::RoomEnded
        | LeftReason::LimitReached
        | LeftReason::Shutdown => "booted",
        LeftReason::Busy | LeftReason::Declined => "busy",
        LeftReason::NoAnswer
        | LeftReason::MediaTimeout
        | LeftReason::HandshakeFailed
        | LeftReason::Incompatible
        | LeftReason::Overloaded
        | LeftReason::NotFound
        | LeftReason::Unreachable
        | LeftReason::DialogLost
        | LeftReason::SessionExpired
        | LeftReason::Failed => "failed",
    }
}
