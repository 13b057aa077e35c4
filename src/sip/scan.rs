//! The lexical ground of every SIP field: tokens, quoted strings, lists (RFC 3261 §25.1).

use std::borrow::Cow;

/// True for the bytes a token is made of.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// True for a non-empty token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Cuts blanks and line ends off both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Reads text: UTF-8, or else Latin-1, which old phones send in display names.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// Reads an unsigned decimal number of any width that fits; leading zeros are fine, signs are not.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |sum, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Where `wanted` first stands outside quoted strings and, unless it is `<` itself, outside `<…>`.
pub(crate) fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == wanted {
            return Some(at);
        }
        at = match byte {
            b'"' => at + quoted_len(&bytes[at..])?,
            b'<' => at + 1 + memchr::memchr(b'>', &bytes[at..])?,
            _ => at + 1,
        };
    }
    None
}

/// Splits at `separator` outside quoted strings and `<…>`; parts are trimmed, empty ones are left out.
pub(crate) fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        loop {
            let bytes = rest?;
            let (part, next) = cut(bytes, separator);
            rest = next;
            let part = trim(part);
            if !part.is_empty() {
                return Some(part);
            }
        }
    })
}

/// Cuts at the first `separator` as [`find`] sees it: what is before, and what is after if it is there.
pub(crate) fn cut(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match find(bytes, separator) {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

/// The length, quotes included, of the quoted string that `bytes` starts with; `None` if it does not end.
pub(crate) fn quoted_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Takes quotes and backslashes off a quoted string; anything else is returned as it is.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or(char) } else { char });
    }
    Cow::Owned(plain)
}

/// Puts text into a quoted string. Line ends become blanks: no text may end a header.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\r' | '\n' => quoted.push(' '),
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = is_token_byte(byte);
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let list = br#""Smith, \"A\" <x>" <sip:a,b@h>;p="1,2" , , sip:c@h"#;

        let parts: Vec<_> = split(list, b',').collect();

        assert_eq!(parts, [&br#""Smith, \"A\" <x>" <sip:a,b@h>;p="1,2""#[..], b"sip:c@h"]);
    }

    #[test]
    fn an_open_quote_swallows_the_rest() {
        assert_eq!(split(br#"a, "b, c"#, b',').count(), 2);
    }

    #[test]
    fn latin_1_reads_as_the_letters_it_means() {
        assert_eq!(text(b"J\xfcrgen"), "Jürgen");
    }

    #[test]
    fn numbers_have_no_sign_and_fit() {
        assert_eq!(number(b"0009"), Some(9));
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"36893488147419103232"), None);
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_unquoting(text in "[^\r\n]*") {
            let quoted = quote(&text);

            prop_assert_eq!(quoted_len(quoted.as_bytes()), Some(quoted.len()));
            prop_assert_eq!(unquote(&quoted), text);
        }
    }
}
