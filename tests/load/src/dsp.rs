//! Signal comparison: alignment, segmental SNR, echo level, matched filter.

/// In-place radix-2 FFT (inverse unscaled when `inv`).
pub fn fft(re: &mut [f64], im: &mut [f64], inv: bool) {
    let n = re.len();
    assert!(n.is_power_of_two());
    let mut j = 0;
    for i in 1..n {
        let mut bit = n >> 1;
        while j & bit != 0 {
            j ^= bit;
            bit >>= 1;
        }
        j |= bit;
        if i < j {
            re.swap(i, j);
            im.swap(i, j);
        }
    }
    let sign = if inv { 1.0 } else { -1.0 };
    let mut len = 2;
    while len <= n {
        let ang = sign * 2.0 * std::f64::consts::PI / len as f64;
        let h = len / 2;
        let tw: Vec<(f64, f64)> =
            (0..h).map(|k| ((ang * k as f64).cos(), (ang * k as f64).sin())).collect();
        let mut i = 0;
        while i < n {
            for k in 0..h {
                let (wr, wi) = tw[k];
                let (a, b) = (i + k, i + k + h);
                let tr = re[b] * wr - im[b] * wi;
                let ti = re[b] * wi + im[b] * wr;
                re[b] = re[a] - tr;
                im[b] = im[a] - ti;
                re[a] += tr;
                im[a] += ti;
            }
            i += len;
        }
        len <<= 1;
    }
}

/// c[l + max_lag] = sum_n x[n] * y[n + l], for l in -max_lag..=max_lag.
pub fn xcorr(x: &[f32], y: &[f32], max_lag: usize) -> Vec<f64> {
    let n = (x.len() + y.len() + max_lag + 1).next_power_of_two();
    let (mut ar, mut ai) = (vec![0.0; n], vec![0.0; n]);
    let (mut br, mut bi) = (vec![0.0; n], vec![0.0; n]);
    for (i, v) in x.iter().enumerate() {
        ar[i] = *v as f64;
    }
    for (i, v) in y.iter().enumerate() {
        br[i] = *v as f64;
    }
    fft(&mut ar, &mut ai, false);
    fft(&mut br, &mut bi, false);
    for i in 0..n {
        let (xr, xi) = (ar[i], -ai[i]);
        let (yr, yi) = (br[i], bi[i]);
        ar[i] = xr * yr - xi * yi;
        ai[i] = xr * yi + xi * yr;
    }
    fft(&mut ar, &mut ai, true);
    let s = 1.0 / n as f64;
    let m = max_lag as i64;
    (-m..=m).map(|l| ar[((l + n as i64) % n as i64) as usize] * s).collect()
}

pub fn energy(x: &[f32]) -> f64 {
    x.iter().map(|v| (*v as f64) * (*v as f64)).sum()
}

pub fn rms_db(x: &[f32]) -> f64 {
    if x.is_empty() {
        return -120.0;
    }
    (10.0 * (energy(x) / x.len() as f64).log10()).max(-120.0)
}

/// Windowed-sinc resampling with zero delay; output length = len * to / from.
pub fn resample(x: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to {
        return x.to_vec();
    }
    let g = gcd(from, to);
    let (up, down) = ((to / g) as usize, (from / g) as usize);
    let cut = (to as f64 / from as f64).min(1.0) * 0.97; // relative to input Nyquist
    let half = (32.0 / cut).ceil() as i64;
    // one filter per output phase
    let filt: Vec<Vec<f64>> = (0..up)
        .map(|ph| {
            let frac = ph as f64 / up as f64;
            let mut h: Vec<f64> = (-half..=half)
                .map(|k| {
                    let t = k as f64 - frac;
                    let w = if t.abs() >= half as f64 {
                        0.0
                    } else {
                        let c = (std::f64::consts::PI * t / (2.0 * half as f64)).cos();
                        c * c
                    };
                    sinc(cut * t) * cut * w
                })
                .collect();
            let s: f64 = h.iter().sum();
            h.iter_mut().for_each(|v| *v /= s);
            h
        })
        .collect();
    let n = x.len() * up / down;
    let mut out = Vec::with_capacity(n);
    for i in 0..n {
        let num = i * down;
        let (base, ph) = ((num / up) as i64, num % up);
        let mut acc = 0.0;
        let h = &filt[ph];
        let lo = (base - half).max(0);
        let hi = (base + half).min(x.len() as i64 - 1);
        let mut k = lo;
        while k <= hi {
            acc += x[k as usize] as f64 * h[(k - base + half) as usize];
            k += 1;
        }
        out.push(acc as f32);
    }
    out
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
}

