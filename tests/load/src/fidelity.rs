//! Three legs in one room: what each hears of the others and of itself.

use crate::args::Args;
use crate::codec::{Codec, decode_track, encode_track};
use crate::dsp;
use crate::engine::{Engine, LegSpec, Rec, Recording};
use crate::measure::{self, Load};
use crate::net;
use crate::signal;
use crate::stats::num;
use crate::timeline::{self, RATE, Timeline};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

const LEAD: f64 = 3.0;
const GUARD: f64 = 2.0;

fn sub(x: &[f32], from: f64, len: f64) -> Vec<f32> {
    let a = ((from * RATE) as usize).min(x.len());
    let b = (((from + len) * RATE) as usize).min(x.len());
    x[a..b].to_vec()
}

/// Part of a timeline starting at sample `from` (may lie before the start).
fn cut(x: &[f32], from: i64, len: usize) -> Vec<f32> {
    (0..len as i64)
        .map(|i| {
            let j = from + i;
            if j >= 0 && (j as usize) < x.len() { x[j as usize] } else { 0.0 }
        })
        .collect()
}

struct Phase {
    /// start in the track, seconds
    at: f64,
    len: f64,
}

pub fn run(a: &Args) -> Result<Value, String> {
    let load = Load::from(a)?;
    let d: f64 = a.get("seconds", 8.0)?;
    let mut codecs: Vec<Codec> = a
        .str("codecs", "pcmu,pcmu,pcmu")
        .split(',')
        .map(Codec::parse)
        .collect::<Result<Vec<_>, _>>()?;
    while codecs.len() < 3 {
        codecs.push(codecs[codecs.len() - 1]);
    }
    let outdir = a.opt("out-dir").map(|s| s.to_string());
    measure::own_placement(a)?;
    let path = a.opt("json").map(|s| s.to_string());
    let p1 = Phase { at: LEAD, len: d };
    let p2 = Phase { at: LEAD + d + GUARD, len: d };
    let p3 = Phase { at: LEAD + 2.0 * (d + GUARD), len: d };
    let total = LEAD + 3.0 * (d + GUARD) + 1.0;
    let n = (total * RATE) as usize;
    let voice = |seed: u64, wav: Option<&str>| -> Result<Vec<f32>, String> {
        match wav {
            Some(p) => {
                let (r, x) = signal::read_wav(p)?;
                let x = dsp::resample(&x, r, 16000);
                Ok(x.into_iter().cycle().take((d * RATE) as usize).collect())
            }
            None => Ok(signal::speech(16000, d, seed)),
        }
    };
    let wav_a = a.opt("wav");
    let wav_b = a.opt("wav-b");
    let put = |x: &mut Vec<f32>, s: &[f32], at: f64| {
        let o = (at * RATE) as usize;
        for (i, v) in s.iter().enumerate() {
            if o + i < x.len() {
                x[o + i] = *v;
            }
        }
    };
    let (sa, sb) = (voice(1, wav_a)?, voice(2, wav_b)?);
    let (sa3, sb3) = (voice(5, wav_a)?, voice(6, wav_b)?);
    let (mut ta, mut tb) = (vec![0.0f32; n], vec![0.0f32; n]);
    put(&mut ta, &sa, p1.at);
    put(&mut tb, &sb, p2.at);
    // in the double-talk part B starts half a second later so that the two never line up
    put(&mut ta, &sa3, p3.at);
    let sb3s: Vec<f32> = sb3.iter().take(((d - 0.5) * RATE) as usize).copied().collect();
    put(&mut tb, &sb3s, p3.at + 0.5);
    let pcm = [ta, tb, vec![0.0f32; n]];
    let mut specs = vec![];
    let mut refs = vec![];
    for k in 0..3 {
        let t = encode_track(codecs[k], &pcm[k], load.ptime, false, load.opus)?;
        refs.push(decode_track(codecs[k], &t));
        specs.push(LegSpec {
            codec: codecs[k],
            track: Some(Arc::new(t)),
            start: 0,
            hello: None,
            rec: Rec::All,
            talker: k < 2,
            room: 0,
        });
    }
    let mut eng = Engine::new(specs, measure::engine_cfg(a, load.ptime, 10)?)?;
    let mut sig = measure::signal(a, &eng, load.ptime)?;
    let bye_rate: f64 = a.get("bye-rate", 100.0)?;
    a.check()?;
    measure::place(&mut eng, sig.as_mut(), &[0, 1, 2], 20.0);
    let up = sig.up();
    if up.len() < 3 {
        let f = sig.failures();
        measure::end_all(&mut eng, sig.as_mut(), bye_rate);
        return Err(format!("only {} of 3 calls are up: {f:?}", up.len()));
    }
    let t0 = net::real();
    eng.window(t0, t0 + (total * 1e9) as i64);
    sig.pump(&mut eng, net::mono() + (total * 1e9) as i64, false);
    let late = eng.snapshot().late;
    let (late99, latemax) = (late.pct(99.0) / 1e6, late.max() as f64 / 1e6);
    let recs: HashMap<usize, Recording> = eng.take_recordings().into_iter().collect();
    let setup = measure::setup_json(sig.as_ref(), 3);
    measure::end_all(&mut eng, sig.as_mut(), bye_rate);
    let tls: Vec<Timeline> = (0..3)
        .map(|k| {
            timeline::build(
                codecs[k],
                eng.legs[k].pt.load(std::sync::atomic::Ordering::Acquire),
                &recs[&k],
            )
        })
        .collect();
    if let Some(o) = &outdir {
        std::fs::create_dir_all(o).map_err(|e| e.to_string())?;
        for k in 0..3 {
            let nm = ["a", "b", "c"][k];
            signal::write_wav(&format!("{o}/heard_{nm}.wav"), 16000, &tls[k].pcm)
                .map_err(|e| e.to_string())?;
            signal::write_wav(&format!("{o}/sent_{nm}.wav"), 16000, &refs[k])
                .map_err(|e| e.to_string())?;
        }
    }
    let names = ["A", "B", "C"];
    // where in listener l's timeline the sample `at` seconds of sender s would be with no delay
    let zero = |s: usize, l: usize, at: f64| -> i64 {
        timeline::sent_time(&recs[&s], at * RATE, load.ptime)
            .and_then(|t| tls[l].sample_at(t as i64))
            .unwrap_or(0.0) as i64
    };
    let heard = |s: usize, l: usize, p: &Phase| -> (dsp::Compare, Value) {
        let x = sub(&refs[s], p.at, p.len);
        let z = zero(s, l, p.at);
        let maxd = (0.6 * RATE) as usize;
        // wide comparison at 16 kHz, narrow at 8 kHz
        let w =
            dsp::compare(&x, &tls[l].pcm, 16000, maxd / 2 + 800, Some(z + maxd as i64 / 2 - 400));
        let x8 = dsp::resample(&x, 16000, 8000);
        let y8 = dsp::resample(&tls[l].pcm, 16000, 8000);
        let nb = dsp::compare(&x8, &y8, 8000, 400, Some((w.lag / 2.0).round() as i64));
        let both_wide = codecs[s].pcm_rate() > 8000 && codecs[l].pcm_rate() > 8000;
        let fig = |c: &dsp::Compare, rate: f64| {
            json!({
                "correlation": num(c.corr, 4), "gain_db": num(c.gain_db, 2), "level_db": num(c.level_db, 2),
                "snr_db": num(c.snr_db, 2), "seg_snr_db": num(c.seg_snr_db, 2), "snr_after_linear_fit_db": num(c.eq_snr_db, 2),
                "log_spectral_distance_db": num(c.lsd_db, 2), "delay_wander_ms": num(c.wander / rate * 1e3, 2),
            })
        };
        let mut v = json!({
            "from": names[s], "to": names[l], "codecs": format!("{} -> {}", codecs[s].name(), codecs[l].name()),
            "delay_ms": num((w.lag - z as f64) / RATE * 1e3, 1),
            "narrowband": fig(&nb, 8000.0),
        });
        if both_wide {
            v["wideband"] = fig(&w, 16000.0);
        }
        (nb, v)
    };
    let echo = |s: usize, p: &Phase| -> Value {
        let x = sub(&refs[s], p.at, p.len);
        let z = zero(s, s, p.at);
        let y = cut(&tls[s].pcm, z, x.len() + RATE as usize);
        let (db, lag) = dsp::echo_level(&x, &y, RATE as usize);
        json!({
            "leg": names[s], "echo_db": num(db, 1), "at_ms": num(lag as f64 / RATE * 1e3, 1),
            "heard_level_dbfs": num(dsp::rms_db(&y), 1), "sent_level_dbfs": num(dsp::rms_db(&x), 1),
            "pass": db < -50.0,
        })
    };
    let mut lines = vec![];
    let mut out = vec![];
    for (s, l, p) in [(0, 1, &p1), (0, 2, &p1), (1, 0, &p2), (1, 2, &p2)] {
        let (c, v) = heard(s, l, p);
        lines.push(format!(
            "{} -> {} ({}): corr {:.4}  level {:+.2} dB  seg SNR {:.1} dB  SNR {:.1} dB (after linear fit {:.1})  LSD {:.2} dB  delay {} ms  wander {:.2} ms",
            names[s], names[l], v["codecs"].as_str().unwrap_or(""), c.corr, c.level_db, c.seg_snr_db, c.snr_db, c.eq_snr_db, c.lsd_db, v["delay_ms"], c.wander / 8.0
        ));
        out.push(v);
    }
    let e = vec![echo(0, &p1), echo(1, &p2)];
    for x in &e {
        lines.push(format!(
            "{} hears itself at {} dB (level heard {} dBFS) {}",
            x["leg"].as_str().unwrap(),
            x["echo_db"],
            x["heard_level_dbfs"],
            if x["pass"] == true { "ok" } else { "FAIL" }
        ));
    }
    // double talk, in the narrow band
    let dt = |l: usize| -> Value {
        let y8 = dsp::resample(&tls[l].pcm, 16000, 8000);
        let z = zero(0, l, p3.at);
        let maxd = (0.6 * RATE) as usize;
        let len8 = (p3.len * 8000.0) as usize;
        let mut xs: Vec<Vec<f32>> = vec![];
        let mut who = vec![];
        let mut res = json!({"listener": names[l]});
        // common origin in the listener's narrowband timeline: the zero-delay point of A
        let y = cut(&y8, z / 2, len8 + 8000);
        for s in 0..2 {
            if s == l {
                continue;
            }
            let x = sub(&refs[s], p3.at, p3.len);
            let zs = zero(s, l, p3.at);
            let c = dsp::compare(
                &x,
                &tls[l].pcm,
                16000,
                maxd / 2 + 800,
                Some(zs + maxd as i64 / 2 - 400),
            );
            let mut x8 = dsp::resample(&x, 16000, 8000);
            // place x where it was heard
            let off = ((c.lag - z as f64) / 2.0).round().max(0.0) as usize;
            let mut v = vec![0.0f32; off];
            v.append(&mut x8);
            v.resize(y.len(), 0.0);
            res[format!("correlation_with_{}", names[s])] = num(c.corr, 4);
            xs.push(v);
            who.push(s);
        }
        let r: Vec<&[f32]> = xs.iter().map(|v| v.as_slice()).collect();
        let (snr, g) = dsp::eq_snr(&r, &y, 64);
        res["snr_of_sum_after_linear_fit_db"] = num(snr, 2);
        for (k, s) in who.iter().enumerate() {
            res[format!("level_of_{}_db", names[*s])] = num(g[k], 2);
        }
        if l < 2 {
            // own voice left after the other one is taken away
            let rest = dsp::fit_residual(&xs[0], &y, 128);
            let x = dsp::resample(&sub(&refs[l], p3.at, p3.len), 16000, 8000);
            let zl = zero(l, l, p3.at) / 2 - z / 2;
            let rr = cut(&rest, zl, x.len() + 8000);
            let (db, _) = dsp::echo_level(&x, &rr, 8000);
            res["own_voice_db"] = num(db, 1);
        }
        res
    };
    let d3 = vec![dt(0), dt(1), dt(2)];
    for x in &d3 {
        lines.push(format!("double talk {x}"));
    }
    let loss: Vec<usize> = tls.iter().map(|t| t.filled_packets).collect();
    let v = json!({
        "tool": "plenary-load", "version": env!("CARGO_PKG_VERSION"), "mode": "fidelity", "label": a.str("label", ""),
        "codecs": codecs.iter().map(|c| c.name()).collect::<Vec<_>>(),
        "heard": out, "self_echo": e, "double_talk": d3, "lost_packets_filled": loss, "setup": setup,
        "generator_late_ms": {"p99": num(late99, 3), "max": num(latemax, 3)},
    });
    lines.push(format!(
        "send schedule late: p99 {late99:.2} ms, max {latemax:.2} ms; lost packets filled {loss:?}"
    ));
    for l in lines {
        crate::say!("{l}");
    }
    measure::write_json(path.as_deref(), &v)?;
    Ok(v)
}
