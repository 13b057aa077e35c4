//! A decoder and what it has decoded: how that begins to be heard, goes on without packets, and ends.

use std::time::Duration;

use crate::codec::{Codec, Decoder, Format, MAX_PACKET};
use crate::comfort::ComfortNoise;
use crate::conceal::Concealer;
use crate::gain::Gain;
use crate::jitter::Stretch;
use crate::level;
use crate::rtp::AudioLevel;
use crate::slot::hint::{Bar, Hints};
use crate::slot::receiver::Attention;
use crate::slot::stash::Stash;
use crate::stretch::{self, Likeness};

/// Frames that Opus makes up before silence, when nothing comes.
const MOST_MADE_UP: Duration = Duration::from_millis(100);
/// Below this a cut is not heard, dBov.
const QUIET: f32 = -48.0;
/// The longest payload kept aside for another decoder.
const MAX_STASH: usize = 1500;

/// How alike two parts of a voice must be to be joined, while the delay is wrong by up to 22 ms …
const CALM: Likeness = Likeness(0.85);
/// … up to 60 ms …
const HASTY: Likeness = Likeness(0.6);
/// … or up to 120 ms.
const PRESSED: Likeness = Likeness(0.3);

/// A decoder and what it has decoded.
#[derive(Debug)]
pub(super) struct Voice {
    decoder: Decoder,
    concealer: Concealer,
    /// Decoded and not yet heard begins at `from`.
    pcm: Vec<i16>,
    from: usize,
    /// Samples of silence behind `pcm`, which is empty then.
    silence: usize,
    /// Samples of a tick.
    pub(super) frame: usize,
    /// `pcm` may hold something else than zeros.
    sounds: bool,
    /// Samples made up in a row.
    made_up: usize,
    playing: bool,
    entry: Entry,
    /// Ticks since the length was changed.
    unstretched: u8,
    /// Packets decoded in all.
    pub(super) decoded: u64,
    hints: Hints,
    /// How loud a packet is that was left out because others are louder, dBov.
    pub(super) hinted: f32,
    /// What was left out last, to warm the decoder up.
    skipped: Stash,
    /// The first packet of another format, for the next tick.
    switch: Option<(Format, Vec<u8>)>,
}

/// How the next packet begins to be heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Entry {
    /// As it is: it goes on from what was heard, or from silence.
    AtOnce,
    /// By a short ramp.
    Softly,
    /// By a ramp after so many samples: until then the decoder finds its place.
    Late(usize),
}

/// How a packet is taken whose turn has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) attention: Attention,
    /// From packet to packet.
    pub(super) interval: Duration,
    /// How loud it says it is.
    pub(super) level: Option<AudioLevel>,
    /// How loud the leg was, dBov.
    pub(super) memory: f32,
}

impl Voice {
    pub(super) fn new(format: Format) -> Option<Self> {
        let decoder = Decoder::new(format).ok()?;
        let rate = format.sample_rate();
        let frame = rate as usize / 50;
        let most = usize::try_from(MAX_PACKET.as_millis()).unwrap_or(0) * rate as usize / 1000;
        Some(Self {
            concealer: Concealer::new(rate),
            pcm: Vec::with_capacity(2 * most + frame),
            from: 0,
            silence: 0,
            frame,
            sounds: false,
            made_up: 0,
            playing: false,
            entry: Entry::at_start(format),
            unstretched: 0,
            decoded: 0,
            hints: Hints::new(),
            hinted: level::SILENCE,
            skipped: Stash::new(decoder.memory()),
            switch: None,
            decoder,
        })
    }

    /// What it decodes.
    pub(super) fn format(&self) -> Format {
        self.decoder.format()
    }

    /// True for silence that the decoder need not know of.
    pub(super) fn may_forget(&self, payload: &[u8]) -> bool {
        self.decoder.memory() == 0 && self.decoder.has_voice(payload) == Some(false)
    }

    /// Something was left out here: what comes is led into.
    pub(super) fn cut(&mut self) {
        self.concealer.cut();
    }

    pub(super) fn held(&self) -> usize {
        self.pcm.len() - self.from + self.silence
    }

    /// What is decoded and not heard.
    pub(super) fn held_time(&self) -> Duration {
        let rate = u64::from(self.format().sample_rate());
        Duration::from_micros(self.held() as u64 * 1_000_000 / rate)
    }

