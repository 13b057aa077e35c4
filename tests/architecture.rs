//! Who may import whom: the picture of `ARCHITECTURE.md`, held by reading the source.
//!
//! Cargo keeps the crates apart; within the root crate nothing but this test does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test reports by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `src/` and the paths it may name beyond itself. A path allows everything below it.
const MAY_IMPORT: [(&str, &[&str]); 21] = [
    (
        "config",
        &[
            "crate::bridge::CallerId",
            "crate::bridge::CallerLimits",
            "crate::bridge::Dtmf",
            "crate::bridge::HeaderRules",
            "crate::bridge::MAX_ROUTES",
            "crate::bridge::MediaRules",
            "crate::bridge::Network",
            "crate::bridge::NumberFormat",
            "crate::bridge::Pattern",
            "crate::bridge::Prices",
            "crate::bridge::Rule",
            "crate::bridge::SrtpPolicy",
            "crate::bridge::TrunkGateway",
            "api::auth::Scope",
            "api::model",
            "crate::sip::digest",
            "crate::sip::Uri",
            "crate::sip::uri",
            "mixer::codec",
        ],
    ),
    ("key", &["crate::config"]),
    ("sip", &[]),
    // What a browser asks of a media port; the dimpl crate speaks DTLS for it.
    ("webrtc", &["mixer::srtp"]),
    ("sdp", &["crate::webrtc", "mixer::codec", "mixer::srtp"]),
    (
        "bridge",
        &[
            "crate::sip",
            "crate::sdp",
            "crate::media::command",
            "crate::recorder::order",
            "crate::signature",
            "crate::webrtc",
            // Clips by name, as constant as any table.
            "crate::sounds::prompts",
            "api::archive",
            "api::control",
            "api::event",
            "api::id",
            "api::model",
            "api::webhooks::key_of",
            "mixer::codec",
            "mixer::room::TICK",
        ],
    ),
    // Bytes and addresses in and out; nothing of calls.
    (
        "net",
        &[
            "crate::sip::Limits",
            "crate::sip::StatusCode",
            "crate::sip::endpoint::LocalAddress",
            "crate::sip::endpoint::Packet",
            "crate::sip::endpoint::Transmit",
            "crate::sip::locate",
            "crate::sip::message",
            "crate::sip::transport",
        ],
    ),
    ("media", &["crate::webrtc", "mixer"]),
    // Octets in, clips out.
    ("sounds", &["api::wav", "mixer"]),
    // The folder of sounds.
    ("shelf", &["crate::sounds", "api::wav", "mixer::play"]),
    // Takes what is recorded from the media threads, and writes files.
    (
        "recorder",
        &[
            "crate::media::Reel",
            "crate::media::TapeEnd",
            "crate::media::command",
            "api::id",
            "api::model",
            "api::wav",
            "mixer::codec",
            "mixer::resample",
        ],
    ),
    ("store", &["api::archive", "api::control", "api::event", "api::id", "api::model"]),
    // How what we send over HTTP is signed.
    ("signature", &["api::webhooks::key_of"]),
    // The HTTP client, and its address book.
    ("post", &["crate::bridge::AskUrl", "crate::bridge::Network"]),
    // Asks HTTP endpoints what the bridge wants to know.
    ("ask", &["crate::bridge", "crate::post"]),
    // Tells HTTP endpoints what happens.
    (
        "webhooks",
        &[
            "crate::bridge::AskUrl",
            "crate::post",
            "crate::signature",
            "api::archive",
            "api::control",
            "api::event",
            "api::events",
            "api::id",
            "api::model",
            "api::webhooks",
        ],
    ),
    // Asks the LDAP server of an organisation who may log in, and who is called what.
    ("directory", &["api::auth", "api::directory", "api::model"]),
    // Tells people by mail what happens, and invites them.
    (
        "mail",
        &[
            "api::archive",
            "api::control",
            "api::event",
            "api::events",
            "api::id",
            "api::mail",
            "api::model",
        ],
    ),
    (
        "driver",
        &[
            "crate::ask",
            "crate::net",
            "crate::recorder",
            "crate::shelf",
            "crate::bridge",
            "crate::media",
            "crate::sip::locate",
            "api::archive",
            "api::control",
            "api::directory",
            "api::event",
            "api::events",
            "api::id",
            "api::model",
        ],
    ),
    // Puts all of them together.
    (
        "start",
        &[
            "crate::ask",
            "crate::directory",
            "crate::driver",
            "crate::config",
            "crate::key",
            "crate::mail",
            "crate::net",
            "crate::bridge",
            "crate::media",
            "crate::recorder",
            "crate::shelf",
            "crate::store",
            "crate::post",
            "crate::sip",
            "crate::webhooks",
            "crate::webrtc",
            "api",
            "mixer",
        ],
    ),
    ("main", &["plenary"]),
];

/// What takes time, randomness and addresses as arguments.
const SANS_IO: [&str; 6] =
    ["src/sip", "src/sdp", "src/webrtc", "src/bridge", "src/sounds", "mixer/src"];

