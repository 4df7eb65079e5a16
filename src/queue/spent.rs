//! Which files of the queue are of no use any more: their objects are in a ledger as they lie in the landing, or are gone from it for long.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Queue, source};
use crate::hour::Hour;
use crate::landing::{Hours, LandedObject};
use crate::store::Root;
use crate::words::{counted, span};

/// Entity tag and size of an object, as stored: what its content is told by.
pub type Content = (String, u64);

/// What of a queue is of no use any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The keys of these files.
    pub keys: BTreeSet<String>,
    /// Arrival hours of objects that wait, or did up to now, and do not lie in the landing.
    pub gone: BTreeSet<Hour>,
}

impl Queue {
    /// What lies in the landing of what waits, by the source. The queue must have been listed before the landing: an object is there before
    /// its file is here, so what waits is of the content that was found, or of one before it.
    pub fn landed(&self, objects: &[LandedObject]) -> BTreeMap<String, Content> {
        if self.is_empty() {
            return BTreeMap::new();
        }
        let with_source = objects.iter().map(|object| (source(&object.key), (object.etag.clone(), object.size)));
        with_source.filter(|(source, _)| self.files.contains_key(source)).collect()
    }

    /// Decides what is of no use any more. `landed` is what [`Self::landed`] said of all that lies in `hours`; `taken` are the keys of what ledgers
    /// or intakes name, with its content, or without it if they name it whatever it is; what came to the queue before `kept` and does not lie in
    /// the landing is given up.
    pub fn spent<'k>(
        &self,
        hours: &Hours,
        landed: &BTreeMap<String, Content>,
        taken: impl Iterator<Item = (&'k str, Option<Content>)>,
        kept: DateTime<Utc>,
    ) -> Spent {
        let taken: BTreeMap<String, Option<Content>> = taken.map(|(key, content)| (source(key), content)).collect();
        let mut spent = Spent::default();
        for (source, waiting) in &self.files {
            let is_gone = match (landed.get(source), taken.get(source)) {
                // A content that came later is still to be taken in, or to be told of.
                (Some(there), Some(content)) if content.as_ref().is_none_or(|content| content == there) => false,
                (None, None) if hours.older.contains(&waiting.hour) => true,
                (None, Some(_)) if hours.has(waiting.hour) => false,
                _ => continue,
            };
            if is_gone {
                spent.gone.insert(waiting.hour);
            }
            if !is_gone || waiting.changed < kept {
                spent.keys.extend(waiting.files.keys().cloned());
            }
        }
        spent
    }

    /// The keys of those of these staged files that are there, and of their rejects.
    pub fn of_staged(&self, staged: &BTreeSet<&str>) -> Vec<String> {
        // The name up to its first dot, behind which an attempt's may come.
        let stem = |key: &str| key.rfind('/').and_then(|name| Some(key[..name + key[name..].find('.')?].to_string()));
        let staged: BTreeSet<String> = staged.iter().filter_map(|key| stem(key)).collect();
        let keys = self.files.values().flat_map(|waiting| waiting.files.keys());
        keys.filter(|key| stem(key).is_some_and(|stem| staged.contains(&stem))).cloned().collect()
    }

    /// Removes these files, which must be of no use any more. What cannot be removed is for a later run.
    pub async fn remove(state: &Root, spent: &BTreeSet<String>) {
        let keys: Vec<&str> = spent.iter().map(String::as_str).collect();
        match state.remove_all(&keys).await {
            Ok(stay) => stay.iter().for_each(|e| tracing::warn!("a staged file stays that is of no use any more: {e}")),
            Err(e) => tracing::warn!("staged files stay that are of no use any more: {e}"),
        }
        // The hour's, and those around it.
        let folders: BTreeSet<&str> = keys.iter().flat_map(|key| key.match_indices('/').map(move |(slash, _)| &key[..slash])).collect();
        for folder in folders.into_iter().rev() {
            if let Err(e) = state.remove_if_empty(folder) {
                tracing::warn!("cannot remove a folder of the queue: {e}");
            }
        }
    }
}

