//! What rooms are made of: templates, by name, or for the names that callers make rooms of.

use api::archive::{Change, Document, DocumentKind};
use api::control::{IfMatch, Reply};
use api::model::{Page, PageQuery, PutRoomTemplate, RoomId, RoomOrigin, RoomTemplate};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::command::page::page;
use super::command::{Answer, conflict, invalid, no_such};
use super::groups::Groups;
use super::keeping::{Deed, Later, may_change, unusable};
use super::lifecycle::NewRoom;
use super::manners::Manners;
use super::signal::is_room_name;
use super::{Bridge, Pattern};

/// A template, ready to be used.
#[derive(Debug)]
pub(super) struct Template {
    kept: Kept,
    names: Option<Pattern>,
    manners: Manners,
    groups: Groups,
    revision: u64,
}

/// As the store keeps it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Kept {
    name: String,
    body: PutRoomTemplate,
    created_at: Timestamp,
}

impl Template {
    fn view(&self) -> RoomTemplate {
        let Kept { name, body, created_at } = &self.kept;
        RoomTemplate {
            name: name.clone(),
            names: body.names.clone(),
            locked: body.locked,
            max_participants: body.max_participants,
            contributors: body.contributors,
            settings: self.manners.view(),
            groups: self.groups.view(),
            revision: self.revision,
            created_at: *created_at,
        }
    }

    /// Makes a room to be made one of these; what was asked for it stays.
    pub(super) fn shape(&self, new: NewRoom) -> NewRoom {
        let body = &self.kept.body;
        NewRoom {
            locked: new.locked || body.locked,
            max_participants: new.max_participants.or(body.max_participants),
            contributors: new.contributors.or(body.contributors),
            manners: self.manners.clone(),
            groups: self.groups.clone(),
            ..new
        }
    }
}

impl Bridge {
    /// Takes up those that are kept.
    pub(super) fn open_templates(&mut self) {
        for (revision, kept) in self.kept::<Kept>(DocumentKind::RoomTemplate) {
            let name = kept.name.clone();
            match self.template_of(kept, revision) {
                Ok(template) => drop(self.templates.insert(name, template)),
                Err(error) => unusable(DocumentKind::RoomTemplate, &name, &error),
            }
        }
    }

    fn template_of(&mut self, kept: Kept, revision: u64) -> Answer<Template> {
        let Kept { body, .. } = &kept;
        if let Some(seats) = body.max_participants {
            self.check_seats(seats)?;
        }
        let names = body.names.as_deref().map(pattern).transpose()?;
        let manners = self.mannered(&Manners::default(), &body.settings)?;
        let groups = Groups::default().changed(&body.groups, self.settings.groups_per_room)?;
        Ok(Template { kept, names, manners, groups, revision })
    }

    pub(super) fn api_list_templates(&self, query: &PageQuery) -> Answer<Page<RoomTemplate>> {
        let all = self.templates.values().map(Template::view);
        page(query, all, |template| template.name.clone())
    }

    pub(super) fn api_template(&self, name: &str) -> Answer<RoomTemplate> {
        Ok(self.template(name)?.view())
    }

    /// The template of this name.
    pub(super) fn template(&self, name: &str) -> Answer<&Template> {
        self.templates.get(name).ok_or_else(|| no_such("template", name))
    }

    pub(super) fn api_put_template(
        &mut self,
        (name, condition): (String, &IfMatch),
        body: PutRoomTemplate,
        reply: Reply<RoomTemplate>,
    ) {
        match self.may_put_template(&name, condition) {
            Ok(()) => {}
            Err(error) => return reply.send(Err(error)),
        }
        let kept = Kept { name: name.clone(), body, created_at: self.wall() };
        let revision = self.next_revision();
        let text = serde_json::to_string(&kept).unwrap_or_default();
        let template = match self.template_of(kept, revision) {
            Ok(template) => Box::new(template),
            Err(error) => return reply.send(Err(error)),
        };
        let kind = DocumentKind::RoomTemplate;
        let change = Change::Put(Document { kind, name, revision, body: text });
        self.store(change, Deed::PutTemplate(template, Later::new(reply)));
    }

    fn may_put_template(&self, name: &str, condition: &IfMatch) -> Answer<()> {
        if !is_room_name(name) {
            return Err(invalid("", "expected a name of 1 to 64 of A-Z a-z 0-9 - _ . + ~"));
        }
        let Some(template) = self.templates.get(name) else {
            let under_way = self.changes_under_way(DocumentKind::RoomTemplate);
            if self.templates.len() + under_way >= MOST {
                let detail = format!("there are {MOST} templates, as many as there may be");
                return Err(conflict("too_many_templates", detail));
            }
            // Of one that is not there no revision is the present one.
            return match &condition.0 {
                Some(_) => Err(no_such("template", name)),
                None => Ok(()),
            };
        };
        may_change(("template", name), template.revision, condition)
    }

