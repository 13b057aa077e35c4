//! What the XML documents that we write have in common.

use std::fmt::{self, Display, Write as _};

/// Whether a document tells everything, or what has changed (RFC 4235 §4.1.1, RFC 4575 §4.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    Full,
    Partial,
}

impl Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Partial => "partial",
        })
    }
}

/// A document of about `length` octets.
pub(super) fn print(length: usize, write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::with_capacity(length);
    write(&mut out).expect("a String takes all that is written");
    out
}

/// Text that XML may hold, in elements and in attributes: what it cannot hold at all is left out.
pub(super) struct Xml<'a>(pub(super) &'a str);

impl Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                '\u{FFFE}' | '\u{FFFF}' => {}
                char if char.is_control() => {}
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}