/// What would bring a clock, a socket, a thread or a file into it.
const IO: [&str; 7] =
    ["tokio::", "std::thread", "std::fs", "std::process", "UdpSocket", "TcpStream", "getrandom"];

#[test]
fn modules_import_only_what_the_picture_allows() {
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        let module = top_module(&file);
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!(
                "{}: the module `{module}` is new; give it a row in MAY_IMPORT of {} and a place in ARCHITECTURE.md",
                file.display(),
                file!()
            ));
            continue;
        };
        let own = format!("crate::{module}");
        for path in imports(&code(&file)) {
            if !within(&path, &own) && !allowed.iter().any(|allowed| within(&path, allowed)) {
                wrong.push(format!(
                    "{}: `{module}` must not import `{path}`; it may import {allowed:?}",
                    file.display()
                ));
            }
        }
    }

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_way_up_is_not_a_way_around() {
    for file in rust_files(Path::new("src")) {
        let depth = module_depth(&file);
        for line in code(&file).lines() {
            let chain = line
                .trim_start()
                .trim_start_matches("pub ")
                .strip_prefix("use ")
                .unwrap_or_default();
            let ups = chain.split("::").take_while(|part| *part == "super").count();
            // An indented line sits in an inline module, one deeper.
            let depth = if line.starts_with(' ') { depth + 1 } else { depth };

            assert!(
                ups < depth || ups == 0,
                "{}: `{line}` reaches the crate root; write `use crate::…`, which the picture can check",
                file.display()
            );
        }
    }
}

#[test]
fn the_core_does_no_io() {
    for folder in SANS_IO.iter().map(Path::new) {
        for file in rust_files(folder) {
            let code = code(&file);
            for io in IO {
                assert!(
                    !code.contains(io),
                    "{}: names `{io}`; {} takes time, randomness and addresses as arguments, the shells do the rest",
                    file.display(),
                    folder.display()
                );
            }
        }
    }
}

#[test]
fn mixer_and_api_depend_on_nothing_of_ours() {
    for manifest in ["mixer/Cargo.toml", "api/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();

        for name in ["plenary", "mixer", "api"] {
            let depends = text.lines().any(|line| {
                let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
                key == name && line.contains('=')
            });
            assert!(!depends, "{manifest} must not depend on `{name}`: the root joins the two");
        }
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let code = "use crate::sip::{message::{Headers, self}, uri};\nfn f(x: crate::net::Tcp) { mixer::codec::y() }\n\
        pub use api::{model, control};\nlet other = my_crate::x; $crate::y; amixer::z; \"api::text\";";

    let found = imports(code);

    let expected = [
        "api::control",
        "api::model",
        "crate::net::Tcp",
        "crate::sip::message::Headers",
        "crate::sip::message::self",
        "crate::sip::uri",
        "mixer::codec::y",
    ];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

/// Every path in `code` that starts at one of our crates, with groups spread out.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["crate", "api", "mixer", "plenary"] {
        let pattern = format!("{start}::");
        for (at, _) in code.match_indices(&pattern) {
            let before = code[..at].chars().next_back();
            let begins =
                before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | '$' | ':' | '"'));
            if begins {
                spread(start, &code[at + pattern.len()..], &mut found);
            }
        }
    }
    found
}

/// Reads a path or a group after `prefix::`; gives what follows it.
fn spread<'a>(prefix: &str, text: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    let text = text.trim_start();
    let Some(mut rest) = text.strip_prefix('{') else {
        let stops = |c: char| !c.is_alphanumeric() && c != '_' && c != '*';
        let (name, rest) = text.split_at(text.find(stops).unwrap_or(text.len()));
        let path = format!("{prefix}::{name}");
        if let Some(deeper) = rest.strip_prefix("::").filter(|rest| !rest.starts_with('<')) {
            return spread(&path, deeper, found);
        }
        found.insert(path);
        return rest;
    };
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.is_empty() {
            return rest;
        }
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let after = spread(prefix, rest, found);
        // Whatever is no list (` as name`) is skipped up to the next item.
        let next = after.find([',', '}']).unwrap_or(after.len());
        rest = &after[next..];
    }
}

fn within(path: &str, allowed: &str) -> bool {
    path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The file without comments, and without what is only compiled for tests: those may do IO.
fn code(file: &Path) -> String {
    if file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests") {
        return String::new();
    }
    let text = fs::read_to_string(root().join(file)).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// `bridge` for `src/bridge.rs` and for everything below `src/bridge/`.
fn top_module(file: &Path) -> String {
    let first = file.components().nth(1).unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// How many modules deep: 1 for `src/bridge.rs` and `src/bridge/mod.rs`, 2 for `src/bridge/leg.rs`.
fn module_depth(file: &Path) -> usize {
    let parts = file.components().count() - 1;
    if file.ends_with("mod.rs") { parts - 1 } else { parts }
}

/// All Rust files below `folder`, relative to the repository.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return files };
    for entry in entries {
        let path = folder.join(entry.unwrap().file_name());
        if root().join(&path).is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
