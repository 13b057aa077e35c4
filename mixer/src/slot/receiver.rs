//! The receive side: RTP in, 20 ms frames of what the leg says out.

use std::time::{Duration, Instant};

use crate::codec::{self, Codec, Decoder, Format, MAX_PACKET};
use crate::comfort::ComfortNoise;
use crate::conceal::Concealer;
use crate::dtmf;
use crate::gain::Gain;
use crate::jitter::{
    Incoming, Inserted, JitterBuffer, JitterCounters, JitterOptions, Pulled, Stretch,
};
use crate::level::{self, TalkDetector};
use crate::quality::{Bursts, Fates};
use crate::resample::Resampler;
use crate::rtcp::Reception;
use crate::rtp::{AudioLevel, Header, Packet, RtpTimestamp};
use crate::slot::hint::{Bar, Hint, Hints};
use crate::slot::polish::Polish;
use crate::slot::stash::Stash;
use crate::slot::{Rejected, StreamPlan};
use crate::stretch::{self, Likeness};

/// Comfort noise at 8 kHz (RFC 3389 §4).
const COMFORT_NOISE: u8 = 13;
/// How long a pause sounds after it was last described: less than a room takes to fall asleep.
const NOISE_LASTS: Duration = Duration::from_secs(4);
/// Frames that Opus makes up before silence, when nothing comes.
const MOST_MADE_UP: Duration = Duration::from_millis(100);
/// Below this a cut is not heard, dBov.
const QUIET: f32 = -48.0;
/// The longest payload kept aside for another decoder.
const MAX_STASH: usize = 1500;
/// Loudness falls by this much in a tick, dB, so that a contributor stays one between syllables.
pub(crate) const DECAY: f32 = 0.5;
/// Packets pulled in one tick at most: twice 20 ms of the shortest, 2.5 ms.
const MAX_PULLS: usize = 16;

/// How alike two parts of a voice must be to be joined, while the delay is wrong by up to 22 ms …
const CALM: Likeness = Likeness(0.85);
/// … up to 60 ms …
const HASTY: Likeness = Likeness(0.6);
/// … or up to 120 ms.
const PRESSED: Likeness = Likeness(0.3);

/// How much care a tick takes of what the leg says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Attention {
    /// Decode everything.
    Full,
    /// Do not decode packets that say of themselves that there is no voice in them, or that do not reach this.
    Above(Bar),
    /// Decode nothing: nobody may hear it.
    None,
}

/// What happened in the receive side's life, for statistics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiverCounters {
    pub(crate) packets: u64,
    pub(crate) octets: u64,
    pub(crate) rejected: u64,
    pub(crate) concealed: u64,
}

/// Jitter buffer, decoder, concealment, level and talk detection of one leg.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) jitter: JitterBuffer,
    pub(crate) reception: Reception,
    pub(crate) digits: dtmf::Receiver,
    pub(crate) counters: ReceiverCounters,
    pub(crate) talk: TalkDetector,
    pub(crate) gain: Gain,
    pub(crate) bursts: Bursts,
    /// Of the jitter buffer, when `bursts` last looked.
    noted: JitterCounters,
    formats: Vec<(u8, Format)>,
    events: Vec<(u8, u32)>,
    /// Payload types of comfort noise.
    noises: Vec<u8>,
    comfort: ComfortNoise,
    pause: Option<Pause>,
    /// The last tick was such noise.
    is_comforting: bool,
    /// Id of the header extension that tells the level of a packet.
    level_id: Option<u8>,
    receives: bool,
    voice: Option<Voice>,
    /// What is done to the voice before it is mixed.
    polish: Option<Box<Polish>>,
    resampler: Option<(u32, u32, Resampler)>,
    /// What the first packet is expected to be.
    expected: Option<Format>,
    /// Of the last tick.
    attention: Attention,
    audible: bool,
    dbov: f32,
    loudness: f32,
    ticks_without_talk: u32,
}

/// A decoder and what it has decoded.
#[derive(Debug)]
struct Voice {
    decoder: Decoder,
    concealer: Concealer,
    /// Decoded and not yet heard begins at `from`.
    pcm: Vec<i16>,
    from: usize,
    /// Samples of silence behind `pcm`, which is empty then.
    silence: usize,
    /// Samples of a tick.
    frame: usize,
    /// `pcm` may hold something else than zeros.
    sounds: bool,
    /// Samples made up in a row.
    made_up: usize,
    playing: bool,
    entry: Entry,
    /// Ticks since the length was changed.
    unstretched: u8,
    /// Packets decoded in all.
    decoded: u64,
    hints: Hints,
    /// How loud a packet is that was left out because others are louder, dBov.
    hinted: f32,
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

/// A pause that the sender described.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// What is sent later ends it.
    from: RtpTimestamp,
    told: Instant,
}

