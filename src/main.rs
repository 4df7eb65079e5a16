//! The binary: parses the command line, runs the command, turns its outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use lakebed::cli::Cli;
use lakebed::commands;
use lakebed::error::Kind;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    give_memory_back();
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

/// Makes glibc keep freed memory for the blocks that come next, in no more places than there are cores.
///
/// Without a word from us glibc takes the first freed block of 20 MB as a reason to keep all later ones of that size for itself, and a
/// run has twice the memory that it uses: measured 2026-11-20 on two cores with 300,000 records in 12 objects, 305 MB without and
/// 160 MB with this call, at the same speed.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to speak to the allocator; the gain is measured")]
fn give_memory_back() {
    /// The size from which on a block has pages of its own: glibc's default, which is fixed by setting it.
    const OWN_PAGES: libc::c_int = 128 << 10;
    // SAFETY: `mallopt` takes two integers and touches no memory of ours. It is called before any thread is started, as its manual
    // page asks for.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES) };
}

#[cfg(not(target_env = "gnu"))]
fn give_memory_back() {}
