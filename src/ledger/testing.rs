//! Ledger versions for unit tests.

use super::{Counts, DataFile, FORMAT, Generation, LedgerVersion, Operation, Source};
use crate::catalog::TableName;
use crate::layout::{GenerationId, PartitionId};

/// A source of ten rows in hour 2026-11-19T`hour`, with the key `hour/name`, etag `e` and size 100.
pub(crate) fn source(hour: &str, name: &str) -> Source {
    Source {
        key: format!("{hour}/{name}"),
        hour: format!("2026-11-19T{hour}").parse().unwrap(),
        etag: "e".into(),
        size: 100,
        late: false,
        counts: Counts { read: 10, merged: 10, ..Counts::default() },
        rejected: None,
        came: None,
    }
}

/// The partition of one hour, as `year=2026/month=11/day=19/hour=14`.
pub(crate) fn partition(hour: &str) -> PartitionId {
    format!("year=2026/month=11/day=19/hour={hour}").parse().unwrap()
}

/// A version of the partition of 2026-11-19T`hour`: the first one creates, the others amend.
pub(crate) fn version(hour: &str, number: u64, sources: Vec<Source>) -> LedgerVersion {
    let counts: Counts = sources.iter().map(|source| source.counts).sum();
    let id = GenerationId { number, attempt: "01J00000000000000000000000".into() };
    let location = format!("file:///lake/{}/{id}/", partition(hour));
    let files = vec![DataFile { name: "part-00000.parquet".into(), rows: counts.merged, bytes: 1000 }];
    LedgerVersion {
        format: FORMAT,
        table: TableName { database: "shop".into(), name: "clicks".into() },
        partition: partition(hour),
        version: number,
        attempt: id.attempt.clone(),
        run: "01J00000000000000000000001".into(),
        at: "2026-11-19T20:00:00Z".parse().unwrap(),
        operation: if number == 1 { Operation::Create } else { Operation::Amend },
        generation: Generation { id, location, files },
        from_merged: false,
        rolled_back: None,
        quarantine: None,
        columns: vec![],
        schema: "e3b0c44298fc1c14".into(),
        sources,
        counts,
        held: vec![],
        amended: number - 1,
        missing: vec![],
        retired: vec![],
        redriven: vec![],
    }
}

/// A version without sources and files, such as one that only closes a partition that there was not.
pub(crate) fn empty(hour: &str, number: u64) -> LedgerVersion {
    let made = version(hour, number, vec![]);
    LedgerVersion { generation: Generation { files: vec![], ..made.generation }, ..made }
}
