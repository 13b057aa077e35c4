//! baresip as a caller: plays a tone from a file and records what it decodes.

use std::f64::consts::TAU;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::bridge::fresh_folder;
use super::driver::punctual;
use super::said::Said;

/// One baresip process with one call.
#[derive(Debug)]
pub struct Baresip {
    child: Child,
    folder: PathBuf,
    said: Said,
}

/// What a baresip is made of, beside its tone.
#[derive(Debug, Default)]
struct Setup<'a> {
    account: &'a str,
    /// More lines of its configuration.
    settings: &'a str,
    contacts: &'a str,
    orders: &'a [&'a str],
}

/// What somebody recorded, mono.
#[derive(Debug)]
pub struct Tape {
    rate: u32,
    samples: Vec<f64>,
}

impl Baresip {
    /// Calls `uri` as `sip:NAME@127.0.0.1` or `sip:NAME@[::1]` in PCMU, playing a tone.
    pub fn call(name: &str, uri: &str, tone_hz: u32) -> Self {
        Self::call_with(name, uri, tone_hz, "")
    }

    /// The same with more parameters of its account, as in `;auth_pass=secret`.
    pub fn call_with(name: &str, uri: &str, tone_hz: u32, account: &str) -> Self {
        Self::start(name, uri, (tone_hz, account, ""))
    }

    /// As `call`, encrypted as baresip's `mediaenc` says.
    pub fn call_encrypted(name: &str, uri: &str, tone_hz: u32, mediaenc: &str) -> Self {
        Self::call_with(name, uri, tone_hz, &format!(";mediaenc={mediaenc}"))
    }

    /// As `call`, over TLS to who has a certificate of this authority.
    pub fn call_over_tls(name: &str, uri: &str, tone_hz: u32, authority: &Path) -> Self {
        let believed = format!("sip_cafile {}\nsip_verify_server yes\n", authority.display());
        Self::start(name, uri, (tone_hz, "", &believed))
    }

    /// Registers as `name` at a registrar given as host and port, and answers whoever calls.
    pub fn registered(name: &str, registrar: &str, tone_hz: u32, account: &str) -> Self {
        Self::registered_with(name, registrar, (tone_hz, account), "auto")
    }

    /// The same, answering as baresip's `answermode` says: `manual` rings until somebody else has the call.
    pub fn registered_with(
        name: &str,
        registrar: &str,
        (tone_hz, account): (u32, &str),
        mode: &str,
    ) -> Self {
        let account = format!("<sip:{name}@{registrar}>;regint=60;answermode={mode}{account}");
        Self::run("-4", tone_hz, &Setup { account: &account, ..Setup::default() })
    }

    /// Registers as `name` and publishes that it is not there; its calls it answers all the same.
    pub fn absent(name: &str, registrar: &str, tone_hz: u32, account: &str) -> Self {
        let account =
            format!("<sip:{name}@{registrar}>;regint=60;answermode=auto;pubint=60{account}");
        let orders = ["-e", "/presence_offline"];
        let setup = Setup { account: &account, settings: PRESENCE, orders: &orders, contacts: "" };
        Self::run("-4", tone_hz, &setup)
    }

    /// Registers as `name` and follows how the user at this URI is.
    pub fn watching(name: &str, registrar: &str, (other, account): (&str, &str)) -> Self {
        let account = format!("<sip:{name}@{registrar}>;regint=60{account}");
        let contacts = format!("\"Other\" <{other}>;presence=p2p\n");
        let setup =
            Setup { account: &account, settings: PRESENCE, contacts: &contacts, orders: &[] };
        Self::run("-4", 440, &setup)
    }

    fn start(name: &str, uri: &str, (tone_hz, account, settings): (u32, &str, &str)) -> Self {
        let (family, host) = if uri.contains('[') { ("-6", "[::1]") } else { ("-4", "127.0.0.1") };
        let transport = if uri.contains("transport=tls") { ";transport=tls" } else { "" };
        let account = format!("<sip:{name}@{host}{transport}>;regint=0{account}");
        let orders = ["-e", &format!("/dial {uri}")];
        Self::run(
            family,
            tone_hz,
            &Setup { account: &account, settings, contacts: "", orders: &orders },
        )
    }

    fn run(family: &str, tone_hz: u32, setup: &Setup<'_>) -> Self {
        let folder = fresh_folder();
        let host = if family == "-6" { "[::1]" } else { "127.0.0.1" };
        write_tone(&folder.join("tone.wav"), tone_hz);
        let account = format!("{};audio_codecs=PCMU\n", setup.account);
        std::fs::write(folder.join("accounts"), account).expect("the folder is ours");
        std::fs::write(folder.join("contacts"), setup.contacts).expect("the folder is ours");
        let settings = config(&folder, host) + setup.settings;
        std::fs::write(folder.join("config"), settings).expect("the folder is ours");
        let (said, mouth) = Said::listen();
        let child = punctual("baresip")
            .args([family, "-f"])
            .arg(&folder)
            .args(["-t", "60"])
            .args(setup.orders)
            .stdin(Stdio::null())
            .stdout(mouth.try_clone().expect("a pipe can be shared"))
            .stderr(mouth)
            .spawn()
            .expect("baresip runs (Debian: baresip-core)");
        Self { child, folder, said }
    }

