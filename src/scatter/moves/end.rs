//! Ends a repair that moves rows, be it one's own or one that was cut off: it is made so as a whole, or taken back as a whole.

use futures::{StreamExt, TryStreamExt};

use super::{Anew, Move, State, log};
use crate::announce::{self, Shown};
use crate::app::App;
use crate::catalog::TableName;
use crate::clock::Clock;
use crate::config::TableConfig;
use crate::error::{Error, Kind, Result};
use crate::events::outbox::Outbox;
use crate::hour::Hour;
use crate::layout::{self, Note, PartitionId};
use crate::ledger::store::{Committed as CommittedVersion, LedgerStore};
use crate::ledger::{Generation, LedgerVersion, RedrivenFile, Retired};
use crate::merge::RACES;
use crate::scatter::intake::{FORMAT, Intake, Taken};
use crate::scatter::store::{self, Committed, Newest};
use crate::store::Root;
use crate::store::cleaning::Places;
use crate::words::counted;

/// Requests under way at once.
const CONCURRENCY: usize = 16;

/// Partitions that are named of a move that cannot be ended.
const NAMED: usize = 10;

/// Steps of moves, be they several, after which it is given up: others keep moving rows.
const STEPS: usize = 20;

/// What ends moves.
pub struct Ending<'a> {
    /// The state location.
    pub state: &'a Root,
    /// All ledgers.
    pub ledgers: &'a LedgerStore,
    /// What has to be told.
    pub outbox: &'a Outbox,
    /// Where attempt ids come from.
    pub clock: &'a dyn Clock,
    /// The table's location.
    pub location: &'a Root,
}

/// A move that is open and cannot be ended: what it goes by is lost or damaged.
pub struct Stuck {
    /// The move.
    pub open: Move,
    /// Why it cannot be ended.
    pub error: Error,
}

impl Stuck {
    /// Why nothing is committed to a partition now; `None` if the move does not make it anew.
    pub fn at(&self, partition: &PartitionId) -> Option<Error> {
        let told =
            || Error::new(self.error.kind(), format!("a repair is moving rows into it or out of it, and cannot be ended: {}", self.error));
        self.open.names(partition).then(told)
    }

    /// That it cannot be ended, with what readers may see until it is.
    pub fn told(&self) -> Error {
        let made = self.open.made_anew();
        let mut named: Vec<String> = made.iter().take(NAMED).map(ToString::to_string).collect();
        named.extend((made.len() > NAMED).then(|| format!("and {} more", made.len() - NAMED)));
        let seen = match self.open.state {
            // Some of them may have their new rows already.
            State::Decided => "rows of these may be in the table twice or not at all",
            State::Begun | State::Undone | State::Over => "nothing is added to these",
        };
        Error::new(
            self.error.kind(),
            format!(
                "a repair that moves rows between {} ({}) cannot be ended, and until it is, {seen}: {}",
                counted(made.len() as u64, "partition"),
                named.join(", "),
                self.error
            ),
        )
    }
}

/// As [`left`], for whoever can go on with what an open move does not name. Returns the one that cannot be ended.
///
/// # Errors
/// As [`left`], if it cannot even be told which move is open.
pub async fn left_or_stuck(app: &App, config: &TableConfig) -> Result<Option<Stuck>> {
    let Err(error) = left(app, config).await else { return Ok(None) };
    match log::newest(&app.state, &config.name).await {
        Ok(Some(open)) if open.is_open() => Ok(Some(Stuck { open, error })),
        _ => Err(error),
    }
}

/// Ends the move of a table that was cut off, if there is one, and makes the catalog show it. Whoever changes a table whose rows scatter begins
/// with that, and so does a sweep of any: what a move wrote is in no ledger until it ends. True if there was one.
///
/// # Errors
/// As [`Ending::end`]; `Config` if the table's location cannot be opened.
pub async fn left(app: &App, config: &TableConfig) -> Result<bool> {
    let name = &config.name;
    if !log::newest(&app.state, name).await?.is_some_and(|open| open.is_open()) {
        return Ok(false);
    }
    let location = app.stores.existing(&config.location, &format!("the location of {name}"))?;
    let Some(ended) = Ending::of(app, &location).end(name).await? else { return Ok(false) };
    tracing::warn!("{name}: ended a repair that moves rows, run {}, which was cut off or is under way", ended.run);
    // What fails here is noted, and shown by the next run.
    match announce::partitions_of(app, name, &ended.made_anew()).await {
        Ok(Shown { warnings, refused }) => {
            warnings.iter().for_each(|warning| tracing::warn!("{name}: {warning}"));
            refused.iter().for_each(|(partition, e)| tracing::warn!("{name} {partition}: {e}"));
        }
        Err(e) => tracing::warn!("{name}: the catalog does not show yet which rows were moved: {e}"),
    }
    Ok(true)
}

