//! What was done to a partition, version by version, and which generations are there to go back to. No I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::plan::{self, Refusal};
use crate::catalog::TableName;
use crate::clock::began;
use crate::failing::minute;
use crate::layout::GenerationId;
use crate::ledger::{LedgerVersion, Operation, Source};
use crate::words::counted;

/// The history of one partition.
#[derive(Debug, Serialize, PartialEq)]
pub struct History {
    /// The table.
    pub table: TableName,
    /// The partition, as a path.
    pub partition: String,
    /// As `status` says.
    pub state: String,
    /// What was done, oldest first.
    pub versions: Vec<Done>,
    /// Ledger versions that are gone.
    pub gone: Vec<u64>,
    /// The generations that are there: the live one, then the retired ones, newest first.
    pub generations: Vec<There>,
}

/// One ledger version.
#[derive(Debug, Serialize, PartialEq)]
pub struct Done {
    /// Its number.
    pub version: u64,
    /// The time that it was made for, UTC.
    pub at: DateTime<Utc>,
    /// What made it.
    pub operation: Operation,
    /// Of a repair: nothing that landed was read.
    pub from_merged: bool,
    /// Why, and what changed, in words.
    pub why: String,
    /// The generation that is live from then on.
    pub generation: GenerationId,
    /// Objects in the partition.
    pub objects: usize,
    /// Its rows.
    pub rows: u64,
    /// Its records in the quarantine.
    pub quarantined: u64,
    /// The run that made it.
    pub run: String,
}

/// A generation that the ledger names.
#[derive(Debug, Serialize, PartialEq)]
pub struct There {
    /// Its name.
    pub generation: GenerationId,
    /// Absolute URL of its folder.
    pub location: String,
    /// Its rows.
    pub rows: u64,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Readers see it.
    pub live: bool,
    /// From then on a sweep may remove it, UTC, unless it alone has rows that a rollback took out; the live one stays.
    pub stays_until: Option<DateTime<Utc>>,
    /// Why `rollback` cannot go back to it, if it cannot.
    pub refusal: Option<String>,
}

/// Puts the history together. `versions` are those of the ledger that are there, oldest first, the last one the newest; `quarantine` is the URL of
/// the table's quarantine. `None` without any.
pub fn history(versions: &[LedgerVersion], quarantine: &str, grace: TimeDelta) -> Option<History> {
    let head = versions.last()?;
    let known: BTreeMap<u64, &LedgerVersion> = versions.iter().map(|version| (version.version, version)).collect();
    let before = |version: &LedgerVersion| known.get(&(version.version - 1)).copied();
    let live = There {
        generation: head.generation.id.clone(),
        location: head.generation.location.clone(),
        rows: head.generation.rows(),
        files: head.generation.files.len(),
        bytes: head.generation.bytes(),
        live: true,
        stays_until: None,
        refusal: None,
    };
    Some(History {
        table: head.table.clone(),
        partition: head.partition.to_string(),
        state: head.state(),
        versions: versions.iter().map(|version| done(version, before(version))).collect(),
        gone: (1..head.version).filter(|number| !known.contains_key(number)).collect(),
        generations: std::iter::once(live).chain(retired(head, &known, quarantine, grace)).collect(),
    })
}

/// The retired generations of data, newest first.
fn retired(head: &LedgerVersion, known: &BTreeMap<u64, &LedgerVersion>, quarantine: &str, grace: TimeDelta) -> Vec<There> {
    let data = head.retired.iter().filter(|retired| !retired.location.starts_with(quarantine));
    let there = data.filter_map(|retired| {
        let generation = retired.id()?;
        // A run may be made for a past time: then the clock decides.
        let lists = |version: &&&LedgerVersion| version.retired.iter().any(|old| old.location == retired.location);
        let since = known.values().rev().take_while(lists).last().and_then(|version| began(&version.attempt));
        Some(There {
            location: retired.location.clone(),
            rows: retired.files.iter().map(|file| file.rows).sum(),
            files: retired.files.len(),
            bytes: retired.files.iter().map(|file| file.bytes).sum(),
            live: false,
            stays_until: Some(since.map_or(retired.at, |since| since.max(retired.at)) + grace),
            refusal: refusal(head, known, &generation).map(|refusal| refusal.to_string()),
            generation,
        })
    });
    let mut there: Vec<There> = there.collect();
    there.sort_by_key(|there| std::cmp::Reverse(there.generation.number));
    there
}

/// Why a rollback cannot go back to a retired generation, as far as the ledger tells.
fn refusal(head: &LedgerVersion, known: &BTreeMap<u64, &LedgerVersion>, generation: &GenerationId) -> Option<Refusal> {
    let Some(target) = known.get(&generation.number).filter(|version| version.generation.id == *generation) else {
        return Some(Refusal::Unknown(generation.clone()));
    };
    if target.is_void() {
        return Some(Refusal::Void(generation.clone()));
    }
    if known.range(target.version + 1..).any(|(_, version)| version.operation == Operation::Move) {
        return Some(Refusal::Places(generation.clone()));
    }
    plan::keeps_what_moved(head, target).err()
}

fn done(version: &LedgerVersion, before: Option<&LedgerVersion>) -> Done {
    Done {
        version: version.version,
        at: version.at,
        operation: version.operation,
        from_merged: version.from_merged,
        why: why(version, before),
        generation: version.generation.id.clone(),
        objects: version.sources.len(),
        rows: version.generation.rows(),
        quarantined: version.counts.quarantined,
        run: version.run.clone(),
    }
}

