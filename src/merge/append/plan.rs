//! Which of a file's row groups are copied as bytes when rows are appended behind them, and which are encoded again. No I/O.

/// So many small row groups may stand at a file's end: each costs a reader a few requests.
pub const MOST_SMALL: usize = 8;

/// True if nothing is appended to a file of that many bytes: it goes into the next generation whole, and late rows into a file behind it.
/// So no more than one row group's bytes are ever written again, however large the hour is.
pub fn is_full(bytes: u64, row_group_size: u64) -> bool {
    bytes >= row_group_size
}

/// How many of a file's first row groups are copied as they are, given the bytes of each; the rows of the others are encoded again, together
/// with what is appended.
///
/// A row group is small below half of `row_group_size`. Up to [`MOST_SMALL`] small ones at the end are left. If there are more, they become
/// one, but for those in front that are larger than all behind them together: a large one is not encoded again for the sake of a few rows.
/// What comes of it is larger than all behind it, as there is nothing, so without further rows nothing is encoded a second time.
pub fn copied(row_groups: &[u64], row_group_size: u64) -> usize {
    let all = row_groups.len();
    let small = row_groups.iter().rev().take_while(|&&bytes| bytes < row_group_size / 2).count();
    if small <= MOST_SMALL {
        return all;
    }
    let outweighs = |first: &usize| row_groups[*first] > row_groups[first + 1..].iter().sum();
    (all - small..all).find(|first| !outweighs(first)).unwrap_or(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: u64 = 1 << 10;

    #[test]
    fn few_small_row_groups_are_left_and_many_become_one() {
        let repeat = |bytes, times| vec![bytes; times];
        let cases = [
            (vec![], 0),
            (repeat(1, 8), 8),
            (repeat(1, 9), 0),
            ([repeat(600, 20), repeat(1, 8)].concat(), 28),
            ([repeat(600, 20), repeat(1, 9)].concat(), 20),
            ([repeat(1, 9), repeat(512, 1)].concat(), 10),
            ([repeat(500, 1), repeat(1, 8)].concat(), 1),
            ([repeat(500, 1), repeat(100, 8)].concat(), 0),
            (vec![500, 200, 100, 50, 25, 12, 6, 3, 1], 9),
            (vec![500, 200, 100, 50, 25, 12, 6, 3, 1, 1], 8),
        ];
        for (row_groups, expected) in cases {
            assert_eq!(copied(&row_groups, SIZE), expected, "{row_groups:?}");
        }
    }

    #[test]
    fn a_file_as_large_as_a_row_group_is_full() {
        assert!(!is_full(SIZE - 1, SIZE));
        assert!(is_full(SIZE, SIZE));
    }

    /// The row groups after an append of so many bytes.
    fn append(row_groups: &[u64], late: u64) -> Vec<u64> {
        let copied = copied(row_groups, SIZE);
        let again: u64 = row_groups[copied..].iter().sum::<u64>() + late;
        let mut after = row_groups[..copied].to_vec();
        after.extend((0..again / SIZE).map(|_| SIZE));
        after.extend((again % SIZE > 0).then_some(again % SIZE));
        after
    }

    proptest! {
        #[test]
        fn row_groups_stay_few_and_nothing_is_encoded_again_for_ever(late in prop::collection::vec(1u64..200, 1..300)) {
            let mut row_groups = Vec::new();
            for late in late {
                row_groups = if is_full(row_groups.iter().sum(), SIZE) { vec![late] } else { append(&row_groups, late) };
                prop_assert!(row_groups.len() <= MOST_SMALL + SIZE.ilog2() as usize, "{:?}", row_groups);
                let settled = append(&row_groups, 0);
                prop_assert_eq!(copied(&settled, SIZE), settled.len(), "{:?} became {:?}", row_groups, settled);
            }
        }
    }
}
