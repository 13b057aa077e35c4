//! A bad network between the phone's encoder and its socket, the same for the same seed.

use std::time::{Duration, Instant};

use crate::command::Impairments;
use crate::random::Random;

/// Packets on their way, by the time they leave.
#[derive(Debug, Default)]
pub struct Network {
    impairments: Impairments,
    random: Random,
    queue: Vec<(Instant, Vec<u8>)>,
    latest: Option<Instant>,
}

impl Network {
    pub fn set(&mut self, impairments: Impairments) {
        self.impairments = impairments;
        self.random = Random::new(impairments.seed);
    }

    pub fn push(&mut self, now: Instant, packet: Vec<u8>) {
        let lost = self.hits(self.impairments.loss_percent);
        let late = self.hits(self.impairments.reorder_percent);
        let twice = self.hits(self.impairments.duplicate_percent);
        let jitter = Duration::from_secs_f64(
            self.impairments.jitter_ms.max(0.0) / 1000.0 * self.random.unit(),
        );
        if lost {
            return;
        }
        // Jitter keeps the order, as a queue does; only `reorder` breaks it.
        let mut at = self.latest.map_or(now + jitter, |latest| latest.max(now + jitter));
        if late {
            at += Duration::from_millis(25);
        } else {
            self.latest = Some(at);
        }
        if twice {
            self.queue.push((at, packet.clone()));
        }
        self.queue.push((at, packet));
    }

    /// The next packet that is due.
    pub fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        let index = self.queue.iter().position(|(at, _)| *at <= now)?;
        Some(self.queue.remove(index).1)
    }

    pub fn next(&self) -> Option<Instant> {
        self.queue.iter().map(|(at, _)| *at).min()
    }

    fn hits(&mut self, percent: f64) -> bool {
        self.random.unit() * 100.0 < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_lost_and_the_rest_stays_in_order() {
        let start = Instant::now();
        let mut network = Network::default();
        network.set(Impairments {
            loss_percent: 20.0,
            jitter_ms: 50.0,
            seed: 3,
            ..Default::default()
        });

        for index in 0..250_u8 {
            network.push(start + Duration::from_millis(20) * u32::from(index), vec![index]);
        }
        let end = start + Duration::from_mins(1);
        let left: Vec<u8> =
            std::iter::from_fn(|| network.pop(end)).map(|packet| packet[0]).collect();

        assert!((180..=220).contains(&left.len()), "{} of 250 left", left.len());
        assert!(left.is_sorted());
    }
}
