//! The one integration binary: contracts of the ports, and what the whole promises.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test says what went wrong by failing")]

mod append;
mod aws;
mod cli;
mod contracts;
mod deadline;
mod failing;
mod faults;
mod formats;
mod fuzz;
mod golden;
mod kill;
mod memory;
mod model;
mod query;
mod races;
mod readers;
mod readers_loop;
mod samples;
mod semantics;
mod support;
mod tidy;
