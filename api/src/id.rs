//! Prefixed ids that sort by creation: `leg_01JD…`, 26 Crockford base-32 digits of (48-bit milliseconds, 80-bit randomness).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Text that is not an id of the wanted kind.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("expected {prefix} followed by 26 base-32 digits, found {found:?}")]
pub struct BadId {
    prefix: &'static str,
    found: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(u128);

        impl $name {
            /// The random bits, 80 of them.
            pub fn random(self) -> u128 {
                self.0 & ((1 << 80) - 1)
            }

            /// Makes an id from the wall clock in milliseconds since 1970 (48 bits kept) and 80 random bits.
            pub fn new(unix_ms: u64, random: u128) -> Self {
                Self(u128::from(unix_ms) << 80 | random & ((1 << 80) - 1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                write_base32(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix($prefix)
                    .and_then(read_base32)
                    .map(Self)
                    .ok_or_else(|| BadId { prefix: $prefix, found: text.chars().take(40).collect() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "[0-9A-HJKMNP-TV-Z]{26}$")))
                    .examples([concat!($prefix, "01JDC5E0000000000000000000")])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

id!(
    /// Names a conference room.
    RoomId, "room_"
);
id!(
    /// Names a leg: one SIP dialog and its media.
    LegId, "leg_"
);
id!(
    /// Names a call: legs that were set up together.
    CallId, "call_"
);
id!(
    /// Names a registration of a user's phone.
    RegistrationId, "reg_"
);
id!(
    /// Names a node, from one start to the next.
    NodeId, "node_"
);
id!(
    /// Names a key of the API.
    ApiKeyId, "key_"
);
id!(
    /// Names an entry of the audit.
    AuditId, "aud_"
);
id!(
    /// Names a recording.
    RecordingId, "rec_"
);

id!(
    /// Names something that is played.
    PlaybackId, "play_"
);
id!(
    /// Names an instant message.
    MessageId, "msg_"
);

id!(
    /// Names an event of the log.
    EventId, "evt_"
);

id!(
    /// Names a webhook.
    WebhookId, "whk_"
);

id!(
    /// Names the delivery of an event to a webhook.
    DeliveryId, "dlv_"
);

id!(
    /// Names a request to the API, in `X-Request-Id` and in the logs.
    RequestId, "req_"
);

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn write_base32(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    (0..26).rev().try_for_each(|place| {
        let digit = (value >> (5 * place)) & 31;
        fmt::Write::write_char(f, char::from(DIGITS[usize::try_from(digit).unwrap_or(0)]))
    })
}

fn read_base32(text: &str) -> Option<u128> {
    if text.len() != 26 || text.as_bytes()[0] > b'7' {
        return None; // 26 digits hold 130 bits: the first may only be 0 to 7
    }
    text.bytes().try_fold(0, |value, byte| {
        let digit = DIGITS.iter().position(|&d| d == byte)?;
        Some(value << 5 | u128::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse_back_and_sort_by_time() {
        let early = LegId::new(1_700_000_000_000, 7);
        let late = LegId::new(1_700_000_000_001, 3);

        assert_eq!(early.to_string().parse(), Ok(early));
        assert!(early < late && early.to_string() < late.to_string());
        assert!("room_01JDC5E0000000000000000000".parse::<LegId>().is_err());
        assert!("leg_é1JDC5E000000000000000000".parse::<LegId>().is_err());
    }
}
