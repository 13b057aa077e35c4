//! Where settings come from, and what is said when they are wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use crate::config::explain::Loaded;
use crate::config::{Config, SAMPLE};

/// The command line's settings; text that is read like the same key of the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Settings file (TOML); plenary.toml is read if present
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// SIP over UDP listener, may repeat; "off" for none [default: 0.0.0.0:5060]
    #[arg(long, global = true, value_name = "ADDR")]
    pub sip_udp: Vec<String>,
    /// SIP over TCP listener, may repeat; "off" for none [default: 0.0.0.0:5060]
    #[arg(long, global = true, value_name = "ADDR")]
    pub sip_tcp: Vec<String>,
    /// SIP over TLS listener, may repeat; needs --tls-cert and --tls-key [default: off]
    #[arg(long, global = true, value_name = "ADDR")]
    pub sip_tls: Vec<String>,
    /// SIP over WebSocket listener, may repeat [default: off]
    #[arg(long, global = true, value_name = "ADDR")]
    pub sip_ws: Vec<String>,
    /// SIP over secure WebSocket listener, may repeat; needs a certificate as --sip-tls does [default: off]
    #[arg(long, global = true, value_name = "ADDR")]
    pub sip_wss: Vec<String>,
    /// Certificate chain for TLS (PEM); read again on SIGHUP
    #[arg(long = "tls-cert", alias = "sip-tls-certificate", global = true, value_name = "FILE")]
    pub sip_tls_certificate: Option<String>,
    /// Its private key (PEM)
    #[arg(long = "tls-key", alias = "sip-tls-key", global = true, value_name = "FILE")]
    pub sip_tls_key: Option<String>,
    /// Address that SDP, Contact and Via advertise [default: the one that routes to the peer]
    #[arg(long, global = true, value_name = "IP")]
    pub public_ip: Option<String>,
    /// UDP ports for RTP and RTCP [default: 16384-32767]
    #[arg(long, global = true, value_name = "A-B")]
    pub rtp_ports: Option<String>,
    /// REST, events, dashboard, metrics [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDR")]
    pub api: Option<String>,
    /// First admin key of the API [default: made at the first start]
    #[arg(long, global = true, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Folder for what must survive a restart [default: plenary-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<String>,
    /// Postgres instead of a file in that folder, as in `postgres://user:password@host/name`
    #[arg(long, global = true, value_name = "URL")]
    pub database: Option<String>,
    /// Media threads [default: cores]
    #[arg(long, global = true, value_name = "N")]
    pub media_workers: Option<String>,
    /// What is logged: error, warn, info, debug, trace [default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl Flags {
    /// Key, flag and text of every flag that was given.
    fn given(&self) -> Vec<(&'static str, &'static str, String)> {
        let list = |texts: &Vec<String>| (!texts.is_empty()).then(|| texts.join(","));
        [
            ("sip.udp", "--sip-udp", list(&self.sip_udp)),
            ("sip.tcp", "--sip-tcp", list(&self.sip_tcp)),
            ("sip.tls", "--sip-tls", list(&self.sip_tls)),
            ("sip.ws", "--sip-ws", list(&self.sip_ws)),
            ("sip.wss", "--sip-wss", list(&self.sip_wss)),
            ("sip.tls_certificate", "--tls-cert", self.sip_tls_certificate.clone()),
            ("sip.tls_key", "--tls-key", self.sip_tls_key.clone()),
            ("public_ip", "--public-ip", self.public_ip.clone()),
            ("rtp_ports", "--rtp-ports", self.rtp_ports.clone()),
            ("api", "--api", self.api.clone()),
            ("api_key", "--api-key", self.api_key.clone()),
            ("data", "--data", self.data.clone()),
            ("database", "--database", self.database.clone()),
            ("media.workers", "--media-workers", self.media_workers.clone()),
            ("log", "--log", self.log.clone()),
            ("log_format", "--log-format", self.log_format.clone()),
        ]
        .into_iter()
        .filter_map(|(key, flag, text)| Some((key, flag, text?)))
        .collect()
    }
}

/// Everything that is wrong with the settings, one sentence each.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads file, environment (`(name, value)` pairs) and flags, and checks the result.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every complaint that could be found, each naming its key and source.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let environment: Map<String, String> = environment.into_iter().collect();
        let known = defaults();
        let mut unknown = Vec::new();

        let mut figment = Figment::from(Named("default", Toml::string(SAMPLE)));
        if let Some(path) = file(flags, &environment)? {
            let file = Toml::file_exact(&path);
            let keys = file.data().map_err(|error| {
                ConfigError(vec![format!("{}: {}", path.display(), error.kind)])
            })?;
            unknown.extend(unknown_keys(&keys, &known, &path));
            figment = figment.merge(file);
        }
        for (name, text) in &environment {
            match variable(name, text, &known) {
                Some(Ok(setting)) => figment = figment.merge(setting),
                Some(Err(complaint)) => unknown.push(complaint),
                None => {}
            }
        }
        for (key, flag, text) in flags.given() {
            figment =
                figment.merge(Setting::new(key, format!("flag {flag}"), known[key].like(&text)));
        }
        if !unknown.is_empty() {
            return Err(ConfigError(unknown));
        }
        let config = figment.extract().map_err(complaints)?;
        Loaded::checked(config, figment)
    }
}

/// One key from one place.
struct Setting {
    key: String,
    source: String,
    value: Value,
}