/// y(n + f) for |f| <= 1 by windowed sinc.
pub fn shift_frac(y: &[f32], f: f64) -> Vec<f32> {
    const H: i64 = 16;
    let h: Vec<f64> = (-H..=H)
        .map(|k| {
            let t = k as f64 - f;
            let c = (std::f64::consts::PI * t / (2.0 * (H as f64 + 1.0))).cos();
            sinc(t) * c * c
        })
        .collect();
    let n = y.len() as i64;
    (0..n)
        .map(|i| {
            let mut a = 0.0;
            for k in -H..=H {
                let j = i + k;
                if j >= 0 && j < n {
                    a += y[j as usize] as f64 * h[(k + H) as usize];
                }
            }
            a as f32
        })
        .collect()
}

#[derive(Debug, Clone, Default)]
pub struct Compare {
    /// delay of `rec` behind `refs`, in samples (with fraction)
    pub lag: f64,
    /// normalised correlation after alignment, -1..1
    pub corr: f64,
    /// gain of the reference component found in the recording
    pub gain_db: f64,
    /// level of the recording relative to the reference where the reference is active
    pub level_db: f64,
    /// global SNR after delay and gain are taken out
    pub snr_db: f64,
    /// segmental SNR (20 ms, active segments, clamped to -10..50 dB)
    pub seg_snr_db: f64,
    /// SNR after the best 64-tap linear filter from reference to recording
    pub eq_snr_db: f64,
    /// largest change of the delay between 1 s blocks, in samples
    pub wander: f64,
    /// log-spectral distance of active frames, dB
    pub lsd_db: f64,
    pub active_segments: usize,
}

fn seg(y: &[f32], from: i64, len: usize) -> Vec<f32> {
    (0..len as i64)
        .map(|i| {
            let j = from + i;
            if j >= 0 && (j as usize) < y.len() { y[j as usize] } else { 0.0 }
        })
        .collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| *x as f64 * *y as f64).sum()
}

/// Normalised correlation of `x` with `y[l..l + x.len()]` for l in 0..=max. Windows much
/// quieter than the loudest count with the loudest's energy floor, so that silence cannot win.
fn norm_corr(x: &[f32], y: &[f32], max: usize) -> Vec<f64> {
    let c = xcorr(x, y, max);
    let ex = energy(x);
    let mut cum = vec![0.0f64; y.len() + 1];
    for (i, v) in y.iter().enumerate() {
        cum[i + 1] = cum[i] + (*v as f64) * (*v as f64);
    }
    let e = |l: usize| cum[(l + x.len()).min(y.len())] - cum[l.min(y.len())];
    let top = (0..=max).map(e).fold(0.0, f64::max);
    (0..=max).map(|l| c[l + max] / (ex * e(l).max(top * 0.05) + 1e-30).sqrt()).collect()
}

