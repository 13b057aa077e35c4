//! Who asks the directory, if there is one.

use std::path::Path;

use api::directory::{Directory, directory};
use tokio::task::JoinSet;

use super::StartError;
use crate::config::Config;
use crate::directory::{CacheSettings, Clerk, Group, Names, Server};
use crate::net;

/// The way to the directory, whose clerk is at work then.
pub(super) fn open(config: &Config, tasks: &mut JoinSet<()>) -> Result<Directory, StartError> {
    let settings = &config.directory;
    if !settings.is_on() {
        return Ok(Directory::none());
    }
    let (door, inquiries) =
        directory(u32::try_from(settings.session.as_secs()).unwrap_or(u32::MAX));
    let group = |group: &crate::config::DirectoryGroup| Group {
        dn: group.dn.clone(),
        scopes: group.scopes.clone(),
    };
    let roots = Some(settings.ca.as_path()).filter(|path: &&Path| !path.as_os_str().is_empty());
    let server = Server {
        url: settings.url.clone(),
        starttls: settings.starttls,
        tls: net::roots_only(roots).map_err(StartError::Directory)?,
        bind_dn: settings.bind_dn.clone(),
        bind_password: settings.bind_password.clone(),
        base: settings.base.clone(),
        user_filter: settings.user_filter.clone(),
        search_filter: settings.search_filter.clone(),
        number_filter: settings.number_filter.clone(),
        member_filter: settings.member_filter.clone(),
        names: Names {
            user: settings.user_attribute.clone(),
            name: settings.name_attribute.clone(),
            number: settings.number_attribute.clone(),
            mail: settings.mail_attribute.clone(),
        },
        groups: settings.groups.iter().map(group).collect(),
        timeout: settings.timeout,
    };
    let cache = CacheSettings {
        time: settings.cache_time,
        negative_time: settings.cache_negative_time,
        searches: settings.cache,
    };
    tasks.spawn(Clerk { inquiries, server, cache }.run());
    Ok(door)
}
