//! Codecs and pre-encoded tracks.

use crate::signal::to_i16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Pcmu,
    Pcma,
    G722,
    Opus,
    L16(u32),
}

pub const OPUS_PT: u8 = 111;
pub const L16_PT: u8 = 96;

impl Codec {
    pub fn parse(s: &str) -> Result<Codec, String> {
        Ok(match s.to_ascii_lowercase().as_str() {
            "pcmu" | "ulaw" => Codec::Pcmu,
            "pcma" | "alaw" => Codec::Pcma,
            "g722" => Codec::G722,
            "opus" => Codec::Opus,
            "l16" | "l16-16" => Codec::L16(16000),
            "l16-8" => Codec::L16(8000),
            "l16-48" => Codec::L16(48000),
            _ => return Err(format!("unknown codec {s}")),
        })
    }
    pub fn name(self) -> String {
        match self {
            Codec::Pcmu => "pcmu".into(),
            Codec::Pcma => "pcma".into(),
            Codec::G722 => "g722".into(),
            Codec::Opus => "opus".into(),
            Codec::L16(r) => format!("l16-{}", r / 1000),
        }
    }
    /// encoding name as in a=rtpmap
    pub fn rtpmap(self) -> String {
        match self {
            Codec::Pcmu => "PCMU/8000".into(),
            Codec::Pcma => "PCMA/8000".into(),
            Codec::G722 => "G722/8000".into(),
            Codec::Opus => "opus/48000/2".into(),
            Codec::L16(r) => format!("L16/{r}"),
        }
    }
    pub fn pt(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::G722 => 9,
            Codec::Opus => OPUS_PT,
            Codec::L16(_) => L16_PT,
        }
    }
    /// RTP clock rate (8000 for G.722 by RFC 3551)
    pub fn clock(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8000,
            Codec::Opus => 48000,
            Codec::L16(r) => r,
        }
    }
    /// rate of the PCM that goes in and out of the codec here
    pub fn pcm_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8000,
            Codec::G722 => 16000,
            Codec::Opus => 48000,
            Codec::L16(r) => r,
        }
    }
    pub fn ts_step(self, ptime: u32) -> u32 {
        self.clock() * ptime / 1000
    }
}

pub fn ulaw_encode(s: i16) -> u8 {
    let mut v = s as i32;
    let sign = if v < 0 {
        v = -v - 1; // one's complement keeps -32768 in range
        0x80
    } else {
        0
    };
    v = (v + 132).min(32767);
    let e = (31 - (v as u32).leading_zeros()) as i32 - 7;
    let m = (v >> (e + 3)) & 0x0f;
    !(sign | (e << 4) | m) as u8
}
pub fn ulaw_decode(b: u8) -> i16 {
    let b = !b;
    let e = ((b >> 4) & 7) as i32;
    let m = (b & 0x0f) as i32;
    let v = (((m << 3) + 132) << e) - 132;
    if b & 0x80 != 0 { -v as i16 } else { v as i16 }
}
pub fn alaw_encode(s: i16) -> u8 {
    let mut v = (s as i32) >> 3;
    let mask = if v >= 0 {
        0xd5
    } else {
        v = -v - 1;
        0x55
    };
    let c = if v < 32 {
        v >> 1
    } else {
        let e = (31 - (v as u32).leading_zeros()) as i32 - 4; // v>=32: e>=1
        if e > 7 { 0x7f } else { (e << 4) | ((v >> e) & 0x0f) }
    };
    (c as u8) ^ mask
}
pub fn alaw_decode(b: u8) -> i16 {
    let b = b ^ 0x55;
    let e = ((b >> 4) & 7) as i32;
    let m = (b & 0x0f) as i32;
    let v = if e == 0 { (m << 4) + 8 } else { ((m << 4) + 0x108) << (e - 1) };
    if b & 0x80 != 0 { v as i16 } else { -v as i16 }
}

pub enum Encoder {
    Ulaw,
    Alaw,
    G722(Box<crate::g722::Encoder>),
    Opus(opus::Encoder),
    L16,
}

