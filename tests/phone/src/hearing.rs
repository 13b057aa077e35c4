//! What was heard: decoded packets by arrival, and what a window of them holds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::tone::{decibels, power_at};

/// One decoded packet.
#[derive(Debug)]
pub struct Chunk {
    pub at: Instant,
    pub ssrc: u32,
    /// RTP time of the first sample.
    pub timestamp: u32,
    /// RTP ticks and samples a second.
    pub clock_rate: u32,
    pub sample_rate: u32,
    pub samples: Vec<i16>,
}

/// The last half minute.
#[derive(Debug, Default)]
pub struct Recording {
    chunks: VecDeque<Chunk>,
}

/// One window's report.
#[derive(Debug, Serialize)]
pub struct Heard {
    /// Packets that arrived in the window.
    pub packets: usize,
    /// Longest time without a packet, the window's ends included.
    pub longest_pause_ms: f64,
    /// Everything, dB below a full-scale sine.
    pub level_db: f64,
    pub tones: Vec<HeardTone>,
}

#[derive(Debug, Serialize)]
pub struct HeardTone {
    pub hz: f64,
    pub level_db: f64,
    /// Above −45 dB and 12 dB clear of what lies between the tones.
    pub present: bool,
    /// Share of the window's 20 ms blocks in which the tone is within 10 dB of its median.
    pub continuity: f64,
    /// Longest run of blocks without it.
    pub longest_gap_ms: f64,
}

impl Recording {
    pub fn push(&mut self, chunk: Chunk) {
        while self.chunks.front().is_some_and(|first| chunk.at - first.at > KEPT) {
            self.chunks.pop_front();
        }
        self.chunks.push_back(chunk);
    }

    /// Looks at what arrived from `from` on for `window`.
    pub fn heard(&self, from: Instant, window: Duration, tones_hz: &[f64]) -> Heard {
        let to = from + window;
        let chunks: Vec<&Chunk> =
            self.chunks.iter().filter(|chunk| chunk.at >= from && chunk.at < to).collect();
        let stretches = stretches(&chunks, window);
        let references = references(tones_hz);
        let floor = median(
            references.iter().map(|&hz| mean_power(&stretches, window, hz)).collect::<Vec<_>>(),
        );
        let heard = |&hz: &f64| HeardTone::measure(&stretches, window, hz, decibels(floor));
        Heard {
            packets: chunks.len(),
            longest_pause_ms: longest_pause(&chunks, from, to).as_secs_f64() * 1000.0,
            level_db: decibels(overall_power(&stretches, window)),
            tones: tones_hz.iter().map(heard).collect(),
        }
    }

    /// When the first sound from `from` on arrived: its packet's arrival and its place therein.
    pub fn onset(&self, from: Instant) -> Option<Instant> {
        self.chunks.iter().filter(|chunk| chunk.at >= from).find_map(|chunk| {
            let block = (chunk.sample_rate / 500) as usize;
            let loud = |samples: &[i16]| {
                let sum: f64 = samples.iter().map(|&s| (f64::from(s) / 32_768.0).powi(2)).sum();
                decibels(2.0 * sum / samples.len() as f64) > ONSET_DB
            };
            let place = chunk.samples.chunks(block.max(1)).position(loud)?;
            Some(chunk.at + Duration::from_millis(2 * place as u64))
        })
    }
}

impl HeardTone {
    fn measure(stretches: &[Stretch], window: Duration, hz: f64, floor_db: f64) -> Self {
        let level_db = decibels(mean_power(stretches, window, hz));
        let present = level_db > PRESENT_DB && level_db > floor_db + CLEAR_DB;
        let blocks: Vec<f64> = stretches
            .iter()
            .flat_map(|stretch| stretch.blocks(50).map(|block| power_at(block, stretch.rate, hz)))
            .collect();
        let due = (window.as_millis() / 20) as usize;
        let threshold = median(blocks.clone()).max(1e-5) / 10.0;
        let (mut there, mut run, mut longest) = (0_usize, 0, 0);
        for &power in &blocks {
            if power >= threshold {
                there += 1;
                run = 0;
            } else {
                run += 1;
                longest = longest.max(run);
            }
        }
        let missing = due.saturating_sub(blocks.len() + BLOCKS_AT_ENDS);
        Self {
            hz,
            level_db,
            present,
            continuity: (there as f64 / (blocks.len() + missing).max(1) as f64).min(1.0),
            longest_gap_ms: 20.0 * (longest.max(missing)) as f64,
        }
    }
}

/// Samples of one stream, with silence where packets are missing.
struct Stretch {
    rate: u32,
    samples: Vec<f64>,
}

impl Stretch {
    /// Whole blocks of a `part`th of a second.
    fn blocks(&self, part: u32) -> impl Iterator<Item = &[f64]> {
        self.samples.chunks_exact((self.rate / part) as usize)
    }
}

