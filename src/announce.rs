//! Makes the catalog show what happened to a table, and then tells the bus of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::catalog::pace::Pace;
use crate::catalog::reconcile::{Reconciled, Wanted, reconcile};
use crate::catalog::{self, Table, TableName};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::events::outbox::Due;
use crate::events::{Event, Failed};
use crate::landing::discover::Discovery;
use crate::layout::{self, Note, PartitionId};
use crate::pipeline::Request;
use crate::summary::{Failure, RunSummary, TableDone};

/// Notes whose events are sent together.
const TOGETHER: usize = 10;

/// Makes the catalog say what the ledgers of these partitions say, then tells what happened to them. Returns what people should know.
///
/// # Errors
/// As [`reconcile`] and [`changes`], and why a partition is refused, if one is: what the ledgers say stands, and the next run goes on with
/// the rest.
pub async fn partitions(app: &App, table: &Table, partitions: &[PartitionId]) -> Result<Vec<String>> {
    let ours = |note: &&Note| matches!(note, Note::Version { partition, .. } if partitions.contains(partition));
    let notes = app.outbox.notes(&table.name, &app.state.top().await?).await?;
    let of_these = notes.iter().filter(ours).cloned().collect();
    // Before the ledgers are read for the catalog: so it shows all that is told of.
    let mut due = app.outbox.due(&app.ledgers, table, of_these, app.clock.now()).await;
    let quarantine = app.quarantine_url(&table.name);
    let reconciled = reconcile(&*app.catalog, &app.ledgers, table, &quarantine, partitions, &BTreeMap::new(), Pace::default()).await?;
    due.retain(|due| !reconciled.refused.keys().any(|partition| is_of(due, partition)));
    changes(app, &table.name, &due, None).await?;
    let warnings = reconciled.warnings(&notes);
    match reconciled.refused.into_iter().next() {
        None => Ok(warnings),
        Some((partition, error)) => {
            warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", table.name));
            Err(Error::new(error.kind(), format!("{partition}: {error}")))
        }
    }
}

fn is_of(due: &Due, partition: &PartitionId) -> bool {
    matches!(&due.note, Note::Version { partition: of, .. } if of == partition)
}

/// As [`partitions`], of the table as the catalog has it by now.
///
/// # Errors
/// As [`partitions`], and `Unavailable` if the catalog does not have it any more.
pub async fn partitions_of(app: &App, name: &TableName, of: &[PartitionId]) -> Result<Vec<String>> {
    partitions(app, &catalog::still_there(&*app.catalog, name).await?, of).await
}

/// The partitions that a run looked at.
#[derive(Default)]
pub struct Seen {
    /// All of them.
    pub partitions: Vec<PartitionId>,
    /// Of those that were up to date when it planned, what their ledgers want registered.
    pub known: BTreeMap<PartitionId, Wanted>,
}

/// Shows and tells what runs before this one committed and had no time to show, before anything new is begun: whatever cuts this run off, it
/// is visible then. With the first table that has work it is done for the run's other tables too, whose turn may not come; what people should
/// know of those is kept in `others` until then. `top` is what lies in the state location itself.
pub async fn left(
    app: &App,
    table: &Table,
    top: &[(String, u64)],
    request: &Request,
    done: &mut TableDone,
    others: &mut Option<BTreeMap<TableName, Vec<String>>>,
) {
    noted(app, table, top, request.until, done).await;
    if others.is_some() {
        return;
    }
    let others = others.insert(BTreeMap::new());
    let all = app.config.tables(request.table.as_deref()).unwrap_or_default();
    let has_notes = |name: &TableName| top.iter().any(|(key, _)| layout::is_note(name, key));
    for other in all.into_iter().map(|other| &other.name).filter(|name| **name != table.name && has_notes(name)) {
        // What fails here its own turn tells.
        let Ok(Some(other)) = app.catalog.table(other).await else { continue };
        let mut shown = TableDone::new(&other.name, &Discovery::default());
        noted(app, &other, top, request.until, &mut shown).await;
        others.insert(other.name, shown.warnings);
    }
}

