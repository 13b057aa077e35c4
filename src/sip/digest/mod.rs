//! Digest authentication, of those who call us and of us by those whom we call: RFC 3261 §22 with RFC 7616 and RFC 8760.
//!
//! ```text
//!  request ──▶ 401 with a challenge for each algorithm ──▶ request with credentials ──▶ Gate::check
//! ```
//! A nonce is a time and a random number under our seal, so that it costs nothing until somebody has answered it rightly.
//! From then on the counts (`nc`) it was used with are kept, and none is good twice.

mod credentials;
mod gate;
mod login;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

pub use credentials::{Credentials, Malformed};
pub use gate::{Gate, GateOptions, Verdict};
pub use login::Account;
pub(in crate::sip) use login::Login;

/// A hash that both sides can.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// RFC 8760, what is best known.
    Sha256,
    /// RFC 8760.
    Sha512_256,
    /// RFC 3261: broken for other purposes, and all that old phones know.
    Md5,
}

impl Algorithm {
    /// All of them, best first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha512_256, Self::Md5];

    /// As it stands in a header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
            Self::Md5 => "MD5",
        }
    }

    /// Reads its name; the `-sess` variants are none of ours.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Lower-case hexadecimal of the hash of `parts` with colons between them.
    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512_256 => hex(&Sha512_256::digest(text)),
            Self::Md5 => hex(&Md5::digest(text)),
        }
    }

    /// What stands for a user's password in a realm (RFC 7616 §3.4.2): as good as the password there, and of no use elsewhere.
    pub fn secret(self, username: &str, realm: &str, password: &str) -> String {
        self.hash(&[username, realm, password])
    }

    /// What the far side must have sent for `method` if it knows the [secret](Self::secret) (RFC 7616 §3.4.1, qop `auth`).
    pub fn response(self, secret: &str, method: &str, said: &Credentials) -> String {
        let request = self.hash(&[method, &said.uri]);
        let count = format!("{:08x}", said.count);
        self.hash(&[secret, &said.nonce, &count, &said.cnonce, "auth", &request])
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Compares in a time that does not tell how much is right.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |unlike, (a, b)| unlike | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
