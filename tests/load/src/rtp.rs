//! RTP header handling and the per-leg receive statistics.

use crate::stats::Hist;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hdr {
    pub pt: u8,
    pub marker: bool,
    pub seq: u16,
    pub ts: u32,
    pub ssrc: u32,
}

#[inline]
pub fn parse(b: &[u8]) -> Option<Hdr> {
    if b.len() < 12 || b[0] >> 6 != 2 {
        return None;
    }
    // RTCP packet types 192..=223 occupy the same octet when multiplexed (RFC 5761)
    if (192..=223).contains(&b[1]) {
        return None;
    }
    Some(Hdr {
        pt: b[1] & 0x7f,
        marker: b[1] & 0x80 != 0,
        seq: u16::from_be_bytes([b[2], b[3]]),
        ts: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
        ssrc: u32::from_be_bytes([b[8], b[9], b[10], b[11]]),
    })
}

/// Payload of a complete RTP packet (skips CSRCs, extension, padding).
pub fn payload(b: &[u8]) -> &[u8] {
    if b.len() < 12 {
        return &[];
    }
    let mut o = 12 + 4 * (b[0] & 0x0f) as usize;
    if b[0] & 0x10 != 0 {
        if b.len() < o + 4 {
            return &[];
        }
        o += 4 + 4 * u16::from_be_bytes([b[o + 2], b[o + 3]]) as usize;
    }
    let mut end = b.len();
    if b[0] & 0x20 != 0 {
        let p = b[end - 1] as usize;
        end = end.saturating_sub(p);
    }
    if o > end {
        return &[];
    }
    &b[o..end]
}

pub fn write_header(b: &mut [u8], pt: u8, marker: bool, seq: u16, ts: u32, ssrc: u32) {
    b[0] = 0x80;
    b[1] = pt | if marker { 0x80 } else { 0 };
    b[2..4].copy_from_slice(&seq.to_be_bytes());
    b[4..8].copy_from_slice(&ts.to_be_bytes());
    b[8..12].copy_from_slice(&ssrc.to_be_bytes());
}

/// Window counters: everything here is reset when a measuring window opens.
#[derive(Clone, Debug, Default)]
pub struct RxWin {
    pub recv: u64,
    pub bytes: u64,
    /// packets missing by sequence number (net of late arrivals)
    pub lost: i64,
    pub gap_events: u64,
    pub dup: u64,
    pub reorder: u64,
    pub ssrc_changes: u64,
    pub seq_resets: u64,
    /// consecutive packets whose timestamp did not advance by the learned step
    pub ts_jumps: u64,
    pub other_pt: u64,
    pub malformed: u64,
    pub max_jitter_ns: f64,
    pub sum_jitter_ns: f64,
    pub max_gap_ns: i64,
    pub first_ns: i64,
    pub last_ns: i64,
}

/// Receive state of one leg. The tracking state runs from the first packet; the window
/// counters only see packets whose kernel arrival time is inside the window.
#[derive(Clone, Debug, Default)]
pub struct Rx {
    init: bool,
    ssrc: u32,
    max_seq: u16,
    mask: u64, // bit k set: packet max_seq-k has been seen
    hi_ts: u32,
    // RFC 3550 jitter, in arrival order
    prev_arr: i64,
    prev_ts: u32,
    jitter_ns: f64,
    jitter_init: bool,
    // timestamp step
    pub step: u32,
    cand: u32,
    pub total: u64,
    pub win: RxWin,
}

/// A jump of more than this many sequence numbers is a restart, not loss.
const MAX_DROPOUT: i32 = 3000;
const MAX_MISORDER: i32 = 64;

impl Rx {
    #[cfg(test)]
    pub fn jitter_ns(&self) -> f64 {
        self.jitter_ns
    }