/// Align `y` to `x` around integer lag `l`, fraction in 1/16 sample steps. Returns
/// (lag, aligned y, normalised correlation).
fn fine(x: &[f32], y: &[f32], l: i64) -> (f64, Vec<f32>, f64) {
    let ex = energy(x);
    let mut best = (l as f64, seg(y, l, x.len()), -2.0f64);
    // margins so that the interpolation has real data at the edges
    let base = seg(y, l - 32, x.len() + 64);
    for k in -16..=16 {
        let f = k as f64 / 16.0;
        let s = if k == 0 { base.clone() } else { shift_frac(&base, f) };
        let s = &s[32..32 + x.len()];
        let ey = energy(s);
        if ey <= 0.0 || ex <= 0.0 {
            continue;
        }
        let c = dot(x, s) / (ex * ey).sqrt();
        if c > best.2 {
            best = (l as f64 + f, s.to_vec(), c);
        }
    }
    if best.2 < -1.5 {
        best.2 = 0.0;
    }
    best
}

/// The best of the few highest peaks of `nc` (lag = origin + index), each judged by `fine`:
/// on the integer grid a peak half a sample off can be lower than a wrong one.
fn best_fine(x: &[f32], y: &[f32], nc: &[f64], origin: i64) -> (f64, Vec<f32>, f64) {
    let mut peaks: Vec<usize> = (0..nc.len())
        .filter(|&i| (i == 0 || nc[i] >= nc[i - 1]) && (i + 1 == nc.len() || nc[i] >= nc[i + 1]))
        .collect();
    peaks.sort_by(|a, b| nc[*b].partial_cmp(&nc[*a]).unwrap_or(std::cmp::Ordering::Equal));
    let mut best: Option<(f64, Vec<f32>, f64)> = None;
    for p in peaks.into_iter().take(4) {
        let f = fine(x, y, origin + p as i64);
        if best.as_ref().map(|b| f.2 > b.2).unwrap_or(true) {
            best = Some(f);
        }
    }
    best.unwrap_or_else(|| fine(x, y, origin))
}

/// Compare a recording with the reference. `max_lag` in samples limits the search; when
/// `center` is given the search is around that lag.
pub fn compare(
    refs: &[f32],
    rec: &[f32],
    rate: u32,
    max_lag: usize,
    center: Option<i64>,
) -> Compare {
    let mut r = Compare {
        seg_snr_db: f64::NAN,
        snr_db: f64::NAN,
        eq_snr_db: f64::NAN,
        lsd_db: f64::NAN,
        ..Default::default()
    };
    if refs.is_empty() || rec.is_empty() || energy(refs) < 1e-12 {
        return r;
    }
    let c0 = center.unwrap_or(0);
    let yy = seg(rec, c0 - max_lag as i64, refs.len() + 2 * max_lag);
    let nc = norm_corr(refs, &yy, 2 * max_lag);
    let o0 = c0 - max_lag as i64;
    let (lag, y, corr) = best_fine(refs, rec, &nc, o0);
    r.lag = lag;
    r.corr = corr;
    let ex = energy(refs);
    let g = dot(refs, &y) / ex;
    if g.abs() < 1e-9 {
        r.gain_db = -120.0;
        r.level_db = -120.0;
        return r;
    }
    r.gain_db = 20.0 * g.abs().log10();

    // activity
    let sl = (rate as usize) / 50;
    let nseg = refs.len() / sl;
    let se: Vec<f64> = (0..nseg).map(|i| energy(&refs[i * sl..(i + 1) * sl])).collect();
    let emax = se.iter().cloned().fold(0.0, f64::max);
    let act: Vec<bool> = se.iter().map(|e| *e > emax * 1e-4).collect(); // within 40 dB of the loudest
    let (mut ax, mut ay) = (0.0, 0.0);
    for i in 0..nseg {
        if act[i] {
            ax += se[i];
            ay += energy(&y[i * sl..(i + 1) * sl]);
        }
    }
    r.level_db = 10.0 * (ay / ax).max(1e-12).log10();
    r.active_segments = act.iter().filter(|a| **a).count();

    // per-block realignment (delay may be changed by a jitter buffer on the way)
    let bl = rate as usize;
    let mut z = Vec::with_capacity(refs.len());
    let mut lags: Vec<f64> = Vec::new();
    let mut o = 0;
    let rad = (rate / 50) as usize; // +-20 ms
    while o < refs.len() {
        let e = (o + bl).min(refs.len());
        let xb = &refs[o..e];
        let at = o as i64 + lag.round() as i64;
        if energy(xb) > emax * 2.0 && e - o > bl / 4 {
            let yb = seg(rec, at - rad as i64, xb.len() + 2 * rad);
            let nc = norm_corr(xb, &yb, 2 * rad);
            // voiced speech matches itself one pitch period away: leave the common lag only
            // for a clear gain, both judged with the fraction of a sample taken out
            let stay = fine(xb, rec, at);
            let other = best_fine(xb, rec, &nc, at - rad as i64);
            let (fl, yb2, cc) = if other.2 > stay.2 + 0.02 { other } else { stay };
            if cc > 0.3 {
                lags.push(fl - o as f64);
                z.extend(yb2);
            } else {
                z.extend_from_slice(&y[o..e]);
            }
        } else {
            z.extend_from_slice(&y[o..e]);
        }
        o = e;
    }
    if !lags.is_empty() {
        let (mn, mx) = lags.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        r.wander = mx - mn;
    }
    let g = dot(refs, &z) / ex;
    let g = if g.abs() < 1e-9 { 1e-9 } else { g };
    let (mut ne, mut acc, mut cnt) = (0.0, 0.0, 0usize);
    for i in 0..nseg {
        let mut n = 0.0;
        for k in i * sl..(i + 1) * sl {
            let d = z[k] as f64 / g - refs[k] as f64;
            n += d * d;
        }
        ne += n;
        if act[i] {
            acc += (10.0 * (se[i] / n.max(1e-15)).log10()).clamp(-10.0, 50.0);
            cnt += 1;
        }
    }
    r.snr_db = 10.0 * (ex / ne.max(1e-15)).log10();
    if cnt > 0 {
        r.seg_snr_db = acc / cnt as f64;
    }
    r.eq_snr_db = eq_snr(&[refs], &z, 64).0;
    r.lsd_db = lsd(refs, &z, rate, g, &act);
    r
}

