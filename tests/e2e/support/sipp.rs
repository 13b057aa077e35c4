//! `sipp` as a caller and as one who is called.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::bridge::{free_port, fresh_folder};

/// One run of sipp.
#[derive(Debug)]
pub struct Sipp {
    command: Command,
}

impl Sipp {
    /// Calls `service` at `target`; `scenario` is a built-in (`uac`) or a file of `tests/e2e/sipp`.
    pub fn new(target: &str, service: &str, scenario: &str) -> Self {
        let host = if target.starts_with('[') { "::1" } else { "127.0.0.1" };
        let mut sipp = Self::at(host, free_port().port(), scenario);
        sipp.command.args(["-s", service, target]);
        sipp
    }

    /// Waits for calls, at the URI that is returned too.
    pub fn callee(scenario: &str) -> (Self, String) {
        let port = free_port().port();
        (Self::at("127.0.0.1", port, scenario), format!("sip:sipp@127.0.0.1:{port}"))
    }

    fn at(host: &str, port: u16, scenario: &str) -> Self {
        let mut command = Command::new("sipp");
        command.current_dir(fresh_folder());
        command.args(["-i", host, "-p", &port.to_string()]);
        // As root sipp would ask the terminal; nothing here needs one.
        command.args(["-nostdin", "-trace_err"]);
        if Path::new(scenario).extension().is_some() {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/sipp").join(scenario);
            command.arg("-sf").arg(file);
        } else {
            command.args(["-sn", scenario]);
        }
        Self { command }
    }

    /// The same at a port of the test's choice.
    pub fn callee_at(port: u16, scenario: &str) -> Self {
        Self::at("127.0.0.1", port, scenario)
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs beside the test, however its calls go.
    pub fn start(mut self) -> RunningSipp {
        let command = self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        RunningSipp(command.spawn().expect("sipp runs (Debian: sip-tester)"))
    }

    /// Runs to its end; sipp exits with 0 when every call went as the scenario says.
    pub fn run(mut self) -> Output {
        self.command.output().expect("sipp runs (Debian: sip-tester)")
    }

    /// Runs and fails unless every call succeeded.
    pub fn expect_success(self) {
        let output = self.run();
        let screen = String::from_utf8_lossy(&output.stdout);
        let tail: Vec<&str> = screen.lines().rev().take(60).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "sipp: {}\n{tail}\n{errors}", output.status);
    }
}

/// A sipp that runs until it is dropped.
#[derive(Debug)]
pub struct RunningSipp(Child);

impl Drop for RunningSipp {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether a program is installed; tests of peers say so loudly when one is not.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
