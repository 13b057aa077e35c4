//! Test signals: a deterministic voice-like signal, noise, WAV files.

use std::io::{Read, Write};

pub struct Rng(pub u64);
impl Rng {
    pub fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }
    /// 0.0..1.0
    pub fn f(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn range(&mut self, a: f64, b: f64) -> f64 {
        a + (b - a) * self.f()
    }
}

/// Voice-like signal at 16 kHz or 8 kHz: harmonics of a moving pitch shaped by vowel formants,
/// syllabic amplitude modulation, hiss bursts, pauses between phrases. About 65 % activity, active level about -22 dBFS,
/// peaks under full scale. `seed` picks the voice and the text.
pub fn speech(rate: u32, secs: f64, seed: u64) -> Vec<f32> {
    let n = (rate as f64 * secs) as usize;
    let mut r = Rng(seed.wrapping_mul(0x1234567).wrapping_add(99));
    let base_f0 = match seed % 4 {
        0 => 110.0,
        1 => 195.0,
        2 => 135.0,
        _ => 230.0,
    } + r.range(-8.0, 8.0);
    const VOWELS: [[f64; 3]; 6] = [
        [730.0, 1090.0, 2440.0],
        [270.0, 2290.0, 3010.0],
        [300.0, 870.0, 2240.0],
        [530.0, 1840.0, 2480.0],
        [570.0, 840.0, 2410.0],
        [490.0, 1350.0, 1690.0],
    ];
    let nyq = rate as f64 * 0.45;
    let mut out = vec![0.0f32; n];
    let mut t = (0.15 * rate as f64) as usize; // short lead-in
    let mut phase = 0.0f64;
    while t < n {
        // a phrase
        let phrase_end = (t + (r.range(1.0, 2.6) * rate as f64) as usize).min(n);
        let mut f0 = base_f0 * r.range(1.0, 1.2);
        while t < phrase_end {
            let syl = (r.range(0.12, 0.28) * rate as f64) as usize;
            let end = (t + syl).min(n);
            let v = VOWELS[(r.next() % 6) as usize];
            let w = VOWELS[(r.next() % 6) as usize];
            let amp = r.range(0.5, 1.0);
            let hiss = r.f() < 0.3;
            let glide = r.range(-0.06, 0.03);
            if hiss {
                // fricative onset: short high-passed noise
                let hl = ((0.06 * rate as f64) as usize).min(end - t);
                let mut prev = 0.0;
                for i in 0..hl {
                    let x = r.range(-1.0, 1.0);
                    let y = x - prev;
                    prev = x;
                    let env = (std::f64::consts::PI * i as f64 / hl as f64).sin();
                    out[t + i] += (0.03 * env * y) as f32;
                }
            }
            let len = (end - t).max(1);
            // harmonic amplitudes refreshed every 5 ms
            let hop = (rate / 200) as usize;
            let mut i = 0;
            let mut prev_a: Vec<f64> = Vec::new();
            while i < len {
                let u = i as f64 / len as f64;
                let f = f0
                    * (1.0 + glide * u)
                    * (1.0
                        + 0.012
                            * (2.0 * std::f64::consts::PI * 5.5 * t as f64 / rate as f64
                                + 6.0 * u)
                                .sin());
                let nh = (nyq / f).floor() as usize;
                let mut a: Vec<f64> = Vec::with_capacity(nh);
                for h in 1..=nh {
                    let fh = f * h as f64;
                    let mut g = 0.0;
                    for k in 0..3 {
                        let fc = v[k] * (1.0 - u) + w[k] * u;
                        let bw = 70.0 + 40.0 * k as f64;
                        let d = (fh - fc) / bw;
                        g += [1.0, 0.6, 0.35][k] / (1.0 + d * d);
                    }
                    // a gentle slope plus a floor so that the upper band is not empty
                    g += 0.02 / (1.0 + fh / 2000.0);
                    a.push(g);
                }
                let m = hop.min(len - i);
                for j in 0..m {
                    let uu = (i + j) as f64 / len as f64;
                    let env = (std::f64::consts::PI * uu).sin().powf(0.6);
                    phase += f / rate as f64;
                    if phase > 1.0 {
                        phase -= 1.0;
                    }
                    let x = j as f64 / m as f64;
                    let mut s = 0.0;
                    // sum of cosines by the Chebyshev recurrence
                    let c1 = (2.0 * std::f64::consts::PI * phase).cos();
                    let (mut cm, mut c) = (1.0, c1);
                    for h in 0..a.len() {
                        let pa = if h < prev_a.len() { prev_a[h] } else { a[h] };
                        s += (pa + (a[h] - pa) * x) * c;
                        let nx = 2.0 * c1 * c - cm;
                        cm = c;
                        c = nx;
                    }
                    out[t + i + j] += (0.1 * amp * env * s) as f32;
                }
                prev_a = a;
                i += m;
            }
            f0 *= 1.0 + glide;
            f0 = f0.clamp(base_f0 * 0.75, base_f0 * 1.35);
            t = end;
            if r.f() < 0.2 {
                t = (t + (r.range(0.02, 0.07) * rate as f64) as usize).min(n);
            }
        }
        t += (r.range(0.35, 0.9) * rate as f64) as usize;
    }
    // level: -22 dBFS over the active part, soft limit
    let sl = rate as usize / 50;
    let es: Vec<f64> = out.chunks(sl).map(crate::dsp::energy).collect();
    let mx = es.iter().cloned().fold(0.0, f64::max);
    let (mut e, mut c) = (0.0, 0usize);
    for x in &es {
        if *x > mx * 1e-3 {
            e += x;
            c += sl;
        }
    }
    let rms = (e / c.max(1) as f64).sqrt().max(1e-9);
    let k = (10f64.powf(-22.0 / 20.0) / rms) as f32;
    for v in &mut out {
        *v *= k;
        if v.abs() > 0.8 {
            *v = v.signum() * (0.8 + 0.19 * ((v.abs() - 0.8) / 0.19).tanh());
        }
    }
    out
}

