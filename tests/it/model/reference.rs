//! What a lake has to hold, by what the documents say of each verb. It shares no decision with lakebed.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::{Object, Reject, Row};
use super::steps::{HOURS, LOOSE, Rules, Settings, Step, Verb};

/// Minutes from 2026-11-19T00:00Z on.
pub type Minute = i64;

/// The first of the lake's hours.
pub const FIRST_HOUR: i64 = 9;
const CLOSE_AFTER: Minute = 20;

/// No attempt is under way as long as this.
pub const LONGEST: Minute = 48 * 60;

/// What became of the records of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub read: u64,
    pub merged: u64,
    pub quarantined: u64,
    pub duplicates: u64,
    /// Of all these, those that a redrive took out of the quarantine.
    pub resolved: u64,
}

/// An object in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub stamp: u64,
    pub late: bool,
    pub counts: Counts,
    pub rejected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Amend,
    Repair,
    Rollback,
    Sweep,
    Redrive,
}

/// A folder of files, named by the version that it was written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Folder {
    Data(u64),
    Quarantine(u64),
}

/// A folder that was live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    pub folder: Folder,
    /// The time that the version was made for which retired it, and the time at which it was made.
    pub at: Minute,
    pub since: Minute,
}

/// What an hour holds by one version of its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub operation: Operation,
    pub generation: u64,
    pub quarantine: Option<Quarantine>,
    /// In their order.
    pub rows: Vec<Row>,
    /// In their order.
    pub rejects: Vec<Kept>,
    pub sources: BTreeMap<String, Source>,
    pub held: BTreeMap<String, Source>,
    pub missing: BTreeSet<String>,
    pub amended: u64,
    pub retired: Vec<Retired>,
    /// Its rows were written once more as they were, by `--from-merged`.
    pub written_anew: bool,
    /// The newest generation that a rollback went back from, as long as that stands.
    pub rolled_back: Option<u64>,
}

/// What the quarantine says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub object: String,
    pub reject: Reject,
    /// Redrives that found that it does not fit, each for another reason or by other rules.
    pub attempts: u32,
    /// The rules of the last of these.
    pub tried: Option<Rules>,
    /// When a redrive put it into the table.
    pub resolved: Option<Minute>,
}

/// A row of the quarantine, as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    pub object: String,
    pub raw: Vec<u8>,
    pub reason: String,
    pub attempts: u32,
    pub resolved: Option<Minute>,
}

/// Quarantined records by what a redrive makes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    pub records: u64,
    pub passes: u64,
    pub fails: u64,
    pub left: u64,
    pub resolved: u64,
}

/// The quarantine of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    pub generation: u64,
    /// A rollback to when there was none makes one without files.
    pub has_files: bool,
}

/// An hour.
#[derive(Debug, Clone, Default)]
pub struct Hour {
    pub landed: BTreeMap<String, Object>,
    /// Firehose's error objects of this hour.
    pub reports: BTreeMap<String, Object>,
    /// Version 1 and those that follow.
    pub versions: Vec<Version>,
    /// The versions that the catalog shows, of the table and of its quarantine.
    pub shown: (usize, usize),
}

