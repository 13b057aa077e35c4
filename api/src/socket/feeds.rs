//! The subscriptions of one WebSocket, each at its own place in the log.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{self, AbortHandle, SelectAll, Stream, StreamExt as _, abortable};

use crate::event::{Event, Level};
use crate::events::{Cut, Reader};
use crate::meters::Meters;

use super::message::Topic;

/// What one subscription has to tell.
#[derive(Debug)]
pub(super) enum News {
    Events(Vec<Arc<Event>>),
    Levels(Vec<Level>),
    Cut(Cut),
}

type Feed = Pin<Box<dyn Stream<Item = (Arc<str>, News)> + Send>>;

/// The subscriptions, by name.
#[derive(Default)]
pub(super) struct Feeds {
    feeds: SelectAll<Feed>,
    names: BTreeMap<Arc<str>, (Topic, AbortHandle)>,
}

impl Feeds {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether any follows the log, which says by itself when it is closed.
    pub(super) fn follow_log(&self) -> bool {
        self.names.values().any(|(topic, _)| *topic == Topic::Events)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Follows the log from where `reader` stands.
    pub(super) fn follow(&mut self, name: &Arc<str>, reader: Reader) {
        self.add((name, Topic::Events), stream::unfold(Some(reader), events));
    }

    /// Follows how loud legs are.
    pub(super) fn meter(&mut self, name: &Arc<str>, meters: Meters) {
        let levels = stream::unfold(meters, async |mut meters| {
            Some((News::Levels(meters.next().await), meters))
        });
        self.add((name, Topic::Levels), levels);
    }

    fn add(
        &mut self,
        (name, topic): (&Arc<str>, Topic),
        news: impl Stream<Item = News> + Send + 'static,
    ) {
        let (news, handle) = abortable(news);
        let named = Arc::clone(name);
        self.feeds.push(Box::pin(news.map(move |news| (Arc::clone(&named), news))));
        self.names.insert(Arc::clone(name), (topic, handle));
    }

    /// Ends a subscription; false if there is none of this name.
    pub(super) fn end(&mut self, name: &str) -> bool {
        let ended = self.names.remove(name);
        ended.inspect(|(_, handle)| handle.abort()).is_some()
    }

    /// The next news of any subscription; never, while there is none. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> (Arc<str>, News) {
        match self.feeds.next().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }
}

/// What is at hand of the log, in one go.
async fn events(reader: Option<Reader>) -> Option<(News, Option<Reader>)> {
    let mut reader = reader?;
    Some(match reader.next().await {
        Ok(event) => {
            let mut events = vec![event];
            events.extend(std::iter::from_fn(|| reader.at_hand()));
            (News::Events(events), Some(reader))
        }
        Err(cut) => (News::Cut(cut), None),
    })
}