/// That the intake of an hour is lost.
pub fn gone(hour: Hour) -> Error {
    Error::data(format!("the intake of {hour} is gone; restore it from a backup of the state location"))
}

impl<'a> Ending<'a> {
    /// With what the program works with.
    pub fn of(app: &'a App, location: &'a Root) -> Self {
        Self { state: &app.state, ledgers: &app.ledgers, outbox: &app.outbox, clock: &*app.clock, location }
    }

    /// Commits a version after a note of it, if `noted`, as [`LedgerStore::commit`] does; a move that names the partition is ended first.
    ///
    /// # Errors
    /// As [`Outbox::commit`] and [`Self::end`].
    pub async fn commit(&self, next: &LedgerVersion, previous: Option<&LedgerVersion>, noted: bool) -> Result<CommittedVersion> {
        for _ in 0..RACES {
            let committed = match noted {
                true => self.outbox.commit(self.ledgers, next, previous).await,
                false => self.ledgers.commit(next, previous).await,
            };
            match committed {
                Err(e) if e.kind() == Kind::Conflict => drop(self.end(&next.table).await?),
                other => return other,
            }
        }
        Err(Error::conflict(format!("{} {}: other repairs keep moving rows; run again later", next.table, next.partition)))
    }

    /// Ends the move that is open, whoever's it is. Returns what was open; `None` if nothing was.
    ///
    /// | it is | then |
    /// |---|---|
    /// | begun | look at its files, mark its objects, close its partitions: it is decided if all that can be done, else undone |
    /// | decided | write down the new places, create the versions: it is over |
    /// | undone | take the marks away: it is over |
    ///
    /// Each step is the same whoever does it, and however often: what is created has a name and an id of the move.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be read or written: a repetition goes on. `Data` if what it goes by is damaged.
    pub async fn end(&self, table: &TableName) -> Result<Option<Move>> {
        let mut ended = None;
        for _ in 0..STEPS {
            let Some(open) = log::newest(self.state, table).await?.filter(Move::is_open) else { return Ok(ended) };
            let state = match open.state {
                State::Begun if self.prepare(&open).await? => State::Decided,
                State::Begun => State::Undone,
                State::Decided => {
                    self.write_down(&open, |intake| Some(open.placed(intake))).await?;
                    self.create_all(&open).await?;
                    State::Over
                }
                State::Undone | State::Over => {
                    self.write_down(&open, |intake| Some(open.restored(intake))).await?;
                    State::Over
                }
            };
            // If another one was faster, its version says how it goes on.
            log::commit(self.state, &open.then(state, self.clock.new_id()), Some(&open)).await?;
            ended = Some(open);
        }
        Err(Error::conflict(format!("{table}: other repairs keep moving rows; run again later")))
    }

    /// True if the move can be decided: all its files are there, nobody changes what is written down of its objects from here on, and nobody
    /// commits anything to its partitions.
    async fn prepare(&self, open: &Move) -> Result<bool> {
        let files = futures::stream::iter(&open.partitions).map(|anew| self.has_files(&anew.version)).buffer_unordered(CONCURRENCY);
        if !files.try_all(std::future::ready).await? || !self.write_down(open, |intake| open.marked(intake)).await? {
            return Ok(false);
        }
        let closed = futures::stream::iter(&open.partitions).map(|anew| self.close(anew)).buffer_unordered(CONCURRENCY);
        closed.try_all(std::future::ready).await
    }