/// How a packet is taken whose turn has come.
#[derive(Clone, Copy, Debug)]
struct Turn {
    attention: Attention,
    /// From packet to packet.
    interval: Duration,
    /// How loud it says it is.
    level: Option<AudioLevel>,
    /// How loud the leg was, dBov.
    memory: f32,
}

impl Receiver {
    pub(crate) fn new(options: JitterOptions) -> Self {
        Self {
            jitter: JitterBuffer::new(options, 8_000),
            reception: Reception::new(8_000),
            digits: dtmf::Receiver::new(),
            counters: ReceiverCounters::default(),
            talk: TalkDetector::default(),
            gain: Gain::ZERO,
            bursts: Bursts::default(),
            noted: JitterCounters::default(),
            formats: Vec::new(),
            events: Vec::new(),
            noises: vec![COMFORT_NOISE],
            comfort: ComfortNoise::new(),
            pause: None,
            is_comforting: false,
            level_id: None,
            receives: false,
            voice: None,
            polish: None,
            resampler: None,
            expected: None,
            attention: Attention::Full,
            audible: false,
            dbov: level::SILENCE,
            loudness: level::SILENCE,
            ticks_without_talk: 0,
        }
    }

    pub(crate) fn configure(&mut self, plan: &StreamPlan) {
        self.formats.clone_from(&plan.receive);
        self.events.clone_from(&plan.receive_events);
        self.noises.clear();
        self.noises.push(COMFORT_NOISE);
        self.noises.extend(&plan.receive_noise);
        self.level_id = plan.level_id;
        self.receives = plan.receives;
        let sent = plan.send.1.format;
        let symmetric = self.formats.iter().find(|(_, format)| format.codec == sent.codec);
        self.expected = symmetric.or_else(|| self.formats.first()).map(|&(_, format)| format);
        self.jitter.set_wants_next(false);
        if !self.receives {
            self.pause = None;
            self.jitter.reset();
        }
    }

    /// The rate of what is or will be decoded, Hz; `None` if nothing is received.
    pub(crate) fn rate(&self) -> Option<u32> {
        let now = self.voice.as_ref().map(|voice| voice.decoder.format());
        now.or(self.expected).filter(|_| self.receives).map(Format::sample_rate)
    }

    /// Packets that were decoded.
    pub(crate) fn decoded(&self) -> u64 {
        self.voice.as_ref().map_or(0, |voice| voice.decoded)
    }

    /// What is decoded now.
    pub(crate) fn format(&self) -> Option<Format> {
        self.voice.as_ref().map(|voice| voice.decoder.format())
    }

    pub(crate) fn receives(&self) -> bool {
        self.receives
    }

    pub(crate) fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Rejected> {
        let result = self.take(now, datagram);
        if result.is_err() {
            self.counters.rejected += 1;
        }
        result
    }

