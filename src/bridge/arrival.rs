//! Who comes, before it is decided where to, and what it would be told (OPTIONS, RFC 3261 §11).

use api::model::{LegId, RouteStep};

use super::Bridge;
use super::identity::{Identity, Source};
use super::room::Refusal;
use super::routes::{Asking, user_or_number};
use super::signal::{rejection, status_code};
use super::tolls::Payers;
use crate::sip::endpoint::{self, Invited, Options, Rejection};

/// Somebody who may call, and where from.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The leg that it will have.
    pub(super) id: LegId,
    pub(super) trunk: Option<usize>,
    pub(super) user: Option<String>,
    pub(super) caller: Identity,
    /// Who pays for it.
    pub(super) payers: Payers,
    /// What it dialled, a number in E.164 if its trunk says how to tell.
    pub(super) dialled: String,
}

impl Bridge {
    pub(super) fn arrival(
        &mut self,
        invited: &Invited,
        trunk: Option<usize>,
        user: Option<String>,
    ) -> Arrival {
        let rules = trunk.and_then(|trunk| self.trunk_rules(trunk));
        let source = match (rules, &user) {
            (Some(rules), _) if rules.trusted => Source::Trusted,
            (None, Some(user)) => Source::User(user),
            _ => Source::Anybody,
        };
        let mut caller = Identity::of(invited, source);
        let mut dialled = user_or_number(&invited.target).unwrap_or_default();
        if let Some(rules) = rules {
            caller.rewrite(|number| {
                let normal = rules.numbers.normal(number);
                (normal != number).then_some(normal)
            });
            dialled = rules.numbers.normal(&dialled);
        }
        let payers = self.tolls.payers(user.as_deref(), invited.peer.ip().to_canonical());
        let id = LegId::new(self.unix_ms(), self.random());
        Arrival { id, trunk, user, caller, payers, dialled }
    }

    /// What an INVITE to this address would be told, as far as that is known without one (RFC 3261 §11.2).
    pub(super) fn would_answer(
        &self,
        options: &Options,
    ) -> Result<Option<endpoint::Identity>, Rejection> {
        self.has_line().map_err(rejection)?;
        if self.room_for_legs() == 0 {
            return Err(rejection(Refusal::Overloaded));
        }
        let trunk = self.trunk_at(options.peer.ip().to_canonical());
        let rules = trunk.and_then(|trunk| self.trunk_rules(trunk));
        let dialled = user_or_number(&options.target).unwrap_or_default();
        if dialled.is_empty() {
            return Ok(None); // about us, and nobody here
        }
        let dialled = rules.map_or_else(|| dialled.clone(), |rules| rules.numbers.normal(&dialled));
        let from = options.request.headers.from().ok();
        let from = from.and_then(|from| user_or_number(&from.uri)).unwrap_or_default();
        let asking = Asking {
            dialled: &dialled,
            from: &from,
            trunk,
            user: None,
            address: Some(options.peer.ip().to_canonical()),
            at: self.wall(),
        };
        let step = self.route_of(&asking).and_then(|(_, steps)| steps.into_iter().next());
        let name = match step {
            Some(RouteStep { room: Some(room), .. }) => room,
            Some(RouteStep { reject: Some(reject), .. }) => {
                let status = status_code(reject.status);
                return Err(Rejection { status, reason: reject.reason, headers: Vec::new() });
            }
            Some(_) => return Ok(None),
            None => trunk.and_then(|trunk| self.trunk_room(trunk)).map_or(dialled, str::to_owned),
        };
        self.would_admit(&name).map_err(rejection)?;
        let room = self.names.get(&name).copied();
        Ok(room.and_then(|room| self.focus(room)))
    }

    fn would_admit(&self, name: &str) -> Result<(), Refusal> {
        match self.names.get(name) {
            Some(room) => self.rooms[room].admit(),
            None if self.is_factory(name) => Ok(()),
            None if self.settings.auto_create.matches(name) => Ok(()),
            None => Err(Refusal::NotFound),
        }
    }
}
