//! What may happen to a lake, as values that proptest draws and makes smaller.

use lakebed::standardize::reject::Code;
use proptest::collection::vec;
use proptest::prelude::*;

/// The hours of the lake: 2026-11-19T09 and those that follow.
pub const HOURS: usize = 4;
/// Names that objects have in each hour.
const NAMES: usize = 9;
/// Ids that records have.
const IDS: u8 = 12;

/// A lake's settings, and what happens to it.
#[derive(Debug, Clone)]
pub struct Story {
    pub settings: Settings,
    pub steps: Vec<Step>,
}

/// Settings that decide what the verbs do.
#[derive(Debug, Clone)]
pub struct Settings {
    pub deduplicate: bool,
    pub sort: bool,
    /// `[lake] grace`, hours.
    pub grace: i64,
    /// `lookback`, hours.
    pub lookback: i64,
    /// `row_group_size` in bytes, if it is not the default; a file has two of them.
    pub row_group: Option<u64>,
}

/// What records have to be by the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Ids below it are allowed.
    pub ids: u8,
    /// `max_ratio`, tenths.
    pub ratio: u8,
}

/// The first rules of each story: all ids are allowed, and an object of which more than half is bad is set aside.
pub const LOOSE: Rules = Rules { ids: IDS, ratio: 5 };

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// An object lands: a new one, or another content under the name of one that is there.
    Land { hour: usize, name: usize, content: Content },
    /// The object of a name lands once more under another.
    Copy { hour: usize, from: usize, to: usize },
    /// An object is removed from the landing, by a rule of the bucket say.
    Expire { hour: usize, name: usize },
    /// Firehose reports records that it could not deliver, below its error prefix.
    Report { hour: usize, name: usize, records: Vec<Record> },
    /// Somebody changes what records have to be.
    Rule(Rules),
    /// Time passes.
    Wait { minutes: i64 },
    /// Somebody does something.
    Do(Verb),
    /// Somebody begins it, and it breaks.
    Break(Verb, Break),
}

/// What people and schedules do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// `run`, for the time some hours ago, `--since` one of the lake's hours.
    Run {
        ago: i64,
        since: Option<usize>,
    },
    Repair {
        hour: usize,
        from_merged: bool,
    },
    /// `rollback`, to the generation of a number or to the one before.
    Rollback {
        hour: usize,
        to: Option<u64>,
    },
    Sweep,
    /// `redrive`, of an hour or of all, of records with one reason or with any.
    Redrive {
        hour: Option<usize>,
        reason: Option<Code>,
        dry_run: bool,
    },
}

impl Verb {
    /// It changes nothing.
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Redrive { dry_run: true, .. })
    }
}

/// Where something breaks, and how.
#[derive(Debug, Clone)]
pub struct Break {
    /// Requests to the state location and the catalog that go well before.
    pub after: u32,
    pub how: How,
}

/// How something breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The process dies before the next request.
    Dies,
    /// The process dies right after the next request had its effect.
    DiesAfter,
    /// The next request and all after it fail.
    Down,
    /// The next request fails.
    Fails,
    /// The next request has its effect, and its answer is lost.
    AnswerLost,
}

/// What is in an object.
#[derive(Debug, Clone)]
pub struct Content {
    pub records: Vec<Record>,
    /// How often these records are in it.
    pub times: usize,
    pub form: Form,
}

/// A record. All have a number that no other one has, but in copies of their object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A row of that id.
    Id(u8),
    /// A row of that id, with a field that the table does not have.
    Stranger(u8),
    /// A row without an id.
    NoId,
    /// Its number is a text.
    Bad,
}

/// How the records are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    Gzip,
    /// Gzip without its last bytes, which say whether all is there.
    Cut,
    /// The first bytes of gzip alone.
    Headless,
    /// Gzip whose checksum is another one's.
    Corrupt,
}

/// Stories of up to so many scenes. The first one merges an hour, as not much can happen without one.
pub fn story(scenes: usize) -> impl Strategy<Value = Story> {
    let begin = vec(land(Just(0)), 0..3).prop_map(|steps| [steps, vec![Step::Do(Verb::Run { ago: 0, since: None })]].concat());
    (settings(), begin, vec(scene(), scenes / 3..=scenes))
        .prop_map(|(settings, first, rest)| Story { settings, steps: [first, rest.concat()].concat() })
}

fn settings() -> impl Strategy<Value = Settings> {
    let row_group = prop_oneof![Just(None), Just(Some(16 << 10)), Just(Some(1 << 10))];
    let (grace, lookback) = (prop_oneof![1 => Just(0i64), 2 => Just(1), 2 => Just(24)], prop_oneof![Just(48i64), Just(3)]);
    (any::<bool>(), any::<bool>(), grace, lookback, row_group).prop_map(|(deduplicate, sort, grace, lookback, row_group)| Settings {
        deduplicate,
        sort,
        grace,
        lookback,
        row_group,
    })
}