impl Encoder {
    pub fn new(
        c: Codec,
        opus_rate: u32,
        opus_bitrate: i32,
        opus_complexity: i32,
    ) -> Result<Encoder, String> {
        Ok(match c {
            Codec::Pcmu => Encoder::Ulaw,
            Codec::Pcma => Encoder::Alaw,
            Codec::G722 => Encoder::G722(Box::new(crate::g722::Encoder::new())),
            Codec::L16(_) => Encoder::L16,
            Codec::Opus => {
                let mut e =
                    opus::Encoder::new(opus_rate, opus::Channels::Mono, opus::Application::Voip)
                        .map_err(|e| e.to_string())?;
                e.set_bitrate(opus::Bitrate::Bits(opus_bitrate)).map_err(|e| e.to_string())?;
                e.set_complexity(opus_complexity).map_err(|e| e.to_string())?;
                Encoder::Opus(e)
            }
        })
    }
    pub fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Encoder::Ulaw => out.extend(pcm.iter().map(|s| ulaw_encode(*s))),
            Encoder::Alaw => out.extend(pcm.iter().map(|s| alaw_encode(*s))),
            Encoder::G722(e) => e.encode(pcm, out),
            Encoder::L16 => pcm.iter().for_each(|s| out.extend(s.to_be_bytes())),
            Encoder::Opus(e) => {
                let mut b = [0u8; 1500];
                let n = e.encode(pcm, &mut b).map_err(|e| e.to_string())?;
                out.extend_from_slice(&b[..n]);
            }
        }
        Ok(())
    }
}

pub enum Decoder {
    Ulaw,
    Alaw,
    G722(Box<crate::g722::Decoder>),
    Opus(opus::Decoder),
    L16,
}

impl Decoder {
    pub fn new(c: Codec, opus_rate: u32) -> Result<Decoder, String> {
        Ok(match c {
            Codec::Pcmu => Decoder::Ulaw,
            Codec::Pcma => Decoder::Alaw,
            Codec::G722 => Decoder::G722(Box::new(crate::g722::Decoder::new())),
            Codec::L16(_) => Decoder::L16,
            Codec::Opus => Decoder::Opus(
                opus::Decoder::new(opus_rate, opus::Channels::Mono).map_err(|e| e.to_string())?,
            ),
        })
    }
    pub fn decode(&mut self, p: &[u8], out: &mut Vec<i16>) {
        match self {
            Decoder::Ulaw => out.extend(p.iter().map(|b| ulaw_decode(*b))),
            Decoder::Alaw => out.extend(p.iter().map(|b| alaw_decode(*b))),
            Decoder::G722(d) => d.decode(p, out),
            Decoder::L16 => out.extend(p.chunks_exact(2).map(|c| i16::from_be_bytes([c[0], c[1]]))),
            Decoder::Opus(d) => {
                let mut b = [0i16; 5760];
                if let Ok(n) = d.decode(p, &mut b, false) {
                    out.extend_from_slice(&b[..n]);
                }
            }
        }
    }
}

/// A pre-encoded sequence of packets.
pub struct Track {
    pub frames: Vec<(u32, u16)>,
    pub data: Vec<u8>,
    pub looped: bool,
}

impl Track {
    pub fn frame(&self, i: usize) -> &[u8] {
        let (o, l) = self.frames[i];
        &self.data[o as usize..o as usize + l as usize]
    }
}

#[derive(Clone, Copy)]
pub struct OpusCfg {
    pub bitrate: i32,
    pub complexity: i32,
}
impl Default for OpusCfg {
    fn default() -> Self {
        OpusCfg { bitrate: 24000, complexity: 9 }
    }
}

/// Encode 16 kHz PCM for a codec. The length is cut to whole packets.
pub fn encode_track(
    c: Codec,
    pcm16k: &[f32],
    ptime: u32,
    looped: bool,
    oc: OpusCfg,
) -> Result<Track, String> {
    let r = c.pcm_rate();
    let x = crate::dsp::resample(pcm16k, 16000, r);
    let fs = (r * ptime / 1000) as usize;
    let mut e = Encoder::new(c, 48000, oc.bitrate, oc.complexity)?;
    let mut t = Track { frames: vec![], data: vec![], looped };
    let mut buf = vec![0i16; fs];
    for ch in x.chunks_exact(fs) {
        for (d, s) in buf.iter_mut().zip(ch) {
            *d = to_i16(*s);
        }
        let o = t.data.len();
        e.encode(&buf, &mut t.data)?;
        t.frames.push((o as u32, (t.data.len() - o) as u16));
    }
    if t.frames.is_empty() {
        return Err("empty track".into());
    }
    Ok(t)
}

