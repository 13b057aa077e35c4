//! A SIP telephone that a test drives: commands on standard input, events on standard output, one
//! JSON object a line. See `README.md`.
//!
//! SIP is rsip's, SDP is sdp-rs's, Opus is audiopus's: nothing here is shared with the bridge, so
//! that each side judges the other.

mod call;
mod codec;
mod command;
mod echo;
mod hearing;
mod impair;
mod media;
mod phone;
mod random;
mod sdp;
mod sip;
mod tone;
mod transactions;
mod transport;

use std::io::BufRead;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use crate::command::Order;
use crate::transport::Flow;

/// What the one thread that owns all lines and calls waits for.
pub enum Input {
    Order(Result<Order, String>),
    Message {
        line: String,
        flow: Flow,
        bytes: Vec<u8>,
    },
    Digit {
        call: String,
        digit: char,
    },
    /// Standard input is closed.
    Leave,
}

fn main() {
    let (sender, inputs) = mpsc::channel();
    let mut phone = phone::Phone::new(sender.clone());
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let order = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"));
            if sender.send(Input::Order(order)).is_err() {
                return;
            }
        }
        drop(sender.send(Input::Leave));
    });
    loop {
        let wait = phone.next_deadline().saturating_duration_since(Instant::now());
        match inputs.recv_timeout(wait) {
            Ok(Input::Leave) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(input) => phone.handle(input),
            Err(RecvTimeoutError::Timeout) => {}
        }
        phone.handle_time(Instant::now());
    }
    phone.leave();
}
