//! A Postgres server of a test's own: on a Unix socket, and not as root, which it refuses.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A server with an empty database. It goes with this value.
#[derive(Debug)]
pub struct Postgres {
    folder: tempfile::TempDir,
    child: Child,
}

impl Postgres {
    /// Makes and starts one.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        if is_root() {
            run(Command::new("chown").arg(USER).arg(folder.path()));
        }
        let data = folder.path().join("data");
        run(unprivileged("initdb").arg("-D").arg(&data).args([
            "--username=plenary",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        let child = serve(folder.path());
        Self { folder, child }
    }

    /// What `--database` takes.
    pub fn url(&self) -> String {
        format!("postgres://plenary@localhost/postgres?host={}", self.folder.path().display())
    }

    /// The server is gone, with all its connections.
    pub fn stop(&mut self) {
        signal("QUIT", &self.child);
        drop(self.child.wait());
    }

    /// It is there again, with what was committed.
    pub fn start_again(&mut self) {
        self.child = serve(self.folder.path());
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(folder: &Path) -> Child {
    let child = unprivileged("postgres")
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "logging_collector=off"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Postgres runs (Debian: postgresql)");
    let deadline = Instant::now() + Duration::from_secs(30);
    let ask = || Command::new(program("pg_isready")).arg("-q").arg("-h").arg(folder).status();
    while !ask().is_ok_and(|status| status.success()) {
        assert!(Instant::now() < deadline, "Postgres does not get ready");
        thread::sleep(Duration::from_millis(50));
    }
    child
}

/// A program of Postgres, as the user that Debian's package makes for it if we are root. It ends with us.
fn unprivileged(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if is_root() {
        let (user, group) = (format!("--reuid={USER}"), format!("--regid={USER}"));
        command.args([&user, &group, "--clear-groups"]);
    }
    command.arg("--").arg(program(name)).current_dir("/").stdin(Stdio::null());
    command
}

/// Debian keeps them apart by version; the latest is taken.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name));
    let found = found.filter(|path| path.exists()).max();
    found.unwrap_or_else(|| name.into())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn signal(name: &str, child: &Child) {
    drop(Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status());
}

const USER: &str = "postgres";
