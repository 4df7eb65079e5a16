//! The fields of a record that no column takes, kept until the record is whole.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::standardize::columns::{Builder, Values};

/// The unknown fields of the record that is being read: ranges of their names in `names`, of their values in the object.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    pub(super) names: Vec<u8>,
    pub(super) fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Unknown {
    /// Appends the fields as one map; a name that is there already gets `#2`, `#3`, … so that every key is unique.
    pub(super) fn append_to(&mut self, bytes: &[u8], map: &mut Builder) {
        let Values::Map { keys, values, offsets } = &mut map.values else { unreachable!("rescued is a map") };
        let first = offsets.last().map_or(0, |&at| usize::try_from(at).unwrap_or(0));
        let (mut seen, mut repeats) = (HashSet::new(), HashMap::new());
        for (name, value) in &self.fields {
            let name = &self.names[name.clone()];
            keys.push_bytes(name);
            while keys.last_repeats(first, &mut seen) {
                let count = repeats.entry(name).or_insert(1u32);
                *count += 1;
                keys.truncate(keys.len() - 1);
                keys.push_bytes(&[name, format!("#{count}").as_bytes()].concat());
            }
            values.push_bytes(&bytes[value.clone()]);
        }
        map.close();
    }
}