/// SNR of `y` after a least-squares fit of one FIR filter (`taps`, centred) per input.
/// Also returns the gain in dB of each fitted component (energy of the component / energy of
/// its input).
pub fn eq_snr(xs: &[&[f32]], y: &[f32], taps: usize) -> (f64, Vec<f64>) {
    let k = xs.len();
    let n = k * taps;
    let half = (taps / 2) as i64;
    let mut a = vec![vec![0.0; n]; n];
    let mut p = vec![0.0; n];
    for i in 0..k {
        for j in 0..k {
            // <x_i shifted by u, x_j shifted by v> = r_ij(u - v)
            let r = xcorr(xs[i], xs[j], taps);
            for u in 0..taps {
                for v in 0..taps {
                    let l = u as i64 - v as i64;
                    a[i * taps + u][j * taps + v] = r[(l + taps as i64) as usize];
                }
            }
        }
        // <x_i(n - (u-half)), y(n)> = sum x(m) y(m + u - half)
        let c = xcorr(xs[i], y, taps);
        for u in 0..taps {
            p[i * taps + u] = c[(u as i64 - half + taps as i64) as usize];
        }
    }
    let ey = energy(y);
    if ey <= 0.0 {
        return (f64::NAN, vec![-120.0; k]);
    }
    let tr: f64 = (0..n).map(|i| a[i][i]).sum::<f64>() / n as f64;
    for i in 0..n {
        a[i][i] += tr * 1e-5;
    }
    let h = solve(a.clone(), p.clone());
    let fit: f64 = h.iter().zip(&p).map(|(x, y)| x * y).sum();
    let res = (ey - fit).max(ey * 1e-8);
    let gains = (0..k)
        .map(|i| {
            let hi = &h[i * taps..(i + 1) * taps];
            let mut e = 0.0;
            for u in 0..taps {
                for v in 0..taps {
                    e += hi[u] * hi[v] * a[i * taps + u][i * taps + v];
                }
            }
            let ex = energy(xs[i]);
            10.0 * (e / ex).max(1e-12).log10()
        })
        .collect();
    (10.0 * ((ey - res) / res).max(1e-12).log10(), gains)
}