/// Lays packets out by RTP time; another source, another rate or a jump starts anew.
fn stretches(chunks: &[&Chunk], window: Duration) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut last: Option<(&Chunk, u32)> = None;
    for &chunk in chunks {
        let limit = (f64::from(chunk.sample_rate) * window.as_secs_f64()) as usize;
        let place = last.and_then(|(first, _)| {
            let same = first.ssrc == chunk.ssrc && first.sample_rate == chunk.sample_rate;
            let ticks = chunk.timestamp.wrapping_sub(first.timestamp) as usize;
            let place = ticks * chunk.sample_rate as usize / chunk.clock_rate as usize;
            (same && place <= limit).then_some(place)
        });
        let (Some(place), Some(stretch)) = (place, stretches.last_mut()) else {
            let samples = chunk.samples.iter().map(|&s| f64::from(s) / 32_768.0).collect();
            stretches.push(Stretch { rate: chunk.sample_rate, samples });
            last = Some((chunk, 0));
            continue;
        };
        let end = place + chunk.samples.len();
        if stretch.samples.len() < end {
            stretch.samples.resize(end, 0.0);
        }
        for (slot, &sample) in stretch.samples[place..end].iter_mut().zip(&chunk.samples) {
            *slot = f64::from(sample) / 32_768.0;
        }
    }
    stretches
}

/// Mean over the whole window, so that a missing half counts as silence.
fn mean_power(stretches: &[Stretch], window: Duration, hz: f64) -> f64 {
    let (mut sum, mut blocks) = (0.0, 0);
    for stretch in stretches {
        for block in stretch.blocks(10) {
            sum += power_at(block, stretch.rate, hz);
            blocks += 1;
        }
    }
    let due = (window.as_millis() / 100) as usize;
    sum / (blocks.max(due.saturating_sub(1)).max(1)) as f64
}

fn overall_power(stretches: &[Stretch], window: Duration) -> f64 {
    let seconds = window.as_secs_f64();
    let energy = |stretch: &Stretch| {
        stretch.samples.iter().map(|s| s * s).sum::<f64>() / f64::from(stretch.rate)
    };
    2.0 * stretches.iter().map(energy).sum::<f64>() / seconds
}

fn longest_pause(chunks: &[&Chunk], from: Instant, to: Instant) -> Duration {
    let times = chunks.iter().map(|chunk| chunk.at).chain([to]);
    let mut previous = from;
    let mut longest = Duration::ZERO;
    for at in times {
        longest = longest.max(at.saturating_duration_since(previous));
        previous = at;
    }
    longest
}

/// Frequencies between the tones, where there should be nothing but noise.
fn references(tones_hz: &[f64]) -> Vec<f64> {
    let clear = |hz: &f64| tones_hz.iter().all(|tone| (tone - hz).abs() > 60.0);
    (3..34).map(|index| f64::from(index) * 100.0 + 35.0).filter(clear).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

const KEPT: Duration = Duration::from_secs(30);
const PRESENT_DB: f64 = -45.0;
const CLEAR_DB: f64 = 12.0;
const ONSET_DB: f64 = -34.0;
/// A window cuts the first and the last packet anywhere.
const BLOCKS_AT_ENDS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Generator;

    fn play(tones_hz: &[f64], lost: impl Fn(u32) -> bool) -> Heard {
        let start = Instant::now();
        let mut generator = Generator::default();
        generator.set(tones_hz, -16.0);
        let mut recording = Recording::default();
        for index in 0..50 {
            let mut samples = vec![0; 160];
            generator.fill(8000, &mut samples);
            if !lost(index) {
                recording.push(Chunk {
                    at: start + Duration::from_millis(20) * index,
                    ssrc: 1,
                    timestamp: index * 160,
                    clock_rate: 8000,
                    sample_rate: 8000,
                    samples,
                });
            }
        }
        recording.heard(start, Duration::from_secs(1), &[440.0, 880.0])
    }

    #[test]
    fn a_steady_tone_is_present_and_whole() {
        let heard = play(&[440.0], |_| false);

        assert!(heard.tones[0].present && !heard.tones[1].present, "{heard:?}");
        assert!(heard.tones[0].continuity > 0.99 && (heard.tones[0].level_db + 16.0).abs() < 0.5);
    }

    #[test]
    fn a_hole_shows_as_a_gap() {
        let heard = play(&[440.0], |index| (20..25).contains(&index));

        assert!((90.0..=120.0).contains(&heard.tones[0].longest_gap_ms), "{heard:?}");
        assert!((100.0..=130.0).contains(&heard.longest_pause_ms), "{heard:?}");
    }

    #[test]
    fn silence_holds_no_tone() {
        let heard = play(&[], |_| false);

        assert!(heard.tones.iter().all(|tone| !tone.present), "{heard:?}");
    }
}
