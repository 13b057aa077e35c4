//! What `/metrics` shows (Prometheus exposition format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use api::model::LeftReason;

use crate::media::command::{Cause, MediaKey, Quality, Statistics, Vitals, WorkerReport};

use super::signal::wire_name;
use super::{Bridge, Draining};

/// What only ever rises, and the last word of each worker.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) legs_total: u64,
    pub(super) legs_inbound: u64,
    pub(super) invited: u64,
    pub(super) answered: u64,
    pub(super) refused: u64,
    /// Refused for want of media capacity, over SIP and over the API.
    pub(super) saturated: u64,
    /// Requests of callers that we did not know, or not yet.
    pub(super) denied: u64,
    /// Wrong passwords.
    pub(super) guesses: u64,
    pub(super) pins_refused: u64,
    pub(super) bans: u64,
    /// REGISTERs that were carried out.
    pub(super) registrations: u64,
    /// Messages from banned addresses.
    pub(super) ignored: u64,
    /// Requests of scanners.
    pub(super) scans: u64,
    pub(super) rooms_total: u64,
    pub(super) calls_total: u64,
    pub(super) transfers: u64,
    /// Calls whose seat another took, and conversations that another joined.
    pub(super) replaced: u64,
    pub(super) joins: u64,
    pub(super) digits: u64,
    pub(super) media_timeouts: u64,
    pub(super) handshakes: u64,
    pub(super) handshakes_failed: u64,
    pub(super) ports_exhausted: u64,
    pub(super) commands: u64,
    /// Changes that the store has taken, and that it has not.
    pub(super) stored: u64,
    pub(super) unstored: u64,
    pub(super) delay_ceilings: u64,
    pub(super) echoes: u64,
    /// Questions to endpoints.
    pub(super) asked: u64,
    asked_in_vain: BTreeMap<&'static str, u64>,
    answers: Histogram,
    /// Alarms by stream and cause.
    degraded: BTreeMap<(&'static str, &'static str), u64>,
    /// Of the legs that ended: received and sent.
    opinions: [Histogram; 2],
    losses: [Histogram; 2],
    ended: BTreeMap<String, u64>,
    /// By whose limit and which.
    limited: BTreeMap<(&'static str, &'static str), u64>,
    workers: BTreeMap<usize, WorkerTotals>,
    media: MediaTotals,
    last: BTreeMap<MediaKey, Last>,
}

/// The last word on a leg.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    totals: MediaTotals,
    /// Mean MOS, received and sent.
    opinions: [Option<f32>; 2],
    /// Share of packets that were not there in their turn, received and sent.
    losses: [Option<f64>; 2],
}

/// Counts of values up to each of some bounds.
#[derive(Clone, Copy, Debug, Default)]
struct Histogram {
    counts: [u64; BOUNDS],
    sum: f64,
    count: u64,
}

/// Of one worker.
#[derive(Debug, Default)]
pub(super) struct WorkerTotals {
    pub(super) ticks: u64,
    pub(super) late_ticks: u64,
    dropped_events: u64,
    pub(super) last: WorkerReport,
}

#[derive(Clone, Copy, Debug, Default)]
struct MediaTotals {
    received: u64,
    sent: u64,
    lost: i64,
    late: u64,
    rejected: u64,
    unauthentic: u64,
    concealed: u64,
}

impl MediaTotals {
    fn of(statistics: &Statistics) -> Self {
        Self {
            received: statistics.packets_received,
            sent: statistics.packets_sent,
            lost: statistics.packets_lost,
            late: statistics.packets_late,
            rejected: statistics.packets_rejected,
            unauthentic: statistics.packets_unauthentic,
            concealed: statistics.frames_concealed,
        }
    }

    fn add_change(&mut self, old: Self, new: Self) {
        self.received += new.received.saturating_sub(old.received);
        self.sent += new.sent.saturating_sub(old.sent);
        self.lost += new.lost - old.lost;
        self.late += new.late.saturating_sub(old.late);
        self.rejected += new.rejected.saturating_sub(old.rejected);
        self.unauthentic += new.unauthentic.saturating_sub(old.unauthentic);
        self.concealed += new.concealed.saturating_sub(old.concealed);
    }
}

