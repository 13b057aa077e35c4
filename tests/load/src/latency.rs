//! One-way delay through the bridge: chirps from one leg, matched filter at another.

use crate::args::Args;
use crate::codec::{Codec, OpusCfg, Track, decode_track, encode_track};
use crate::dsp;
use crate::engine::{Engine, LegSpec, Rec, Recording};
use crate::measure::{self, Load};
use crate::net;
use crate::procstat;
use crate::stats::{num, percentile};
use crate::timeline::{self, RATE};
use serde_json::{Value, json};
use std::sync::Arc;

pub const MARK_MS: f64 = 60.0;

/// Marker positions (16 kHz samples): one each `period` s, the place within the packet moves.
pub fn positions(secs: f64, period: f64) -> Vec<usize> {
    let n = ((secs - 1.0) / period).floor().max(0.0) as usize;
    (0..n).map(|k| (0.5 * RATE + k as f64 * period * RATE) as usize + (k * 7919) % 320).collect()
}

pub fn marker_signal(secs: f64, pos: &[usize], tone_lead_ms: f64) -> Vec<f32> {
    let mut x = vec![0.0f32; (secs * RATE) as usize];
    let m = dsp::marker(16000, MARK_MS, 0.4);
    let lead = (tone_lead_ms / 1000.0 * RATE) as usize;
    for &p in pos {
        // optional lead tone (350 Hz, outside the chirp) to open voice gates
        for i in 0..lead.min(p) {
            x[p - 1 - i] +=
                (0.1 * (2.0 * std::f64::consts::PI * 350.0 * i as f64 / RATE).sin()) as f32;
        }
        for (i, v) in m.iter().enumerate() {
            if p + i < x.len() {
                x[p + i] += v;
            }
        }
    }
    x
}

/// Delay of the codec alone (encoder and decoder of this tool), ms.
pub fn codec_delay(t: &Track, codec: Codec, pos: &[usize]) -> f64 {
    let y = decode_track(codec, t);
    let m = dsp::marker(16000, MARK_MS, 0.4);
    let d: Vec<f64> = pos
        .iter()
        .take(8)
        .filter_map(|&p| {
            dsp::find_marker(&m, &y, p.saturating_sub(800), p + 3200)
                .map(|(q, _)| (q - p as f64) / RATE * 1e3)
        })
        .collect();
    percentile(&d, 50.0)
}

pub struct Hit {
    pub marker: usize,
    pub delay_ms: f64,
    pub similarity: f64,
}

/// Find every marker of the sender in the listener's stream.
pub fn detect(
    tx: &Recording,
    tl: &timeline::Timeline,
    pos: &[usize],
    ptime: u32,
    max_ms: f64,
) -> (Vec<Hit>, usize) {
    let m = dsp::marker(16000, MARK_MS, 0.4);
    let mut hits = vec![];
    let mut missed = 0;
    let end = tl.marks.last().map(|x| x.1).unwrap_or(0);
    for (k, &p) in pos.iter().enumerate() {
        let Some(ts) = timeline::sent_time(tx, p as f64, ptime) else { continue };
        if (ts + max_ms * 1e6 + 200e6) as i64 > end {
            continue; // not heard out
        }
        let from = tl.sample_at((ts - 20e6) as i64).unwrap_or(0.0);
        let to = tl.sample_at((ts + max_ms * 1e6) as i64).unwrap_or(0.0);
        if to <= 0.0 {
            continue;
        }
        match dsp::find_marker(&m, &tl.pcm, from.max(0.0) as usize, to as usize) {
            Some((q, c)) if c > 0.5 => {
                let tr = tl.time_of(q).unwrap();
                hits.push(Hit { marker: k, delay_ms: (tr - ts) / 1e6, similarity: c });
            }
            _ => missed += 1,
        }
    }
    (hits, missed)
}

