//! What a redrive of a partition comes to: which of its quarantined records fit today, and which objects stay set aside. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::hour::Place;
use crate::layout::PartitionId;
use crate::ledger::{LedgerVersion, Source};
use crate::queue::hex;
use crate::schema::{TableSchema, fingerprint};
use crate::standardize::Tally;
use crate::standardize::kept::{Fate, Kept, Records, Redrive, Verdict, still_set_aside};
use crate::standardize::reject::{Code, Reason};

/// Quarantined records by what a redrive makes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tries {
    /// Records that are in quarantine, before the redrive.
    pub records: u64,
    /// Records that fit today.
    pub passes: u64,
    /// Records that still do not, or whose object is set aside as a whole still.
    pub fails: u64,
    /// Records whose bytes are not kept, or not as they landed.
    pub not_kept: u64,
    /// Records that no columns and rules make one row of.
    pub left: u64,
    /// Records that a redrive before this one put into the table.
    pub resolved: u64,
}

impl std::iter::Sum for Tries {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            records: a.records + b.records,
            passes: a.passes + b.passes,
            fails: a.fails + b.fails,
            not_kept: a.not_kept + b.not_kept,
            left: a.left + b.left,
            resolved: a.resolved + b.resolved,
        })
    }
}

/// Rows by partition.
pub type Rows = BTreeMap<PartitionId, u64>;

/// What was found of one object's records.
#[derive(Debug, Default)]
struct Found {
    /// Those that the redrive is about, by reason.
    asked: BTreeMap<String, Asked>,
    /// All records of an object that was set aside as a whole.
    tally: Tally,
    /// Their bytes.
    bytes: u64,
    /// The object could not be read to its end.
    damaged: bool,
}

/// What was found of one object's records with the same reason.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    /// What each is by itself.
    tries: Tries,
    /// Of those that pass, the ones that are none for the table.
    dropped: u64,
    /// Failures that are news.
    news: u64,
    /// Rows that would be news as set aside.
    news_aside: u64,
}

/// What was found in a partition's quarantine.
#[derive(Debug, Default)]
pub struct Findings {
    objects: BTreeMap<String, Found>,
}

/// What a redrive does to a partition.
#[derive(Debug, PartialEq)]
pub struct Decision {
    /// What is tried, and how it is entered.
    pub redrive: Redrive,
    /// What becomes of the records, by the reason that they have so far.
    pub reasons: BTreeMap<String, Tries>,
    /// Records that fail again, and of which that is news.
    pub news: u64,
}

impl Decision {
    /// True if anything in the partition changes.
    pub fn changes(&self) -> bool {
        self.news > 0 || self.reasons.values().any(|tries| tries.passes > 0)
    }
}

/// What is tried to find out what a redrive comes to: the records that it is about, and all those of objects that were set aside as a
/// whole, as it depends on all of them whether one may pass.
pub fn trial(head: &LedgerVersion, reason: Option<Code>, tried: &str, at: i64) -> Redrive {
    let rejected = head.sources.iter().filter(|source| source.rejected.is_some());
    let wholly = rejected.map(|source| source.key.clone()).collect();
    Redrive { reason, wholly, tried: tried.to_string(), at, ..Redrive::default() }
}

impl Findings {
    /// Enters what came of trying the records of a batch of the quarantine.
    ///
    /// # Errors
    /// `Data` if the batch is not of a quarantine.
    pub fn enter(&mut self, batch: &RecordBatch, verdicts: &[Option<Verdict>], trial: &Redrive) -> Result<()> {
        let records = Records::of(batch)?;
        for (row, verdict) in verdicts.iter().enumerate() {
            let kept = records.get(row);
            let found = self.objects.entry(kept.object.to_string()).or_default();
            if !kept.resolved && trial.wholly.contains(kept.object) {
                found.weigh(&kept, verdict.as_ref());
            }
            if !trial.is_asked(&kept) {
                continue;
            }
            let name = kept.reason.as_ref().map_or("unknown", |reason| reason.code.as_str());
            let asked = found.asked.entry(name.to_string()).or_default();
            let is_news = |reason: &Reason| u64::from(records.is_new(row, reason, &trial.tried));
            asked.tries.records += u64::from(!kept.resolved);
            match verdict {
                None => asked.tries.resolved += 1,
                Some(Verdict::Row) => {
                    asked.tries.passes += 1;
                    asked.news_aside += is_news(&still_set_aside());
                }
                Some(Verdict::Dropped) => {
                    asked.tries.passes += 1;
                    asked.dropped += 1;
                }
                Some(Verdict::Fails(reason)) => {
                    asked.tries.fails += 1;
                    asked.news += is_news(reason);
                }
                Some(Verdict::NotKept) => asked.tries.not_kept += 1,
                Some(Verdict::Left) => asked.tries.left += 1,
            }
        }
        Ok(())
    }