impl Last {
    #[expect(clippy::cast_precision_loss, reason = "packets; 53 bits are plenty")]
    fn of(statistics: &Statistics) -> Self {
        let Vitals { received, sent, fates, far_lost, .. } = statistics.vitals;
        let missed = f64::from(fates.lost() + fates.late());
        let packets = statistics.packets_sent.max(1) as f64;
        let far_missed = |lost: i32| (f64::from(lost.max(0)) / packets).min(1.0);
        Self {
            totals: MediaTotals::of(statistics),
            opinions: [&received, &sent].map(|quality| quality.mean.map(|(_, mos)| mos)),
            losses: [(!fates.is_empty()).then_some(missed), far_lost.map(far_missed)],
        }
    }
}

impl Histogram {
    fn note(&mut self, bounds: &[f64; BOUNDS], value: f64) {
        let within = bounds.iter().zip(&mut self.counts).filter(|(bound, _)| value <= **bound);
        within.for_each(|(_, count)| *count += 1);
        self.sum += value;
        self.count += 1;
    }
}

impl Counters {
    pub(super) fn degraded(&mut self, stream: &'static str, cause: Cause) {
        let cause = match cause {
            Cause::Loss => "loss",
            Cause::Jitter => "jitter",
            Cause::Delay => "delay",
        };
        *self.degraded.entry((stream, cause)).or_default() += 1;
    }

    pub(super) fn ask_failed(&mut self, reason: &'static str) {
        *self.asked_in_vain.entry(reason).or_default() += 1;
    }

    pub(super) fn answer_took(&mut self, time: Duration) {
        self.answers.note(&ANSWER_BOUNDS, time.as_secs_f64());
    }

    pub(super) fn ended(&mut self, reason: LeftReason) {
        *self.ended.entry(name_of(reason)).or_default() += 1;
    }

    pub(super) fn limited(&mut self, scope: &'static str, limit: &'static str) {
        *self.limited.entry((scope, limit)).or_default() += 1;
    }

    pub(super) fn measured(&mut self, media: MediaKey, statistics: &Statistics) {
        let new = Last::of(statistics);
        let old = self.last.insert(media, new).unwrap_or_default();
        self.media.add_change(old.totals, new.totals);
    }

    pub(super) fn closed(&mut self, media: MediaKey) {
        let Some(last) = self.last.remove(&media) else { return };
        for stream in 0..STREAMS.len() {
            if let Some(mos) = last.opinions[stream] {
                self.opinions[stream].note(&MOS_BOUNDS, mos.into());
            }
            if let Some(loss) = last.losses[stream] {
                self.losses[stream].note(&LOSS_BOUNDS, loss);
            }
        }
    }

    pub(super) fn worker(&mut self, report: WorkerReport) {
        let totals = self.workers.entry(report.worker).or_default();
        totals.ticks += report.ticks;
        totals.late_ticks += report.late_ticks;
        totals.dropped_events += report.dropped_events;
        totals.last = report;
    }

    /// Of a worker that has reported.
    pub(super) fn worker_totals(&self, worker: usize) -> Option<&WorkerTotals> {
        self.workers.get(&worker)
    }
}

/// As the API writes it.
pub(super) fn name_of(reason: LeftReason) -> String {
    let name = serde_json::to_value(reason).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or("failed").to_owned()
}

impl Bridge {
    pub(super) fn metrics(&self) -> String {
        let mut page = Page(String::with_capacity(8192));
        self.show_calls(&mut page);
        self.show_access(&mut page);
        self.show_questions(&mut page);
        self.show_trunks(&mut page);
        self.show_sip(&mut page);
        self.show_media(&mut page);
        self.show_quality(&mut page);
        self.show_workers(&mut page);
        page.0
    }

