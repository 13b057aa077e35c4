//! A thin wrapper over libopus that owns the memory of its states.
//!
//! libopus keeps only offsets and pointers to static tables in a state, so a state in our own
//! memory can be copied like any other value. That is what splits an encoder when a listener of a
//! group starts to talk: the copy goes on where the group's stream is, and nobody hears a seam.
//!
//! This is the one place of the crate with `unsafe`.
#![expect(unsafe_code, reason = "libopus is a C library")]

use std::ffi::c_int;
use std::time::Duration;

use super::{Malformed, OpusOptions, Unsupported};

/// Input and output rate: libopus chooses the audio bandwidth by itself below it.
pub(crate) const RATE: u32 = 48_000;
/// 120 ms, the longest packet of RFC 6716 §3.
#[cfg(test)]
pub(crate) const MAX_SAMPLES: usize = 5760;
/// The longest packet that is kept to be decoded again, octets.
const MAX_REPLAYED: usize = 400;
/// [`RATE`] as the C library takes it.
const C_RATE: i32 = 48_000;

/// Encodes 48 kHz mono; [`Clone`] copies the whole state.
///
/// On a clean path it lets libopus choose by bit rate, which from some 18 kbit/s on is the MDCT coder
/// (CELT): at 32 kbit/s and complexity 5 that sounds as good as the hybrid of speech coder (SILK) and
/// MDCT (PESQ 4.31 against 4.36) and takes a third of the time. Where packets get lost it is told
/// that this is speech, which brings the speech coder: only that one carries FEC, and it conceals better.
#[derive(Debug)]
pub(crate) struct Encoder {
    state: Vec<u64>,
    /// Pauses are not sent, which takes the voice detector of the speech coder.
    dtx: bool,
}

impl Clone for Encoder {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), dtx: self.dtx }
    }

    /// Reuses the memory of `self`.
    fn clone_from(&mut self, source: &Self) {
        self.state.clone_from(&source.state);
        self.dtx = source.dtx;
    }
}

impl Encoder {
    /// An encoder for speech by what fmtp and our settings agreed.
    ///
    /// # Errors
    /// If libopus does not take one of the settings.
    pub(crate) fn new(options: OpusOptions) -> Result<Self, Unsupported> {
        // SAFETY: the function only computes a number.
        let octets = unsafe { opusic_sys::opus_encoder_get_size(1) };
        let mut state = memory(octets)?;
        // SAFETY: `state` has the size asked for and is aligned to 8, the most libopus needs.
        let result = unsafe {
            opusic_sys::opus_encoder_init(
                state.as_mut_ptr().cast(),
                C_RATE,
                1,
                opusic_sys::OPUS_APPLICATION_AUDIO,
            )
        };
        if result != opusic_sys::OPUS_OK {
            return Err(Unsupported);
        }
        let mut encoder = Self { state, dtx: options.dtx };
        for (request, value) in settings(options) {
            encoder.set(request, value)?;
        }
        Ok(encoder)
    }

    fn set(&mut self, request: c_int, value: c_int) -> Result<(), Unsupported> {
        // SAFETY: `state` was initialised in `new`; every request used takes one `opus_int32`.
        let result =
            unsafe { opusic_sys::opus_encoder_ctl(self.state.as_mut_ptr().cast(), request, value) };
        if result == opusic_sys::OPUS_OK { Ok(()) } else { Err(Unsupported) }
    }

    /// Says how many of 100 packets get lost on the way. Above 0 the speech coder is used, and where FEC is agreed
    /// each packet carries a coarse copy of the one before, which takes a second run of it.
    pub(crate) fn expect_loss(&mut self, percent: u8) {
        // Neither refuses these values.
        let loss = opusic_sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST;
        let _refused = self.set(loss, percent.min(100).into());
        let signal = opusic_sys::OPUS_SET_SIGNAL_REQUEST;
        let _refused = self.set(signal, signal_for(percent, self.dtx));
    }

    /// Encodes one packet of 10, 20, 40 or 60 ms; returns octets, 0 if libopus refused.
    pub(crate) fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> usize {
        let (Ok(samples), Ok(room)) = (c_int::try_from(pcm.len()), i32::try_from(payload.len()))
        else {
            return 0;
        };
        // SAFETY: `state` was initialised in `new`; `pcm` and `payload` are as long as said.
        let octets = unsafe {
            opusic_sys::opus_encode(
                self.state.as_mut_ptr().cast(),
                pcm.as_ptr(),
                samples,
                payload.as_mut_ptr(),
                room,
            )
        };
        usize::try_from(octets).unwrap_or(0)
    }
}

