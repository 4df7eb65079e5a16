//! The binary: parses the command line, runs the command, turns its outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use lakebed::cli::Cli;
use lakebed::commands;
use lakebed::error::Kind;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("LAKEBED_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match commands::dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("lakebed: {e}");
            ExitCode::from(if e.kind() == Kind::Config { 2 } else { 1 })
        }
    }
}
