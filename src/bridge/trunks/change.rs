//! Trunks that come, change and go while the bridge runs. Calls that are up through them go on.

use std::mem;

use api::archive::{Change, Document, DocumentKind};
use api::control::{IfMatch, Reply};
use api::model::{self, TrunkConfig};
use thiserror::Error;

use super::{Bridge, Stand, Trunk, TrunkSettings};
use crate::bridge::command::{Answer, conflict, invalid, no_such};
use crate::bridge::keeping::{Deed, Later, may_change, unusable};
use crate::bridge::{Rule, Timer};

/// A field of a trunk that cannot be.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{detail}")]
pub struct TrunkFault {
    /// JSON Pointer to it.
    pub pointer: String,
    /// What was expected and what was found.
    pub detail: String,
}

impl Bridge {
    /// Takes up the trunks of the settings, and those that are kept.
    pub(in crate::bridge) fn open_trunks(&mut self) {
        for settings in self.settings.trunks.clone() {
            self.put_trunk(settings, (None, 0));
        }
        for (revision, config) in self.kept::<TrunkConfig>(DocumentKind::Trunk) {
            let name = config.text("name").unwrap_or_default().to_owned();
            match (self.settings.read_trunk)(&config) {
                Ok(_) if self.trunk_named(&name).is_some() => {
                    let why = "the settings have one of this name";
                    unusable(DocumentKind::Trunk, &name, &why);
                }
                Ok(settings) => drop(self.put_trunk(settings, (Some(config), revision))),
                Err(fault) => unusable(DocumentKind::Trunk, &name, &fault),
            }
        }
    }

    pub(in crate::bridge) fn api_create_trunk(
        &mut self,
        config: TrunkConfig,
        reply: Reply<model::Trunk>,
    ) {
        let name = config.text("name").unwrap_or_default();
        match self.may_create_trunk(name).and_then(|()| self.checked_trunk(&config)) {
            Ok(settings) => self.keep_trunk(settings, config, reply),
            Err(error) => reply.send(Err(error)),
        }
    }

    fn may_create_trunk(&self, name: &str) -> Answer<()> {
        if self.trunk_named(name).is_some() {
            let detail = format!("there is a trunk {name}; PUT replaces it");
            return Err(conflict("trunk_name_taken", detail));
        }
        let most = self.settings.max_trunks;
        if self.trunks.len() + self.changes_under_way(DocumentKind::Trunk) >= most {
            let detail =
                format!("there are {most} trunks, as many as there may be; see limits.trunks");
            return Err(conflict("too_many_trunks", detail));
        }
        Ok(())
    }

    pub(in crate::bridge) fn api_replace_trunk(
        &mut self,
        (name, condition): (&str, &IfMatch),
        config: TrunkConfig,
        reply: Reply<model::Trunk>,
    ) {
        let config = self.may_change_trunk(name, condition).and_then(|old| replaced(old, config));
        match config.and_then(|config| Ok((self.checked_trunk(&config)?, config))) {
            Ok((settings, config)) => self.keep_trunk(settings, config, reply),
            Err(error) => reply.send(Err(error)),
        }
    }

