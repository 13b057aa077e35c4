//! What phones publish of their users: the event state compositor of RFC 3903, for presence (RFC 3856).
//!
//! ```text
//!  PUBLISH with a body ──────────────▶ new ─┐
//!  PUBLISH with SIP-If-Match ─▶ 412, or ────┼─▶ kept until it expires, under a new SIP-ETag
//!     with a body: changed, without: refreshed, Expires: 0: gone
//! ```
//! Who may publish for whom is decided before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::endpoint::Rejection;
use super::headers::Name;
use super::pidf::{Basic, Pidf};
use super::{Message, StatusCode};

/// Limits of a compositor.
#[derive(Clone, Debug)]
pub struct CompositorOptions {
    /// The shortest time that a publication may last; a shorter one is refused with 423.
    pub min: Duration,
    /// The longest; a longer one is cut to it. It is what a phone gets that does not say.
    pub max: Duration,
    /// Publications in all; one more is refused with 503.
    pub publications: usize,
    /// Publications of one user; one more takes the place of the one that is to expire first.
    pub of_a_user: usize,
    /// Octets of a body; a longer one is refused with 413.
    pub size: usize,
}

/// All publications.
#[derive(Debug)]
pub struct Compositor {
    options: CompositorOptions,
    users: BTreeMap<String, Vec<Publication>>,
    count: usize,
    due: BTreeSet<(Instant, String)>,
}

#[derive(Debug)]
struct Publication {
    etag: String,
    pidf: Pidf,
    until: Instant,
}

/// A PUBLISH, read.
struct Ask<'a> {
    known: Option<String>,
    /// Zero takes it back.
    lasts: Duration,
    body: Option<&'a [u8]>,
}

impl Compositor {
    /// One without publications.
    pub fn new(options: CompositorOptions) -> Self {
        Self { options, users: BTreeMap::new(), count: 0, due: BTreeSet::new() }
    }

    /// Does what a PUBLISH for `user` asks; `etag` names what comes of it and has not been used before. Gives the headers
    /// of the 200.
    ///
    /// # Errors
    /// 400 for what no compositor understands, 412 for a publication that is not there (any more), 413, 415, 423, 503.
    pub fn publish(
        &mut self,
        now: Instant,
        user: &str,
        (request, etag): (&Message, String),
    ) -> Result<Vec<(String, String)>, Rejection> {
        let ask = self.read(request)?;
        let found = match &ask.known {
            Some(known) => {
                let own = self.users.get(user).into_iter().flatten();
                let mut live = own.filter(|publication| publication.until > now);
                let found = live.find(|publication| publication.etag == *known);
                Some(found.ok_or(StatusCode::CONDITIONAL_REQUEST_FAILED)?.pidf.clone())
            }
            None => None,
        };
        let pidf = match (ask.body, found) {
            (Some(body), _) => Pidf::parse(body).map_err(|error| bad(&error.to_string()))?,
            (None, Some(pidf)) => pidf,
            (None, None) => return Err(bad("a body or SIP-If-Match is needed")),
        };
        let is_new = ask.known.is_none() && !ask.lasts.is_zero();
        if is_new && self.count >= self.options.publications {
            return Err(StatusCode::SERVICE_UNAVAILABLE.into());
        }
        let mut own = self.take(user);
        own.retain(|publication| ask.known.as_ref() != Some(&publication.etag));
        if !ask.lasts.is_zero() {
            if own.len() >= self.options.of_a_user {
                own.remove(0);
            }
            own.push(Publication { etag: etag.clone(), pidf, until: now + ask.lasts });
            own.sort_by_key(|publication| publication.until);
        }
        self.put(user, own);
        let lasts = ask.lasts.as_secs().to_string();
        Ok(vec![(Name::SipEtag.to_string(), etag), (Name::Expires.to_string(), lasts)])
    }

    /// RFC 3903 §6, steps 3 to 5.
    fn read<'a>(&self, request: &'a Message) -> Result<Ask<'a>, Rejection> {
        let headers = &request.headers;
        let known = headers.first(&Name::SipIfMatch).map(|value| text(value));
        let lasts = match headers.first(&Name::Expires) {
            Some(value) => Duration::from_secs(
                text(value).parse::<u32>().map_err(|_| bad("Expires is no number"))?.into(),
            ),
            None => self.options.max,
        };
        if !lasts.is_zero() && lasts < self.options.min {
            let min = self.options.min.as_secs().to_string();
            let mut rejection = Rejection::new(StatusCode::INTERVAL_TOO_BRIEF);
            rejection.headers.push((Name::MinExpires.to_string(), min));
            return Err(rejection);
        }
        let body = Some(&request.body[..]).filter(|body| !body.is_empty());
        if body.is_some_and(|body| body.len() > self.options.size) {
            return Err(StatusCode::REQUEST_ENTITY_TOO_LARGE.into());
        }
        let is_pidf = matches!(headers.content_type(), Ok(Some(kind)) if kind.is(CONTENT_TYPE));
        if body.is_some() && !is_pidf {
            let mut rejection = Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            rejection.headers.push((Name::Accept.to_string(), CONTENT_TYPE.to_owned()));
            return Err(rejection);
        }
        Ok(Ask { known, lasts: lasts.min(self.options.max), body })
    }

    /// What the phones of a user say together: it is open if one of them says so, does all that they tell, and says what
    /// was said last.
    pub fn of(&self, user: &str) -> Pidf {
        let own = || self.users.get(user).into_iter().flatten().map(|own| &own.pidf);
        let basics = own().filter_map(|pidf| pidf.basic);
        let mut activities: Vec<String> = Vec::new();
        for activity in own().flat_map(|pidf| &pidf.activities) {
            if !activities.contains(activity) {
                activities.push(activity.clone());
            }
        }
        Pidf {
            basic: basics.reduce(|one, other| if one == Basic::Open { one } else { other }),
            activities,
            note: own().rev().find_map(|pidf| pidf.note.clone()),
        }
    }

    /// When [`Self::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Ends what is over; gives whose it was.
    pub fn expire(&mut self, now: Instant) -> Vec<String> {
        let mut users = Vec::new();
        while let Some((_, user)) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            let mut own = self.take(&user);
            own.retain(|publication| publication.until > now);
            self.put(&user, own);
            users.push(user);
        }
        users
    }

    /// How many publications there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if nobody has published anything.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn take(&mut self, user: &str) -> Vec<Publication> {
        let own = self.users.remove(user).unwrap_or_default();
        if let Some(first) = own.first() {
            self.due.remove(&(first.until, user.to_owned()));
        }
        self.count -= own.len();
        own
    }

    /// Those that end first stand first.
    fn put(&mut self, user: &str, own: Vec<Publication>) {
        let Some(first) = own.first() else { return };
        self.due.insert((first.until, user.to_owned()));
        self.count += own.len();
        self.users.insert(user.to_owned(), own);
    }
}

fn bad(why: &str) -> Rejection {
    Rejection { reason: Some(why.to_owned()), ..Rejection::new(StatusCode::BAD_REQUEST) }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim().to_owned()
}

/// The body of presence (RFC 3863).
const CONTENT_TYPE: &str = "application/pidf+xml";

#[cfg(test)]
mod tests;
