//! Plays a story: each step happens to the lake and to the reference, and what came of it is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use lakebed::error::Kind;
use lakebed::ledger;
use serde_json::{Value, json};

use super::check::{self, Hours, folder_of};
use super::reference::{Answer, Folder, Hour, LONGEST, Lake, Minute, Operation, Plan, Redrive, Run, Tries, Version};
use super::steps::{Break, HOURS, Step, Story, Verb};
use super::world::{Ended, Seen, World, hour_of};
use crate::support::outcome::{attempts_in, leftovers};

/// Makes what is seen another than what is there.
pub type Spoil = fn(&mut Seen);

/// A lake and its reference.
struct Play {
    model: Lake,
    world: World,
    /// What was committed, as it lay there after the step before.
    files: BTreeMap<PathBuf, Vec<u8>>,
    leavings: Leavings,
    /// Runs in which something broke.
    broken_runs: u32,
    told: Told,
    /// Done to all that is seen before it is compared.
    spoil: Spoil,
}

/// How each story ends: all that broke is made good, and what it left is removed.
const END: [Step; 4] = [
    Step::Wait { minutes: 75 * 60 },
    Step::Do(Verb::Run { ago: 0, since: Some(0) }),
    Step::Do(Verb::Sweep),
    Step::Do(Verb::Run { ago: 0, since: Some(0) }),
];

/// What broken verbs left, and since when.
#[derive(Default)]
struct Leavings {
    /// When something broke last, if it is not cleaned up yet.
    since: Option<Minute>,
    /// A run and a sweep that had to clean it up.
    run: bool,
    sweep: bool,
}

/// How often what happened, so that a test can see that it tests something.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<String, u64>);

impl Told {
    pub fn add(&mut self, other: Self) {
        other.0.into_iter().for_each(|(what, count)| *self.0.entry(what).or_default() += count);
    }

    /// Fails if there was little of anything.
    pub fn assert_enough(&self) {
        let wanted = ["Create", "Amend", "Repair", "Rollback", "Sweep", "Redrive"]
            .map(|operation| [(operation.to_string(), 20), (format!("{operation}, broken"), 1)]);
        let others =
            [("died", 50), ("broke", 50), ("broke and was done", 3), ("catalog behind", 10), ("refused", 50), ("refused for the data", 2)];
        let of_redrives = [("came in", 5), ("dry run", 5), ("reports taken in", 5)];
        let others = others.into_iter().chain(of_redrives).map(|(what, least)| (what.to_string(), least));
        for (what, least) in wanted.into_iter().flatten().chain(others) {
            assert!(self.0.get(&what).is_some_and(|times| *times >= least), "{what} fewer than {least} times: {self:?}");
        }
    }

    fn note(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }
}

/// Plays a story, and panics where the lake is not what the reference says.
pub fn play(story: &Story) -> Told {
    play_spoilt(story, |_| {})
}

/// As [`play`], where something else is seen than what is there.
pub fn play_spoilt(story: &Story, spoil: Spoil) -> Told {
    let model = Lake::new(&story.settings);
    let world = World::new(&story.settings, model.now);
    let mut play =
        Play { model, world, files: BTreeMap::new(), leavings: Leavings::default(), broken_runs: 0, told: Told::default(), spoil };
    for step in story.steps.iter().chain(&END) {
        play.step(step);
    }
    assert_eq!(play.leavings.since, None, "whatever broke is cleaned up in the end");
    play.told
}

impl Play {
    fn step(&mut self, step: &Step) {
        if let Some((hour, key)) = self.model.happens(step) {
            self.world.land(&key, self.model.hours[hour].objects().get(&key).map(|object| object.bytes.as_slice()));
        }
        if let Step::Rule(rules) = step {
            self.world.configure(&self.model.settings, *rules);
        }
        self.world.set_time(self.model.now);
        match step {
            Step::Do(verb) => self.act(verb, None),
            Step::Break(verb, at) => self.act(verb, Some(at.clone())),
            _ => self.compare(&self.look(), &check::ledgers(&self.world)),
        }
        let files = self.world.files();
        check::assert_unchanged(&self.files, &files);
        self.files = files;
        self.check_leftovers();
    }

