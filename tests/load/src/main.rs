//! plenary-load: load generator and measuring tool for SIP audio conference bridges.

/// Print to stdout; a closed pipe is no reason to stop.
#[macro_export]
macro_rules! say {
    ($($t:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($t)*);
    }};
}

mod args;
mod codec;
mod dsp;
mod engine;
mod fake;
mod fidelity;
mod floor;
mod g722;
mod janus;
mod latency;
mod measure;
mod net;
mod procstat;
mod requests;
mod rtp;
mod signal;
mod sip;
mod stats;
mod timeline;
mod uac;

const HELP: &str = "plenary-load <command> [options]

commands
  run         place calls, measure CPU, memory, RTP quality in the steady state
  capacity    add participants until the quality breaks or the generator saturates
  latency     one-way delay through the bridge
  fidelity    what three legs hear of each other and of themselves
  register    registrations with digest a second, and what one costs
  calls       calls a second that are hung up as soon as they are answered
  floor       CPU cost of the cheapest UDP reflectors (no bridge can be cheaper)
  janus       as run, against Janus AudioBridge (same as run --janus URL)
  fakebridge  small bridge with faults on request, to test this tool
  speech      write the built-in test signal to a WAV file (--out FILE --seed N --seconds S)

See README.md for the options and the meaning of the figures.";

fn main() {
    let v: Vec<String> = std::env::args().skip(1).collect();
    let Some(cmd) = v.first().cloned() else {
        eprintln!("{HELP}");
        std::process::exit(2);
    };
    let rest = v[1..].to_vec();
    let r = go(&cmd, &rest);
    if let Err(e) = r {
        eprintln!("plenary-load: {e}");
        std::process::exit(1);
    }
}

fn go(cmd: &str, rest: &[String]) -> Result<(), String> {
    let mut rest = rest.to_vec();
    if cmd == "janus" && !rest.iter().any(|a| a == "--janus") {
        rest.push("--janus".into());
    }
    let a = args::Args::parse(&rest)?;
    match cmd {
        "run" | "janus" => measure::run(&a).map(|_| ()),
        "capacity" => measure::capacity(&a).map(|_| ()),
        "latency" => latency::run(&a).map(|_| ()),
        "fidelity" => fidelity::run(&a).map(|_| ()),
        "register" => requests::run(requests::Doing::Registers, &a).map(|_| ()),
        "calls" => requests::run(requests::Doing::Calls, &a).map(|_| ()),
        "floor" => floor::run(&a).map(|_| ()),
        "reflector" => floor::reflector(&a),
        "fakebridge" => {
            let c = fake::cfg(&a)?;
            a.check()?;
            fake::run(c)
        }
        "speech" => {
            let s = signal::speech(16000, a.get("seconds", 10.0)?, a.get("seed", 1)?);
            let out = a.str("out", "speech.wav");
            a.check()?;
            signal::write_wav(&out, 16000, &s).map_err(|e| e.to_string())
        }
        "help" | "--help" | "-h" => {
            say!("{HELP}");
            Ok(())
        }
        _ => Err(format!("unknown command {cmd}\n{HELP}")),
    }
}
