//! ITU-T G.711 Appendix I, the concealment that others are compared with; at other rates with its lengths scaled.
//!
//! Unlike `mixer::conceal` it delays everything by 3.75 ms, so that it can still change what came before a loss.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "samples saturate, and buffers are short"
)]

/// Lengths at 8 kHz, as in the appendix.
const PITCH_MIN: usize = 40;
const PITCH_MAX: usize = 120;
const CORRELATED: usize = 160;
const HISTORY: usize = 390;
const FRAME: usize = 80;
const DELAY: usize = 30;
const GROWTH: usize = 32;
/// Turned down by this share in each frame after the first.
const ATTENUATION: f32 = 0.2;

/// The appendix's state, with its words.
pub(crate) struct AppendixOne {
    /// Samples at this rate for one at 8 kHz.
    scale: usize,
    history: Vec<f32>,
    pitch_buffer: Vec<f32>,
    last_quarter: Vec<f32>,
    erased: usize,
    pitch: usize,
    block: usize,
    offset: usize,
}

impl AppendixOne {
    pub(crate) fn new(rate: u32) -> Self {
        let scale = rate as usize / 8_000;
        Self {
            scale,
            history: vec![0.0; HISTORY * scale],
            pitch_buffer: vec![0.0; HISTORY * scale],
            last_quarter: Vec::new(),
            erased: 0,
            pitch: 0,
            block: 0,
            offset: 0,
        }
    }

    /// `addtohistory`: whole multiples of 10 ms that came.
    pub(crate) fn heard(&mut self, pcm: &mut [i16]) {
        for frame in pcm.chunks_exact_mut(FRAME * self.scale) {
            let mut samples: Vec<f32> = frame.iter().map(|&sample| f32::from(sample)).collect();
            if self.erased > 0 {
                let grown = self.pitch / 4 + (self.erased - 1) * GROWTH * self.scale;
                let length = grown.min(FRAME * self.scale);
                let synthetic = self.repeat(length);
                let gain = (1.0 - (self.erased - 1) as f32 * ATTENUATION).max(0.0);
                for (i, (sample, made)) in samples.iter_mut().zip(synthetic).enumerate() {
                    let weight = (i + 1) as f32 / length as f32;
                    *sample = made * gain * (1.0 - weight) + *sample * weight;
                }
                self.erased = 0;
            }
            self.save(&samples, frame);
        }
    }

    /// `dofe`: whole multiples of 10 ms that were lost.
    pub(crate) fn conceal(&mut self, pcm: &mut [i16]) {
        let length = FRAME * self.scale;
        for frame in pcm.chunks_exact_mut(length) {
            let mut samples = match self.erased {
                0 => self.begin(),
                1 | 2 => self.widen(),
                3..=5 => self.repeat(length),
                _ => vec![0.0; length],
            };
            for (i, sample) in samples.iter_mut().enumerate().filter(|_| self.erased > 0) {
                let before = (self.erased - 1) as f32 + i as f32 / length as f32;
                *sample *= (1.0 - before * ATTENUATION).max(0.0);
            }
            self.erased += 1;
            self.save(&samples, frame);
        }
    }

    fn begin(&mut self) -> Vec<f32> {
        self.pitch_buffer.clone_from(&self.history);
        self.pitch = self.find_pitch();
        let overlap = self.pitch / 4;
        let end = self.pitch_buffer.len();
        self.last_quarter = self.pitch_buffer[end - overlap..].to_vec();
        self.offset = 0;
        self.block = self.pitch;
        self.lead_over();
        self.history[end - overlap..].copy_from_slice(&self.pitch_buffer[end - overlap..]);
        self.repeat(FRAME * self.scale)
    }

    fn widen(&mut self) -> Vec<f32> {
        let overlap = self.pitch / 4;
        let before = self.offset;
        let tail = self.repeat(overlap);
        self.offset = before;
        while self.offset > self.pitch {
            self.offset -= self.pitch;
        }
        self.block += self.pitch;
        self.lead_over();
        let mut samples = self.repeat(FRAME * self.scale);
        for (i, (sample, old)) in samples.iter_mut().zip(tail).enumerate() {
            let weight = (i + 1) as f32 / overlap as f32;
            *sample = old * (1.0 - weight) + *sample * weight;
        }
        samples
    }

    /// Lets the end of the pitch buffer lead over into the beginning of its repeated part.
    fn lead_over(&mut self) {
        let overlap = self.pitch / 4;
        let end = self.pitch_buffer.len();
        for i in 0..overlap {
            let weight = (i + 1) as f32 / overlap as f32;
            let right = self.pitch_buffer[end - self.block - overlap + i];
            self.pitch_buffer[end - overlap + i] =
                self.last_quarter[i] * (1.0 - weight) + right * weight;
        }
    }

    /// `getfespeech`.
    fn repeat(&mut self, length: usize) -> Vec<f32> {
        let start = self.pitch_buffer.len() - self.block;
        (0..length)
            .map(|_| {
                let sample = self.pitch_buffer[start + self.offset];
                self.offset = (self.offset + 1) % self.block;
                sample
            })
            .collect()
    }

    /// `savespeech`: what is put out is 3.75 ms old.
    fn save(&mut self, samples: &[f32], out: &mut [i16]) {
        self.history.drain(..samples.len());
        self.history.extend_from_slice(samples);
        let from = self.history.len() - samples.len() - DELAY * self.scale;
        for (to, sample) in out.iter_mut().zip(&self.history[from..]) {
            *to = *sample as i16;
        }
    }

    fn find_pitch(&self) -> usize {
        let lags = PITCH_MIN * self.scale..=PITCH_MAX * self.scale;
        let score = |lag: usize| {
            let end = self.pitch_buffer.len();
            let start = end - CORRELATED * self.scale;
            let (now, then) =
                (&self.pitch_buffer[start..], &self.pitch_buffer[start - lag..end - lag]);
            let product: f32 = now.iter().zip(then).map(|(a, b)| a * b).sum();
            let energy: f32 = then.iter().map(|a| a * a).sum();
            product / energy.max(250.0).sqrt()
        };
        lags.max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(PITCH_MAX * self.scale)
    }
}