    /// Makes what is held shorter or longer, if it is a good moment; true if it did.
    pub(super) fn stretch(&mut self, wish: Stretch) -> bool {
        let (by, most, longer) = match wish {
            Stretch::Keep => return false,
            Stretch::Shorter(by) => (by, by, false),
            Stretch::Longer { by, most } => (by, most, true),
        };
        let (likeness, pause) = match by.as_millis() {
            _ if !self.playing || level::dbov(&self.pcm) < QUIET => (Likeness::ANY, 0),
            0..=22 => (CALM, 3),
            23..=60 => (HASTY, 1),
            61..=120 => (PRESSED, 1),
            _ => (Likeness::ANY, 1),
        };
        if self.unstretched < pause {
            return false;
        }
        let rate = self.format().sample_rate();
        let by = if likeness == Likeness::ANY { by } else { most };
        let samples = usize::try_from(by.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(0);
        let changed = if self.silence > 0 {
            let less = samples.min(self.silence);
            self.silence = if longer { self.silence + samples } else { self.silence - less };
            if longer { samples } else { less }
        } else if longer {
            stretch::lengthen(&mut self.pcm, rate, samples, likeness)
        } else {
            stretch::shorten(&mut self.pcm, rate, samples, likeness)
        };
        if changed > 0 {
            self.unstretched = 0;
        }
        changed > 0 && !longer
    }

    /// Adds silence at the end, without writing it where nothing else is held.
    fn pause(&mut self, samples: usize) {
        if self.pcm.is_empty() {
            self.silence += samples;
        } else {
            self.space(samples);
        }
    }

    /// Room for `samples` more at the end; `pcm` never outgrows its first capacity.
    fn space(&mut self, samples: usize) -> usize {
        let before = self.pcm.len() + std::mem::take(&mut self.silence);
        let before = before.min(self.pcm.capacity());
        let samples = samples.min(self.pcm.capacity() - before);
        self.pcm.resize(before + samples, 0);
        before
    }

    fn most(&self) -> usize {
        self.frame * 6 // 120 ms
    }

    /// Lets go of the tick that was heard.
    pub(super) fn advance(&mut self) {
        self.unstretched = self.unstretched.saturating_add(1);
        if self.pcm.is_empty() {
            self.silence = self.silence.saturating_sub(self.frame);
            return;
        }
        self.from = (self.from + self.frame).min(self.pcm.len());
        if self.held() == 0 {
            self.sounds = false;
        }
        self.pcm.drain(..self.from);
        self.from = 0;
    }

    /// The frame to be heard in this tick, if it is not silence for certain.
    pub(super) fn heard(&self) -> Option<&[i16]> {
        self.pcm.get(..self.frame).filter(|_| self.sounds)
    }

    pub(super) fn play(&mut self, format: Format, payload: &[u8], turn: Turn) {
        self.hinted = level::SILENCE;
        if format != self.format() {
            self.fade_out();
            self.pause(self.frame.saturating_sub(self.held()));
            self.switch = Some((format, payload[..payload.len().min(MAX_STASH)].to_vec()));
            return;
        }
        match turn.attention {
            _ if payload.is_empty() => self.rest(turn.interval),
            Attention::Full => {
                self.decode(payload);
            }
            Attention::Above(bar) => self.weigh(payload, bar, turn),
            Attention::None => self.skip(payload, turn.interval),
        }
    }

    /// Decodes a listener's packet only if it may be heard.
    fn weigh(&mut self, payload: &[u8], bar: Bar, turn: Turn) {
        if self.decoder.has_voice(payload) == Some(false) {
            if self.decoder.memory() > 0 {
                self.skip(payload, turn.interval);
            } else {
                self.rest(turn.interval);
            }
            return;
        }
        let hint = self.hints.hint(turn.level, || self.decoder.estimate(payload));
        match hint.filter(|&hint| !bar.lets_in(hint, turn.memory)) {
            None => {
                self.decode(payload);
            }
            Some(hint) if self.hints.is_check_due() => {
                let samples = self.decode(payload);
                let decoded = &self.pcm[self.pcm.len() - samples..];
                if !decoded.is_empty() {
                    self.hints.check(hint, level::dbov(decoded));
                }
            }
            Some(hint) => {
                self.skip(payload, turn.interval);
                self.hinted = hint.dbov;
            }
        }
    }

    /// Leaves out what would be heard, or what the decoder has to know of.
    fn skip(&mut self, payload: &[u8], interval: Duration) {
        if self.playing {
            self.fade_out();
        }
        self.skipped.push(payload);
        self.rest(interval);
        self.entry = Entry::Softly;
    }

    /// Is silent for a packet.
    fn rest(&mut self, interval: Duration) {
        if self.playing {
            self.concealer.reset();
        }
        (self.playing, self.entry) = (false, Entry::AtOnce);
        self.made_up = 0;
        if self.held() < self.frame {
            self.pause(self.samples(interval));
        }
    }

    /// Gives how many samples were decoded: none if the payload is malformed, which counts as lost.
    fn decode(&mut self, payload: &[u8]) -> usize {
        if !self.skipped.is_empty() {
            self.warm_up();
        }
        let at = self.space(self.decoder.most_samples(payload).min(self.most()));
        let Ok(samples) = self.decoder.decode(payload, &mut self.pcm[at..]) else {
            self.pcm.truncate(at);
            self.make_up(None, self.frame);
            return 0;
        };
        self.pcm.truncate(at + samples);
        self.sounds |= samples > 0;
        self.concealer.heard(&mut self.pcm[at..]);
        self.entry = self.entry.lead_in(&mut self.pcm[at..]);
        self.made_up = 0;
        self.playing = true;
        self.decoded += 1;
        samples
    }

    /// Gives the decoder the packets before the one to come, unheard.
    fn warm_up(&mut self) {
        let at = self.space(self.most());
        for payload in self.skipped.payloads() {
            self.decoder.decode(payload, &mut self.pcm[at..]).ok(); // It is not heard.
        }
        self.pcm.truncate(at);
        self.skipped.clear();
        self.concealer.reset();
    }

    pub(super) fn lose(&mut self, next: Option<&[u8]>, interval: Duration) {
        let samples = self.samples(interval);
        if self.playing {
            self.make_up(next, samples);
        } else {
            self.pause(samples);
        }
    }

    /// Samples of a packet, in whole 10 ms.
    fn samples(&self, interval: Duration) -> usize {
        let tens = usize::try_from(interval.as_millis() / 10).unwrap_or(2).clamp(1, 12);
        self.frame / 2 * tens
    }

    fn make_up(&mut self, next: Option<&[u8]>, samples: usize) {
        let at = self.space(samples);
        let pcm = &mut self.pcm[at..];
        if self.decoder.recover(next, pcm) {
            self.concealer.heard(pcm);
        } else if (self.concealer.hears_tone() && self.decoder.replay(pcm))
            || self.decoder.conceal(pcm)
        {
            self.concealer.judge(pcm);
        } else {
            self.concealer.conceal(pcm);
            self.decoder.follow(pcm, &self.concealer.beyond());
        }
        self.made_up += samples;
        self.sounds = true;
    }

    /// Nothing is there to play: leads over to silence.
    pub(super) fn starve(&mut self) {
        self.hinted = level::SILENCE;
        if self.playing {
            let missing = self.frame.saturating_sub(self.held());
            self.make_up(None, missing.next_multiple_of(self.frame / 2));
            let most = usize::try_from(MOST_MADE_UP.as_millis() / 20).unwrap_or(5) * self.frame;
            let own = self.decoder.conceals();
            if own && self.made_up >= most {
                fade_out(&mut self.pcm);
            }
            if (own && self.made_up >= most) || self.concealer.is_silent() {
                (self.playing, self.entry) = (false, Entry::Softly);
                self.concealer.reset();
            }
        } else if self.held() > 0 {
            self.pause(self.frame - self.held().min(self.frame));
        }
    }

    /// Fills the tick with noise, after the last word has died away.
    pub(super) fn hush(&mut self, noise: &mut ComfortNoise) {
        self.hinted = level::SILENCE;
        if self.playing {
            self.fade_out();
            self.entry = Entry::Softly;
            return;
        }
        let at = self.space(self.frame.saturating_sub(self.held()));
        noise.fill(&mut self.pcm[at..]);
        self.sounds = true;
        self.made_up = 0;
    }

    /// Fills the tick with what would have come, turned down to silence.
    pub(super) fn fade_out(&mut self) {
        if self.playing {
            let missing = self.frame.saturating_sub(self.held());
            self.make_up(None, missing.next_multiple_of(self.frame / 2));
            self.pcm.truncate(self.frame);
            fade_out(&mut self.pcm);
            self.concealer.reset();
            self.entry = Entry::after_cut(self.format());
        }
        self.playing = false;
    }

    /// Begins with another format after the old one was faded out.
    pub(super) fn switch_now(&mut self) {
        let Some((format, payload)) = self.switch.take() else { return };
        if let Some(next) = Self::new(format) {
            *self = Self { decoded: self.decoded, ..next };
            self.decode(&payload);
        }
    }
}

impl Entry {
    /// A stream begins anywhere, and the codec's own beginning is rough.
    fn at_start(format: Format) -> Self {
        match format.codec {
            Codec::Pcmu | Codec::Pcma | Codec::L16 => Self::Softly,
            Codec::Opus | Codec::G722 => Self::Late(format.sample_rate() as usize / 100),
        }
    }

