//! A kept record once more, under the plan of today.

use bytes::Bytes;

use super::{Rows, Tally, frame};
use crate::config::Format;
use crate::error::Result;
use crate::standardize::cloudwatch::{self, Kind};
use crate::standardize::reject::{Code, Reason};
use crate::standardize::window::Window;

/// What became of a kept record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It is the decoder's last row.
    Row,
    /// It is none for the table, by the format's own rule.
    Dropped,
    /// It is no row, for this reason.
    Fails(Reason),
    /// It is not one record but several, or none.
    NotOne,
}

impl Rows<'_, '_> {
    /// Takes the bytes of a record that was rejected with `reason`, by a redrive if it was `tried`. With `set_aside` it is rejected also if it
    /// fits.
    ///
    /// # Errors
    /// As [`frame::Records::accept`].
    pub fn again(&mut self, raw: &[u8], reason: &Reason, tried: bool, set_aside: Option<&'static str>) -> Result<Again> {
        let was_document = matches!((reason.code, reason.column.as_str()), (Code::NotCloudwatch, _) | (Code::Type, ""));
        let holds_records = !was_document && self.holds_records(raw);
        // One that was tried was a document then, too, or it would have been left.
        let is_document = was_document || holds_records && tried;
        let is_whole = if is_document { self.plan.format == Format::SnowplowTsv || self.is_one(raw)? } else { !holds_records };
        if !is_whole {
            return Ok(Again::NotOne);
        }
        self.set_aside = set_aside;
        self.reasons = Some(Vec::new());
        let (rows, dropped) = (self.rows(), self.tally.dropped);
        match self.plan.format {
            Format::SnowplowTsv => self.line(0, raw)?,
            _ if is_document => self.document(raw)?,
            _ => self.made_of(0, raw, raw)?,
        }
        let failed = self.reasons.take().and_then(|mut reasons| reasons.pop());
        Ok(match failed {
            Some(reason) => Again::Fails(reason),
            None if self.rows() > rows => Again::Row,
            None if self.tally.dropped > dropped => Again::Dropped,
            None => Again::NotOne,
        })
    }

    /// Rows that were counted so far.
    fn rows(&self) -> u64 {
        self.tally.rows + self.decoder.rows as u64
    }

    /// True if a record has others in it by now: it landed under a configuration that took such a document for one record.
    fn holds_records(&mut self, raw: &[u8]) -> bool {
        let is_envelope = |open: &mut Vec<u8>| {
            let read = cloudwatch::read(raw, 0, open);
            read.is_ok_and(|envelope| matches!(envelope.kind, Kind::Control | Kind::Data(_)))
        };
        match self.plan.format {
            Format::CloudwatchLogs if is_envelope(&mut self.open) => true,
            Format::Json | Format::CloudwatchLogs => {
                self.plan.unwrap.as_deref().is_some_and(|field| frame::holds_array(raw, field, &mut self.open))
            }
            Format::SnowplowTsv | Format::Parquet => false,
        }
    }

    /// True if a document is one record, or a broken one.
    fn is_one(&self, raw: &[u8]) -> Result<bool> {
        let mut nobody = |_| Ok(());
        let mut rows = Rows::new(self.plan, None, &mut nobody);
        rows.document(raw)?;
        let Tally { read, .. } = rows.finish()?;
        Ok(read == 1)
    }

    /// Reads a document that has its records in it.
    fn document(&mut self, raw: &[u8]) -> Result<()> {
        let unwrap = self.plan.unwrap.as_deref();
        frame::read(&mut Window::whole(Bytes::copy_from_slice(raw)), self, unwrap, usize::MAX)
    }
}
