//! ITU-T G.722 at 64 kbit/s (mode 1), 16 kHz in and out.
//! Written after the structure of the ITU recommendation (blocks named as there); the
//! public-domain CMU/spandsp arrangement of the tables is used.

#[derive(Clone, Default)]
struct Band {
    s: i32,
    sz: i32,
    r: [i32; 3],
    a: [i32; 3],
    p: [i32; 3],
    d: [i32; 7],
    b: [i32; 7],
    nb: i32,
    det: i32,
}

#[inline]
fn sat(v: i32) -> i32 {
    v.clamp(-32768, 32767)
}

const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
const Q6: [i32; 32] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940,
    1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 0, 0,
];
const WL: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
const RL42: [usize; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
const WH: [i32; 3] = [0, -214, 798];
const RH2: [usize; 4] = [2, 1, 2, 1];
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
const QM4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];

impl Band {
    fn low() -> Band {
        Band { det: 32, ..Default::default() }
    }
    fn high() -> Band {
        Band { det: 8, ..Default::default() }
    }
    /// Block 4: reconstruct and adapt the predictor.
    fn block4(&mut self, d: i32) {
        self.d[0] = d;
        self.r[0] = sat(self.s + d);
        self.p[0] = sat(self.sz + d);
        // UPPOL2
        let sg = [self.p[0] >> 15, self.p[1] >> 15, self.p[2] >> 15];
        let w1 = sat(self.a[1] << 2);
        let w2 = if sg[0] == sg[1] { -w1 } else { w1 }.min(32767);
        let mut w3 = if sg[0] == sg[2] { 128 } else { -128 };
        w3 += w2 >> 7;
        w3 += (self.a[2] * 32512) >> 15;
        let ap2 = w3.clamp(-12288, 12288);
        // UPPOL1
        let w1 = if sg[0] == sg[1] { 192 } else { -192 };
        let w2 = (self.a[1] * 32640) >> 15;
        let lim = sat(15360 - ap2);
        let ap1 = sat(w1 + w2).clamp(-lim, lim);
        // UPZERO
        let w1 = if d == 0 { 0 } else { 128 };
        let s0 = d >> 15;
        for i in 1..7 {
            let w2 = if self.d[i] >> 15 == s0 { w1 } else { -w1 };
            self.b[i] = sat(w2 + ((self.b[i] * 32640) >> 15));
        }
        // DELAYA
        for i in (1..7).rev() {
            self.d[i] = self.d[i - 1];
        }
        for i in (1..3).rev() {
            self.r[i] = self.r[i - 1];
            self.p[i] = self.p[i - 1];
        }
        self.a[1] = ap1;
        self.a[2] = ap2;
        // FILTEP, FILTEZ, PREDIC
        let w1 = (self.a[1] * sat(self.r[1] + self.r[1])) >> 15;
        let w2 = (self.a[2] * sat(self.r[2] + self.r[2])) >> 15;
        let sp = sat(w1 + w2);
        let mut sz = 0;
        for i in (1..7).rev() {
            sz += (self.b[i] * sat(self.d[i] + self.d[i])) >> 15;
        }
        self.sz = sat(sz);
        self.s = sat(sp + self.sz);
    }
    fn scale_low(&mut self, ril: usize) {
        self.nb = (((self.nb * 127) >> 7) + WL[RL42[ril]]).clamp(0, 18432);
        let (i, sh) = ((self.nb >> 6 & 31) as usize, 8 - (self.nb >> 11));
        self.det = if sh < 0 { ILB[i] << -sh } else { ILB[i] >> sh } << 2;
    }
    fn scale_high(&mut self, ih: usize) {
        self.nb = (((self.nb * 127) >> 7) + WH[RH2[ih]]).clamp(0, 22528);
        let (i, sh) = ((self.nb >> 6 & 31) as usize, 10 - (self.nb >> 11));
        self.det = if sh < 0 { ILB[i] << -sh } else { ILB[i] >> sh } << 2;
    }
}

