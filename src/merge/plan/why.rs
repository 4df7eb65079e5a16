//! Why a landed object is taken or left, in the words that people and programs read. No I/O.

use std::fmt;

/// Why a run takes a landed object, or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Nothing of its partition was merged yet.
    New,
    /// Its partition was merged before it came.
    Late,
    /// It was set aside as a whole, and has another content now: none of it is in the table, so nothing can come twice.
    Replaced,
    /// A run before wrote down which rows of it belong where, and some partitions lack theirs.
    Begun,
    /// It is in its partition, with this content.
    Merged,
    /// It is in its partition, with another content: only a repair takes that in.
    Changed,
    /// All of it is in the quarantine, with this content.
    SetAside,
    /// A rollback took it out: no run undoes that.
    Held,
    /// Its hour is not over, or not for long enough.
    Open,
    /// Merging its hour fails, and it is not the time yet to try again.
    Waiting,
    /// What is in its partition cannot be read now.
    Unreadable,
    /// A repair is giving its rows other places.
    Moving,
    /// Some partitions have their rows of it, and what the others lack cannot be had.
    Stuck,
}

impl Why {
    /// True if it is taken.
    pub fn takes(self) -> bool {
        matches!(self, Self::New | Self::Late | Self::Replaced | Self::Begun)
    }

    /// The reason in words, which stay as they are: programs read them.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Late => "late",
            Self::Replaced => "set aside before, and written again since",
            Self::Begun => "begun before",
            Self::Merged => "already merged",
            Self::Changed => "changed since it was merged",
            Self::SetAside => "set aside before",
            Self::Held => "taken out by a rollback",
            Self::Open => "hour still open",
            Self::Waiting => "hour fails, and is tried again later",
            Self::Unreadable => "ledger cannot be read",
            Self::Moving => "a repair is moving its rows",
            Self::Stuck => "begun before, and cannot go on",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
