//! Finds the objects that landed in a span of hours, by listing the prefix tree and pruning what cannot lead there.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{SubsecRound, TimeDelta};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::arrival::{Arrival, arrival, error_hour, is_error_output};
use super::matching::depth;
use super::prefix::{Prefix, TimeField};
use super::{Hours, LandedObject, in_order};
use crate::config::TableConfig;
use crate::error::Result;
use crate::hour::Hour;
use crate::store::listing::Listed;
use crate::store::{Root, parse, refusal};

/// What lies in a landing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discovery {
    /// The objects of the hours asked for, ordered by hour and key.
    pub objects: Vec<LandedObject>,
    /// Keys, or `/`-ended folders, that fit neither prefix or that no path of a store can have: the first 20 by name. They are not read, so they are
    /// to be reported.
    pub unknown: Vec<String>,
    /// How many of them there are.
    pub unknown_count: u64,
}

const UNKNOWN_NAMED: usize = 20;

/// List requests on their way at the same time.
const CONCURRENT: usize = 16;

/// Finds the objects of the hours `from` to `to`, both included; `root` is the table's landing.
///
/// Folders are listed one level at a time, only where their name can lead to these hours; from the level that fixes the day
/// on, everything below comes in one flat listing. So the number of requests grows with the days asked for and not with
/// the years that lie there, and no hour has a request of its own. Where partition keys stand before the time, each of their values is
/// walked that way: with `!{timestamp:yyyy/MM/dd/HH}/` one request for its years, one for each year and month that the hours touch, and
/// one for each of their days; one or two if nothing came lately. Keys behind the time cost no request. Error output, hidden names (a part that starts with `.`
/// or `_`, unless the prefix says so), unfinished uploads (`name#1`) and folder markers are left out.
///
/// # Errors
/// `Unavailable` if the landing cannot be listed.
pub async fn discover(root: &Root, table: &TableConfig, from: Hour, to: Hour) -> Result<Discovery> {
    find(root, table, &Hours::span(from, to)).await
}

/// As [`discover`], of these hours: each day that has one of them costs as a day of a span does.
///
/// # Errors
/// As [`discover`].
pub async fn find(root: &Root, table: &TableConfig, hours: &Hours) -> Result<Discovery> {
    let window = Window::new(table, hours);
    let found = walk(root, &window).await.map_err(|e| {
        let what = format!("cannot list {}, the landing of table `{}`", table.landing, table.name);
        refusal::failed(&what, &e, "make what is named there readable or move it away, then run again")
    })?;
    Ok(found.finish())
}

async fn walk(root: &Root, window: &Window<'_>) -> Result<Found, object_store::Error> {
    let mut found = Found::default();
    let (mut level, mut flat) = (Vec::new(), Vec::new());
    sort_out(window.start()?, window, &mut level, &mut flat, &mut found);
    while !level.is_empty() {
        let requests = stream::iter(level.drain(..).map(|folder: Option<Path>| async move { root.level(folder.as_ref()).await }));
        let listed: Vec<Listed> = requests.buffer_unordered(CONCURRENT).try_collect().await?;
        for result in listed {
            result.objects.iter().for_each(|meta| found.take(meta, window));
            result.odd.into_iter().for_each(|name| found.note_unknown(name));
            result.folders.into_iter().for_each(|folder| sort_out(Some(folder), window, &mut level, &mut flat, &mut found));
        }
    }
    let below = |folder: Option<Path>| async move { root.below(folder.as_ref(), |some: &mut Found, meta| some.take(meta, window)).await };
    let mut all = stream::iter(flat.into_iter().map(below)).buffer_unordered(CONCURRENT);
    while let Some((some, odd)) = all.try_next().await? {
        found.extend(some);
        odd.into_iter().for_each(|name| found.note_unknown(name));
    }
    drop(all);
    Ok(found)
}