/// What is left of `y` after the best `taps`-long linear filter of `x` is taken away.
pub fn fit_residual(x: &[f32], y: &[f32], taps: usize) -> Vec<f32> {
    let half = (taps / 2) as i64;
    let r = xcorr(x, x, taps);
    let c = xcorr(x, y, taps);
    let mut a = vec![vec![0.0; taps]; taps];
    let mut p = vec![0.0; taps];
    for u in 0..taps {
        for v in 0..taps {
            a[u][v] = r[(u as i64 - v as i64 + taps as i64) as usize];
        }
        a[u][u] += r[taps] * 1e-5 + 1e-12;
        p[u] = c[(u as i64 - half + taps as i64) as usize];
    }
    let h = solve(a, p);
    (0..y.len() as i64)
        .map(|n| {
            let mut s = y[n as usize] as f64;
            for (u, hv) in h.iter().enumerate() {
                let j = n - (u as i64 - half);
                if j >= 0 && (j as usize) < x.len() {
                    s -= hv * x[j as usize] as f64;
                }
            }
            s as f32
        })
        .collect()
}

/// Gaussian elimination with partial pivoting.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for c in 0..n {
        let mut piv = c;
        for r in c + 1..n {
            if a[r][c].abs() > a[piv][c].abs() {
                piv = r;
            }
        }
        a.swap(c, piv);
        b.swap(c, piv);
        let d = a[c][c];
        if d.abs() < 1e-300 {
            continue;
        }
        for r in c + 1..n {
            let f = a[r][c] / d;
            if f != 0.0 {
                for k in c..n {
                    let v = a[c][k];
                    a[r][k] -= f * v;
                }
                b[r] -= f * b[c];
            }
        }
    }
    let mut x = vec![0.0; n];
    for c in (0..n).rev() {
        let mut s = b[c];
        for k in c + 1..n {
            s -= a[c][k] * x[k];
        }
        x[c] = if a[c][c].abs() < 1e-300 { 0.0 } else { s / a[c][c] };
    }
    x
}

/// Log-spectral distance over third-octave bands 200..3400 Hz, mean over active frames. Insensitive to phase, hence useful for Opus.
fn lsd(x: &[f32], y: &[f32], rate: u32, g: f64, act: &[bool]) -> f64 {
    let n = if rate >= 16000 { 512 } else { 256 };
    let top = 3400.0;
    let mut edges = vec![200.0f64];
    while *edges.last().unwrap() * 1.26 < top {
        let e = edges.last().unwrap() * 1.26;
        edges.push(e);
    }
    let sl = rate as usize / 50;
    let win: Vec<f64> = (0..n)
        .map(|i| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / n as f64).cos())
        .collect();
    let spec = |s: &[f32], at: usize| -> Option<Vec<f64>> {
        if at + n > s.len() {
            return None;
        }
        let mut re: Vec<f64> = (0..n).map(|i| s[at + i] as f64 * win[i]).collect();
        let mut im = vec![0.0; n];
        fft(&mut re, &mut im, false);
        Some(
            edges
                .windows(2)
                .map(|w| {
                    let lo = (w[0] * n as f64 / rate as f64).floor() as usize;
                    let hi = ((w[1] * n as f64 / rate as f64).ceil() as usize).max(lo + 1);
                    (lo..hi).map(|k| re[k] * re[k] + im[k] * im[k]).sum::<f64>()
                })
                .collect(),
        )
    };
    let (mut acc, mut cnt) = (0.0, 0);
    for (i, a) in act.iter().enumerate() {
        if !*a {
            continue;
        }
        if let (Some(sx), Some(sy)) = (spec(x, i * sl), spec(y, i * sl)) {
            let floor = sx.iter().cloned().fold(0.0, f64::max) * 1e-4 + 1e-9;
            let d: f64 = sx
                .iter()
                .zip(&sy)
                .map(|(p, q)| {
                    let v = 10.0 * ((p + floor) / (q / (g * g) + floor)).log10();
                    v * v
                })
                .sum::<f64>()
                / sx.len() as f64;
            acc += d.sqrt();
            cnt += 1;
        }
    }
    if cnt == 0 { f64::NAN } else { acc / cnt as f64 }
}

