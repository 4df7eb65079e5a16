//! Readers of foreign bytes and texts, fed with broken input. What holds for any input is checked for each; `docs/fuzzing.md` has the laws.

mod corpus;
mod framing;
mod laws;
mod mutate;
mod objects;
mod texts;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use mutate::Mutator;

/// Small, so that a reader that goes deeper with its input overflows it early.
const STACK: usize = 512 << 10;

/// Longest time that one input may take: what takes so long does work that grows faster than its input.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a failure shows of an input, and of what went wrong with it.
const SHOWN: usize = 2 << 10;

/// A reader with its laws, and what it is fed with.
struct Target {
    name: &'static str,
    /// Reads one input, and panics if a law does not hold. Answers what became of the input, coarsely: what becomes something new is kept
    /// to be changed further.
    run: fn(&[u8]) -> String,
    /// Inputs that are run as they are, and changed.
    seeds: Vec<Vec<u8>>,
    /// Inputs that are only run as they are: they nest 100,000 deep.
    deep: Vec<Vec<u8>>,
    /// Words of the input's grammar.
    tokens: &'static [&'static [u8]],
    /// The input is an object, which may be compressed.
    is_object: bool,
    /// Changed inputs of a run that has no other limit.
    inputs: usize,
}

/// How long and with which random numbers a target is run.
struct Run {
    seed: u64,
    /// Instead of a number of inputs.
    time: Option<Duration>,
    /// Where the input is kept while it is run: there it is found if it ended the process.
    last: PathBuf,
}

/// Runs a target as the environment says.
fn fuzz(mut target: Target) {
    let set =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is no number")));
    let mut time = set("LAKEBED_FUZZ_SECONDS").map(Duration::from_secs);
    if let Some(file) = std::env::var_os("LAKEBED_FUZZ_INPUT") {
        time = None;
        target = Target { deep: vec![std::fs::read(file).unwrap()], seeds: Vec::new(), inputs: 0, ..target };
    }
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = set("LAKEBED_FUZZ_SEED").unwrap_or_else(|| if time.is_some() { now() } else { 1 });
    let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
    // Written at once and past the test's capture, as nothing else is known of a process that dies.
    if time.is_some() {
        writeln!(std::io::stderr().lock(), "fuzz {}: seed {seed}; the input that is run is in {}", target.name, last.display()).unwrap();
    }
    let name = format!("fuzz {}", target.name);
    let run = move || feed(target, &Run { seed, time, last });
    let thread = std::thread::Builder::new().name(name).stack_size(STACK).spawn(run).unwrap();
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

fn feed(target: Target, run: &Run) {
    let Target { name, run: check, seeds, deep, tokens, is_object, inputs } = target;
    let as_they_are: Vec<Vec<u8>> = deep.into_iter().chain(seeds.iter().cloned()).collect();
    let first = as_they_are.len();
    let mut mutator = Mutator::new(run.seed, seeds, tokens, is_object);
    let mut as_they_are = as_they_are.into_iter();
    let mut last = File::create(&run.last).unwrap();
    let (mut known, mut slowest, begin) = (HashSet::new(), Duration::ZERO, Instant::now());
    for number in 0.. {
        let is_done = run.time.map_or(number >= first + inputs, |time| number >= first && begin.elapsed() >= time);
        if is_done {
            if run.time.is_some() {
                let kept = known.len();
                writeln!(std::io::stderr().lock(), "fuzz {name}: {number} inputs, {kept} outcomes, the slowest took {slowest:?}").unwrap();
            }
            return;
        }
        let input = as_they_are.next().unwrap_or_else(|| mutator.input());
        // Kept open, as closing a file that was emptied waits for the disk.
        last.set_len(0).and_then(|()| last.rewind()).and_then(|()| last.write_all(&input)).unwrap();
        let start = Instant::now();
        let became = catch_unwind(AssertUnwindSafe(|| check(&input))).unwrap_or_else(|panic| {
            let why = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            panic!("fuzz {name}: seed {}, input {number}: {}{}", run.seed, shown(why.unwrap_or("panic").as_bytes()), told(&input));
        });
        let took = start.elapsed();
        if took > slowest {
            slowest = took;
            std::fs::write(run.last.with_extension("slowest"), &input).unwrap();
        }
        assert!(took < PATIENCE, "fuzz {name}: seed {}, input {number}: it takes too long{}", run.seed, told(&input));
        if number >= first && known.insert(became.clone()) {
            mutator.keep(input);
        } else {
            known.insert(became);
        }
    }
}

/// An input as a failure shows it.
fn told(input: &[u8]) -> String {
    format!("\ninput of {} bytes: b\"{}\"", input.len(), input[..input.len().min(SHOWN)].escape_ascii())
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned()
}

#[test]
fn decompress() {
    fuzz(objects::decompress());
}

#[test]
fn framing_of_records() {
    fuzz(framing::target());
}

#[test]
fn decode_json() {
    fuzz(objects::json());
}

#[test]
fn decode_parquet() {
    fuzz(objects::parquet());
}

#[test]
fn snowplow_lines() {
    fuzz(objects::snowplow());
}

#[test]
fn cloudwatch_envelopes() {
    fuzz(objects::cloudwatch());
}

#[test]
fn hive_types() {
    fuzz(texts::hive());
}

#[test]
fn ddl() {
    fuzz(texts::ddl());
}

#[test]
fn prefix_expressions() {
    fuzz(texts::prefix());
}

#[test]
fn a_failure_names_seed_and_input() {
    let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-itself");
    let check: fn(&[u8]) -> String = |input| {
        assert!(!input.contains(&0xff), "a law");
        String::new()
    };
    let seeds = vec![b"good".to_vec(), b"\xff bad".to_vec()];
    let target = Target { name: "itself", run: check, seeds, deep: vec![], tokens: &[], is_object: false, inputs: 0 };
    let panic = catch_unwind(|| feed(target, &Run { seed: 7, time: None, last })).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert_eq!(message, "fuzz itself: seed 7, input 1: a law\ninput of 5 bytes: b\"\\xff bad\"");
}