    /// Decides what to do. An object that was set aside as a whole stays so while too many of its records are bad, or if it is damaged.
    pub fn decide(self, trial: Redrive, max_ratio: f64) -> Decision {
        let (mut set_aside, mut damaged, mut reasons, mut news) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new(), 0);
        for (key, found) in self.objects {
            let fate = match trial.wholly.contains(&key) {
                true if found.damaged => Fate::Damaged,
                true if found.is_too_bad(max_ratio) => Fate::SetAside,
                _ => Fate::In,
            };
            for (reason, asked) in found.asked {
                let (tries, of_reason) = asked.within(fate);
                news += of_reason;
                let all: &mut Tries = reasons.entry(reason).or_default();
                *all = [*all, tries].into_iter().sum();
            }
            match fate {
                Fate::Damaged => drop(damaged.insert(key)),
                Fate::SetAside => drop(set_aside.insert(key)),
                Fate::In => {}
            }
        }
        Decision { redrive: Redrive { wholly: BTreeSet::new(), set_aside, damaged, ..trial }, reasons, news }
    }
}

impl Asked {
    /// What becomes of the records in an object of that fate, and how much of it is news: the same that
    /// [`judge`](crate::standardize::kept::judge) finds once the fate is known.
    fn within(self, fate: Fate) -> (Tries, u64) {
        let Self { tries, dropped, news, news_aside } = self;
        let Tries { records, passes, fails, resolved, .. } = tries;
        match fate {
            Fate::In => (tries, news),
            Fate::SetAside => (Tries { passes: dropped, fails: fails + passes - dropped, ..tries }, news + news_aside),
            Fate::Damaged => (Tries { records, left: records, resolved, ..Tries::default() }, 0),
        }
    }
}

impl Found {
    /// Counts a record as good or bad. One that cannot be tried is what it was.
    fn weigh(&mut self, kept: &Kept<'_>, verdict: Option<&Verdict>) {
        let before = kept.reason.as_ref().map(|reason| reason.code);
        self.damaged |= before == Some(Code::DamagedObject);
        self.bytes += kept.length;
        let is_good = match verdict {
            Some(Verdict::Row) => true,
            Some(Verdict::Dropped) => return,
            Some(Verdict::Fails(_)) => false,
            Some(Verdict::NotKept | Verdict::Left) | None => before == Some(Code::SetAside),
        };
        if is_good {
            self.tally.rows += 1;
            return;
        }
        self.tally.rejected += 1;
        self.tally.rejected_bytes += kept.length;
        let today = if let Some(Verdict::Fails(reason)) = verdict { Some(reason.code) } else { before };
        if today == Some(Code::Malformed) {
            self.tally.malformed += 1;
            self.tally.malformed_bytes += kept.length;
        }
    }

    fn is_too_bad(&self, max_ratio: f64) -> bool {
        self.tally.are_too_many(self.bytes, max_ratio)
    }
}

/// Objects that were set aside as a whole in `head`, and are so no more in the version that follows.
pub fn came_in<'h>(head: &'h LedgerVersion, next: &LedgerVersion) -> Vec<&'h Source> {
    let is_in = |source: &&Source| next.source(&source.key).is_some_and(|now| now.rejected.is_none());
    head.sources.iter().filter(|source| source.rejected.is_some()).filter(is_in).collect()
}

/// What decides whether a record fits: the columns, the rules, the settings of the table.
pub fn fingerprint_of(config: &TableConfig, schema: &TableSchema) -> String {
    let TableConfig { format, unwrap, new_columns, rules, max_ratio, .. } = config;
    let settings = format!("{format:?} {unwrap:?} {new_columns:?} {rules:?} {max_ratio:?}");
    let digest = Sha256::digest(format!("{}\n{settings}", fingerprint(&schema.columns)));
    hex(&digest, 8)
}

