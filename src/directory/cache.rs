//! What the directory has said, for a while; also that it knows nobody. No clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use api::model::DirectoryEntry;

/// How long, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheSettings {
    /// How long what was found is believed.
    pub(crate) time: Duration,
    /// The same of what was not found.
    pub(crate) negative_time: Duration,
    /// Searches that are remembered; the oldest makes way.
    pub(crate) searches: usize,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Cache {
    settings: CacheSettings,
    found: BTreeMap<String, (Instant, Vec<DirectoryEntry>)>,
    /// Oldest first; one that was asked again stands here more than once.
    order: VecDeque<(Instant, String)>,
}

impl Cache {
    pub(super) fn new(settings: CacheSettings) -> Self {
        Self { settings, found: BTreeMap::new(), order: VecDeque::new() }
    }

    /// What was found not long ago.
    pub(super) fn find(&self, now: Instant, text: &str) -> Option<Vec<DirectoryEntry>> {
        let (until, entries) = self.found.get(text)?;
        (now < *until).then(|| entries.clone())
    }

    pub(super) fn put(&mut self, now: Instant, text: String, entries: Vec<DirectoryEntry>) {
        let CacheSettings { time, negative_time, searches } = self.settings;
        let until = now + if entries.is_empty() { negative_time } else { time };
        while self.order.len() >= searches {
            let Some((until, oldest)) = self.order.pop_front() else { break };
            if self.found.get(&oldest).is_some_and(|(known, _)| *known == until) {
                self.found.remove(&oldest);
            }
        }
        if until > now {
            self.order.push_back((until, text.clone()));
            self.found.insert(text, (until, entries));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> DirectoryEntry {
        DirectoryEntry { name: name.to_owned(), number: None, mail: None }
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn cache(searches: usize) -> Cache {
        let (time, negative_time) = (Duration::from_mins(5), Duration::from_mins(1));
        Cache::new(CacheSettings { time, negative_time, searches })
    }

    #[test]
    fn what_was_not_found_is_forgotten_sooner() {
        let (mut cache, start) = (cache(10), start());
        cache.put(start, "ada".to_owned(), vec![entry("Ada")]);
        cache.put(start, "nobody".to_owned(), Vec::new());
        let after = |seconds| start + Duration::from_secs(seconds);

        assert_eq!(cache.find(after(59), "nobody"), Some(Vec::new()));
        assert_eq!(cache.find(after(60), "nobody"), None);
        assert_eq!(cache.find(after(299), "ada"), Some(vec![entry("Ada")]));
        assert_eq!(cache.find(after(300), "ada"), None);
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let (mut cache, start) = (cache(3), start());

        for number in 0..100 {
            let text = (number % 5).to_string();
            cache.put(start + Duration::from_secs(number), text, vec![entry("x")]);
        }

        assert!(cache.found.len() <= 3 && cache.order.len() <= 3, "{cache:?}");
        let now = start + Duration::from_secs(100);
        assert!(cache.find(now, "4").is_some() && cache.find(now, "0").is_none());
    }
}
