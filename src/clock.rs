//! Where time and ids come from: the system in production, fixed values in tests.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use ulid::Ulid;

/// The source of the current time and of new ids.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> DateTime<Utc>;

    /// A new ULID: the id of a run or of an attempt.
    fn new_id(&self) -> String;
}

/// When a run or an attempt began, UTC: its id tells. `None` if that is no ULID.
pub fn began(id: &str) -> Option<DateTime<Utc>> {
    let milliseconds = Ulid::from_string(id).ok()?.timestamp_ms();
    DateTime::from_timestamp_millis(i64::try_from(milliseconds).ok()?)
}

/// The machine's clock and random ids.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask the machine")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that may ask the machine")]
    fn new_id(&self) -> String {
        Ulid::generate().to_string()
    }
}

/// A clock that stands still and counts its ids, for tests.
#[derive(Debug)]
pub struct FixedClock {
    now: DateTime<Utc>,
    ids: Mutex<u128>,
}

impl FixedClock {
    /// A clock that always says `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self { now, ids: Mutex::new(0) }
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.now
    }

    fn new_id(&self) -> String {
        let mut next = self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *next += 1;
        Ulid::from(*next).to_string()
    }
}
