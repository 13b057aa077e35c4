//! The media threads as the bridge sees them, in virtual time: ports come and go, and every command must make sense.

use std::collections::BTreeMap;

use plenary::media::command::{Audience, Command, Event, MediaKey, MixKey, Statistics};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// What a leg's media is doing.
#[derive(Debug, Default)]
pub struct Seat {
    pub mix: Option<MixKey>,
    configured: bool,
}

/// All legs with ports.
#[derive(Debug, Default)]
pub struct Media {
    pub legs: BTreeMap<MediaKey, Seat>,
    ports: u16,
}

impl Media {
    /// Carries out a command; gives what the threads would report.
    pub fn handle(&mut self, command: Command, dice: &mut ChaCha8Rng) -> Vec<Event> {
        match command {
            Command::Open { leg, .. } => {
                if dice.next_u32().is_multiple_of(100) {
                    return vec![Event::OpenFailed { leg, reason: "no ports".into() }];
                }
                let before = self.legs.insert(leg, Seat::default());
                assert!(before.is_none(), "{leg:?} opened twice");
                self.ports = self.ports.wrapping_add(2);
                vec![Event::Opened { leg, rtp_port: 10_000 + self.ports % 20_000 }]
            }
            Command::Configure { leg, stream } => {
                assert!(!stream.plan.receive.is_empty(), "nothing to receive");
                self.seat(leg, "configured").configured = true;
                Vec::new()
            }
            Command::Join { leg, mix, contributors } => {
                assert!(contributors > 0);
                let seat = self.seat(leg, "seated");
                assert!(seat.configured, "{leg:?} seated before it was configured");
                seat.mix = Some(mix);
                Vec::new()
            }
            Command::Leave { leg } => {
                self.seat(leg, "unseated").mix = None;
                Vec::new()
            }
            Command::Seat { leg, .. } | Command::SendDigits { leg, .. } => {
                self.seat(leg, "told");
                Vec::new()
            }
            Command::Contributors { .. } | Command::Duck { .. } | Command::Meters { .. } => {
                Vec::new()
            }
            // A clip is over at once, and what goes on for ever when it is stopped.
            Command::Play { id, ref play, .. } if play.times.is_some() => {
                vec![Event::Played { id, cut: false }]
            }
            Command::Record { of: Audience::Leg(leg), .. }
            | Command::Unrecord { of: Audience::Leg(leg), .. } => {
                self.seat(leg, "recorded");
                Vec::new()
            }
            Command::Play { .. }
            | Command::Steer { .. }
            | Command::Record { .. }
            | Command::Unrecord { .. } => Vec::new(),
            Command::Close { leg } => {
                // A leg whose ports never came is closed too.
                self.legs.remove(&leg);
                let statistics = Statistics::default();
                vec![Event::Statistics { leg, statistics }, Event::Closed { leg }]
            }
        }
    }

    fn seat(&mut self, leg: MediaKey, what: &str) -> &mut Seat {
        self.legs.get_mut(&leg).unwrap_or_else(|| panic!("{leg:?} is {what} without ports"))
    }
}