/// Decode a track again, to 16 kHz: what a perfect bridge would be given.
pub fn decode_track(c: Codec, t: &Track) -> Vec<f32> {
    let mut d = Decoder::new(c, 48000).expect("decoder");
    let mut out = Vec::new();
    for i in 0..t.frames.len() {
        d.decode(t.frame(i), &mut out);
    }
    let f: Vec<f32> = out.iter().map(|v| *v as f32 / 32768.0).collect();
    crate::dsp::resample(&f, c.pcm_rate(), 16000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_survives_g722() {
        for f in [300.0, 1000.0, 3000.0, 6000.0] {
            let x: Vec<i16> = (0..16000)
                .map(|n| {
                    (8000.0 * (2.0 * std::f64::consts::PI * f * n as f64 / 16000.0).sin()) as i16
                })
                .collect();
            let mut c = Vec::new();
            crate::g722::Encoder::new().encode(&x, &mut c);
            assert_eq!(c.len(), 8000);
            let mut y = Vec::new();
            crate::g722::Decoder::new().decode(&c, &mut y);
            let xf: Vec<f32> = x.iter().map(|&v| v as f32 / 32768.0).collect();
            let yf: Vec<f32> = y.iter().map(|&v| v as f32 / 32768.0).collect();
            let r = crate::dsp::compare(&xf, &yf, 16000, 100, None);
            assert!(r.corr > 0.98, "{f}: corr {}", r.corr);
            assert!(r.gain_db.abs() < 0.5, "{f}: gain {}", r.gain_db);
        }
    }
    #[test]
    fn g711_known_values() {
        assert_eq!(ulaw_encode(0), 0xff);
        assert_eq!(ulaw_decode(0xff), 0);
        assert_eq!(ulaw_decode(0x00), -32124);
        assert_eq!(ulaw_decode(0x80), 32124);
        assert_eq!(ulaw_encode(32767), 0x80);
        assert_eq!(ulaw_encode(-32768), 0x00);
        assert_eq!(alaw_encode(0), 0xd5);
        assert_eq!(alaw_decode(0xd5), 8);
        assert_eq!(alaw_decode(0x55), -8);
        assert_eq!(alaw_decode(0xaa), 32256);
        assert_eq!(alaw_decode(0x2a), -32256);
        assert_eq!(alaw_encode(32767), 0xaa);
        assert_eq!(alaw_encode(-32768), 0x2a);
    }
    #[test]
    fn g711_codes_roundtrip() {
        for b in 0..=255u8 {
            // 0x7f is negative zero in mu-law
            if b != 0x7f {
                assert_eq!(ulaw_encode(ulaw_decode(b)), b, "{b:x}");
            }
            assert_eq!(alaw_encode(alaw_decode(b)), b, "{b:x}");
        }
    }
    #[test]
    fn tracks_reproduce_the_signal() {
        let x = crate::signal::speech(16000, 4.0, 1);
        for (c, corr, frames) in [
            (Codec::Pcmu, 0.99, 200),
            (Codec::Pcma, 0.99, 200),
            (Codec::G722, 0.98, 200),
            (Codec::L16(16000), 0.9999, 200),
            (Codec::Opus, 0.85, 200),
        ] {
            let t = encode_track(c, &x, 20, true, OpusCfg::default()).unwrap();
            assert_eq!(t.frames.len(), frames);
            let y = decode_track(c, &t);
            // narrowband: compare in the narrow band
            let (xx, yy) = if c.pcm_rate() == 8000 {
                (crate::dsp::resample(&x, 16000, 8000), crate::dsp::resample(&y, 16000, 8000))
            } else {
                (x.clone(), y.clone())
            };
            let r = crate::dsp::compare(
                &xx,
                &yy,
                if c.pcm_rate() == 8000 { 8000 } else { 16000 },
                400,
                None,
            );
            assert!(r.corr > corr, "{c:?} {}", r.corr);
            assert!(r.gain_db.abs() < 1.5, "{c:?} {}", r.gain_db);
        }
    }
    #[test]
    fn frame_sizes() {
        let x = crate::signal::noise(16000, 1.0, -30.0, 1);
        for (c, n) in [
            (Codec::Pcmu, 160),
            (Codec::G722, 160),
            (Codec::L16(16000), 640),
            (Codec::L16(48000), 1920),
        ] {
            let t = encode_track(c, &x, 20, true, OpusCfg::default()).unwrap();
            assert!(t.frames.iter().all(|f| f.1 as usize == n));
        }
        assert_eq!(Codec::G722.ts_step(20), 160);
        assert_eq!(Codec::Opus.ts_step(20), 960);
    }
}
