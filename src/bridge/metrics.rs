//! What `/metrics` shows (Prometheus exposition format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use api::model::LeftReason;

use crate::media::command::{MediaKey, Statistics, WorkerReport};

use super::{Bridge, Draining};

/// What only ever rises, and the last word of each worker.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) legs_total: u64,
    pub(super) legs_inbound: u64,
    pub(super) invited: u64,
    pub(super) answered: u64,
    pub(super) refused: u64,
    pub(super) rooms_total: u64,
    pub(super) calls_total: u64,
    pub(super) transfers: u64,
    pub(super) digits: u64,
    pub(super) media_timeouts: u64,
    pub(super) ports_exhausted: u64,
    pub(super) commands: u64,
    ended: BTreeMap<String, u64>,
    workers: BTreeMap<usize, WorkerTotals>,
    media: MediaTotals,
    last: BTreeMap<MediaKey, MediaTotals>,
}

#[derive(Debug, Default)]
struct WorkerTotals {
    ticks: u64,
    late_ticks: u64,
    dropped_events: u64,
    last: WorkerReport,
}

#[derive(Clone, Copy, Debug, Default)]
struct MediaTotals {
    received: u64,
    sent: u64,
    lost: i64,
    late: u64,
    rejected: u64,
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
            concealed: statistics.frames_concealed,
        }
    }

    fn add_change(&mut self, old: Self, new: Self) {
        self.received += new.received.saturating_sub(old.received);
        self.sent += new.sent.saturating_sub(old.sent);
        self.lost += new.lost - old.lost;
        self.late += new.late.saturating_sub(old.late);
        self.rejected += new.rejected.saturating_sub(old.rejected);
        self.concealed += new.concealed.saturating_sub(old.concealed);
    }
}

impl Counters {
    pub(super) fn ended(&mut self, reason: LeftReason) {
        let name = serde_json::to_value(reason).ok();
        let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or("failed");
        *self.ended.entry(name.to_owned()).or_default() += 1;
    }

    pub(super) fn measured(&mut self, media: MediaKey, statistics: &Statistics) {
        let new = MediaTotals::of(statistics);
        let old = self.last.insert(media, new).unwrap_or_default();
        self.media.add_change(old, new);
    }

    pub(super) fn closed(&mut self, media: MediaKey) {
        self.last.remove(&media);
    }

    pub(super) fn worker(&mut self, report: WorkerReport) {
        let totals = self.workers.entry(report.worker).or_default();
        totals.ticks += report.ticks;
        totals.late_ticks += report.late_ticks;
        totals.dropped_events += report.dropped_events;
        totals.last = report;
    }
}

impl Bridge {
    pub(super) fn metrics(&self) -> String {
        let mut page = Page(String::with_capacity(8192));
        self.show_calls(&mut page);
        self.show_sip(&mut page);
        self.show_media(&mut page);
        self.show_workers(&mut page);
        page.0
    }

    fn show_calls(&self, page: &mut Page) {
        let counters = &self.counters;
        page.gauge("plenary_legs", "Legs now.", self.legs.len());
        page.gauge("plenary_rooms", "Open rooms now.", self.rooms.len());
        page.gauge("plenary_calls", "Two-party calls now.", self.calls.len());
        let draining = u8::from(self.draining != Draining::No);
        page.gauge("plenary_draining", "1 while no new calls are taken.", draining);
        page.head("plenary_legs_total", "Legs since the start.", "counter");
        let outbound = counters.legs_total - counters.legs_inbound;
        page.row("plenary_legs_total", &[("direction", "inbound")], counters.legs_inbound);
        page.row("plenary_legs_total", &[("direction", "outbound")], outbound);
        page.head("plenary_legs_ended_total", "Legs ended, by reason.", "counter");
        for (reason, count) in &counters.ended {
            page.row("plenary_legs_ended_total", &[("reason", reason)], count);
        }
        for (name, help, value) in [
            ("plenary_invites_total", "New calls that reached us.", counters.invited),
            ("plenary_answered_total", "Legs that were answered.", counters.answered),
            ("plenary_refused_total", "Callers we refused.", counters.refused),
            ("plenary_rooms_total", "Rooms made since the start.", counters.rooms_total),
            ("plenary_calls_total", "Two-party calls since the start.", counters.calls_total),
            ("plenary_transfers_total", "Transfers asked for.", counters.transfers),
            ("plenary_digits_total", "Digits received.", counters.digits),
            ("plenary_media_timeouts_total", "Legs whose media stopped.", counters.media_timeouts),
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

    fn show_sip(&self, page: &mut Page) {
        let counts = self.endpoint.counts();
        let transactions = counts.server_transactions + counts.client_transactions;
        page.gauge("plenary_sip_transactions", "SIP transactions now.", transactions);
        page.gauge("plenary_sip_dialogs", "SIP dialogs now.", counts.dialogs);
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
        let help = "What came and was not SIP.";
        page.counter("plenary_sip_malformed_total", help, counters.malformed);
    }

    fn show_media(&self, page: &mut Page) {
        let media = &self.counters.media;
        for (name, help, value) in [
            ("plenary_rtp_packets_received_total", "RTP packets received.", media.received),
            ("plenary_rtp_packets_sent_total", "RTP packets sent.", media.sent),
            ("plenary_rtp_packets_late_total", "RTP packets after their turn.", media.late),
            ("plenary_rtp_packets_rejected_total", "Datagrams refused.", media.rejected),
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

    fn show_workers(&self, page: &mut Page) {
        type Figure = (&'static str, &'static str, &'static str, fn(&WorkerTotals) -> f64);
        #[expect(clippy::cast_precision_loss, reason = "Prometheus values are doubles")]
        let figures: [Figure; 7] = [
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

/// The text being built.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _always_ok = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Label values are ours or SIP tokens: nothing in them needs escaping but quotes and backslashes.
    fn row(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{key}=\"{value}\"")
            })
            .collect();
        let _always_ok = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
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
