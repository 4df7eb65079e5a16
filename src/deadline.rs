//! The time of a call that is cut off at its end, as AWS Lambda does it, and how a run shares it out.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;

/// No other hour is begun in the last part of the time: one in this many. What is under way then has it to end, and to be shown.
const LAST: i32 = 4;

/// What is merged is shown and told whenever such a part of the time is over: then the end cuts off the showing of few hours.
const BETWEEN: i32 = 8;

/// No other event is sent in the last part of the time: one in this many.
const SPARE: i32 = 20;

/// Why an hour is left to a later run.
pub fn too_late() -> Error {
    Error::unavailable("the time for this run was over before this hour began; run again")
}

/// From when to when a call has time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    begun: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Deadline {
    /// A call that began at `begun` and is cut off at `end`.
    pub fn new(begun: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self { begun, end }
    }

    /// True as long as another hour, or another object, may be begun.
    pub fn may_begin(&self, now: DateTime<Utc>) -> bool {
        now < self.end - self.part(LAST)
    }

    /// True as long as another event may be sent.
    pub fn may_tell(&self, now: DateTime<Utc>) -> bool {
        now < self.end - self.part(SPARE)
    }

    /// True if what was merged since `shown`, when all was shown last, is to be shown now.
    pub fn has_to_show(&self, shown: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now - shown >= self.part(BETWEEN)
    }

    fn part(&self, of: i32) -> TimeDelta {
        (self.end - self.begun).max(TimeDelta::zero()) / of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_for_merging_first_then_for_telling() {
        let begun: DateTime<Utc> = "2026-11-19T15:00:00Z".parse().unwrap();
        let after = |seconds: i64| begun + TimeDelta::seconds(seconds);
        let deadline = Deadline::new(begun, after(400));
        for (seconds, begins, tells) in [(0, true, true), (299, true, true), (300, false, true), (379, false, true), (380, false, false)] {
            let now = after(seconds);
            assert_eq!((deadline.may_begin(now), deadline.may_tell(now)), (begins, tells), "{seconds}");
        }
        assert!(!deadline.has_to_show(after(10), after(59)) && deadline.has_to_show(after(10), after(60)));
        let over = Deadline::new(begun, after(-1));
        assert!(!over.may_begin(begun) && !over.may_tell(begun));
    }
}