    async fn has_files(&self, version: &LedgerVersion) -> Result<bool> {
        let places = Places::new(vec![self.location.clone(), self.state.clone()]);
        for Generation { location, files, .. } in std::iter::once(&version.generation).chain(&version.quarantine) {
            let (root, folder) = places.of(location)?;
            for file in files {
                if root.size(&format!("{folder}{}", file.name)).await? != Some(file.bytes) {
                    return Ok(false);
                }
            }
        }
        let folder = layout::redriven_folder(&version.table, &version.partition, &version.generation.id);
        for RedrivenFile { name, .. } in &version.redriven {
            if !self.state.exists(&format!("{folder}{name}")).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Creates the version that closes a partition; false if somebody else committed something.
    async fn close(&self, anew: &Anew) -> Result<bool> {
        let previous = match anew.previous() {
            0 => None,
            number => Some(self.version_of(anew, number).await?),
        };
        let closing = anew.closing(previous.as_ref());
        Ok(self.ledgers.create(&closing, previous.as_ref(), &self.clock.new_id()).await? == CommittedVersion::Done)
    }

    async fn version_of(&self, anew: &Anew, number: u64) -> Result<LedgerVersion> {
        let LedgerVersion { table, partition, .. } = &anew.version;
        let version = self.ledgers.version(table, partition, number).await?;
        version.ok_or_else(|| Error::data(format!("{table} {partition}: ledger version {number} is gone; restore the state location")))
    }

    async fn note(&self, version: &LedgerVersion) -> Result<()> {
        let LedgerVersion { table, partition, version, attempt, .. } = version;
        let note = Note::Version { partition: partition.clone(), version: *version, attempt: attempt.clone() };
        // Others may be making the same note.
        self.outbox.note(table, &note, &self.clock.new_id()).await
    }

    /// Creates the versions of all partitions.
    async fn create_all(&self, open: &Move) -> Result<()> {
        let created = futures::stream::iter(&open.partitions).map(|anew| self.create(anew)).buffer_unordered(CONCURRENCY);
        created.try_collect().await
    }

    async fn create(&self, anew: &Anew) -> Result<()> {
        let next = &anew.version;
        if self.ledgers.version(&next.table, &next.partition, next.version).await?.is_some_and(|there| there.attempt == next.attempt) {
            return Ok(());
        }
        let closed = self.version_of(anew, next.version - 1).await?;
        self.note(next).await?;
        match self.ledgers.create(&self.retiring(next, &closed), Some(&closed), &self.clock.new_id()).await? {
            CommittedVersion::Done => Ok(()),
            CommittedVersion::Lost(there) => Err(Error::data(format!(
                "{} {}: ledger version {} is of attempt {}, and a repair that moves rows had this number for itself: restore the state location",
                next.table, next.partition, next.version, there.attempt
            ))),
        }
    }

    /// The version, in which what was live until now is retired now, however long ago the files were written: readers have the whole grace.
    fn retiring(&self, next: &LedgerVersion, closed: &LedgerVersion) -> LedgerVersion {
        let mut next = next.clone();
        let known = |retired: &Retired| closed.retired.iter().any(|old| old.location == retired.location);
        next.retired.iter_mut().filter(|retired| !known(retired)).for_each(|retired| retired.at = self.clock.now());
        next
    }

    /// Writes down what `next` says of the objects of each arrival hour, as long as `open` is the newest version: whoever is later than
    /// that has nothing to write. False if `next` says nothing, or if it is not the newest version any more.
    ///
    /// A version is written even if nothing changes in it, unless something is to be marked that is: whoever read the one before it and has
    /// not written yet cannot write then.
    async fn write_down(&self, open: &Move, next: impl Fn(&Intake) -> Option<Vec<Taken>>) -> Result<bool> {
        let Newest { mut intakes, unreadable, .. } = store::newest(self.state, &open.table, &open.hours()).await?;
        if let Some(e) = unreadable.into_values().next() {
            return Err(e);
        }
        for hour in open.hours() {
            let known = intakes.remove(&hour);
            let known = known.ok_or_else(|| gone(hour))?;
            if !self.write_hour(open, known, &next).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn write_hour(&self, open: &Move, mut known: Intake, next: impl Fn(&Intake) -> Option<Vec<Taken>>) -> Result<bool> {
        for _ in 0..RACES {
            let Some(objects) = next(&known) else { return Ok(false) };
            // After the intake was read that this one follows.
            if log::version(self.state, &open.table, open.version + 1).await?.is_some() {
                return Ok(false);
            }
            if open.state != State::Undone && objects == known.objects {
                return Ok(true);
            }
            let (version, attempt) = (known.version + 1, self.clock.new_id());
            let next = Intake { format: FORMAT, version, attempt, run: open.run.clone(), at: open.at, objects, ..known.clone() };
            match store::commit(self.state, &next, Some(&known)).await? {
                Committed::Done => return Ok(true),
                Committed::Lost(winner) => known = *winner,
            }
        }
        Err(Error::conflict(format!("{} {}: other runs kept changing what is taken in; run again later", open.table, known.hour)))
    }
}