impl Hour {
    pub fn head(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// All that lies in the landing.
    pub fn objects(&self) -> BTreeMap<&String, &Object> {
        self.landed.iter().chain(&self.reports).collect()
    }

    /// True if an object of that key lies there.
    pub fn has_landed(&self, key: &str) -> bool {
        self.landed.contains_key(key) || self.reports.contains_key(key)
    }

    /// The retired folders that alone have records of objects that a rollback took out and that are not in the landing any more: of each object
    /// the newest.
    fn only_here(&self, head: &Version) -> BTreeSet<Folder> {
        let mut wanted: BTreeSet<&String> = head.held.keys().filter(|key| !self.has_landed(key)).collect();
        let mut kept = BTreeSet::new();
        for (before, version) in self.versions.iter().enumerate().rev() {
            let number = before as u64 + 1;
            let is_retired = head.retired.iter().any(|retired| retired.folder == Folder::Data(number));
            if version.generation != number || !is_retired {
                continue;
            }
            let records = |key: &String| version.sources.get(key).map_or(0, |source| source.counts.merged + source.counts.quarantined);
            let found: BTreeSet<&String> = wanted.iter().copied().filter(|key| records(key) > 0).collect();
            if !found.is_empty() {
                kept.insert(Folder::Data(number));
                kept.extend(version.quarantine.map(|quarantine| Folder::Quarantine(quarantine.generation)));
                wanted = &wanted - &found;
            }
        }
        kept
    }

    /// A version, if the number is not that of none.
    pub fn version(&self, number: usize) -> Option<&Version> {
        number.checked_sub(1).map(|at| &self.versions[at])
    }

    /// The versions that the catalog has to show.
    pub fn newest(&self) -> (usize, usize) {
        let number = self.versions.len();
        (number, if self.head().is_some_and(|head| head.quarantine.is_some()) { number } else { 0 })
    }

    /// The catalog shows the files of the newest version.
    pub fn shows_head(&self) -> bool {
        self.folders(self.shown) == self.folders(self.newest())
    }

    /// The folders that the catalog points to.
    pub fn shown_folders(&self) -> Vec<Folder> {
        self.folders(self.shown)
    }

    fn folders(&self, (data, quarantine): (usize, usize)) -> Vec<Folder> {
        let data = self.version(data).map(|version| Folder::Data(version.generation));
        let quarantine = self.version(quarantine).and_then(|version| version.quarantine);
        data.into_iter().chain(quarantine.map(|quarantine| Folder::Quarantine(quarantine.generation))).collect()
    }
}

/// What a verb has to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is refused, with an exit code of wrong usage or configuration.
    Wrong,
    /// It is refused because of the data.
    Refused,
    /// It did what the next versions say, or found nothing to do.
    Done,
    Run(Run),
    Redrive(Redrive),
}

/// What a run has to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Run {
    pub landed: u64,
    pub merged: u64,
    pub rejected: u64,
    pub held: u64,
    /// Hours that were rolled back.
    pub rolled_back: u64,
    pub pending: u64,
    pub failures: usize,
    /// Keys of objects that were written again.
    pub changed: BTreeSet<String>,
}

/// What a redrive has to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redrive {
    /// What it makes of the quarantined records of an hour, and whether that changes anything.
    pub tries: BTreeMap<usize, (Tries, bool)>,
    /// Error objects that it takes in.
    pub taken: usize,
    /// There are some of hours that are still open.
    pub warns: bool,
}

/// What a verb has to do.
#[derive(Debug, Clone)]
pub struct Plan {
    pub answer: Answer,
    /// The next versions of each hour that gets any.
    pub next: BTreeMap<usize, Vec<Version>>,
    /// The next version of an hour if the first of these fails, and the verb goes on.
    pub instead: BTreeMap<usize, Version>,
    /// Hours that may stay as they are all the same.
    pub may_stay: bool,
    /// Hours that the catalog shows as they are after it.
    pub shown: BTreeSet<usize>,
}

/// The lake.
#[derive(Debug, Clone)]
pub struct Lake {
    pub settings: Settings,
    pub rules: Rules,
    pub now: Minute,
    pub hours: Vec<Hour>,
    /// A run made the table.
    pub exists: bool,
    stamps: u64,
}

pub fn hour_of(minute: Minute) -> i64 {
    minute.div_euclid(60)
}

/// The key of an object below the landing.
pub fn key(hour: usize, name: usize) -> String {
    format!("2026/11/19/{:02}/{name}", FIRST_HOUR + hour as i64)
}

/// The key of an error object.
fn report_key(hour: usize, name: usize) -> String {
    let hour = FIRST_HOUR + hour as i64;
    format!("errors/processing-failed/clicks-1-2026-11-19-{hour:02}-05-0{name}-a9fa96af-e4e4-409f-bac3-1f804714faaa")
}

impl Lake {
    pub fn new(settings: &Settings) -> Self {
        let hours = vec![Hour::default(); HOURS];
        Self { settings: settings.clone(), rules: LOOSE, now: 11 * 60 + 30, hours, exists: false, stamps: 0 }
    }

    /// What happens to the landing, the rules and the clock. Returns the hour and the key of what was written or removed.
    pub fn happens(&mut self, step: &Step) -> Option<(usize, String)> {
        self.stamps += 1;
        let stamp = self.stamps;
        match step {
            Step::Land { hour, name, content } => {
                self.hours[*hour].landed.insert(key(*hour, *name), Object::new(content, stamp));
                Some((*hour, key(*hour, *name)))
            }
            Step::Copy { hour, from, to } => {
                let copy = self.hours[*hour].landed.get(&key(*hour, *from))?.again(stamp);
                self.hours[*hour].landed.insert(key(*hour, *to), copy);
                Some((*hour, key(*hour, *to)))
            }
            Step::Expire { hour, name } => {
                let key = key(*hour, *name);
                self.hours[*hour].landed.remove(&key).map(|_| (*hour, key))
            }
            Step::Report { hour, name, records } => {
                let key = report_key(*hour, *name);
                self.hours[*hour].reports.insert(key.clone(), Object::reports(records, stamp));
                Some((*hour, key))
            }
            Step::Wait { minutes } => {
                self.now += minutes;
                None
            }
            Step::Rule(rules) => {
                self.rules = *rules;
                None
            }
            Step::Do(_) | Step::Break(..) => None,
        }
    }

