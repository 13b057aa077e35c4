//! What is shipped: prompts in English and Turkish, tones and music. Spoken by `prompts/make`.

use std::time::Duration;

use mixer::play::Clip;

/// A language that prompts are shipped in.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Turkish.
    Turkish,
}

impl Language {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::English, Self::Turkish];

    /// What its prompts are named after, as in `en.goodbye`.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Turkish => "tr",
        }
    }

    /// The language of this code.
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// Names of what says a number: `There are` … `participants` asks for the words between.
    pub fn number(self, number: u32) -> Vec<String> {
        let mut words = Vec::new();
        match number {
            0..=20 => words.push(format!("n{number}")),
            21..=99 => {
                words.push(format!("n{}", number / 10 * 10));
                if !number.is_multiple_of(10) {
                    words.push(format!("n{}", number % 10));
                }
            }
            100..=999 => self.many(number, (100, "hundred"), &mut words),
            1_000..=999_999 => self.many(number, (1_000, "thousand"), &mut words),
            1_000_000.. => {}
        }
        words.into_iter().map(|word| self.named(&word)).collect()
    }

    /// In Turkish one hundred is said without the one.
    fn many(self, number: u32, (unit, name): (u32, &str), words: &mut Vec<String>) {
        let strip = |names: Vec<String>| {
            names.into_iter().map(|name| name[3..].to_owned()).collect::<Vec<_>>()
        };
        if self != Self::Turkish || number / unit > 1 {
            words.extend(strip(self.number(number / unit)));
        }
        words.push(name.to_owned());
        if !number.is_multiple_of(unit) {
            words.extend(strip(self.number(number % unit)));
        }
    }

    /// The name of a prompt in this language.
    pub fn named(self, prompt: &str) -> String {
        format!("{}.{prompt}", self.code())
    }
}

/// The names of all that is shipped.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// What is shipped under this name. It is decoded, some milliseconds for a sentence: keep it.
pub fn read(name: &str) -> Option<Clip> {
    let (_, file) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
    super::read(file, LONGEST).ok()
}

/// The music that is played where none was chosen.
pub const MUSIC: &str = "music";
/// Nothing that is shipped is longer.
const LONGEST: Duration = Duration::from_mins(1);

macro_rules! shipped {
    ($($name:literal = $file:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("prompts/", $file, ".opus")))),+]
    };
}