/// Why a version was made, and what it changed.
fn why(version: &LedgerVersion, before: Option<&LedgerVersion>) -> String {
    let Some(before) = before.or(Some(version).filter(|_| version.version == 1)) else {
        return "the version before it is gone".to_string();
    };
    let is_first = version.version == 1;
    let objects = Objects::between(if is_first { None } else { Some(before) }, version);
    let resolved = version.counts.resolved.saturating_sub(before.counts.resolved);
    match version.operation {
        Operation::Create if version.is_void() => "closed to other runs before anything was in it".to_string(),
        Operation::Create => format!("landed: {}", objects.to_text()),
        Operation::Amend => format!("came later: {}", objects.to_text()),
        Operation::Repair if version.from_merged => "its rows written once more as they were".to_string(),
        Operation::Repair => format!("made anew from what landed: {}", objects.to_text()),
        Operation::Move => format!("made anew from what landed, with rows that have other places: {}", objects.to_text()),
        Operation::Redrive if resolved == 0 => "quarantined records tried once more: none fits".to_string(),
        Operation::Redrive => {
            let moved = version.counts.moved.saturating_sub(before.counts.moved);
            let moved = if moved > 0 { format!(", {moved} of them in other partitions") } else { String::new() };
            format!(
                "quarantined records tried once more: {} fit{}{moved}",
                counted(resolved, "record"),
                if resolved == 1 { "s" } else { "" }
            )
        }
        Operation::Rollback => {
            let to = &version.generation.id;
            let way = if to.number < before.generation.id.number { "back" } else { "forward" };
            format!("{way} from {} to {to}: {}", before.generation.id, objects.to_text())
        }
        Operation::Sweep if version.retired.len() == before.retired.len() => "closed to other runs".to_string(),
        Operation::Sweep => {
            let folders = before.retired.len() - version.retired.len().min(before.retired.len());
            format!("past their grace: {} removed", counted(folders as u64, "retired folder"))
        }
    }
}

/// How the objects of a version differ from those of the one before it.
struct Objects {
    new: u64,
    changed: u64,
    back: u64,
    out: u64,
}

impl Objects {
    fn between(before: Option<&LedgerVersion>, version: &LedgerVersion) -> Self {
        let known = |source: &&Source| before.is_some_and(|before| before.source(&source.key).is_some());
        let was_held = |source: &&Source| before.is_some_and(|before| before.held(&source.key).is_some());
        let differs = |source: &&Source| {
            let old = before.and_then(|before| before.source(&source.key));
            old.is_some_and(|old| (&old.etag, old.size) != (&source.etag, source.size))
        };
        let count = |wanted: &dyn Fn(&&Source) -> bool| version.sources.iter().filter(wanted).count() as u64;
        let out = before.map_or(0, |before| before.sources.iter().filter(|source| version.source(&source.key).is_none()).count() as u64);
        Self { new: count(&|source| !known(source) && !was_held(source)), changed: count(&differs), back: count(&was_held), out }
    }

    fn to_text(&self) -> String {
        let Self { new, changed, back, out } = *self;
        let told = [
            (new, "new object", ""),
            (changed, "object", " with another content"),
            (back, "object", " that had been taken out"),
            (out, "object", " taken out"),
        ];
        let some = told.iter().filter(|(count, ..)| *count > 0);
        let told: Vec<String> = some.map(|(count, what, how)| format!("{}{how}", counted(*count, what))).collect();
        if told.is_empty() { "the same objects".to_string() } else { told.join(", ") }
    }
}

impl Done {
    /// What was done, in a word.
    fn word(&self) -> &'static str {
        match self.operation {
            Operation::Create => "create",
            Operation::Amend => "amend",
            Operation::Repair if self.from_merged => "repair --from-merged",
            Operation::Repair => "repair",
            Operation::Move => "repair (rows moved)",
            Operation::Redrive => "redrive",
            Operation::Rollback => "rollback",
            Operation::Sweep => "sweep",
        }
    }
}

impl History {
    /// The history for people, at the time `now`.
    pub fn to_text(&self, now: DateTime<Utc>) -> String {
        let mut text = format!("{} {}: {}\n", self.table, self.partition, self.state);
        let width = self.versions.iter().map(|done| done.word().len()).max().unwrap_or(0);
        text.push_str(&format!(
            "{:>7} {:<17} {:<width$} {:<9} {:>10} {:>11}  why\n",
            "version", "at", "what", "live", "rows", "quarantined"
        ));
        for done in &self.versions {
            text.push_str(&format!(
                "{:>7} {:<17} {:<width$} {:<9} {:>10} {:>11}  {}\n",
                done.version,
                minute(done.at),
                done.word(),
                done.generation.short(),
                done.rows,
                done.quarantined,
                done.why
            ));
        }
        if let Some(first) = self.gone.first() {
            text.push_str(&format!("ledger version {first} is gone; restore the folder `ledger` of the state location from a backup\n"));
        }
        for there in &self.generations {
            let stay = match there.stays_until {
                None => "live".to_string(),
                Some(until) if until <= now => {
                    "past its grace: `lakebed sweep` removes it, unless it alone has rows that a rollback took out".to_string()
                }
                Some(until) => format!("stays until {}", minute(until)),
            };
            let refusal = there.refusal.as_ref().map_or_else(String::new, |refusal| format!("; {refusal}"));
            text.push_str(&format!(
                "{}: {} in {}, {} bytes, {stay}{refusal}\n",
                there.generation,
                counted(there.rows, "row"),
                counted(there.files as u64, "file"),
                there.bytes
            ));
        }
        if self.generations.iter().any(|there| !there.live && there.refusal.is_none()) {
            text.push_str("`lakebed rollback … --to GENERATION` goes to a retired one, with the same table and hour\n");
        }
        text
    }
}
