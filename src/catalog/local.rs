//! The embedded catalog: SQLite.
