//! Containers and codecs, by symphonia; Opus by our own decoder, which symphonia has none for.

use std::io::Cursor;
use std::time::Duration;

use mixer::codec::{Codec, Decoder, Format};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::SoundFault;

/// What a file holds, all channels in one; −1 to 1.
pub(super) struct Sound {
    pub(super) rate: u32,
    pub(super) pcm: Vec<f32>,
}

/// What turns the packets of a track into samples.
enum Reader {
    Opus(Box<Decoder>),
    Other(Box<dyn AudioDecoder>),
}

/// Reads the first track of sound.
pub(super) fn decode(file: &[u8], longest: Duration) -> Result<Sound, SoundFault> {
    let source = Box::new(Cursor::new(file));
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| unreadable(&error))?;
    let track = format.default_track(TrackType::Audio).ok_or(SoundFault::Empty)?;
    let id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
    let mut reader = Reader::new(parameters.ok_or(SoundFault::Empty)?)?;
    let mut sound = Sound { rate: 0, pcm: Vec::new() };
    while let Some(packet) = next_packet(&mut *format)? {
        if packet.track_id == id {
            reader.read(&packet, &mut sound)?;
        }
        if sound.pcm.len() as u128 > u128::from(sound.rate) * longest.as_millis() / 1000 {
            return Err(SoundFault::TooLong(longest));
        }
    }
    Ok(sound)
}

/// A file that ends in the middle ends there.
fn next_packet(format: &mut dyn FormatReader) -> Result<Option<Packet>, SoundFault> {
    match format.next_packet() {
        Ok(packet) => Ok(packet),
        Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(unreadable(&error)),
    }
}

impl Reader {
    fn new(parameters: &AudioCodecParameters) -> Result<Self, SoundFault> {
        if parameters.codec != CODEC_ID_OPUS {
            let options = AudioDecoderOptions::default();
            let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &options);
            return decoder.map(Self::Other).map_err(|error| unreadable(&error));
        }
        let format = Format { codec: Codec::Opus, clock_rate: OPUS_RATE, channels: 2 };
        let decoder = Decoder::new(format)
            .map_err(|_| SoundFault::Unreadable("there is no Opus decoder".to_owned()))?;
        Ok(Self::Opus(Box::new(decoder)))
    }

    /// Appends what a packet holds. One that is broken is left out, as a player would.
    fn read(&mut self, packet: &Packet, sound: &mut Sound) -> Result<(), SoundFault> {
        match self {
            Self::Opus(decoder) => {
                let mut pcm = [0; OPUS_LONGEST];
                let count = decoder.decode(&packet.data, &mut pcm).unwrap_or(0);
                let from =
                    usize::try_from(packet.trim_start.get()).unwrap_or(usize::MAX).min(count);
                let end = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX);
                let to = count.saturating_sub(end).max(from);
                sound.rate = OPUS_RATE;
                sound.pcm.extend(pcm[from..to].iter().map(|&sample| f32::from(sample) / FULL));
            }
            Self::Other(decoder) => match decoder.decode(packet) {
                Ok(buffer) => sound.append(&buffer)?,
                Err(Error::DecodeError(_)) => {}
                Err(error) => return Err(unreadable(&error)),
            },
        }
        Ok(())
    }
}

impl Sound {
    fn append(&mut self, buffer: &GenericAudioBufferRef<'_>) -> Result<(), SoundFault> {
        let rate = buffer.spec().rate();
        if self.rate != 0 && self.rate != rate {
            return Err(SoundFault::Unreadable("its rate changes".to_owned()));
        }
        self.rate = rate;
        let channels = buffer.spec().channels().count().max(1);
        let mut all = vec![0.0_f32; buffer.samples_interleaved()];
        buffer.copy_to_slice_interleaved(&mut all);
        #[expect(clippy::cast_precision_loss, reason = "few channels")]
        let mono = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
        self.pcm.extend(all.chunks_exact(channels).map(mono));
        Ok(())
    }
}

fn unreadable(error: &Error) -> SoundFault {
    SoundFault::Unreadable(error.to_string())
}

/// RFC 7845 §4: Ogg Opus counts at this rate, Hz.
const OPUS_RATE: u32 = 48_000;
/// The longest packet, samples (RFC 6716 §3.2.5).
const OPUS_LONGEST: usize = 5_760;
/// Of 16 bits.
const FULL: f32 = 32_768.0;
