//! 16-bit linear PCM in network byte order (RFC 3551 §4.5.11); two channels are heard as their mean.

/// Decodes as many samples as fit; a torn last sample is left out.
pub(crate) fn decode(channels: u8, payload: &[u8], pcm: &mut [i16]) -> usize {
    if channels == 2 {
        let (frames, _) = payload.as_chunks::<4>();
        for (sample, &[a, b, c, d]) in pcm.iter_mut().zip(frames) {
            *sample = i16::from_be_bytes([a, b]).midpoint(i16::from_be_bytes([c, d]));
        }
        return frames.len().min(pcm.len());
    }
    let (frames, _) = payload.as_chunks::<2>();
    for (sample, &octets) in pcm.iter_mut().zip(frames) {
        *sample = i16::from_be_bytes(octets);
    }
    frames.len().min(pcm.len())
}

/// Encodes as many samples as fit, the same into each channel; returns octets.
pub(crate) fn encode(channels: u8, pcm: &[i16], payload: &mut [u8]) -> usize {
    if channels == 2 {
        let (frames, _) = payload.as_chunks_mut::<4>();
        for (frame, sample) in frames.iter_mut().zip(pcm) {
            let [a, b] = sample.to_be_bytes();
            *frame = [a, b, a, b];
        }
        return 4 * frames.len().min(pcm.len());
    }
    let (frames, _) = payload.as_chunks_mut::<2>();
    for (frame, sample) in frames.iter_mut().zip(pcm) {
        *frame = sample.to_be_bytes();
    }
    2 * frames.len().min(pcm.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_is_exact_in_one_and_two_channels() {
        for channels in [1, 2] {
            let pcm = [0, 1, -1, i16::MAX, i16::MIN];
            let mut octets = [0; 20];
            let mut again = [0; 5];

            let length = encode(channels, &pcm, &mut octets);
            let samples = decode(channels, &octets[..length], &mut again);

            assert_eq!((samples, again), (5, pcm));
        }
    }

    #[test]
    fn torn_sample_is_left_out() {
        assert_eq!(decode(1, &[0, 1, 2], &mut [0; 4]), 1);
        assert_eq!(decode(2, &[0, 1, 2], &mut [0; 4]), 0);
    }
}
