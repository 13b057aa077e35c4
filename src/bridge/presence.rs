//! How users are (RFC 3856): whether a phone of theirs is registered, whether they are in a call, and what they, their phones
//! (PUBLISH, RFC 3903) and the API say of it.

use std::fmt::{self, Write as _};

use api::event::{Data, EventType};
use api::model::{self, Page, PageQuery, PresenceStatus, SetPresence};

use super::command::{Answer, no_such, page};
use super::leg::Stage;
use super::xml::{self, Xml};
use super::{Bridge, Subject};
use crate::sip::endpoint::{Publishing, Rejection};
use crate::sip::pidf::{Basic, Pidf};
use crate::sip::{StatusCode, Uri};

/// What the API has said of a user.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Said {
    status: Option<Basic>,
    note: Option<String>,
}

/// How a user is, all in all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Presence {
    status: Basic,
    /// Names of RFC 4480 §3.2.
    activities: Vec<String>,
    note: Option<String>,
}

impl Presence {
    /// Of whom nothing is known.
    const NOTHING: Self = Self { status: Basic::Closed, activities: Vec::new(), note: None };

    /// The document of RFC 3863 and RFC 4480.
    pub(super) fn print(&self, entity: &str) -> String {
        xml::print(512, |out| self.write(out, &Xml(entity)))
    }

    fn write(&self, out: &mut String, entity: &Xml<'_>) -> fmt::Result {
        let basic = match self.status {
            Basic::Open => "open",
            Basic::Closed => "closed",
        };
        write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
             xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{entity}\">\
             <tuple id=\"phones\"><status><basic>{basic}</basic></status></tuple>"
        )?;
        if let Some(note) = &self.note {
            write!(out, "<note>{}</note>", Xml(note))?;
        }
        if !self.activities.is_empty() {
            out.write_str("<dm:person id=\"user\"><rpid:activities>")?;
            for activity in &self.activities {
                write!(out, "<rpid:{activity}/>")?;
            }
            out.write_str("</rpid:activities></dm:person>")?;
        }
        out.write_str("</presence>\r\n")
    }
}

impl Bridge {
    /// A phone publishes how its user is: whoever it is has to prove that it is the user.
    pub(super) fn publishing(&mut self, asked: &Publishing) {
        let answer = self.publisher(asked).and_then(|user| {
            let etag = format!("{:032x}", self.random());
            let answer = self.compositor.publish(self.now, &user, (&asked.request, etag))?;
            self.presence_changed(&user);
            Ok(answer)
        });
        self.endpoint.answer_publish(self.now, asked.publish, answer);
    }

    fn publisher(&mut self, asked: &Publishing) -> Result<String, Rejection> {
        let user = self.identify_user(&asked.request, asked.peer.ip())?;
        let target = asked.request.uri().and_then(Uri::user_plain);
        if target.is_some_and(|named| named == user) {
            Ok(user)
        } else {
            Err(StatusCode::FORBIDDEN.into())
        }
    }

    /// The end of what was published and not refreshed.
    pub(super) fn expire_publications(&mut self) {
        for user in self.compositor.expire(self.now) {
            self.presence_changed(&user);
        }
    }

    /// How a user is now.
    pub(super) fn presence_of(&self, user: &str) -> Presence {
        let Pidf { basic, mut activities, note } = self.compositor.of(user);
        let said = self.said.get(user).cloned().unwrap_or_default();
        let by_phones = match basic {
            Some(Basic::Open) | None if self.is_registered(user) => Basic::Open,
            Some(Basic::Open | Basic::Closed) | None => Basic::Closed,
        };
        activities.retain(|activity| activity != ON_THE_PHONE);
        if self.is_in_call(user) {
            activities.insert(0, ON_THE_PHONE.to_owned());
        }
        Presence { status: said.status.unwrap_or(by_phones), activities, note: said.note.or(note) }
    }

    fn is_registered(&self, user: &str) -> bool {
        !self.registrar.bindings(user).is_empty()
    }

    fn is_in_call(&self, user: &str) -> bool {
        let is_answered = |stage: &Stage| matches!(stage, Stage::Up | Stage::Confirming);
        let mut legs = self.legs_of(user);
        legs.any(|leg| is_answered(&leg.stage))
    }

    /// Something has happened that may change how a user is: if it does, it is told.
    pub(super) fn presence_changed(&mut self, user: &str) {
        let is = self.presence_of(user);
        if self.presences.get(user).unwrap_or(&Presence::NOTHING) == &is {
            return;
        }
        if is == Presence::NOTHING {
            self.presences.remove(user);
        } else {
            self.presences.insert(user.to_owned(), is);
        }
        let view = self.presence_view(user);
        self.happened(EventType::PresenceUpdated, Subject::default(), Data::of(&view));
        self.tell_presence(user);
    }

    fn presence_view(&self, user: &str) -> model::Presence {
        let Presence { status, activities, note } = self.presence_of(user);
        let status = match status {
            Basic::Open => PresenceStatus::Open,
            Basic::Closed => PresenceStatus::Closed,
        };
        let registered = self.is_registered(user);
        model::Presence { user: user.to_owned(), status, activities, note, registered }
    }

    pub(super) fn api_list_presence(&mut self, query: &PageQuery) -> Answer<Page<model::Presence>> {
        let users = self.user_names().map(|user| self.presence_view(user));
        page::page(query, users, |presence| presence.user.clone())
    }

    pub(super) fn api_presence(&mut self, user: &str) -> Answer<model::Presence> {
        if self.is_user(user) { Ok(self.presence_view(user)) } else { Err(no_such("user", user)) }
    }

    pub(super) fn api_set_presence(
        &mut self,
        user: &str,
        body: SetPresence,
    ) -> Answer<model::Presence> {
        if !self.is_user(user) {
            return Err(no_such("user", user));
        }
        let SetPresence { status, note } = body;
        let status = status.map(|status| match status {
            PresenceStatus::Open => Basic::Open,
            PresenceStatus::Closed => Basic::Closed,
        });
        let said = Said { status, note: note.filter(|note| !note.is_empty()) };
        if said == Said::default() {
            self.said.remove(user);
        } else {
            self.said.insert(user.to_owned(), said);
        }
        self.presence_changed(user);
        Ok(self.presence_view(user))
    }
}

/// RFC 4480 §3.2.
const ON_THE_PHONE: &str = "on-the-phone";

#[cfg(test)]
mod tests;
