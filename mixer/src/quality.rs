//! How good a stream sounds: the E-model of ITU-T G.107 as it is usual for VoIP, and the opinion (MOS) it predicts.
//!
//! ```text
//!   R = 93.2 − Id(delay) − Ie,eff(codec, loss, burstiness)        MOS = f(R), G.107 Annex B
//! ```
//! 93.2 is R with every parameter of G.107 at its default. All codecs are judged on the narrowband scale, on which G.711
//! is perfect: a wideband codec sounds better than its 93.2 says, and what counts here is what the network takes away.
//!
//! [`Meter`] rates a direction second by second, and its alarm has hysteresis. [`Bursts`] tells bursts of loss from
//! gaps between them (RFC 3611 §4.7.2).

mod alarm;
mod burst;
mod meter;

use std::time::Duration;

pub use alarm::{AlarmOptions, Cause};
pub(crate) use burst::GAP_MIN;
pub use burst::{BurstFigures, Bursts};
pub use meter::{Fates, Meter, Quality, Sample};

use crate::codec::Codec;

/// An R-factor, 0 (unusable) to 93.2 (nothing in the way).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rating(f32);

impl Rating {
    /// With nothing in the way.
    pub const BEST: Self = Self(93.2);

    /// The rating of a path.
    pub fn of(path: &Path) -> Self {
        let taken = path.delay_impairment() + path.loss_impairment();
        Self((Self::BEST.0 - taken).clamp(0.0, Self::BEST.0))
    }

    /// R itself.
    pub fn r(self) -> f32 {
        self.0
    }

    /// Mean opinion score that R predicts, 1.0 (bad) to 4.4 (G.107 Annex B).
    pub fn mos(self) -> f32 {
        let r = self.0;
        // Below 6.5 the cubic dips under the scale.
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
    }
}

/// What lies between a mouth and an ear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// What the voice is coded with.
    pub codec: Codec,
    /// Share of packets that were not there in their turn, 0 to 1.
    pub loss: f32,
    /// Mean run of losses over the one that random loss would have (G.107 `BurstR`); at least 1.
    pub burst_ratio: f32,
    /// One way, from mouth to ear.
    pub delay: Duration,
}

impl Path {
    /// What the delay takes away (Id): the fit of Cole and Rosenbluth to G.107 with its default echo loss.
    pub fn delay_impairment(&self) -> f32 {
        let ms = self.delay.as_secs_f32() * 1000.0;
        0.024 * ms + 0.11 * (ms - 177.3).max(0.0)
    }

    /// What the codec and the loss take away (Ie,eff, G.107 §7.5).
    pub fn loss_impairment(&self) -> f32 {
        let Robustness { impairment, against_loss } = Robustness::of(self.codec);
        let percent = self.loss.clamp(0.0, 1.0) * 100.0;
        let burst_ratio = self.burst_ratio.max(1.0);
        impairment + (95.0 - impairment) * percent / (percent / burst_ratio + against_loss)
    }
}

/// Ie and Bpl of a codec (ITU-T G.113 Appendix I).
#[derive(Clone, Copy, Debug)]
struct Robustness {
    /// Ie.
    impairment: f32,
    /// Bpl.
    against_loss: f32,
}

impl Robustness {
    fn of(codec: Codec) -> Self {
        match codec {
            // G.711 with packet loss concealment. G.113 knows G.722 on the wideband scale only, and L16 not at all;
            // both are concealed here as G.711 is.
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::L16 => {
                Self { impairment: 0.0, against_loss: 25.1 }
            }
            // Not in G.113. Like other predictive codecs (G.729A: 19) it needs some packets to find its way back.
            Codec::Opus => Self { impairment: 0.0, against_loss: 19.0 },
        }
    }
}

/// How long a codec looks ahead beyond its packet (RFC 6716 §2.1.4, G.722 §5.2.1).
pub fn look_ahead(codec: Codec) -> Duration {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::L16 => Duration::ZERO,
        Codec::G722 => Duration::from_micros(1_375),
        Codec::Opus => Duration::from_micros(6_500),
    }
}

/// Where a leg's time goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DelayBudget {
    /// Half the round trip; `None` until RTCP has measured it.
    pub network: Option<Duration>,
    /// In the jitter buffer, after the earliest that the packet could have been played.
    pub buffer: Duration,
    /// Decoded, and waiting for its tick.
    pub mix: Duration,
    /// Filling a packet towards this leg, with the codec's look-ahead.
    pub packet: Duration,
}

impl DelayBudget {
    /// All of it; a network that was not measured counts as nothing.
    pub fn total(&self) -> Duration {
        self.network.unwrap_or_default() + self.buffer + self.mix + self.packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(codec: Codec, percent: f32, ms: u64) -> Path {
        let delay = Duration::from_millis(ms);
        Path { codec, loss: percent / 100.0, burst_ratio: 1.0, delay }
    }

    #[test]
    fn opinion_follows_annex_b_of_g_107() {
        for (r, mos) in [
            (93.2, 4.41),
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
            (0.0, 1.0),
            (3.0, 1.0),
        ] {
            let found = Rating(r).mos();

            assert!((found - mos).abs() < 0.007, "R {r}: {found}, expected {mos}");
        }
    }

    #[test]
    fn loss_takes_what_g_113_says() {
        // 95 · Ppl / (Ppl + 25.1)
        for (percent, taken) in [(0.0, 0.0), (1.0, 3.64), (3.0, 10.14), (5.0, 15.78), (20.0, 42.13)]
        {
            let found = path(Codec::Pcmu, percent, 0).loss_impairment();

            assert!((found - taken).abs() < 0.01, "{percent} %: {found}, expected {taken}");
        }
    }

    #[test]
    fn delay_hardly_matters_below_177_ms() {
        for (ms, taken) in [(0, 0.0), (100, 2.4), (177, 4.25), (250, 14.0), (400, 34.1)] {
            let found = path(Codec::Pcma, 0.0, ms).delay_impairment();

            assert!((found - taken).abs() < 0.02, "{ms} ms: {found}, expected {taken}");
        }
    }

    #[test]
    fn bursts_are_worse_than_the_same_loss_spread_out() {
        let spread = path(Codec::Pcmu, 5.0, 0);
        let bursty = Path { burst_ratio: 4.0, ..spread };

        assert!(Rating::of(&bursty) < Rating::of(&spread));
        assert!((bursty.loss_impairment() - 18.02).abs() < 0.02, "{}", bursty.loss_impairment());
    }

    #[test]
    fn every_codec_is_perfect_on_a_perfect_path() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::L16] {
            assert_eq!(Rating::of(&path(codec, 0.0, 0)), Rating::BEST);
            assert_eq!(Rating::of(&path(codec, 100.0, 2_000)), Rating(0.0));
        }
    }
}
