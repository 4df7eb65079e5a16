//! What becomes of the live files when rows are appended to their partition: which files, and which row groups of the last one, are copied as
//! bytes, and which are encoded again. No I/O.

use crate::ledger::DataFile;

/// So many row groups may stand in a small file: each costs a reader a few requests.
pub const MOST_ROW_GROUPS: usize = 8;

/// True if nothing is appended to a file of that many bytes: it goes into the next generation whole, and late rows into a file behind it.
/// So no more than half of a row group's bytes are ever written again, however large the hour is.
pub fn is_full(bytes: u64, row_group_size: u64) -> bool {
    bytes >= row_group_size / 2
}

/// How many of the first row groups of a file that is not full are copied as they are, given the bytes of each; the rows of the others are
/// encoded again, together with what is appended.
///
/// A merge appends one row group of rows that are encoded, or several, where staged files go on as they are: up to [`MOST`](crate::merge::runs::MOST) runs of them begin
/// and end one each. There are no more in a file that is not full, as two pieces of one run have more bytes than a row group.
///
/// Up to [`MOST_ROW_GROUPS`] are left. If there are more, they become one, but for those in front that are larger than all behind them
/// together: a large one is not encoded again for the sake of a few rows. What comes of it has nothing behind it and all in front are
/// larger, so without further rows nothing is encoded a second time.
pub fn copied(row_groups: &[u64]) -> usize {
    let all = row_groups.len();
    let outweighs = |first: &usize| row_groups[*first] > row_groups[first + 1..].iter().sum();
    if all <= MOST_ROW_GROUPS { all } else { (0..all).find(|first| !outweighs(first)).unwrap_or(all) }
}

/// A live file, and what becomes of it in the next generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// The file.
    pub file: DataFile,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a live file in the next generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is copied whole, as it is [full](is_full).
    Full,
    /// It is copied whole, as another one stands behind it: rows are appended to the last one alone.
    Behind,
    /// Rows are appended to it.
    Appended {
        /// So many of its first row groups are copied.
        copied: usize,
        /// The rows of so many others are encoded again, together with those that are appended.
        again: usize,
    },
    /// All its rows are encoded again.
    Encoded(Again),
    /// Its rows come from what landed once more, and it is left where it is, to be retired.
    Replaced,
}

/// Why all live rows are encoded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The order is one over all rows.
    Order,
    /// They were merged into other columns than the table has now.
    Columns,
    /// The last file has other types or another codec than a new one has.
    Encoding,
    /// Of the last file it is not known where its pages are.
    Index,
    /// Nothing is new: writing them once more is what was asked for.
    Asked,
}

impl Fate {
    /// What is done with the file, in words, which stay as they are: programs read them.
    pub fn action(self) -> &'static str {
        match self {
            Self::Full | Self::Behind => "copied",
            Self::Appended { .. } => "appended to",
            Self::Encoded(_) => "encoded again",
            Self::Replaced => "left",
        }
    }

    /// Why, likewise.
    pub fn why(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Behind => "not the last file",
            Self::Appended { again: 0, .. } => "less than half a row group",
            Self::Appended { copied: 0, .. } => "many small row groups become one",
            Self::Appended { .. } => "many small row groups behind large ones become one",
            Self::Encoded(Again::Order) => "sort_by orders the whole hour",
            Self::Encoded(Again::Columns) => "other columns than the table has now",
            Self::Encoded(Again::Encoding) => "other types or codec than new files have",
            Self::Encoded(Again::Index) => "no page index",
            Self::Encoded(Again::Asked) => "written once more, as asked",
            Self::Replaced => "its rows come from what landed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::runs;
    use proptest::prelude::*;

    const SIZE: u64 = 1 << 11;

    #[test]
    fn few_row_groups_are_left_and_many_become_one() {
        let repeat = |bytes, times| vec![bytes; times];
        let cases = [
            (vec![], 0),
            (repeat(1, 8), 8),
            (repeat(1, 9), 0),
            ([repeat(500, 1), repeat(1, 8)].concat(), 1),
            ([repeat(500, 1), repeat(100, 8)].concat(), 0),
            (vec![500, 200, 100, 50, 25, 12, 6, 3, 1], 9),
            (vec![500, 250, 100, 50, 25, 12, 6, 3, 1, 1], 8),
        ];
        for (row_groups, expected) in cases {
            assert_eq!(copied(&row_groups), expected, "{row_groups:?}");
        }
    }

    #[test]
    fn a_file_as_large_as_half_a_row_group_is_full() {
        assert!(!is_full(SIZE / 2 - 1, SIZE));
        assert!(is_full(SIZE / 2, SIZE));
    }

    /// The row groups after an append of so many bytes, in row groups of their own but for the first, which is encoded with what is encoded again.
    fn append(row_groups: &[u64], late: &[u64]) -> Vec<u64> {
        let copied = copied(row_groups);
        let again: u64 = row_groups[copied..].iter().sum::<u64>() + late.first().unwrap_or(&0);
        let mut after = row_groups[..copied].to_vec();
        after.extend((again > 0).then_some(again));
        after.extend(late.iter().skip(1));
        after
    }

    /// Row groups that one merge appends at the most: runs of staged files, and rows that are encoded before, between and behind them.
    const AT_ONCE: usize = 2 * runs::MOST + 1;

    proptest! {
        #[test]
        fn row_groups_stay_few_and_nothing_is_encoded_again_for_ever(
            late in prop::collection::vec(prop::collection::vec(1u64..200, 1..=AT_ONCE), 1..300), one_by_one in any::<bool>()
        ) {
            let mut row_groups = Vec::new();
            for late in late {
                let late = if one_by_one { &late[..1] } else { &late[..] };
                row_groups = if is_full(row_groups.iter().sum(), SIZE) { late.to_vec() } else { append(&row_groups, late) };
                let most = MOST_ROW_GROUPS + SIZE.ilog2() as usize + late.len() - 1;
                prop_assert!(row_groups.len() <= most, "{:?}", row_groups);
                // What was encoded again leaves the candidates: nothing that follows without further rows encodes it a second time.
                let settled = append(&row_groups, &[]);
                prop_assert!(settled.len() <= MOST_ROW_GROUPS + SIZE.ilog2() as usize, "{:?}", settled);
                prop_assert_eq!(copied(&settled), settled.len(), "{:?} became {:?}", row_groups, settled);
            }
        }
    }
}
