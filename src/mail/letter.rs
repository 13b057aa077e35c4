//! A mail as it is kept and sent: whole, in ASCII, to one address. Text and the same as HTML; an invitation has its calendar as well.
//!
//! Headers are made by lettre, which encodes what is not plain ASCII and folds lines, so no text can end a header.

use std::fmt::Write as _;

use jiff::Timestamp;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which mail: sorts by time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct LetterId(u128);

/// A mail.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Letter {
    pub(super) id: LetterId,
    pub(super) made_at: Timestamp,
    /// Addresses of the envelope.
    pub(super) from: String,
    pub(super) to: String,
    /// Headers and body (RFC 5322).
    pub(super) text: String,
}

/// What a mail says.
#[derive(Clone, Debug)]
pub(super) struct Content<'c> {
    pub(super) subject: &'c str,
    pub(super) paragraphs: Vec<Paragraph>,
    /// iCalendar.
    pub(super) calendar: Option<String>,
    /// Whether nobody has asked for it to be sent: then nobody's machine shall answer it (RFC 3834).
    pub(super) is_automatic: bool,
}

/// A part of the text.
#[derive(Clone, Debug)]
pub(super) enum Paragraph {
    Text(String),
    /// What, and how it is.
    Table(Vec<(&'static str, String)>),
}

impl LetterId {
    /// Of a time and 80 random bits.
    pub(super) fn new(unix_ms: u64, random: u128) -> Self {
        Self(u128::from(unix_ms) << 80 | random & ((1 << 80) - 1))
    }

    /// The one so many after it.
    pub(super) fn after(self, count: usize) -> Self {
        Self(self.0.wrapping_add(u128::try_from(count).unwrap_or(0)))
    }
}

impl std::fmt::Display for LetterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for LetterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LetterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(de::Error::custom)
    }
}

impl Letter {
    /// Writes a mail.
    ///
    /// # Errors
    /// What lettre finds wrong with it.
    pub(super) fn write(
        id: LetterId,
        made_at: Timestamp,
        (from, to): (&Mailbox, &Mailbox),
        content: &Content<'_>,
    ) -> Result<Self, lettre::error::Error> {
        let mut message = Message::builder()
            .message_id(Some(format!("<{id}@{}>", from.email.domain())))
            .date(made_at.into())
            .from(from.clone())
            .to(to.clone())
            .subject(content.subject);
        if content.is_automatic {
            let name = HeaderName::new_from_ascii_str("Auto-Submitted");
            message = message.raw_header(HeaderValue::new(name, "auto-generated".to_owned()));
        }
        let alternatives = MultiPart::alternative_plain_html(content.plain(), content.html());
        let message = match &content.calendar {
            None => message.multipart(alternatives)?,
            Some(calendar) => {
                let part = SinglePart::builder().header(kind(CALENDAR)).body(calendar.clone());
                let file = Attachment::new("invite.ics".to_owned());
                let file = file.body(calendar.clone(), kind("application/ics"));
                let mixed = MultiPart::mixed().multipart(alternatives.singlepart(part));
                message.multipart(mixed.singlepart(file))?
            }
        };
        let text = String::from_utf8_lossy(&message.formatted()).into_owned();
        let (from, to) = (from.email.to_string(), to.email.to_string());
        Ok(Self { id, made_at, from, to, text })
    }
}

