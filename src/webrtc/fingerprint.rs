//! `a=fingerprint` (RFC 8122 §5): the hash of a certificate, in the signalling that vouches for it.

use std::fmt;

use sha2::{Digest, Sha256, Sha384, Sha512};

/// The hash functions that are taken for safe. MD5 and SHA-1 are not among them (RFC 8122 §5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hash {
    /// `sha-256`, which everybody has.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

impl Hash {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn of(self, certificate: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(certificate).to_vec(),
            Self::Sha384 => Sha384::digest(certificate).to_vec(),
            Self::Sha512 => Sha512::digest(certificate).to_vec(),
        }
    }
}

/// The hash of a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fingerprint {
    hash: Hash,
    octets: Vec<u8>,
}

impl Fingerprint {
    /// Of a certificate in DER, by SHA-256.
    pub fn of(certificate: &[u8]) -> Self {
        Self { hash: Hash::Sha256, octets: Hash::Sha256.of(certificate) }
    }

    /// Reads `sha-256 AB:CD:…`; `None` for a hash that is not known here, and for what is none.
    pub fn parse(value: &str) -> Option<Self> {
        let (name, digits) = value.trim().split_once(' ')?;
        let hash = Hash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name))?;
        let octet = |pair: &str| {
            let is_pair = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_pair.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        // One more than there may be shows that it is too long.
        let pairs = digits.trim().split(':').take(hash.len() + 1);
        let octets: Vec<u8> = pairs.map(octet).collect::<Option<_>>()?;
        (octets.len() == hash.len()).then_some(Self { hash, octets })
    }

    /// Whether this is the fingerprint of a certificate in DER.
    pub fn is_of(&self, certificate: &[u8]) -> bool {
        self.hash.of(certificate) == self.octets
    }
}

impl fmt::Display for Fingerprint {
    /// The value of the attribute.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (at, octet) in self.octets.iter().enumerate() {
            write!(f, "{}{octet:02X}", if at == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed_and_is_of_its_certificate_alone() {
        let fingerprint = Fingerprint::of(b"certificate");

        let read = Fingerprint::parse(&fingerprint.to_string().to_lowercase()).unwrap();

        assert_eq!(read, fingerprint);
        assert!(read.is_of(b"certificate") && !read.is_of(b"another"));
    }

    #[test]
    fn longer_hashes_are_known() {
        for hash in Hash::ALL {
            let fingerprint = Fingerprint { hash, octets: hash.of(b"x") };

            let read = Fingerprint::parse(&fingerprint.to_string());

            assert!(read.is_some_and(|read| read.is_of(b"x")), "{hash:?}");
        }
    }

    #[test]
    fn what_is_no_fingerprint_or_an_unsafe_one_is_skipped() {
        let right = Fingerprint::of(b"x").to_string();
        let sha1 = format!("sha-1 {}", ["AB"; 20].join(":"));
        let (long, short) = (format!("{right}:00"), &right[..right.len() - 3]);
        let signed = right.replacen(' ', " +", 1);
        for wrong in ["", "sha-256", "sha-256 ", "sha-256 AB", &sha1, &long, short, &signed] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }
}