pub fn run(a: &Args) -> Result<Value, String> {
    let mut load = Load::with_rooms(a, 0)?;
    load.probes = 0;
    let secs: f64 = a.get("seconds", 20.0)?;
    let warm: f64 = a.get("warmup", 3.0)?;
    let cps: f64 = a.get("cps", 50.0)?;
    let bye_rate: f64 = a.get("bye-rate", measure::BYE_RATE)?;
    let pairs: usize = a.get("pairs", 8)?;
    let period: f64 = a.get("period", 0.5)?;
    let lead: f64 = a.get("marker-lead", 0.0)?;
    let max_ms: f64 = a.get("max-delay", (period * 1000.0 - 80.0).max(100.0))?;
    let sc = Codec::parse(&a.str("speak-codec", &load.codecs[0].name()))?;
    let lc = Codec::parse(&a.str("listen-codec", &sc.name()))?;
    let pids = measure::pids(a)?;
    measure::own_placement(a)?;
    let path = a.opt("json").map(|s| s.to_string());
    let total = warm + secs + 1.5;
    let pos = positions(total, period);
    let sig_pcm = marker_signal(total, &pos, lead);
    let track = Arc::new(encode_track(sc, &sig_pcm, load.ptime, false, load.opus)?);
    let quiet =
        Arc::new(encode_track(lc, &vec![0.0; 16000], load.ptime, true, OpusCfg::default())?);
    let cdelay = codec_delay(&track, sc, &pos);
    let mut specs = if load.rooms > 0 { load.specs()? } else { vec![] };
    let nload = specs.len();
    let mut want: Vec<(usize, usize)> = vec![];
    // senders first, listeners after them in reverse: with the golden-ratio send phases this gives
    // every pair another phase difference between its two legs (some bridges send to a leg when
    // they hear from it, so a fixed difference would be measured instead of the delay)
    for p in 0..pairs {
        specs.push(LegSpec {
            codec: sc,
            track: Some(track.clone()),
            start: 0,
            hello: None,
            rec: Rec::All,
            talker: true,
            room: load.rooms + p,
        });
        want.push((nload + p, nload + 2 * pairs - 1 - p));
    }
    for p in (0..pairs).rev() {
        specs.push(LegSpec {
            codec: lc,
            track: Some(quiet.clone()),
            start: 0,
            hello: None,
            rec: Rec::All,
            talker: false,
            room: load.rooms + p,
        });
    }
    let n = specs.len();
    let mut eng = Engine::new(specs, measure::engine_cfg(a, load.ptime, 10)?)?;
    let mut sig = measure::signal(a, &eng, load.ptime)?;
    a.check()?;
    let base = procstat::proc_sample(&pids, false).rss_kb;
    let bg: Vec<usize> = (0..nload).collect();
    measure::place(&mut eng, sig.as_mut(), &bg, cps);
    // the listener of each pair first, then the sender
    let order: Vec<usize> = want.iter().map(|w| w.1).chain(want.iter().map(|w| w.0)).collect();
    // not a multiple of the packet interval: rooms whose clock starts with a join differ
    measure::place(&mut eng, sig.as_mut(), &order, 43.0);
    sig.pump(&mut eng, net::mono() + (warm * 1e9) as i64, false);
    let m = measure::measure(&mut eng, sig.as_mut(), &pids, secs);
    let recs: std::collections::HashMap<usize, Recording> = m.recs.iter().cloned().collect();
    let f = measure::figures(&eng, &m, secs, base);
    let setup = measure::setup_json(sig.as_ref(), n);
    measure::end_all(&mut eng, sig.as_mut(), bye_rate);
    let skip = (warm * RATE) as usize;
    let mut all = vec![];
    let mut sims = vec![];
    let mut per = vec![];
    let (mut miss_all, mut filled, mut drift) = (0, 0, vec![]);
    for (s, l) in &want {
        let (Some(rs), Some(rl)) = (recs.get(s), recs.get(l)) else { continue };
        let pt = eng.legs[*l].pt.load(std::sync::atomic::Ordering::Acquire);
        let tl = timeline::build(lc, pt, rl);
        filled += tl.filled_packets;
        let p: Vec<usize> = pos.iter().copied().filter(|x| *x >= skip).collect();
        let (hits, missed) = detect(rs, &tl, &p, load.ptime, max_ms);
        miss_all += missed;
        let d: Vec<f64> = hits.iter().map(|h| h.delay_ms - cdelay).collect();
        sims.extend(hits.iter().map(|h| h.similarity));
        let q = d.len() / 4;
        if q >= 2 {
            drift.push(percentile(&d[d.len() - q..], 50.0) - percentile(&d[..q], 50.0));
        }
        per.push(json!({
            "room": eng.specs[*s].room, "found": d.len(), "missed": missed,
            "first_marker": hits.first().map(|h| h.marker),
            "p50_ms": num(percentile(&d, 50.0), 2), "min_ms": num(percentile(&d, 0.0), 2), "max_ms": num(percentile(&d, 100.0), 2),
            "send_phase_ms": num(rs.tx.last().map(|t| (t.1 % 20_000_000) as f64 / 1e6).unwrap_or(f64::NAN), 2),
            "arrival_phase_ms": num(tl.marks.last().map(|t| (t.1 % 20_000_000) as f64 / 1e6).unwrap_or(f64::NAN), 2),
            "lost_packets_filled": tl.filled_packets,
        }));
        all.extend(d);
    }
    let v = json!({
        "tool": "plenary-load", "version": env!("CARGO_PKG_VERSION"), "mode": "latency", "label": a.str("label", ""),
        "load": load.json(), "pairs": pairs, "speak_codec": sc.name(), "listen_codec": lc.name(),
        "markers_found": all.len(), "markers_missed": miss_all, "lost_packets_filled": filled,
        "own_codec_delay_ms": num(cdelay, 3),
        "bridge_delay_ms": {
            "min": num(percentile(&all, 0.0), 2), "p50": num(percentile(&all, 50.0), 2), "p95": num(percentile(&all, 95.0), 2),
            "p99": num(percentile(&all, 99.0), 2), "max": num(percentile(&all, 100.0), 2),
        },
        "raw_delay_ms": {"p50": num(percentile(&all, 50.0) + cdelay, 2), "p95": num(percentile(&all, 95.0) + cdelay, 2)},
        "drift_ms_over_run": {"median": num(percentile(&drift, 50.0), 2), "max": num(percentile(&drift, 100.0), 2)},
        "similarity_p50": num(percentile(&sims, 50.0), 3),
        "per_pair": per,
        "setup": setup,
        "window": f.json,
    });
    crate::say!(
        "delay through the bridge ({} -> {}): min {:.1}  p50 {:.1}  p95 {:.1}  max {:.1} ms   markers {} found, {} missed; own codec delay {:.2} ms taken off; background {} legs",
        sc.name(),
        lc.name(),
        percentile(&all, 0.0),
        percentile(&all, 50.0),
        percentile(&all, 95.0),
        percentile(&all, 100.0),
        all.len(),
        miss_all,
        cdelay,
        nload
    );
    crate::say!("{}", f.text.trim_end());
    measure::write_json(path.as_deref(), &v)?;
    Ok(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RecPkt;

    /// Send the marker track of each codec through a perfect channel with a known delay.
    fn through(codec: Codec, delay_ns: i64, skip_frames: usize) -> (Vec<Hit>, usize, f64) {
        let pos = positions(8.0, 0.5);
        let x = marker_signal(8.0, &pos, 0.0);
        let t = encode_track(codec, &x, 20, false, OpusCfg::default()).unwrap();
        let mut r = Recording::default();
        for k in 0..t.frames.len() {
            let st = 1_000_000_000_000 + k as i64 * 20_000_000;
            r.tx.push((k as u32, st));
            if k < skip_frames {
                continue; // the listener joins later
            }
            let off = r.data.len() as u32;
            r.data.extend_from_slice(t.frame(k));
            r.pkts.push(RecPkt {
                arr: st + delay_ns,
                seq: (k as u16).wrapping_add(65000),
                pt: 0,
                ssrc: 1,
                off,
                len: t.frame(k).len() as u16,
            });
        }
        let tl = timeline::build(codec, 0, &r);
        let (h, m) = detect(&r, &tl, &pos, 20, 400.0);
        (h, m, codec_delay(&t, codec, &pos))
    }

    #[test]
    fn known_delay_is_found_for_each_codec() {
        for c in [
            Codec::Pcmu,
            Codec::Pcma,
            Codec::G722,
            Codec::Opus,
            Codec::L16(16000),
            Codec::L16(48000),
        ] {
            for d in [0.4f64, 37.3, 160.0] {
                let (h, missed, cd) = through(c, (d * 1e6) as i64, 60);
                assert!(missed <= 2, "{c:?} missed {missed}"); // markers before the listener joined
                assert!(h.len() >= 10, "{c:?} {}", h.len());
                for x in &h {
                    assert!(
                        (x.delay_ms - cd - d).abs() < 0.3,
                        "{c:?} want {d} got {} - {cd}",
                        x.delay_ms
                    );
                }
            }
        }
    }
    #[test]
    fn codec_delays_are_plausible() {
        let (_, _, d) = through(Codec::Pcmu, 0, 0);
        assert!(d.abs() < 0.1, "{d}");
        let (_, _, d) = through(Codec::Opus, 0, 0);
        assert!(d > 4.0 && d < 9.0, "{d}");
        let (_, _, d) = through(Codec::G722, 0, 0);
        assert!(d > 0.5 && d < 3.0, "{d}");
    }
}