    /// What a verb has to do now.
    pub fn plan(&self, verb: &Verb) -> Plan {
        match verb {
            Verb::Run { ago, since } => self.run(self.now - ago * 60, *since),
            Verb::Repair { hour, from_merged: false } => self.repair(*hour),
            Verb::Repair { hour, from_merged: true } => self.reencode(*hour),
            Verb::Rollback { hour, to } => self.rollback(*hour, *to),
            Verb::Sweep => self.sweep(),
            Verb::Redrive { hour, reason, dry_run } => self.redrive(*hour, *reason, *dry_run),
        }
    }

    pub fn is_closed(&self, hour: usize, at: Minute) -> bool {
        (FIRST_HOUR + hour as i64 + 1) * 60 + CLOSE_AFTER <= at
    }

    fn run(&self, at: Minute, since: Option<usize>) -> Plan {
        let from = since.map_or(hour_of(at - self.settings.lookback * 60), |hour| FIRST_HOUR + hour as i64);
        if since.is_some() && from * 60 > at {
            return Plan::nothing(Answer::Wrong);
        }
        let (mut run, mut plan) = (Run::default(), Plan::nothing(Answer::Done));
        let looked_at = |hour: &usize| (from..=hour_of(at)).contains(&(FIRST_HOUR + *hour as i64));
        for hour in (0..HOURS).filter(looked_at) {
            let Hour { landed, .. } = &self.hours[hour];
            run.landed += landed.len() as u64;
            if !self.is_closed(hour, at) {
                run.pending += landed.len() as u64;
            } else if !landed.is_empty() {
                plan.shown.insert(hour);
                plan.next.extend(self.merge(hour, at, &mut run).map(|next| (hour, vec![next])));
            }
        }
        // What a run before it committed and did not come to show.
        plan.shown.extend((0..HOURS).filter(|hour| !self.hours[*hour].shows_head()));
        Plan { answer: Answer::Run(run), ..plan }
    }

    /// The version that a run makes of an hour; none if all is in it.
    fn merge(&self, hour: usize, at: Minute, run: &mut Run) -> Option<Version> {
        let head = self.hours[hour].head();
        run.rolled_back += u64::from(head.is_some_and(|head| head.rolled_back.is_some()));
        let mut objects = Vec::new();
        for (key, object) in &self.hours[hour].landed {
            let known = head.and_then(|head| head.sources.get(key));
            match known {
                None if head.is_some_and(|head| head.held.contains_key(key)) => run.held += 1,
                None => objects.push((key, object)),
                Some(source) if source.rejected && source.stamp != object.stamp => objects.push((key, object)),
                Some(source) if source.rejected => run.rejected += 1,
                Some(source) => {
                    run.merged += 1;
                    run.changed.extend((source.stamp != object.stamp).then(|| key.clone()));
                }
            }
        }
        if objects.is_empty() {
            return None;
        }
        for (_, object) in &objects {
            let becomes = object.becomes(self.rules);
            *(if becomes.rejected { &mut run.rejected } else { &mut run.merged }) += 1;
            run.failures += usize::from(becomes.missing);
        }
        let operation = if head.is_some() { Operation::Amend } else { Operation::Create };
        Some(self.written(hour, head, &objects, operation, at))
    }