/// Puts a folder (`None` is the landing itself) where its [`Step`] says.
fn sort_out(path: Option<Path>, window: &Window<'_>, level: &mut Vec<Option<Path>>, flat: &mut Vec<Option<Path>>, found: &mut Found) {
    let folder = path.as_ref().map_or(String::new(), |path| format!("{path}/"));
    match window.step(&folder) {
        Step::Descend => level.push(path),
        Step::ListAll => flat.push(path),
        Step::Skip => {}
        Step::Unknown => found.note_unknown(folder),
    }
}

/// What to do with a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// List one level; the folders below say more about the time.
    Descend,
    /// List everything below at once.
    ListAll,
    /// Nothing of these hours, or nothing to be read, is in it.
    Skip,
    /// Neither prefix leads here.
    Unknown,
}

/// The hours asked for, and what decides which keys belong to them.
struct Window<'a> {
    table: &'a TableConfig,
    hours: &'a Hours,
    /// How far the hours of a folder's name may be from those of what is in it.
    slack: TimeDelta,
}

impl<'a> Window<'a> {
    fn new(table: &'a TableConfig, hours: &'a Hours) -> Self {
        // Where the hour is the name's, and the path's day that of the oldest record, the two may lie on both sides of midnight.
        let slack = if table.prefix.time_fields().contains(&TimeField::Hour) { TimeDelta::zero() } else { TimeDelta::hours(1) };
        Self { table, hours, slack }
    }

    fn prefix(&self) -> &Prefix {
        &self.table.prefix
    }

    /// The deepest folder that all keys of the prefix lie in.
    fn start(&self) -> Result<Option<Path>, object_store::path::Error> {
        let folder = self.prefix().literal_folder();
        if folder.is_empty() { Ok(None) } else { Path::parse(folder).map(Some) }
    }

    /// True if objects of the hours asked for may be in a folder of these hours.
    fn may_hold(&self, first: Hour, last: Hour) -> bool {
        self.hours.meet(Hour::of(first.start() - self.slack), Hour::of(last.start() + self.slack))
    }

    fn step(&self, folder: &str) -> Step {
        let errors = self.table.error_prefix.as_ref();
        if is_hidden(folder, self.prefix()) || is_error_output(folder, self.prefix(), errors) {
            return Step::Skip;
        }
        let Some(time) = self.prefix().match_folder(folder) else {
            return if errors.is_some_and(|errors| errors.may_cover(folder)) { Step::Skip } else { Step::Unknown };
        };
        match time.hour_range(self.table.timezone) {
            Some((first, last)) if !self.may_hold(first, last) => Step::Skip,
            _ if time.fixes_day() || !self.prefix().has_time_below(depth(folder)) => Step::ListAll,
            _ => Step::Descend,
        }
    }
}

/// What an entry of a listing is.
enum Entry {
    /// Data.
    Landed(LandedObject),
    /// Error output, hidden, or no object of Firehose's.
    Passed,
    /// Neither prefix makes such a key.
    Unknown,
}

fn entry(meta: &ObjectMeta, table: &TableConfig) -> Entry {
    let key = meta.location.as_ref();
    if is_hidden(key, &table.prefix) || is_unfinished(key) || is_folder_marker(meta, &table.prefix) {
        return Entry::Passed;
    }
    match arrival(key, &table.prefix, table.error_prefix.as_ref(), table.timezone) {
        Arrival::Landed { hour, values } => Entry::Landed(object(meta, hour, values)),
        Arrival::ErrorOutput => Entry::Passed,
        Arrival::Unknown => Entry::Unknown,
    }
}

/// The landed object of that key, relative to the landing, as it is now; `None` if it is gone, or none of the table's data.
///
/// # Errors
/// `Unavailable` if the landing cannot be read.
pub async fn landed(root: &Root, table: &TableConfig, key: &str) -> Result<Option<LandedObject>> {
    // What cannot be a path in a store, with `//` for example, cannot be read by a run either, which tells of it.
    let Some(location) = parse(key).ok().filter(|location| location.as_ref() == key) else { return Ok(None) };
    let found = head(root, location).await?;
    Ok(found.and_then(|meta| if let Entry::Landed(object) = entry(&meta, table) { Some(object) } else { None }))
}