    /// Waits until it has said this so many times.
    pub fn wait_said(&self, text: &str, times: usize) {
        self.said.wait("baresip", text, |said| plain(said).matches(text).count() >= times);
    }

    /// Hangs up and gives the recording.
    pub fn finish(mut self) -> Tape {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.expect("kill runs").success());
        self.child.wait().expect("it is our child");
        let entries = std::fs::read_dir(&self.folder).expect("the folder is ours").flatten();
        let mut paths = entries.map(|entry| entry.path());
        let tape = paths.find(|path| path.to_string_lossy().ends_with("-dec.wav"));
        let tape = tape.unwrap_or_else(|| panic!("baresip recorded nothing:\n{}", self.log()));
        Tape::read(&tape)
    }

    fn log(&self) -> String {
        self.said.text()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("---- baresip ----\n{}", self.log());
        } else {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

impl Tape {
    /// A WAV file of 16 bits, mono.
    pub fn read(path: &Path) -> Self {
        let wav = std::fs::read(path).expect("it was just found");
        let after = |mark: &[u8]| {
            let at = wav.windows(4).position(|window| window == mark).expect("a WAV file");
            &wav[at + 8..]
        };
        let format = after(b"fmt ");
        let rate = u32::from_le_bytes(format[4..8].try_into().expect("four octets"));
        assert_eq!(format[2..4], [1, 0], "it should be mono");
        let pairs = after(b"data").chunks_exact(2);
        let sample = |pair: &[u8]| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0;
        Self { rate, samples: pairs.map(sample).collect() }
    }

    /// How long it is, milliseconds.
    pub fn duration_ms(&self) -> usize {
        self.samples.len() * 1_000 / self.rate as usize
    }

    /// What was heard from one millisecond to another.
    pub fn part(&self, from_ms: usize, to_ms: usize) -> Self {
        let at = |ms: usize| (ms * self.rate as usize / 1_000).min(self.samples.len());
        Self { rate: self.rate, samples: self.samples[at(from_ms)..at(to_ms)].to_vec() }
    }

    /// Level of a tone in the loudest half second of the recording, dB below a full-scale sine.
    pub fn level_db(&self, hz: u32) -> f64 {
        let level = |part: &[f64]| {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for (index, sample) in part.iter().enumerate() {
                let angle = TAU * f64::from(hz) * index as f64 / f64::from(self.rate);
                real += sample * angle.cos();
                imaginary += sample * angle.sin();
            }
            2.0 * real.hypot(imaginary) / part.len() as f64
        };
        let best = self.samples.chunks_exact(self.rate as usize / 2).map(level).fold(0.0, f64::max);
        20.0 * best.max(1e-6).log10()
    }

    /// Whether a tone was clearly heard.
    pub fn holds(&self, hz: u32) -> bool {
        self.level_db(hz) > -40.0
    }
}

fn config(folder: &Path, host: &str) -> String {
    let folder = folder.display();
    let mut text = format!(
        "poll_method epoll\nsip_listen {host}:0\ncall_max_calls 2\n\
         audio_player aubridge,ear\naudio_alert aubridge,ear\naudio_source aufile,{folder}/tone.wav\n\
         ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
         snd_path {folder}\nmodule_path /usr/lib/baresip/modules\n"
    );
    for module in ["g711", "aufile", "aubridge", "sndfile", "srtp"] {
        writeln!(text, "module {module}.so").expect("a string takes all");
    }
    text + "module_tmp account.so\nmodule_app menu.so\n"
}

/// Without colours.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.filter_map(|part| part.split_once('m')).map(|(_, text)| text);
    first + &rest.collect::<String>()
}

/// A minute of a tone, −16 dB below full scale: 16-bit PCM, mono, 8 kHz.
pub fn write_tone(path: &Path, hz: u32) {
    let length = 60 * RATE as u32;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + 2 * length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend((RATE as u32).to_le_bytes());
    wav.extend((2 * RATE as u32).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((2 * length).to_le_bytes());
    for index in 0..length {
        let angle = TAU * f64::from(hz) * f64::from(index) / RATE;
        let sample = (angle.sin() * 5193.0) as i16;
        wav.extend(sample.to_le_bytes());
    }
    std::fs::write(path, wav).expect("the folder is ours");
}

const RATE: f64 = 8000.0;
const PRESENCE: &str = "module_app contact.so\nmodule_app presence.so\n";
