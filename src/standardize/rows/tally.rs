//! What became of the records of an object, in numbers.

/// What became of the records of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records found.
    pub read: u64,
    /// Records that became rows.
    pub rows: u64,
    /// Records that were rejected.
    pub rejected: u64,
    /// Records that are none for the table, by the format's own rule.
    pub dropped: u64,
    /// Values that broke a rule whose `on_fail` is `warn` or `null`.
    pub warned: u64,
    /// Bytes of the rejected records, and of those among them that are no JSON.
    pub rejected_bytes: u64,
    /// See `rejected_bytes`.
    pub malformed_bytes: u64,
    /// The rejected records that are no JSON.
    pub malformed: u64,
    /// Records that are longer than a record may be: their bytes are in the landing alone.
    pub oversized: u64,
}

impl Tally {
    /// How many records are bad in an object of `bytes` bytes, as far as one can tell: bytes that are no JSON may hold many records
    /// that nothing known separates, so where they have room for a hundred records of the object, they count as that many.
    pub fn bad(&self, bytes: u64) -> u64 {
        let usual = bytes.saturating_sub(self.rejected_bytes).checked_div(self.rows).unwrap_or(0).max(1);
        match self.malformed_bytes / usual {
            many @ 100.. if self.rows > 0 => self.rejected - self.malformed + many.max(self.malformed),
            _ => self.rejected,
        }
    }

    /// True if more than that share of the records of an object of `bytes` bytes is bad: then the good ones do not count either.
    pub fn are_too_many(&self, bytes: u64, max_ratio: f64) -> bool {
        let (bad, good) = (self.bad(bytes), self.rows);
        bad > 0 && bad as f64 / (bad + good) as f64 > max_ratio
    }
}