impl Content<'_> {
    pub(super) fn plain(&self) -> String {
        let mut text = String::new();
        for paragraph in &self.paragraphs {
            match paragraph {
                Paragraph::Text(words) => text.push_str(words),
                Paragraph::Table(rows) => {
                    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
                    let indent = " ".repeat(width);
                    for (name, value) in rows {
                        let value = value.replace('\n', &format!("\n{indent}"));
                        writeln!(text, "{:width$}{value}", format!("{name}:")).unwrap_or(());
                    }
                }
            }
            text.truncate(text.trim_end().len());
            text.push_str("\n\n");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    fn html(&self) -> String {
        let mut html =
            "<!DOCTYPE html>\n<html><body style=\"font-family:sans-serif\">\n".to_owned();
        for paragraph in &self.paragraphs {
            match paragraph {
                Paragraph::Text(words) => {
                    let words = marked_up(words).replace('\n', "<br>\n");
                    writeln!(html, "<p>{words}</p>").unwrap_or(());
                }
                Paragraph::Table(rows) => {
                    html.push_str("<table cellpadding=\"4\">\n");
                    for (name, value) in rows {
                        let lines: Vec<String> = value.lines().map(linked).collect();
                        let (name, lines) = (marked_up(name), lines.join("<br>"));
                        let row = format!("<td valign=\"top\">{name}</td><td>{lines}</td>");
                        writeln!(html, "<tr>{row}</tr>").unwrap_or(());
                    }
                    html.push_str("</table>\n");
                }
            }
        }
        html.push_str("</body></html>\n");
        html
    }
}

/// A line; an address that programs can call or open is a link.
fn linked(line: &str) -> String {
    let text = marked_up(line);
    let schemes = ["sip:", "sips:", "tel:", "https://", "http://"];
    let is_link = schemes.iter().any(|scheme| line.starts_with(scheme)) && !line.contains(' ');
    if is_link { format!("<a href=\"{text}\">{text}</a>") } else { text }
}

fn marked_up(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// Of what is known to be one.
fn kind(text: &str) -> ContentType {
    ContentType::parse(text).unwrap_or(ContentType::TEXT_PLAIN)
}

const CALENDAR: &str = "text/calendar; charset=utf-8; method=REQUEST";

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(subject: &str, content: Vec<Paragraph>) -> Letter {
        let (from, to) = ("Bridge <bridge@a.test>".parse().unwrap(), "ada@b.test".parse().unwrap());
        let content = Content { subject, paragraphs: content, calendar: None, is_automatic: true };
        let made_at = Timestamp::from_second(1_780_000_000).unwrap();
        Letter::write(LetterId::new(1, 2), made_at, (&from, &to), &content).unwrap()
    }

    #[test]
    fn no_text_ends_a_header() {
        let long = "ü".repeat(300);
        for subject in ["a\r\nBcc: eve@c.test", "a\nBcc: eve@c.test", "a\u{85}Bcc: x", &long] {
            let letter = letter(subject, Vec::new());

            let (head, _) = letter.text.split_once("\r\n\r\n").unwrap();
            assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
            assert!(letter.text.is_ascii() && letter.text.lines().all(|line| line.len() < 999));
        }
    }

    #[test]
    fn what_was_said_is_no_markup() {
        let rows = vec![("Call", "sip:a@b.test\n<b>+49 30</b>".to_owned())];
        let content = Content {
            subject: "s",
            paragraphs: vec![Paragraph::Text("<script>'\"&\nx".to_owned()), Paragraph::Table(rows)],
            calendar: None,
            is_automatic: false,
        };

        let html = content.html();

        assert!(html.contains("<p>&lt;script&gt;&#39;&quot;&amp;<br>\nx</p>"), "{html}");
        assert!(html.contains("<a href=\"sip:a@b.test\">sip:a@b.test</a><br>&lt;b&gt;"), "{html}");
        assert!(content.plain().contains("Call: sip:a@b.test\n      <b>+49 30</b>\n"), "{html}");
    }

    #[test]
    fn what_is_kept_can_be_read_again() {
        let letter = letter("Gruß", vec![Paragraph::Text("Hallo".to_owned())]);

        let kept = serde_json::to_string(&letter).unwrap();

        assert_eq!(serde_json::from_str::<Letter>(&kept).unwrap(), letter);
        assert!(letter.text.contains("\r\nAuto-Submitted: auto-generated\r\n"), "{}", letter.text);
    }
}
