//! What a request says of who sent it: the value of Authorization (RFC 7616 §3.4).

use std::borrow::Cow;

use super::Algorithm;
use crate::sip::headers::Param;
use crate::sip::scan;

/// One Authorization header of the Digest scheme.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// Who it claims to be.
    pub username: String,
    /// Where.
    pub realm: String,
    /// What it answers.
    pub nonce: String,
    /// The request-URI as the sender had it; a proxy may have changed that of the message since.
    pub uri: String,
    /// MD5 where it does not say.
    pub algorithm: Algorithm,
    /// Random, of the sender.
    pub cnonce: String,
    /// How often the nonce was used, this time included.
    pub count: u32,
    /// The proof, hexadecimal.
    pub response: String,
}

/// Not the Digest scheme with `qop=auth`, an unknown algorithm, or something is missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected Digest credentials with qop=auth")]
pub struct Malformed;

impl Credentials {
    /// Reads the value of the header.
    ///
    /// # Errors
    /// [`Malformed`]; among others RFC 2069 credentials without `qop`, which could be used twice.
    pub fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let (scheme, rest) = scan::trim(value).split_at_checked(SCHEME.len()).ok_or(Malformed)?;
        if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) || rest.first() != Some(&b' ') {
            return Err(Malformed);
        }
        let params: Vec<Param> = scan::split(rest, b',')
            .take(MOST_PARAMS)
            .map(Param::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| Malformed)?;
        let find = |name: &str| {
            let param = params.iter().find(|param| param.name.eq_ignore_ascii_case(name))?;
            Some(scan::unquote(param.value.as_deref()?))
        };
        let text = |name| find(name).map(Cow::into_owned).ok_or(Malformed);
        if !find("qop").is_some_and(|qop| qop.eq_ignore_ascii_case("auth")) {
            return Err(Malformed);
        }
        let algorithm =
            find("algorithm").map_or(Some(Algorithm::Md5), |name| Algorithm::parse(&name));
        let count = find("nc").filter(|nc| nc.len() == 8);
        Ok(Self {
            username: text("username")?,
            realm: text("realm")?,
            nonce: text("nonce")?,
            uri: text("uri")?,
            algorithm: algorithm.ok_or(Malformed)?,
            cnonce: text("cnonce")?,
            count: count.and_then(|nc| u32::from_str_radix(&nc, 16).ok()).ok_or(Malformed)?,
            response: text("response")?,
        })
    }
}

const SCHEME: &str = "Digest";
/// RFC 7616 knows twelve.
const MOST_PARAMS: usize = 32;