    fn show_calls(&self, page: &mut Page) {
        let counters = &self.counters;
        page.gauge("plenary_legs", "Legs now.", self.legs.len());
        page.gauge("plenary_rooms", "Open rooms now.", self.rooms.len());
        page.gauge("plenary_calls", "Two-party calls now.", self.calls.len());
        let draining = u8::from(self.draining != Draining::No);
        let help = "Legs that can be added now.";
        page.gauge("plenary_capacity_legs", help, self.room_for_legs());
        page.gauge("plenary_draining", "1 while no new calls are taken.", draining);
        page.head("plenary_legs_total", "Legs since the start.", "counter");
        let outbound = counters.legs_total - counters.legs_inbound;
        page.row("plenary_legs_total", &[("direction", "inbound")], counters.legs_inbound);
        page.row("plenary_legs_total", &[("direction", "outbound")], outbound);
        page.head("plenary_legs_ended_total", "Legs ended, by reason.", "counter");
        for (reason, count) in &counters.ended {
            page.row("plenary_legs_ended_total", &[("reason", reason)], count);
        }
        let name = "plenary_limits_reached_total";
        page.head(name, "Calls that a limit has refused or ended.", "counter");
        for ((scope, limit), count) in &counters.limited {
            page.row(name, &[("scope", scope), ("limit", limit)], count);
        }
        for (name, help, value) in [
            ("plenary_invites_total", "New calls that reached us.", counters.invited),
            ("plenary_answered_total", "Legs that were answered.", counters.answered),
            ("plenary_refused_total", "Callers we refused.", counters.refused),
            (
                "plenary_capacity_refusals_total",
                "Calls and dial-outs refused for want of media capacity.",
                counters.saturated,
            ),
            ("plenary_stored_total", "Changes that were stored.", counters.stored),
            (
                "plenary_unstored_total",
                "Changes that the store did not take: they were answered 503.",
                counters.unstored,
            ),
            ("plenary_rooms_total", "Rooms made since the start.", counters.rooms_total),
            ("plenary_calls_total", "Two-party calls since the start.", counters.calls_total),
            ("plenary_transfers_total", "Transfers asked for.", counters.transfers),
            ("plenary_legs_replaced_total", "Legs whose seat another took.", counters.replaced),
            ("plenary_joins_total", "Calls that joined another by Join.", counters.joins),
            ("plenary_digits_total", "Digits received.", counters.digits),
            ("plenary_media_timeouts_total", "Legs whose media stopped.", counters.media_timeouts),
            (
                "plenary_dtls_handshakes_total",
                "DTLS handshakes that made keys.",
                counters.handshakes,
            ),
            (
                "plenary_dtls_handshakes_failed_total",
                "DTLS handshakes that ended their legs.",
                counters.handshakes_failed,
            ),
            (
                "plenary_ports_exhausted_total",
                "Times no RTP port was free.",
                counters.ports_exhausted,
            ),
            ("plenary_commands_total", "Commands over the API.", counters.commands),
        ] {
            page.counter(name, help, value);
        }
    }

    /// Who may call, and who may not.
    fn show_access(&self, page: &mut Page) {
        let counters = &self.counters;
        for (name, help, value) in [
            (
                "plenary_auth_challenges_total",
                "Callers that were asked for a password, or turned away for want of one.",
                counters.denied,
            ),
            ("plenary_auth_failures_total", "Wrong passwords.", counters.guesses),
            (
                "plenary_pins_refused_total",
                "Callers with too many wrong PINs.",
                counters.pins_refused,
            ),
            (
                "plenary_registrations_total",
                "REGISTER requests that were carried out, refreshes included.",
                counters.registrations,
            ),
            ("plenary_bans_total", "Addresses banned since the start.", counters.bans),
            (
                "plenary_ban_drops_total",
                "SIP messages from banned addresses, which were ignored.",
                counters.ignored,
            ),
            (
                "plenary_scans_ignored_total",
                "SIP requests of programs that only look for somebody to attack.",
                counters.scans,
            ),
        ] {
            page.counter(name, help, value);
        }
    }

    fn show_questions(&self, page: &mut Page) {
        let counters = &self.counters;
        let help = "Questions to HTTP endpoints where calls go.";
        page.counter("plenary_route_questions_total", help, counters.asked);
        let name = "plenary_route_questions_failed_total";
        page.head(name, "Questions without an answer of use, by reason.", "counter");
        for (reason, count) in &counters.asked_in_vain {
            page.row(name, &[("reason", reason)], count);
        }
        let help = "Time until an endpoint had answered, or had not.";
        page.histogram("plenary_route_answer_seconds", help, &ANSWER_BOUNDS, &counters.answers);
    }