/// What the store says of an object; `None` if it is gone.
async fn head(root: &Root, location: Path) -> Result<Option<ObjectMeta>> {
    match root.store().head(&location).await {
        // Below a prefix of a bucket the store answers with the whole key.
        Ok(meta) => Ok(Some(ObjectMeta { location, ..meta })),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(root.failed("cannot read", location.as_ref(), &e, "it is tried again")),
    }
}

fn object(meta: &ObjectMeta, hour: Hour, path_values: BTreeMap<String, String>) -> LandedObject {
    let came = Some(meta.last_modified.trunc_subsecs(0));
    LandedObject { key: meta.location.to_string(), etag: etag(meta), size: meta.size, hour, path_values, came }
}

/// What lies below the error prefix.
#[derive(Debug, Default)]
pub struct ErrorObjects {
    /// Firehose's error objects of the hours asked for, in the order of hour and key.
    pub objects: Vec<LandedObject>,
    /// Keys of objects of which neither the path nor the name tells when they were written.
    pub untimed: Vec<String>,
}

/// Firehose's error objects of the hours `from` to `to`, both included. Which hours their records arrived in is in them alone. Everything below the error prefix is listed, so the number of requests grows with the errors that lie there.
///
/// # Errors
/// `Unavailable` if the landing cannot be listed.
pub async fn error_objects(root: &Root, table: &TableConfig, from: Hour, to: Hour) -> Result<ErrorObjects> {
    let Some(errors) = &table.error_prefix else { return Ok(ErrorObjects::default()) };
    let mut found = walk_errors(root, table, errors).await.map_err(|e| {
        refusal::failed(&format!("cannot list the error objects below {}", table.landing), &e, "make what is named there readable")
    })?;
    found.objects.retain(|object| from <= object.hour && object.hour <= to);
    in_order(&mut found.objects);
    found.untimed.sort();
    Ok(found)
}

async fn walk_errors(root: &Root, table: &TableConfig, errors: &Prefix) -> Result<ErrorObjects, object_store::Error> {
    let is_error = |path: &str| !is_hidden(path, errors) && is_error_output(path, &table.prefix, Some(errors));
    let start = match errors.literal_folder() {
        "" => None,
        folder => Some(Path::parse(folder)?),
    };
    let top = root.level(start.as_ref()).await?;
    // What no path can name cannot be read: it is told with those that nobody can tell the hour of.
    let (mut all, mut found) = (top.objects, ErrorObjects { untimed: top.odd, ..ErrorObjects::default() });
    for folder in top.folders {
        let name = format!("{folder}/");
        if is_error(&name) || errors.match_folder(&name).is_some() {
            let (some, odd) = root.below(Some(&folder), |all: &mut Vec<ObjectMeta>, meta| all.push(meta.clone())).await?;
            all.extend(some);
            found.untimed.extend(odd);
        }
    }
    for meta in all.iter().filter(|meta| is_error(meta.location.as_ref()) && !is_unfinished(meta.location.as_ref()) && meta.size > 0) {
        match error_hour(meta.location.as_ref(), errors, table.timezone) {
            Some(hour) => found.objects.push(object(meta, hour, BTreeMap::new())),
            None => found.untimed.push(meta.location.to_string()),
        }
    }
    Ok(found)
}

/// The error object of that key, as it is now, for the partition of `hour`; `None` if it is gone.
///
/// # Errors
/// `Unavailable` if the landing cannot be read.
pub async fn error_object(root: &Root, key: &str, hour: Hour) -> Result<Option<LandedObject>> {
    Ok(head(root, parse(key)?).await?.map(|meta| object(&meta, hour, BTreeMap::new())))
}

#[derive(Default)]
struct Found {
    objects: Vec<LandedObject>,
    unknown: BTreeSet<String>,
    unknown_count: u64,
}

impl Found {
    fn take(&mut self, meta: &ObjectMeta, window: &Window<'_>) {
        match entry(meta, window.table) {
            Entry::Landed(object) if window.hours.has(object.hour) => self.objects.push(object),
            Entry::Landed(_) | Entry::Passed => {}
            Entry::Unknown => self.note_unknown(meta.location.to_string()),
        }
    }