/// Decodes to 48 kHz mono, stereo as the mean of both channels.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    state: Vec<u64>,
    /// The last packet, if it can be decoded again; no longer than [`MAX_REPLAYED`].
    last: Vec<u8>,
}

impl Decoder {
    /// A decoder in its first state.
    ///
    /// # Errors
    /// If libopus refuses, which it has no reason to.
    pub(crate) fn new() -> Result<Self, Unsupported> {
        // SAFETY: the function only computes a number.
        let octets = unsafe { opusic_sys::opus_decoder_get_size(1) };
        let mut state = memory(octets)?;
        // SAFETY: `state` has the size asked for and is aligned to 8, the most libopus needs.
        let result = unsafe { opusic_sys::opus_decoder_init(state.as_mut_ptr().cast(), C_RATE, 1) };
        if result != opusic_sys::OPUS_OK {
            return Err(Unsupported);
        }
        Ok(Self { state, last: Vec::with_capacity(MAX_REPLAYED) })
    }

    /// Decodes one packet; `pcm` has room for 120 ms.
    ///
    /// # Errors
    /// [`Malformed`] if it is no Opus packet; the decoder stays usable.
    pub(crate) fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Malformed> {
        if payload.is_empty() {
            return Err(Malformed); // libopus would take it for a lost packet
        }
        self.last.clear();
        if payload.len() <= MAX_REPLAYED && has_speech_coder(payload) {
            self.last.extend_from_slice(payload);
        }
        self.run(Some(payload), pcm, 0)
    }

    /// Decodes the last packet once more; false unless the speech coder made it and it fills `pcm`.
    ///
    /// After a loss that it is told of, the speech coder damps the filters of the next packets, and a tone takes some 60 ms
    /// to swell again. The same packet twice lets them ring on.
    pub(crate) fn replay(&mut self, pcm: &mut [i16]) -> bool {
        let last = std::mem::take(&mut self.last);
        let fits = !last.is_empty() && self.run(Some(&last), pcm, 0) == Ok(pcm.len());
        self.last = last;
        fits
    }

    /// Fills `pcm` (a multiple of 2.5 ms) for a lost packet from the copy that `next` may carry.
    ///
    /// # Errors
    /// [`Malformed`] if `next` is no Opus packet.
    pub(crate) fn recover(&mut self, next: &[u8], pcm: &mut [i16]) -> Result<usize, Malformed> {
        if next.is_empty() {
            return Err(Malformed);
        }
        self.run(Some(next), pcm, 1)
    }

    /// Fills `pcm` (a multiple of 2.5 ms) for a lost packet from what came before.
    ///
    /// # Errors
    /// [`Malformed`] if the length is not a multiple of 2.5 ms.
    pub(crate) fn conceal(&mut self, pcm: &mut [i16]) -> Result<usize, Malformed> {
        self.run(None, pcm, 0)
    }

    fn run(
        &mut self,
        payload: Option<&[u8]>,
        pcm: &mut [i16],
        fec: c_int,
    ) -> Result<usize, Malformed> {
        let octets = payload.map_or(Ok(0), |p| i32::try_from(p.len())).map_err(|_| Malformed)?;
        let room = c_int::try_from(pcm.len()).map_err(|_| Malformed)?;
        // SAFETY: `state` was initialised in `new`; `payload` (null means lost) and `pcm` are as
        // long as said.
        let samples = unsafe {
            opusic_sys::opus_decode(
                self.state.as_mut_ptr().cast(),
                payload.map_or(std::ptr::null(), <[u8]>::as_ptr),
                octets,
                pcm.as_mut_ptr(),
                room,
                fec,
            )
        };
        usize::try_from(samples).map_err(|_| Malformed)
    }
}

/// What the packet itself says about speech in it; `None` where only decoding would tell.
///
/// The SILK layer's payload starts with one voice-activity bit for each 20 ms and one that tells of
/// FEC (RFC 6716 §4.2.3), coded evenly, so the range coder leaves them readable. A payload of up
/// to two octets is DTX. A CELT frame begins with a flag of silence that is set once in 2^15
/// (§4.3), which the range coder writes as 15 ones.
pub(crate) fn has_voice(payload: &[u8]) -> Option<bool> {
    if payload.len() <= 2 || is_celt_silence(payload) {
        return Some(false);
    }
    silk_flags(payload).map(|(flags, frames)| flags >> (8 - frames) != 0)
}