/// True if a partition is one of that place: all partitions of its hour, but for those that what stands beside the hour rules out.
///
/// # Errors
/// `Config` if a key beside the hour is none of the table's that stand there.
pub fn is_at(config: &TableConfig, partition: &PartitionId, place: &Place) -> Result<bool> {
    let of_path = |key: &str| config.partition_by.iter().any(|(name, expression)| name == key && !expression.is_of_time());
    if let Some((key, _)) = place.beside.iter().find(|(key, _)| !of_path(key)) {
        return Err(Error::config(format!("{}: `{key}` is no partition key that stands beside the hour; leave it out", config.name)));
    }
    for (entry, (key, expression)) in partition.entries().iter().zip(&config.partition_by) {
        let fits = match place.beside.iter().find(|(name, _)| name == key) {
            Some((_, value)) => entry.value == *value,
            None if of_path(key) => true,
            None => entry.value == expression.format(place.hour, &BTreeMap::new())?,
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::testing::table;
    use crate::ledger::testing::{source, version};
    use crate::standardize::reject::{Reject, to_batch};

    /// What a redrive of one object's records comes to: of each its reason and what it is today (`+` a row, `-` not, `?` not kept).
    fn decided(records: &[(Code, char)], asked: Option<Code>, rejected: bool, max_ratio: f64) -> String {
        let rejects: Vec<Reject> = records.iter().map(|(code, _)| reject(*code)).collect();
        let mut of = source("14", "a");
        of.rejected = rejected.then(|| "many of its records are bad".to_string());
        let head = version("14", 1, vec![of]);
        let trial = trial(&head, asked, "r1", 7);
        let batch = to_batch("14/a", &rejects).unwrap();
        let records_of = Records::of(&batch).unwrap();
        let verdicts: Vec<Option<Verdict>> = records
            .iter()
            .enumerate()
            .map(|(row, (code, today))| {
                let tried = rejected || trial.is_asked(&records_of.get(row));
                let verdict = match today {
                    '+' => Verdict::Row,
                    '-' => Verdict::Fails(Reason::new(*code, "n", "still".into())),
                    '?' => Verdict::NotKept,
                    _ => Verdict::Left,
                };
                tried.then_some(verdict)
            })
            .collect();
        let mut findings = Findings::default();
        findings.enter(&batch, &verdicts, &trial).unwrap();
        let decision = findings.decide(trial, max_ratio);
        let line =
            |(reason, tries): (&String, &Tries)| format!("{reason} {}+ {}- {}? {}!", tries.passes, tries.fails, tries.not_kept, tries.left);
        let reasons: Vec<String> = decision.reasons.iter().map(line).collect();
        let object = if !decision.redrive.damaged.is_empty() {
            "damaged"
        } else if !decision.redrive.set_aside.is_empty() {
            "set aside"
        } else {
            "in"
        };
        format!("{}; {object}, {} news, {}", reasons.join(", "), decision.news, if decision.changes() { "changes" } else { "nothing" })
    }

    fn reject(code: Code) -> Reject {
        Reject { offset: 0, length: 10, raw: Some(b"{}".to_vec()), redacted: false, reason: Reason::new(code, "n", "before".into()) }
    }

    #[test]
    fn records_are_judged_one_by_one_unless_their_object_was_set_aside() {
        use Code::{DamagedObject, Malformed, Rule, SetAside, Type};
        let check = |records: &[(Code, char)], asked, rejected, max_ratio, expected: &str| {
            assert_eq!(decided(records, asked, rejected, max_ratio), expected, "{records:?}");
        };
        let two = [(Rule, '+'), (Type, '-')];
        check(&two, None, false, 0.5, "rule_broken 1+ 0- 0? 0!, type_mismatch 0+ 1- 0? 0!; in, 1 news, changes");
        check(&two, Some(Rule), false, 0.0, "rule_broken 1+ 0- 0? 0!; in, 0 news, changes");
        check(
            &[(Malformed, '!'), (Rule, '?')],
            None,
            false,
            0.5,
            "malformed_json 0+ 0- 0? 1!, rule_broken 0+ 0- 1? 0!; in, 0 news, nothing",
        );
        let aside = [(Rule, '+'), (Rule, '-'), (Type, '-'), (SetAside, '+')];
        check(
            &aside,
            None,
            true,
            0.5,
            "object_set_aside 1+ 0- 0? 0!, rule_broken 1+ 1- 0? 0!, type_mismatch 0+ 1- 0? 0!; in, 2 news, changes",
        );
        check(
            &aside,
            None,
            true,
            0.4,
            "object_set_aside 0+ 1- 0? 0!, rule_broken 0+ 2- 0? 0!, type_mismatch 0+ 1- 0? 0!; set aside, 4 news, changes",
        );
        // All of an object's records decide, also those that are not asked for.
        check(&aside, Some(SetAside), true, 0.4, "object_set_aside 0+ 1- 0? 0!; set aside, 1 news, changes");
        check(&aside, Some(SetAside), true, 0.5, "object_set_aside 1+ 0- 0? 0!; in, 0 news, changes");
        // One that cannot be tried is what it was.
        check(&[(SetAside, '?'), (Rule, '+'), (Rule, '?')], Some(Rule), true, 0.4, "rule_broken 1+ 0- 1? 0!; in, 0 news, changes");
        check(
            &[(Rule, '+'), (DamagedObject, '!')],
            None,
            true,
            1.0,
            "damaged_object 0+ 0- 0? 1!, rule_broken 0+ 0- 0? 1!; damaged, 0 news, nothing",
        );
    }

    #[test]
    fn what_is_decided_is_what_comes_of_it() {
        use crate::standardize::kept::judge;
        let column = |name: &str, hive| crate::schema::Column { name: name.into(), hive, comment: None };
        let columns = vec![column("id", crate::schema::HiveType::String), column("n", crate::schema::HiveType::Int)];
        let schema = TableSchema { columns, partition_keys: vec![] };
        let config = table("format = \"cloudwatch-logs\"\n[table.evolution]\nnew_columns = \"ignore\"");
        let today = crate::standardize::Plan::new(&schema, &config.rules, config.new_columns, config.max_ratio).unwrap();
        let today = crate::standardize::Plan { format: config.format, ..today };
        let document = |kind: &str, n: &str| {
            format!("{{\"messageType\":\"{kind}\",\"logEvents\":[{{\"id\":\"a\",\"message\":\"{{\\\"n\\\":{n}}}\"}}]}}").into_bytes()
        };
        let whole = |raw: Vec<u8>| Reject { raw: Some(raw), ..reject(Code::NotCloudwatch) };
        let rejects = [
            whole(document("CONTROL_MESSAGE", "1")),
            whole(document("DATA_MESSAGE", "1")),
            whole(document("DATA_MESSAGE", "true")),
            whole(b"{}".to_vec()),
            Reject { raw: None, ..reject(Code::Rule) },
            reject(Code::Malformed),
        ];
        let batch = to_batch("14/a", &rejects).unwrap();
        for (max_ratio, damaged, expected) in [(1.0, false, [2, 2, 1, 1]), (0.1, false, [1, 3, 1, 1]), (1.0, true, [0, 0, 0, 6])] {
            let head = version("14", 1, vec![crate::ledger::Source { rejected: Some("bad".into()), ..source("14", "a") }]);
            let trial = trial(&head, None, "r1", 7);
            let mut findings = Findings::default();
            findings.enter(&batch, &judge(&today, &batch, &trial).unwrap().verdicts, &trial).unwrap();
            findings.objects.values_mut().for_each(|found| found.damaged = damaged);
            let decision = findings.decide(trial, max_ratio);
            let planned: Tries = decision.reasons.values().copied().sum();
            let mut done = Tries::default();
            for verdict in judge(&today, &batch, &decision.redrive).unwrap().verdicts {
                let slot = match verdict.unwrap() {
                    Verdict::Row | Verdict::Dropped => &mut done.passes,
                    Verdict::Fails(_) => &mut done.fails,
                    Verdict::NotKept => &mut done.not_kept,
                    Verdict::Left => &mut done.left,
                };
                *slot += 1;
            }
            assert_eq!([planned.passes, planned.fails, planned.not_kept, planned.left], expected, "{max_ratio} {damaged}");
            assert_eq!(Tries { records: 6, ..done }, planned, "{max_ratio} {damaged}");
        }
    }

    #[test]
    fn a_place_is_all_partitions_of_its_hour_or_one() {
        let config = table(
            "prefix = \"c=!{partitionKeyFromQuery:c}/!{timestamp:yyyy/MM/dd/HH}/\"\npartition_by = \"c=!{partitionKeyFromQuery:c}/at=!{timestamp:yyyyMMddHH}\"\n",
        );
        let check = |partition: &str, place: &str| is_at(&config, &partition.parse().unwrap(), &place.parse().unwrap());
        for (partition, place, expected) in [
            ("c=eu/at=2026111914", "2026-11-19T14", true),
            ("c=us/at=2026111914", "2026-11-19T14", true),
            ("c=eu/at=2026111915", "2026-11-19T14", false),
            ("c=eu/at=2026111914", "2026-11-19T14/c=eu", true),
            ("c=us/at=2026111914", "2026-11-19T14/c=eu", false),
        ] {
            assert_eq!(check(partition, place).unwrap(), expected, "{partition} {place}");
        }
        assert!(check("c=eu/at=2026111914", "2026-11-19T14/at=2026111914").is_err());
    }

    #[test]
    fn other_columns_and_rules_have_another_fingerprint() {
        let schema = |name: &str| TableSchema {
            columns: vec![crate::schema::Column { name: name.into(), hive: crate::schema::HiveType::Int, comment: None }],
            partition_keys: vec![],
        };
        let of = |settings: &str, name: &str| fingerprint_of(&table(settings), &schema(name));
        let same = [of("", "n"), of("lookback = \"3h\"", "n"), of("[table.merge]\nsort_by = [\"n\"]", "n")];
        assert!(same.iter().all(|one| *one == same[0]), "{same:?}");
        let mut others = vec![
            of("", "n"),
            of("", "m"),
            of("unwrap = \"r\"", "n"),
            of("[table.columns.n]\nmax = 5", "n"),
            of("[table.columns.n]\nmax = 6", "n"),
            of("[table.quarantine]\nmax_ratio = 0.1", "n"),
        ];
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 6);
    }
}
