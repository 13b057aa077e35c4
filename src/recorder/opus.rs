//! An Ogg Opus file that grows (RFC 7845): 48 kHz, mono, a page a second, each of which can be played without those after it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use mixer::codec::{Codec, Encoder, Encoding, Format, OpusOptions};
use mixer::resample::Resampler;
use ogg::writing::{PacketWriteEndInfo, PacketWriter};

/// A file that is written.
pub(super) struct Opus {
    pages: PacketWriter<'static, File>,
    serial: u32,
    encoder: Encoder,
    /// Ticks since it last encoded something; at the beginning it never has.
    rested: u32,
    resampler: Option<(u32, Resampler)>,
    /// The last packet, which is written with the next, since only then it is known not to end the file.
    held: Option<Vec<u8>>,
    /// Packets written or held.
    packets: u64,
}

impl std::fmt::Debug for Opus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opus").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl Opus {
    pub(super) fn new(file: File, serial: u32) -> io::Result<Self> {
        let mut pages = PacketWriter::new(file);
        pages.write_packet(head(), serial, PacketWriteEndInfo::EndPage, 0)?;
        pages.write_packet(tags(), serial, PacketWriteEndInfo::EndPage, 0)?;
        let encoder = encoder()?;
        Ok(Self {
            pages,
            serial,
            encoder,
            rested: FADE_TICKS,
            resampler: None,
            held: None,
            packets: 0,
        })
    }

    /// Appends so many ticks of silence: the first are encoded, so that what was said dies away.
    pub(super) fn silence(&mut self, ticks: u32) -> io::Result<()> {
        for _ in 0..ticks {
            let rested = self.rested;
            if rested < FADE_TICKS {
                self.encode(&[0; FRAME])?;
            } else {
                self.put(SILENCE.to_vec())?;
            }
            self.rested = rested.saturating_add(1);
            if self.rested == FADE_TICKS {
                // What is said next has nothing to do with what was said before.
                self.encoder = encoder()?;
            }
        }
        self.resampler = None;
        Ok(())
    }

    /// Appends a tick.
    pub(super) fn sound(&mut self, pcm: &[i16]) -> io::Result<()> {
        let from = u32::try_from(pcm.len()).unwrap_or(0) * 50;
        if from == RATE {
            return self.encode(pcm);
        }
        if self.resampler.as_ref().is_none_or(|(of, _)| *of != from) {
            self.resampler = Resampler::new(from, RATE).map(|made| (from, made));
        }
        let mut converted = [0; FRAME];
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.run(pcm, &mut converted);
        }
        self.encode(&converted)
    }

    fn encode(&mut self, pcm: &[i16]) -> io::Result<()> {
        let mut packet = vec![0; MAX_PACKET];
        let octets = self.encoder.encode(pcm, &mut packet);
        self.rested = 0;
        packet.truncate(octets);
        self.put(if octets == 0 { SILENCE.to_vec() } else { packet })
    }

    fn put(&mut self, packet: Vec<u8>) -> io::Result<()> {
        if let Some(held) = self.held.replace(packet) {
            let ends_page = self.packets.is_multiple_of(PAGE_PACKETS);
            let end = if ends_page {
                PacketWriteEndInfo::EndPage
            } else {
                PacketWriteEndInfo::NormalPacket
            };
            self.pages.write_packet(held, self.serial, end, self.packets * FRAME as u64)?;
        }
        self.packets += 1;
        Ok(())
    }

    /// Makes it whole. The last position leaves out what encoding delayed.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.held.is_none() {
            self.put(SILENCE.to_vec())?;
        }
        if let Some(held) = self.held.take() {
            let end = PacketWriteEndInfo::EndStream;
            self.pages.write_packet(held, self.serial, end, self.packets * FRAME as u64)?;
        }
        self.pages.inner_mut().flush()
    }
}

fn encoder() -> io::Result<Encoder> {
    let encoding = Encoding {
        format: Format::usual(Codec::Opus),
        opus: OpusOptions { fec: false, dtx: false, bitrate: BITRATE, ..OpusOptions::USUAL },
        ..Encoding::usual(Codec::Opus)
    };
    Encoder::new(&encoding).map_err(io::Error::other)
}

/// RFC 7845 §5.1.
fn head() -> Vec<u8> {
    let mut head = b"OpusHead\x01\x01".to_vec(); // version, channels
    head.extend(PRE_SKIP.to_le_bytes());
    head.extend(RATE.to_le_bytes());
    head.extend([0, 0, 0]); // gain, mapping family
    head
}

/// RFC 7845 §5.2.
fn tags() -> Vec<u8> {
    let vendor = b"Plenary";
    let mut tags = b"OpusTags".to_vec();
    tags.extend(u32::try_from(vendor.len()).unwrap_or(0).to_le_bytes());
    tags.extend(vendor);
    tags.extend(0_u32.to_le_bytes());
    tags
}

/// How long a file lasts, milliseconds: by the position of its last page.
pub(super) fn duration_ms(file: &mut File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(MAX_PAGE)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let page = tail.windows(14).rev().find(|window| window.starts_with(b"OggS"));
    let position = page.and_then(|page| page[6..14].try_into().ok()).map_or(0, u64::from_le_bytes);
    Ok(position.saturating_sub(PRE_SKIP.into()) * 1_000 / u64::from(RATE))
}

/// Hz.
pub(super) const RATE: u32 = 48_000;
/// Samples of a tick.
const FRAME: usize = 960;
/// What libopus delays by, samples.
const PRE_SKIP: u16 = 312;
/// Ticks of silence that are encoded after a sound.
const FADE_TICKS: u32 = 5;
/// 20 ms of silence (RFC 6716: MDCT, full band, with the flag of silence set).
const SILENCE: [u8; 3] = [0xF8, 0xFF, 0xFE];
/// Packets of a page, a second of them.
const PAGE_PACKETS: u64 = 50;
/// The longest page (RFC 3533 §6).
const MAX_PAGE: u64 = 65_307;
/// RFC 6716 §3.2.1.
const MAX_PACKET: usize = 1_275;
/// bit/s: speech for people, at 13 MB an hour.
const BITRATE: u32 = 32_000;
