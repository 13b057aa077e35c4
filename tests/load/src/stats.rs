//! Small statistics helpers: percentiles and a log-linear histogram.

/// Nearest-rank percentile (p in 0..=100) of an unsorted slice; NaN when empty.
pub fn percentile(v: &[f64], p: f64) -> f64 {
    if v.is_empty() {
        return f64::NAN;
    }
    let mut s: Vec<f64> = v.to_vec();
    s.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    percentile_sorted(&s, p)
}

pub fn percentile_sorted(s: &[f64], p: f64) -> f64 {
    if s.is_empty() {
        return f64::NAN;
    }
    let n = s.len();
    let rank = ((p / 100.0) * n as f64).ceil() as usize;
    s[rank.clamp(1, n) - 1]
}

pub fn mean(v: &[f64]) -> f64 {
    if v.is_empty() { f64::NAN } else { v.iter().sum::<f64>() / v.len() as f64 }
}

const SUB_BITS: u32 = 6; // 64 sub-buckets per octave: relative error < 1.6 %
const SUB: u64 = 1 << SUB_BITS;

/// Log-linear histogram of u64 values (nanoseconds here). Values below 64 are exact.
#[derive(Clone)]
pub struct Hist {
    b: Vec<u64>,
    n: u64,
    max: u64,
}

impl Default for Hist {
    fn default() -> Self {
        Hist::new()
    }
}

impl Hist {
    pub fn new() -> Self {
        Hist { b: vec![0; ((64 - SUB_BITS as usize) + 1) * SUB as usize], n: 0, max: 0 }
    }
    #[inline]
    fn index(v: u64) -> usize {
        if v < SUB {
            return v as usize;
        }
        let e = 63 - v.leading_zeros(); // >= SUB_BITS
        let sub = (v >> (e - SUB_BITS)) & (SUB - 1);
        (((e - SUB_BITS + 1) as u64) * SUB + sub) as usize
    }
    /// Upper edge of a bucket: a percentile is never reported too small.
    fn value(i: usize) -> u64 {
        let i = i as u64;
        if i < SUB {
            return i;
        }
        let e = i / SUB - 1 + SUB_BITS as u64;
        let sub = i % SUB;
        let width = 1u64 << (e - SUB_BITS as u64);
        (1u64 << e) + sub * width + (width - 1)
    }
    #[inline]
    pub fn add(&mut self, v: u64) {
        let i = Self::index(v);
        self.b[i] += 1;
        self.n += 1;
        if v > self.max {
            self.max = v;
        }
    }
    pub fn clear(&mut self) {
        self.b.iter_mut().for_each(|x| *x = 0);
        self.n = 0;
        self.max = 0;
    }
    pub fn merge(&mut self, o: &Hist) {
        for (a, b) in self.b.iter_mut().zip(&o.b) {
            *a += b;
        }
        self.n += o.n;
        self.max = self.max.max(o.max);
    }
    #[cfg(test)]
    pub fn count(&self) -> u64 {
        self.n
    }
    pub fn max(&self) -> u64 {
        self.max
    }
    pub fn pct(&self, p: f64) -> f64 {
        if self.n == 0 {
            return f64::NAN;
        }
        let rank = (((p / 100.0) * self.n as f64).ceil() as u64).clamp(1, self.n);
        let mut c = 0;
        for (i, x) in self.b.iter().enumerate() {
            c += x;
            if c >= rank {
                return Self::value(i).min(self.max) as f64;
            }
        }
        self.max as f64
    }
}

/// JSON number rounded to `d` decimals; null when not finite.
pub fn num(v: f64, d: i32) -> serde_json::Value {
    if !v.is_finite() {
        return serde_json::Value::Null;
    }
    let m = 10f64.powi(d);
    let r = (v * m).round() / m;
    serde_json::json!(r)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn nearest_rank() {
        let v: Vec<f64> = (1..=100).map(|x| x as f64).collect();
        assert_eq!(percentile(&v, 50.0), 50.0);
        assert_eq!(percentile(&v, 99.0), 99.0);
        assert_eq!(percentile(&v, 100.0), 100.0);
        assert_eq!(percentile(&v, 0.0), 1.0);
        assert!(percentile(&[], 50.0).is_nan());
        assert_eq!(percentile(&[3.0], 99.0), 3.0);
    }
    #[test]
    fn hist_error_bound() {
        let mut h = Hist::new();
        for i in 0..100_000u64 {
            h.add(i * 37);
        }
        for p in [1.0, 50.0, 90.0, 99.0, 99.9] {
            let want = (p / 100.0) * 100_000.0 * 37.0;
            let got = h.pct(p);
            assert!((got - want).abs() / want < 0.02, "{p} {got} {want}");
        }
        assert_eq!(h.max(), 99_999 * 37);
        assert_eq!(h.pct(100.0), (99_999 * 37) as f64);
    }
    #[test]
    fn hist_index_is_monotone_and_within() {
        let mut last = 0;
        for v in [0u64, 1, 63, 64, 65, 127, 128, 1000, 123456, 1 << 40, u64::MAX / 2] {
            let i = Hist::index(v);
            assert!(i >= last);
            last = i;
            assert!(Hist::value(i) >= v, "{v}");
            assert!((Hist::value(i) - v) as f64 <= v as f64 / 64.0 + 1.0);
        }
    }
}