impl Setting {
    fn new(key: &str, source: String, value: Value) -> Self {
        Self { key: key.to_owned(), source, value }
    }
}

impl Provider for Setting {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(&self.key, self.value.clone());
        let dict = nested.into_dict().unwrap_or_default(); // A key always nests into a dictionary.
        Ok(Profile::Default.collect(dict))
    }
}

/// A provider under another name.
struct Named<P>(&'static str, P);

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.1.data()
    }
}

/// Reads text as a value of the same kind as a known one.
trait Like {
    fn like(&self, text: &str) -> Value;
}

impl Like for Value {
    fn like(&self, text: &str) -> Value {
        let text = text.trim();
        match self {
            Self::Array(..) => text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .into(),
            Self::Num(..) => text.parse::<i64>().map_or_else(|_| text.into(), Self::from),
            Self::Bool(..) => text.parse::<bool>().map_or_else(|_| text.into(), Self::from),
            Self::String(..) | Self::Char(..) | Self::Dict(..) | Self::Empty(..) => text.into(),
        }
    }
}

/// Every known key with its default.
pub(super) fn defaults() -> BTreeMap<String, Value> {
    let sample = Toml::string(SAMPLE).data().expect("the sample is TOML; a test reads it");
    flatten(&sample)
}

/// The file to read: the one that was asked for, else plenary.toml if there is one.
fn file(flags: &Flags, environment: &Map<String, String>) -> Result<Option<PathBuf>, ConfigError> {
    let asked = flags.config.clone().or_else(|| {
        environment.get("PLENARY_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
    });
    let Some(path) = asked else {
        let usual = PathBuf::from("plenary.toml");
        return Ok(usual.is_file().then_some(usual));
    };
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(Some(path)),
        Ok(_) => Err(ConfigError(vec![format!("--config {}: not a file", path.display())])),
        Err(error) => Err(ConfigError(vec![format!("--config {}: {error}", path.display())])),
    }
}

/// What an environment variable sets; `None` where it is none of ours. An empty one counts as not set, so that
/// `PLENARY_PUBLIC_IP=${IP:-}` in a compose file works.
fn variable(
    name: &str,
    text: &str,
    known: &BTreeMap<String, Value>,
) -> Option<Result<Setting, String>> {
    let rest = name.strip_prefix("PLENARY_")?;
    if rest == "CONFIG" || text.is_empty() || is_from_kubernetes(rest) {
        return None;
    }
    let named = |key: &str| key.replace('.', "_").to_uppercase();
    let Some((key, default)) = known.iter().find(|(key, _)| named(key) == rest) else {
        let nearest = nearest(&rest.to_lowercase(), known.keys().map(|key| key.replace('.', "_")));
        return Some(Err(format!(
            "environment variable {name}: no such setting, did you mean PLENARY_{}?",
            nearest.to_uppercase()
        )));
    };
    Some(Ok(Setting::new(key, format!("environment variable {name}"), default.like(text))))
}

/// A Kubernetes service called `plenary` puts these into every pod: `PLENARY_SERVICE_HOST`, `PLENARY_PORT_5060_UDP`, …
fn is_from_kubernetes(rest: &str) -> bool {
    rest == "PORT"
        || rest.starts_with("PORT_")
        || rest.starts_with("SERVICE_HOST")
        || rest.starts_with("SERVICE_PORT")
}

fn unknown_keys(
    keys: &Map<Profile, Dict>,
    known: &BTreeMap<String, Value>,
    path: &Path,
) -> Vec<String> {
    flatten(keys)
        .into_keys()
        .filter(|key| !known.contains_key(key))
        .map(|key| {
            let nearest = nearest(&key, known.keys().cloned());
            format!("{key} in {}: no such setting, did you mean {nearest}?", path.display())
        })
        .collect()
}

/// The known name that differs least: in whole, or in its last part where only the section is wrong.
fn nearest(name: &str, known: impl Iterator<Item = String>) -> String {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let distance = |other: &String| {
        let whole = strsim::damerau_levenshtein(name, other);
        whole.min(1 + strsim::damerau_levenshtein(&last(name), &last(other)))
    };
    known.min_by_key(distance).unwrap_or_default()
}

fn flatten(profiles: &Map<Profile, Dict>) -> BTreeMap<String, Value> {
    fn add(prefix: &str, dict: &Dict, flat: &mut BTreeMap<String, Value>) {
        for (name, value) in dict {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let Some(dict) = value.as_dict().filter(|dict| !dict.is_empty()) {
                add(&key, dict, flat);
            } else {
                flat.insert(key, value.clone());
            }
        }
    }

    let mut flat = BTreeMap::new();
    for dict in profiles.values() {
        add("", dict, &mut flat);
    }
    flat
}

fn complaints(error: figment::Error) -> ConfigError {
    let sentence = |error: figment::Error| {
        let source = error.metadata.as_ref().map(source);
        let place = match (error.path.join("."), source) {
            (key, Some(source)) if key.is_empty() => source,
            (key, None) => key,
            (key, Some(source)) => format!("{key} in {source}"),
        };
        format!("{place}: {}", error.kind)
    };
    ConfigError(error.into_iter().map(sentence).collect())
}

/// `plenary.toml`, `flag --api`, `default`.
pub(super) fn source(metadata: &Metadata) -> String {
    match metadata.source.as_ref().and_then(figment::Source::file_path) {
        Some(path) => path.display().to_string(),
        None => metadata.name.to_string(),
    }
}
