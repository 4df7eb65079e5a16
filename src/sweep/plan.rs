//! What a sweep may remove, decided from the ledgers, the catalog, names and ages. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::began;
use crate::layout::{self, GenerationId, PartitionId};
use crate::ledger::held::Holder;
use crate::ledger::{LedgerVersion, Retired};

/// How old something has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Now, UTC.
    pub now: DateTime<Utc>,
    /// What was retired up to then is past its grace.
    pub retired: DateTime<Utc>,
    /// Attempts that began before then are dead.
    pub dead: DateTime<Utc>,
}

impl Times {
    /// From `[lake] grace`, and the longest time that an attempt may be under way.
    pub fn new(now: DateTime<Utc>, grace: TimeDelta, longest: TimeDelta) -> Self {
        Self { now, retired: now - grace, dead: now - grace - longest }
    }

    /// True for what an attempt of this id left, if it is surely not under way any more. An id that tells no time is never old.
    pub fn is_dead(&self, attempt: &str) -> bool {
        began(attempt).is_some_and(|began| began < self.dead)
    }

    /// True if this version is older than the grace by its attempt's own time. `at` alone does not tell: a run may be made for a past time.
    pub fn is_settled(&self, version: &LedgerVersion) -> bool {
        began(&version.attempt).is_some_and(|began| began <= self.retired)
    }
}

/// The retired generations of a partition that are past their grace. `since` are the versions from the newest one on that is so old
/// itself: what was not retired in all of them was live within the grace, whatever time the run was made for that retired it.
pub fn due(head: &LedgerVersion, since: &[LedgerVersion], times: Times) -> Vec<Retired> {
    let was = |retired: &Retired| since.iter().all(|version| version.retired.iter().any(|old| old.location == retired.location));
    head.retired.iter().filter(|retired| retired.at <= times.retired && was(retired)).cloned().collect()
}

/// Sets apart what may go, and the generations of `holders` among them that have to stay, each with what of it is past its grace.
pub fn spare(due: Vec<Retired>, holders: Vec<Holder>) -> (Vec<Retired>, Vec<(Holder, Vec<Retired>)>) {
    let is_of = |holder: &Holder, retired: &Retired| holder.folders.contains(&retired.location);
    let (stays, goes): (Vec<Retired>, _) = due.into_iter().partition(|retired| holders.iter().any(|holder| is_of(holder, retired)));
    let of_holder = |holder: Holder| {
        let stays: Vec<Retired> = stays.iter().filter(|retired| is_of(&holder, retired)).cloned().collect();
        (!stays.is_empty()).then_some((holder, stays))
    };
    let kept = holders.into_iter().filter_map(of_holder).collect();
    (goes, kept)
}

/// Sets apart what the catalog still points to: what may go, and what has to stay.
pub fn apart(due: Vec<Retired>, registered: &BTreeSet<String>) -> (Vec<Retired>, Vec<Retired>) {
    due.into_iter().partition(|retired| !registered.contains(&retired.location))
}

/// The version that follows `head` and does not list `gone` any more, and those of `gone` that it takes out of the list.
pub fn without(head: &LedgerVersion, gone: &[Retired], attempt: String, run: String, at: DateTime<Utc>) -> (LedgerVersion, Vec<Retired>) {
    let (taken, retired) = head.retired.iter().cloned().partition(|retired| gone.contains(retired));
    (head.swept(retired, attempt, run, at), taken)
}

/// The folders of generations among some paths, each with the bytes in it. The paths are relative to the table's location or to its
/// quarantine; what is no generation of a partition with these keys is somebody else's.
pub fn generations<'e>(
    entries: impl Iterator<Item = (&'e str, u64)>,
    keys: &[&str],
) -> BTreeMap<(PartitionId, String), (GenerationId, u64)> {
    let mut found = BTreeMap::new();
    for (path, bytes) in entries {
        let Some((partition, id)) = layout::parse_generation_path(path) else { continue };
        if partition.entries().iter().map(|entry| entry.key.as_str()).eq(keys.iter().copied()) {
            found.entry((partition, id.to_string())).or_insert((id, 0)).1 += bytes;
        }
    }
    found
}

