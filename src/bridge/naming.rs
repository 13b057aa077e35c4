//! Callers who bring a number and no name: the directory may know one.
//!
//! ```text
//!  INVITE of a trunk ─▶ the call goes on ─────────────▶ joins ──────────────▶ …
//!                    └▶ Output::LookUp ─▶ Input::Named ─▶ its name from then on (`participant.updated`)
//! ```
//! No call waits for it. Only trunks are asked about: whoever else writes a number into its From has proved nothing, and would be
//! given the name of somebody whom people trust.

use api::event::EventType;
use api::model::LegId;
use serde_json::json;

use super::Bridge;
use super::Output;
use super::identity::Identity;
use super::leg::NamedBy;
use super::routes::user_or_number;

impl Bridge {
    /// Has a caller looked up who brought no name, or its number as one, and does not want to be hidden.
    pub(super) fn ask_name(&mut self, leg: LegId, caller: &Identity) {
        if !self.settings.caller_names || caller.is_hidden() {
            return;
        }
        let Some(number) = user_or_number(&caller.known().uri).filter(|it| is_number(it)) else {
            return;
        };
        if caller.display().is_none_or(|name| *name == number || is_number(name)) {
            self.outputs.push_back(Output::LookUp { leg, number });
        }
    }

    /// The directory knows who calls.
    pub(super) fn named(&mut self, id: LegId, name: String) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.named_by == NamedBy::Api || leg.display_name.as_ref() == Some(&name) {
            return;
        }
        leg.display_name = Some(name);
        if leg.joined_at.is_some() {
            self.participant_happened(EventType::ParticipantUpdated, id, json!({}));
        }
    }
}

/// Whether it could be dialled as it stands.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (3..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests;