    /// The version with the rows of `base` and of these objects.
    pub fn written(
        &self,
        hour: usize,
        base: Option<&Version>,
        objects: &[(&String, &Object)],
        operation: Operation,
        at: Minute,
    ) -> Version {
        let head = self.hours[hour].head();
        let number = self.hours[hour].versions.len() as u64 + 1;
        let mut next = Version {
            operation,
            generation: number,
            quarantine: head.and_then(|head| head.quarantine),
            rows: base.map_or_else(Vec::new, |base| base.rows.clone()),
            rejects: base.map_or_else(Vec::new, |base| base.rejects.clone()),
            sources: base.map_or_else(BTreeMap::new, |base| base.sources.clone()),
            held: head.map_or_else(BTreeMap::new, |head| head.held.clone()),
            missing: base.map_or_else(BTreeSet::new, |base| base.missing.clone()),
            amended: head.map_or(0, |head| head.amended) + u64::from(operation == Operation::Amend),
            retired: Vec::new(),
            written_anew: false,
            rolled_back: base.and(head).and_then(|head| head.rolled_back),
        };
        let replaced = |key: &String| head.is_some_and(|head| head.sources.contains_key(key));
        let afresh = head.is_some() && base.is_none();
        let mut writes_quarantine = next.quarantine.is_some() && (afresh || objects.iter().any(|(key, _)| replaced(key)));
        next.rejects.retain(|kept| objects.iter().all(|(object, _)| **object != kept.object));
        for (key, object) in objects {
            let becomes = object.becomes(self.rules);
            writes_quarantine |= !becomes.rejects.is_empty();
            let read = (becomes.rows.len() + becomes.rejects.len()) as u64;
            let mut counts = Counts { read, quarantined: becomes.rejects.len() as u64, ..Counts::default() };
            becomes.rows.into_iter().for_each(|row| self.add(&mut next.rows, row, &mut counts));
            let kept = |reject| Kept { object: (*key).clone(), reject, attempts: 0, tried: None, resolved: None };
            next.rejects.extend(becomes.rejects.into_iter().map(kept));
            next.missing.remove(*key);
            next.missing.extend(becomes.missing.then(|| (*key).clone()));
            // What is read once more is as late as it was.
            let known = head.and_then(|head| head.sources.get(*key).or(head.held.get(*key))).filter(|_| afresh);
            let late = head.is_some() && known.is_none_or(|source| source.late);
            next.held.remove(*key);
            next.sources.insert((*key).clone(), Source { stamp: object.stamp, late, counts, rejected: becomes.rejected });
        }
        self.order(&mut next.rows);
        if writes_quarantine {
            next.quarantine = Some(Quarantine { generation: number, has_files: true });
        }
        next.retired = self.retired(hour, &next, at);
        next
    }

    /// Adds a row behind others, unless one of these is the same event.
    pub fn add(&self, rows: &mut Vec<Row>, row: Row, counts: &mut Counts) {
        let same = |other: &Row| row.id.is_some() && other.id == row.id;
        if self.settings.deduplicate && rows.iter().any(same) {
            counts.duplicates += 1;
        } else {
            counts.merged += 1;
            rows.push(row);
        }
    }

    /// Nulls last, equal rows as they came.
    pub fn order(&self, rows: &mut [Row]) {
        if self.settings.sort {
            rows.sort_by(|a, b| (a.id.is_none(), &a.id).cmp(&(b.id.is_none(), &b.id)));
        }
    }

    /// What is retired once the hour is at `next`.
    pub fn retired(&self, hour: usize, next: &Version, at: Minute) -> Vec<Retired> {
        let Some(head) = self.hours[hour].head() else { return Vec::new() };
        let live = next.folders();
        let gone = head.folders().into_iter().map(|folder| Retired { folder, at, since: self.now });
        head.retired.iter().cloned().chain(gone).filter(|retired| !live.contains(&retired.folder)).collect()
    }

    fn repair(&self, hour: usize) -> Plan {
        let Hour { landed, reports, .. } = &self.hours[hour];
        let Some(head) = self.hours[hour].head().filter(|_| self.exists) else { return Plan::nothing(Answer::Wrong) };
        // Of error objects those are read again that were taken in.
        let taken = |(key, _): &(&String, &Object)| head.sources.contains_key(*key) || head.held.contains_key(*key);
        let objects: Vec<_> = landed.iter().chain(reports.iter().filter(taken)).collect();
        if head.sources.keys().any(|key| objects.iter().all(|(object, _)| *object != key)) {
            return Plan::nothing(Answer::Refused);
        }
        let next = self.written(hour, None, &objects, Operation::Repair, self.now);
        let sorted = |version: &Version| (in_any_order(&version.rows), in_any_order(&version.quarantined()));
        let same = sorted(head) == sorted(&next);
        let same = same && (&head.sources, &head.held, &head.missing) == (&next.sources, &next.held, &next.missing);
        // What was rolled back and is made anew is not rolled back any more, be it the same.
        let same = same && head.rolled_back.is_none();
        Plan::of(hour, if same { None } else { Some(next) })
    }