/// That the queue has something of objects that are not there.
pub fn told_of_gone(gone: &BTreeSet<Hour>, grace: TimeDelta) -> Option<String> {
    let first = gone.first()?;
    let others = if gone.len() > 1 { format!(" and {}", counted(gone.len() as u64 - 1, "other hour")) } else { String::new() };
    Some(format!(
        "the queue has something of objects of {first}{others} that are not in the landing now; if they are not merged already, put them back or correct \
         `landing`: it goes once it is {} old",
        span(grace.num_seconds())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;
    use crate::clock::{Clock, SystemClock};
    use crate::landing::testing::landed;
    use crate::layout;
    use crate::queue::mark;

    fn name() -> TableName {
        TableName { database: "shop".into(), name: "clicks".into() }
    }

    /// Lists what is told of, beside what waits of each of these objects.
    async fn queue(objects: &[LandedObject]) -> (Root, Queue) {
        let state = Root::in_memory();
        for object in objects {
            mark(&state, &name(), object).await.unwrap();
        }
        let queue = Queue::list(&state, &name()).await.unwrap();
        (state, queue)
    }

    fn again(object: &LandedObject) -> LandedObject {
        LandedObject { etag: "other".into(), ..object.clone() }
    }

    #[tokio::test]
    async fn what_waits_goes_once_its_very_content_is_taken_in_or_its_object_is_gone_for_long() {
        let (a, b) = (landed("10", "a"), landed("10", "b"));
        let open = landed("13", "c");
        let (state, queue) = queue(&[a.clone(), b.clone(), open.clone()]).await;
        let hours = Hours::and_before(landed("12", "").hour, landed("14", "").hour, queue.hours());
        let content = |object: &LandedObject| Some((object.etag.clone(), object.size));
        let now = SystemClock.now();
        let (long_ago, soon) = (now - TimeDelta::days(1), now + TimeDelta::days(1));
        let told = |there: &[&LandedObject], taken: &[(&str, Option<Content>)], kept: DateTime<Utc>| {
            let there: Vec<LandedObject> = there.iter().map(|object| (*object).clone()).collect();
            let spent = queue.spent(&hours, &queue.landed(&there), taken.iter().cloned(), kept);
            let sources = [("a", &a), ("b", &b), ("c", &open)].map(|(name, object)| (name, source(&object.key)));
            let goes = sources.iter().filter(|(_, source)| spent.keys.iter().any(|key| key.contains(source))).map(|(name, _)| *name);
            format!("{} / {}", goes.collect::<String>(), spent.gone.iter().map(Hour::to_string).collect::<Vec<_>>().join(" "))
        };
        let all = [&a, &b, &open];
        assert_eq!(told(&all, &[], soon), " / ", "nothing is taken in");
        assert_eq!(told(&all, &[("10/a", content(&a)), ("13/c", content(&open))], long_ago), "ac / ");
        assert_eq!(told(&all, &[("10/a", content(&again(&a)))], soon), " / ", "it landed again since");
        assert_eq!(told(&all, &[("10/a", None)], long_ago), "a / ", "a rollback holds it, whatever it is");
        assert_eq!(told(&[&b, &open], &[("10/a", content(&a))], long_ago), "a / ", "it is merged and gone");
        let hour = a.hour.to_string();
        assert_eq!(told(&[&b, &open], &[], long_ago), format!(" / {hour}"), "it may come back");
        assert_eq!(told(&[&b, &open], &[], soon), format!("a / {hour}"));
        assert_eq!(told(&[&a, &b], &[], soon), " / ", "what is in the span is looked at anyway");

        let spent = queue.spent(&hours, &BTreeMap::new(), std::iter::empty(), soon);
        Queue::remove(&state, &spent.keys).await;
        assert!(Queue::list(&state, &name()).await.unwrap().hours().eq([open.hour]));
    }

    #[tokio::test]
    async fn each_content_of_an_object_waits_by_itself() {
        let a = landed("10", "a");
        let (_, queue) = queue(&[a.clone(), a.clone(), again(&a)]).await;
        assert_eq!(queue.files.values().map(|waiting| waiting.files.len()).collect::<Vec<_>>(), [2]);
    }

    #[tokio::test]
    async fn of_a_staged_file_its_rejects_go_too() {
        let state = Root::in_memory();
        let key = |variant: &str| layout::staged_key(&name(), landed("10", "a").hour, &source("10/a"), variant);
        let (done, other) = (key("0123456789abcdef"), key("1123456789abcdef"));
        let rejects = layout::staged_rejects_key(&done, "01J00000000000000000000000");
        for key in [&done, &rejects, &other] {
            state.create(key, b"x".to_vec(), "").await.unwrap();
        }
        let queue = Queue::list(&state, &name()).await.unwrap();
        let found: BTreeSet<String> = queue.of_staged(&BTreeSet::from([done.as_str()])).into_iter().collect();
        assert_eq!(found, BTreeSet::from([done, rejects]));
    }
}
