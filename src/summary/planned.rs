//! What would be done with each file and why, as a value: for programs file by file, for people in groups.

use serde::Serialize;

use super::counted;
use crate::hour::Hour;
use crate::layout::PartitionId;
use crate::merge::append::plan::{Fate, LiveFile};
use crate::merge::plan::Decided;

/// What would be done with each file of a table, and why.
#[derive(Debug, Default, Serialize)]
pub struct Planned {
    /// The landed objects, in the order of hour and key.
    pub objects: Vec<PlannedObject>,
    /// The live files of the partitions that would change.
    pub files: Vec<PlannedFile>,
}

/// What would be done with a landed object.
#[derive(Debug, Serialize)]
pub struct PlannedObject {
    /// Its key, relative to the landing.
    pub key: String,
    /// Its arrival hour.
    pub hour: Hour,
    /// Its partition as a path; none where that shows only when it is read.
    pub partition: Option<String>,
    /// `taken` or `left`.
    pub action: &'static str,
    /// Why.
    pub why: &'static str,
}

/// What would be done with a live file.
#[derive(Debug, Serialize)]
pub struct PlannedFile {
    /// Its partition, as a path.
    pub partition: String,
    /// Its name in the folder of the live generation.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// `copied`, `appended to`, `encoded again` or `left`.
    pub action: &'static str,
    /// Why.
    pub why: &'static str,
    /// Of a file that rows are appended to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_groups: Option<RowGroups>,
    /// Columns of it that are read, as rows that are not new are looked for in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<String>,
}

/// What would be done with the row groups of a file.
#[derive(Debug, Serialize)]
pub struct RowGroups {
    /// So many are copied as bytes.
    pub copied: usize,
    /// The rows of so many are encoded again.
    pub encoded_again: usize,
}

impl Planned {
    /// Enters what was decided on an object.
    pub fn object(&mut self, decided: &Decided, partition: Option<&PartitionId>) {
        let action = if decided.why.takes() { "taken" } else { "left" };
        self.object_as(&decided.object.key, decided.object.hour, partition, (action, decided.why.as_str()));
    }

    /// Enters an object with what is done with it, and why.
    pub fn object_as(&mut self, key: &str, hour: Hour, partition: Option<&PartitionId>, (action, why): (&'static str, &'static str)) {
        self.objects.push(PlannedObject { key: key.to_string(), hour, partition: partition.map(ToString::to_string), action, why });
    }

    /// Enters what becomes of the live files of a partition; `compared` are the columns by which rows are told to be the same.
    pub fn files(&mut self, partition: &PartitionId, files: Vec<LiveFile>, compared: &[String]) {
        let planned = |LiveFile { file, fate }: LiveFile| PlannedFile {
            partition: partition.to_string(),
            rows: file.rows,
            bytes: file.bytes,
            file: file.name,
            action: fate.action(),
            why: fate.why(),
            row_groups: match fate {
                Fate::Appended { copied, again } => Some(RowGroups { copied, encoded_again: again }),
                Fate::Full | Fate::Behind | Fate::Encoded(_) | Fate::Replaced => None,
            },
            compared: if fate == Fate::Replaced { Vec::new() } else { compared.to_vec() },
        };
        self.files.extend(files.into_iter().map(planned));
    }

    /// Puts the objects into the order of hour and key.
    pub fn in_order(mut self) -> Self {
        self.objects.sort_by(|one, other| (one.hour, &one.key).cmp(&(other.hour, &other.key)));
        self
    }

    /// What becomes of the live files of a partition, a line for each group of them.
    pub(crate) fn file_lines(&self, partition: &str) -> Vec<String> {
        let files = || self.files.iter().filter(|file| file.partition == partition);
        let mut lines = Vec::new();
        for ((action, why), files) in groups(files(), |file| (file.action, file.why)) {
            let names = named(&files.iter().map(|file| file.file.as_str()).collect::<Vec<_>>());
            let row_groups =
                files.iter().find_map(|file| file.row_groups.as_ref()).map_or_else(String::new, |RowGroups { copied, encoded_again }| {
                    let copied = counted(*copied as u64, "row group");
                    format!("; {copied} copied, {encoded_again} encoded again")
                });
            let bytes = counted(files.iter().map(|file| file.bytes).sum(), "byte");
            lines.push(format!("{action} ({why}): {}, {bytes}: {names}{row_groups}", counted(files.len() as u64, "live file")));
        }
        if let Some(file) = files().find(|file| !file.compared.is_empty()) {
            let read = files().filter(|file| !file.compared.is_empty()).count() as u64;
            lines.push(format!("read of {}, to find duplicates: {}", counted(read, "live file"), file.compared.join(", ")));
        }
        lines
    }

    /// What is left in the landing, a line for each reason.
    pub(crate) fn left_lines(&self) -> Vec<String> {
        let left = self.objects.iter().filter(|object| object.action == "left");
        let line = |(why, objects): (&str, Vec<&PlannedObject>)| {
            let names = named(&objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>());
            format!("left ({why}): {}: {names}", counted(objects.len() as u64, "landed object"))
        };
        groups(left, |object| object.why).into_iter().map(line).collect()
    }
}

/// Why objects are taken, such as `2 late, 1 begun before`; the reason alone if it is one.
pub(super) fn reasons(objects: &[Decided]) -> String {
    match groups(objects.iter().filter(|decided| decided.why.takes()), |decided| decided.why).as_slice() {
        [(why, _)] => why.to_string(),
        many => many.iter().map(|(why, objects)| format!("{} {why}", objects.len())).collect::<Vec<_>>().join(", "),
    }
}

/// Those for which `by` gives the same together, in the order of the first of each.
fn groups<'a, T, K: PartialEq>(all: impl Iterator<Item = &'a T>, by: impl Fn(&'a T) -> K) -> Vec<(K, Vec<&'a T>)> {
    let mut groups: Vec<(K, Vec<&T>)> = Vec::new();
    for one in all {
        let key = by(one);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(one),
            None => groups.push((key, vec![one])),
        }
    }
    groups
}

/// The first of some names, and how many others there are: there may be thousands.
fn named(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_string(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}
