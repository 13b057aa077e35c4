//! Sans-IO SIP (RFC 3261).