    fn show_sip(&self, page: &mut Page) {
        let counts = self.endpoint.counts();
        let transactions = counts.server_transactions + counts.client_transactions;
        page.gauge("plenary_sip_transactions", "SIP transactions now.", transactions);
        page.gauge("plenary_sip_dialogs", "SIP dialogs now.", counts.dialogs);
        let help = "Subscriptions of peers now.";
        page.gauge("plenary_sip_subscriptions", help, counts.subscriptions);
        let counters = self.endpoint.counters();
        let name = "plenary_sip_requests_total";
        page.head(name, "SIP requests by method.", "counter");
        for (method, count) in &counters.requests_in {
            page.row(name, &[("direction", "in"), ("method", method)], count);
        }
        for (method, count) in &counters.requests_out {
            page.row(name, &[("direction", "out"), ("method", method)], count);
        }
        let name = "plenary_sip_responses_total";
        page.head(name, "SIP responses by method and status.", "counter");
        for ((method, status), count) in &counters.responses_in {
            let labels = [("direction", "in"), ("method", method), ("status", &status.to_string())];
            page.row(name, &labels, count);
        }
        for ((method, status), count) in &counters.responses_out {
            let labels =
                [("direction", "out"), ("method", method), ("status", &status.to_string())];
            page.row(name, &labels, count);
        }
        let name = "plenary_sip_retransmissions_total";
        page.head(name, "SIP messages that came or were sent again.", "counter");
        page.row(name, &[("direction", "in")], counters.retransmissions_in);
        page.row(name, &[("direction", "out")], counters.retransmissions_out);
        let help = "SIP requests refused because a table was full.";
        page.counter("plenary_sip_overloads_total", help, counters.overloads);
        let name = "plenary_sip_connections_refused_total";
        page.head(name, "Connections that were not taken, or not kept.", "counter");
        for ((transport, refusal), count) in &counters.connections_refused {
            let labels = [("transport", wire_name(*transport)), ("reason", refusal.as_str())];
            page.row(name, &labels, count);
        }
        let help = "What came and was not SIP.";
        page.counter("plenary_sip_malformed_total", help, counters.malformed);
        if let Some(capture) = &self.capture {
            let help = "SIP messages copied to the collector of HEP3.";
            page.counter("plenary_hep_packets_total", help, capture.sent);
            let help = "Those of them that the socket did not take.";
            page.counter("plenary_hep_packets_lost_total", help, capture.lost);
        }
    }

    fn show_media(&self, page: &mut Page) {
        let media = &self.counters.media;
        for (name, help, value) in [
            ("plenary_rtp_packets_received_total", "RTP packets received.", media.received),
            ("plenary_rtp_packets_sent_total", "RTP packets sent.", media.sent),
            ("plenary_rtp_packets_late_total", "RTP packets after their turn.", media.late),
            ("plenary_rtp_packets_rejected_total", "Datagrams refused.", media.rejected),
            (
                "plenary_srtp_packets_unauthentic_total",
                "SRTP and SRTCP packets that were forged or replayed.",
                media.unauthentic,
            ),
            ("plenary_frames_concealed_total", "Frames made up for lost ones.", media.concealed),
        ] {
            page.counter(name, help, value);
        }
        // A duplicate can lower what RFC 3550 calls lost, so this is a gauge.
        page.gauge("plenary_rtp_packets_lost", "RTP packets that never came.", media.lost);
        let buffers =
            || self.legs.values().filter(|leg| leg.is_up()).map(|leg| leg.statistics.buffer);
        let count = u32::try_from(buffers().count().max(1)).unwrap_or(u32::MAX);
        let mean = buffers().sum::<Duration>() / count;
        let most = buffers().max().unwrap_or_default();
        let name = "plenary_jitter_buffer_seconds";
        page.head(name, "Delay of the jitter buffers of the legs now.", "gauge");
        page.row(name, &[("of", "mean")], mean.as_secs_f64());
        page.row(name, &[("of", "max")], most.as_secs_f64());
    }

    fn show_quality(&self, page: &mut Page) {
        let counters = &self.counters;
        let qualities = |stream: usize| {
            let legs = self.legs.values().filter(|leg| leg.is_up());
            legs.map(move |leg| {
                let vitals = &leg.statistics.vitals;
                [&vitals.received, &vitals.sent][stream]
            })
        };
        let mos = |quality: &Quality| quality.now.map(|now| now.rating.mos());
        let name = "plenary_leg_mos";
        page.head(name, "Opinion scores (ITU-T G.107) of the legs now.", "gauge");
        for (stream, label) in STREAMS.iter().enumerate() {
            let count = u16::try_from(qualities(stream).filter_map(mos).count());
            let Some(worst) = qualities(stream).filter_map(mos).min_by(f32::total_cmp) else {
                continue;
            };
            let sum: f32 = qualities(stream).filter_map(mos).sum();
            let mean = sum / f32::from(count.unwrap_or(u16::MAX));
            page.row(name, &[("stream", label), ("of", "mean")], mean);
            page.row(name, &[("stream", label), ("of", "min")], worst);
        }
        let name = "plenary_legs_degraded";
        page.head(name, "Legs that sound bad now.", "gauge");
        for (stream, label) in STREAMS.iter().enumerate() {
            let bad = qualities(stream).filter(|quality| quality.degraded.is_some()).count();
            page.row(name, &[("stream", label)], bad);
        }
        let name = "plenary_quality_degraded_total";
        page.head(name, "Times a leg began to sound bad.", "counter");
        for ((stream, cause), count) in &counters.degraded {
            page.row(name, &[("stream", stream), ("cause", cause)], count);
        }
        let help = "Times a jitter buffer reached its ceiling.";
        page.counter("plenary_delay_ceilings_total", help, counters.delay_ceilings);
        let help = "Times a leg began to return what it was sent.";
        page.counter("plenary_echoes_total", help, counters.echoes);
        let help = "Mean opinion scores of the legs that ended.";
        page.histograms("plenary_ended_leg_mos", help, &MOS_BOUNDS, &counters.opinions);
        let help = "Share of packets that ended legs missed.";
        page.histograms("plenary_ended_leg_loss_ratio", help, &LOSS_BOUNDS, &counters.losses);
    }

