//! Who hears whom in a room.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::manners::Edit;
use super::object::kept_objects;

/// An audio group of a room, as it is: to whom its members speak, and whom they hear.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AudioGroup {
    /// What it was made from.
    pub relation: Option<Relation>,
    /// The group whose hearers hear them; null: nobody does.
    pub speaks_to: Option<String>,
    /// The groups that they hear.
    pub hears: Vec<HeardGroup>,
    /// While somebody speaks to this group, they hear the others lower …
    pub ducked_by: Option<String>,
    /// … by so many dB.
    pub duck_db: f32,
}

kept_objects! { HeardGroup GroupSettings }

/// A group that is heard.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct HeardGroup {
    /// Its name; `main` is where everybody is who was put nowhere else.
    pub group: String,
    /// How loud: −60 to 12 dB.
    #[serde(default)]
    pub gain_db: f32,
}

/// A group to be made or made anew. Without anything it is apart: its members hear each other, and nobody else hears them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct GroupSettings {
    /// How it stands to the group `of`; what is said beside it counts more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
    /// To which group it stands so: `main`, if absent. For an audience, the group of its interpreter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The group whose hearers hear its members (default: the group itself); null: nobody does.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schema(value_type = Option<String>)]
    pub speaks_to: Edit<String>,
    /// The groups that its members hear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hears: Option<Vec<HeardGroup>>,
    /// While somebody speaks to this group, its members hear the others lower …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ducked_by: Option<String>,
    /// … by so many dB (0 to 60, default 18).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duck_db: Option<f32>,
}

/// Ready-made ways for a group to stand to another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Hears the other group; nobody hears its members.
    Monitor,
    /// Its members talk among themselves, and hear the other group 20 dB lower, which does not hear them.
    Sidebar,
    /// Hears the other group, and speaks to its own audience.
    Interpreter,
    /// Hears the interpreter, and main 18 dB lower while the interpreter speaks; speaks to main.
    Audience,
}

/// How a coach takes part.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Supervision {
    /// Nobody hears them.
    Monitor,
    /// Only those whom they coach hear them.
    Whisper,
    /// All hear them whom those hear that they coach.
    Barge,
}

/// Groups to be made, made anew, or, if null, taken away.
pub type GroupChanges = BTreeMap<String, Option<GroupSettings>>;

/// As the document shows them.
pub(super) fn changes_schema() -> utoipa::openapi::Schema {
    use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
    use utoipa::openapi::{Ref, Schema};

    let nothing = ObjectBuilder::new().schema_type(Type::Null);
    let change = OneOfBuilder::new().item(nothing).item(Ref::from_schema_name("GroupSettings"));
    let changes = ObjectBuilder::new().schema_type(Type::Object);
    changes.additional_properties(Some(Schema::OneOf(change.build()))).build().into()
}
