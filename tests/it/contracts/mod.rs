//! What every adapter of a port must do, port by port.

pub mod catalog;
pub mod ledger;
