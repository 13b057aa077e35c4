//! A mail server: aiosmtpd, which tells what comes to it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::bridge::{free_port, fresh_folder};
use super::certificates::Authority;

/// The server; it goes with this value.
#[derive(Debug)]
pub struct Smtp {
    child: Child,
    pub address: SocketAddr,
    told: Receiver<Value>,
}

impl Smtp {
    /// One whose certificate is signed by `authority`; `options` are those of `smtp.py`.
    pub fn start(authority: &Authority, options: &[&str]) -> Self {
        Self::start_at(free_port(), authority, options)
    }

    pub fn start_at(address: SocketAddr, authority: &Authority, options: &[&str]) -> Self {
        let folder = fresh_folder();
        authority.sign(&["127.0.0.1"], &folder);
        // Debian's own, whose packages these are.
        let mut child = Command::new("/usr/bin/python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/smtp.py"))
            .arg(address.port().to_string())
            .arg("--certificate")
            .arg(folder.join("cert.pem"))
            .arg("--key")
            .arg(folder.join("key.pem"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs (Debian: python3-aiosmtpd, python3-icalendar)");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (sender, told) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(sender.send(serde_json::from_str(&line).expect("a JSON object a line")));
            }
        });
        let server = Self { child, address, told };
        server.next("ready");
        drop(std::fs::remove_dir_all(folder));
        server
    }

    /// The next that it tells.
    pub fn told(&self) -> Value {
        self.told.recv_timeout(PATIENCE).expect("the mail server tells something")
    }

    /// The next that it tells, which must be this.
    pub fn next(&self, event: &str) -> Value {
        let told = self.told.recv_timeout(PATIENCE);
        let told = told.unwrap_or_else(|_| panic!("the mail server tells of no {event}"));
        assert_eq!(told["event"], event, "{told}");
        told
    }

    /// Everything so far that was not asked for.
    pub fn rest(&self) -> Vec<Value> {
        self.told.try_iter().collect()
    }

    /// Settings of a bridge that hands its mail in here.
    pub fn settings(&self, authority: &Authority, more: &str) -> String {
        format!(
            "[mail]\nserver = \"{}\"\nca = \"{}\"\nfrom = \"Conferences <bridge@plenary.test>\"\n{more}\n",
            self.address,
            authority.path().display()
        )
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
