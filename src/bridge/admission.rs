//! Whether one more leg may be made: limits, ports, and what the media threads can take.
//!
//! Only what would add a leg is asked: calls that are up are served whatever the load.

use std::time::Duration;

use rand_core::Rng;

use super::room::Refusal;
use super::{Bridge, Draining};

impl Bridge {
    /// Whether the limits leave a line.
    pub(super) fn has_line(&self) -> Result<(), Refusal> {
        if self.draining != Draining::No {
            return Err(Refusal::Draining);
        }
        if self.free_lines() == 0 { Err(Refusal::Overloaded) } else { Ok(()) }
    }

    /// Whether the media threads can take `legs` more in one place; counts and tells when not.
    pub(super) fn has_room(&mut self, legs: usize) -> Result<(), Refusal> {
        if self.capacity.room_in_mix(self.now, self.media.len()) >= legs {
            return Ok(());
        }
        self.counters.saturated += 1;
        let before = self.saturated_at.replace(self.now);
        if before.is_none_or(|before| self.now.saturating_duration_since(before) > EPISODE) {
            tracing::warn!(
                legs = self.legs.len(),
                "no media capacity: new calls are refused until there is; see /v1/nodes, limits.media_load"
            );
        }
        Err(Refusal::Saturated { retry_after_s: self.soon() })
    }

    /// Legs that can be added now, in as many rooms as there are workers.
    pub(super) fn room_for_legs(&self) -> usize {
        self.capacity.room(self.now, self.media.len()).min(self.free_lines())
    }

    fn free_lines(&self) -> usize {
        let Self { settings, legs, media, .. } = self;
        let ports = settings.port_pairs.saturating_sub(media.len());
        settings.max_legs.saturating_sub(legs.len()).min(ports)
    }

    /// Some seconds, not the same for all who are told to come again.
    pub(super) fn soon(&mut self) -> u32 {
        SOON + self.dice.next_u32() % SOON
    }
}

/// Seconds: by then there are some reports more.
const SOON: u32 = 4;
/// Refusals closer together than this belong together, and are warned of once.
const EPISODE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
