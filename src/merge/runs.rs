//! Which of the objects of a merge go on as they are staged, and which are decoded. No I/O.

use std::ops::Range;

/// Bytes that the pages of a file should have on the average: what a file's index says of a page takes some fifty.
const LEAST_PAGE: u64 = 2 << 10;

/// Runs of staged files in one merge: each begins and ends a row group, however small that is.
pub const MOST: usize = 8;

/// Objects that follow one another.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// Which ones.
    pub objects: Range<usize>,
    /// Those that go on as they are staged, from the first of the run on: each piece becomes a row group. None if all are decoded.
    pub pieces: Pieces,
}

/// Staged files that become a row group each, counted from the first object of their run on.
pub type Pieces = Vec<Range<usize>>;

/// All objects in runs, by the bytes of the staged file of each, if it has one. Files have so many leaves, and a row group about so many
/// bytes.
pub fn runs(sizes: &[Option<u64>], leaves: usize, row_group: u64) -> Vec<Run> {
    let whole = |objects: Range<usize>| Run { objects, pieces: Vec::new() };
    if sizes.is_empty() {
        return Vec::new();
    }
    let (mut runs, mut at) = (Vec::new(), 0);
    for some in sizes.chunk_by(|a, b| a.is_some() == b.is_some()) {
        let objects = at..at + some.len();
        at = objects.end;
        runs.push(Run { objects, pieces: pieces(some, leaves as u64, row_group) });
    }
    if runs.iter().filter(|run| !run.pieces.is_empty()).count() > MOST {
        return vec![whole(0..sizes.len())];
    }
    // What is decoded is read ahead as one run.
    runs.into_iter().fold(Vec::new(), |mut runs: Vec<Run>, run| {
        match runs.last_mut() {
            Some(last) if last.pieces.is_empty() && run.pieces.is_empty() => last.objects.end = run.objects.end,
            _ => runs.push(run),
        }
        runs
    })
}

/// The pieces of a run, counted from its first object on; none if its files are too large to be held, or their pages too small.
pub fn pieces(sizes: &[Option<u64>], leaves: u64, row_group: u64) -> Pieces {
    let sizes: Vec<u64> = sizes.iter().copied().map_while(|size| size).collect();
    let bytes: u64 = sizes.iter().sum();
    if sizes.is_empty() || bytes < LEAST_PAGE * leaves * sizes.len() as u64 || sizes.iter().any(|size| *size > row_group) {
        return Vec::new();
    }
    let (mut pieces, mut start, mut held) = (Vec::new(), 0, 0);
    for (file, size) in sizes.iter().enumerate() {
        if held + size > row_group {
            pieces.push(start..file);
            (start, held) = (file, 0);
        }
        held += size;
    }
    pieces.push(start..sizes.len());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const K: u64 = 1 << 10;

    /// A run whose pieces end there.
    fn run(objects: Range<usize>, ends: &[usize]) -> Run {
        let starts = [0].iter().chain(ends);
        Run { objects, pieces: starts.zip(ends).map(|(start, end)| *start..*end).collect() }
    }

    #[test]
    fn staged_files_go_on_as_they_are_if_their_pages_are_worth_it() {
        let cases: [(&[Option<u64>], Vec<Run>); 6] = [
            (&[], vec![]),
            (&[None, None], vec![run(0..2, &[])]),
            (&[Some(20 * K), Some(20 * K)], vec![run(0..2, &[2])]),
            (&[Some(20 * K), Some(19 * K)], vec![run(0..2, &[])]),
            (&[Some(60 * K), Some(50 * K), Some(40 * K)], vec![run(0..3, &[1, 3])]),
            (&[None, Some(20 * K), None, Some(K), Some(101 * K)], vec![run(0..1, &[]), run(1..2, &[1]), run(2..5, &[])]),
        ];
        for (sizes, expected) in cases {
            assert_eq!(runs(sizes, 10, 100 * K), expected, "{sizes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_file_that_is_not_full_gets_no_more_row_groups_than_there_may_be_runs(
            sizes in prop::collection::vec(prop::option::weighted(0.8, 20 * K..100 * K), 1..60)
        ) {
            let runs = runs(&sizes, 10, 100 * K);
            let woven: Vec<&Run> = runs.iter().filter(|run| !run.pieces.is_empty()).collect();
            prop_assert!(woven.len() <= MOST && runs.len() <= 2 * MOST + 1);
            for Run { objects, pieces } in woven {
                let bytes = |piece: &Range<usize>| sizes[objects.clone()][piece.clone()].iter().flatten().sum::<u64>();
                prop_assert!(pieces.windows(2).all(|two| bytes(&two[0]) + bytes(&two[1]) > 100 * K));
            }
        }
    }

    #[test]
    fn many_short_runs_are_decoded() {
        let sizes = |count: usize| [Some(20 * K), None].into_iter().cycle().take(2 * count).collect::<Vec<_>>();
        assert_eq!(runs(&sizes(8), 10, 100 * K).len(), 16);
        assert_eq!(runs(&sizes(9), 10, 100 * K), [run(0..18, &[])]);
    }

    proptest! {
        #[test]
        fn every_object_is_in_one_run_and_every_piece_fits(
            sizes in prop::collection::vec(prop::option::weighted(0.9, 0u64..120 * K), 0..60),
            leaves in 0usize..20,
        ) {
            let (runs, mut at) = (runs(&sizes, leaves, 100 * K), 0);
            for Run { objects, pieces } in runs {
                prop_assert_eq!(objects.start, at);
                prop_assert!(objects.end > at);
                at = objects.end;
                let mut next = 0;
                for piece in &pieces {
                    prop_assert_eq!(piece.start, next);
                    prop_assert!(piece.end > next);
                    let bytes: u64 = sizes[objects.clone()][piece.clone()].iter().map(|size| size.unwrap()).sum();
                    prop_assert!(bytes <= 100 * K);
                    next = piece.end;
                }
                prop_assert!(pieces.is_empty() || next == objects.len());
            }
            prop_assert_eq!(at, sizes.len());
        }
    }
}
