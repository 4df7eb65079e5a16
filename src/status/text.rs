//! The state of a table, for people.

use super::{Failing, Gap, HourStatus, Moving, TableStatus};
use crate::failing::minute;
use crate::landing::cadence;
use crate::ledger::RolledBack;
use crate::words::{counted, span};

impl HourStatus {
    /// `2026-11-19T14`, and for tables with more partition keys `2026-11-19T14/page=books`.
    fn name(&self) -> String {
        if self.beside.is_empty() { self.hour.to_string() } else { format!("{}/{}", self.hour, self.beside) }
    }

    /// What is to be known of it beside its numbers, a line each.
    fn write_notes(&self, text: &mut String) {
        if let Some(late) = self.late_by {
            text.push_str(&format!("  the last object came {} after its end\n", span(late)));
        }
        if let Some(RolledBack { from, to, at }) = &self.rolled_back {
            text.push_str(&format!("  rolled back from {from} to {to} at {}\n", minute(*at)));
        }
        if self.held > 0 {
            text.push_str(&format!("  objects that a rollback took out: {}\n", self.held));
        }
        let Moving { moving, lost } = self.moving;
        if moving > lost {
            text.push_str(&format!("  rows that a redrive moved here, which the next run merges: {}\n", moving - lost));
        }
        if lost > 0 {
            text.push_str(&format!("  rows that a redrive moved here, and whose file is gone: {lost}; `lakebed run` says what to do\n"));
        }
        if let Some(Failing { standing, reason }) = &self.failing {
            text.push_str(&format!("  {}: {reason}\n", standing.to_text()));
        }
        for missing in &self.missing {
            text.push_str(&format!("  {}: {}\n", missing.key, missing.reason));
        }
    }
}

impl TableStatus {
    /// The state for people.
    pub fn to_text(&self) -> String {
        let fresh = match (self.fresh_until, self.fresh_for) {
            (Some(until), Some(seconds)) => {
                format!("fresh until {} (the newest complete hour ended {} ago)", until.format("%Y-%m-%dT%H:%MZ"), span(seconds))
            }
            _ if self.hours.iter().all(|hour| hour.merged == 0) => "nothing merged yet".to_string(),
            _ => "no hour is complete".to_string(),
        };
        let absent = if self.in_catalog { "" } else { "; not in the catalog yet, the first run creates it" };
        let mut text = format!("{}: {fresh}, {}, {} quarantined{absent}\n", self.table, counted(self.rows, "row"), self.quarantined);
        let width = self.hours.iter().map(|hour| hour.name().chars().count()).max().unwrap_or(0).max(14);
        if !self.hours.is_empty() {
            text.push_str(&format!(
                "{:<width$} {:<12} {:>7} {:>6} {:>7} {:>10} {:>11} {:>10}  complete\n",
                "hour", "state", "objects", "late", "pending", "rows", "quarantined", "duplicates"
            ));
        }
        for hour in &self.hours {
            text.push_str(&format!(
                "{:<width$} {:<12} {:>7} {:>6} {:>7} {:>10} {:>11} {:>10}  {}\n",
                hour.name(),
                hour.state,
                hour.merged,
                hour.late,
                hour.pending,
                hour.records.merged,
                hour.records.quarantined,
                hour.records.duplicates,
                if hour.complete { "yes" } else { "no" }
            ));
            hour.write_notes(&mut text);
        }
        if self.retired_bytes > 0 {
            text.push_str(&format!("{} of retired generations wait for `lakebed sweep`\n", counted(self.retired_bytes, "byte")));
        }
        if let Some(first) = self.foreign.first() {
            text.push_str(&format!(
                "partitions in the catalog that no ledger knows: {}, {first} for one; readers see what is there beside the table's rows; \
                 `lakebed partitions` shows all, and what is not wanted is to be dropped in Glue or Athena\n",
                self.foreign.len()
            ));
        }
        if !self.gaps.is_empty() {
            let hours: i64 = self.gaps.iter().map(|gap| gap.hours).sum();
            let named = |gap: &Gap| if gap.from == gap.to { gap.from.to_string() } else { format!("{} to {}", gap.from, gap.to) };
            let newest: Vec<String> = self.gaps.iter().skip(self.gaps.len().saturating_sub(10)).map(named).collect();
            let more = if self.gaps.len() > newest.len() { "earlier ones, " } else { "" };
            let hours = counted(u64::try_from(hours).unwrap_or(0), "hour");
            text.push_str(&format!("nothing landed in {hours}: {more}{}\n", newest.join(", ")));
        }
        if let Some(silences) = cadence::told(&self.silences, 10) {
            text.push_str(&format!("{silences}\n"));
        }
        text
    }
}