/// Shows and tells what a run merged so far, whenever an eighth of its time is over. A run that nobody cuts off shows all at its end.
pub struct NowAndThen<'a> {
    app: &'a App,
    table: &'a Table,
    until: Option<Deadline>,
    /// When all was shown last.
    shown: DateTime<Utc>,
}

impl<'a> NowAndThen<'a> {
    /// For a run that begins to merge.
    pub fn new(app: &'a App, table: &'a Table, until: Option<Deadline>) -> Self {
        Self { app, table, until, shown: app.clock.now() }
    }

    /// As [`left`], of what is committed by now, if it is time. To be called before each partition is merged.
    pub async fn show(&mut self, done: &mut TableDone) {
        if !self.until.is_some_and(|until| until.has_to_show(self.shown, self.app.clock.now())) {
            return;
        }
        match self.app.state.top().await {
            Ok(top) => noted(self.app, self.table, &top, self.until, done).await,
            Err(e) => done.log_once(format!("{}: what is merged so far is shown later: {e}", self.table.name)),
        }
        self.shown = self.app.clock.now();
    }
}

/// Shows and tells what the notes below `top` are of. What fails is tried once more, and entered, when the run publishes; so what was not
/// shown now is neither a failure yet nor a change that could not be set back.
async fn noted(app: &App, table: &Table, top: &[(String, u64)], until: Option<Deadline>, done: &mut TableDone) {
    if !top.iter().any(|(key, _)| layout::is_note(&table.name, key)) {
        return;
    }
    let told = match register(app, top, table, &Seen::default(), Pace::brief).await {
        Ok(Registered { due, notes, reconciled }) => {
            for (partition, e) in &reconciled.refused {
                done.log_once(format!("not shown yet: {}", Failure::new(&table.name, Some(partition), e).line()));
            }
            done.warn(reconciled.without_refused().warnings(&notes));
            changes(app, &table.name, &due, until).await
        }
        Err(e) => Err(e),
    };
    if let Err(e) = told {
        done.log_once(format!("not shown or told yet: {}", Failure::new(&table.name, None, &e).line()));
    }
}

/// Makes the catalog show what a run committed, and then tells others of it, as long as `until` lets it. What fails is entered. Returns
/// what lies in the state location itself, or `None` if the catalog does not show it.
pub async fn publish(
    app: &App,
    table: &Table,
    seen: &Seen,
    until: Option<Deadline>,
    done: &mut TableDone,
    failures: &mut Vec<Failure>,
) -> Option<Vec<(String, u64)>> {
    let registered = async {
        let top = app.state.top().await?;
        let registered = register(app, &top, table, seen, Pace::default).await?;
        Ok::<_, Error>((top, registered))
    };
    match registered.await {
        Ok((top, Registered { due, notes, reconciled })) => {
            done.registered |= reconciled.changed;
            done.warn(reconciled.warnings(&notes));
            for (partition, e) in reconciled.refused {
                done.not_registered(&partition);
                failures.push(Failure::new(&table.name, Some(&partition), &e));
            }
            // Only now a receiver that queries at once sees what it was told of.
            let told = changes(app, &table.name, &due, until).await;
            failures.extend(told.err().map(|e| Failure::new(&table.name, None, &e)));
            Some(top)
        }
        Err(e) => {
            done.unregistered();
            failures.push(Failure::new(&table.name, None, &e));
            None
        }
    }
}

/// What came of showing what was committed.
struct Registered {
    /// What others have to be told of now.
    due: Vec<Due>,
    /// All notes that the table had.
    notes: Vec<Note>,
    /// What the catalog says now.
    reconciled: Reconciled,
}

