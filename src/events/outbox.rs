//! What has to be told: a note is made before each commit and goes away once its events are sent, so none is lost.

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};

use super::Event;
use crate::catalog::{Table, TableName};
use crate::clock::began;
use crate::error::Result;
use crate::layout::{self, Note};
use crate::ledger::LedgerVersion;
use crate::ledger::store::{Committed, LedgerStore};
use crate::schema::fingerprint;
use crate::store::Root;

/// No attempt is under way as long as this: it would have been working through two days.
pub const LONGEST: TimeDelta = TimeDelta::hours(48);

/// Notes that are looked into at the same time.
const CONCURRENCY: usize = 16;

/// The notes of all tables, below one state location.
#[derive(Debug, Clone)]
pub struct Outbox {
    root: Root,
}

/// What has to be done about a note.
#[derive(Debug, Clone, PartialEq)]
enum Decision {
    /// What it says happened: tell it.
    Tell(Vec<Event>),
    /// It can never happen any more: forget it.
    Forget,
    /// It may still happen.
    Wait,
}

/// A note that is done with once its events are sent; there are none if what it is about can never happen.
#[derive(Debug)]
pub struct Due {
    /// The note.
    pub note: Note,
    /// Its events.
    pub events: Vec<Event>,
}

impl Outbox {
    /// The notes below `root`, the state location.
    pub fn new(root: Root) -> Self {
        Self { root }
    }

    /// Notes that something is about to happen. From then on its events are sent by this run or by one after it.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be written.
    pub async fn note(&self, table: &TableName, note: &Note, attempt: &str) -> Result<()> {
        let key = layout::note_key(table, note);
        let text = match note {
            Note::Columns(_) => String::new(),
            Note::Version { partition, .. } => partition.to_string(),
        };
        self.root.create(&key, text.into_bytes(), attempt).await.map(drop)
    }

    /// Commits a version after a note of it. If another attempt was faster, the note is forgotten.
    ///
    /// # Errors
    /// As [`Self::note`] and [`LedgerStore::commit`].
    pub async fn commit(&self, ledgers: &LedgerStore, next: &LedgerVersion, previous: Option<&LedgerVersion>) -> Result<Committed> {
        let note = Note::Version { partition: next.partition.clone(), version: next.version, attempt: next.attempt.clone() };
        self.note(&next.table, &note, &next.attempt).await?;
        let committed = ledgers.commit(next, previous).await?;
        if matches!(committed, Committed::Lost(_))
            && let Err(e) = self.forget(&next.table, &note).await
        {
            // If it stays, the next run sees that it is another attempt's version.
            tracing::warn!("{e}");
        }
        Ok(committed)
    }

    /// The notes of a table, in order; `top` is what lies in the state location itself.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be read.
    pub async fn notes(&self, table: &TableName, top: &[(String, u64)]) -> Result<Vec<Note>> {
        let keys = top.iter().map(|(key, _)| key).filter(|key| layout::is_note(table, key));
        let read = futures::stream::iter(keys).map(|key| async move {
            // One that is gone by now was told by another run.
            let text = self.root.read(key).await?.unwrap_or_default();
            Ok(layout::parse_note(table, key, &String::from_utf8_lossy(&text)))
        });
        let read: Vec<Option<Note>> = read.buffered(CONCURRENCY).try_collect().await?;
        let mut notes: Vec<Note> = read.into_iter().flatten().collect();
        notes.sort();
        Ok(notes)
    }

    /// The events of those notes whose change happened, `table` being the table as the catalog has it. A note whose ledger cannot be read
    /// stays for a later run, and so does one whose change may still happen.
    pub async fn due(&self, ledgers: &LedgerStore, table: &Table, notes: Vec<Note>, now: DateTime<Utc>) -> Vec<Due> {
        let decided = futures::stream::iter(notes).map(|note| async move {
            match self.decision(ledgers, table, &note, now).await {
                Ok(Decision::Tell(events)) => Some(Due { note, events }),
                Ok(Decision::Forget) => Some(Due { note, events: Vec::new() }),
                Ok(Decision::Wait) => None,
                Err(e) => {
                    tracing::warn!("{}: an event has to wait: {e}", table.name);
                    None
                }
            }
        });
        decided.buffered(CONCURRENCY).filter_map(|due| async move { due }).collect().await
    }

    async fn decision(&self, ledgers: &LedgerStore, table: &Table, note: &Note, now: DateTime<Utc>) -> Result<Decision> {
        let (partition, number, attempt) = match note {
            Note::Columns(schema) if *schema == fingerprint(&table.columns) => return Ok(Decision::Tell(vec![Event::of_table(table)])),
            Note::Columns(_) => return Ok(Decision::Forget),
            Note::Version { partition, version, attempt } => (partition, *version, attempt),
        };
        // The table was made anew with other keys, and shows no such partition.
        if !partition.entries().iter().map(|entry| &entry.key).eq(table.partition_keys.iter().map(|key| &key.name)) {
            return Ok(Decision::Forget);
        }
        let version = ledgers.version(&table.name, partition, number).await?;
        let previous = match number {
            0 | 1 => None,
            number => ledgers.version(&table.name, partition, number - 1).await?,
        };
        Ok(decide(attempt, version.as_ref(), previous.as_ref(), now - LONGEST))
    }

    /// Removes a note whose events are sent, or that is about what is known not to happen.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be written; the events are sent once more then.
    pub async fn forget(&self, table: &TableName, note: &Note) -> Result<()> {
        self.root.remove(&layout::note_key(table, note)).await
    }
}

/// Decides about the note of an attempt from what the ledger has under its number. One that began before `dead` is not under way any more.
fn decide(attempt: &str, version: Option<&LedgerVersion>, previous: Option<&LedgerVersion>, dead: DateTime<Utc>) -> Decision {
    match version {
        Some(version) if version.attempt == attempt => Decision::Tell(Event::of_version(version, previous)),
        Some(_) => Decision::Forget,
        None if began(attempt).is_some_and(|began| began < dead) => Decision::Forget,
        None => Decision::Wait,
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;
    use crate::ledger::testing::{source, version};

    #[test]
    fn a_note_is_told_forgotten_or_waits_by_what_the_ledger_has_under_its_number() {
        let committed = version("14", 1, vec![source("14", "a")]);
        let dead: DateTime<Utc> = "2026-11-19T16:00:00Z".parse().unwrap();
        let attempt = |at: DateTime<Utc>| Ulid::from_parts(at.timestamp_millis() as u64, 7).to_string();
        let check = |attempt: &str, there: Option<&LedgerVersion>| decide(attempt, there, None, dead);
        assert_eq!(check(&committed.attempt, Some(&committed)), Decision::Tell(Event::of_version(&committed, None)));
        assert_eq!(check(&attempt(dead), Some(&committed)), Decision::Forget, "another attempt has the number");
        assert_eq!(check(&attempt(dead), None), Decision::Wait, "it may still commit");
        assert_eq!(check(&attempt(dead - TimeDelta::seconds(1)), None), Decision::Forget, "it is long dead");
    }
}
