//! The receive side: RTP in, 20 ms frames of what the leg says out.

use std::time::{Duration, Instant};

use crate::codec::{self, Codec, Format};
use crate::comfort::ComfortNoise;
use crate::dtmf;
use crate::gain::Gain;
use crate::jitter::{
    Incoming, Inserted, JitterBuffer, JitterCounters, JitterOptions, Pulled, Stretch,
};
use crate::level::{self, TalkDetector};
use crate::quality::{Bursts, Fates};
use crate::resample::Resampler;
use crate::rtcp::Reception;
use crate::rtp::{Header, Packet, RtpTimestamp};
use crate::slot::hint::{Bar, Hint};
use crate::slot::polish::Polish;
use crate::slot::voice::{Turn, Voice};
use crate::slot::{Rejected, StreamPlan};

/// Comfort noise at 8 kHz (RFC 3389 §4).
const COMFORT_NOISE: u8 = 13;
/// How long a pause sounds after it was last described: less than a room takes to fall asleep.
const NOISE_LASTS: Duration = Duration::from_secs(4);
/// Loudness falls by this much in a tick, dB, so that a contributor stays one between syllables.
pub(crate) const DECAY: f32 = 0.5;
/// Packets pulled in one tick at most: twice 20 ms of the shortest, 2.5 ms.
const MAX_PULLS: usize = 16;

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
    /// The one of them that was looked for last, to be found without a look into cold memory.
    usual: Option<(u8, Format)>,
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

/// A pause that the sender described.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// What is sent later ends it.
    from: RtpTimestamp,
    told: Instant,
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
            usual: None,
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
        self.usual = None;
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
        let now = self.voice.as_ref().map(Voice::format);
        now.or(self.expected).filter(|_| self.receives).map(Format::sample_rate)
    }

    /// Packets that were decoded.
    pub(crate) fn decoded(&self) -> u64 {
        self.voice.as_ref().map_or(0, |voice| voice.decoded)
    }

    /// What is decoded now.
    pub(crate) fn format(&self) -> Option<Format> {
        self.voice.as_ref().map(Voice::format)
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
        if let Some(format) = find_again(&mut self.usual, &self.formats, header.payload_type) {
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
            && self
                .voice
                .as_ref()
                .is_some_and(|voice| voice.format() == format && voice.may_forget(payload))
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
                    let format = find_again(&mut self.usual, &self.formats, payload_type);
                    let Some(format) = format else { continue };
                    if self.voice.is_none() {
                        self.voice = Voice::new(format);
                    }
                    let Some(voice) = &mut self.voice else { continue };
                    if cut > 0 {
                        voice.cut();
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
        Duration::from_secs(1) * samples / voice.format().sample_rate()
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

    /// The last tick, if it needs nothing to be mixed in frames of so many samples.
    pub(crate) fn plain(&self, frame: usize) -> Option<&[i16]> {
        let as_it_is = self.gain.is_unity() && self.polish.is_none() && self.resampler.is_none();
        let voice = self.voice.as_ref().filter(|_| as_it_is)?;
        voice.heard().filter(|heard| heard.len() == frame)
    }

    /// The last tick as it was decoded, and its rate; `None` is silence.
    pub(crate) fn said(&self) -> Option<(u32, &[i16])> {
        let voice = self.voice.as_ref().filter(|_| self.audible)?;
        Some((voice.format().sample_rate(), voice.heard()?))
    }

    /// Writes the last tick at `rate` Hz, gain applied, into `mix`; false if it is silence.
    pub(crate) fn speak(&mut self, rate: u32, mix: &mut [i16]) -> bool {
        self.polish.take_if(|polish| polish.is_spent());
        let Some(voice) = &self.voice else { return false };
        let own_rate = voice.format().sample_rate();
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

/// [`find`], with what was found before in `last`.
fn find_again<T: Copy>(
    last: &mut Option<(u8, T)>,
    table: &[(u8, T)],
    payload_type: u8,
) -> Option<T> {
    if last.is_none_or(|(of, _)| of != payload_type) {
        *last = find(table, payload_type).map(|value| (payload_type, value));
    }
    last.map(|(_, value)| value)
}

fn find<T: Copy>(table: &[(u8, T)], payload_type: u8) -> Option<T> {
    table.iter().find(|(of, _)| *of == payload_type).map(|&(_, value)| value)
}
