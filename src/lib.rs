//! lakebed keeps plain Parquet tables complete, right-sized and correct, from what Amazon Data Firehose lands.

pub mod catalog;
pub mod clock;
pub mod config;
pub mod engine;
pub mod error;
pub mod generate;
pub mod hour;
pub mod landing;
pub mod layout;
pub mod ledger;
pub mod query;
pub mod schema;
pub mod standardize;
pub mod store;
