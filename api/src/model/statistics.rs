//! How a leg fares, in full and in short.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/legs/{leg}/stats`: what came from the leg, what went to it, and where the time goes. Renewed each two seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct LegStats {
    /// Where their media comes from.
    pub remote_rtp: Option<String>,
    /// Round trip by RTCP (RFC 3550 §6.4.1), ms.
    pub round_trip_ms: Option<f32>,
    /// What the leg sends to us.
    pub received: ReceivedStats,
    /// What we send to the leg.
    pub sent: SentStats,
    /// Where the time goes.
    pub delay: DelayStats,
}

/// RTP as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ReceivedStats {
    /// Codec, such as `PCMU/8000`.
    pub codec: Option<String>,
    /// Packets kept.
    pub packets: u64,
    /// Payload octets.
    pub octets: u64,
    /// Packets that never came (RFC 3550 A.3; below zero with duplicates).
    pub packets_lost: i64,
    /// Came after their turn.
    pub packets_late: u64,
    /// Came twice.
    pub packets_duplicate: u64,
    /// Dropped as not RTP, of the wrong payload type or source.
    pub packets_rejected: u64,
    /// Encrypted packets, RTP or RTCP, that were forged, replayed or under another key.
    pub packets_unauthentic: u64,
    /// Packets of the whole call that never came, percent.
    pub loss_percent: f32,
    /// Packets of the whole call that came too late to be played, percent.
    pub late_percent: f32,
    /// Interarrival jitter (RFC 3550 §6.4.1), ms.
    pub jitter_ms: f32,
    /// Frames made up for lost ones.
    pub frames_concealed: u64,
    /// Loudness of what they say, dBov.
    pub level_dbov: Option<i8>,
    /// How loss comes: in bursts or alone (RFC 3611 §4.7.2).
    pub bursts: BurstStats,
    /// How it sounds.
    pub quality: QualityStats,
}

/// RTP as sent, and what the far side reports of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct SentStats {
    /// Codec, such as `PCMU/8000`.
    pub codec: Option<String>,
    /// Packets.
    pub packets: u64,
    /// Payload octets.
    pub octets: u64,
    /// Packets of the whole call that the far side missed.
    pub packets_lost: Option<i32>,
    /// The same of a hundred.
    pub loss_percent: Option<f32>,
    /// The far side's jitter, ms.
    pub jitter_ms: Option<f32>,
    /// How it sounds, by the far side's reports.
    pub quality: QualityStats,
    /// The far side's own figures (RFC 3611 §4.7), where it sends any.
    pub reported: Option<ReportedStats>,
}

/// Quality of one direction by the E-model (ITU-T G.107), rated each second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct QualityStats {
    /// R-factor of the last seconds, 0 to 93.2; absent while nothing flows or nothing is known.
    pub r: Option<f32>,
    /// Mean opinion score of the last seconds, 1.0 to 4.4.
    pub mos: Option<f32>,
    /// Packets of the last seconds that never came, percent.
    pub loss_percent: Option<f32>,
    /// Packets of the last seconds that came too late, percent.
    pub late_percent: Option<f32>,
    /// One way, from the mouth to us or from us to the ear, as far as it is known, ms.
    pub delay_ms: Option<f32>,
    /// Mean R-factor of the call.
    pub r_mean: Option<f32>,
    /// Mean MOS of the call.
    pub mos_mean: Option<f32>,
    /// R-factor of the worst second.
    pub r_min: Option<f32>,
    /// MOS of the worst second.
    pub mos_min: Option<f32>,
    /// Why it counts as bad (between `leg.quality_degraded` and `leg.quality_recovered`); absent while it does not.
    pub degraded: Option<QualityCause>,
}

/// What takes most of the quality away.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityCause {
    /// Packets that never come.
    Loss,
    /// Packets that come too late to be played.
    Jitter,
    /// The time from mouth to ear.
    Delay,
}

/// Loss in bursts and in the gaps between them. A burst has fewer than 16 good packets in a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct BurstStats {
    /// How many bursts there were.
    pub count: u64,
    /// Packets within bursts that were not there in their turn, percent.
    pub burst_loss_percent: f32,
    /// Mean length of a burst, ms.
    pub burst_ms: f32,
    /// Packets between bursts that were not there in their turn, percent.
    pub gap_loss_percent: f32,
    /// Mean length of a gap, ms.
    pub gap_ms: f32,
}

/// What the far side says of its reception (RFC 3611 §4.7), over the call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ReportedStats {
    /// Packets that never came, percent.
    pub loss_percent: f32,
    /// Packets it dropped because they came too late or too early, percent.
    pub late_percent: f32,
    /// R-factor, 0 to 100.
    pub r: Option<u8>,
    /// MOS without delay.
    pub mos_listening: Option<f32>,
    /// MOS with delay.
    pub mos_conversational: Option<f32>,
    /// Its jitter buffer, ms.
    pub buffer_ms: f32,
}

/// Where a leg's time goes. A voice from one leg to another meets the network, the buffer and the mix of the first, and
/// the packet and the network of the second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DelayStats {
    /// Half the round trip, ms; absent until RTCP has measured it.
    pub network_ms: Option<f32>,
    /// In the jitter buffer, after the earliest that a packet could have been played, ms.
    pub buffer_ms: f32,
    /// What the buffer aims at, ms.
    pub buffer_target_ms: f32,
    /// Decoded and waiting for its turn in the mix, ms.
    pub mix_ms: f32,
    /// Filling a packet towards this leg, with the codec's look-ahead, ms.
    pub packet_ms: f32,
    /// `network_ms`, `buffer_ms`, `mix_ms` and `packet_ms` together.
    pub total_ms: f32,
    /// The buffer is as long as it may be (`media.jitter_ceiling`): what comes later is lost.
    pub at_ceiling: bool,
}

/// How a leg fares now, in short; `GET /v1/legs/{leg}/stats` has all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct LegQuality {
    /// What the leg sends to us.
    pub received: StreamQuality,
    /// What we send to the leg, by its reports.
    pub sent: StreamQuality,
    /// The jitter buffer is as long as it may be.
    pub at_delay_ceiling: bool,
}

/// How one direction fares now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct StreamQuality {
    /// Mean opinion score of the last seconds, 1.0 to 4.4; absent while nothing flows or nothing is known.
    pub mos: Option<f32>,
    /// Why it counts as bad; absent while it does not.
    pub degraded: Option<QualityCause>,
}