    pub(in crate::bridge) fn api_delete_trunk(
        &mut self,
        name: String,
        condition: &IfMatch,
        reply: Reply<()>,
    ) {
        match self.may_change_trunk(&name, condition).and_then(|_| self.is_unused(&name)) {
            Ok(()) => {
                let change = Change::Remove(DocumentKind::Trunk, name);
                self.store(change, Deed::Remove(Later::new(reply)));
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    fn may_change_trunk(&self, name: &str, condition: &IfMatch) -> Answer<&Trunk> {
        let trunk = self.trunks.values().find(|trunk| trunk.settings.name == name);
        let trunk = trunk.ok_or_else(|| no_such("trunk", name))?;
        may_change(("trunk", name), trunk.revision, condition)?;
        Ok(trunk)
    }

    fn checked_trunk(&self, config: &TrunkConfig) -> Answer<TrunkSettings> {
        let settings = (self.settings.read_trunk)(config);
        let settings = settings.map_err(|fault| invalid(&fault.pointer, fault.detail))?;
        if is_name(&settings.name) {
            return Ok(settings);
        }
        Err(invalid("/name", "expected 1 to 64 characters, none of them a slash"))
    }

    /// A route that names a trunk which is gone would lead nowhere.
    fn is_unused(&self, name: &str) -> Answer<()> {
        let user = self.routes.iter().map(Rule::route).find(|route| {
            let steps = route.steps.iter().map(|step| &step.trunk);
            steps.chain([&route.source.trunk]).any(|trunk| trunk.as_deref() == Some(name))
        });
        let Some(route) = user else { return Ok(()) };
        let detail = format!("route {} names trunk {name}: change or delete it first", route.name);
        Err(conflict("trunk_in_use", detail))
    }

    fn keep_trunk(
        &mut self,
        settings: TrunkSettings,
        config: TrunkConfig,
        reply: Reply<model::Trunk>,
    ) {
        let revision = self.next_revision();
        let change = Change::Put(Document {
            kind: DocumentKind::Trunk,
            name: settings.name.clone(),
            revision,
            body: serde_json::to_string(&config).unwrap_or_default(),
        });
        let made = Made { settings, config, revision };
        self.store(change, Deed::PutTrunk(Box::new(made), Later::new(reply)));
    }

    /// A trunk that is stored.
    pub(in crate::bridge) fn made_trunk(&mut self, made: Made) -> model::Trunk {
        let Made { settings, config, revision } = made;
        self.put_trunk(settings, (Some(config), revision))
    }

    /// Takes up a trunk, in the place of one of the same name.
    fn put_trunk(
        &mut self,
        settings: TrunkSettings,
        (config, revision): (Option<TrunkConfig>, u64),
    ) -> model::Trunk {
        let call_id = format!("{:032x}", self.random());
        let mut trunk = Trunk { config, revision, ..Trunk::new(self.now, settings, call_id) };
        let index = self.trunk_named(&trunk.settings.name).unwrap_or_else(|| {
            self.trunks_made += 1;
            self.trunks_made
        });
        if let Some(mut old) = self.lift_trunk(index) {
            trunk.legs = mem::take(&mut old.legs);
            trunk.counts = mem::take(&mut old.counts);
            trunk.told = old.told;
            trunk.succeed(&old);
            if !trunk.is_known_as(&old) {
                self.unregister(old);
            }
        }
        let view = trunk.view(self.clock);
        self.trunks.insert(index, trunk);
        self.register_trunk(index);
        self.check_trunk(index);
        view
    }

    /// A trunk that the store has no more.
    pub(in crate::bridge) fn remove_trunk(&mut self, name: &str) {
        if let Some(trunk) = self.trunk_named(name).and_then(|index| self.lift_trunk(index)) {
            self.unregister(trunk);
        }
    }

    /// Takes a trunk out, with what was to be done about it.
    fn lift_trunk(&mut self, index: usize) -> Option<Trunk> {
        let trunk = self.trunks.remove(&index)?;
        let of_it = [Timer::TrunkRegister(index), Timer::TrunkCheck(index)];
        self.timers.retain(|(_, timer)| !of_it.contains(timer));
        Some(trunk)
    }
}

impl Trunk {
    /// Whether both register the same name at the same place, so that one takes the other's registration over.
    fn is_known_as(&self, old: &Self) -> bool {
        let name = |trunk: &Self| trunk.settings.account.as_ref().map(|own| own.username.clone());
        let both = [self, old].iter().all(|trunk| trunk.registration.stand != Stand::Off);
        both && name(self) == name(old) && self.settings.gateways == old.settings.gateways
    }

    /// Goes on counting where the one before stopped: a registrar ignores what seems older (RFC 3261 §10.3).
    fn succeed(&mut self, old: &Self) {
        if self.is_known_as(old) {
            old.registration.call_id.clone_into(&mut self.registration.call_id);
            self.registration.sequence = old.registration.sequence;
        }
    }
}

/// A trunk that is to be made once it is stored.
#[derive(Debug)]
pub(in crate::bridge) struct Made {
    settings: TrunkSettings,
    config: TrunkConfig,
    revision: u64,
}

/// What takes the place of `old`; a password that is not given stays, as long as the name that it belongs to does.
fn replaced(old: &Trunk, mut config: TrunkConfig) -> Answer<TrunkConfig> {
    let name = &old.settings.name;
    if config.text("name").is_some_and(|given| given != name) {
        return Err(invalid("/name", format!("expected {name} or nothing: a name stays")));
    }
    config.0.insert("name".to_owned(), name.clone().into());
    let before = old.config.as_ref().filter(|old| old.text("username") == config.text("username"));
    let is_given = config.text("password").is_some_and(|password| !password.is_empty());
    if let Some(password) = before.and_then(|before| before.0.get("password"))
        && !is_given
    {
        config.0.insert("password".to_owned(), password.clone());
    }
    Ok(config)
}

/// What can stand in a path.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.chars().count()) && !name.chars().any(|c| c.is_control() || c == '/')
}

#[cfg(test)]
mod tests;
