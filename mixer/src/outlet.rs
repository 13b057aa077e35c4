//! Turns one mix into the packets of one encoding, for one listener or for many.
//!
//! A packet begins at multiples of its interval since the room began, whichever outlet makes it, so
//! listeners can change outlets between packets. Copying an outlet copies the stream it makes: who
//! goes on with the copy hears no seam.

use crate::codec::{Codec, Encoder, Encoding, Unsupported};
use crate::resample::Resampler;
use crate::room::TICK;

/// Packets of silence after which an encoder has settled, and its last packet can be sent again.
const SETTLED: u32 = 50;
/// The largest Opus packet of one frame (RFC 6716 §3.2.1) and its head.
const MAX_OPUS: usize = 1276;
/// What Opus makes of a pause: not worth sending when DTX is agreed (RFC 7587 §3.1.3).
const DTX_OCTETS: usize = 2;
/// With DTX one packet in so many is sent in a pause, so that the far side knows we are there.
const REFRESH: u32 = 20;
/// 10 ms packets in a tick.
const MAX_PACKETS: usize = 2;

/// One encoder with what goes before it.
#[derive(Debug)]
pub(crate) struct Outlet {
    encoding: Encoding,
    encoder: Encoder,
    resampler: Option<Resampler>,
    /// Samples that do not fill a packet yet, at the codec's rate.
    pcm: Vec<i16>,
    samples_per_packet: usize,
    /// Trailing zeros of `pcm`, counted past its beginning.
    silent_samples: usize,
    silent_packets: u32,
    /// The last packet of silence.
    silence: Vec<u8>,
    /// The packets of this tick, one after the other.
    payloads: Vec<u8>,
    packets: usize,
    ends: [usize; MAX_PACKETS],
}

impl Clone for Outlet {
    fn clone(&self) -> Self {
        Self {
            encoding: self.encoding,
            encoder: self.encoder.clone(),
            resampler: self.resampler.clone(),
            pcm: with_room(&self.pcm),
            samples_per_packet: self.samples_per_packet,
            silent_samples: self.silent_samples,
            silent_packets: self.silent_packets,
            silence: with_room(&self.silence),
            payloads: with_room(&self.payloads),
            packets: self.packets,
            ends: self.ends,
        }
    }

    /// Reuses the memory of `self`.
    fn clone_from(&mut self, source: &Self) {
        self.encoding = source.encoding;
        self.encoder.clone_from(&source.encoder);
        self.resampler.clone_from(&source.resampler);
        self.pcm.clone_from(&source.pcm);
        self.samples_per_packet = source.samples_per_packet;
        self.silent_samples = source.silent_samples;
        self.silent_packets = source.silent_packets;
        self.silence.clone_from(&source.silence);
        self.payloads.clone_from(&source.payloads);
        self.packets = source.packets;
        self.ends = source.ends;
    }
}

/// A copy with the capacity of the original, so that the copy does not allocate later.
fn with_room<T: Copy>(original: &Vec<T>) -> Vec<T> {
    let mut copy = Vec::with_capacity(original.capacity());
    copy.extend_from_slice(original);
    copy
}

impl Outlet {
    /// An outlet for mixes at `rate` Hz in a room that is `ticks` old.
    ///
    /// # Errors
    /// [`Unsupported`] if no such encoder can be made.
    pub(crate) fn new(encoding: Encoding, rate: u32, ticks: u64) -> Result<Self, Unsupported> {
        let codec_rate = encoding.format.sample_rate();
        let per_ms = |ms: u128| usize::try_from(ms * u128::from(codec_rate) / 1000).unwrap_or(0);
        let interval = encoding.interval().as_millis();
        let samples_per_packet = per_ms(interval);
        let largest = match encoding.format.codec {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => samples_per_packet,
            Codec::Opus => MAX_OPUS,
            Codec::L16 => samples_per_packet * 2 * usize::from(encoding.format.channels),
        };
        let mut pcm = Vec::with_capacity(samples_per_packet + per_ms(TICK.as_millis()));
        // The part of a packet that has passed since the last boundary.
        pcm.resize(per_ms(u128::from(ticks) * TICK.as_millis() % interval), 0);
        Ok(Self {
            encoding,
            encoder: Encoder::new(&encoding)?,
            resampler: Resampler::new(rate, codec_rate),
            pcm,
            samples_per_packet,
            silent_samples: 0,
            silent_packets: 0,
            silence: Vec::with_capacity(largest),
            payloads: vec![0; largest * MAX_PACKETS],
            packets: 0,
            ends: [0; MAX_PACKETS],
        })
    }

