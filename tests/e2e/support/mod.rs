//! What the tests stand on: a bridge, phones, and the wish to print what happened.

mod baresip;
mod bridge;
mod certificates;
mod client;
mod dns;
#[path = "../../phone/driver/mod.rs"]
#[allow(dead_code, reason = "shared with the phone's own tests")]
mod driver;
mod kamailio;
mod linphone;
mod peer;
mod postgres;
mod said;
mod sipp;
mod slapd;
mod smtp;
mod sound;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

pub use baresip::{Baresip, Tape};
pub use bridge::{Bridge, Options, binary, free_port, fresh_folder};
pub use certificates::Authority;
pub use client::Response;
pub use dns::Dns;
pub use driver::{Call, Line, Phones, delay};
pub use kamailio::Kamailio;
pub use linphone::Linphone;
pub use peer::{Dialog, Message, Peer, idle_sdp, sdp};
pub use postgres::Postgres;
pub use serde_json::{Value, json};
pub use sipp::{RunningSipp, Sipp, has_program};
pub use slapd::{Slapd, directory_settings};
pub use smtp::Smtp;
pub use sound::{Manner, Packet, Ports, Sound, buzz, tone, wav};

/// A bridge and a box of phones.
#[derive(Debug)]
pub struct Scene {
    pub bridge: Bridge,
    pub phones: Phones,
}

/// With default settings.
pub fn scene() -> Scene {
    scene_with(Options::default())
}

pub fn scene_with(options: Options) -> Scene {
    Scene { bridge: Bridge::start(options), phones: phones() }
}

/// A box of phones on its own.
pub fn phones() -> Phones {
    Phones::start(phone_binary())
}

impl Scene {
    /// A line that offers PCMU and PCMA.
    pub fn line(&self, name: &str) -> Line<'_> {
        self.phones.line(name, json!({}))
    }

    /// A line that answers calls with a tone.
    pub fn answering(&self, name: &str, tone_hz: u32) -> Line<'_> {
        self.phones.line(name, json!({"tones_hz": [tone_hz]}))
    }

    /// Opens a line, calls a room with a tone and waits until the bridge has seated it.
    pub fn join(&self, name: &str, room: &str, tone_hz: u32) -> Seat<'_> {
        self.join_with(name, room, tone_hz, json!({}))
    }

    /// As `join`; `options` are those of the phone's `call` order.
    pub fn join_with(&self, name: &str, room: &str, tone_hz: u32, options: Value) -> Seat<'_> {
        let line = self.line(name);
        let call = line.call(&format!("{name}-out"), &self.bridge.uri(room), tone_hz, options);
        let leg = self.joined(name);
        Seat { line, call, leg }
    }

    /// Waits until the line of this name is seated; answers its leg.
    pub fn joined(&self, name: &str) -> String {
        self.bridge.wait_participant("participant.joined", name)["leg"].as_str().unwrap().to_owned()
    }
}

/// A phone in a room.
#[derive(Debug)]
pub struct Seat<'s> {
    pub line: Line<'s>,
    pub call: Call<'s>,
    pub leg: String,
}

/// Continuity of the first tone in a report of `hear`.
pub fn continuity(heard: &Value) -> f64 {
    heard["tones"][0]["continuity"].as_f64().expect("a report of `hear`")
}

/// Level of the tone with this index, dB below full scale.
pub fn level(heard: &Value, index: usize) -> f64 {
    heard["tones"][index]["level_db"].as_f64().expect("a report of `hear`")
}

/// The test phone, built once; `E2E_PHONE` names another binary.
fn phone_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("E2E_PHONE") {
            return path.into();
        }
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/phone");
        let target = package.join("target");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env("CMAKE_POLICY_VERSION_MINIMUM", "3.5")
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the test phone does not build (cmake and a C compiler?)");
        target.join("debug/phone")
    })
}

/// Long enough for a jitter buffer and a transition in flight.
pub const SETTLE: Duration = Duration::from_millis(400);
/// One second of media.
pub const SECOND: Duration = Duration::from_secs(1);
