//! Sans-IO SIP (RFC 3261).

pub mod timer;
pub mod transaction;
