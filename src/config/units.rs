//! What a setting can be: each is read from text and written as the text that reads as the same.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use mixer::codec::{Codec, Format};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bridge::SrtpPolicy;
use crate::config::wire::List;
use crate::sip::digest::Algorithm;

/// A value, or `"auto"` for what the program finds itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Auto<T> {
    /// `"auto"`
    #[default]
    Auto,
    /// Anything else.
    Set(T),
}

impl<T> Auto<T> {
    /// The value, unless it is left to the program.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Auto => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Auto<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Set(value) => value.fmt(f),
        }
    }
}

impl<T: FromStr> FromStr for Auto<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse()
            .map(Self::Set)
            .map_err(|reason| format!("expected \"auto\" or a value: {reason}"))
    }
}

/// A value, or `"off"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Switch<T> {
    /// `"off"`
    Off,
    /// Anything else.
    On(T),
}

impl<T> Switch<T> {
    /// The value, unless it is off.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Switch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On(value) => value.fmt(f),
        }
    }
}

impl<T: FromStr> FromStr for Switch<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let value = text.parse().map(Self::On);
        value.map_err(|reason| format!("expected \"off\" or a value: {reason}"))
    }
}

/// Whether media is encrypted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaSrtp {
    /// Never.
    Off,
    /// Where the far side offers it.
    Accept,
    /// So, and we offer it.
    Offer,
    /// Always, or there is no call.
    Require,
}

impl MediaSrtp {
    /// As the bridge knows it.
    pub fn policy(self) -> SrtpPolicy {
        match self {
            Self::Off => SrtpPolicy::Off,
            Self::Accept => SrtpPolicy::Accept,
            Self::Offer => SrtpPolicy::Offer,
            Self::Require => SrtpPolicy::Require,
        }
    }
}

/// A text that is not shown; [`fmt::Display`] is for writing it where it belongs.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() < 16 || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err("expected at least 16 visible ASCII characters without blanks".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A Postgres database: `postgres://user:password@host/name`. It is not shown, since it may hold a password.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if !is_postgres || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("expected a URL as in postgres://user:password@host/name".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whose pages: `*` for all, or an origin as a browser says it (RFC 6454 §6.2), such as `https://example.com:8443`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin(String);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = format!(
            "expected \"*\" or an origin as a browser says it, in small letters, without a path and without the usual port, as in \
             \"https://example.com\", found {text:?}"
        );
        let is_origin = |usual: &str, rest: &str| {
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
                _ => (rest, None),
            };
            let is_of_host =
                |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_' | '[' | ']' | ':');
            let is_number =
                |port: &str| port.parse::<u16>().is_ok_and(|number| number.to_string() == port);
            !host.is_empty()
                && host.chars().all(is_of_host)
                && (host.starts_with('[') || !host.contains(':'))
                && port.is_none_or(|port| port != usual && is_number(port))
        };
        let fits = match text.split_once("://") {
            Some(("https", rest)) => is_origin("443", rest),
            Some(("http", rest)) => is_origin("80", rest),
            _ => text == "*",
        };
        fits.then(|| Self(text.to_owned())).ok_or(expected)
    }
}

/// A user and the password: `alice:secret`; [`fmt::Display`] is for writing it where it belongs.
#[derive(Clone, Eq, PartialEq)]
pub struct User {
    /// As in the `username` of the credentials.
    pub name: String,
    /// What only the user knows.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.password)
    }
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                Ok(Self { name: name.to_owned(), password: password.to_owned() })
            }
            _ => Err("expected a name and a password as in \"alice:secret\"".to_owned()),
        }
    }
}

/// A name server: an address, with a port where it is not 53.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NameServer(pub SocketAddr);

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        alone.or_else(|_| text.parse()).map(Self).map_err(|_| {
            format!("expected an address as in \"192.0.2.53\" or \"192.0.2.53:5353\", found {text}")
        })
    }
}

/// A digest algorithm by its name in RFC 7616: `SHA-256`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DigestName(pub Algorithm);

