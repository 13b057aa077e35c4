//! Which rooms, participants, calls and legs a list shows: all that is given must fit.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Call, Direction, Leg, PageQuery, Participant, Role, Room};
use crate::id::{CallId, LegId, RoomId};

macro_rules! queries {
    ($($(#[doc = $doc:literal])* $name:ident { $($field:tt)* })+) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq, ToSchema)]
        #[serde(default, deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            /// Items a page, 1 to 500.
            #[param(default = 50, minimum = 1, maximum = 500)]
            pub limit: Option<u32>,
            /// `next` of the page before.
            pub cursor: Option<String>,
            /// `all` shows what has ended or left too; any state's name shows only that.
            pub state: Option<String>,
            $($field)*
        }

        impl $name {
            /// Which page of what fits.
            pub fn page(&self) -> PageQuery {
                let Self { limit, cursor, state, .. } = self.clone();
                PageQuery { limit, cursor, state }
            }
        }

        impl From<PageQuery> for $name {
            fn from(PageQuery { limit, cursor, state }: PageQuery) -> Self {
                Self { limit, cursor, state, ..Self::default() }
            }
        }
    )+};
}

queries! {
    /// `GET /v1/rooms`.
    RoomQuery {
        /// Of this name.
        pub name: Option<String>,
        /// Locked or not.
        pub locked: Option<bool>,
        /// Made by a call, or over the API.
        pub ad_hoc: Option<bool>,
        /// The rooms (ids or names) that the key is bound to.
        #[serde(skip)]
        #[param(ignore)]
        pub within: Vec<String>,
    }

    /// `GET /v1/rooms/{room}/participants`.
    ParticipantQuery {
        /// Of this role.
        pub role: Option<Role>,
        /// Muted or not.
        pub muted: Option<bool>,
        /// On hold or not.
        pub held: Option<bool>,
        /// Speaks now or not.
        pub talking: Option<bool>,
        /// Who dialled whom.
        pub direction: Option<Direction>,
        /// Of this audio group; `main`: of none.
        pub group: Option<String>,
        /// With this address.
        pub uri: Option<String>,
    }

    /// `GET /v1/calls`.
    CallQuery {
        /// The one that this leg is of.
        pub leg: Option<LegId>,
    }

    /// `GET /v1/legs`.
    LegQuery {
        /// Of this call.
        pub call: Option<CallId>,
        /// In this room (its id).
        pub room: Option<RoomId>,
        /// Who dialled whom.
        pub direction: Option<Direction>,
        /// Muted or not.
        pub muted: Option<bool>,
        /// On hold or not.
        pub held: Option<bool>,
        /// `udp`, `tcp`, `tls`, `ws` or `wss`.
        pub transport: Option<String>,
        /// Of this SIP Call-ID.
        pub sip_call_id: Option<String>,
        /// The rooms that the key is bound to.
        #[serde(skip)]
        #[param(ignore)]
        pub within: Vec<RoomId>,
    }
}

/// Whether nothing is wanted, or just this.
fn fits<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

/// Whether this participant is of the group that is wanted.
fn of_group(wanted: Option<&str>, one: &Participant) -> bool {
    fits(wanted.as_ref(), &one.group.as_deref().unwrap_or("main"))
}

impl RoomQuery {
    /// Whether this room is to be shown, whatever its state.
    pub fn matches(&self, room: &Room) -> bool {
        let id = room.id.to_string();
        let is_within = |bound: &String| *bound == room.name || *bound == id;
        fits(self.name.as_ref(), &room.name)
            && fits(self.locked.as_ref(), &room.locked)
            && fits(self.ad_hoc.as_ref(), &room.ad_hoc)
            && (self.within.is_empty() || self.within.iter().any(is_within))
    }
}

impl ParticipantQuery {
    /// Whether this participant is to be shown, whatever its state.
    pub fn matches(&self, one: &Participant) -> bool {
        fits(self.role.as_ref(), &one.role)
            && fits(self.muted.as_ref(), &one.muted)
            && fits(self.held.as_ref(), &one.held)
            && fits(self.talking.as_ref(), &one.talking)
            && fits(self.direction.as_ref(), &one.direction)
            && of_group(self.group.as_deref(), one)
            && fits(self.uri.as_ref(), &one.uri)
    }
}

impl CallQuery {
    /// Whether this call is to be shown, whatever its state.
    pub fn matches(&self, call: &Call) -> bool {
        self.leg.is_none_or(|leg| call.legs.contains(&leg))
    }
}

impl LegQuery {
    /// Whether this leg is to be shown, whatever its state.
    pub fn matches(&self, leg: &Leg) -> bool {
        (self.call.is_none() || self.call == leg.call)
            && (self.room.is_none() || self.room == leg.room)
            && fits(self.direction.as_ref(), &leg.direction)
            && fits(self.muted.as_ref(), &leg.muted)
            && fits(self.held.as_ref(), &leg.held)
            && fits(self.transport.as_ref(), &leg.transport)
            && fits(self.sip_call_id.as_ref(), &leg.sip_call_id)
            && (self.within.is_empty() || leg.room.is_some_and(|room| self.within.contains(&room)))
    }
}

/// Whom of a room a change of many concerns: all who are joined and fit.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Whom {
    /// Those of this role.
    pub role: Option<Role>,
    /// Those who are muted, or are not.
    pub muted: Option<bool>,
    /// Those of this audio group; `main`: of none.
    pub group: Option<String>,
    /// These, separated by commas.
    #[serde(deserialize_with = "several")]
    #[param(value_type = Option<String>)]
    pub legs: Vec<LegId>,
}

impl Whom {
    /// Whether the change is for this one.
    pub fn means(&self, one: &Participant) -> bool {
        fits(self.role.as_ref(), &one.role)
            && fits(self.muted.as_ref(), &one.muted)
            && of_group(self.group.as_deref(), one)
            && (self.legs.is_empty() || self.legs.contains(&one.leg))
    }
}

fn several<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<LegId>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.split(',').map(|id| id.trim().parse().map_err(|_| unknown_leg(id))).collect()
}

fn unknown_leg<E: serde::de::Error>(text: &str) -> E {
    E::custom(format!("expected ids of legs, separated by commas, found {text:?}"))
}

/// `DELETE /v1/rooms/{room}/participants/{leg}`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct KickQuery {
    /// A name of media that they hear before they are hung up, alone; such as `en.kicked`.
    pub prompt: Option<String>,
}
