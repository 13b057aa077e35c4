//! From recorded packets to a PCM timeline with arrival times.

use crate::codec::{Codec, Decoder};
use crate::engine::Recording;

pub struct Timeline {
    /// 16 kHz
    pub pcm: Vec<f32>,
    /// (first 16 kHz sample, arrival ns) per packet, in stream order
    pub marks: Vec<(f64, i64)>,
    pub filled_packets: usize,
}

pub const RATE: f64 = 16000.0;

pub fn build(codec: Codec, pt: u8, rec: &Recording) -> Timeline {
    let mut d = Decoder::new(codec, 48000).expect("decoder");
    let rate = codec.pcm_rate() as f64;
    // extended sequence numbers; a new SSRC or a restart continues after the old stream
    let mut order: Vec<(i64, usize)> = vec![];
    let (mut base, mut last, mut ssrc) = (0i64, None::<i64>, 0u32);
    let mut top = 0i64;
    for (i, p) in rec.pkts.iter().enumerate() {
        if p.pt != pt {
            continue;
        }
        let e = match last {
            None => 0,
            Some(l) => {
                let prev = (l - base) as u16;
                let dl = p.seq.wrapping_sub(prev) as i16 as i64;
                if p.ssrc != ssrc || dl.abs() > 3000 {
                    base = top + 1 - p.seq as i64;
                    top + 1
                } else {
                    l + dl
                }
            }
        };
        if last.is_none() {
            base = -(p.seq as i64);
        }
        ssrc = p.ssrc;
        top = top.max(e);
        last = Some(e);
        order.push((e, i));
    }
    order.sort();
    order.dedup_by_key(|x| x.0);
    let mut out: Vec<i16> = vec![];
    let mut marks: Vec<(f64, i64)> = vec![];
    let mut filled = 0;
    let mut prev: Option<i64> = None;
    let mut flen = codec.pcm_rate() as usize / 50;
    for (e, i) in order {
        let p = &rec.pkts[i];
        if let Some(q) = prev {
            let miss = (e - q - 1).clamp(0, 250) as usize;
            out.extend(std::iter::repeat_n(0, miss * flen));
            filled += miss;
        }
        prev = Some(e);
        let s = out.len();
        d.decode(&rec.data[p.off as usize..p.off as usize + p.len as usize], &mut out);
        if out.len() > s {
            flen = out.len() - s;
        }
        marks.push((s as f64 * RATE / rate, p.arr));
    }
    let f: Vec<f32> = out.iter().map(|v| *v as f32 / 32768.0).collect();
    Timeline {
        pcm: crate::dsp::resample(&f, codec.pcm_rate(), 16000),
        marks,
        filled_packets: filled,
    }
}

impl Timeline {
    /// Time at which sample `s` came in: arrival of its packet plus its place in it.
    pub fn time_of(&self, s: f64) -> Option<f64> {
        if self.marks.is_empty() {
            return None;
        }
        let i = match self.marks.binary_search_by(|m| m.0.partial_cmp(&s).unwrap()) {
            Ok(i) => i,
            Err(0) => 0,
            Err(i) => i - 1,
        };
        let (st, a) = self.marks[i];
        Some(a as f64 + (s - st) / RATE * 1e9)
    }
    /// Sample that was coming in at `t`.
    pub fn sample_at(&self, t: i64) -> Option<f64> {
        if self.marks.is_empty() {
            return None;
        }
        let i = self.marks.partition_point(|m| m.1 <= t);
        if i == 0 {
            return Some((t - self.marks[0].1) as f64 / 1e9 * RATE);
        }
        let (st, a) = self.marks[i - 1];
        Some(st + (t - a) as f64 / 1e9 * RATE)
    }
}

/// Send time of a 16 kHz sample of the track, from the log of sent packets.
pub fn sent_time(rec: &Recording, sample: f64, ptime: u32) -> Option<f64> {
    let fs = 16.0 * ptime as f64;
    let fr = (sample / fs).floor();
    let k = rec.tx.binary_search_by_key(&(fr as u32), |x| x.0).ok()?;
    Some(rec.tx[k].1 as f64 + (sample - fr * fs) / RATE * 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RecPkt;

    /// A stream of numbered PCMU frames: frame k holds the constant code 0x10+k.
    fn rec(seqs: &[(u16, u32)]) -> Recording {
        let mut r = Recording::default();
        for (i, (s, ssrc)) in seqs.iter().enumerate() {
            let off = r.data.len() as u32;
            r.data.extend(std::iter::repeat_n((*s & 0x3f) as u8 | 0x80, 160));
            r.pkts.push(RecPkt {
                arr: 1_000_000_000 + i as i64 * 20_000_000,
                seq: *s,
                pt: 0,
                ssrc: *ssrc,
                off,
                len: 160,
            });
        }
        r
    }

    #[test]
    fn order_gaps_and_wrap() {
        // wraps, one missing (1), two swapped, one duplicate
        let t = build(
            Codec::Pcmu,
            0,
            &rec(&[(65534, 1), (65535, 1), (0, 1), (3, 1), (2, 1), (2, 1), (4, 1)]),
        );
        assert_eq!(t.filled_packets, 1);
        assert_eq!(t.marks.len(), 6);
        assert_eq!(t.pcm.len(), 7 * 320);
        // the swapped pair is in stream order again
        assert_eq!(t.marks[3].1, 1_000_000_000 + 4 * 20_000_000);
    }
    #[test]
    fn ssrc_change_continues() {
        let t = build(Codec::Pcmu, 0, &rec(&[(10, 1), (11, 1), (500, 2), (501, 2)]));
        assert_eq!((t.marks.len(), t.filled_packets), (4, 0));
        assert_eq!(t.pcm.len(), 4 * 320);
    }
    #[test]
    fn time_mapping() {
        let t = build(Codec::Pcmu, 0, &rec(&[(1, 1), (2, 1), (3, 1)]));
        assert_eq!(t.time_of(0.0), Some(1e9));
        assert_eq!(t.time_of(320.0), Some(1.02e9));
        assert_eq!(t.time_of(480.0), Some(1.03e9));
        assert!((t.sample_at(1_030_000_000).unwrap() - 480.0).abs() < 1e-6);
        assert!((t.sample_at(990_000_000).unwrap() + 160.0).abs() < 1e-6);
    }
    #[test]
    fn send_times() {
        let r = Recording {
            tx: (0..10).map(|k| (k, 5_000 + k as i64 * 20_000_000)).collect(),
            ..Default::default()
        };
        assert_eq!(sent_time(&r, 0.0, 20), Some(5_000.0));
        assert_eq!(sent_time(&r, 320.0 * 3.0 + 16.0, 20), Some(5_000.0 + 61e6));
        assert_eq!(sent_time(&r, 320.0 * 20.0, 20), None);
    }
}
