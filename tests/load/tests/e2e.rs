//! End-to-end tests of the tool against its own fake bridge, whose faults are known.
//! They take about two minutes and want a quiet machine:
//!   cargo test --release -- --ignored --test-threads=1

use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

const EXE: &str = env!("CARGO_BIN_EXE_plenary-load");
static PORT: AtomicU16 = AtomicU16::new(61200);

struct Fake {
    child: Child,
    addr: String,
}
impl Fake {
    fn new(args: &[&str]) -> Fake {
        let addr = format!("127.0.0.1:{}", PORT.fetch_add(2, Ordering::SeqCst));
        let mut child = Command::new(EXE)
            .args(["fakebridge", "--listen", &addr, "--seconds", "120"])
            .args(args)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(child.try_wait().unwrap().is_none(), "the fake bridge did not start on {addr}");
        Fake { child, addr }
    }
    fn go(&self, cmd: &str, args: &[&str]) -> Value {
        let out = std::env::temp_dir().join(format!(
            "plenary-load-{}-{}.json",
            std::process::id(),
            PORT.fetch_add(2, Ordering::SeqCst)
        ));
        let p = out.to_str().unwrap().to_string();
        let mut c = Command::new(EXE);
        c.args([cmd, "--target", &self.addr, "--json", &p]).args(args).stdout(Stdio::null());
        if cmd != "fidelity" {
            c.args(["--server-pid", &self.child.id().to_string()]);
        }
        assert!(c.status().unwrap().success());
        let v = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
        let _ = std::fs::remove_file(&out);
        v
    }
}
impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn f(v: &Value, path: &str) -> f64 {
    v.pointer(path).and_then(|x| x.as_f64()).unwrap_or_else(|| panic!("no {path} in {v:#}"))
}

const RUN: [&str; 14] = [
    "--rooms",
    "5",
    "--per-room",
    "8",
    "--talkers",
    "2",
    "--seconds",
    "5",
    "--warmup",
    "1",
    "--cps",
    "100",
    "--rt",
    "10",
];