/// Level of `x` found in `y` at any lag within +-max_lag, in dB relative to the sent level,
/// with the lag in samples. Capped at -120 dB.
pub fn echo_level(x: &[f32], y: &[f32], max_lag: usize) -> (f64, i64) {
    let ex = energy(x);
    if ex <= 0.0 || y.is_empty() {
        return (-120.0, 0);
    }
    let c = xcorr(x, y, max_lag);
    let (mut b, mut l) = (0.0f64, 0);
    for (i, v) in c.iter().enumerate() {
        if v.abs() > b {
            b = v.abs();
            l = i as i64 - max_lag as i64;
        }
    }
    let db = 20.0 * (b / ex).max(1e-6).log10();
    (db.max(-120.0), l)
}

/// The marker used in latency mode: a linear chirp 500..3000 Hz with raised-cosine edges.
pub fn marker(rate: u32, ms: f64, amp: f64) -> Vec<f32> {
    let n = (rate as f64 * ms / 1000.0) as usize;
    let (f0, f1) = (500.0, 3000.0);
    let t_all = n as f64 / rate as f64;
    (0..n)
        .map(|i| {
            let t = i as f64 / rate as f64;
            let ph = 2.0 * std::f64::consts::PI * (f0 * t + (f1 - f0) * t * t / (2.0 * t_all));
            let edge = (0.002 * rate as f64) as usize;
            let w = if i < edge {
                0.5 - 0.5 * (std::f64::consts::PI * i as f64 / edge as f64).cos()
            } else if i >= n - edge {
                0.5 - 0.5 * (std::f64::consts::PI * (n - 1 - i) as f64 / edge as f64).cos()
            } else {
                1.0
            };
            (amp * w * ph.sin()) as f32
        })
        .collect()
}