fn is_celt_silence(payload: &[u8]) -> bool {
    let &[toc, first, second, ..] = payload else { return false };
    let is_lone_celt_frame = toc >= 16 << 3 && toc.trailing_zeros() >= 2;
    is_lone_celt_frame && first == 0xFF && second >= 0xFE
}

/// True if the packet carries a copy of the one before it; see [`has_voice`].
pub(crate) fn carries_fec(payload: &[u8]) -> bool {
    silk_flags(payload).is_some_and(|(flags, frames)| flags >> (7 - frames) & 1 != 0)
}

/// False if the packet certainly carries no such copy.
pub(crate) fn may_carry_fec(payload: &[u8]) -> bool {
    has_speech_coder(payload) && (silk_flags(payload).is_none() || carries_fec(payload))
}

/// True for SILK and hybrid packets, by their first octet (RFC 6716 §3.1).
fn has_speech_coder(payload: &[u8]) -> bool {
    payload.first().is_some_and(|toc| toc >> 3 < 16)
}

/// The first octet of a lone SILK or hybrid frame, and how many voice-activity bits it begins with.
fn silk_flags(payload: &[u8]) -> Option<(u8, u8)> {
    let &[toc, flags, ..] = payload else { return None };
    let config = toc >> 3;
    if config >= 16 || toc & 3 != 0 {
        return None; // CELT only, or several frames
    }
    let frames = match config {
        0..=11 => [1, 1, 2, 3][usize::from(config & 3)], // SILK 10, 20, 40, 60 ms
        _ => 1,                                          // hybrid 10, 20 ms
    };
    Some((flags, frames))
}

/// The packet interval that Opus can make nearest below the one asked for (RFC 7587 §4.2).
pub(crate) fn interval(ptime: Duration) -> Duration {
    Duration::from_millis(match ptime.as_millis() {
        0..20 => 10,
        20..40 => 20,
        40..60 => 40,
        _ => 60,
    })
}

fn settings(options: OpusOptions) -> [(c_int, c_int); 9] {
    use opusic_sys::{
        OPUS_BANDWIDTH_FULLBAND, OPUS_BANDWIDTH_MEDIUMBAND, OPUS_BANDWIDTH_NARROWBAND,
        OPUS_BANDWIDTH_SUPERWIDEBAND, OPUS_BANDWIDTH_WIDEBAND,
    };

    let bandwidth = match options.max_playback_rate {
        0..12_000 => OPUS_BANDWIDTH_NARROWBAND,
        12_000..16_000 => OPUS_BANDWIDTH_MEDIUMBAND,
        16_000..24_000 => OPUS_BANDWIDTH_WIDEBAND,
        24_000..48_000 => OPUS_BANDWIDTH_SUPERWIDEBAND,
        _ => OPUS_BANDWIDTH_FULLBAND,
    };
    let bitrate = c_int::try_from(options.bitrate.clamp(6_000, 510_000)).unwrap_or(24_000);
    let complexity = c_int::from(options.complexity.min(10));
    [
        (opusic_sys::OPUS_SET_SIGNAL_REQUEST, signal_for(0, options.dtx)),
        (opusic_sys::OPUS_SET_BITRATE_REQUEST, bitrate),
        (opusic_sys::OPUS_SET_MAX_BANDWIDTH_REQUEST, bandwidth),
        (opusic_sys::OPUS_SET_COMPLEXITY_REQUEST, complexity),
        (opusic_sys::OPUS_SET_VBR_REQUEST, c_int::from(!options.cbr)),
        (opusic_sys::OPUS_SET_INBAND_FEC_REQUEST, c_int::from(options.fec)),
        (opusic_sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST, 0),
        (opusic_sys::OPUS_SET_DTX_REQUEST, c_int::from(options.dtx)),
        (opusic_sys::OPUS_SET_LSB_DEPTH_REQUEST, 16),
    ]
}

/// What libopus is told to expect; see [`Encoder`].
fn signal_for(loss_percent: u8, dtx: bool) -> c_int {
    if loss_percent > 0 || dtx { opusic_sys::OPUS_SIGNAL_VOICE } else { opusic_sys::OPUS_AUTO }
}

