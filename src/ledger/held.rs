//! Which generations that are not live have the rows of what a rollback took out. No I/O.

use std::collections::BTreeSet;

use super::{LedgerVersion, Retired, Source};
use crate::layout::GenerationId;

/// A generation that is not live and has rows of objects that a rollback took out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub id: GenerationId,
    /// The folders that a rollback to it needs: its own, and that of its quarantine.
    pub folders: Vec<String>,
    /// Records of these objects in it: rows, and those in its quarantine.
    pub records: u64,
}

impl Retired {
    /// The name of the generation.
    pub fn id(&self) -> Option<GenerationId> {
        self.location.trim_end_matches('/').rsplit('/').next()?.parse().ok()
    }
}

impl LedgerVersion {
    /// The numbers of the versions that wrote the retired generations.
    pub fn wrote_retired(&self) -> BTreeSet<u64> {
        self.retired.iter().filter_map(Retired::id).map(|id| id.number).collect()
    }
}

/// For each object that a rollback took out of the partition and that is `wanted`, the newest of the retired generations that has rows of
/// it: the newest first, as whoever goes back to it takes the fewest others out. `wrote` are the versions that wrote the retired
/// generations.
pub fn holders(head: &LedgerVersion, wrote: &[LedgerVersion], wanted: impl Fn(&Source) -> bool) -> Vec<Holder> {
    let mut wanted: BTreeSet<&str> = head.held.iter().filter(|held| wanted(held)).map(|held| held.key.as_str()).collect();
    // A rollback wrote none, or only a quarantine: what is live in its version was written by an older one.
    let wrote_it = |version: &LedgerVersion| version.generation.id.number == version.version;
    let is_retired =
        |version: &&LedgerVersion| wrote_it(version) && head.retired.iter().any(|retired| retired.location == version.generation.location);
    let mut wrote: Vec<&LedgerVersion> = wrote.iter().filter(is_retired).collect();
    wrote.sort_by_key(|version| std::cmp::Reverse(version.version));
    let mut holders = Vec::new();
    for version in wrote {
        let records = |key: &str| version.source(key).map_or(0, |source| source.counts.merged + source.counts.quarantined);
        let (found, rest): (Vec<&str>, Vec<&str>) = wanted.iter().partition(|key| records(key) > 0);
        if found.is_empty() {
            continue;
        }
        let generations = std::iter::once(&version.generation).chain(&version.quarantine);
        holders.push(Holder {
            id: version.generation.id.clone(),
            folders: generations.map(|generation| generation.location.clone()).collect(),
            records: found.iter().map(|key| records(key)).sum(),
        });
        wanted = BTreeSet::from_iter(rest);
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{source, version};

    /// Version 5 of a partition, with these objects taken out, behind versions that had these.
    fn told(held: &[&str], had: &[&[&str]], wanted: &str) -> String {
        let of = |names: &[&str]| names.iter().map(|name| source("14", name)).collect::<Vec<_>>();
        let wrote: Vec<LedgerVersion> = had.iter().zip(1..).map(|(names, number)| version("14", number, of(names))).collect();
        let retire =
            |one: &LedgerVersion| Retired { location: one.generation.location.clone(), files: one.generation.files.clone(), at: one.at };
        // The first one is live.
        let head = LedgerVersion { held: of(held), retired: wrote[1..].iter().map(retire).collect(), ..version("14", 5, of(had[0])) };
        let all = holders(&head, &wrote, |source| source.key.contains(wanted));
        all.iter().map(|holder| format!("g{} {}", holder.id.number, holder.records)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_object_that_was_taken_out_is_in_the_newest_generation_that_has_it() {
        let rows = source("14", "a").counts.merged;
        assert_eq!(told(&["b"], &[&["a"], &["a", "b"], &["a", "b"], &["a"]], ""), format!("g3 {rows}"));
        assert_eq!(told(&["b", "c"], &[&["a"], &["a", "b"], &["a", "c"]], ""), format!("g3 {rows}, g2 {rows}"));
        assert_eq!(told(&["b", "c"], &[&["a"], &["a", "b", "c"], &["a", "c"]], "c"), format!("g3 {rows}"));
        assert_eq!(told(&["b"], &[&["a"], &["a"]], ""), "", "it was swept");
        assert_eq!(told(&[], &[&["a"], &["a", "b"]], ""), "", "nothing was taken out");

        // A rollback to generation 2 that wrote a quarantine is no newer place of its rows.
        let back = LedgerVersion { version: 4, ..version("14", 2, vec![source("14", "b")]) };
        let wrote = [version("14", 2, vec![source("14", "b")]), version("14", 3, vec![source("14", "b"), source("14", "c")]), back];
        let retire =
            |one: &LedgerVersion| Retired { location: one.generation.location.clone(), files: one.generation.files.clone(), at: one.at };
        let head = LedgerVersion {
            held: vec![source("14", "b"), source("14", "c")],
            retired: wrote[..2].iter().map(retire).collect(),
            ..version("14", 5, vec![source("14", "a")])
        };
        let all = holders(&head, &wrote, |_| true);
        assert_eq!(all.iter().map(|holder| holder.id.number).collect::<Vec<_>>(), [3]);
    }
}
