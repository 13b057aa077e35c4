//! Kamailio as a proxy in front of the bridge.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bridge::{free_port, fresh_folder};
use super::certificates::Authority;

/// One Kamailio with the script of `tests/e2e/kamailio.cfg`.
#[derive(Debug)]
pub struct Kamailio {
    child: Child,
    folder: PathBuf,
    pub address: SocketAddr,
    /// The same over TLS, where it has a certificate.
    pub secure: SocketAddr,
}

impl Kamailio {
    /// A proxy at `address` before a bridge and a phone.
    pub fn start(address: SocketAddr, bridge: SocketAddr, phone: SocketAddr) -> Self {
        Self::start_with((address, free_port()), bridge, phone, None)
    }

    /// A proxy that also speaks TLS at another address, by a certificate of this authority, and to the bridge nothing else.
    pub fn start_secure(
        addresses: (SocketAddr, SocketAddr),
        bridge: SocketAddr,
        phone: SocketAddr,
        authority: &Authority,
    ) -> Self {
        Self::start_with(addresses, bridge, phone, Some(authority))
    }

    fn start_with(
        (address, secure): (SocketAddr, SocketAddr),
        bridge: SocketAddr,
        phone: SocketAddr,
        authority: Option<&Authority>,
    ) -> Self {
        let folder = fresh_folder();
        if let Some(authority) = authority {
            authority.sign(&["localhost", "127.0.0.1"], &folder);
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/kamailio.cfg");
        let script = std::fs::read_to_string(script).expect("the script is there");
        let script = script
            .replace("PROXY", &address.to_string())
            .replace("SECURE", &secure.to_string())
            .replace("FOLDER", &folder.display().to_string())
            .replace("BRIDGE", &bridge.to_string())
            .replace("PHONE", &phone.to_string());
        std::fs::write(folder.join("kamailio.cfg"), script).expect("the folder is ours");
        let log = std::fs::File::create(folder.join("log")).expect("the folder is ours");
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "32", "-M", "8", "-f"])
            .arg(folder.join("kamailio.cfg"))
            .arg("-Y")
            .arg(&folder)
            .arg("-w")
            .arg(&folder)
            .args(authority.map(|_| ["-A", "WITH_TLS"]).into_iter().flatten())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("kamailio runs (Debian: kamailio)");
        let proxy = Self { child, folder, address, secure };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "kamailio does not answer:\n{}", proxy.log());
            thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    /// Where one may be started.
    pub fn place() -> SocketAddr {
        free_port()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // It ends its own children only when it is asked to.
        drop(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("---- kamailio ----\n{}", self.log());
        } else {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}
