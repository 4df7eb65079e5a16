//! The one integration binary: contracts of the ports, and what the whole promises.

mod contracts;
mod query;
mod support;
mod tidy;
