//! Request methods: RFC 3261 §7.1 and its extensions.

use std::fmt;

use crate::sip::scan;

/// A request method. Case matters: `invite` is not `INVITE` (RFC 3261 §7.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Method {
    /// Sets up or changes a session: RFC 3261 §13.
    Invite,
    /// Acknowledges a final response to INVITE: RFC 3261 §13.2.2.4.
    Ack,
    /// Ends a session: RFC 3261 §15.
    Bye,
    /// Gives up a pending INVITE: RFC 3261 §9.
    Cancel,
    /// Asks for capabilities: RFC 3261 §11.
    Options,
    /// Binds an address of record to contacts: RFC 3261 §10.
    Register,
    /// Changes a session without a dialog state change: RFC 3311.
    Update,
    /// Acknowledges a reliable provisional response: RFC 3262.
    Prack,
    /// Carries application data within a session: RFC 6086.
    Info,
    /// Asks the recipient to contact a third party: RFC 3515.
    Refer,
    /// Reports a subscribed state: RFC 6665.
    Notify,
    /// Subscribes to a state: RFC 6665.
    Subscribe,
    /// Carries an instant message: RFC 3428.
    Message,
    /// Publishes a state: RFC 3903.
    Publish,
    /// Any other token, kept as it was written.
    Other(ExtensionMethod),
}

/// A method this code has no name for; holds a non-empty token (RFC 3261 §25.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ExtensionMethod(Box<str>);

impl Method {
    /// Reads a method; `None` unless `bytes` is a non-empty token.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let method = match bytes {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"UPDATE" => Self::Update,
            b"PRACK" => Self::Prack,
            b"INFO" => Self::Info,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other if scan::is_token(other) => {
                Self::Other(ExtensionMethod(scan::text(other).into_owned().into_boxed_str()))
            }
            _ => return None,
        };
        Some(method)
    }

    /// The method as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Info => "INFO",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(ExtensionMethod(token)) => token,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_methods_print_as_they_were_read() {
        for name in ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "UPDATE", "PRACK"] {
            assert_eq!(Method::parse(name.as_bytes()).unwrap().as_str(), name);
        }
    }

    #[test]
    fn case_makes_another_method() {
        let method = Method::parse(b"invite").unwrap();

        assert_ne!(method, Method::Invite);
        assert_eq!(method.to_string(), "invite");
    }

    #[test]
    fn no_method_is_empty_or_has_separators() {
        for bytes in [&b""[..], b"IN VITE", b"INV\"ITE", b"INV,ITE", b"INVIT\xc9"] {
            assert_eq!(Method::parse(bytes), None);
        }
    }
}
