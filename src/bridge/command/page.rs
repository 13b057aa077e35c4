//! Lists, newest first, one page at a time.

use api::model::{Page, PageQuery};

use super::{Answer, invalid, within};

/// Items a page where the query does not say.
const DEFAULT_LIMIT: u32 = 50;

/// Cuts a page out of `items`, which are sorted oldest first by their id.
///
/// The cursor is the id of the last item of the page before: an item that came or went meanwhile cannot shift the rest.
pub(in crate::bridge) fn page<T, I: ToString + Ord + std::str::FromStr>(
    query: &PageQuery,
    items: impl DoubleEndedIterator<Item = T>,
    id: impl Fn(&T) -> I,
) -> Answer<Page<T>> {
    let limit = within("/limit", query.limit.unwrap_or(DEFAULT_LIMIT), 1..=500)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let after = match &query.cursor {
        Some(cursor) => Some(cursor.parse::<I>().map_err(|_| {
            invalid("/cursor", "expected the `next` of a page before, found something else")
        })?),
        None => None,
    };
    let older = |item: &T| after.as_ref().is_none_or(|after| id(item) < *after);
    let mut items: Vec<T> = items.rev().filter(older).take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|item| id(item).to_string());
    Ok(Page { items, next })
}

/// Which states a list shows.
pub(in crate::bridge) enum Wanted<'a> {
    /// What is live: the default.
    Live,
    /// Everything.
    All,
    /// One state, by its JSON name.
    Only(&'a str),
}

impl<'a> Wanted<'a> {
    pub(in crate::bridge) fn of(query: &'a PageQuery, states: &[&str]) -> Answer<Self> {
        match query.state.as_deref() {
            None => Ok(Self::Live),
            Some("all") => Ok(Self::All),
            Some(state) if states.contains(&state) => Ok(Self::Only(state)),
            Some(state) => {
                let known = states.join(", ");
                Err(invalid("/state", format!("expected all, {known}; found {state}")))
            }
        }
    }

    /// Whether something in `state` that is `live` or not belongs into the list.
    pub(in crate::bridge) fn takes(&self, live: bool, state: &impl serde::Serialize) -> bool {
        match self {
            Self::Live => live,
            Self::All => true,
            Self::Only(only) => {
                serde_json::to_value(state).is_ok_and(|state| state.as_str() == Some(only))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_newest_first() {
        let ask = |cursor: Option<String>| {
            let query = PageQuery { limit: Some(2), cursor, state: None };
            page(&query, 1..=5_u32, |item| *item).expect("a page")
        };

        let first = ask(None);
        let second = ask(first.next.clone());
        let third = ask(second.next.clone());

        assert_eq!((first.items, second.items, third.items), (vec![5, 4], vec![3, 2], vec![1]));
        assert_eq!(third.next, None);
    }

    #[test]
    fn a_limit_out_of_range_is_refused() {
        let query = PageQuery { limit: Some(0), ..PageQuery::default() };

        assert!(page(&query, 1..=5_u32, |item| *item).is_err());
    }
}
