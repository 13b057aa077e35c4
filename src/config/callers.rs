//! `[[callers]]` and `[prices]`: what those who call may do, and what it costs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::{CodecName, MediaSrtp};
use super::wire::{duration, list};
use crate::bridge::{CallerLimits, Dtmf, MediaRules, Network, Pattern, Prices};

/// Limits of some callers, for each of them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caller {
    /// Users whom they are for.
    #[serde(with = "list")]
    pub users: Vec<Pattern>,
    /// Networks for each of whose addresses they are.
    #[serde(with = "list")]
    pub networks: Vec<Network>,
    /// Calls at once; 0: any number.
    pub max_calls: usize,
    /// New calls within a minute; 0: any number.
    pub calls_per_minute: usize,
    /// What may be called begins with one of these; none: everything.
    pub allowed: Vec<String>,
    /// What begins with one of these may not.
    pub denied: Vec<String>,
    /// Talk a day (UTC); 0: any.
    pub minutes_per_day: u32,
    /// Money a day (UTC) by `[prices]`; 0: any.
    pub spend_per_day: f64,
    /// How long a call may last; zero: for ever.
    #[serde(with = "duration")]
    pub max_duration: Duration,
    /// Codecs, best first; none: those of `media.codecs`.
    #[serde(with = "list")]
    pub codecs: Vec<CodecName>,
    /// Whether media is encrypted; as `media.srtp` if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtp: Option<MediaSrtp>,
    /// How digits are sent.
    pub dtmf: Dtmf,
}

impl Caller {
    /// What is wrong with it.
    pub(super) fn complaint(&self) -> Option<&'static str> {
        [
            (
                !self.users.is_empty() || !self.networks.is_empty(),
                "expected users or networks in each",
            ),
            (is_money(self.spend_per_day), "expected spend_per_day of 0 to 1000000"),
            (self.calls_per_minute <= 10_000, "expected calls_per_minute of at most 10000"),
        ]
        .into_iter()
        .find_map(|(holds, expected)| (!holds).then_some(expected))
    }

    /// As the bridge knows them.
    pub fn limits(&self) -> CallerLimits {
        CallerLimits {
            users: self.users.clone(),
            networks: self.networks.clone(),
            max_calls: self.max_calls,
            calls_per_minute: self.calls_per_minute,
            allowed: self.allowed.clone(),
            denied: self.denied.clone(),
            minutes_per_day: self.minutes_per_day,
            spend_per_day: millionths(self.spend_per_day),
            max_duration: self.max_duration,
            media: media_rules(&self.codecs, self.srtp, self.dtmf),
        }
    }
}

/// Media with one trunk or user as the bridge knows it.
pub fn media_rules(codecs: &[CodecName], srtp: Option<MediaSrtp>, dtmf: Dtmf) -> MediaRules {
    let codecs = codecs.iter().map(|name| name.0).collect();
    MediaRules { codecs, srtp: srtp.map(MediaSrtp::policy), dtmf }
}

/// Whether an amount can be one.
pub(super) fn is_money(amount: f64) -> bool {
    (0.0..=1_000_000.0).contains(&amount)
}

/// Prices as the bridge knows them.
pub fn prices(prices: &BTreeMap<String, f64>) -> Prices {
    Prices::new(prices.iter().map(|(prefix, price)| (prefix.clone(), millionths(*price))))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 10^12, as was checked"
)]
fn millionths(amount: f64) -> u64 {
    (amount * 1_000_000.0).round() as u64
}
