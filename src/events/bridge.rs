//! Sends events to a bus of Amazon EventBridge.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use super::{Event, EventSink};
use crate::error::{Error, Result, aws};

/// What the events' `source` is, by which rules choose.
pub const SOURCE: &str = "lakebed";

/// Entries that one call of PutEvents may have.
const ENTRIES: usize = 10;

/// Bytes that all entries of a call may have together (EventBridge: 256 KiB, each entry's detail and names counted).
const BYTES: usize = 200_000;

/// Calls for a batch before it is given up, and the pause after the first, doubled with each one.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);

/// One bus.
#[derive(Debug, Clone)]
pub struct Bridge {
    client: Client,
    bus: String,
}

impl Bridge {
    /// The bus of that name or ARN, in the account and region that `sdk` names.
    pub fn new(sdk: &SdkConfig, bus: &str) -> Self {
        let retry = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        let timeout = TimeoutConfig::builder().operation_timeout(Duration::from_secs(60)).build();
        let config = aws_sdk_eventbridge::config::Builder::from(sdk).retry_config(retry).timeout_config(timeout).build();
        Self { client: Client::from_conf(config), bus: bus.to_string() }
    }

    fn entry(&self, event: &Event) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder().source(SOURCE).detail_type(event.name()).detail(event.detail()).event_bus_name(&self.bus).build()
    }

    /// Sends one batch. EventBridge answers for each entry on its own inside an HTTP 200, and those that it did not take are sent again.
    async fn send_batch(&self, events: &[&Event]) -> Result<()> {
        let mut entries: Vec<_> = events.iter().map(|event| self.entry(event)).collect();
        let mut refusal = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * 2u32.pow(attempt)).await;
            }
            let sent = self.client.put_events().set_entries(Some(entries.clone())).send().await.map_err(|e| self.explain(&e))?;
            let refused =
                |(_, answer): &(PutEventsRequestEntry, &aws_sdk_eventbridge::types::PutEventsResultEntry)| answer.error_code.is_some();
            let left: Vec<_> = entries.into_iter().zip(sent.entries()).filter(refused).collect();
            let Some((_, answer)) = left.first() else { return Ok(()) };
            refusal = format!("{} {}", answer.error_code().unwrap_or_default(), answer.error_message().unwrap_or_default());
            entries = left.into_iter().map(|(entry, _)| entry).collect();
        }
        let count = entries.len();
        Err(Error::unavailable(format!("bus `{}` does not take {count} events: {}; the next run sends them", self.bus, refusal.trim_end())))
    }

    fn explain<E, R>(&self, error: &SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let what = format!("bus `{}`", self.bus);
        aws::explain("events:PutEvents", &what, error, |refusal| match refusal.code {
            "ResourceNotFoundException" => {
                Some(Error::config(format!("{what} does not exist: {}; create it, or correct `events.bus`", refusal.message)))
            }
            _ => None,
        })
    }
}

#[async_trait]
impl EventSink for Bridge {
    async fn send(&self, events: &[Event]) -> Result<()> {
        for batch in batches(events) {
            self.send_batch(&batch).await?;
        }
        Ok(())
    }
}

/// Events in their order, in batches that one call takes.
fn batches(events: &[Event]) -> Vec<Vec<&Event>> {
    let mut batches: Vec<Vec<&Event>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.detail().len() + event.name().len() + SOURCE.len();
        match batches.last_mut().filter(|batch| batch.len() < ENTRIES && bytes + size <= BYTES) {
            Some(batch) => batch.push(event),
            None => {
                batches.push(vec![event]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Failed;

    #[test]
    fn a_batch_has_ten_events_and_no_more_bytes_than_a_call_takes() {
        let failed =
            |error: &str| Failed { table: crate::catalog::TableName::parse("shop.clicks").unwrap(), partition: None, error: error.into() };
        let event = |count: usize| {
            let failures = vec![failed(&"x".repeat(2000)); count];
            Event::of_failures("01J", "2026-11-19T15:20:00Z", 1, failures.into_iter(), 0)
        };
        let check = |events: &[Event], expected: &[usize]| {
            let sizes: Vec<usize> = batches(events).iter().map(Vec::len).collect();
            assert_eq!(sizes, expected);
        };
        check(&[], &[]);
        check(&vec![event(1); 23], &[10, 10, 3]);
        // As large as a run that failed can make it, about 60 KB: three of them are a batch.
        check(&vec![event(500); 4], &[3, 1]);
        assert!(event(500).detail().len() < 64_000);
    }
}