    /// What it makes.
    pub(crate) fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// Takes the worst loss that its listeners reported, percent.
    pub(crate) fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// From now on mixes come at `rate` Hz. The last mix has to end in silence.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.resampler = Resampler::new(rate, self.encoding.format.sample_rate());
    }

    /// Takes one tick of mix, `None` for silence, and makes the packets that are complete.
    pub(crate) fn feed(&mut self, mix: Option<&[i16]>) {
        let frame = self.encoding.format.sample_rate() as usize / 50;
        if let Some(mix) = mix.filter(|mix| self.is_packet(mix)) {
            self.silent_samples = 0;
            self.packets = 1;
            self.ends[0] = self.pack_one(mix, 0);
            return;
        }
        let before = self.pcm.len();
        self.pcm.resize(before + frame, 0);
        let pcm = &mut self.pcm[before..];
        let silent = match (&mut self.resampler, mix) {
            (None, Some(mix)) => {
                let length = mix.len().min(pcm.len());
                pcm[..length].copy_from_slice(&mix[..length]);
                false
            }
            (Some(resampler), Some(mix)) => {
                resampler.run(mix, pcm);
                false
            }
            (Some(resampler), None) if !resampler.is_silent() => {
                resampler.run(&[0; 960][..resampler.input_frame()], pcm);
                false
            }
            (_, None) => true,
        };
        self.silent_samples = if silent { self.silent_samples + frame } else { 0 };
        self.pack();
    }

    /// True if a tick of mix is all that goes into the next packet, as it is: it need not be put by.
    fn is_packet(&self, mix: &[i16]) -> bool {
        self.resampler.is_none() && self.pcm.is_empty() && mix.len() == self.samples_per_packet
    }

    fn pack(&mut self) {
        self.packets = 0;
        let mut end = 0;
        let mut taken = 0;
        let pcm = std::mem::take(&mut self.pcm);
        while pcm.len() - taken >= self.samples_per_packet && self.packets < MAX_PACKETS {
            end += self.pack_one(&pcm[taken..], end);
            self.ends[self.packets] = end;
            self.packets += 1;
            taken += self.samples_per_packet;
        }
        self.pcm = pcm;
        self.pcm.drain(..taken);
    }

    /// Encodes the packet that `pcm`, which is all there is, begins with, and returns its octets.
    fn pack_one(&mut self, pcm: &[i16], at: usize) -> usize {
        let silent = self.silent_samples >= pcm.len();
        self.silent_packets = if silent { self.silent_packets.saturating_add(1) } else { 0 };
        let pauses = self.pauses();
        let is_settled = self.is_settled();
        let payload = &mut self.payloads[at..];
        if is_settled {
            if pauses && !self.silent_packets.is_multiple_of(REFRESH) {
                return 0;
            }
            payload[..self.silence.len()].copy_from_slice(&self.silence);
            return self.silence.len();
        }
        let octets = self.encoder.encode(&pcm[..self.samples_per_packet], payload);
        if silent && !(pauses && octets <= DTX_OCTETS) {
            self.silence.clear();
            self.silence.extend_from_slice(&payload[..octets]);
        }
        octets
    }

    /// True once there has been nothing but silence for so long that it may be left out.
    pub(crate) fn is_settled(&self) -> bool {
        self.silent_packets > SETTLED
    }

    /// True if pauses are not sent (RFC 7587 §3.1.3).
    fn pauses(&self) -> bool {
        self.encoding.format.codec == Codec::Opus && self.encoding.opus.dtx
    }

    /// The packets of the last tick; an empty one is a pause that is not sent.
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let pauses = self.pauses();
        let mut from = 0;
        self.ends[..self.packets].iter().map(move |&end| {
            let payload = &self.payloads[from..end];
            from = end;
            if pauses && payload.len() <= DTX_OCTETS { &[] } else { payload }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::codec::tests::tone;

    #[test]
    fn every_interval_makes_as_many_packets_as_fit() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::L16] {
            for ms in [10, 20, 30, 40, 60] {
                let encoding =
                    Encoding { ptime: Duration::from_millis(ms), ..Encoding::usual(codec) };
                let mut outlet = Outlet::new(encoding, 8_000, 0).unwrap();
                let mut made = 0;

                for i in 0..60 {
                    outlet.feed(Some(&tone(440.0, 8_000, i * 160, 160)));
                    made += outlet.packets().filter(|payload| !payload.is_empty()).count();
                }

                let interval = encoding.interval().as_millis();
                assert_eq!(made as u128, 1200 / interval, "{codec:?} {ms}");
            }
        }
    }

    #[test]
    fn outlets_of_any_age_share_packet_boundaries() {
        let encoding =
            Encoding { ptime: Duration::from_millis(30), ..Encoding::usual(Codec::Pcmu) };
        let mut old = Outlet::new(encoding, 8_000, 0).unwrap();
        for _ in 0..4 {
            old.feed(None);
        }
        let mut young = Outlet::new(encoding, 8_000, 4).unwrap();

        for _ in 0..6 {
            old.feed(None);
            young.feed(None);
            assert_eq!(old.packets, young.packets);
        }
    }

    #[test]
    fn dtx_pauses_and_gives_a_sign_of_life() {
        let mut encoding = Encoding::usual(Codec::Opus);
        encoding.opus.dtx = true;
        let mut outlet = Outlet::new(encoding, 48_000, 0).unwrap();
        let mut sent = Vec::new();
        for _ in 0..200 {
            outlet.feed(None);
            sent.push(outlet.packets().filter(|payload| !payload.is_empty()).count());
        }

        let settled: usize = sent[100..].iter().sum();
        assert_eq!(settled, 5);
    }

    #[test]
    fn settled_silence_is_not_encoded_again() {
        let mut outlet = Outlet::new(Encoding::usual(Codec::Opus), 48_000, 0).unwrap();
        for _ in 0..60 {
            outlet.feed(None);
        }

        assert_eq!(outlet.packets().next(), Some(&outlet.silence[..]));
        outlet.feed(Some(&tone(440.0, 48_000, 0, 960)));
        assert_ne!(outlet.packets().next(), Some(&outlet.silence[..]));
    }
}