    fn show_workers(&self, page: &mut Page) {
        type Figure = (&'static str, &'static str, &'static str, fn(&WorkerTotals) -> f64);
        #[expect(clippy::cast_precision_loss, reason = "Prometheus values are doubles")]
        let figures: [Figure; 8] = [
            ("plenary_ticks_total", "Media ticks run.", "counter", |w| w.ticks as f64),
            ("plenary_late_ticks_total", "Media ticks that began late.", "counter", |w| {
                w.late_ticks as f64
            }),
            (
                "plenary_media_events_dropped_total",
                "Media events nobody took in time.",
                "counter",
                |w| w.dropped_events as f64,
            ),
            ("plenary_worker_legs", "Legs of a worker now.", "gauge", |w| w.last.legs as f64),
            ("plenary_worker_mixes", "Mixes of a worker now.", "gauge", |w| w.last.mixes as f64),
            (
                "plenary_worker_busy_ratio",
                "Share of the last second spent working.",
                "gauge",
                |w| w.last.busy.into(),
            ),
            (
                "plenary_worker_slack_ratio",
                "Share of the time for ticks that was left, at the worst of the last second.",
                "gauge",
                |w| w.last.slack().into(),
            ),
            (
                "plenary_worker_queued_commands",
                "Commands that waited for a worker.",
                "gauge",
                |w| w.last.queued_commands as f64,
            ),
        ];
        for (name, help, kind, value) in figures {
            page.head(name, help, kind);
            for (worker, totals) in &self.counters.workers {
                page.row(name, &[("worker", &worker.to_string())], value(totals));
            }
        }
    }
}

/// Label values of the two directions.
const STREAMS: [&str; 2] = ["received", "sent"];
const BOUNDS: usize = 6;
/// From "nearly all dissatisfied" to "very satisfied" (G.107 Annex B).
const MOS_BOUNDS: [f64; BOUNDS] = [2.0, 2.6, 3.1, 3.6, 4.0, 4.3];
const ANSWER_BOUNDS: [f64; BOUNDS] = [0.005, 0.025, 0.1, 0.5, 2.0, 10.0];
const LOSS_BOUNDS: [f64; BOUNDS] = [0.001, 0.005, 0.01, 0.03, 0.1, 0.3];

/// The text being built.
pub(super) struct Page(String);

impl Page {
    pub(super) fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _always_ok = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Label values are ours or SIP tokens: nothing in them needs escaping but quotes and backslashes.
    pub(super) fn row(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{key}=\"{value}\"")
            })
            .collect();
        let _always_ok = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }

    /// One for each stream.
    fn histograms(&mut self, name: &str, help: &str, bounds: &[f64; BOUNDS], of: &[Histogram; 2]) {
        self.head(name, help, "histogram");
        for (stream, histogram) in STREAMS.iter().zip(of) {
            let bucket = format!("{name}_bucket");
            for (bound, count) in bounds.iter().zip(histogram.counts) {
                self.row(&bucket, &[("stream", stream), ("le", &bound.to_string())], count);
            }
            self.row(&bucket, &[("stream", stream), ("le", "+Inf")], histogram.count);
            self.row(&format!("{name}_sum"), &[("stream", stream)], histogram.sum);
            self.row(&format!("{name}_count"), &[("stream", stream)], histogram.count);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, bounds: &[f64; BOUNDS], of: &Histogram) {
        self.head(name, help, "histogram");
        let bucket = format!("{name}_bucket");
        for (bound, count) in bounds.iter().zip(of.counts) {
            self.row(&bucket, &[("le", &bound.to_string())], count);
        }
        self.row(&bucket, &[("le", "+Inf")], of.count);
        let _always_ok = writeln!(self.0, "{name}_sum {}\n{name}_count {}", of.sum, of.count);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "gauge");
        let _always_ok = writeln!(self.0, "{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "counter");
        let _always_ok = writeln!(self.0, "{name} {value}");
    }
}
