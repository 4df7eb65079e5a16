//! lakebed keeps plain Parquet tables complete, right-sized and correct, from what Amazon Data Firehose lands.
//!
//! ```text
//! landing ─► discover ─► standardize ─► merge ─► ledger version ─► reconcile ─► catalog ─► query
//!                             │                    the commit        a projection
//!                             └─► quarantine, part of the same version
//! ```
//!
//! Values go one way: [`LandedObject`](landing::LandedObject) → [`Piece`](standardize::Piece)s →
//! [`PartitionPlan`](merge::plan::PartitionPlan) → [`Generation`](ledger::Generation) → [`LedgerVersion`](ledger::LedgerVersion) →
//! [`CatalogChange`](catalog::reconcile::CatalogChange). Stages never call back.
//!
//! What always holds (`docs/semantics.md` has the promises, each with its test):
//!
//! 1. Every record that was read is a row, a quarantined record, a duplicate or dropped by a rule; a version that does not balance is
//!    not committed.
//! 2. A landed object is in a partition once, because the ledger names it; nothing else decides that.
//! 3. Files are written once, into a folder that one attempt alone uses, and never changed or added to.
//! 4. Only a ledger version makes files exist. It is made by creating the next number, which one writer alone can do.
//! 5. The catalog follows the ledgers and never the other way round.
//! 6. Nothing is ever written to a landing.
//!
//! The modules stand below in the order of the flow.

// What users write, and where things are.
pub mod config;
pub mod layout;
pub mod store;
// From landed objects to rows.
pub mod landing;
pub mod schema;
pub mod standardize;
// From rows to committed, registered partitions.
pub mod catalog;
pub mod ledger;
pub mod failing;
pub mod merge;
pub mod queue;
pub mod scatter;
pub mod migrate;
pub mod named;
pub mod pipeline;
pub mod redrive;
pub mod repair;
pub mod retry;
pub mod rollback;
pub mod status;
pub mod summary;
pub mod sweep;
// Telling others.
pub mod announce;
pub mod events;
// Reading, and making data to read.
pub mod engine;
pub mod generate;
pub mod query;
// The program.
pub mod app;
pub mod cli;
pub mod commands;
// What everything speaks in.
pub mod clock;
pub mod deadline;
pub mod error;
pub mod hour;
pub mod words;
