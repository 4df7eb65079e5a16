//! lakebed keeps plain Parquet tables complete, right-sized and correct, from what Amazon Data Firehose lands.

pub mod app;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod engine;
pub mod error;
pub mod generate;
pub mod hour;
pub mod landing;
pub mod layout;
pub mod ledger;
pub mod merge;
pub mod migrate;
pub mod pipeline;
pub mod query;
pub mod schema;
pub mod standardize;
pub mod status;
pub mod store;
pub mod summary;
