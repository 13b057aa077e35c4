//! Linphone at its console (`linphonec`), without a sound card: it plays a tone from a file and records what it hears.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use super::baresip::{Tape, write_tone};
use super::bridge::fresh_folder;
use super::said::Said;

/// One linphonec process.
#[derive(Debug)]
pub struct Linphone {
    child: Child,
    orders: ChildStdin,
    folder: PathBuf,
    said: Said,
}

impl Linphone {
    /// As it is installed: without an account.
    pub fn unregistered(tone_hz: u32) -> Self {
        Self::start(tone_hz, UDP)
    }

    /// Registers as `name` at a registrar given as host and port.
    pub fn registered(name: &str, registrar: &str, tone_hz: u32, password: &str) -> Self {
        let mut linphone = Self::start(tone_hz, UDP);
        linphone.order(&format!("register sip:{name}@{registrar} sip:{registrar} {password}"));
        linphone
    }

    /// The same; it publishes how it is, and follows how the user at this URI is.
    pub fn with_friend(name: &str, registrar: &str, password: &str, friend: &str) -> Self {
        let settings = format!(
            "{UDP}default_proxy=0\n\
             [proxy_0]\nreg_proxy=<sip:{registrar}>\nreg_identity=sip:{name}@{registrar}\n\
             reg_sendregister=1\npublish=1\n\
             [auth_info_0]\nusername={name}\npasswd={password}\nrealm=plenary\n\
             [friend_0]\nurl=<{friend}>\npol=accept\nsubscribe=1\n"
        );
        Self::start(440, &settings)
    }

    /// The same over TLS, believing this authority; it takes no call that is not encrypted. The registrar has a name:
    /// its TLS does not compare addresses.
    pub fn secure(
        name: &str,
        registrar: &str,
        (tone_hz, password): (u32, &str),
        authority: &Path,
    ) -> Self {
        let mut linphone = Self::start(tone_hz, &format!("{TLS}root_ca={}\n", authority.display()));
        let proxy = format!("<sip:{registrar};transport=tls>");
        linphone.order(&format!("register sip:{name}@{registrar} {proxy} {password}"));
        linphone
    }

    fn start(tone_hz: u32, settings: &str) -> Self {
        let folder = fresh_folder();
        // It makes no folder for its database, and without one it never registers.
        std::fs::create_dir_all(folder.join(".local/share/linphone")).expect("the folder is ours");
        write_tone(&folder.join("tone.wav"), tone_hz);
        std::fs::write(folder.join("settings"), format!("{RTP}{settings}"))
            .expect("the folder is ours");
        let (said, mouth) = Said::listen();
        let mut child = Command::new("linphonec")
            .args(["-c", "settings"])
            .env("HOME", &folder)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(mouth.try_clone().expect("a pipe can be shared"))
            .stderr(mouth)
            .spawn()
            .expect("linphonec runs (Debian: linphone-cli)");
        let orders = child.stdin.take().expect("it is piped");
        let mut linphone = Self { child, orders, folder, said };
        linphone.order("soundcard use files");
        linphone.order("play tone.wav");
        linphone.order("record heard.wav");
        linphone
    }

    /// What somebody would type.
    pub fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it reads what we write");
    }

    /// Waits until it has said this so many times.
    pub fn wait_said(&self, text: &str, times: usize) {
        self.said.wait("linphonec", text, |said| said.matches(text).count() >= times);
    }

    /// Takes back what it told its registrar, and ends.
    pub fn quit(mut self) {
        self.order("quit");
        self.child.wait().expect("it is our child");
    }

    /// Ends its calls, unregisters and gives the recording.
    pub fn finish(mut self) -> Tape {
        self.order("terminate");
        self.order("quit");
        self.child.wait().expect("it is our child");
        Tape::read(&self.folder.join("heard.wav"))
    }

    fn log(&self) -> String {
        self.said.text()
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("---- linphonec ----\n{}", self.log());
        } else {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

/// Ports as the system gives them.
const RTP: &str = "[rtp]\naudio_rtp_port=-1\n[sip]\nuse_ipv6=0\n";
const UDP: &str = "sip_port=-1\nsip_tcp_port=0\nsip_tls_port=0\n";
const TLS: &str = "sip_port=0\nsip_tcp_port=0\nsip_tls_port=-1\nmedia_encryption=srtp\n\
                   media_encryption_mandatory=1\n";