    /// `arr` is the arrival time in ns, `clock` the RTP clock rate of the stream.
    #[inline]
    pub fn packet(
        &mut self,
        h: &Hdr,
        len: usize,
        arr: i64,
        clock: u32,
        in_win: bool,
        hist_j: &mut Hist,
        hist_d: &mut Hist,
    ) {
        self.total += 1;
        if in_win {
            self.win.recv += 1;
            self.win.bytes += len as u64;
            if self.win.first_ns == 0 {
                self.win.first_ns = arr;
            }
            self.win.last_ns = arr;
        }
        if !self.init {
            self.restart(h, arr);
            self.init = true;
            return;
        }
        if h.ssrc != self.ssrc {
            if in_win {
                self.win.ssrc_changes += 1;
            }
            self.restart(h, arr);
            return;
        }
        // sequence
        let d = h.seq.wrapping_sub(self.max_seq) as i16 as i32;
        if d > 0 && d <= MAX_DROPOUT {
            if d > 1 && in_win {
                self.win.lost += (d - 1) as i64;
                self.win.gap_events += 1;
            }
            self.mask = if d >= 64 { 0 } else { self.mask << d } | 1;
            // timestamp continuity
            let dts = h.ts.wrapping_sub(self.hi_ts);
            if self.step == 0 {
                if d == 1 && dts != 0 && dts == self.cand {
                    self.step = dts;
                }
                if d == 1 {
                    self.cand = dts;
                }
            } else if dts != self.step.wrapping_mul(d as u32) && in_win {
                self.win.ts_jumps += 1;
            }
            self.hi_ts = h.ts;
            self.max_seq = h.seq;
        } else if d <= 0 && d > -MAX_MISORDER {
            let bit = 1u64 << (-d);
            if self.mask & bit != 0 {
                if in_win {
                    self.win.dup += 1;
                }
                return; // a copy does not enter the jitter estimate
            }
            self.mask |= bit;
            if in_win {
                self.win.reorder += 1;
                self.win.lost -= 1;
            }
        } else {
            if in_win {
                self.win.seq_resets += 1;
            }
            self.restart(h, arr);
            return;
        }
        // jitter (RFC 3550 section 6.4.1), interarrival gap
        let gap = arr - self.prev_arr;
        if in_win && gap > self.win.max_gap_ns {
            self.win.max_gap_ns = gap;
        }
        let dts = h.ts.wrapping_sub(self.prev_ts) as i32 as i64;
        let s = dts as f64 * 1e9 / clock as f64;
        let dev = (gap as f64 - s).abs();
        if dev < 2e9 {
            self.jitter_ns += (dev - self.jitter_ns) / 16.0;
            if in_win {
                hist_d.add(dev as u64);
                hist_j.add(self.jitter_ns as u64);
                self.win.sum_jitter_ns += self.jitter_ns;
                if self.jitter_ns > self.win.max_jitter_ns {
                    self.win.max_jitter_ns = self.jitter_ns;
                }
            }
        }
        self.prev_arr = arr;
        self.prev_ts = h.ts;
    }

    fn restart(&mut self, h: &Hdr, arr: i64) {
        self.ssrc = h.ssrc;
        self.max_seq = h.seq;
        self.mask = 1;
        self.hi_ts = h.ts;
        self.prev_arr = arr;
        self.prev_ts = h.ts;
        self.cand = 0;
        if !self.jitter_init {
            self.jitter_ns = 0.0;
            self.jitter_init = true;
        }
    }