/// Best position of `m` in `y[from..to]` (start index of the match, parabolic sub-sample
/// refinement) with its normalised correlation. The sign of the signal is ignored.
pub fn find_marker(m: &[f32], y: &[f32], from: usize, to: usize) -> Option<(f64, f64)> {
    let to = to.min(y.len().saturating_sub(m.len()));
    if from >= to {
        return None;
    }
    let win = &y[from..to + m.len()];
    let n = to - from;
    let c = xcorr(m, win, n.max(1));
    let em = energy(m);
    // running energy of the window under the marker
    let mut cum = Vec::with_capacity(win.len() + 1);
    cum.push(0.0f64);
    for v in win {
        cum.push(cum.last().unwrap() + (*v as f64) * (*v as f64));
    }
    let at = |l: usize| c[l + n];
    let mut best: Option<(usize, f64)> = None;
    for l in 0..n {
        let e = cum[l + m.len()] - cum[l];
        // ignore windows quieter than -60 dB relative to the marker
        if e < em * 1e-6 {
            continue;
        }
        let v = at(l).abs() / (em * e).sqrt();
        // weight by raw correlation so that a faint tail with high similarity cannot win
        let raw = at(l).abs();
        if best.map(|(b, _)| raw > at(b).abs()).unwrap_or(true) {
            best = Some((l, v));
        }
    }
    let (l, v) = best?;
    let mut p = l as f64;
    if l > 0 && l + 1 < n {
        let (a, b, cc) = (at(l - 1).abs(), at(l).abs(), at(l + 1).abs());
        let den = a - 2.0 * b + cc;
        if den.abs() > 1e-12 {
            p += (0.5 * (a - cc) / den).clamp(-0.5, 0.5);
        }
    }
    Some((from as f64 + p, v))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut s = seed;
        (0..n)
            .map(|_| {
                s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((s >> 33) as f64 / (1u64 << 31) as f64 * 2.0 - 1.0) as f32 * 0.1
            })
            .collect()
    }

    #[test]
    fn xcorr_matches_direct() {
        let (x, y) = (noise(50, 1), noise(70, 2));
        let c = xcorr(&x, &y, 20);
        for l in -20i64..=20 {
            let mut s = 0.0;
            for n in 0..x.len() as i64 {
                let j = n + l;
                if j >= 0 && j < y.len() as i64 {
                    s += x[n as usize] as f64 * y[j as usize] as f64;
                }
            }
            assert!((c[(l + 20) as usize] - s).abs() < 1e-9);
        }
    }

    #[test]
    fn known_delay_gain_and_snr() {
        let x = crate::signal::speech(16000, 6.0, 3);
        // delay of 1234 samples, gain -6 dB, white noise 20 dB below the signal
        let g = 10f64.powf(-6.0 / 20.0) as f32;
        let ex = energy(&x) / x.len() as f64;
        let nz = noise(x.len() + 3000, 9);
        let en = energy(&nz) / nz.len() as f64;
        let k = ((ex / 100.0) / en).sqrt() as f32 * g;
        let mut y: Vec<f32> = nz.iter().map(|v| v * k).collect();
        for (i, v) in x.iter().enumerate() {
            y[i + 1234] += v * g;
        }
        let r = compare(&x, &y, 16000, 2000, None);
        assert!((r.lag - 1234.0).abs() < 0.1, "{}", r.lag);
        assert!((r.gain_db + 6.0).abs() < 0.1, "{}", r.gain_db);
        assert!((r.snr_db - 20.0).abs() < 0.5, "{}", r.snr_db);
        assert!(r.wander < 0.2, "{}", r.wander);
        // correlation for 20 dB SNR: 1/sqrt(1+0.01)
        assert!((r.corr - 0.995).abs() < 0.002, "{}", r.corr);
    }

    #[test]
    fn segmental_snr_by_hand() {
        // two kinds of segment: one at 30 dB, one at 10 dB: the mean is 20 dB
        let rate = 16000;
        let sl = 320;
        let x = noise(sl * 100, 5);
        let n = noise(sl * 100, 6);
        let y: Vec<f32> = (0..x.len())
            .map(|i| {
                let s = i / sl;
                // scale noise segment exactly
                let e = energy(&x[s * sl..(s + 1) * sl]);
                let en = energy(&n[s * sl..(s + 1) * sl]);
                let db = if s % 2 == 0 { 30.0 } else { 10.0 };
                let k = (e / en / 10f64.powf(db / 10.0)).sqrt();
                x[i] + n[i] * k as f32
            })
            .collect();
        let r = compare(&x, &y, rate, 100, None);
        assert!((r.seg_snr_db - 20.0).abs() < 0.4, "{}", r.seg_snr_db);
        assert!(r.lag.abs() < 0.07);
    }

    #[test]
    fn fractional_delay_does_not_limit_the_snr() {
        let x = crate::signal::speech(16000, 4.0, 1);
        let y = shift_frac(&x, -0.4375);
        let r = compare(&x, &y, 16000, 50, None);
        assert!((r.lag - 0.4375).abs() < 0.07, "{}", r.lag);
        assert!(r.snr_db > 30.0, "{}", r.snr_db);
    }

    #[test]
    fn half_sample_at_8k_is_no_wander() {
        let x = resample(&crate::signal::speech(16000, 6.0, 1), 16000, 8000);
        let mut y = vec![0.0f32; 777];
        y.extend(shift_frac(&x, -0.5));
        let r = compare(&x, &y, 8000, 2000, None);
        assert!((r.lag - 777.5).abs() < 0.1, "{}", r.lag);
        assert!(r.wander < 0.2, "{}", r.wander);
        assert!(r.snr_db > 25.0, "{}", r.snr_db);
    }

    #[test]
    fn delay_change_is_seen_as_wander_and_compensated() {
        let x = crate::signal::speech(16000, 8.0, 2);
        let mut y = vec![0.0f32; 100];
        y.extend_from_slice(&x[..64000]);
        y.extend(vec![0.0; 160]); // 10 ms inserted in the middle
        y.extend_from_slice(&x[64000..]);
        let r = compare(&x, &y, 16000, 1000, None);
        assert!((r.wander - 160.0).abs() < 1.0, "{}", r.wander);
        assert!(r.seg_snr_db > 35.0, "{}", r.seg_snr_db);
    }

    #[test]
    fn linear_filtering_is_removed_by_eq() {
        let x = noise(32000, 8);
        let y: Vec<f32> = (0..x.len())
            .map(|i| {
                0.5 * x[i]
                    + if i > 0 { 0.4 * x[i - 1] } else { 0.0 }
                    + if i > 3 { 0.2 * x[i - 4] } else { 0.0 }
            })
            .collect();
        let (snr, g) = eq_snr(&[&x], &y, 64);
        assert!(snr > 30.0, "{snr}");
        let want = 10.0 * (0.25f64 + 0.16 + 0.04).log10();
        assert!((g[0] - want).abs() < 0.2, "{} {}", g[0], want);
    }

    #[test]
    fn two_source_fit() {
        let a = crate::signal::speech(16000, 5.0, 1);
        let b = crate::signal::speech(16000, 5.0, 2);
        let y: Vec<f32> = a.iter().zip(&b).map(|(p, q)| p * 0.5 + q).collect();
        let (snr, g) = eq_snr(&[&a, &b], &y, 32);
        assert!(snr > 30.0, "{snr}");
        assert!((g[0] + 6.02).abs() < 0.3 && g[1].abs() < 0.3, "{g:?}");
    }

    #[test]
    fn echo_floor_and_echo() {
        let x = crate::signal::speech(16000, 5.0, 1);
        assert_eq!(echo_level(&x, &vec![0.0; 80000], 8000).0, -120.0);
        let mut y = vec![0.0f32; 83200];
        for i in 0..80000 {
            y[i + 3200] = x[i] * 0.001; // -60 dB
        }
        let (db, lag) = echo_level(&x, &y, 8000);
        assert!((db + 60.0).abs() < 0.1, "{db}");
        assert_eq!(lag, 3200);
    }

    #[test]
    fn marker_position() {
        let m = marker(16000, 40.0, 0.5);
        let mut y = noise(16000, 4); // -20 dBFS peak noise
        y.iter_mut().for_each(|v| *v *= 0.3);
        for (i, v) in m.iter().enumerate() {
            y[7003 + i] += v * 0.4;
        }
        let (p, c) = find_marker(&m, &y, 2000, 15000).unwrap();
        assert!((p - 7003.0).abs() < 0.6, "{p}");
        assert!(c > 0.8, "{c}");
        // silence: nothing found
        assert!(find_marker(&m, &vec![0.0; 16000], 0, 15000).is_none());
        // noise only: low similarity
        let (_, c) = find_marker(&m, &noise(16000, 77), 0, 15000).unwrap();
        assert!(c < 0.35, "{c}");
    }

    #[test]
    fn resample_is_delay_free_and_flat() {
        for (from, to) in [(8000u32, 16000u32), (16000, 48000), (48000, 16000), (16000, 8000)] {
            let f = 1000.0;
            let x: Vec<f32> = (0..from)
                .map(|n| (2.0 * std::f64::consts::PI * f * n as f64 / from as f64).sin() as f32)
                .collect();
            let y = resample(&x, from, to);
            assert_eq!(y.len(), to as usize);
            let mut e: f64 = 0.0;
            for n in to as usize / 4..to as usize * 3 / 4 {
                let w = (2.0 * std::f64::consts::PI * f * n as f64 / to as f64).sin();
                e = e.max((y[n] as f64 - w).abs());
            }
            assert!(e < 0.01, "{from}->{to}: {e}");
        }
    }
}
