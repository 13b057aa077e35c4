//! Telephone numbers as a trunk writes them, and as E.164 has them (RFC 3966 §5.1).
//!
//! ```text
//!  comes in   0041 44… ─▶ +4144…      044… ─▶ +4144…      112, anna ─▶ as they are
//!  goes out   +4144…   ─▶ +4144… (e164)  4144… (plain)  044… or 0049… (national)
//! ```

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// How a trunk writes numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NumberRules {
    /// Its country, as in `49`; empty: only what begins with `+` is known as E.164.
    pub country: String,
    /// What stands before a number of its country, as in `0`; may be empty.
    pub national: String,
    /// What stands before a number of another country, as in `00`.
    pub international: String,
    /// How it wants numbers.
    pub format: NumberFormat,
    /// Whether addresses of numbers say `user=phone` to it (RFC 3261 §19.1.1).
    pub user_phone: bool,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberFormat {
    /// As it was dialled.
    #[default]
    Dialled,
    /// `+4930123`.
    E164,
    /// `4930123`.
    Plain,
    /// `030123` at home, `0043…` abroad.
    National,
}

impl Default for NumberRules {
    /// Numbers stay as they are.
    fn default() -> Self {
        Self {
            country: String::new(),
            national: "0".to_owned(),
            international: "00".to_owned(),
            format: NumberFormat::Dialled,
            user_phone: false,
        }
    }
}

impl NumberRules {
    /// A number that this trunk sent, or that is dialled there, in E.164 if it can be told; otherwise as it is.
    pub(in crate::bridge) fn normal(&self, number: &str) -> String {
        let tells = !self.country.is_empty() || self.format == NumberFormat::Plain;
        let bare = bare(number).filter(|bare| tells || bare.starts_with('+'));
        let Some(bare) = bare else { return number.to_owned() };
        let digits = bare.strip_prefix('+');
        let known = digits.map(ToOwned::to_owned).or_else(|| self.global(&bare));
        match known {
            Some(digits) if is_global(&digits) => format!("+{digits}"),
            Some(_) | None => bare.into_owned(),
        }
    }

    /// The digits of a number after its `+`, of what came without one.
    fn global(&self, digits: &str) -> Option<String> {
        if self.country.is_empty() {
            let reads_plain = self.format == NumberFormat::Plain && digits.len() >= SHORTEST;
            return reads_plain.then(|| digits.to_owned());
        }
        if let Some(rest) = strip(digits, &self.international) {
            return Some(rest.to_owned());
        }
        if let Some(rest) = strip(digits, &self.national) {
            return Some(format!("{}{rest}", self.country));
        }
        // What has no prefix is a short code or an extension, unless this trunk writes whole numbers so.
        match self.format {
            _ if digits.len() < SHORTEST => None,
            NumberFormat::Plain => Some(digits.to_owned()),
            NumberFormat::National if self.national.is_empty() => {
                Some(format!("{}{digits}", self.country))
            }
            NumberFormat::Dialled | NumberFormat::E164 | NumberFormat::National => None,
        }
    }

    /// A number as this trunk wants it.
    pub(in crate::bridge) fn written(&self, number: &str) -> String {
        if self.format == NumberFormat::Dialled {
            return number.to_owned();
        }
        let normal = self.normal(number);
        let Some(digits) = normal.strip_prefix('+').filter(|digits| is_global(digits)) else {
            return normal;
        };
        match self.format {
            NumberFormat::Dialled | NumberFormat::E164 => normal,
            NumberFormat::Plain => digits.to_owned(),
            NumberFormat::National => match strip(digits, &self.country) {
                Some(rest) => format!("{}{rest}", self.national),
                None => format!("{}{digits}", self.international),
            },
        }
    }
}

/// Whether this is a telephone number rather than a name.
pub(in crate::bridge) fn is_number(text: &str) -> bool {
    bare(text).is_some()
}