    fn look(&self) -> Seen {
        let mut seen = self.world.look();
        (self.spoil)(&mut seen);
        seen
    }

    fn act(&mut self, verb: &Verb, at: Option<Break>) {
        let plan = self.model.plan(verb);
        let before = verb.only_looks().then(|| crate::support::files(&self.world.lake.path("")));
        let ended = self.world.act(verb, at);
        if let Some(before) = before {
            assert!(before == crate::support::files(&self.world.lake.path("")), "a dry run changes nothing");
            self.told.note("dry run");
        }
        let (seen, ledgers) = (self.look(), check::ledgers(&self.world));
        if ended.broke {
            self.told.note(if ended.answer.is_none() {
                "died"
            } else if ended.says_done() {
                "broke and was done"
            } else {
                "broke"
            });
        } else {
            self.told.note(match ended.answer.as_ref() {
                Some(Err((Kind::Data, _))) => "refused for the data",
                Some(Err(_)) => "refused",
                _ => "answered",
            });
        }
        // An hour that failed again and again is not tried by every run (P12).
        assert!(!ended.waits() || self.broken_runs > 1, "no hour has failed twice: {ended:?}");
        self.broken_runs += u32::from(ended.broke && matches!(verb, Verb::Run { .. }));
        let is_whole = !ended.broke && !ended.waits();
        // Who says that all went well must have done all.
        let is_done = is_whole || ended.says_done();
        // A run shows what it finds committed before it merges.
        let found = matches!(verb, Verb::Run { .. }).then(|| self.model.hours.iter().map(Hour::newest).collect());
        self.enter_versions(&plan, &ledgers, is_done, &ended);
        self.enter_shown(&plan, &seen, is_done, found);
        if is_done {
            self.model.exists |= matches!(plan.answer, Answer::Run(_));
        } else {
            self.model.exists |= seen.exists;
        }
        if !self.model.hours.iter().all(|hour| hour.shows_head()) {
            self.told.note("catalog behind");
        }
        self.compare(&seen, &ledgers);
        if is_whole {
            self.check_answer(&plan, &ended, verb);
        }
        if is_whole || ended.broke {
            self.leavings.enter(&self.model, verb, &plan, ended.broke);
        }
    }

    /// The reference takes those next versions that the ledgers have; where nothing broke, that is all of them.
    fn enter_versions(&mut self, plan: &Plan, ledgers: &Hours, is_done: bool, ended: &Ended) {
        for (hour, next) in &plan.next {
            let versions = &mut self.model.hours[*hour].versions;
            let committed = ledgers.get(hour).map_or(&[][..], |all| &all[versions.len()..]);
            let instead =
                plan.instead.get(hour).filter(|_| committed.first().is_some_and(|first| first.operation == ledger::Operation::Redrive));
            for next in instead.map_or(&next[..], std::slice::from_ref).iter().take(committed.len()) {
                let came_in = |head: &Version| next.sources.iter().any(|(key, source)| head.sources[key].rejected && !source.rejected);
                if next.operation == Operation::Redrive && versions.last().is_some_and(came_in) {
                    self.told.note("came in");
                }
                if next.operation != Operation::Redrive && matches!(plan.answer, Answer::Redrive(_)) {
                    self.told.note("reports taken in");
                }
                versions.push(next.clone());
                self.told.note(format!("{:?}{}", next.operation, if ended.broke { ", broken" } else { "" }));
            }
            assert!(committed.len() == next.len() || !is_done || plan.may_stay, "hour {hour} lacks a version: {ended:?}");
        }
    }

    /// What the catalog shows of each hour: the newest version if the verb had to see to it, else that, or what it showed before, or what
    /// was `found` as the newest when the verb began.
    fn enter_shown(&mut self, plan: &Plan, seen: &Seen, is_done: bool, found: Option<Vec<(usize, usize)>>) {
        for number in 0..HOURS {
            let hour = &mut self.model.hours[number];
            let (newest, old, shown) = (hour.newest(), hour.shown, check::shown(seen, number));
            if is_done && plan.shown.contains(&number) {
                hour.shown = newest;
                continue;
            }
            // Without a change of the files an older number may stay.
            let may_follow = !is_done || hour.shows_head();
            let found = found.as_ref().map_or(newest, |found| found[number]);
            let one = |shown, old, found, newest| if may_follow && [found, newest].contains(&shown) { shown } else { old };
            hour.shown = (one(shown.0, old.0, found.0, newest.0), one(shown.1, old.1, found.1, newest.1));
        }
    }

