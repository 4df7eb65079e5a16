//! Makes the catalog show what happened to a table, and then tells the bus of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::catalog::pace::Pace;
use crate::catalog::reconcile::{Reconciled, Wanted, reconcile};
use crate::catalog::{self, Table, TableName};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::events::outbox::Due;
use crate::events::{Event, Failed};
use crate::failing::store::Noted;
use crate::failing::{Record, Refused};
use crate::landing::discover::Discovery;
use crate::layout::{self, Note, PartitionId};
use crate::pipeline::Request;
use crate::retry::Retries;
use crate::summary::{Failure, RunSummary, TableDone};

/// Notes whose events are sent together.
const TOGETHER: usize = 10;

/// What came of showing some partitions.
pub struct Shown {
    /// What people should know although nothing failed.
    pub warnings: Vec<String>,
    /// Partitions that the catalog does not show as their ledgers say, and why.
    pub refused: BTreeMap<PartitionId, Error>,
}

/// Makes the catalog say what the ledgers of these partitions say, then tells what happened to those that it shows. Of those that are refused
/// the ledgers stand, and the next run goes on with them.
///
/// # Errors
/// As [`reconcile`] and [`changes`].
pub async fn partitions(app: &App, table: &Table, partitions: &[PartitionId]) -> Result<Shown> {
    let ours = |note: &&Note| matches!(note, Note::Version { partition, .. } if partitions.contains(partition));
    let notes = app.outbox.notes(&table.name, &app.state.top().await?).await?;
    let of_these = notes.iter().filter(ours).cloned().collect();
    // Before the ledgers are read for the catalog: so it shows all that is told of.
    let mut due = app.outbox.due(&app.ledgers, table, of_these, app.clock.now()).await;
    let quarantine = app.quarantine_url(&table.name);
    let reconciled = reconcile(&*app.catalog, &app.ledgers, table, &quarantine, partitions, &BTreeMap::new(), Pace::default()).await?;
    due.retain(|due| !reconciled.refused.keys().any(|partition| is_of(due, partition)));
    let warnings = reconciled.warnings(&notes);
    // What is refused is to be known, also if others cannot be told of the rest.
    match changes(app, &table.name, &due, None).await {
        Err(e) if reconciled.refused.is_empty() => Err(e),
        told => {
            told.err().iter().for_each(|e| tracing::warn!("{}: {e}", table.name));
            Ok(Shown { warnings, refused: reconciled.refused })
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
pub async fn partitions_of(app: &App, name: &TableName, of: &[PartitionId]) -> Result<Shown> {
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

/// What people should know of tables before their turn.
pub type Others = Option<BTreeMap<TableName, Vec<String>>>;

/// Shows and tells what runs before this one committed and had no time to show, before anything new is begun: whatever cuts this run off, it
/// is visible then. With the first table that has work it is done for the run's other tables too, whose turn may not come; what people should
/// know of those is kept in `others` until then. `top` is what lies in the state location itself.
pub async fn left(
    app: &App,
    table: &Table,
    top: &[(String, u64)],
    request: &Request,
    retries: &mut Retries,
    done: &mut TableDone,
    others: &mut Others,
) {
    let look = Look { seen: &Seen::default(), refused: retries.refused(app, top).await, anew: true, pace: Pace::brief };
    noted(app, table, top, request.until, look, done).await;
    if others.is_some() {
        return;
    }
    let others = others.insert(BTreeMap::new());
    let all = app.config.tables(request.table.as_deref()).unwrap_or_default();
    let has_notes = |name: &TableName| top.iter().any(|(key, _)| layout::is_note(name, key));
    for other in all.into_iter().map(|other| &other.name).filter(|name| **name != table.name && has_notes(name)) {
        // What fails here its own turn tells.
        let Ok(Some(other)) = app.catalog.table(other).await else { continue };
        let known = Noted::read(&app.state, &other.name, top).await.unwrap_or_default();
        let refused = Refused { hours: &known.hours, at: request.at, wanted: request.since.is_some() };
        let mut shown = TableDone::new(&other.name, &Discovery::default());
        noted(app, &other, top, request.until, Look { refused, ..look }, &mut shown).await;
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
    /// Of a table that was made anew, all partitions are still to be looked at.
    anew: bool,
}

impl<'a> NowAndThen<'a> {
    /// For a run that begins to merge.
    pub fn new(app: &'a App, table: &'a Table, until: Option<Deadline>) -> Self {
        Self { app, table, until, shown: app.clock.now(), anew: true }
    }

    /// As [`left`], of what is committed by now, if it is time. To be called before each partition is merged.
    pub async fn show(&mut self, retries: &mut Retries, done: &mut TableDone) {
        let Self { app, table, until, .. } = *self;
        if !until.is_some_and(|until| until.has_to_show(self.shown, app.clock.now())) {
            return;
        }
        match app.state.top().await {
            Ok(top) => {
                let look = Look { seen: &Seen::default(), refused: retries.refused(app, &top).await, anew: self.anew, pace: Pace::brief };
                // What is refused of them now is so at the end, too.
                self.anew &= noted(app, table, &top, until, look, done).await;
            }
            Err(e) => done.log_once(format!("{}: what is merged so far is shown later: {e}", table.name)),
        }
        self.shown = app.clock.now();
    }
}

/// Shows and tells what the notes below `top` are of. What fails is tried once more, and entered, when the run publishes; so what was not
/// shown now is neither a failure yet nor a change that could not be set back. Returns true if the catalog takes all of it.
async fn noted(app: &App, table: &Table, top: &[(String, u64)], until: Option<Deadline>, look: Look<'_>, done: &mut TableDone) -> bool {
    if !top.iter().any(|(key, _)| layout::is_note(&table.name, key)) {
        return true;
    }
    let mut takes_all = false;
    let told = match register(app, top, table, look).await {
        Ok(Registered { due, notes, reconciled, .. }) => {
            takes_all = reconciled.refused.is_empty();
            done.registered |= reconciled.changed;
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
    takes_all
}

/// Makes the catalog show what a run committed, and then tells others of it, as long as `until` lets it. What fails is entered. Returns
/// what lies in the state location itself, or `None` if the catalog does not show it.
pub async fn publish(
    app: &App,
    table: &Table,
    seen: &Seen,
    until: Option<Deadline>,
    retries: &mut Retries,
    done: &mut TableDone,
    failures: &mut Vec<Failure>,
) -> Option<Vec<(String, u64)>> {
    let registered = async {
        let top = app.state.top().await?;
        let refused = retries.refused(app, &top).await;
        // What was refused before this run made the table was refused by another one.
        let refused = Refused { wanted: refused.wanted || done.created, ..refused };
        let registered = register(app, &top, table, Look { seen, refused, anew: true, pace: Pace::default }).await?;
        Ok::<_, Error>((top, registered))
    };
    match registered.await {
        Ok((top, registered)) => {
            done.registered |= registered.reconciled.changed;
            done.warn(registered.reconciled.warnings(&registered.notes));
            let Registered { due, notes, reconciled, asked_for, waiting } = registered;
            let tried = |partition: &PartitionId| (!seen.partitions.contains(partition)).then(|| tried(&notes, partition));
            reconciled.refused.keys().chain(&waiting).for_each(|partition| done.not_registered(partition));
            failures.extend(retries.still_refused(&waiting));
            let refused = retries.not_shown(app, reconciled.refused, failures, tried).await;
            failures.extend(refused);
            retries.asked_for(asked_for.into_iter().chain(waiting));
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

/// What is to be shown, beside what the notes lead to.
#[derive(Clone, Copy)]
struct Look<'a> {
    seen: &'a Seen,
    /// What is not tried now.
    refused: Refused<'a>,
    /// Of a table that was made anew, all partitions.
    anew: bool,
    pace: fn() -> Pace,
}

/// What came of showing what was committed.
struct Registered {
    /// What others have to be told of now.
    due: Vec<Due>,
    /// All notes that the table had.
    notes: Vec<Note>,
    /// The partitions that the catalog was asked for.
    asked_for: BTreeSet<PartitionId>,
    /// Those that it is not asked for now, because it refused them before.
    waiting: Vec<PartitionId>,
    /// What the catalog says now.
    reconciled: Reconciled,
}

/// Makes the catalog say what the ledgers say. `top` is what lies in the state location itself.
async fn register(app: &App, top: &[(String, u64)], table: &Table, look: Look<'_>) -> Result<Registered> {
    let (catalog, ledgers, name, Look { seen, refused, .. }) = (&*app.catalog, &app.ledgers, &table.name, look);
    let notes = app.outbox.notes(name, top).await?;
    // A table that was made anew, by this run or by one that did not get as far as here, may have ledgers from before its catalog was lost.
    // While the catalog refuses some of them, those say when all are looked at again.
    let all = made_anew(&notes).is_some_and(|anew| look.anew && refused.all(anew).next().is_none());
    let partitions = if all { ledgers.partitions(name).await? } else { seen.partitions.clone() };
    // Before the ledgers are read for the catalog: so it shows all that is told of.
    let mut due = app.outbox.due(ledgers, table, notes.clone(), app.clock.now()).await;
    // What another run committed since they were read is told only once the catalog shows it, too.
    let mut known = seen.known.clone();
    known.retain(|partition, _| !due.iter().any(|due| is_of(due, partition)));
    let (url, none) = (app.quarantine_url(name), BTreeMap::new());
    let show = async |some: &[PartitionId], known| reconcile(catalog, ledgers, table, &url, some, known, (look.pace)()).await;
    let mut reconciled = show(&partitions, &known).await?;
    // A run before this one may have committed others without registering them, or failed to.
    let left = left_behind(&due, refused.hours, &partitions);
    let (waiting, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|id| refused.waits(id, &tried(&notes, id)));
    match show(&left, &none).await {
        Ok(of_left) => reconciled.extend(of_left),
        // They are not read one by one: what does not answer for all of them does not for one of them.
        Err(e) => reconciled.refused.extend(left.iter().map(|partition| (partition.clone(), Error::new(e.kind(), e.to_string())))),
    }
    due.retain(|due| !reconciled.refused.keys().chain(&waiting).any(|partition| is_of(due, partition)));
    // Until all that a table had before it was made anew is registered, or has a note of its own, its note leads runs to what is left.
    if !all || reconciled.refused.keys().any(|partition| newest(&notes, partition).is_none()) {
        due.retain(|due| !matches!(due.note, Note::Columns(_)));
    }
    Ok(Registered { due, notes, asked_for: partitions.into_iter().chain(left).collect(), waiting, reconciled })
}

/// What is tried of a partition that its notes, or that of the table, lead to.
fn tried(notes: &[Note], partition: &PartitionId) -> String {
    newest(notes, partition).map(|version| version.to_string()).or_else(|| made_anew(notes).map(str::to_string)).unwrap_or_default()
}

/// The columns of a table that was made anew and whose partitions are not all registered yet.
fn made_anew(notes: &[Note]) -> Option<&str> {
    notes.iter().find_map(|note| if let Note::Columns(columns) = note { Some(columns.as_str()) } else { None })
}

/// The newest version of a partition that is noted.
fn newest(notes: &[Note], partition: &PartitionId) -> Option<u64> {
    let version = |note: &Note| match note {
        Note::Version { partition: of, version, .. } if of == partition => Some(*version),
        _ => None,
    };
    notes.iter().filter_map(version).max()
}

/// The partitions that others have to be told of, or that the catalog refused, and that are not looked at otherwise.
fn left_behind(due: &[Due], hours: &BTreeMap<PartitionId, Record>, partitions: &[PartitionId]) -> BTreeSet<PartitionId> {
    let told = due.iter().filter(|due| !due.events.is_empty()).filter_map(|due| match &due.note {
        Note::Version { partition, .. } => Some(partition),
        Note::Columns(_) => None,
    });
    let refused = hours.values().filter(|record| record.refused).map(|record| &record.partition);
    told.chain(refused).filter(|partition| !partitions.contains(partition)).cloned().collect()
}

/// Sends the events of these notes and forgets them, some at a time, as long as `until` lets it. What is left then, or fails, is sent by the
/// next run. An event that is refused for good holds up none behind it.
///
/// # Errors
/// As [`crate::events::EventSink::send`].
pub async fn changes(app: &App, table: &TableName, due: &[Due], until: Option<Deadline>) -> Result<()> {
    let mut refused = Ok(());
    for some in due.chunks(TOGETHER) {
        if until.is_some_and(|until| !until.may_tell(app.clock.now())) {
            return Err(Error::unavailable("the time for this run was over before all events were sent; the next run sends them"));
        }
        let events: Vec<Event> = some.iter().flat_map(|due| due.events.clone()).collect();
        match app.events.send(&events).await {
            Err(e) if e.kind() == Kind::Config => {
                refused = refused.and(Err(e));
                continue;
            }
            sent => sent?,
        }
        for Due { note, .. } in some {
            if let Err(e) = app.outbox.forget(table, note).await {
                tracing::warn!("an event that was sent will be sent again: {e}");
            }
        }
    }
    refused
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