#[test]
fn options_of_all_commands_are_taken_by_run() {
    let fake = Fake::new(&[]);
    let v = fake.go(
        "run",
        &[
            "--per-room",
            "2",
            "--seconds",
            "0.2",
            "--warmup",
            "0",
            "--bye-rate",
            "1000",
            "--label",
            "x",
        ],
    );
    assert_eq!(v["label"], "x");
    assert_eq!(f(&v, "/after_hangup/still_up"), 0.0);
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn clean_run() {
    let v = Fake::new(&[]).go("run", &RUN);
    assert_eq!(f(&v, "/setup/calls_up"), 40.0);
    assert_eq!(f(&v, "/window/participants"), 40.0);
    assert_eq!(f(&v, "/window/quality/sequence_missing"), 0.0);
    assert_eq!(f(&v, "/window/quality/duplicates"), 0.0);
    assert_eq!(f(&v, "/window/quality/reordered"), 0.0);
    assert_eq!(f(&v, "/window/quality/legs_below_99pct"), 0.0);
    assert_eq!(f(&v, "/window/audio_probe/legs_expected_audio_but_silent"), 0.0);
    let r = f(&v, "/window/quality/packets_per_second_per_leg/p50");
    assert!((r - 50.0).abs() < 0.5, "{r}");
    assert!(f(&v, "/window/generator/sent_of_due") > 0.998);
    assert!(f(&v, "/window/quality/jitter_ms/p99") < 5.0);
    assert_eq!(f(&v, "/after_hangup/still_up"), 0.0);
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn cpu_figure_matches_known_work() {
    let base = f(&Fake::new(&[]).go("run", &RUN), "/window/server/cpu_ms_per_participant_second");
    // 40 us per participant and 20 ms tick: 2 CPU-ms per participant-second more
    let v = Fake::new(&["--burn-us", "40"]).go("run", &RUN);
    let d = f(&v, "/window/server/cpu_ms_per_participant_second") - base;
    assert!((d - 2.0).abs() < 0.25, "{d}");
    let ticks = f(&v, "/window/server/cpu_from_ticks_cores");
    let ns = f(&v, "/window/server/cores_used");
    assert!((ticks - ns).abs() < 0.01, "{ticks} {ns}");
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn loss_dup_reorder_are_found() {
    let v = Fake::new(&["--loss", "0.02"]).go("run", &RUN);
    let l = f(&v, "/window/quality/loss_fraction");
    assert!((l - 0.02).abs() < 0.006, "{l}");
    let r = f(&v, "/window/quality/received_of_expected/mean");
    assert!((r - 0.98).abs() < 0.006, "{r}");
    assert!(f(&v, "/window/quality/legs_below_99pct") > 30.0);
    let v = Fake::new(&["--dup", "0.03"]).go("run", &RUN);
    let d = f(&v, "/window/quality/duplicates") / f(&v, "/window/quality/packets_received");
    assert!((d - 0.03).abs() < 0.01, "{d}");
    assert_eq!(f(&v, "/window/quality/sequence_missing"), 0.0);
    let v = Fake::new(&["--reorder", "0.03"]).go("run", &RUN);
    let d = f(&v, "/window/quality/reordered") / f(&v, "/window/quality/packets_received");
    assert!((d - 0.03).abs() < 0.01, "{d}");
    assert!(f(&v, "/window/quality/sequence_missing").abs() <= 3.0); // one may be held at the edge
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn added_delay_is_measured() {
    let a = ["--seconds", "8", "--warmup", "1", "--pairs", "6"];
    let d0 = Fake::new(&["--extra-frames", "1"]).go("latency", &a);
    let d5 = Fake::new(&["--extra-frames", "6"]).go("latency", &a);
    // at least one tick kept ready, at most one more for the phase
    let p = f(&d0, "/bridge_delay_ms/min");
    assert!((19.0..41.0).contains(&p), "{p}");
    // the phase of the calls against the bridge differs from run to run: within one interval
    let d = f(&d5, "/bridge_delay_ms/p50") - f(&d0, "/bridge_delay_ms/p50");
    assert!((d - 100.0).abs() < 21.0, "{d}");
    assert_eq!(f(&d0, "/markers_missed"), 0.0);
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn fidelity_gain_and_echo() {
    let v = Fake::new(&["--gain-db", "-6"]).go("fidelity", &["--seconds", "4"]);
    for i in 0..4 {
        let l = f(&v, &format!("/heard/{i}/narrowband/level_db"));
        assert!((l + 6.0).abs() < 0.2, "{l}");
    }
    assert_eq!(v["self_echo"][0]["pass"], true);
    let v = Fake::new(&["--echo"]).go("fidelity", &["--seconds", "4"]);
    let e = f(&v, "/self_echo/0/echo_db");
    assert!(e.abs() < 0.5, "{e}");
    assert_eq!(v["self_echo"][0]["pass"], false);
    // the double-talk figure sees it too
    assert!(f(&v, "/double_talk/0/own_voice_db") > -3.0);
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn fidelity_mixed_codecs() {
    let v = Fake::new(&["--mix-rate", "16000"])
        .go("fidelity", &["--seconds", "4", "--codecs", "pcmu,opus,g722"]);
    for i in 0..4 {
        assert!(f(&v, &format!("/heard/{i}/narrowband/correlation")) > 0.95);
        assert!(f(&v, &format!("/heard/{i}/narrowband/seg_snr_db")) > 10.0);
    }
    for i in 0..2 {
        assert!(f(&v, &format!("/self_echo/{i}/echo_db")) < -50.0);
    }
    assert!(f(&v, "/double_talk/2/snr_of_sum_after_linear_fit_db") > 10.0);
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn signalling_faults() {
    // a fifth of all SIP messages lost in each direction: retransmission must bring the calls up
    let v = Fake::new(&["--lose-sip", "0.2"]).go("run", &RUN);
    assert_eq!(f(&v, "/setup/calls_up"), 40.0);
    assert!(f(&v, "/setup/signalling/sip_retransmissions") > 3.0);
    // refused calls
    let v = Fake::new(&["--reject", "0.4"]).go("run", &RUN);
    let n = f(&v, "/setup/failures/503");
    assert!((4.0..30.0).contains(&n), "{n}");
    assert_eq!(n + f(&v, "/setup/calls_up"), 40.0);
    // requests from the server inside the dialog
    let v = Fake::new(&["--reinvite-after", "1.5"]).go("run", &RUN);
    assert_eq!(f(&v, "/setup/signalling/server_requests/INVITE"), 40.0);
    assert_eq!(f(&v, "/window/quality/legs_below_99pct"), 0.0);
    // the server ends the calls
    let v = Fake::new(&["--hangup-after", "3"]).go("run", &RUN);
    assert_eq!(f(&v, "/setup/ended_by_server"), 40.0);
    assert_eq!(f(&v, "/window/participants"), 0.0);
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn digest_authentication() {
    for alg in ["MD5", "SHA-256"] {
        let fb = Fake::new(&["--auth", "bob:secret", "--auth-alg", alg]);
        let mut a = RUN.to_vec();
        a.extend(["--user", "bob", "--password", "secret"]);
        let v = fb.go("run", &a);
        assert_eq!(f(&v, "/setup/calls_up"), 40.0);
        let mut a = RUN.to_vec();
        a.extend(["--user", "bob", "--password", "wrong"]);
        let v = fb.go("run", &a);
        assert_eq!(f(&v, "/setup/calls_up"), 0.0);
        assert_eq!(f(&v, "/setup/failures/401"), 40.0);
    }
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn capacity_finds_the_limit() {
    // 500 us per participant and tick: the single-threaded bridge is full at 40
    let v = Fake::new(&["--burn-us", "500"]).go(
        "capacity",
        &[
            "--per-room",
            "5",
            "--start",
            "15",
            "--step",
            "10",
            "--max",
            "80",
            "--seconds",
            "3",
            "--warmup",
            "1",
            "--rt",
            "10",
        ],
    );
    let n = f(&v, "/capacity");
    assert!((20.0..40.0).contains(&n), "{n}");
    assert_eq!(v["limited_by"], "server");
}

#[test]
#[ignore = "minutes of real traffic that want a quiet machine"]
fn floor_runs() {
    let out = std::env::temp_dir().join(format!("plenary-load-{}-floor.json", std::process::id()));
    let p = out.to_str().unwrap();
    let s = Command::new(EXE)
        .args(["floor", "--legs", "50", "--seconds", "2", "--warmup", "1", "--json", p])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(s.success());
    let v: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    let _ = std::fs::remove_file(&out);
    for i in 0..4 {
        let r = f(&v, &format!("/floors/{i}/window/quality/received_of_expected/mean"));
        assert!(r > 0.99, "{i} {r}");
        assert!(f(&v, &format!("/floors/{i}/window/server/cpu_ms_per_participant_second")) > 0.01);
    }
}
