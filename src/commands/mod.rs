//! The subcommands, one file each: resolved values in, an exit code out.

pub mod generate;
pub mod history;
pub mod infer;
pub mod lambda;
pub mod partitions;
pub mod query;
pub mod redrive;
pub mod repair;
pub mod rollback;
pub mod run;
pub mod status;
pub mod sweep;

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::app::{Access, App};
use crate::cli::{Cli, Command, Output};
use crate::clock::SystemClock;
use crate::config;
use crate::error::{Error, Result};

/// Runs the command that the user gave and returns the exit code.
///
/// # Errors
/// Whatever stops the command as a whole; what fails in parts is in its output and its exit code.
pub fn dispatch(cli: Cli) -> Result<u8> {
    let runtime = |threads: usize| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(2)).enable_all().build();
        runtime.map_err(|e| Error::unavailable(format!("cannot start threads: {e}")))
    };
    match &cli.command {
        Command::Generate(args) => runtime(1)?.block_on(generate::run(args, cli.output)),
        Command::Infer(args) => runtime(1)?.block_on(infer::run(args, cli.output)),
        command => {
            let config = config::read(&cli.config)?;
            // A table that does not exist is told before anything is made for it.
            config.tables(named_table(command))?;
            let threads = config.lake.threads;
            let access = match command {
                Command::Run(args) if !args.dry_run => Access::Write,
                Command::Repair(args) if !args.dry_run => Access::Write,
                Command::Redrive(args) if !args.dry_run => Access::Write,
                Command::Rollback(args) if !args.dry_run => Access::Write,
                Command::Sweep(args) if !args.dry_run => Access::Write,
                Command::Lambda => Access::Write,
                _ => Access::Read,
            };
            runtime(threads)?.block_on(async {
                let app = App::new(config, access, Arc::new(SystemClock), progress(command)).await?;
                with_app(&app, command, cli.output).await
            })
        }
    }
}

async fn with_app(app: &App, command: &Command, output: Output) -> Result<u8> {
    match command {
        Command::Run(args) => run::run(app, args, output).await,
        Command::Lambda => lambda::run(app).await,
        Command::Repair(args) => repair::run(app, args, output).await,
        Command::Redrive(args) => redrive::run(app, args, output).await,
        Command::Status(args) => status::run(app, args, output).await,
        Command::Partitions(args) => partitions::run(app, args, output).await,
        Command::History(args) => history::run(app, args, output).await,
        Command::Query(args) => query::run(app, args, output).await,
        Command::Rollback(args) => rollback::run(app, args, output).await,
        Command::Sweep(args) => sweep::run(app, args, output).await,
        Command::Infer(_) | Command::Generate(_) => Err(Error::internal("a command that needs no configuration got one")),
    }
}

fn named_table(command: &Command) -> Option<&str> {
    match command {
        Command::Run(args) => args.table.as_deref(),
        Command::Repair(args) => Some(&args.table),
        Command::Redrive(args) => Some(&args.table),
        Command::Status(args) => args.table.as_deref(),
        Command::Partitions(args) => Some(&args.table),
        Command::History(args) => Some(&args.table),
        Command::Rollback(args) => Some(&args.table),
        Command::Sweep(args) => args.table(),
        Command::Query(_) | Command::Lambda | Command::Infer(_) | Command::Generate(_) => None,
    }
}

/// A bar on a terminal while a run or a repair works; nothing elsewhere.
fn progress(command: &Command) -> ProgressBar {
    if !matches!(command, Command::Run(_) | Command::Repair(_)) || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} objects {elapsed}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

/// Prints a command's answer on standard output.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    done_or_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A reader that has seen enough (`| head`) is no failure.
fn done_or_closed(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::unavailable(format!("cannot write to standard output: {e}"))),
        _ => Ok(()),
    }
}

/// Prints what a verb did, as programs or people want it, and on standard error what failed, a line each.
fn answer(output: Output, done: &impl serde::Serialize, text: impl FnOnce() -> String, failed: impl Iterator<Item = String>) -> Result<()> {
    match output {
        Output::Json => print_json(done)?,
        Output::Text => print(&text())?,
    }
    for failure in failed {
        eprintln!("lakebed: {failure}");
    }
    Ok(())
}

/// Prints a value as one JSON document on standard output.
///
/// # Errors
/// `Unavailable` if standard output cannot be written.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::internal(format!("cannot print the answer: {e}")))?;
    print(&format!("{text}\n"))
}