    fn take(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Rejected> {
        let Packet { header, extension, payload } =
            Packet::parse(datagram).map_err(|_| Rejected::NotRtp)?;
        if !self.receives {
            return Err(Rejected::NotReceiving);
        }
        if let Some(format) = find(&self.formats, header.payload_type) {
            self.jitter.set_clock_rate(format.clock_rate);
            if format.codec == Codec::Opus && codec::carries_fec(payload) {
                self.jitter.set_wants_next(true);
            }
            self.reception.set_clock_rate(format.clock_rate);
            self.reception.receive(now, &header);
            let incoming = Incoming {
                ssrc: header.ssrc,
                sequence: header.sequence,
                timestamp: header.timestamp,
                marker: header.marker,
                payload_type: header.payload_type,
                level: self.level_id.and_then(|id| extension.level(id)),
                payload,
            };
            let incoming = if self.may_forget(format, payload) {
                Incoming { payload: &[], ..incoming }
            } else {
                incoming
            };
            let inserted = self.jitter.insert(now, incoming);
            if inserted == Inserted::Restarted {
                self.pause = None; // It was described on another timeline.
            }
            if matches!(inserted, Inserted::Kept | Inserted::Restarted) {
                self.counters.packets += 1;
                self.counters.octets += payload.len() as u64;
            }
            return Ok(());
        }
        if let Some(clock_rate) = find(&self.events, header.payload_type) {
            self.jitter.skip(header.ssrc, header.sequence);
            self.digits.handle_packet(now, clock_rate, &header, payload);
        } else if self.noises.contains(&header.payload_type) {
            self.take_noise(now, &header, payload);
        } else {
            return Err(Rejected::PayloadType(header.payload_type));
        }
        self.reception.receive_untimed(&header);
        self.counters.packets += 1;
        self.counters.octets += payload.len() as u64;
        Ok(())
    }

    fn take_noise(&mut self, now: Instant, header: &Header, payload: &[u8]) {
        self.jitter.pause(header.ssrc, header.sequence);
        if self.comfort.describe(payload) {
            self.pause = Some(Pause { from: header.timestamp, told: now });
        }
    }

    /// True for silence that nobody is going to hear, if no decoder needs it for what comes after.
    fn may_forget(&self, format: Format, payload: &[u8]) -> bool {
        self.attention != Attention::Full
            && self.voice.as_ref().is_some_and(|voice| {
                let decoder = &voice.decoder;
                decoder.format() == format
                    && !decoder.remembers()
                    && decoder.has_voice(payload) == Some(false)
            })
    }

    /// Moves on by one tick; true if [`Self::speak`] has something audible to say.
    pub(crate) fn listen(&mut self, now: Instant, attention: Attention) -> bool {
        if self.digits.is_pressed() {
            self.digits.handle_timeout(now);
        }
        self.attention = attention;
        self.is_comforting = false;
        if self.receives {
            self.fill(now, attention);
            self.note_turns();
        } else if let Some(voice) = &mut self.voice {
            voice.advance();
            voice.hinted = level::SILENCE;
            voice.fade_out();
        }
        self.measure();
        self.audible
    }

    fn fill(&mut self, now: Instant, attention: Attention) {
        if let Some(voice) = &mut self.voice {
            voice.advance();
            voice.switch_now();
        }
        for _ in 0..MAX_PULLS {
            if let Some(voice) = &mut self.voice
                && voice.held() >= voice.frame
            {
                let wish = self.jitter.stretch(now, voice.held_time());
                if wish == Stretch::Keep || !voice.stretch(wish) {
                    break;
                }
                continue;
            }
            let interval = self.jitter.interval();
            match self.jitter.pull(now) {
                Pulled::Packet { payload_type, level, payload, cut, timestamp, .. } => {
                    if self.pause.is_some_and(|pause| timestamp.distance_from(pause.from) >= 0) {
                        self.pause = None;
                        self.comfort.rest();
                    }
                    let Some(format) = find(&self.formats, payload_type) else { continue };
                    if self.voice.is_none() {
                        self.voice = Voice::new(format);
                    }
                    let Some(voice) = &mut self.voice else { continue };
                    if cut > 0 {
                        voice.concealer.cut();
                    }
                    let memory = self.loudness - DECAY;
                    voice.play(format, payload, Turn { attention, interval, level, memory });
                }
                Pulled::Lost { next, length } => {
                    let Some(voice) = &mut self.voice else { continue };
                    self.counters.concealed += 1;
                    voice.lose(next, length);
                }
                Pulled::Empty => {
                    self.wait(now, attention);
                    break;
                }
            }
        }
    }

    /// Plays what is to be heard while nothing comes: the noise of a pause, else what leads to silence.
    fn wait(&mut self, now: Instant, attention: Attention) {
        let is_told = |pause: &Pause| now.saturating_duration_since(pause.told) < NOISE_LASTS;
        let noise = self.pause.filter(is_told).map(|_| self.comfort.level());
        if noise.is_some() && self.voice.is_none() {
            self.voice = self.expected.and_then(Voice::new);
        }
        let Some(voice) = &mut self.voice else { return };
        let Some(level) = noise else { return voice.starve() };
        let is_heard = match attention {
            Attention::Full => true,
            Attention::Above(bar) => bar.lets_in(Hint::exact(level), self.loudness - DECAY),
            Attention::None => false,
        };
        self.is_comforting = true;
        if is_heard {
            voice.hush(&mut self.comfort);
        } else {
            voice.starve();
            voice.hinted = level.dbov();
        }
    }

    /// Sorts the packets whose turn has come: those that were not there came before those that were.
    fn note_turns(&mut self) {
        let JitterCounters { played, dropped, missed, .. } = self.jitter.counters();
        let good = (played - self.noted.played) + (dropped - self.noted.dropped);
        self.bursts.note(missed - self.noted.missed, good);
        self.noted = self.jitter.counters();
    }

    /// What became of the packets whose turn has come.
    pub(crate) fn fates(&self) -> Fates {
        Fates {
            good: self.noted.played + self.noted.dropped,
            missed: self.noted.missed,
            late: self.noted.late,
            runs: self.bursts.runs(),
        }
    }

    /// Audio that is decoded and waits for the next tick.
    pub(crate) fn waiting(&self) -> Duration {
        let Some(voice) = &self.voice else { return Duration::ZERO };
        let samples = u32::try_from(voice.held().saturating_sub(voice.frame)).unwrap_or(u32::MAX);
        Duration::from_secs(1) * samples / voice.decoder.format().sample_rate()
    }

    /// True if the jitter buffer would be longer if `ceiling` let it.
    pub(crate) fn wants_all_of(&self, ceiling: Duration) -> bool {
        let target = self.jitter.target();
        self.receives && !target.is_zero() && target + self.jitter.interval() >= ceiling
    }

    fn measure(&mut self) {
        let heard = self.voice.as_ref().and_then(Voice::heard);
        self.audible = heard.is_some_and(|pcm| level::peak(pcm) > level::INAUDIBLE_PEAK);
        self.dbov = match heard {
            Some(pcm) if self.audible => level::dbov(pcm),
            _ => self.voice.as_ref().map_or(level::SILENCE, |voice| voice.hinted),
        };
        self.loudness = self.dbov.max(self.loudness - DECAY);
    }

    /// Lets the talk detector see the last tick; returns its new state if that changed.
    pub(crate) fn detect_talk(&mut self, muted: bool) -> Option<bool> {
        let is_nobody = muted || self.is_comforting;
        let change = self.talk.handle_level(if is_nobody { level::SILENCE } else { self.dbov });
        let counted = self.ticks_without_talk.saturating_add(1);
        self.ticks_without_talk = if self.talk.is_talking() { 0 } else { counted };
        change
    }

    /// Ticks since somebody talked here.
    pub(crate) fn ticks_without_talk(&self) -> u32 {
        self.ticks_without_talk
    }

    /// Level of the last tick if it was speech, dBov.
    pub(crate) fn speech(&self) -> Option<f32> {
        Some(self.dbov).filter(|&dbov| self.talk.is_speech(dbov))
    }

    /// Level of the last tick, dBov.
    pub(crate) fn dbov(&self) -> f32 {
        self.dbov
    }

    /// Level with the memory of a contributor, dBov.
    pub(crate) fn loudness(&self) -> f32 {
        self.loudness
    }

    /// Writes the last tick at `rate` Hz, gain applied, into `mix`; false if it is silence.
    pub(crate) fn speak(&mut self, rate: u32, mix: &mut [i16]) -> bool {
        self.polish.take_if(|polish| polish.is_spent());
        let Some(voice) = &self.voice else { return false };
        let own_rate = voice.decoder.format().sample_rate();
        let heard = match &mut self.polish {
            Some(polish) => polish.run(voice.heard(), own_rate, self.talk.is_speech(self.dbov)),
            None => voice.heard(),
        };
        if own_rate == rate {
            self.resampler = None;
            let Some(heard) = heard else { return false };
            mix.copy_from_slice(heard);
        } else {
            if self.resampler.as_ref().is_none_or(|r| (r.0, r.1) != (own_rate, rate)) {
                self.resampler = Resampler::new(own_rate, rate).map(|r| (own_rate, rate, r));
            }
            let Some((_, _, resampler)) = &mut self.resampler else { return false };
            match heard {
                Some(heard) => resampler.run(heard, mix),
                None if resampler.is_silent() => return false,
                None => resampler.run(&SILENT_FRAME[..voice.frame], mix),
            };
        }
        self.gain.apply(mix);
        true
    }

    /// Writes what would have been said next, turned down to silence; false if that is silence anyway.
    pub(crate) fn say_farewell(&mut self, rate: u32, mix: &mut [i16]) -> bool {
        let Some(voice) = &mut self.voice else { return false };
        voice.advance();
        voice.fade_out();
        self.gain.aim(0.0); // The resampler is behind.
        self.speak(rate, mix)
    }

    /// Turns gain control and noise suppression on or off, without a click.
    pub(crate) fn set_polish(&mut self, agc: bool, noise_suppression: bool) {
        if self.polish.is_none() && !agc && !noise_suppression {
            return;
        }
        let rate = self.rate().unwrap_or(8_000);
        let polish = self.polish.get_or_insert_with(|| Box::new(Polish::new()));
        polish.set_agc(agc);
        polish.set_denoiser(noise_suppression, rate);
    }

    /// By how much that makes the voice late.
    pub(crate) fn polish_delay(&self) -> Duration {
        let delay = |polish: &Polish| polish.delay(self.rate().unwrap_or(8_000));
        self.polish.as_deref().map_or(Duration::ZERO, delay)
    }

    /// Forgets what the filters remember: nobody listens for a while.
    pub(crate) fn rest(&mut self) {
        if let Some(polish) = &mut self.polish {
            polish.rest();
        }
        if let Some((_, _, resampler)) = &mut self.resampler {
            resampler.reset();
        }
    }
}

static SILENT_FRAME: [i16; 960] = [0; 960];

impl Voice {
    fn new(format: Format) -> Option<Self> {
        let decoder = Decoder::new(format).ok()?;
        let rate = format.sample_rate();
        let remembers = decoder.remembers();
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
            skipped: if remembers { Stash::with_room() } else { Stash::default() },
            switch: None,
            decoder,
        })
    }

    fn held(&self) -> usize {
        self.pcm.len() - self.from + self.silence
    }

    /// What is decoded and not heard.
    fn held_time(&self) -> Duration {
        let rate = u64::from(self.decoder.format().sample_rate());
        Duration::from_micros(self.held() as u64 * 1_000_000 / rate)
    }

    /// Makes what is held shorter or longer, if it is a good moment; true if it did.
    fn stretch(&mut self, wish: Stretch) -> bool {
        let (by, longer) = match wish {
            Stretch::Keep => return false,
            Stretch::Shorter(by) => (by, false),
            Stretch::Longer(by) => (by, true),
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
        let rate = self.decoder.format().sample_rate();
        let samples = usize::try_from(by.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(0);
        let changed = if self.silence > 0 {
            let less = samples.min(self.silence);
            self.silence = if longer { self.silence + samples } else { self.silence - less };
            if longer { samples } else { less }
        } else if longer {
            let period = if likeness == Likeness::ANY { 0 } else { rate as usize / 80 };
            stretch::lengthen(&mut self.pcm, rate, samples.max(period), likeness)
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
    fn advance(&mut self) {
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
    fn heard(&self) -> Option<&[i16]> {
        self.pcm.get(..self.frame).filter(|_| self.sounds)
    }

    fn play(&mut self, format: Format, payload: &[u8], turn: Turn) {
        self.hinted = level::SILENCE;
        if format != self.decoder.format() {
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
            if self.decoder.remembers() {
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
        if self.decoder.remembers() {
            self.skipped.push(payload);
        }
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
        let at = self.space(self.most());
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

    fn lose(&mut self, next: Option<&[u8]>, interval: Duration) {
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
        } else if self.decoder.conceal(pcm) {
            self.concealer.judge(pcm);
        } else {
            self.concealer.conceal(pcm);
            self.decoder.follow(pcm, &self.concealer.beyond());
        }
        self.made_up += samples;
        self.sounds = true;
    }

    /// Nothing is there to play: leads over to silence.
    fn starve(&mut self) {
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
    fn hush(&mut self, noise: &mut ComfortNoise) {
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
    fn fade_out(&mut self) {
        if self.playing {
            let missing = self.frame.saturating_sub(self.held());
            self.make_up(None, missing.next_multiple_of(self.frame / 2));
            self.pcm.truncate(self.frame);
            fade_out(&mut self.pcm);
            self.concealer.reset();
            self.entry = Entry::after_cut(self.decoder.format());
        }
        self.playing = false;
    }

    /// Begins with another format after the old one was faded out.
    fn switch_now(&mut self) {
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
            Codec::G722 => Self::Late(format.sample_rate() as usize / 20),
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

fn find<T: Copy>(table: &[(u8, T)], payload_type: u8) -> Option<T> {
    table.iter().find(|(of, _)| *of == payload_type).map(|&(_, value)| value)
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
