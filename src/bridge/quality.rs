//! How legs sound: what the API shows of it, and what happens when that changes.

use std::time::Duration;

use api::event::EventType;
use api::model::{
    BurstStats, DelayStats, LegId, LegQuality, LegStats, QualityCause, QualityStats, ReceivedStats,
    ReportedStats, SentStats, StreamQuality,
};
use serde_json::json;

use crate::media::command::{Cause, Quality, Statistics, Vitals};

use super::Bridge;

impl Bridge {
    /// Tells of the alarms that `before` and the present figures of the leg differ in.
    pub(super) fn quality_changed(&mut self, id: LegId, before: &Vitals) {
        let Some(leg) = self.legs.get(&id).filter(|leg| leg.is_up()) else { return };
        let now = leg.statistics.vitals;
        let target = leg.statistics.buffer_target;
        self.stream_changed(id, "received", (&before.received, &now.received));
        self.stream_changed(id, "sent", (&before.sent, &now.sent));
        if now.at_ceiling && !before.at_ceiling {
            self.counters.delay_ceilings += 1;
            let data = json!({ "buffer_target_ms": ms(target) });
            self.leg_happened(EventType::LegDelayCeiling, id, data);
        }
    }

    fn stream_changed(
        &mut self,
        id: LegId,
        stream: &'static str,
        (before, now): (&Quality, &Quality),
    ) {
        let shown = stats_of(now);
        let mut data = json!({
            "stream": stream, "mos": shown.mos, "r": shown.r, "loss_percent": shown.loss_percent,
            "late_percent": shown.late_percent, "delay_ms": shown.delay_ms,
        });
        match (before.degraded, now.degraded) {
            (None, Some(cause)) => {
                self.counters.degraded(stream, cause);
                data["cause"] = json!(cause_of(cause));
                self.leg_happened(EventType::LegQualityDegraded, id, data);
            }
            (Some(_), None) => self.leg_happened(EventType::LegQualityRecovered, id, data),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}

/// As a leg shows it.
pub(super) fn in_short(vitals: &Vitals) -> LegQuality {
    let stream = |quality: &Quality| StreamQuality {
        mos: quality.now.map(|now| rounded(now.rating.mos())),
        degraded: quality.degraded.map(cause_of),
    };
    LegQuality {
        received: stream(&vitals.received),
        sent: stream(&vitals.sent),
        at_delay_ceiling: vitals.at_ceiling,
    }
}

/// As the API shows it in full.
pub(super) fn stats(statistics: &Statistics) -> LegStats {
    LegStats {
        remote_rtp: statistics.remote.map(|remote| remote.to_string()),
        round_trip_ms: statistics.round_trip.map(ms),
        received: received(statistics),
        sent: sent(statistics),
        delay: delay(statistics),
    }
}

fn received(statistics: &Statistics) -> ReceivedStats {
    let Vitals { fates, bursts, .. } = statistics.vitals;
    ReceivedStats {
        codec: statistics.codec.map(|codec| codec.to_string()),
        packets: statistics.packets_received,
        octets: statistics.octets_received,
        packets_lost: statistics.packets_lost,
        packets_late: statistics.packets_late,
        packets_duplicate: statistics.packets_duplicate,
        packets_rejected: statistics.packets_rejected,
        packets_unauthentic: statistics.packets_unauthentic,
        loss_percent: percent(fates.lost()),
        late_percent: percent(fates.late()),
        jitter_ms: ms(statistics.jitter),
        frames_concealed: statistics.frames_concealed,
        level_dbov: statistics.level_dbov,
        bursts: BurstStats {
            count: bursts.bursts,
            burst_loss_percent: percent(bursts.burst_density),
            burst_ms: ms(bursts.burst_duration),
            gap_loss_percent: percent(bursts.gap_density),
            gap_ms: ms(bursts.gap_duration),
        },
        quality: stats_of(&statistics.vitals.received),
    }
}

fn sent(statistics: &Statistics) -> SentStats {
    let vitals = &statistics.vitals;
    SentStats {
        codec: vitals.sent_codec.map(|codec| codec.to_string()),
        packets: statistics.packets_sent,
        octets: statistics.octets_sent,
        packets_lost: vitals.far_lost,
        loss_percent: vitals.far_lost.map(|lost| share(lost, statistics.packets_sent)),
        jitter_ms: statistics.far_jitter.map(ms),
        quality: stats_of(&vitals.sent),
        reported: vitals.far.map(|far| ReportedStats {
            loss_percent: percent(f32::from(far.loss_rate) / 256.0),
            late_percent: percent(f32::from(far.discard_rate) / 256.0),
            r: far.r_factor,
            mos_listening: far.mos_listening.map(|tenths| f32::from(tenths) / 10.0),
            mos_conversational: far.mos_conversational.map(|tenths| f32::from(tenths) / 10.0),
            buffer_ms: ms(far.buffer),
        }),
    }
}

fn delay(statistics: &Statistics) -> DelayStats {
    let budget = statistics.vitals.delay;
    DelayStats {
        network_ms: budget.network.map(ms),
        buffer_ms: ms(budget.buffer),
        buffer_target_ms: ms(statistics.buffer_target),
        mix_ms: ms(budget.mix),
        packet_ms: ms(budget.packet),
        total_ms: ms(budget.total()),
        at_ceiling: statistics.vitals.at_ceiling,
    }
}

fn stats_of(quality: &Quality) -> QualityStats {
    let Quality { now, mean, worst, degraded } = *quality;
    QualityStats {
        r: now.map(|now| rounded(now.rating.r())),
        mos: now.map(|now| rounded(now.rating.mos())),
        loss_percent: now.map(|now| percent(now.lost)),
        late_percent: now.map(|now| percent(now.late)),
        delay_ms: now.map(|now| ms(now.delay)),
        r_mean: mean.map(|(r, _)| rounded(r)),
        mos_mean: mean.map(|(_, mos)| rounded(mos)),
        r_min: worst.map(|worst| rounded(worst.r())),
        mos_min: worst.map(|worst| rounded(worst.mos())),
        degraded: degraded.map(cause_of),
    }
}

fn cause_of(cause: Cause) -> QualityCause {
    match cause {
        Cause::Loss => QualityCause::Loss,
        Cause::Jitter => QualityCause::Jitter,
        Cause::Delay => QualityCause::Delay,
    }
}

pub(super) fn ms(duration: Duration) -> f32 {
    rounded(duration.as_secs_f32() * 1000.0)
}

fn percent(share: f32) -> f32 {
    rounded(share * 100.0)
}

/// `part` of a hundred; a far side that counts duplicates can report less than nothing.
#[expect(clippy::cast_precision_loss, reason = "a share of packets; 24 bits are plenty")]
fn share(part: i32, whole: u64) -> f32 {
    if whole == 0 { 0.0 } else { percent((part.max(0) as f32 / whole as f32).min(1.0)) }
}

/// To hundredths: more is not meant.
fn rounded(value: f32) -> f32 {
    (value * 100.0).round() / 100.0
}
