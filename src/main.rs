//! The command line.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use plenary::config::{Config, Flags, LogFormat};
use tracing_subscriber::EnvFilter;

/// glibc's heaps fray where events that are kept for minutes lie between legs that go: with 50 legs a second coming and
/// going they grew for as long as anybody watched, while what was in use did not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A SIP back-to-back user agent that hosts multi-party calls.
#[derive(Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Clone, Copy, Subcommand)]
enum Act {
    /// Run the bridge (the default)
    Serve,
    /// Validate the settings; say what is in force, where it comes from and what it means
    Check,
}

fn main() -> ExitCode {
    let Err(error) = run(CommandLine::parse()) else { return ExitCode::SUCCESS };
    drop(writeln!(io::stderr(), "plenary: {error:#}"));
    ExitCode::FAILURE
}

fn run(CommandLine { act, flags }: CommandLine) -> anyhow::Result<()> {
    let environment = env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    let loaded = Config::load(&flags, environment)?;
    let filter = EnvFilter::try_new(&loaded.config().log)?;
    if let Some(Act::Check) = act {
        let mut output = io::stdout().lock();
        for warning in loaded.config().warnings() {
            writeln!(output, "# warning: {warning}")?;
        }
        return Ok(write!(output, "{}", loaded.explain())?);
    }
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(io::stdout().is_terminal());
    match loaded.config().log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    serve(loaded.config())
}

#[tokio::main]
async fn serve(config: &Config) -> anyhow::Result<()> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(plenary::start(config).await?.until_signalled().await?)
}