    fn compare(&self, seen: &Seen, ledgers: &Hours) {
        check::compare(&self.model, &self.world, seen, ledgers);
    }

    /// What a verb said of itself, where nothing broke.
    fn check_answer(&self, plan: &Plan, ended: &Ended, verb: &Verb) {
        let answer = ended.answer.as_ref().unwrap();
        let document = match (&plan.answer, answer) {
            (Answer::Wrong, Err((Kind::Config, _))) | (Answer::Refused, Err((Kind::Data, _))) => return,
            // Nothing is there yet but reports of an hour that is still open.
            (Answer::Redrive(redrive), Err((Kind::Config, _))) if redrive.warns && plan.shown.is_empty() => return,
            (Answer::Done | Answer::Run(_) | Answer::Redrive(_), Ok(document)) => document,
            _ => panic!("{:?} was to be the answer, and it is {answer:?}", plan.answer),
        };
        let changed: Vec<(usize, &Version)> = plan
            .next
            .keys()
            .map(|hour| (*hour, self.model.hours[*hour].head().unwrap()))
            .filter(|(hour, head)| plan.next[hour].last() == Some(*head))
            .collect();
        match (verb, &plan.answer) {
            (Verb::Run { .. }, Answer::Run(run)) => self.check_run(document, run, &changed),
            (Verb::Repair { .. }, _) => {
                let action = if changed.is_empty() { "nothing to repair" } else { "repaired" };
                assert_eq!((&document["action"], &document["failures"], &document["warnings"]), (&json!(action), &json!([]), &json!([])));
            }
            (Verb::Rollback { .. }, _) => {
                let action = if changed.is_empty() { "nothing to do" } else { "rolled back" };
                let is_gone = |(hour, head): &(usize, &Version)| head.held.keys().any(|key| !self.model.hours[*hour].has_landed(key));
                let warnings = document["warnings"].as_array().unwrap().len();
                assert_eq!((&document["action"], warnings), (&json!(action), usize::from(changed.iter().any(is_gone))), "{document}");
            }
            (Verb::Redrive { dry_run, .. }, Answer::Redrive(redrive)) => check_redrive(document, redrive, *dry_run),
            _ => self.check_sweep(document, plan),
        }
    }

    fn check_run(&self, document: &Value, run: &Run, changed: &[(usize, &Version)]) {
        let table = &document["tables"][0];
        let Run { landed, merged, rejected, held, pending, rolled_back, .. } = run;
        let mut objects = json!({"landed": landed, "merged": merged, "rejected": rejected, "held": held, "pending": pending});
        if *held == 0 {
            objects.as_object_mut().unwrap().remove("held");
        }
        assert_eq!(table["objects"], objects);
        assert_eq!(document["failures"].as_array().unwrap().len(), run.failures, "{}", document["failures"]);
        let told = table["partitions"].as_array().unwrap().iter();
        let told: Vec<Value> = told.map(|hour| json!([hour["values"]["hour"], hour["action"], hour["rows"], hour["complete"]])).collect();
        let hour = |(hour, head): &(usize, &Version)| {
            let action = if head.operation == Operation::Create { "created" } else { "amended" };
            json!([
                format!("{:02}", super::reference::FIRST_HOUR + *hour as i64),
                action,
                head.rows.len(),
                head.missing.is_empty() && head.held.is_empty()
            ])
        };
        assert_eq!(told, changed.iter().map(hour).collect::<Vec<_>>());
        let mut warnings = table["warnings"].as_array().unwrap().clone();
        let of_failing = |warning: &Value| warning.as_str().unwrap().contains("it has been failing since");
        warnings.retain(|warning| self.broken_runs == 0 || !of_failing(warning));
        let again: BTreeSet<String> = warnings
            .iter()
            .filter_map(|warning| Some(warning.as_str()?.strip_prefix("object ")?.split_once(" was written again")?.0.to_string()))
            .collect();
        assert_eq!(again, run.changed, "objects that were written again");
        let of_rollbacks = warnings.iter().filter(|warning| warning.as_str().unwrap().contains("it was rolled back")).count();
        assert_eq!((of_rollbacks > 0, warnings.len()), (*held + *rolled_back > 0, again.len() + of_rollbacks), "{warnings:?}");
    }

