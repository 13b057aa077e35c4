//! How settings are written in a file: as texts that are parsed, as lists of them, and as durations with a unit.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

/// A list, where one value alone stands for a list of one.
pub(super) struct List<T>(pub(super) Vec<T>);

impl<'de, T: FromStr> Deserialize<'de> for List<T>
where
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts<T>(PhantomData<T>);

        impl<'de, T: FromStr> Visitor<'de> for Texts<T>
        where
            T::Err: fmt::Display,
        {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<List<T>, E> {
                Ok(List(vec![text.parse().map_err(E::custom)?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(text) = texts.next_element::<String>()? {
                    list.push(text.parse().map_err(de::Error::custom)?);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_any(Texts(PhantomData))
    }
}

/// `#[serde(with = "list")]`: texts that are parsed one by one.
pub(super) mod list {
    use super::{Deserialize, Deserializer, FromStr, List, Serializer, fmt};

    pub(crate) fn serialize<T: fmt::Display, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error>
    where
        T::Err: fmt::Display,
    {
        List::deserialize(deserializer).map(|List(values)| values)
    }
}

/// `#[serde(with = "text")]`: one text, or a number that is taken as its text.
pub(super) mod text {
    use super::{Deserializer, FromStr, PhantomData, Serializer, Visitor, de, fmt};

    pub(crate) fn serialize<T: fmt::Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error>
    where
        T::Err: fmt::Display,
    {
        struct Text<T>(PhantomData<T>);

        impl<T: FromStr> Visitor<'_> for Text<T>
        where
            T::Err: fmt::Display,
        {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Text(PhantomData))
    }
}

/// `#[serde(with = "duration")]`: `"20ms"`, `"30s"`, `"5m"`, `"2h"`; at most a day.
pub(super) mod duration {
    use super::{Deserializer, Duration, FromStr, Serializer, fmt, text};

    const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    const MOST: Duration = Duration::from_hours(24);

    /// Reads and writes a duration with its unit.
    struct Span(Duration);

    impl fmt::Display for Span {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let milliseconds = self.0.as_millis();
            match UNITS
                .iter()
                .skip(1)
                .find(|(_, unit)| milliseconds.is_multiple_of(u128::from(*unit)))
            {
                Some((name, unit)) if milliseconds > 0 => {
                    write!(f, "{}{name}", milliseconds / u128::from(*unit))
                }
                _ => write!(f, "{milliseconds}ms"),
            }
        }
    }

    impl FromStr for Span {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            let expected = || {
                format!(
                    "expected a duration of at most 24h as in 20ms, 30s, 5m or 2h, found {text}"
                )
            };
            let (number, unit) = UNITS
                .iter()
                .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
                .ok_or_else(expected)?;
            let number: u64 = number.trim().parse().map_err(|_| expected())?;
            let span = Duration::from_millis(number.saturating_mul(*unit));
            if span > MOST { Err(expected()) } else { Ok(Self(span)) }
        }
    }

    pub(crate) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Span(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        text::deserialize(deserializer).map(|Span(span)| span)
    }
}
