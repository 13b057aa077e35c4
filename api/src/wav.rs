//! WAV files, as sounds and recordings are kept and given out: 16 bits, mono.

/// The head of a file of so many octets of samples; at most 4 GiB.
pub fn head(rate: u32, octets: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let mut at = 0;
    let mut put = |octets: &[u8]| {
        head[at..at + octets.len()].copy_from_slice(octets);
        at += octets.len();
    };
    put(b"RIFF");
    put(&octets.saturating_add(36).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    put(&1_u16.to_le_bytes()); // PCM
    put(&1_u16.to_le_bytes()); // channels
    put(&rate.to_le_bytes());
    put(&(rate * 2).to_le_bytes());
    put(&2_u16.to_le_bytes()); // octets of a sample
    put(&16_u16.to_le_bytes());
    put(b"data");
    put(&octets.to_le_bytes());
    head
}

/// A whole file.
pub fn print(rate: u32, pcm: &[i16]) -> Vec<u8> {
    let octets = u32::try_from(pcm.len() * 2).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(HEAD + pcm.len() * 2);
    file.extend_from_slice(&head(rate, octets));
    file.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// Octets of a head.
pub const HEAD: usize = 44;
