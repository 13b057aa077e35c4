//! The keys of a leg whose media is encrypted: what is sent is protected in place, what comes is opened in place.

use mixer::rtp::is_rtcp;
use mixer::srtp::{self, Keys, OVERHEAD_MAX, Receiver, Sender};

/// Both cryptographic contexts of a leg.
#[derive(Debug)]
pub(super) struct Secure {
    keys: Keys,
    sender: Sender,
    receiver: Receiver,
}

impl Secure {
    /// Begins with nothing sent or received.
    pub(super) fn new(keys: Keys) -> Self {
        Self { sender: Sender::new(&keys.send), receiver: Receiver::new(&keys.receive), keys }
    }

    /// Takes what offer/answer agreed now. Under the same key a context goes on: begun anew, it would encrypt the numbers
    /// after a roll-over as it did before, and take what was recorded for new.
    pub(super) fn rekey(&mut self, keys: &Keys) {
        if self.keys.send != keys.send {
            self.sender = Sender::new(&keys.send);
        }
        if self.keys.receive != keys.receive {
            self.receiver = Receiver::new(&keys.receive);
        }
        self.keys = keys.clone();
    }

    /// Protects the RTP in the first `len` octets of `room`; returns how many it has now.
    pub(super) fn protect(&mut self, room: &mut [u8], len: usize) -> Result<usize, srtp::Error> {
        self.sender.protect(room, len)
    }

    /// Protects a compound RTCP packet.
    pub(super) fn protect_rtcp(&mut self, report: &mut Vec<u8>) -> Result<(), srtp::Error> {
        let len = report.len();
        report.resize(len + OVERHEAD_MAX, 0);
        let len = self.sender.protect_rtcp(report, len)?;
        report.truncate(len);
        Ok(())
    }

    /// Makes RTP or RTCP of what came; both tell their kind in clear (RFC 5761 §4).
    pub(super) fn unprotect<'a>(&mut self, bytes: &'a mut [u8]) -> Result<&'a [u8], srtp::Error> {
        let len = if is_rtcp(bytes) {
            self.receiver.unprotect_rtcp(bytes)?
        } else {
            self.receiver.unprotect(bytes)?
        };
        Ok(&bytes[..len])
    }
}
