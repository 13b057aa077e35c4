//! What subscribers are told of a user's calls: the dialog-info document of RFC 4235, written as XML.
//!
//! It tells of the dialogs between the user's phones and us as the phones see them: `local` is the phone, and a call that we
//! place has the phone as its recipient.

use std::fmt::{self, Write as _};
use std::time::Duration;

use api::model::{Direction, LeftReason, LegId, SipFailure};

use super::xml::{self, Scope, Xml};
use crate::sip::dialog::DialogId;

/// The dialogs of a user, as one subscriber sees them.
#[derive(Debug)]
pub(super) struct DialogInfo<'a> {
    /// The user, as the subscriber wrote it.
    pub(super) entity: &'a str,
    /// Rises by one with each document of a subscription, from 0 on.
    pub(super) version: u32,
    pub(super) scope: Scope,
    pub(super) dialogs: Vec<Dialog>,
}

/// A dialog of one of the user's phones, or what it was.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) id: LegId,
    /// Of the leg.
    pub(super) direction: Direction,
    pub(super) state: State,
    /// What only the user itself is told.
    pub(super) details: Option<Details>,
}

/// RFC 4235 §3.7.1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Trying,
    Proceeding,
    Early,
    Confirmed { since: Duration, is_held: bool },
    Terminated(Ending),
}

/// How a dialog ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ending {
    pub(super) event: &'static str,
    pub(super) status: Option<u16>,
}

/// Enough to take the call over (RFC 3891), and with whom it is.
#[derive(Debug)]
pub(super) struct Details {
    /// As we hold it.
    pub(super) dialog: Option<DialogId>,
    /// The other party, where it may be told.
    pub(super) party: Option<String>,
}

impl Ending {
    /// Why it ended (RFC 4235 §3.7.1), from where the phone stands: what it did itself is local.
    pub(super) fn of(reason: LeftReason, sip: Option<&SipFailure>) -> Self {
        let event = match reason {
            LeftReason::HungUp | LeftReason::Transferred => "local-bye",
            LeftReason::PeerLeft
            | LeftReason::Kicked
            | LeftReason::PinRefused
            | LeftReason::LimitReached
            | LeftReason::RoomEnded
            | LeftReason::Moved
            | LeftReason::Shutdown => "remote-bye",
            LeftReason::Cancelled | LeftReason::NoAnswer => "cancelled",
            LeftReason::Busy | LeftReason::Declined | LeftReason::NotFound => "rejected",
            LeftReason::Replaced => "replaced",
            LeftReason::SessionExpired | LeftReason::MediaTimeout => "timeout",
            LeftReason::HandshakeFailed
            | LeftReason::Incompatible
            | LeftReason::Overloaded
            | LeftReason::Unreachable
            | LeftReason::DialogLost
            | LeftReason::Failed => "error",
        };
        Self { event, status: sip.map(|sip| sip.status).filter(|_| event == "rejected") }
    }
}

impl DialogInfo<'_> {
    /// The document.
    pub(super) fn print(&self) -> String {
        xml::print(512, |out| self.write(out))
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let state = self.scope;
        write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{}\" \
             state=\"{state}\" entity=\"{}\">",
            self.version,
            Xml(self.entity)
        )?;
        for dialog in &self.dialogs {
            dialog.write(out, self.entity)?;
        }
        out.write_str("</dialog-info>\r\n")
    }
}

impl Dialog {
    fn write(&self, out: &mut String, entity: &str) -> fmt::Result {
        write!(out, "<dialog id=\"{}\"", self.id)?;
        if let Some(DialogId { call_id, local_tag, remote_tag }) =
            self.details.as_ref().and_then(|details| details.dialog.as_ref())
        {
            let (theirs, ours) = (Xml(remote_tag), Xml(local_tag));
            write!(out, " call-id=\"{}\" local-tag=\"{theirs}\"", Xml(&call_id.to_string()))?;
            write!(out, " remote-tag=\"{ours}\"")?;
        }
        let direction = match self.direction {
            Direction::Inbound => "initiator",
            Direction::Outbound => "recipient",
        };
        write!(out, " direction=\"{direction}\">")?;
        self.state.write(out)?;
        let entity = Xml(entity);
        write!(out, "<local><identity>{entity}</identity><target uri=\"{entity}\">")?;
        if matches!(self.state, State::Confirmed { is_held: true, .. }) {
            out.write_str("<param pname=\"+sip.rendering\" pval=\"no\"/>")?;
        }
        out.write_str("</target></local>")?;
        if let Some(party) = self.details.as_ref().and_then(|details| details.party.as_ref()) {
            write!(out, "<remote><identity>{}</identity></remote>", Xml(party))?;
        }
        out.write_str("</dialog>")
    }
}

impl State {
    fn write(self, out: &mut String) -> fmt::Result {
        match self {
            Self::Trying => out.write_str("<state>trying</state>"),
            Self::Proceeding => out.write_str("<state>proceeding</state>"),
            Self::Early => out.write_str("<state>early</state>"),
            Self::Confirmed { since, .. } => {
                write!(out, "<state>confirmed</state><duration>{}</duration>", since.as_secs())
            }
            Self::Terminated(Ending { event, status }) => {
                write!(out, "<state event=\"{event}\"")?;
                if let Some(status) = status {
                    write!(out, " code=\"{status}\"")?;
                }
                out.write_str(">terminated</state>")
            }
        }
    }
}
