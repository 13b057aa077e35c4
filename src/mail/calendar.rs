//! An invitation as calendars read it (RFC 5545), to be sent by mail (RFC 5546 §3.2.2, RFC 6047).
//!
//! What comes from outside is text or an address: text is escaped, an address was judged by whoever took it, and both are quoted
//! where they stand in a parameter, so neither can end a line. Times are UTC, so no time zone has to be described.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What a calendar is told.
#[derive(Clone, Debug)]
pub(super) struct Meeting<'m> {
    /// The same for each mail about it.
    pub(super) uid: &'m str,
    pub(super) made_at: Timestamp,
    pub(super) starts_at: Timestamp,
    pub(super) ends_at: Timestamp,
    pub(super) summary: &'m str,
    pub(super) description: &'m str,
    /// Where: what is called.
    pub(super) location: &'m str,
    /// The mail address of who invites.
    pub(super) organizer: &'m str,
    /// Of who is invited.
    pub(super) attendee: &'m str,
}

impl Meeting<'_> {
    /// The calendar: lines of at most 75 octets, each ended by CR LF.
    pub(super) fn print(&self) -> String {
        let lines = [
            "BEGIN:VCALENDAR".to_owned(),
            "VERSION:2.0".to_owned(),
            "PRODID:-//Plenary//Invitation//EN".to_owned(),
            "METHOD:REQUEST".to_owned(),
            "BEGIN:VEVENT".to_owned(),
            format!("UID:{}", escaped(self.uid)),
            format!("DTSTAMP:{}", utc(self.made_at)),
            format!("DTSTART:{}", utc(self.starts_at)),
            format!("DTEND:{}", utc(self.ends_at)),
            "SEQUENCE:0".to_owned(),
            "STATUS:CONFIRMED".to_owned(),
            format!("SUMMARY:{}", escaped(self.summary)),
            format!("DESCRIPTION:{}", escaped(self.description)),
            format!("LOCATION:{}", escaped(self.location)),
            format!("ORGANIZER:mailto:{}", self.organizer),
            format!(
                "ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=FALSE:mailto:{}",
                self.attendee
            ),
            "END:VEVENT".to_owned(),
            "END:VCALENDAR".to_owned(),
        ];
        lines.iter().map(|line| folded(line)).collect()
    }
}

/// A time in UTC (§3.3.5, form 2).
fn utc(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A text (§3.3.11). Control characters beside new lines and tabs have no place in one.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | ';' | ',' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push('\t'),
            other if other.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// A line in pieces of at most 75 octets, none of which begins within a character (§3.1).
fn folded(line: &str) -> String {
    let mut folded = String::with_capacity(line.len() + 8);
    let mut width = 0;
    for character in line.chars() {
        if width + character.len_utf8() > LINE {
            folded.push_str("\r\n ");
            width = 1;
        }
        folded.push(character);
        width += character.len_utf8();
    }
    folded.push_str("\r\n");
    folded
}

/// Octets of a line, without its end.
const LINE: usize = 75;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let text = "Budget; 2,5 %\\year\r\nATTENDEE:mailto:x@y\u{7}";

        assert_eq!(escaped(text), "Budget\\; 2\\,5 %\\\\year\\nATTENDEE:mailto:x@y");
    }

    #[test]
    fn long_lines_are_folded_between_characters() {
        let line = format!("SUMMARY:{}", "ü€😀".repeat(40));

        let folded = folded(&line);

        assert!(folded.ends_with("\r\n") && folded.matches("\r\n").count() > 4);
        assert!(folded.split("\r\n").all(|piece| piece.len() <= 75), "{folded}");
        assert_eq!(folded.trim_end().replace("\r\n ", ""), line);
    }

    #[test]
    fn a_line_that_just_fits_is_not_folded() {
        assert_eq!(folded(&"x".repeat(75)), format!("{}\r\n", "x".repeat(75)));
        assert_eq!(folded(&"x".repeat(76)), format!("{}\r\n x\r\n", "x".repeat(75)));
    }

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(utc("2026-06-01T14:05:09.7+02:00".parse().unwrap()), "20260601T120509Z");
    }
}