    /// The last that was heard broke off, and the decoder has missed packets since.
    fn after_cut(format: Format) -> Self {
        match format.codec {
            Codec::G722 => Self::Late(format.sample_rate() as usize / 4),
            Codec::Pcmu | Codec::Pcma | Codec::L16 | Codec::Opus => Self::at_start(format),
        }
    }

    /// Lets a packet of at least 10 ms begin to be heard, and says how the next does.
    fn lead_in(self, pcm: &mut [i16]) -> Self {
        let silent = match self {
            Self::AtOnce => return Self::AtOnce,
            Self::Softly => 0,
            Self::Late(samples) => samples,
        };
        if silent >= pcm.len() {
            pcm.fill(0);
            return Self::Late(silent - pcm.len());
        }
        pcm[..silent].fill(0);
        let ramp = (pcm.len() / 2).min(pcm.len() - silent);
        fade_in(&mut pcm[silent..silent + ramp]);
        Self::AtOnce
    }
}

fn fade_in(pcm: &mut [i16]) {
    let mut gain = Gain::ZERO;
    gain.aim(1.0);
    gain.apply(pcm);
}

fn fade_out(pcm: &mut [i16]) {
    let mut gain = Gain::UNITY;
    gain.aim(0.0);
    gain.apply(pcm);
}
