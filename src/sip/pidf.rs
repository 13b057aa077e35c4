//! Presence documents as phones publish them: PIDF (RFC 3863), with what a person does (RPID, RFC 4480).
//!
//! They come from outside: neither DTDs nor entities of their own are taken, and only so many nodes.

use roxmltree::{Document, Node, ParsingOptions};

/// What a phone says of its user.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pidf {
    /// Whether it can be reached there.
    pub basic: Option<Basic>,
    /// What the user does: names of RFC 4480 §3.2, such as `away`.
    pub activities: Vec<String>,
    /// In the user's words.
    pub note: Option<String>,
}

/// RFC 3863 §4.1.4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Basic {
    /// It can be reached.
    Open,
    /// It cannot.
    Closed,
}

/// Why a body is no presence document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PidfError {
    /// It is not UTF-8.
    #[error("expected UTF-8")]
    NotUtf8,
    /// It is not well-formed, has a DTD, or is too long.
    #[error("expected XML without a DTD, found {0}")]
    NotXml(String),
    /// It is another document.
    #[error("expected a presence element")]
    NotPresence,
}

impl Pidf {
    /// Reads a document. What it says beyond this is left out, a second note of the same place too.
    ///
    /// # Errors
    /// For anything but a presence document of at most 500 nodes.
    pub fn parse(body: &[u8]) -> Result<Self, PidfError> {
        let text = std::str::from_utf8(body).map_err(|_| PidfError::NotUtf8)?;
        let options =
            ParsingOptions { allow_dtd: false, nodes_limit: NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options)
            .map_err(|error| PidfError::NotXml(error.to_string()))?;
        let presence = document.root_element();
        if !presence.has_tag_name((PIDF, "presence")) {
            return Err(PidfError::NotPresence);
        }
        Ok(Self {
            basic: basic_of(presence),
            activities: activities_of(presence),
            note: note_of(presence),
        })
    }
}

/// Open, if one of the tuples is.
fn basic_of(presence: Node<'_, '_>) -> Option<Basic> {
    let tuples = children(presence, PIDF, "tuple");
    let statuses = tuples.flat_map(|tuple| children(tuple, PIDF, "status"));
    let basics = statuses.flat_map(|status| children(status, PIDF, "basic"));
    let said = basics.filter_map(|basic| match basic.text()?.trim() {
        "open" => Some(Basic::Open),
        "closed" => Some(Basic::Closed),
        _ => None,
    });
    said.reduce(|one, other| if one == Basic::Open { one } else { other })
}

fn activities_of(presence: Node<'_, '_>) -> Vec<String> {
    let lists = presence.descendants().filter(|node| node.has_tag_name((RPID, "activities")));
    let all = lists.flat_map(|list| list.children()).filter(Node::is_element);
    let named = all.map(|activity| activity.tag_name().name());
    let mut known: Vec<String> = Vec::new();
    for name in named.filter(|name| ACTIVITIES.contains(name)) {
        if !known.iter().any(|own| own == name) {
            known.push(name.to_owned());
        }
    }
    known
}

/// That of the person first, then that of a tuple.
fn note_of(presence: Node<'_, '_>) -> Option<String> {
    let own = children(presence, PIDF, "note");
    let persons = children(presence, MODEL, "person");
    let of_persons = persons.flat_map(|person| children(person, MODEL, "note"));
    let tuples = children(presence, PIDF, "tuple");
    let of_tuples = tuples.flat_map(|tuple| children(tuple, PIDF, "note"));
    let mut texts = own.chain(of_persons).chain(of_tuples).filter_map(|note| note.text());
    let text = texts.find(|text| !text.trim().is_empty())?.trim();
    Some(text.chars().take(NOTE).collect())
}

fn children<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    namespace: &'static str,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name((namespace, name)))
}

/// Characters of a note that are kept.
const NOTE: usize = 256;
/// Nodes of a document, texts and attributes' owners alike.
const NODES: u32 = 500;
const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";

/// RFC 4480 §3.2, but for `unknown` and `other`.
const ACTIVITIES: [&str; 25] = [
    "appointment",
    "away",
    "breakfast",
    "busy",
    "dinner",
    "holiday",
    "in-transit",
    "looking-for-work",
    "lunch",
    "meal",
    "meeting",
    "on-the-phone",
    "performance",
    "permanent-absence",
    "playing",
    "presentation",
    "shopping",
    "sleeping",
    "spectator",
    "steering",
    "travel",
    "tv",
    "vacation",
    "working",
    "worship",
];

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "<?xml version=\"1.0\"?>\n\
        <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"pres:alice@plenary\">\
        <tuple id=\"a\"><status><basic>closed</basic></status></tuple>\
        <tuple id=\"b\"><status><basic> open </basic></status><note>at my desk</note></tuple>\
        <dm:person id=\"p\"><r:activities><r:away/><r:busy/><r:away/><r:unheard-of/></r:activities>\
        <dm:note>back &amp; forth</dm:note></dm:person></presence>";

    #[test]
    fn a_document_tells_status_activities_and_note() {
        let expected = Pidf {
            basic: Some(Basic::Open),
            activities: vec!["away".to_owned(), "busy".to_owned()],
            note: Some("back & forth".to_owned()),
        };

        assert_eq!(Pidf::parse(WHOLE.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_not_there_is_not_told() {
        let empty = b"<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:a@b\"/>";
        let long = WHOLE.replace("back &amp; forth", &"x".repeat(1000));

        assert_eq!(Pidf::parse(empty), Ok(Pidf::default()));
        let note = Pidf::parse(long.as_bytes()).unwrap().note;
        assert_eq!(note.map(|note| note.len()), Some(NOTE));
    }

    #[test]
    fn documents_that_are_none_or_do_harm_are_refused() {
        let bomb = "<!DOCTYPE presence [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>\
                    <presence xmlns=\"urn:ietf:params:xml:ns:pidf\">&b;</presence>";
        let deep = "<a>".repeat(100_000);
        let many = WHOLE.replace("<r:away/>", &"<r:away/>".repeat(1000));
        let other = "<presence xmlns=\"urn:other\"/>";

        for body in [bomb, &deep, &many, other, "", "hello", "<presence"] {
            assert!(Pidf::parse(body.as_bytes()).is_err(), "{body:.60}");
        }
        assert_eq!(Pidf::parse(b"<a>\xff</a>"), Err(PidfError::NotUtf8));
    }
}
