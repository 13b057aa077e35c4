//! Header extensions (RFC 8285 §4): elements with a head of one octet or of two.

/// The header extension of one packet; octets that make no element end it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Extension<'a> {
    profile: u16,
    octets: &'a [u8],
}

impl<'a> Extension<'a> {
    /// Takes what follows the fixed header: "defined by profile", then so many whole words.
    pub(super) fn new(profile: u16, octets: &'a [u8]) -> Self {
        Self { profile, octets }
    }

    /// The first element with this id, 1 to 255; `None` where there is none.
    pub fn element(self, id: u8) -> Option<&'a [u8]> {
        let mut rest = self.octets;
        while let Some((&first, after)) = rest.split_first() {
            if first == 0 {
                rest = after; // padding
                continue;
            }
            let (found, length, after) = match self.profile {
                ONE_OCTET if first >> 4 != STOP => (first >> 4, usize::from(first & 15) + 1, after),
                profile if profile & 0xFFF0 == TWO_OCTETS => {
                    let (&length, after) = after.split_first()?;
                    (first, length.into(), after)
                }
                _ => return None,
            };
            let (element, after) = after.split_at_checked(length)?;
            if found == id && id != 0 {
                return Some(element);
            }
            rest = after;
        }
        None
    }

    /// The level of what the packet carries (RFC 6464 §3), by the extension with this id.
    pub fn level(self, id: u8) -> Option<AudioLevel> {
        self.element(id)?.first().map(|&octet| AudioLevel::new(octet & 0x7F))
    }
}

/// How loud something is: 0 to 127 dB below overload (RFC 6464 §3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct AudioLevel(u8);

impl AudioLevel {
    /// Digital silence.
    pub const SILENCE: Self = Self(127);

    /// Takes the number as it is on the wire; above 127 is 127.
    pub const fn new(below_overload: u8) -> Self {
        Self(if below_overload > 127 { 127 } else { below_overload })
    }

    /// The number as it goes on the wire.
    pub const fn below_overload(self) -> u8 {
        self.0
    }

    /// Rounds a level in dBov.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
    pub fn of_dbov(dbov: f32) -> Self {
        Self::new((-dbov).round() as u8)
    }

    /// The level in dBov, 0 to −127.
    pub fn dbov(self) -> f32 {
        -f32::from(self.0)
    }
}

/// "Defined by profile" of elements whose head is one octet, …
pub(super) const ONE_OCTET: u16 = 0xBEDE;
/// … and of those whose head is two; the last four bits are the application's.
pub(super) const TWO_OCTETS: u16 = 0x1000;
/// The largest id that a head of one octet holds.
pub(super) const MAX_SHORT_ID: u8 = 14;
/// RFC 8285 §4.2: nothing is read behind this id.
const STOP: u8 = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_found_behind_others_and_behind_padding() {
        let short = Extension::new(0xBEDE, &[0x31, 7, 8, 0, 0, 0x10, 0x85, 0]);
        let long = Extension::new(0x1005, &[3, 0, 0, 200, 2, 7, 8, 1, 1, 0x85]);

        for (extension, level) in [(short, 5), (long, 5)] {
            assert_eq!(extension.level(1), Some(AudioLevel::new(level)), "{extension:?}");
        }
        assert_eq!(short.element(3), Some(&[7, 8][..]));
        assert_eq!(long.element(3), Some(&[][..]));
        assert_eq!(long.element(200), Some(&[7, 8][..]));
        assert_eq!(long.level(3), None);
        assert_eq!(short.element(0), None);
    }

    #[test]
    fn nothing_is_read_behind_the_id_15_nor_from_another_profile() {
        assert_eq!(Extension::new(0xBEDE, &[0xF0, 1, 0x10, 5]).element(1), None);
        assert_eq!(Extension::new(0xABAC, &[0x10, 5, 0, 0]).element(1), None);
    }

    #[test]
    fn levels_are_rounded_and_bounded() {
        for (dbov, level) in [(0.0, 0), (3.0, 0), (-12.4, 12), (-12.6, 13), (-200.0, 127)] {
            assert_eq!(AudioLevel::of_dbov(dbov).below_overload(), level, "{dbov}");
        }
    }

    proptest! {
        #[test]
        fn hostile_octets_end_the_search(
            profile in prop_oneof![Just(0xBEDE), Just(0x1000), any::<u16>()],
            octets in prop::collection::vec(any::<u8>(), 0..80), id: u8,
        ) {
            let found = Extension::new(profile, &octets).element(id);

            prop_assert!(found.is_none_or(|element| element.len() < octets.len()));
        }
    }
}