/// A number without its parameters and visual separators (RFC 3966 §5.1.1); `None` if it is a name.
fn bare(number: &str) -> Option<Cow<'_, str>> {
    let number = number.split(';').next().unwrap_or_default();
    let number = if number.contains(SEPARATORS) {
        Cow::Owned(number.replace(SEPARATORS, ""))
    } else {
        Cow::Borrowed(number)
    };
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then_some(number)
}

/// What follows a prefix that is there.
fn strip<'a>(digits: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() { None } else { digits.strip_prefix(prefix) }
}

/// E.164: a country code, which does not begin with 0, and at most 15 digits in all.
fn is_global(digits: &str) -> bool {
    (3..=15).contains(&digits.len()) && !digits.starts_with('0')
}

const SEPARATORS: [char; 5] = ['-', '.', '(', ')', ' '];
/// Digits of what may be a whole number without a prefix.
const SHORTEST: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(
        country: &str,
        national: &str,
        international: &str,
        format: NumberFormat,
    ) -> NumberRules {
        NumberRules {
            country: country.to_owned(),
            national: national.to_owned(),
            international: international.to_owned(),
            format,
            user_phone: false,
        }
    }

    #[test]
    fn what_comes_in_becomes_e164_where_it_can_be_told() {
        use NumberFormat::{Dialled, E164, National, Plain};
        let german = |format| rules("49", "0", "00", format);
        let american = |format| rules("1", "1", "011", format);
        let danish = |format| rules("45", "", "00", format);
        for (rules, number, normal) in [
            (german(E164), "+4930123456", "+4930123456"),
            (german(E164), "+49 (30) 123-456", "+4930123456"),
            (german(E164), "+49-30-123456;phone-context=x", "+4930123456"),
            (german(E164), "030123456", "+4930123456"),
            (german(E164), "004315551234", "+4315551234"),
            (german(E164), "112", "112"),
            (german(E164), "0", "0"),
            (german(E164), "4930123456", "4930123456"),
            (german(Plain), "4930123456", "+4930123456"),
            (german(Plain), "110", "110"),
            (german(E164), "anna", "anna"),
            (german(E164), "anna.b-c", "anna.b-c"),
            (german(E164), "", ""),
            (german(E164), "*21*030#", "*21*030#"),
            (german(E164), "+0123456", "+0123456"),
            (german(E164), "+1234567890123456", "+1234567890123456"),
            (german(Dialled), "030123456", "+4930123456"),
            (american(National), "12125551234", "+12125551234"),
            (american(National), "0114930123456", "+4930123456"),
            (danish(National), "33123456", "+4533123456"),
            (danish(E164), "33123456", "33123456"),
            (danish(National), "004930123456", "+4930123456"),
            (NumberRules::default(), "030123456", "030123456"),
            (NumberRules::default(), "2026-01", "2026-01"),
            (NumberRules::default(), "+49 30 1", "+49301"),
            (rules("", "0", "00", Plain), "4930123456", "+4930123456"),
        ] {
            assert_eq!(rules.normal(number), normal, "{number} {rules:?}");
        }
    }

    #[test]
    fn what_goes_out_is_written_as_the_trunk_wants_it() {
        use NumberFormat::{Dialled, E164, National, Plain};
        for (format, number, written) in [
            (E164, "030123456", "+4930123456"),
            (Plain, "030123456", "4930123456"),
            (Plain, "+43 1 5551234", "4315551234"),
            (National, "+4930123456", "030123456"),
            (National, "+4315551234", "004315551234"),
            (National, "112", "112"),
            (E164, "anna", "anna"),
            (Dialled, "0 30", "0 30"),
            (Dialled, "+4930123456", "+4930123456"),
        ] {
            assert_eq!(rules("49", "0", "00", format).written(number), written, "{number}");
        }
        assert_eq!(rules("", "0", "00", Plain).written("+4930123"), "4930123");
    }

    #[test]
    fn what_a_trunk_is_sent_is_what_it_may_send() {
        for format in [NumberFormat::E164, NumberFormat::Plain, NumberFormat::National] {
            for number in ["+4930123456", "+4315551234", "112"] {
                let rules = rules("49", "0", "00", format);

                assert_eq!(rules.normal(&rules.written(number)), number, "{format:?}");
            }
        }
    }
}
