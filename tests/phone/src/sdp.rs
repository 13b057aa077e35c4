//! SDP through sdp-rs: what we describe and what we are told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sdp_rs::lines::common::{Addrtype, Nettype};
use sdp_rs::lines::connection::ConnectionAddress;
use sdp_rs::lines::media::{MediaType, ProtoType};
use sdp_rs::lines::{Active, Attribute, Connection, Media, Origin, SessionName, Version};
use sdp_rs::{MediaDescription, SessionDescription, Time};
use serde::Serialize;

use crate::codec::{Codec, Kind};

/// Our side of a session.
#[derive(Clone, Debug)]
pub struct Local {
    pub session_id: u64,
    pub version: u64,
    pub address: SocketAddr,
    pub codecs: Vec<Codec>,
    pub events: Vec<(u8, u32)>,
    pub ptime_ms: u32,
    pub direction: Direction,
    /// Shows `0.0.0.0` as our address (hold of RFC 2543).
    pub zero: bool,
}

/// Their side.
#[derive(Clone, Debug)]
pub struct Remote {
    pub address: SocketAddr,
    pub codecs: Vec<Codec>,
    pub events: Vec<(u8, u32)>,
    pub direction: Direction,
    /// Of the `o=` line.
    pub version: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Sendrecv,
    Sendonly,
    Recvonly,
    Inactive,
}

impl Direction {
    pub fn sends(self) -> bool {
        matches!(self, Self::Sendrecv | Self::Sendonly)
    }

    pub fn receives(self) -> bool {
        matches!(self, Self::Sendrecv | Self::Recvonly)
    }

    fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::Sendrecv,
            (true, false) => Self::Sendonly,
            (false, true) => Self::Recvonly,
            (false, false) => Self::Inactive,
        }
    }

    /// What we may answer to `offered` when we would like `self` (RFC 3264 §6.1).
    pub fn answer_to(self, offered: Self) -> Self {
        Self::of(self.sends() && offered.receives(), self.receives() && offered.sends())
    }
}

impl Local {
    /// The body of an offer or an answer.
    pub fn print(&self) -> String {
        let shown = if self.zero { Ipv4Addr::UNSPECIFIED.into() } else { self.address.ip() };
        SessionDescription {
            version: Version::V0,
            origin: Origin {
                username: "-".into(),
                sess_id: self.session_id.to_string(),
                sess_version: self.version.to_string(),
                nettype: Nettype::In,
                addrtype: address_type(self.address.ip()),
                unicast_address: self.address.ip(),
            },
            session_name: SessionName::new("-".into()),
            session_info: None,
            uri: None,
            emails: Vec::new(),
            phones: Vec::new(),
            connection: Some(Connection {
                nettype: Nettype::In,
                addrtype: address_type(shown),
                connection_address: ConnectionAddress { base: shown, ttl: None, numaddr: None },
            }),
            bandwidths: Vec::new(),
            times: vec1::vec1![Time {
                active: Active { start: 0, stop: 0 },
                repeat: Vec::new(),
                zone: None,
            }],
            key: None,
            attributes: Vec::new(),
            media_descriptions: vec![self.media()],
        }
        .to_string()
    }

    fn media(&self) -> MediaDescription {
        let types = self.codecs.iter().map(|codec| codec.payload_type);
        let types = types.chain(self.events.iter().map(|event| event.0));
        MediaDescription {
            media: Media {
                media: MediaType::Audio,
                port: self.address.port(),
                num_of_ports: None,
                proto: ProtoType::RtpAvp,
                fmt: types.map(|number| number.to_string()).collect::<Vec<_>>().join(" "),
            },
            info: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes: self.attributes(),
        }
    }