/// A few steps that belong together, so that a verb has something to do often enough.
fn scene() -> impl Strategy<Value = Vec<Step>> {
    let minutes = prop_oneof![12 => Just(5i64), 12 => Just(70), 1 => Just(25 * 60), 1 => Just(75 * 60)];
    let copy = (hour(), 0..NAMES, 0..NAMES).prop_map(|(hour, from, to)| Step::Copy { hour, from, to });
    let expire = (hour(), 0..NAMES).prop_map(|(hour, name)| Step::Expire { hour, name });
    prop_oneof![
        3 => land(hour()).prop_map(|step| vec![step]),
        1 => copy.prop_map(|step| vec![step]),
        1 => expire.prop_map(|step| vec![step]),
        3 => minutes.prop_map(|minutes| vec![Step::Wait { minutes }]),
        5 => (land(hour()), done(run())).prop_map(|(land, run)| vec![land, run]),
        3 => (land(hour()), done(repair())).prop_map(|(land, repair)| vec![land, repair]),
        3 => (land(Just(0)), run(), done(rollback())).prop_map(|(land, run, rollback)| vec![land, Step::Do(run), rollback]),
        1 => (0..NAMES, repair()).prop_map(|(name, repair)| vec![Step::Expire { hour: 0, name }, Step::Do(repair)]),
        6 => done(verb()).prop_map(|step| vec![step]),
        1 => rules().prop_map(|rules| vec![Step::Rule(rules)]),
        2 => (strict(), report(), done(redrive())).prop_map(|(rules, report, redrive)| vec![Step::Rule(rules), report, redrive]),
        5 => (strict(), land(hour()), run(), rules(), done(redrive())).prop_map(|(strict, land, run, rules, redrive)| {
            vec![Step::Rule(strict), land, Step::Do(run), Step::Rule(rules), redrive]
        }),
        2 => (rules(), done(redrive()), done(redrive())).prop_map(|(rules, one, other)| vec![Step::Rule(rules), one, other]),
    ]
}

/// An object, under a name that may be taken.
fn land(hour: impl Strategy<Value = usize>) -> impl Strategy<Value = Step> {
    (hour, 0..NAMES, content()).prop_map(|(hour, name, content)| Step::Land { hour, name, content })
}

fn report() -> impl Strategy<Value = Step> {
    (hour(), 0..3usize, vec(record(), 1..4)).prop_map(|(hour, name, records)| Step::Report { hour, name, records })
}

fn rules() -> impl Strategy<Value = Rules> {
    let ids = prop_oneof![1 => Just(5u8), 1 => Just(9), 2 => Just(IDS)];
    (ids, prop_oneof![1 => Just(2u8), 2 => Just(5), 1 => Just(10)]).prop_map(|(ids, ratio)| Rules { ids, ratio })
}

/// Rules that many records break.
fn strict() -> impl Strategy<Value = Rules> {
    (prop_oneof![Just(3u8), Just(7)], prop_oneof![1 => Just(2u8), 2 => Just(5), 2 => Just(10)])
        .prop_map(|(ids, ratio)| Rules { ids, ratio })
}

/// Where something breaks, and how.
pub fn at_some_request() -> impl Strategy<Value = Break> {
    let how = prop_oneof![Just(How::Dies), Just(How::DiesAfter), Just(How::Down), Just(How::Fails), Just(How::AnswerLost)];
    (prop_oneof![0u32..12, 12u32..40], how).prop_map(|(after, how)| Break { after, how })
}

/// A verb that is done, or breaks.
fn done(verb: impl Strategy<Value = Verb>) -> impl Strategy<Value = Step> {
    (verb, prop::option::weighted(0.4, at_some_request())).prop_map(|(verb, at)| match at {
        None => Step::Do(verb),
        Some(at) => Step::Break(verb, at),
    })
}

/// The first hours most of all: so more happens to one.
fn hour() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(0usize), 2 => Just(1), 1 => 2..HOURS]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![2 => run(), 2 => repair(), 5 => rollback(), 2 => Just(Verb::Sweep), 2 => redrive()]
}

fn rollback() -> impl Strategy<Value = Verb> {
    let to = prop_oneof![3 => Just(None), 1 => (1u64..4).prop_map(Some), 1 => (4u64..9).prop_map(Some)];
    (hour(), to).prop_map(|(hour, to)| Verb::Rollback { hour, to })
}

fn run() -> impl Strategy<Value = Verb> {
    let ago = prop_oneof![4 => Just(0i64), 2 => Just(1), 1 => Just(30)];
    let since = prop_oneof![3 => Just(None), 2 => Just(Some(0usize)), 1 => Just(Some(1))];
    (ago, since).prop_map(|(ago, since)| Verb::Run { ago, since })
}

fn repair() -> impl Strategy<Value = Verb> {
    (hour(), prop::bool::weighted(0.3)).prop_map(|(hour, from_merged)| Verb::Repair { hour, from_merged })
}

fn redrive() -> impl Strategy<Value = Verb> {
    let hour = prop_oneof![2 => Just(None), 3 => hour().prop_map(Some)];
    let reason = prop_oneof![Just(Code::Rule), Just(Code::Type), Just(Code::SetAside), Just(Code::DamagedObject)];
    (hour, prop::option::weighted(0.3, reason), prop::bool::weighted(0.1)).prop_map(|(hour, reason, dry_run)| Verb::Redrive {
        hour,
        reason,
        dry_run,
    })
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        6 => (0..IDS).prop_map(Record::Id),
        2 => (0..IDS).prop_map(Record::Stranger),
        1 => Just(Record::NoId),
        2 => Just(Record::Bad),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let times = prop_oneof![8 => Just(1usize), 1 => Just(40), 1 => Just(200)];
    let form = prop_oneof![
        6 => Just(Form::Plain),
        3 => Just(Form::Gzip),
        1 => Just(Form::Cut),
        1 => Just(Form::Headless),
        1 => Just(Form::Corrupt),
    ];
    (vec(record(), 0..6), times, form).prop_map(|(records, times, form)| Content { records, times, form })
}