    fn check_sweep(&self, document: &Value, plan: &Plan) {
        assert_eq!(document["failures"], json!([]));
        let removed = document["removed"].as_array().unwrap().iter().filter(|removed| removed["kind"] == "retired");
        let place = |removed: &Value| {
            let partition = removed["partition"].as_str().unwrap();
            (hour_of(partition.rsplit('=').next().unwrap()), folder_of(removed["location"].as_str().unwrap()))
        };
        let removed: BTreeSet<(usize, Folder)> = removed.map(place).collect();
        let mut wanted = BTreeSet::new();
        for (hour, next) in plan.next.iter().flat_map(|(hour, next)| next.iter().map(move |next| (hour, next))) {
            let before = self.model.hours[*hour].versions.iter().rev().nth(1).unwrap();
            wanted.extend(before.retired.iter().filter(|retired| !next.retired.contains(retired)).map(|retired| (*hour, retired.folder)));
        }
        // And what sweeps that broke took out of a ledger and did not come to remove.
        assert!(if self.leavings.since.is_some() { removed.is_superset(&wanted) } else { removed == wanted }, "{document}");
    }

    fn check_leftovers(&mut self) {
        let mut left = leftovers(&self.world.lake);
        // The folder of an hour may be empty, that of a generation not.
        left.retain(|path| !path.ends_with('/') || !attempts_in(path).is_empty());
        // What is known of a failing hour stays until a run looks at it.
        if self.leavings.run && self.leavings.sweep && !left.iter().any(|path| path.contains("failing-shop.clicks-")) {
            self.leavings = Leavings::default();
        }
        if self.leavings.since.is_none() {
            assert_eq!(left, [] as [String; 0], "nothing is left behind");
        }
        for path in left {
            assert!(
                path.contains("note-shop.clicks-schema-") || !attempts_in(&path).is_empty(),
                "{path} does not say which attempt left it"
            );
        }
    }
}

fn check_redrive(document: &Value, wanted: &Redrive, dry_run: bool) {
    assert_eq!(document["failures"], json!([]));
    assert_eq!(document["errors"].as_array().unwrap().len(), wanted.taken, "{document}");
    let is_open = |warning: &Value| warning.as_str().unwrap().contains("still open");
    assert_eq!(document["warnings"].as_array().unwrap().iter().any(is_open), wanted.warns, "{document}");
    let told = document["partitions"].as_array().unwrap().iter().map(|hour| {
        let of = |name: &str| hour["reasons"].as_array().unwrap().iter().map(|reason| reason[name].as_u64().unwrap()).sum::<u64>();
        let tries = ["records", "passes", "fails", "left", "resolved", "not_kept"].map(of);
        (hour_of(hour["values"]["hour"].as_str().unwrap()), hour["action"].clone(), tries)
    });
    let changes = json!(if dry_run { "would redrive" } else { "redriven" });
    let wanted = wanted.tries.iter().map(|(hour, (Tries { records, passes, fails, left, resolved }, is_changed))| {
        let action = if *is_changed { changes.clone() } else { json!("nothing to redrive") };
        (*hour, action, [*records, *passes, *fails, *left, *resolved, 0])
    });
    assert_eq!(told.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
}

impl Leavings {
    fn enter(&mut self, model: &Lake, verb: &Verb, plan: &Plan, broke: bool) {
        if broke {
            *self = Self { since: Some(model.now), ..Self::default() };
            return;
        }
        let Some(since) = self.since else { return };
        self.run |= matches!(plan.answer, Answer::Run(_)) && model.now > since + LONGEST;
        self.sweep |= *verb == Verb::Sweep && model.exists && model.now > since + LONGEST + model.settings.grace * 60;
    }
}
