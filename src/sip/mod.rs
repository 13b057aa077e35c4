//! Sans-IO SIP (RFC 3261): nothing here opens a socket, reads a clock or knows of rooms.

pub mod compositor;
pub mod dialog;
pub mod digest;
pub mod endpoint;
pub mod headers;
mod layer;
pub mod locate;
pub mod message;
pub mod method;
mod notifier;
pub mod pidf;
mod refer;
pub mod registrar;
pub(crate) mod scan;
mod session;
pub mod status;
pub mod timer;
pub mod transaction;
pub mod transport;
pub mod uri;

pub use headers::{Headers, Name};
pub use message::{Limits, Message, ParseError, Start};
pub use method::Method;
pub use status::StatusCode;
pub use uri::{Host, Uri};