    pub(super) fn api_delete_template(
        &mut self,
        name: String,
        condition: &IfMatch,
        reply: Reply<()>,
    ) {
        let revision = self.template(&name).map(|template| template.revision);
        let may = revision.and_then(|at| may_change(("template", &name), at, condition));
        match may {
            Ok(()) => {
                let change = Change::Remove(DocumentKind::RoomTemplate, name);
                self.store(change, Deed::Remove(Later::new(reply)));
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    /// A template that is stored.
    pub(super) fn put_template(&mut self, template: Template) -> RoomTemplate {
        let view = template.view();
        self.templates.insert(view.name.clone(), template);
        view
    }

    /// Makes the room that somebody calls, or has called, of the template that is for such names.
    pub(super) fn make_ad_hoc(&mut self, name: &str, origin: RoomOrigin) -> RoomId {
        let fits =
            |template: &&Template| template.names.as_ref().is_some_and(|names| names.matches(name));
        let length = |template: &&Template| template.kept.body.names.as_ref().map(String::len);
        let template = self.templates.values().filter(fits).max_by_key(length);
        let new = NewRoom::ad_hoc(name.to_owned(), origin);
        let new = match template {
            Some(template) => template.shape(new),
            None => new,
        };
        self.create_room(new)
    }
}

fn pattern(names: &str) -> Answer<Pattern> {
    let is_one = names.matches('*').count() <= 1
        && (names == "*" || is_room_name(&names.replacen('*', "", 1)));
    if is_one {
        return Ok(Pattern::new(names));
    }
    Err(invalid(
        "/names",
        "expected the name of a room, in which * may stand once for any characters",
    ))
}

/// Templates at most.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use api::control::{Command as Ask, ControlError};
    use api::model::{CreateRoom, Room, RoomSettings};

    use super::super::scene::Scene;
    use super::*;
    use crate::config::Config;

    fn scene() -> Scene {
        Scene::new(crate::bridge_settings(&Config::default(), 1))
    }

    fn put(scene: &mut Scene, name: &str, body: PutRoomTemplate) -> Answer<RoomTemplate> {
        let (template, condition) = (name.to_owned(), IfMatch::default());
        scene.ask(|reply| Ask::PutTemplate { template, body, condition, reply })
    }

    fn quiet(names: Option<&str>) -> PutRoomTemplate {
        let settings = RoomSettings {
            pin: Some("2468".to_owned()),
            start_muted: Some(true),
            ..RoomSettings::default()
        };
        PutRoomTemplate {
            names: names.map(str::to_owned),
            max_participants: Some(7),
            settings,
            ..PutRoomTemplate::default()
        }
    }

    fn room(scene: &mut Scene, name: &str) -> Room {
        let room = name.to_owned();
        scene.ask(|reply| Ask::Room { room, reply }).unwrap()
    }

    #[test]
    fn a_room_is_made_of_a_template_and_what_is_said_beside_it_counts_more() {
        let mut scene = scene();
        let template = put(&mut scene, "quiet", quiet(None)).unwrap();
        assert!(template.settings.has_pin && template.settings.start_muted);

        let settings = RoomSettings { start_muted: Some(false), ..RoomSettings::default() };
        let template = Some("quiet".to_owned());
        let body = CreateRoom { settings, template, ..CreateRoom::default() };
        let made = scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap();

        assert!(made.settings.has_pin && !made.settings.start_muted);
        assert_eq!(made.max_participants, 7);
        let body = CreateRoom { template: Some("other".to_owned()), ..CreateRoom::default() };
        let unknown = scene.ask(|reply| Ask::CreateRoom { body, reply }).unwrap_err();
        assert!(
            matches!(unknown, ControlError::Invalid { ref pointer, .. } if pointer == "/template")
        );
    }

    #[test]
    fn who_calls_a_name_that_a_template_is_for_makes_such_a_room() {
        let mut scene = scene();
        put(
            &mut scene,
            "all",
            PutRoomTemplate { names: Some("*".to_owned()), ..Default::default() },
        )
        .unwrap();
        put(&mut scene, "quiet", quiet(Some("team-*"))).unwrap();

        scene.call("team-red");
        scene.joined("other");

        assert!(room(&mut scene, "team-red").settings.has_pin);
        assert!(!room(&mut scene, "other").settings.has_pin);
    }

    #[test]
    fn templates_outlast_a_restart_and_are_deleted() {
        let mut scene = scene();
        let before = put(&mut scene, "quiet", quiet(Some("team-*"))).unwrap();
        let [Change::Put(document)] = &scene.stored[..] else { panic!("{:?}", scene.stored) };
        let settings = crate::bridge_settings(&Config::default(), 1);
        let kept = vec![document.clone()];
        let mut next = Scene::new(super::super::Settings { kept, ..settings });

        let template = "quiet".to_owned();
        let after = next.ask(|reply| Ask::Template { template, reply }).unwrap();
        assert_eq!(after, before);
        let delete = |scene: &mut Scene| {
            let (template, condition) = ("quiet".to_owned(), IfMatch::default());
            scene.ask(|reply| Ask::DeleteTemplate { template, condition, reply })
        };
        delete(&mut next).unwrap();

        assert!(matches!(delete(&mut next), Err(ControlError::NotFound { .. })));
    }
}