/// White noise at the given RMS level.
pub fn noise(rate: u32, secs: f64, dbfs: f64, seed: u64) -> Vec<f32> {
    let mut r = Rng(seed);
    let k = 10f64.powf(dbfs / 20.0) * 3f64.sqrt(); // uniform: rms = peak / sqrt 3
    (0..(rate as f64 * secs) as usize).map(|_| (r.range(-1.0, 1.0) * k) as f32).collect()
}

pub fn read_wav(path: &str) -> Result<(u32, Vec<f32>), String> {
    let mut b = Vec::new();
    std::fs::File::open(path)
        .map_err(|e| format!("{path}: {e}"))?
        .read_to_end(&mut b)
        .map_err(|e| e.to_string())?;
    if b.len() < 44 || &b[0..4] != b"RIFF" || &b[8..12] != b"WAVE" {
        return Err(format!("{path}: not a RIFF WAVE file"));
    }
    let u16at = |o: usize| u16::from_le_bytes([b[o], b[o + 1]]);
    let u32at = |o: usize| u32::from_le_bytes([b[o], b[o + 1], b[o + 2], b[o + 3]]);
    let (mut fmt, mut ch, mut rate, mut bits) = (0u16, 0u16, 0u32, 0u16);
    let mut o = 12;
    while o + 8 <= b.len() {
        let id = &b[o..o + 4];
        let len = u32at(o + 4) as usize;
        let d = o + 8;
        if id == b"fmt " && d + 16 <= b.len() {
            fmt = u16at(d);
            ch = u16at(d + 2);
            rate = u32at(d + 4);
            bits = u16at(d + 14);
        } else if id == b"data" {
            if (fmt != 1 && fmt != 0xfffe) || bits != 16 || ch == 0 {
                return Err(format!("{path}: only 16-bit PCM is supported"));
            }
            let end = (d + len).min(b.len());
            let s: Vec<f32> = b[d..end]
                .chunks_exact(2 * ch as usize)
                .map(|c| i16::from_le_bytes([c[0], c[1]]) as f32 / 32768.0)
                .collect();
            return Ok((rate, s));
        }
        o = d + len + (len & 1);
    }
    Err(format!("{path}: no data chunk"))
}

pub fn write_wav(path: &str, rate: u32, s: &[f32]) -> std::io::Result<()> {
    let mut b = Vec::with_capacity(44 + s.len() * 2);
    let n = (s.len() * 2) as u32;
    b.extend(b"RIFF");
    b.extend((36 + n).to_le_bytes());
    b.extend(b"WAVEfmt ");
    b.extend(16u32.to_le_bytes());
    b.extend(1u16.to_le_bytes());
    b.extend(1u16.to_le_bytes());
    b.extend(rate.to_le_bytes());
    b.extend((rate * 2).to_le_bytes());
    b.extend(2u16.to_le_bytes());
    b.extend(16u16.to_le_bytes());
    b.extend(b"data");
    b.extend(n.to_le_bytes());
    for v in s {
        b.extend(to_i16(*v).to_le_bytes());
    }
    std::fs::File::create(path)?.write_all(&b)
}

#[inline]
pub fn to_i16(v: f32) -> i16 {
    (v * 32768.0).round().clamp(-32768.0, 32767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn speech_is_deterministic_and_level_is_right() {
        let a = speech(16000, 5.0, 1);
        assert_eq!(a, speech(16000, 5.0, 1));
        assert_ne!(a, speech(16000, 5.0, 2));
        let peak = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(peak < 1.0 && peak > 0.2, "{peak}");
        let lvl = crate::dsp::rms_db(&a);
        assert!(lvl > -28.0 && lvl < -20.0, "{lvl}");
    }
    #[test]
    fn noise_level() {
        let n = noise(8000, 2.0, -60.0, 3);
        assert!((crate::dsp::rms_db(&n) + 60.0).abs() < 0.3);
    }
    #[test]
    fn wav_roundtrip() {
        let dir = std::env::temp_dir().join(format!("plenary-load-wav-{}", std::process::id()));
        let p = dir.to_str().unwrap();
        let x = speech(8000, 1.0, 1);
        write_wav(p, 8000, &x).unwrap();
        let (r, y) = read_wav(p).unwrap();
        std::fs::remove_file(p).unwrap();
        assert_eq!(r, 8000);
        assert_eq!(x.len(), y.len());
        assert!(x.iter().zip(&y).all(|(a, b)| (a - b).abs() < 1.0 / 32000.0));
    }
}