/// Makes the catalog say what the ledgers say. `top` is what lies in the state location itself.
async fn register(app: &App, top: &[(String, u64)], table: &Table, seen: &Seen, pace: fn() -> Pace) -> Result<Registered> {
    let (catalog, ledgers, name) = (&*app.catalog, &app.ledgers, &table.name);
    let notes = app.outbox.notes(name, top).await?;
    // A table that was made anew, by this run or by one that did not get as far as here, may have ledgers from before its catalog was lost.
    let partitions: Vec<PartitionId> = match notes.iter().any(|note| matches!(note, Note::Columns(_))) {
        true => ledgers.partitions(name).await?,
        false => seen.partitions.clone(),
    };
    // Before the ledgers are read for the catalog: so it shows all that is told of.
    let mut due = app.outbox.due(ledgers, table, notes.clone(), app.clock.now()).await;
    // What another run committed since they were read is told only once the catalog shows it, too.
    let mut known = seen.known.clone();
    known.retain(|partition, _| !due.iter().any(|due| is_of(due, partition)));
    let (url, none) = (app.quarantine_url(name), BTreeMap::new());
    let show = async |some: &[PartitionId], known| reconcile(catalog, ledgers, table, &url, some, known, pace()).await;
    let mut reconciled = show(&partitions, &known).await?;
    // A run before this one may have committed others without registering them.
    let left: Vec<PartitionId> = left_behind(&due, &partitions).into_iter().collect();
    match show(&left, &none).await {
        Ok(of_left) => reconciled.extend(of_left),
        // They are not read one by one: what does not answer for all of them does not for one of them.
        Err(e) => reconciled.refused.extend(left.into_iter().map(|partition| (partition, Error::new(e.kind(), e.to_string())))),
    }
    due.retain(|due| !reconciled.refused.keys().any(|partition| is_of(due, partition)));
    // Until all that a table had before it was made anew is registered, its note leads each run to what is left.
    if !reconciled.refused.is_empty() {
        due.retain(|due| !matches!(due.note, Note::Columns(_)));
    }
    Ok(Registered { due, notes, reconciled })
}

/// The partitions that others have to be told of and that are not looked at otherwise.
fn left_behind(due: &[Due], partitions: &[PartitionId]) -> BTreeSet<PartitionId> {
    let told = due.iter().filter(|due| !due.events.is_empty()).filter_map(|due| match &due.note {
        Note::Version { partition, .. } => Some(partition),
        Note::Columns(_) => None,
    });
    told.filter(|partition| !partitions.contains(partition)).cloned().collect()
}

/// Sends the events of these notes and forgets them, some at a time, as long as `until` lets it. What is left then, or fails, is sent by the
/// next run.
///
/// # Errors
/// As [`crate::events::EventSink::send`].
pub async fn changes(app: &App, table: &TableName, due: &[Due], until: Option<Deadline>) -> Result<()> {
    for some in due.chunks(TOGETHER) {
        if until.is_some_and(|until| !until.may_tell(app.clock.now())) {
            return Err(Error::unavailable("the time for this run was over before all events were sent; the next run sends them"));
        }
        let events: Vec<Event> = some.iter().flat_map(|due| due.events.clone()).collect();
        if !events.is_empty() {
            app.events.send(&events).await?;
        }
        for Due { note, .. } in some {
            if let Err(e) = app.outbox.forget(table, note).await {
                tracing::warn!("an event that was sent will be sent again: {e}");
            }
        }
    }
    Ok(())
}

/// Sends the event of a run that did not do all that it should, unless all of it was told before. If that fails, the log and the exit code
/// still tell. Returns true if there is nothing left to tell.
pub async fn failures(app: &App, summary: &RunSummary) -> bool {
    let (before, new): (Vec<_>, Vec<_>) = summary.failures.iter().partition(|failure| failure.was_told());
    if new.is_empty() {
        return true;
    }
    let failed = new.iter().map(|f| Failed { table: f.table.clone(), partition: f.partition.clone(), error: f.error.clone() });
    let event = Event::of_failures(&summary.run, &summary.at, summary.exit_code(), failed, before.len());
    let sent = app.events.send(&[event]).await;
    if let Err(e) = &sent {
        tracing::error!("the event RunFailed is not sent: {e}");
    }
    sent.is_ok()
}
