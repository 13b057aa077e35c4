//! How the calls of a trunk fare: what `/metrics` shows of each.

use std::collections::BTreeMap;
use std::time::Duration;

use api::model::{Direction, LeftReason, LegId};

use super::{Bridge, Trunk};
use crate::bridge::leg::Leg;
use crate::bridge::metrics::{Page, name_of};

/// What only ever rises. The answer-seizure ratio (ASR) of a time is the rise of `answered` by that of `attempts`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    attempts: ByDirection,
    answered: ByDirection,
    /// Of calls that were not answered, by cause.
    failed: BTreeMap<(&'static str, String), u64>,
    /// Of calls that were.
    talked: Duration,
}

type ByDirection = BTreeMap<&'static str, u64>;

impl Bridge {
    /// Notes that a leg goes through a trunk, or comes from one.
    pub(in crate::bridge) fn note_trunk_leg(
        &mut self,
        index: usize,
        leg: LegId,
        direction: Direction,
    ) {
        if let Some(trunk) = self.trunks.get_mut(index) {
            trunk.legs.insert(leg, direction);
            *trunk.counts.attempts.entry(label(direction)).or_default() += 1;
        }
    }

    /// The trunk that a leg goes through, or comes from.
    pub(in crate::bridge) fn trunk_of(&self, leg: LegId) -> Option<usize> {
        self.trunks.iter().position(|trunk| trunk.legs.contains_key(&leg))
    }

    /// A leg was answered.
    pub(in crate::bridge) fn trunk_answered(&mut self, leg: LegId) {
        for trunk in &mut self.trunks {
            if let Some(direction) = trunk.legs.get(&leg) {
                *trunk.counts.answered.entry(label(*direction)).or_default() += 1;
            }
        }
    }

    /// A leg has gone.
    pub(in crate::bridge) fn trunk_lost(&mut self, leg: &Leg, reason: LeftReason) {
        let now = self.wall();
        for trunk in &mut self.trunks {
            let Some(direction) = trunk.legs.remove(&leg.id) else { continue };
            if let Some(since) = leg.answered_at {
                trunk.counts.talked +=
                    Duration::try_from(now.duration_since(since)).unwrap_or_default();
            } else {
                trunk.counts.fail(direction, name_of(reason));
            }
        }
    }

    /// A call from a trunk was refused before it had a leg.
    pub(in crate::bridge) fn trunk_refused(&mut self, index: usize, code: &str) {
        if let Some(Trunk { counts, .. }) = self.trunks.get_mut(index) {
            *counts.attempts.entry(label(Direction::Inbound)).or_default() += 1;
            counts.fail(Direction::Inbound, code.to_owned());
        }
    }

    pub(in crate::bridge) fn show_trunks(&self, page: &mut Page) {
        self.show_trunk_states(page);
        let total = |page: &mut Page, name: &str, of: fn(&Counts) -> &ByDirection| {
            for trunk in &self.trunks {
                for (direction, count) in of(&trunk.counts) {
                    let trunk = trunk.settings.name.as_str();
                    page.row(name, &[("trunk", trunk), ("direction", direction)], count);
                }
            }
        };
        let name = "plenary_trunk_attempts_total";
        page.head(name, "Calls to and from a trunk.", "counter");
        total(page, name, |counts| &counts.attempts);
        let name = "plenary_trunk_answered_total";
        page.head(
            name,
            "Those of them that were answered: by attempts this is the ASR.",
            "counter",
        );
        total(page, name, |counts| &counts.answered);
        let name = "plenary_trunk_failed_total";
        page.head(name, "Those of them that were not, by cause.", "counter");
        for trunk in &self.trunks {
            let trunk_name = trunk.settings.name.as_str();
            for ((direction, cause), count) in &trunk.counts.failed {
                let labels = [("trunk", trunk_name), ("direction", direction), ("cause", cause)];
                page.row(name, &labels, count);
            }
        }
        let name = "plenary_trunk_talk_seconds_total";
        page.head(name, "How long answered calls of a trunk lasted that have ended.", "counter");
        for trunk in &self.trunks {
            let talked = trunk.counts.talked.as_secs_f64();
            page.row(name, &[("trunk", &trunk.settings.name)], talked);
        }
    }

    fn show_trunk_states(&self, page: &mut Page) {
        let name = "plenary_trunk_calls";
        page.head(name, "Calls of a trunk now.", "gauge");
        for trunk in &self.trunks {
            for direction in [Direction::Inbound, Direction::Outbound] {
                let calls = trunk.legs.values().filter(|own| **own == direction).count();
                let trunk = trunk.settings.name.as_str();
                page.row(name, &[("trunk", trunk), ("direction", label(direction))], calls);
            }
        }
        let name = "plenary_trunk_up";
        page.head(name, "1 while calls can go through a trunk.", "gauge");
        for trunk in &self.trunks {
            let is_up = u8::from(trunk.state() == api::model::TrunkState::Up);
            page.row(name, &[("trunk", &trunk.settings.name)], is_up);
        }
    }
}

impl Counts {
    fn fail(&mut self, direction: Direction, cause: String) {
        *self.failed.entry((label(direction), cause)).or_default() += 1;
    }
}

fn label(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}
