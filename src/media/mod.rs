//! OS threads for RTP: a worker owns its rooms' sockets, slots and mix.

pub mod command;