    fn extend(&mut self, other: Self) {
        self.objects.extend(other.objects);
        let named = other.unknown.len() as u64;
        other.unknown.into_iter().for_each(|path| self.note_unknown(path));
        self.unknown_count += other.unknown_count - named;
    }

    /// Keeps the first few by name, so that a landing full of strangers costs no memory and is told the same way each time.
    fn note_unknown(&mut self, path: String) {
        self.unknown_count += 1;
        self.unknown.insert(path);
        if self.unknown.len() > UNKNOWN_NAMED {
            self.unknown.pop_last();
        }
    }

    fn finish(mut self) -> Discovery {
        in_order(&mut self.objects);
        Discovery { objects: self.objects, unknown: self.unknown.into_iter().collect(), unknown_count: self.unknown_count }
    }
}

/// Athena and Hive take such names for hidden, too.
fn is_hidden(path: &str, prefix: &Prefix) -> bool {
    path.split('/').enumerate().any(|(index, part)| part.starts_with(['.', '_']) && !prefix.names_hidden(index))
}

/// The name under which a local store writes before it renames.
fn is_unfinished(key: &str) -> bool {
    key.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// An empty object that stands for a folder: Hadoop's `x_$folder$`, or the console's `x/`, whose slash the store takes off.
fn is_folder_marker(meta: &ObjectMeta, prefix: &Prefix) -> bool {
    let key = meta.location.as_ref();
    let stands_for_folder = || prefix.match_key(key).is_none() && prefix.match_folder(&format!("{key}/")).is_some();
    meta.size == 0 && (key.ends_with("_$folder$") || stands_for_folder())
}

/// The store's entity tag; for a store that has none, what changes when the object does.
fn etag(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_else(|| format!("{}-{}", meta.size, meta.last_modified.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;
    use async_trait::async_trait;
    use chrono::DateTime;
    use futures::stream::BoxStream;
    use object_store::memory::InMemory;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
        PutResult,
    };
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn table(settings: &str) -> TableConfig {
        let text = format!("[[table]]\nname = \"shop.clicks\"\nlanding = \"landed\"\nlocation = \"lake\"\n{settings}");
        crate::config::load(&text, std::path::Path::new("/etl"), &|_| None).unwrap().tables.remove(0)
    }

    fn hour(text: &str) -> Hour {
        text.parse().unwrap()
    }

    async fn check(settings: &str, keys: &[&str], span: (&str, &str), expected: &str) {
        let root = Root::in_memory();
        for key in keys {
            let bytes = if key.ends_with('$') || !key.contains("clicks") { "" } else { "{}" };
            root.store().put(&store::parse(key).unwrap(), PutPayload::from(bytes)).await.unwrap();
        }
        let found = discover(&root, &table(settings), hour(span.0), hour(span.1)).await.unwrap();
        let objects = found.objects.iter().map(|object| format!("{} {}", object.hour, object.key));
        let unknown = found.unknown.iter().map(|path| format!("? {path}"));
        assert_eq!(objects.chain(unknown).collect::<Vec<_>>().join("\n"), expected);
        assert_eq!(found.unknown_count, found.unknown.len() as u64);
        assert!(found.objects.iter().all(|object| object.size == 2 && !object.etag.is_empty()));
    }

    #[tokio::test]
    async fn finds_the_hours_asked_for_and_reports_strangers() {
        let keys = [
            "2025/11/19/14/clicks-0",
            "2026/11/19/13/clicks-1",
            "2026/11/19/14/clicks-3",
            "2026/11/19/14/clicks-2",
            "2026/11/19/15/clicks-4",
            "2026/11/19/16/clicks-5",
            "2026/11/19/clicks-lost",
            "2026/11/19/14/deep/clicks-6",
            "2026/11/19/14/.clicks-7",
            "2026/11/19/14/_temporary/clicks-8",
            "2026/11/19/14/clicks-9#12",
            "2026/11/19/14_$folder$",
            "2026/11/19/14",
            "errors/processing-failed/2026/11/19/14/clicks-10",
            "errors/other/clicks-11",
            "exports/clicks-12",
            "clicks.readme",
            "_SUCCESS",
        ];
        let settings = "error_prefix = \"errors/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd/HH}/\"";
        let expected = "2026-11-19T14 2026/11/19/14/clicks-2\n\
                        2026-11-19T14 2026/11/19/14/clicks-3\n\
                        2026-11-19T15 2026/11/19/15/clicks-4\n\
                        ? 2026/11/19/14/deep/clicks-6\n\
                        ? 2026/11/19/clicks-lost\n\
                        ? clicks.readme\n\
                        ? exports/";
        check(settings, &keys, ("2026-11-19T14", "2026-11-19T15"), expected).await;
    }

    #[tokio::test]
    async fn error_objects_are_found_wherever_the_error_prefix_leads() {
        let name = |hour: &str| format!("clicks-1-2026-11-19-{hour}-05-09-a9fa96af-e4e4-409f-bac3-1f804714faaa");
        let check = async |errors: &str, keys: &[String], expected: &[&String], untimed: &[&str]| {
            let root = Root::in_memory();
            for key in keys {
                root.store().put(&store::parse(key).unwrap(), PutPayload::from("{}")).await.unwrap();
            }
            let found = error_objects(&root, &table(errors), hour("2026-11-19T14"), hour("2026-11-19T15")).await.unwrap();
            assert_eq!(found.objects.iter().map(|object| &object.key).collect::<Vec<_>>(), expected, "{errors}");
            assert_eq!(found.untimed, untimed, "{errors}");
        };
        let own = ["13", "14", "16"].map(|hour| format!("errors/processing-failed/{}", name(hour)));
        let [data, strange] = [format!("2026/11/19/14/{}", name("14")), "errors/processing-failed/strange".to_string()];
        let keys = [&own[..], &[data.clone(), strange]].concat();
        check("error_prefix = \"errors/!{firehose:error-output-type}/\"", &keys, &[&own[1]], &[&keys[4]]).await;
        check("error_prefix = \"errors/\"", &keys, &[&own[1]], &[&keys[4]]).await;
        check("", &keys, &[], &[]).await;
        let dated = ["14", "15", "16"].map(|hour| format!("processing-failed/2026/11/19/{hour}/a-name"));
        let keys = [&dated[..], &[data]].concat();
        let errors = "error_prefix = \"!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd/HH}/\"";
        check(errors, &keys, &[&dated[0], &dated[1]], &[]).await;
    }

    #[tokio::test]
    async fn a_folder_before_the_time_is_entered_directly() {
        let keys = ["_raw/clicks/2026-11-19/14-clicks-1", "_raw/orders/2026-11-19/14-clicks-2", "other/clicks"];
        let expected = "2026-11-19T14 _raw/clicks/2026-11-19/14-clicks-1";
        check("prefix = \"_raw/clicks/!{timestamp:yyyy-MM-dd/HH}-\"", &keys, ("2026-11-19T14", "2026-11-19T14"), expected).await;
    }

    #[tokio::test]
    async fn the_name_tells_the_hour_where_the_path_does_not() {
        let name = |time: &str| format!("clicks-1-{time}-a9fa96af-e4e4-409f-bac3-1f804714faaa.gz");
        // The second object's buffer was opened before midnight and named after it.
        let keys = [
            format!("2026/11/19/{}", name("2026-11-19-14-05-09")),
            format!("2026/11/19/{}", name("2026-11-20-00-00-01")),
            format!("2026/11/18/{}", name("2026-11-18-14-05-09")),
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let expected = format!("2026-11-20T00 {}", keys[1]);
        check("prefix = \"!{timestamp:yyyy/MM/dd}/\"", &keys, ("2026-11-20T00", "2026-11-20T05"), &expected).await;
        let keys = [format!("c=7/{}", name("2026-11-19-14-05-09")), "c=7/2026/11/19/14/clicks-2".to_string()];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let expected = format!("2026-11-19T14 {}\n2026-11-19T14 {}", keys[1], keys[0]);
        check("prefix = \"c=!{partitionKeyFromQuery:c}/\"", &keys, ("2026-11-19T00", "2026-11-19T23"), &expected).await;
    }

    #[tokio::test]
    async fn a_zone_moves_the_days_that_are_listed() {
        let keys = ["2026/11/19/23/clicks-1", "2026/11/20/00/clicks-2", "2026/11/20/08/clicks-3", "2026/11/20/09/clicks-4"];
        let expected = "2026-11-19T14 2026/11/19/23/clicks-1\n\
                        2026-11-19T15 2026/11/20/00/clicks-2\n\
                        2026-11-19T23 2026/11/20/08/clicks-3";
        check("timezone = \"Asia/Tokyo\"", &keys, ("2026-11-19T14", "2026-11-19T23"), expected).await;
    }

    #[tokio::test]
    async fn strangers_are_counted_and_the_first_named() {
        let root = Root::in_memory();
        for number in 0..50 {
            root.store().put(&store::parse(&format!("strange-{number:02}")).unwrap(), PutPayload::from("{}")).await.unwrap();
        }
        let found = discover(&root, &table(""), hour("2026-11-19T14"), hour("2026-11-19T14")).await.unwrap();
        assert_eq!((found.unknown.len(), found.unknown_count), (20, 50));
        assert_eq!(found.unknown.last().map(String::as_str), Some("strange-19"));
    }

    #[tokio::test]
    async fn a_local_folder_is_read_like_a_bucket() {
        let folder = tempfile::tempdir().unwrap();
        let root =
            crate::store::Stores::default().existing(&crate::config::Location::of_folder(folder.path()).unwrap(), "landing").unwrap();
        let settings = table("prefix = \"c=!{partitionKeyFromQuery:c}/!{timestamp:yyyy/MM/dd/HH}/\"");
        let span = (hour("2026-11-19T14"), hour("2026-11-19T14"));
        assert_eq!(discover(&root, &settings, span.0, span.1).await.unwrap(), Discovery::default());
        std::fs::create_dir_all(folder.path().join("c=a b+%20é/2026/11/19/14")).unwrap();
        std::fs::write(folder.path().join("c=a b+%20é/2026/11/19/14/clicks-1"), "{}").unwrap();
        let found = discover(&root, &settings, span.0, span.1).await.unwrap();
        let [object] = found.objects.as_slice() else { panic!("{found:?}") };
        assert_eq!(object.path_values["c"], "a b+%20é");
        assert_eq!(root.read(&object.key).await.unwrap().unwrap(), "{}");
    }

    /// Counts list requests.
    #[derive(Debug)]
    struct Counting(InMemory, AtomicUsize);

    impl std::fmt::Display for Counting {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }

    type Stored<T> = object_store::Result<T>;

    #[async_trait]
    impl ObjectStore for Counting {
        async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> Stored<PutResult> {
            self.0.put_opts(at, bytes, options).await
        }

        async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Stored<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(at, options).await
        }

        async fn get_opts(&self, at: &Path, options: GetOptions) -> Stored<GetResult> {
            self.0.get_opts(at, options).await
        }

        fn delete_stream(&self, paths: BoxStream<'static, Stored<Path>>) -> BoxStream<'static, Stored<Path>> {
            self.0.delete_stream(paths)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Stored<ObjectMeta>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Stored<ListResult> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Stored<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    /// Objects found in 48 hours, and the list requests for them, where four years of objects have these keys, one every four hours for
    /// each of `values`: the first text goes before the time's path, the other one behind it.
    async fn requests(prefix: &str, values: &[(&str, &str)]) -> (usize, usize) {
        requests_with(prefix, values, &[]).await
    }

    /// As [`requests`], of these hours before the 48 too.
    async fn requests_with(prefix: &str, values: &[(&str, &str)], older: &[&str]) -> (usize, usize) {
        let store = Arc::new(Counting(InMemory::new(), AtomicUsize::new(0)));
        let start = "2023-01-01T00:00:00Z".parse::<DateTime<chrono::Utc>>().unwrap();
        for hours in (0..4 * 365 * 24).step_by(4) {
            let at = start + TimeDelta::hours(hours);
            for (before, behind) in values {
                let key = format!("{before}{}/{behind}clicks-1", at.format("%Y/%m/%d/%H"));
                store.put(&store::parse(&key).unwrap(), PutPayload::from("{}")).await.unwrap();
            }
        }
        let table = table(&format!("prefix = \"{prefix}\""));
        let older = older.iter().copied().map(hour);
        let hours = Hours::and_before(hour("2026-11-17T14"), hour("2026-11-19T13"), older);
        let window = Window::new(&table, &hours);
        let root = Root::of_store(store.clone(), "memory:///".parse().unwrap());
        let found = walk(&root, &window).await.unwrap().finish();
        assert_eq!(found.unknown_count, 0);
        (found.objects.len(), store.1.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn years_of_data_cost_a_handful_of_requests() {
        // The root, a year, a month, and three days.
        assert_eq!(requests("!{timestamp:yyyy/MM/dd/HH}/", &[("", "")]).await, (12, 6));
    }

    #[tokio::test]
    async fn hours_of_before_the_span_cost_what_their_days_cost() {
        let prefix = "!{timestamp:yyyy/MM/dd/HH}/";
        // Beside the six: a year, a month and a day for one; for two of a day no more; nothing for one that is in the span, and none of those between.
        let older = ["2024-03-05T08", "2024-03-05T12", "2026-11-18T00"];
        assert_eq!(requests_with(prefix, &[("", "")], &older).await, (12 + 2, 6 + 3));
        // Nothing is asked for twice where the day is one of the span's.
        assert_eq!(requests_with(prefix, &[("", "")], &["2026-11-17T08"]).await, (12 + 1, 6));
    }

    const KEYS: &str = "page=!{partitionKeyFromQuery:page}/event=!{partitionKeyFromQuery:event}/";

    #[tokio::test]
    async fn each_value_before_the_time_is_walked_only_along_the_hours_asked_for() {
        let values = ["page=a/event=x/", "page=a/event=y/", "page=b/event=x/", "page=c/event=x/"].map(|before| (before, ""));
        // The root, three pages, and for each of the four events its years, a year, a month, and three days.
        let prefix = format!("{KEYS}!{{timestamp:yyyy/MM/dd/HH}}/");
        assert_eq!(requests(&prefix, &values).await, (4 * 12, 1 + 3 + 4 * 6));
    }

    #[tokio::test]
    async fn values_behind_the_time_cost_no_request() {
        let values = ["page=a/event=x/", "page=a/event=y/", "page=b/event=x/", "page=c/event=x/"].map(|behind| ("", behind));
        assert_eq!(requests(&format!("!{{timestamp:yyyy/MM/dd/HH}}/{KEYS}"), &values).await, (4 * 12, 6));
    }

    #[tokio::test]
    async fn a_value_that_got_nothing_lately_costs_a_request_or_two() {
        let counting = Arc::new(Counting(InMemory::new(), AtomicUsize::new(0)));
        for key in ["page=old/event=x/2024/01/02/03/clicks-1", "page=older/event=x/2026/01/02/03/clicks-1"] {
            counting.0.put(&store::parse(key).unwrap(), PutPayload::from("{}")).await.unwrap();
        }
        let table = table(&format!("prefix = \"{KEYS}!{{timestamp:yyyy/MM/dd/HH}}/\""));
        let hours = Hours::span(hour("2026-11-17T14"), hour("2026-11-19T13"));
        let window = Window::new(&table, &hours);
        let root = Root::of_store(counting.clone(), "memory:///".parse().unwrap());
        assert!(walk(&root, &window).await.unwrap().finish().objects.is_empty());
        // The root, two pages, each event's years, and the months of one year.
        assert_eq!(counting.1.load(Ordering::Relaxed), 1 + 2 + 2 + 1);
    }
}