    pub fn reset_window(&mut self) {
        self.win = RxWin::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(rx: &mut Rx, v: &[(u16, u32, i64)], clock: u32) -> (Hist, Hist) {
        let (mut j, mut d) = (Hist::new(), Hist::new());
        for &(seq, ts, arr) in v {
            let h = Hdr { pt: 0, marker: false, seq, ts, ssrc: 7 };
            rx.packet(&h, 172, arr, clock, true, &mut j, &mut d);
        }
        (j, d)
    }
    const MS: i64 = 1_000_000;

    #[test]
    fn header_roundtrip_and_payload() {
        let mut b = [0u8; 20];
        write_header(&mut b, 111, true, 65535, 0xdeadbeef, 42);
        let h = parse(&b).unwrap();
        assert_eq!(h, Hdr { pt: 111, marker: true, seq: 65535, ts: 0xdeadbeef, ssrc: 42 });
        assert_eq!(payload(&b).len(), 8);
        // two CSRCs, extension of one word, padding of 4
        let mut p = vec![0xB2u8, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        p.extend([0u8; 8]);
        p.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
        p.extend([1, 2, 3, 4, 5]);
        p.extend([0, 0, 0, 4]);
        assert_eq!(payload(&p), &[1, 2, 3, 4, 5]);
        assert!(parse(&[0x80, 200, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).is_none()); // RTCP SR
        assert!(parse(&[0x00; 12]).is_none());
    }

    #[test]
    fn clean_stream() {
        let mut rx = Rx::default();
        let v: Vec<_> = (0..1000u32)
            .map(|i| {
                ((65000u32 + i) as u16, 4_294_900_000u32.wrapping_add(i * 160), i as i64 * 20 * MS)
            })
            .collect();
        let (j, d) = feed(&mut rx, &v, 8000);
        let w = &rx.win;
        assert_eq!(
            (w.recv, w.lost, w.dup, w.reorder, w.ts_jumps, w.seq_resets),
            (1000, 0, 0, 0, 0, 0)
        );
        assert_eq!(rx.step, 160);
        assert_eq!(j.max(), 0);
        assert_eq!(d.count(), 999);
    }

    #[test]
    fn gaps_dups_reorders() {
        let mut rx = Rx::default();
        // 0 1 2 [3 missing] 4 5 5(dup) 8 7(late) [6 missing] 9
        let seqs = [0u16, 1, 2, 4, 5, 5, 8, 7, 9];
        let v: Vec<_> = seqs
            .iter()
            .enumerate()
            .map(|(i, &s)| (s, s as u32 * 160, i as i64 * 20 * MS))
            .collect();
        feed(&mut rx, &v, 8000);
        assert_eq!(rx.win.lost, 2); // 3 and 6
        assert_eq!(rx.win.gap_events, 2);
        assert_eq!(rx.win.dup, 1);
        assert_eq!(rx.win.reorder, 1);
        assert_eq!(rx.win.ts_jumps, 0);
    }

    #[test]
    fn timestamp_jump_and_ssrc_change() {
        let mut rx = Rx::default();
        let mut v: Vec<_> = (0..10u32).map(|i| (i as u16, i * 160, i as i64 * 20 * MS)).collect();
        v.push((10, 10 * 160 + 8000, 200 * MS)); // +1 s in the timestamp only
        v.push((11, 11 * 160 + 8000, 220 * MS));
        feed(&mut rx, &v, 8000);
        assert_eq!(rx.win.ts_jumps, 1);
        let h = Hdr { pt: 0, marker: true, seq: 900, ts: 5, ssrc: 8 };
        rx.packet(&h, 172, 240 * MS, 8000, true, &mut Hist::new(), &mut Hist::new());
        assert_eq!(rx.win.ssrc_changes, 1);
        assert_eq!(rx.win.lost, 0);
    }

    #[test]
    fn big_jump_is_a_restart() {
        let mut rx = Rx::default();
        feed(
            &mut rx,
            &[(1, 160, 0), (2, 320, 20 * MS), (20000, 480, 40 * MS), (20001, 640, 60 * MS)],
            8000,
        );
        assert_eq!(rx.win.seq_resets, 1);
        assert_eq!(rx.win.lost, 0);
    }

    #[test]
    fn jitter_formula_against_direct_computation() {
        // alternate early/late by 4 ms: |D| = 8 ms from the second difference on
        let mut rx = Rx::default();
        let n = 400;
        let arr: Vec<i64> = (0..n)
            .map(|i| i as i64 * 20 * MS + if i % 2 == 0 { 4 * MS } else { -4 * MS })
            .collect();
        let v: Vec<_> = (0..n).map(|i| (i as u16, i as u32 * 960, arr[i])).collect();
        let (_, d) = feed(&mut rx, &v, 48000);
        let mut j = 0.0f64;
        for i in 1..n {
            let dd = ((arr[i] - arr[i - 1]) as f64 - 20e6).abs();
            j += (dd - j) / 16.0;
        }
        assert!((rx.jitter_ns() - j).abs() < 1.0, "{} {}", rx.jitter_ns(), j);
        assert!((rx.jitter_ns() - 8e6).abs() < 1e3); // converges to mean |D| = 8 ms
        assert!((d.pct(50.0) - 8e6).abs() / 8e6 < 0.02);
        assert_eq!(rx.win.max_gap_ns, 28 * MS);
    }

    #[test]
    fn window_counts_only_inside() {
        let mut rx = Rx::default();
        let (mut j, mut d) = (Hist::new(), Hist::new());
        for i in 0..100u32 {
            if i == 50 {
                continue; // loss inside the window
            }
            if i == 10 {
                continue; // loss outside the window
            }
            let h = Hdr { pt: 0, marker: false, seq: i as u16, ts: i * 160, ssrc: 7 };
            let in_win = (20..80).contains(&i);
            rx.packet(&h, 172, i as i64 * 20 * MS, 8000, in_win, &mut j, &mut d);
        }
        assert_eq!(rx.win.recv, 59);
        assert_eq!(rx.win.lost, 1);
    }
}
