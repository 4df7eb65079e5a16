//! When to ask the catalog again after it refused for the moment: pauses that grow and differ, up to a budget.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// The first pause at most; each one after it may be twice as long, up to `SLOWEST`.
const FIRST: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(10);

/// All pauses together: what is refused for longer is left to the next run.
const BUDGET: Duration = Duration::from_secs(60);

/// As `BUDGET`, of what is tried once more by the same run.
const BRIEF: Duration = Duration::from_secs(1);

/// The pauses of one piece of work.
#[derive(Debug)]
pub struct Pace {
    pauses: u32,
    paused: Duration,
    budget: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pauses: 0, paused: Duration::ZERO, budget: BUDGET }
    }
}

impl Pace {
    /// For what is tried once more later on, and must not keep the run from its work.
    pub fn brief() -> Self {
        Self { budget: BRIEF, ..Self::default() }
    }

    /// Waits before the catalog is asked again. False if it was waited for long enough.
    pub async fn wait(&mut self) -> bool {
        let pause = self.next(RandomState::new().hash_one(self.pauses) as f64 / u64::MAX as f64);
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        pause.is_some()
    }

    /// The next pause: between the half and the whole of what it may be, so that runs that were refused together do not come together again.
    /// `part` says where between, from 0 to 1.
    fn next(&mut self, part: f64) -> Option<Duration> {
        if self.paused >= self.budget {
            return None;
        }
        let longest = FIRST.saturating_mul(2u32.saturating_pow(self.pauses)).min(SLOWEST);
        let pause = longest.mul_f64(0.5 + part / 2.0).min(self.budget - self.paused);
        self.pauses += 1;
        self.paused += pause;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(part: f64) -> Vec<u128> {
        let mut pace = Pace::default();
        std::iter::from_fn(|| pace.next(part)).map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn what_is_tried_later_on_pauses_briefly() {
        let mut pace = Pace::brief();
        let pauses: Vec<Duration> = std::iter::from_fn(|| pace.next(1.0)).collect();
        assert_eq!(pauses.iter().sum::<Duration>(), BRIEF);
        assert_eq!(pauses.len(), 4);
    }

    #[test]
    fn pauses_grow_and_differ_and_end() {
        let (shortest, longest) = (all(0.0), all(1.0));
        assert_eq!(shortest[..8], [50, 100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(longest[..8], [100, 200, 400, 800, 1600, 3200, 6400, 10000]);
        for pauses in [shortest, longest] {
            assert_eq!(pauses.iter().sum::<u128>(), BUDGET.as_millis());
        }
    }
}