    fn reencode(&self, hour: usize) -> Plan {
        let Some(head) = self.hours[hour].head().filter(|_| self.exists) else { return Plan::nothing(Answer::Wrong) };
        if head.written_anew {
            return Plan::of(hour, None);
        }
        let next = Version { written_anew: true, ..self.written(hour, Some(head), &[], Operation::Repair, self.now) };
        // Whether its files would come out the same is not known here.
        Plan { may_stay: true, ..Plan::of(hour, Some(next)) }
    }

    fn rollback(&self, hour: usize, to: Option<u64>) -> Plan {
        let Hour { versions, .. } = &self.hours[hour];
        let Some(head) = self.hours[hour].head().filter(|_| self.exists) else { return Plan::nothing(Answer::Wrong) };
        let data = |retired: &Retired| if let Folder::Data(number) = retired.folder { Some(number) } else { None };
        let retired: Vec<u64> = head.retired.iter().filter_map(data).collect();
        let target = match (to, retired.last()) {
            (Some(to), _) if to == head.generation => return Plan::of(hour, None),
            (Some(to), _) if !retired.contains(&to) => return Plan::nothing(Answer::Wrong),
            (Some(to), _) => to,
            (None, None) => return Plan::nothing(Answer::Refused),
            // It was rolled back already.
            (None, Some(last)) if *last > head.generation => return Plan::of(hour, None),
            (None, Some(last)) => *last,
        };
        let target = &versions[target as usize - 1];
        let number = versions.len() as u64 + 1;
        let none = |old: Quarantine| if old.has_files { Quarantine { generation: number, has_files: false } } else { old };
        let known = head.held.iter().chain(&head.sources);
        let held = known.filter(|(key, _)| !target.sources.contains_key(*key)).map(|(key, source)| (key.clone(), source.clone()));
        let newest = head.rolled_back.unwrap_or(0).max(head.generation);
        let mut next = Version {
            operation: Operation::Rollback,
            rolled_back: if target.generation < newest { Some(newest) } else { target.rolled_back },
            quarantine: target.quarantine.or(head.quarantine.map(none)),
            held: held.collect(),
            retired: Vec::new(),
            ..target.clone()
        };
        next.retired = self.retired(hour, &next, self.now);
        Plan::of(hour, Some(next))
    }

    fn sweep(&self) -> Plan {
        let mut plan = Plan::nothing(Answer::Done);
        if !self.exists {
            return plan;
        }
        let old = self.now - self.settings.grace * 60;
        for (hour, at) in self.hours.iter().enumerate() {
            let Some(head) = at.head() else { continue };
            // What the catalog still points to stays.
            let pointed = at.shown_folders();
            let kept = at.only_here(head);
            let stays = |retired: &Retired| {
                let Retired { folder, at, since } = retired;
                *at > old || *since > old || pointed.contains(folder) || kept.contains(folder)
            };
            let retired: Vec<Retired> = head.retired.iter().filter(|retired| stays(retired)).cloned().collect();
            if retired.len() < head.retired.len() {
                plan.next.insert(hour, vec![Version { operation: Operation::Sweep, retired, ..head.clone() }]);
                plan.shown.insert(hour);
            }
        }
        plan
    }
}

/// The same however they were ordered.
fn in_any_order<T: Ord + Clone>(all: &[T]) -> Vec<T> {
    let mut all = all.to_vec();
    all.sort();
    all
}

impl Kept {
    /// As readers see it.
    pub fn shown(&self) -> Shown {
        let Self { object, reject, attempts, resolved, .. } = self;
        Shown {
            object: object.clone(),
            raw: reject.raw.clone(),
            reason: reject.reason.code().as_str().to_string(),
            attempts: *attempts,
            resolved: *resolved,
        }
    }
}

impl Version {
    /// Its quarantine, as readers see it.
    pub fn quarantined(&self) -> Vec<Shown> {
        self.rejects.iter().map(Kept::shown).collect()
    }

    /// The folders that are live.
    pub fn folders(&self) -> Vec<Folder> {
        let quarantine = self.quarantine.map(|quarantine| Folder::Quarantine(quarantine.generation));
        std::iter::once(Folder::Data(self.generation)).chain(quarantine).collect()
    }
}

impl Plan {
    pub fn nothing(answer: Answer) -> Self {
        Self { answer, next: BTreeMap::new(), instead: BTreeMap::new(), may_stay: false, shown: BTreeSet::new() }
    }

    fn of(hour: usize, next: Option<Version>) -> Self {
        let next = next.map(|next| (hour, vec![next]));
        Self { next: next.into_iter().collect(), shown: [hour].into(), ..Self::nothing(Answer::Done) }
    }
}
