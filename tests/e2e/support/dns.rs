//! `dnsmasq` with a zone of the test's own.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bridge::free_port;

/// A name server on loopback; it knows nothing but what it was told.
#[derive(Debug)]
pub struct Dns {
    child: Child,
    pub address: SocketAddr,
}

impl Dns {
    /// `records` are options of dnsmasq, such as `host-record=gw.test,127.0.0.1`.
    pub fn start(records: &[String]) -> Self {
        let address = free_port();
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        command.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file="]);
        command.args(["--local=/test/", "--local-ttl=60", &format!("--port={}", address.port())]);
        command.args(records.iter().map(|record| format!("--{record}")));
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("dnsmasq runs (Debian: dnsmasq-base)");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "dnsmasq does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        Self { child, address }
    }

    /// The setting of a bridge that asks it.
    pub fn setting(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\n", self.address)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
