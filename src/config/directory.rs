//! `[directory]`: the LDAP server that knows people, and what their groups may do.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use api::auth::Scope;
use serde::{Deserialize, Serialize};

use super::wire::duration;

/// The directory.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// `ldap://` or `ldaps://`; `off`: none.
    pub url: String,
    /// Whether `ldap://` is secured before anything of value is said.
    pub starttls: bool,
    /// Roots of its certificate, PEM; empty: the system's.
    pub ca: PathBuf,
    /// Who we are there; empty: nobody.
    pub bind_dn: String,
    /// What proves it.
    pub bind_password: String,
    /// Where people are.
    pub base: String,
    /// Finds one who logs in.
    pub user_filter: String,
    /// What users are called: an attribute.
    pub user_attribute: String,
    /// Finds people by a part of a name, or a number.
    pub search_filter: String,
    /// Finds who has a number.
    pub number_filter: String,
    /// Whether callers who bring no name are looked up.
    pub caller_names: bool,
    /// What people are called: an attribute.
    pub name_attribute: String,
    /// What their number is.
    pub number_attribute: String,
    /// What their mail address is.
    pub mail_attribute: String,
    /// Whether a group has somebody.
    pub member_filter: String,
    /// What groups may do.
    pub groups: Vec<DirectoryGroup>,
    /// How long who has logged in is let in.
    #[serde(with = "duration")]
    pub session: Duration,
    /// How long an inquiry may take in all.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How long what was found is believed.
    #[serde(with = "duration")]
    pub cache_time: Duration,
    /// The same of what was not found.
    #[serde(with = "duration")]
    pub cache_negative_time: Duration,
    /// Searches that are remembered.
    pub cache: usize,
}

/// What the members of a group may do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryGroup {
    /// Its distinguished name.
    pub dn: String,
    /// As those of a key.
    pub scopes: Vec<Scope>,
}

impl Directory {
    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        self.url != "off"
    }

    pub(super) fn expect_sane(&self, expect: &mut impl FnMut(bool, &'static str, &str)) {
        let url: Option<http::Uri> = self.url.parse().ok();
        let is_ldap = url.is_some_and(|url| {
            let has_host = url.host().is_some_and(|host| !host.is_empty());
            matches!(url.scheme_str(), Some("ldap" | "ldaps")) && has_host && url.path() == "/"
        });
        let expected = "\"off\" or a URL as in ldaps://ldap.example.com";
        expect(!self.is_on() || is_ldap, "directory.url", expected);
        let (dn, password) = (&self.bind_dn, &self.bind_password);
        expect(
            dn.is_empty() == password.is_empty(),
            "directory.bind_dn",
            "directory.bind_password beside it",
        );
        let is_filter = |filter: &str, part: &str, other: &str| {
            let plain = filter.replace(part, "x").replace(other, "x");
            filter.contains(part) && ldap3::parse_filter(plain).is_ok()
        };
        let filter = "a filter (RFC 4515) with";
        let user = is_filter(&self.user_filter, "{user}", "{user}");
        expect(user, "directory.user_filter", &format!("{filter} {{user}}"));
        let text = is_filter(&self.search_filter, "{text}", "{text}");
        expect(text, "directory.search_filter", &format!("{filter} {{text}}"));
        let number = is_filter(&self.number_filter, "{number}", "{number}");
        expect(number, "directory.number_filter", &format!("{filter} {{number}}"));
        let (by_dn, by_user) = ("{dn}", "{user}");
        let member = is_filter(&self.member_filter, by_dn, by_user)
            || is_filter(&self.member_filter, by_user, by_dn);
        expect(member, "directory.member_filter", &format!("{filter} {{dn}} or {{user}}"));
        let are_good =
            self.groups.iter().all(|group| !group.dn.is_empty() && !group.scopes.is_empty());
        expect(
            are_good && self.groups.len() <= MOST_GROUPS,
            "directory.groups",
            "at most 50, each with a dn and scopes",
        );
        let times = Duration::from_millis(100)..=Duration::from_secs(30);
        expect(times.contains(&self.timeout), "directory.timeout", "100ms to 30s");
        expect(self.session >= Duration::from_mins(1), "directory.session", "at least 1m");
        expect(self.cache >= 1, "directory.cache", "at least 1");
    }
}

/// Each costs a search when somebody logs in.
const MOST_GROUPS: usize = 50;

/// The password is in no log.
impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("url", &self.url).finish_non_exhaustive()
    }
}