    /// `rtpmap` and `fmtp` go as free text: sdp-rs prints `opus/48000 2` otherwise.
    fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        let mut free = |name: &str, value: String| {
            attributes.push(Attribute::Other(name.into(), Some(value)));
        };
        for codec in &self.codecs {
            free("rtpmap", format!("{} {}", codec.payload_type, codec.rtpmap()));
            if codec.kind == Kind::Opus {
                free("fmtp", format!("{} useinbandfec=1", codec.payload_type));
            }
        }
        for (number, rate) in &self.events {
            free("rtpmap", format!("{number} telephone-event/{rate}"));
            free("fmtp", format!("{number} 0-15"));
        }
        free("ptime", self.ptime_ms.to_string());
        attributes.push(match self.direction {
            Direction::Sendrecv => Attribute::Sendrecv,
            Direction::Sendonly => Attribute::Sendonly,
            Direction::Recvonly => Attribute::Recvonly,
            Direction::Inactive => Attribute::Inactive,
        });
        attributes
    }
}

impl Remote {
    /// # Errors
    /// What sdp-rs dislikes, or that there is no audio.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "SDP is not UTF-8".to_owned())?;
        let session = SessionDescription::try_from(text).map_err(|error| error.to_string())?;
        let media = session
            .media_descriptions
            .iter()
            .find(|media| media.media.media == MediaType::Audio && media.media.port != 0)
            .ok_or("SDP offers no audio")?;
        let connection = media.connections.first().or(session.connection.as_ref());
        let host = connection.ok_or("SDP has no c= line")?.connection_address.base;
        let direction = direction(&media.attributes).or_else(|| direction(&session.attributes));
        let maps: Vec<_> = media.attributes.iter().filter_map(rtpmap).collect();
        let mut remote = Self {
            address: SocketAddr::new(host, media.media.port),
            codecs: Vec::new(),
            events: Vec::new(),
            direction: direction.unwrap_or(Direction::Sendrecv),
            version: session.origin.sess_version.clone(),
        };
        if host.is_unspecified() {
            remote.direction = Direction::of(remote.direction.sends(), false);
        }
        for number in media.media.fmt.split_whitespace().filter_map(|text| text.parse().ok()) {
            let map = maps.iter().find(|map| map.0 == number);
            let map = map.map(|(_, name, rate, channels)| (name.as_str(), *rate, *channels));
            match map {
                Some(("telephone-event", rate, _)) => remote.events.push((number, rate)),
                _ => remote.codecs.extend(Codec::described(number, map)),
            }
        }
        Ok(remote)
    }
}

fn rtpmap(attribute: &Attribute) -> Option<(u8, String, u32, u32)> {
    let Attribute::Rtpmap(map) = attribute else { return None };
    Some((
        u8::try_from(map.payload_type).ok()?,
        map.encoding_name.clone(),
        u32::try_from(map.clock_rate).ok()?,
        map.encoding_params.and_then(|channels| u32::try_from(channels).ok()).unwrap_or(1),
    ))
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| match attribute {
        Attribute::Sendrecv => Some(Direction::Sendrecv),
        Attribute::Sendonly => Some(Direction::Sendonly),
        Attribute::Recvonly => Some(Direction::Recvonly),
        Attribute::Inactive => Some(Direction::Inactive),
        _ => None,
    })
}

fn address_type(address: IpAddr) -> Addrtype {
    if address.is_ipv4() { Addrtype::Ip4 } else { Addrtype::Ip6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let local = Local {
            session_id: 7,
            version: 1,
            address: "127.0.0.1:40000".parse().unwrap(),
            codecs: ["opus", "PCMU", "L16/16000"].map(|name| Codec::named(name).unwrap()).into(),
            events: vec![(101, 8000), (102, 48_000)],
            ptime_ms: 20,
            direction: Direction::Sendonly,
            zero: false,
        };

        let remote = Remote::parse(local.print().as_bytes()).unwrap();

        assert!(local.print().contains("a=rtpmap:111 opus/48000/2\r\n"));
        assert_eq!(remote.codecs, local.codecs);
        assert_eq!(remote.events, local.events);
        assert_eq!((remote.address, remote.direction), (local.address, Direction::Sendonly));
    }
}
