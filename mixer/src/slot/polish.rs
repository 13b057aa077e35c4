//! What is done to a voice before it is mixed, for those who asked for it: noise suppression, then gain control.
//!
//! It costs only while the voice is mixed. Both come and go without a click: suppression, which makes the voice late,
//! by a cross-fade of one tick once the network has heard one.

use std::time::Duration;

use crate::agc::Agc;
use crate::denoise::Denoiser;

/// Samples of a tick at the highest rate.
const MAX_FRAME: usize = 960;
/// Silent ticks after which nothing is left in the filters.
const DRAINED: u8 = 3;
/// A frame in which the network is less sure of a voice than this is no speech.
const VOICED: f32 = 0.3;

/// The treatment of one voice.
#[derive(Debug)]
pub(crate) struct Polish {
    denoiser: Option<(Denoiser, Stage)>,
    agc: Option<(Agc, Stage)>,
    pcm: [i16; MAX_FRAME],
    /// Silent ticks in a row.
    silent: u8,
}

/// How far a treatment has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It listens to one tick.
    Warming,
    /// It is faded in.
    Rising,
    On,
    /// It is faded out, and then dropped.
    Falling,
}

impl Polish {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { denoiser: None, agc: None, pcm: [0; MAX_FRAME], silent: DRAINED }
    }

    /// Turns gain control on or off from the next tick on.
    pub(crate) fn set_agc(&mut self, on: bool) {
        match &mut self.agc {
            Some((_, stage)) => *stage = if on { Stage::On } else { Stage::Falling },
            None if on => self.agc = Some((Agc::new(), Stage::On)),
            None => {}
        }
    }

    /// Turns noise suppression on or off from the next tick on; the voice has `rate` Hz now.
    pub(crate) fn set_denoiser(&mut self, on: bool, rate: u32) {
        match &mut self.denoiser {
            Some((_, stage)) if !on => *stage = Stage::Falling,
            Some((_, stage)) if *stage == Stage::Falling => *stage = Stage::On,
            None if on => self.denoiser = Some((Denoiser::new(rate), Stage::Warming)),
            Some(_) | None => {}
        }
    }

    /// Nothing is left to do.
    pub(crate) fn is_spent(&self) -> bool {
        self.denoiser.is_none() && self.agc.is_none()
    }

    /// By how much a voice of `rate` Hz becomes late.
    pub(crate) fn delay(&self, rate: u32) -> Duration {
        if self.denoiser.is_some() { Denoiser::delay(rate) } else { Duration::ZERO }
    }

    /// The voice is not mixed from now on: what comes later does not continue it, and fades come to their end.
    pub(crate) fn rest(&mut self) {
        self.denoiser.take_if(|(_, stage)| *stage == Stage::Falling);
        self.agc.take_if(|(_, stage)| *stage == Stage::Falling);
        if let Some((denoiser, stage)) = &mut self.denoiser {
            denoiser.rest();
            *stage = Stage::On; // There is nothing to fade from.
        }
    }

    /// Treats one tick at `rate` Hz, `None` is silence; `speech` says whether it is speech and not a pause.
    pub(crate) fn run(&mut self, heard: Option<&[i16]>, rate: u32, speech: bool) -> Option<&[i16]> {
        self.silent = if heard.is_some() { 0 } else { self.silent.saturating_add(1) };
        if self.silent > 0 && (self.denoiser.is_none() || self.silent > DRAINED) {
            return None;
        }
        let frame = heard.map_or(rate as usize / 50, <[i16]>::len).min(MAX_FRAME);
        let pcm = &mut self.pcm[..frame];
        match heard {
            Some(heard) => pcm.copy_from_slice(&heard[..frame]),
            None => pcm.fill(0),
        }
        let mut voiced = speech;
        if let Some((denoiser, stage)) = &mut self.denoiser {
            voiced &= suppress(denoiser, stage, pcm, rate) >= VOICED;
        }
        self.denoiser.take_if(|(_, stage)| *stage == Stage::Falling);
        match &mut self.agc {
            Some((agc, Stage::Falling)) => agc.finish(pcm),
            Some((agc, _)) => agc.run(pcm, voiced),
            None => {}
        }
        self.agc.take_if(|(_, stage)| *stage == Stage::Falling);
        Some(&self.pcm[..frame])
    }
}

/// Runs one tick through the network and on to the next stage; returns how likely there is a voice in it.
fn suppress(denoiser: &mut Denoiser, stage: &mut Stage, pcm: &mut [i16], rate: u32) -> f32 {
    let mut clean = [0; MAX_FRAME];
    let clean = &mut clean[..pcm.len()];
    clean.copy_from_slice(pcm);
    let voice = denoiser.run(clean, rate);
    match *stage {
        Stage::Warming => *stage = Stage::Rising,
        Stage::Rising => {
            cross_fade(pcm, clean);
            pcm.copy_from_slice(clean);
            *stage = Stage::On;
        }
        Stage::On => pcm.copy_from_slice(clean),
        Stage::Falling => {
            cross_fade(clean, pcm);
        }
    }
    voice
}

/// Goes from one signal to another over a tick; what is heard is written into `to`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "at most 960 samples; a mean of two samples fits"
)]
fn cross_fade(from: &[i16], to: &mut [i16]) {
    let length = to.len().max(1) as f32;
    for (i, (to, &from)) in to.iter_mut().zip(from).enumerate() {
        let share = i as f32 / length;
        *to = (f32::from(from) * (1.0 - share) + f32::from(*to) * share) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::tone;
    use crate::level;

    #[test]
    fn what_is_off_again_passes_bit_exactly() {
        let mut polish = Polish::new();
        polish.set_agc(true);
        polish.set_denoiser(true, 8_000);
        for tick in 0..100 {
            polish.run(Some(&tone(437.0, 8_000, tick * 160, 160)), 8_000, true);
        }

        polish.set_agc(false);
        polish.set_denoiser(false, 8_000);
        assert!(!polish.is_spent());
        polish.run(Some(&tone(437.0, 8_000, 16_000, 160)), 8_000, true);

        assert!(polish.is_spent());
        let after = tone(437.0, 8_000, 16_160, 160);
        assert_eq!(polish.run(Some(&after), 8_000, true), Some(&after[..]));
    }

    #[test]
    fn switching_makes_no_step() {
        let mut polish = Polish::new();
        let mut heard = Vec::new();
        for tick in 0..120 {
            match tick {
                10 => polish.set_denoiser(true, 8_000),
                30 => polish.set_agc(true),
                60 => polish.set_denoiser(false, 8_000),
                90 => polish.set_agc(false),
                _ => {}
            }
            let said = tone(200.0, 8_000, tick * 160, 160);
            heard.extend_from_slice(polish.run(Some(&said), 8_000, true).unwrap());
        }

        // A sine of this pitch and height moves by 1287 at most, a louder one by as much more.
        let step = heard.windows(2).map(|pair| (pair[0] - pair[1]).abs()).max().unwrap();
        assert!(step < 2_400, "{step}");
    }

    #[test]
    fn silence_drains_and_is_silence_then() {
        let mut polish = Polish::new();
        polish.set_denoiser(true, 8_000);
        for tick in 0..20 {
            polish.run(Some(&tone(437.0, 8_000, tick * 160, 160)), 8_000, true);
        }

        let left: Vec<_> =
            (0..5).map(|_| polish.run(None, 8_000, false).map(level::peak)).collect();

        assert!(left[0].is_some() && left[3..] == [None, None], "{left:?}");
        assert!(left[2].is_some_and(|peak| peak <= 16), "{left:?}");
    }
}