/// Name and Ogg Opus file.
#[rustfmt::skip]
const SHIPPED: &[(&str, &[u8])] = shipped![
    "music" = "music", "tone.enter" = "enter", "tone.leave" = "leave", "tone.beep" = "beep",
    "en.enter-pin" = "en/enter-pin", "en.wrong-pin" = "en/wrong-pin", "en.too-many-tries" = "en/too-many-tries",
    "en.goodbye" = "en/goodbye", "en.welcome" = "en/welcome", "en.welcome-moderator" = "en/welcome-moderator",
    "en.wait-moderator" = "en/wait-moderator", "en.wait-admission" = "en/wait-admission", "en.moderator-left" = "en/moderator-left",
    "en.alone" = "en/alone", "en.locked" = "en/locked", "en.unlocked" = "en/unlocked", "en.muted" = "en/muted", "en.unmuted" = "en/unmuted",
    "en.muted-by-moderator" = "en/muted-by-moderator", "en.all-muted" = "en/all-muted", "en.all-unmuted" = "en/all-unmuted",
    "en.hand-raised" = "en/hand-raised", "en.hand-lowered" = "en/hand-lowered", "en.asked-to-speak" = "en/asked-to-speak",
    "en.kicked" = "en/kicked", "en.room-full" = "en/room-full", "en.not-open" = "en/not-open", "en.ending" = "en/ending",
    "en.extended" = "en/extended", "en.say-name" = "en/say-name", "en.has-joined" = "en/has-joined", "en.has-left" = "en/has-left",
    "en.somebody-joined" = "en/somebody-joined", "en.somebody-left" = "en/somebody-left", "en.there-are" = "en/there-are",
    "en.participants" = "en/participants", "en.recording-started" = "en/recording-started", "en.recording-paused" = "en/recording-paused",
    "en.recording-resumed" = "en/recording-resumed", "en.recording-stopped" = "en/recording-stopped",
    "en.menu-participant" = "en/menu-participant", "en.menu-moderator" = "en/menu-moderator", "en.hundred" = "en/hundred",
    "en.thousand" = "en/thousand", "en.n0" = "en/n0", "en.n1" = "en/n1", "en.n2" = "en/n2", "en.n3" = "en/n3", "en.n4" = "en/n4",
    "en.n5" = "en/n5", "en.n6" = "en/n6", "en.n7" = "en/n7", "en.n8" = "en/n8", "en.n9" = "en/n9", "en.n10" = "en/n10", "en.n11" = "en/n11",
    "en.n12" = "en/n12", "en.n13" = "en/n13", "en.n14" = "en/n14", "en.n15" = "en/n15", "en.n16" = "en/n16", "en.n17" = "en/n17",
    "en.n18" = "en/n18", "en.n19" = "en/n19", "en.n20" = "en/n20", "en.n30" = "en/n30", "en.n40" = "en/n40", "en.n50" = "en/n50",
    "en.n60" = "en/n60", "en.n70" = "en/n70", "en.n80" = "en/n80", "en.n90" = "en/n90",
    "tr.enter-pin" = "tr/enter-pin", "tr.wrong-pin" = "tr/wrong-pin", "tr.too-many-tries" = "tr/too-many-tries",
    "tr.goodbye" = "tr/goodbye", "tr.welcome" = "tr/welcome", "tr.welcome-moderator" = "tr/welcome-moderator",
    "tr.wait-moderator" = "tr/wait-moderator", "tr.wait-admission" = "tr/wait-admission", "tr.moderator-left" = "tr/moderator-left",
    "tr.alone" = "tr/alone", "tr.locked" = "tr/locked", "tr.unlocked" = "tr/unlocked", "tr.muted" = "tr/muted", "tr.unmuted" = "tr/unmuted",
    "tr.muted-by-moderator" = "tr/muted-by-moderator", "tr.all-muted" = "tr/all-muted", "tr.all-unmuted" = "tr/all-unmuted",
    "tr.hand-raised" = "tr/hand-raised", "tr.hand-lowered" = "tr/hand-lowered", "tr.asked-to-speak" = "tr/asked-to-speak",
    "tr.kicked" = "tr/kicked", "tr.room-full" = "tr/room-full", "tr.not-open" = "tr/not-open", "tr.ending" = "tr/ending",
    "tr.extended" = "tr/extended", "tr.say-name" = "tr/say-name", "tr.has-joined" = "tr/has-joined", "tr.has-left" = "tr/has-left",
    "tr.somebody-joined" = "tr/somebody-joined", "tr.somebody-left" = "tr/somebody-left", "tr.there-are" = "tr/there-are",
    "tr.participants" = "tr/participants", "tr.recording-started" = "tr/recording-started", "tr.recording-paused" = "tr/recording-paused",
    "tr.recording-resumed" = "tr/recording-resumed", "tr.recording-stopped" = "tr/recording-stopped",
    "tr.menu-participant" = "tr/menu-participant", "tr.menu-moderator" = "tr/menu-moderator", "tr.hundred" = "tr/hundred",
    "tr.thousand" = "tr/thousand", "tr.n0" = "tr/n0", "tr.n1" = "tr/n1", "tr.n2" = "tr/n2", "tr.n3" = "tr/n3", "tr.n4" = "tr/n4",
    "tr.n5" = "tr/n5", "tr.n6" = "tr/n6", "tr.n7" = "tr/n7", "tr.n8" = "tr/n8", "tr.n9" = "tr/n9", "tr.n10" = "tr/n10", "tr.n11" = "tr/n11",
    "tr.n12" = "tr/n12", "tr.n13" = "tr/n13", "tr.n14" = "tr/n14", "tr.n15" = "tr/n15", "tr.n16" = "tr/n16", "tr.n17" = "tr/n17",
    "tr.n18" = "tr/n18", "tr.n19" = "tr/n19", "tr.n20" = "tr/n20", "tr.n30" = "tr/n30", "tr.n40" = "tr/n40", "tr.n50" = "tr/n50",
    "tr.n60" = "tr/n60", "tr.n70" = "tr/n70", "tr.n80" = "tr/n80", "tr.n90" = "tr/n90",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_shipped_can_be_played() {
        for name in names() {
            let clip = read(name).unwrap();

            assert!(clip.duration() > Duration::from_millis(100), "{name}");
            assert!(mixer::level::dbov(clip.pcm()) > -40.0, "{name}");
        }
    }

    #[test]
    fn numbers_are_said_in_words_that_are_shipped() {
        let said = |language: Language, number| language.number(number).join(" ");

        assert_eq!(said(Language::English, 0), "en.n0");
        assert_eq!(said(Language::English, 142), "en.n1 en.hundred en.n40 en.n2");
        assert_eq!(said(Language::Turkish, 142), "tr.hundred tr.n40 tr.n2");
        assert_eq!(said(Language::Turkish, 1_015), "tr.thousand tr.n15");
        assert_eq!(said(Language::English, 3_000), "en.n3 en.thousand");
        for number in (0..3_000).step_by(7) {
            for language in Language::ALL {
                let words = language.number(number);
                assert!(words.iter().all(|word| names().any(|name| name == word)), "{words:?}");
            }
        }
    }
}
