//! Athena DDL.
