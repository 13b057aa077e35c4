//! Users: those of the settings, and those that are made over the API and kept.
//!
//! Of a password nobody keeps more than its digests for the realm (HA1 of RFC 7616 §3.4.2), one for each algorithm.

use std::collections::BTreeMap;

use api::archive::{Change, Document, DocumentKind};
use api::control::{IfMatch, Reply};
use api::model::{self, CreateUser, Page, PageQuery, UpdateUser};
use serde::{Deserialize, Serialize};

use super::Bridge;
use super::command::{Answer, conflict, no_such, page};
use super::keeping::{Deed, Later, may_change, source, unusable};
use crate::sip::digest::Algorithm;

/// A user as the bridge holds it, and as it is kept.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct User {
    pub(super) name: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default = "yes")]
    may_register: bool,
    #[serde(default = "yes")]
    may_call: bool,
    /// What the digests were made for.
    realm: String,
    /// By the name of the algorithm, hexadecimal.
    digests: BTreeMap<String, String>,
    /// 0: of the settings.
    #[serde(skip)]
    revision: u64,
}

/// The digests are as good as the password.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a user wants to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    Register,
    /// A call, a message or a subscription.
    Call,
}

impl User {
    /// One of the settings.
    pub(super) fn new(name: &str, password: &str, realm: &str) -> Self {
        let mut user = Self {
            name: name.to_owned(),
            display_name: None,
            may_register: true,
            may_call: true,
            realm: String::new(),
            digests: BTreeMap::new(),
            revision: 0,
        };
        user.give_password(password, realm);
        user
    }

    fn give_password(&mut self, password: &str, realm: &str) {
        realm.clone_into(&mut self.realm);
        let digest = |algorithm: Algorithm| {
            (algorithm.name().to_owned(), algorithm.secret(&self.name, realm, password))
        };
        self.digests = Algorithm::ALL.map(digest).into();
    }

    /// What stands for its password in this realm.
    pub(super) fn secret(&self, algorithm: Algorithm, realm: &str) -> Option<&str> {
        let digest = self.digests.get(algorithm.name())?;
        (self.realm == realm).then_some(digest.as_str())
    }

    pub(super) fn may(&self, wish: Wish) -> bool {
        match wish {
            Wish::Register => self.may_register,
            Wish::Call => self.may_call,
        }
    }

    /// Whether phones that are registered may stay so with `newer` in its place.
    fn keeps_phones(&self, newer: &Self) -> bool {
        newer.may_register && newer.digests == self.digests
    }
}

impl Bridge {
    /// Takes up the users that are kept.
    pub(super) fn open_users(&mut self) {
        for (revision, user) in self.kept::<User>(DocumentKind::User) {
            if self.access.users.contains_key(&user.name) {
                let why = "the settings have one of this name";
                unusable(DocumentKind::User, &user.name, &why);
                continue;
            }
            if user.realm != self.access.realm() {
                let (name, realm) = (&user.name, &user.realm);
                tracing::warn!(
                    name,
                    realm,
                    "sip.realm has changed: this user needs a new password"
                );
            }
            self.access.users.insert(user.name.clone(), User { revision, ..user });
        }
    }

    fn user(&self, name: &str) -> Answer<&User> {
        self.access.users.get(name).ok_or_else(|| no_such("user", name))
    }

    fn user_view(&self, user: &User) -> model::User {
        let phones = self.registrar.bindings(&user.name).len();
        model::User {
            name: user.name.clone(),
            display_name: user.display_name.clone(),
            may_register: user.may_register,
            may_call: user.may_call,
            phones: u32::try_from(phones).unwrap_or(u32::MAX),
            needs_password: user.realm != self.access.realm(),
            source: source(user.revision),
            revision: user.revision,
        }
    }

    pub(super) fn api_list_users(&self, query: &PageQuery) -> Answer<Page<model::User>> {
        let page = page::page(query, self.access.users.values(), |user| user.name.clone())?;
        let items = page.items.into_iter().map(|user| self.user_view(user)).collect();
        Ok(Page { items, next: page.next })
    }

    pub(super) fn api_user(&self, name: &str) -> Answer<model::User> {
        self.user(name).map(|user| self.user_view(user))
    }

    pub(super) fn api_create_user(&mut self, body: &CreateUser, reply: Reply<model::User>) {
        match self.may_create_user(&body.name) {
            Ok(()) => {
                let mut user = User::new(&body.name, &body.password, self.access.realm());
                user.display_name = body.display_name.clone().filter(|name| !name.is_empty());
                (user.may_register, user.may_call) = (body.may_register, body.may_call);
                self.keep_user(user, reply);
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    fn may_create_user(&self, name: &str) -> Answer<()> {
        if self.user(name).is_ok() {
            let detail = format!("there is a user {name}; PATCH changes it");
            return Err(conflict("user_name_taken", detail));
        }
        let most = self.settings.max_users;
        if self.access.users.len() + self.changes_under_way(DocumentKind::User) >= most {
            let detail =
                format!("there are {most} users, as many as there may be; see limits.users");
            return Err(conflict("too_many_users", detail));
        }
        Ok(())
    }

    pub(super) fn api_update_user(
        &mut self,
        (name, condition): (&str, &IfMatch),
        body: UpdateUser,
        reply: Reply<model::User>,
    ) {
        let user = match self.may_change_user(name, condition) {
            Ok(user) => user.clone(),
            Err(error) => return reply.send(Err(error)),
        };
        let mut user = user;
        if let Some(password) = &body.password {
            user.give_password(password, self.access.realm());
        }
        if let Some(display_name) = body.display_name {
            user.display_name = Some(display_name).filter(|name| !name.is_empty());
        }
        user.may_register = body.may_register.unwrap_or(user.may_register);
        user.may_call = body.may_call.unwrap_or(user.may_call);
        self.keep_user(user, reply);
    }

    pub(super) fn api_delete_user(&mut self, name: String, condition: &IfMatch, reply: Reply<()>) {
        match self.may_change_user(&name, condition) {
            Ok(_) => {
                let change = Change::Remove(DocumentKind::User, name);
                self.store(change, Deed::Remove(Later::new(reply)));
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    fn may_change_user(&self, name: &str, condition: &IfMatch) -> Answer<&User> {
        let user = self.user(name)?;
        may_change(("user", name), user.revision, condition)?;
        Ok(user)
    }

    fn keep_user(&mut self, mut user: User, reply: Reply<model::User>) {
        user.revision = self.next_revision();
        let change = Change::Put(Document {
            kind: DocumentKind::User,
            name: user.name.clone(),
            revision: user.revision,
            body: serde_json::to_string(&user).unwrap_or_default(),
        });
        self.store(change, Deed::PutUser(Box::new(user), Later::new(reply)));
    }

    /// A user that is stored.
    pub(super) fn put_user(&mut self, user: User) -> model::User {
        let name = user.name.clone();
        let before = self.access.users.insert(name.clone(), user);
        let newer = &self.access.users[&name];
        if before.is_some_and(|before| !before.keeps_phones(newer)) {
            self.drop_phones(&name);
        }
        self.user_view(&self.access.users[&name])
    }

    /// A user that the store has no more.
    pub(super) fn remove_user(&mut self, name: &str) {
        self.access.users.remove(name);
        self.drop_phones(name);
    }

    fn drop_phones(&mut self, name: &str) {
        for change in self.registrar.drop_user(name) {
            self.registration_changed(name, &change);
        }
    }
}

fn yes() -> bool {
    true
}