/// What a folder of a generation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// In use, or not surely out of use.
    Keep,
    /// A sweep took this generation out of the ledger, and was cut off before it removed the files.
    Swept(Vec<String>),
    /// An attempt that never committed wrote it, and is dead.
    Dead,
}

/// True if the version lists the folder, as live or as retired.
pub fn names(version: &LedgerVersion, location: &str) -> bool {
    let live = std::iter::once(&version.generation).chain(&version.quarantine).map(|generation| &generation.location);
    live.chain(version.retired.iter().map(|retired| &retired.location)).any(|named| named == location)
}

/// Decides about a folder. `made` is the version whose number the generation has, and was read before `head`, so that a commit in between
/// is in the head.
///
/// | the newest version | the version of its number | then |
/// |---|---|---|
/// | names it | any | keep |
/// | does not | is of its attempt and wrote it | the rest of a sweep: nothing else takes a generation out of a ledger |
/// | does not | is of its attempt and did not write it | keep: nobody knows what it is |
/// | does not, or there is none | is of another attempt, or there is none | dead if the attempt is old, else keep |
pub fn verdict(location: &str, id: &GenerationId, head: Option<&LedgerVersion>, made: Option<&LedgerVersion>, times: Times) -> Verdict {
    if head.is_some_and(|head| names(head, location)) {
        return Verdict::Keep;
    }
    match made {
        Some(made) if made.attempt == id.attempt => {
            let wrote = std::iter::once(&made.generation).chain(&made.quarantine).find(|generation| generation.location == location);
            let followed = head.is_some_and(|head| head.version > made.version);
            let files = wrote.filter(|_| followed).map(|wrote| wrote.files.iter().map(|file| file.name.clone()).collect());
            files.map_or(Verdict::Keep, Verdict::Swept)
        }
        _ if times.is_dead(&id.attempt) => Verdict::Dead,
        _ => Verdict::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{partition, source, version};

    fn times() -> Times {
        Times::new("2026-11-21T20:00:00Z".parse().unwrap(), TimeDelta::hours(24), TimeDelta::hours(48))
    }

    fn id_of(at: &str) -> String {
        let at: DateTime<Utc> = at.parse().unwrap();
        ulid::Ulid::from_parts(at.timestamp_millis() as u64, 7).to_string()
    }

    fn retired(version: &LedgerVersion, at: &str) -> Retired {
        Retired { location: version.generation.location.clone(), files: version.generation.files.clone(), at: at.parse().unwrap() }
    }

    /// Version 3, and its retired generations: one past its grace, one not.
    fn head() -> LedgerVersion {
        let [one, two] = [1, 2].map(|number| version("14", number, vec![source("14", "a")]));
        let retired = vec![retired(&one, "2026-11-20T20:00:00Z"), retired(&two, "2026-11-20T20:00:01Z")];
        LedgerVersion { retired, ..version("14", 3, vec![source("14", "a")]) }
    }

    #[test]
    fn only_what_is_past_its_grace_and_not_registered_goes() {
        let head = head();
        let gone = due(&head, std::slice::from_ref(&head), times());
        assert_eq!(gone, head.retired[..1]);
        // A run for a past time retired it just now.
        let without = LedgerVersion { retired: vec![], ..head.clone() };
        assert_eq!(due(&head, &[head.clone(), without.clone()], times()), []);
        // It was retired long ago, was live once more after a rollback, and such a run retired it again.
        assert_eq!(due(&head, &[head.clone(), without, head.clone()], times()), []);
        let registered = BTreeSet::from([gone[0].location.clone()]);
        assert_eq!(apart(gone.clone(), &registered), (vec![], gone.clone()));
        assert_eq!(apart(gone.clone(), &BTreeSet::new()), (gone, vec![]));
        let young = LedgerVersion { attempt: id_of("2026-11-20T20:00:01Z"), ..head.clone() };
        assert!(times().is_settled(&head) && !times().is_settled(&young));
    }

    #[test]
    fn what_alone_has_rows_that_a_rollback_took_out_stays_with_its_quarantine() {
        let head = head();
        let (own, bad) = (head.retired[0].clone(), Retired { location: "file:///state/quarantine/".into(), ..head.retired[0].clone() });
        let holder = Holder { id: own.id().unwrap(), folders: vec![own.location.clone(), bad.location.clone()], records: 2 };
        let (goes, kept) = spare(head.retired.iter().chain([&bad]).cloned().collect(), vec![holder.clone()]);
        assert_eq!((goes, kept), (head.retired[1..].to_vec(), vec![(holder.clone(), vec![own, bad])]));
        assert_eq!(spare(head.retired[1..].to_vec(), vec![holder]), (head.retired[1..].to_vec(), vec![]), "it is within its grace");
    }

    #[test]
    fn the_version_of_a_sweep_differs_in_what_is_retired_alone() {
        let head = head();
        let (next, taken) = without(&head, &head.retired[..1], id_of("2026-11-21T20:00:00Z"), "r".into(), times().now);
        next.check(Some(&head)).unwrap();
        assert_eq!((taken.as_slice(), next.retired.as_slice(), next.version), (&head.retired[..1], &head.retired[1..], 4));
        // Another sweep was faster.
        let (_, taken) = without(&next, &head.retired[..1], String::new(), String::new(), times().now);
        assert_eq!(taken, []);
    }

    #[test]
    fn folders_of_generations_are_told_by_their_path() {
        let id = "g00000001-01J00000000000000000000000";
        let paths = [
            format!("day=1/{id}/part-00000.parquet"),
            format!("day=1/{id}/part-00001.parquet#1"),
            format!("day=2/{id}/"),
            format!("day=1/{id}"),
            format!("hour=1/{id}/part-00000.parquet"),
            format!("day=1/backup/{id}/part-00000.parquet"),
            "day=1/g00000001-x/part-00000.parquet".to_string(),
            "notes.txt".to_string(),
        ];
        let found = generations(paths.iter().map(|path| (path.as_str(), 5)), &["day"]);
        let said: Vec<String> = found.into_iter().map(|((partition, id), (_, bytes))| format!("{partition} {id} {bytes}")).collect();
        assert_eq!(said, [format!("day=1 {id} 10"), format!("day=2 {id} 5")]);
    }

    #[test]
    fn a_folder_is_removed_only_if_no_version_can_need_it() {
        let head = head();
        let old = GenerationId { number: 3, attempt: id_of("2026-11-18T19:59:59Z") };
        let young = GenerationId { number: 3, attempt: id_of("2026-11-18T20:00:01Z") };
        let check = |id: &GenerationId, head: Option<&LedgerVersion>, made: Option<&LedgerVersion>| {
            verdict(&format!("file:///lake/{}/{id}/", partition("14")), id, head, made, times())
        };
        // Of attempts that did not commit.
        assert_eq!(check(&old, Some(&head), Some(&head)), Verdict::Dead);
        assert_eq!(check(&old, None, None), Verdict::Dead);
        assert_eq!(check(&young, Some(&head), Some(&head)), Verdict::Keep);
        assert_eq!(check(&young, None, None), Verdict::Keep);
        // Of committed ones: live, retired, swept.
        let [one, two] = [1, 2].map(|number| version("14", number, vec![source("14", "a")]));
        assert_eq!(check(&head.generation.id, Some(&head), Some(&head)), Verdict::Keep);
        assert_eq!(check(&two.generation.id, Some(&head), Some(&two)), Verdict::Keep);
        let swept = LedgerVersion { retired: vec![], version: 4, ..head.clone() };
        assert_eq!(check(&one.generation.id, Some(&swept), Some(&one)), Verdict::Swept(vec!["part-00000.parquet".into()]));
        // It was gone back to.
        let rolled_back = LedgerVersion { generation: one.generation.clone(), ..swept };
        assert_eq!(check(&one.generation.id, Some(&rolled_back), Some(&one)), Verdict::Keep);
        let elsewhere = format!("s3://lake/{}/{}/", partition("14"), two.generation.id);
        let head = LedgerVersion { retired: vec![], ..head };
        assert_eq!(verdict(&elsewhere, &two.generation.id, Some(&head), Some(&two), times()), Verdict::Keep);
    }
}
