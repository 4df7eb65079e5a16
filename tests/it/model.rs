//! Random stories of a lake: after each step it is compared with a small reference model, readers' view and ledgers alike.
//!
//! A failure names its seed: `LAKEBED_MODEL_SEED=<seed> PROPTEST_CASES=1` plays that story alone.

mod breaking;
mod check;
mod objects;
mod play;
mod redrive;
mod reference;
mod scattering;
mod steps;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use play::{Spoil, Told, play, play_spoilt};
use steps::{Content, Form, LOOSE, Record, Rules, Settings, Step, Story, Verb, story};

/// Stories of a test without settings.
const STORIES: u64 = 50;

/// Scenes of the longest story, and of the longest one where rows scatter.
const SCENES: usize = 36;
const SCATTERING_SCENES: usize = 15;

/// Stories at the same time: most of their time is waiting for the disk.
const THREADS: u64 = 4;

fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Plays the story of a seed; if it fails, says the shortest one that fails alike.
fn check<S: std::fmt::Debug, T>(seed: u64, stories: impl Strategy<Value = S>, play: impl Fn(&S) -> T, add: impl Fn(T)) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let done = runner.run(&stories, |story| {
        add(play(&story));
        Ok(())
    });
    match done {
        Ok(()) => {}
        Err(TestError::Fail(why, story)) => panic!("LAKEBED_MODEL_SEED={seed}: {why}\nthe shortest story found: {story:#?}"),
        Err(e) => panic!("LAKEBED_MODEL_SEED={seed}: {e}"),
    }
}

/// Plays stories, each of a seed of its own; true if these are as many as a test has without settings.
fn each_seed(one: impl Fn(u64) + Sync) -> bool {
    let (first, stories) = (set("LAKEBED_MODEL_SEED").unwrap_or(1), set("PROPTEST_CASES").unwrap_or(STORIES));
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < first + stories
                {
                    one(seed);
                }
            });
        }
    });
    stories >= STORIES
}

#[test]
fn a_lake_is_what_the_reference_says_whatever_happens_to_it() {
    let told = Mutex::new(Told::default());
    if each_seed(|seed| check(seed, story(SCENES), play, |happened| told.lock().unwrap().add(happened))) {
        told.into_inner().unwrap().assert_enough();
    }
}

#[test]
fn where_rows_scatter_each_record_is_in_one_place_whatever_happens_to_the_lake() {
    let told = Mutex::new(scattering::Told::default());
    let add = |happened| told.lock().unwrap().add(happened);
    if each_seed(|seed| check(seed, scattering::story(SCATTERING_SCENES), scattering::play, add)) {
        told.into_inner().unwrap().assert_enough();
    }
}

#[test]
fn what_was_live_within_the_grace_stays_whatever_time_the_run_was_made_for_that_retired_it() {
    let land = |name| Step::Land { hour: 0, name, content: Content { records: vec![Record::Id(1)], times: 1, form: Form::Plain } };
    let run = |ago| Step::Do(Verb::Run { ago, since: None });
    let (back, wait) = (Step::Do(Verb::Rollback { hour: 0, to: None }), Step::Wait { minutes: 70 });
    let steps = vec![land(0), run(0), land(1), run(0), wait, back, land(2), run(1), Step::Do(Verb::Sweep)];
    play(&Story { settings: Settings { deduplicate: false, sort: false, grace: 1, lookback: 48, row_group: None }, steps });
}

#[test]
fn what_a_redrive_did_wrong_is_noticed() {
    let records = vec![Record::Id(1), Record::Id(8), Record::Bad, Record::Id(2), Record::Stranger(9)];
    let steps = vec![
        Step::Rule(Rules { ids: 5, ..LOOSE }),
        Step::Land { hour: 0, name: 0, content: Content { records, times: 1, form: Form::Plain } },
        Step::Do(Verb::Run { ago: 0, since: None }),
        Step::Rule(LOOSE),
        Step::Do(Verb::Redrive { hour: None, reason: None, dry_run: false }),
    ];
    let story = Story { settings: Settings { deduplicate: false, sort: false, grace: 24, lookback: 48, row_group: None }, steps };
    play(&story);
    let wrong: [(&str, Spoil); 6] = [
        ("quarantined records of hour 0: Some", |seen| seen.rejects.values_mut().flatten().for_each(|one| one.resolved = None)),
        ("quarantined records of hour 0: Some", |seen| seen.rejects.values_mut().flatten().for_each(|one| one.attempts = 0)),
        ("quarantined records of hour 0", |seen| seen.rejects.values_mut().for_each(|all| all.retain(|one| one.resolved.is_none()))),
        ("rows of hour 0", |seen| seen.rows.values_mut().filter(|rows| rows.len() > 2).for_each(|rows| drop(rows.pop()))),
        ("rows of hour 0", |seen| seen.rows.values_mut().filter(|rows| rows.len() > 2).for_each(|rows| rows.swap(0, 2))),
        ("the versions that the catalog shows of hour 0", |seen| seen.quarantine.clear()),
    ];
    for (at, (says, spoil)) in wrong.into_iter().enumerate() {
        let panicked = std::panic::catch_unwind(|| play_spoilt(&story, spoil)).expect_err("it is not noticed");
        let said = panicked.downcast_ref::<String>().unwrap();
        assert!(said.contains(says), "{at}: {said}");
    }
}