fn memory(octets: c_int) -> Result<Vec<u64>, Unsupported> {
    let octets = usize::try_from(octets).map_err(|_| Unsupported)?;
    Ok(vec![0; octets.div_ceil(8)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::tone;

    #[test]
    fn copied_encoder_goes_on_bit_exactly() {
        let mut one = Encoder::new(OpusOptions::USUAL).unwrap();
        let mut outputs = [[0; 1500]; 2];
        for i in 0..10 {
            one.encode(&tone(440.0, RATE, i * 960, 960), &mut outputs[0]);
        }
        let mut two = one.clone();

        for i in 10..40 {
            let pcm = tone(440.0, RATE, i * 960, 960);
            let first = one.encode(&pcm, &mut outputs[0]);
            let second = two.encode(&pcm, &mut outputs[1]);
            assert_eq!(outputs[0][..first], outputs[1][..second]);
        }
    }

    #[test]
    fn packets_of_every_interval_decode_to_their_length() {
        for ms in [10, 20, 40, 60] {
            let mut encoder = Encoder::new(OpusOptions::USUAL).unwrap();
            let mut decoder = Decoder::new().unwrap();
            let mut payload = [0; 1500];
            let mut pcm = [0; MAX_SAMPLES];

            let octets = encoder.encode(&tone(440.0, RATE, 0, 48 * ms), &mut payload);

            assert_eq!(decoder.decode(&payload[..octets], &mut pcm), Ok(48 * ms));
        }
    }

    #[test]
    fn garbage_is_an_error_and_not_the_end() {
        let mut decoder = Decoder::new().unwrap();
        let mut pcm = [0; MAX_SAMPLES];

        for payload in [&[][..], &[0xFF, 0xFF, 0xFF], &[3, 0]] {
            assert_eq!(decoder.decode(payload, &mut pcm), Err(Malformed));
        }
        assert_eq!(decoder.conceal(&mut pcm[..960]), Ok(960));
    }

    #[test]
    fn a_clean_path_takes_the_mdct_coder_and_a_lossy_one_speech_with_fec() {
        let mut encoder = Encoder::new(OpusOptions { fec: true, ..OpusOptions::USUAL }).unwrap();
        let mut payload = [0; 1500];
        let mut packets = Vec::new();
        for i in 0..60 {
            encoder.expect_loss(if (20..40).contains(&i) { 10 } else { 0 });
            let octets = encoder.encode(&buzz(i * 960, 960), &mut payload);
            packets.push((payload[0] >> 3 >= 16, carries_fec(&payload[..octets])));
        }

        assert!(packets[..20].iter().all(|&(celt, _)| celt), "{packets:?}");
        assert!(packets[22..40].iter().all(|&(celt, _)| !celt), "{packets:?}");
        assert!(packets[22..40].iter().any(|&(_, fec)| fec), "{packets:?}");
        assert!(packets[42..].iter().all(|&(celt, _)| celt), "{packets:?}");
    }

    #[test]
    fn silence_of_the_mdct_coder_is_seen_without_decoding() {
        let mut encoder = Encoder::new(OpusOptions::USUAL).unwrap();
        let mut payload = [0; 1500];
        let mut voiced = Vec::new();
        for i in 0..100 {
            let pcm = if i < 50 { buzz(i * 960, 960) } else { vec![0; 960] };
            let octets = encoder.encode(&pcm, &mut payload);
            voiced.push(has_voice(&payload[..octets]));
        }

        assert!(voiced[..50].iter().all(Option::is_none), "{voiced:?}");
        assert!(voiced[80..].iter().all(|&voice| voice == Some(false)), "{voiced:?}");
    }

    #[test]
    fn voice_bit_follows_speech_and_silence() {
        let options = OpusOptions { max_playback_rate: 16_000, ..OpusOptions::USUAL };
        let mut encoder = Encoder::new(options).unwrap();
        encoder.expect_loss(5);
        let mut payload = [0; 1500];
        let mut voiced = Vec::new();
        for i in 0..100 {
            let pcm = if i < 50 { buzz(i * 960, 960) } else { vec![0; 960] };
            let octets = encoder.encode(&pcm, &mut payload);
            voiced.push(has_voice(&payload[..octets]));
        }

        let speech = voiced[..50].iter().filter(|&&voice| voice == Some(true)).count();
        assert!(speech > 35, "{voiced:?}");
        assert!(voiced[80..].iter().all(|&voice| voice == Some(false)), "{voiced:?}");
    }

    /// A glottal-like pulse train at 120 Hz that starts and stops four times a second.
    fn buzz(from: usize, samples: usize) -> Vec<i16> {
        (from..from + samples)
            .map(|i| if i % 400 < 40 && i % 12_000 < 9_000 { 12_000 } else { -800 })
            .collect()
    }
}