impl fmt::Display for DigestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for DigestName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Algorithm::parse(text)
            .map(Self)
            .ok_or_else(|| format!("expected SHA-256, SHA-512-256 or MD5, found {text}"))
    }
}

/// Ports for RTP: `16384-32767`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The first port, even: RTP.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port, odd: RTCP.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many legs have room.
    pub fn pairs(self) -> usize {
        usize::from((self.last - self.first).div_ceil(2))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected an even and a higher odd port as in 16384-32767, found {text}");
        let (first, last) = text.split_once('-').ok_or_else(expected)?;
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| expected());
        let (first, last) = (port(first)?, port(last)?);
        if first == 0 || first % 2 == 1 || last % 2 == 0 || first > last {
            return Err(expected());
        }
        Ok(Self { first, last })
    }
}

/// A codec by its RTP name, with clock and channels where they are not the only ones: `opus`, `L16/44100/2`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CodecName(pub Format);

impl CodecName {
    const CHOICES: [(&str, Format); 9] = [
        ("opus", Format::usual(Codec::Opus)),
        ("G722", Format::usual(Codec::G722)),
        ("PCMA", Format::usual(Codec::Pcma)),
        ("PCMU", Format::usual(Codec::Pcmu)),
        ("L16/8000", Format { codec: Codec::L16, clock_rate: 8_000, channels: 1 }),
        ("L16/16000", Format::usual(Codec::L16)),
        ("L16/48000", Format { codec: Codec::L16, clock_rate: 48_000, channels: 1 }),
        ("L16/44100", Format { codec: Codec::L16, clock_rate: 44_100, channels: 1 }),
        ("L16/44100/2", Format { codec: Codec::L16, clock_rate: 44_100, channels: 2 }),
    ];
}

impl fmt::Display for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::CHOICES.iter().find(|(_, format)| *format == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}/{}", self.0, self.0.channels),
        }
    }
}

impl FromStr for CodecName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let choice = Self::CHOICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        choice.map(|&(_, format)| Self(format)).ok_or_else(|| {
            let names = Self::CHOICES.map(|(name, _)| name).join(", ");
            format!("expected one of {names}, found {text}")
        })
    }
}

/// Addresses to listen on: a list, or `"off"`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Listeners(pub Vec<SocketAddr>);

impl Serialize for Listeners {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Listeners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let List(texts) = List::<String>::deserialize(deserializer)?;
        let addresses = texts.iter().filter(|text| *text != "off").map(|text| {
            text.parse().map_err(|_| {
                de::Error::custom(format!(
                    "expected \"off\" or addresses as in 0.0.0.0:5060 and [::]:5060, found {text}"
                ))
            })
        });
        Ok(Self(addresses.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::bridge::{Network, Pattern};

    #[test]
    fn what_is_written_reads_as_the_same() {
        assert_eq!(round::<PortRange>("16384-32767"), "16384-32767");
        assert_eq!(round::<Network>("fc00::/7"), "fc00::/7");
        assert_eq!(round::<Pattern>("conf-*"), "conf-*");
        assert_eq!(round::<CodecName>("OPUS"), "opus");
        assert_eq!(round::<CodecName>("l16/44100/2"), "L16/44100/2");
        assert_eq!(round::<Auto<IpAddr>>("auto"), "auto");
        assert_eq!(round::<Auto<IpAddr>>("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["1-2", "2-1", "10", "10-10", "0-9", "10-70001", "a-b"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "x/8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert!("a*b*".parse::<Pattern>().is_err());
        assert!("G729".parse::<CodecName>().is_err());
        assert!("short".parse::<Secret>().is_err());
    }

    #[test]
    fn a_secret_is_not_shown_by_accident() {
        let secret: Secret = "0123456789abcdef".parse().unwrap();

        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    fn round<T: FromStr<Err = String> + fmt::Display>(text: &str) -> String {
        text.parse::<T>().unwrap().to_string()
    }
}
