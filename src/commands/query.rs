//! `lakebed query`: SQL over the tables of the catalog.

use std::io::Write;

use crate::app::App;
use crate::cli::{Engine, Output, QueryArgs, RowFormat};
use crate::config::CatalogKind;
use crate::engine::athena::Athena;
use crate::engine::{self, Limits};
use crate::error::{Error, Result};
use crate::query::{self, QueryResult, format};

/// Runs one query and prints its rows.
///
/// # Errors
/// As [`query::run`] and [`format::write`].
pub async fn run(app: &App, args: &QueryArgs, output: Output) -> Result<u8> {
    let result = match args.engine {
        Engine::Local => local(app, &args.sql).await?,
        Engine::Athena => athena(app, &args.sql).await?,
    };
    let form = match (args.format, output) {
        (Some(RowFormat::Table), _) | (None, Output::Text) => format::Format::Table,
        (Some(RowFormat::Csv), _) => format::Format::Csv,
        (Some(RowFormat::Json), _) | (None, Output::Json) => format::Format::Json,
    };
    let mut out = std::io::BufWriter::new(Out { to: std::io::stdout().lock(), closed: false });
    let written = format::write(result, form, &mut out).await;
    match written {
        // Whoever read has seen enough (`| head`).
        Err(_) if out.get_ref().closed => {}
        other => other?,
    }
    // A buffer that is dropped is written once more, in vain if the reader has gone.
    let _ = out.into_parts();
    Ok(0)
}

async fn local(app: &App, sql: &str) -> Result<QueryResult> {
    let limits = Limits { memory: app.limits.memory, threads: app.limits.threads, spill: std::env::temp_dir() };
    let context = engine::local::session(&limits)?;
    query::register_named(&context, &app.catalog, &app.stores, sql).await?;
    query::run(&context, sql).await
}

/// The exit code of a program that Ctrl-C ended, by the shells' convention.
const INTERRUPTED: i32 = 130;

/// Asks Athena, and says on standard error what it scanned. Ctrl-C cancels the query there, too.
async fn athena(app: &App, sql: &str) -> Result<QueryResult> {
    let aws = app.stores.aws().filter(|_| app.config.lake.catalog == CatalogKind::Glue);
    let aws = aws.ok_or_else(|| Error::config("--engine athena reads tables of Glue; set catalog = \"glue\", or leave the engine out"))?;
    let (sender, stop) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let heard = ctrlc::set_handler(move || {
        // Once nobody waits any more, for the rows come or the first Ctrl-C is at work, it ends the process.
        if sender.take().is_none_or(|sender| sender.send(()).is_err()) {
            std::process::exit(INTERRUPTED);
        }
    });
    heard.map_err(|e| Error::unavailable(format!("cannot listen for Ctrl-C: {e}")))?;
    let stop = async move {
        if stop.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let answer = Athena::new(aws.sdk(), &app.config.athena).run(sql, stop).await?;
    eprintln!("lakebed: Athena scanned {} bytes, about ${:.6}", answer.scanned, answer.dollars);
    query::texts::result(answer)
}

/// A writer that remembers whether its reader has gone.
struct Out<W> {
    to: W,
    closed: bool,
}

impl<W> Out<W> {
    fn noted<T>(&mut self, done: std::io::Result<T>) -> std::io::Result<T> {
        self.closed |= matches!(&done, Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe);
        done
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let done = self.to.write(bytes);
        self.noted(done)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let done = self.to.flush();
        self.noted(done)
    }
}