#[derive(Clone)]
pub struct Encoder {
    x: [i32; 24],
    low: Band,
    high: Band,
}

impl Encoder {
    pub fn new() -> Self {
        Encoder { x: [0; 24], low: Band::low(), high: Band::high() }
    }
    /// `pcm` must hold an even number of 16 kHz samples; one octet per two samples.
    pub fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        for pair in pcm.chunks_exact(2) {
            self.x.copy_within(2.., 0);
            self.x[22] = pair[0] as i32;
            self.x[23] = pair[1] as i32;
            let (mut even, mut odd) = (0, 0);
            for i in 0..12 {
                odd += self.x[2 * i] * QMF[i];
                even += self.x[2 * i + 1] * QMF[11 - i];
            }
            let xlow = (even + odd) >> 14;
            let xhigh = (even - odd) >> 14;
            // low band
            let el = sat(xlow - self.low.s);
            let wd = if el >= 0 { el } else { -(el + 1) };
            let mut i = 1;
            while i < 30 && wd >= (Q6[i] * self.low.det) >> 12 {
                i += 1;
            }
            let ilow = if el < 0 {
                // negative codes: 63, 62, then 31 down to 4
                match i {
                    1 => 63,
                    2 => 62,
                    _ => 34 - i as i32,
                }
            } else {
                62 - i as i32
            };
            let ril = (ilow >> 2) as usize;
            let dlow = (self.low.det * QM4[ril]) >> 15;
            self.low.scale_low(ril);
            self.low.block4(dlow);
            // high band
            let eh = sat(xhigh - self.high.s);
            let wd = if eh >= 0 { eh } else { -(eh + 1) };
            let mih = wd >= (564 * self.high.det) >> 12;
            let ihigh: usize = match (eh < 0, mih) {
                (true, false) => 1,
                (true, true) => 0,
                (false, false) => 3,
                (false, true) => 2,
            };
            let dhigh = (self.high.det * QM2[ihigh]) >> 15;
            self.high.scale_high(ihigh);
            self.high.block4(dhigh);
            out.push((ihigh as u8) << 6 | ilow as u8);
        }
    }
}

#[derive(Clone)]
pub struct Decoder {
    x: [i32; 24],
    low: Band,
    high: Band,
}

impl Decoder {
    pub fn new() -> Self {
        Decoder { x: [0; 24], low: Band::low(), high: Band::high() }
    }
    pub fn decode(&mut self, data: &[u8], out: &mut Vec<i16>) {
        for &code in data {
            let il = (code & 0x3f) as usize;
            let ih = (code >> 6) as usize;
            let rlow = (self.low.s + ((self.low.det * QM6[il]) >> 15)).clamp(-16384, 16383);
            let ril = il >> 2;
            let dlow = (self.low.det * QM4[ril]) >> 15;
            self.low.scale_low(ril);
            self.low.block4(dlow);
            let dhigh = (self.high.det * QM2[ih]) >> 15;
            let rhigh = (dhigh + self.high.s).clamp(-16384, 16383);
            self.high.scale_high(ih);
            self.high.block4(dhigh);
            self.x.copy_within(2.., 0);
            self.x[22] = rlow + rhigh;
            self.x[23] = rlow - rhigh;
            let (mut o1, mut o2) = (0, 0);
            for i in 0..12 {
                o2 += self.x[2 * i] * QMF[i];
                o1 += self.x[2 * i + 1] * QMF[11 - i];
            }
            out.push(sat(o1 >> 11) as i16);
            out.push(sat(o2 >> 11) as i16);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn code_tables_match_the_recommendation() {
        let iln = [
            0, 63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13,
            12, 11, 10, 9, 8, 7, 6, 5, 4,
        ];
        for i in 1..=30usize {
            let neg = match i {
                1 => 63,
                2 => 62,
                _ => 34 - i as i32,
            };
            assert_eq!(neg, iln[i]);
        }
    }
}
