//! What is in force, where each value comes from, and what it means: `plenary check`.

use std::fmt::Write as _;

use figment::Figment;
use figment::value::Value;

use crate::config::sources::{ConfigError, defaults, source};
use crate::config::{Config, SAMPLE};

/// Settings that were checked, with their origin.
#[derive(Clone, Debug)]
pub struct Loaded {
    config: Config,
    figment: Figment,
}

impl Loaded {
    /// # Errors
    ///
    /// What [`Config::complaints`] finds.
    pub(super) fn checked(config: Config, figment: Figment) -> Result<Self, ConfigError> {
        let loaded = Self { config, figment };
        let complaints: Vec<String> = loaded
            .config
            .complaints()
            .into_iter()
            .map(|(key, complaint)| {
                format!("{key} = {} in {}: {complaint}", loaded.value(key), loaded.source(key))
            })
            .collect();
        if complaints.is_empty() { Ok(loaded) } else { Err(ConfigError(complaints)) }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every key with its value, its source and its meaning, as text that is itself a valid settings file.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        let known = defaults();
        let mut prefix = String::new();
        for line in SAMPLE.lines().skip_while(|line| !line.is_empty()).skip(1) {
            let key = line.split_once(" = ").map(|(name, _)| format!("{prefix}{name}"));
            if let Some(key) = key.filter(|key| known.contains_key(key)) {
                self.explain_key(&mut text, &key);
                continue;
            }
            if let Some(section) = line.strip_prefix('[') {
                prefix = section.replace(']', ".");
            }
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    fn explain_key(&self, text: &mut String, key: &str) {
        let name = key.rsplit('.').next().unwrap_or(key);
        let source = self.source(key);
        writeln!(text, "{name} = {}  # from: {source}", self.value(key))
            .expect("a string takes any text");
    }

    fn value(&self, key: &str) -> String {
        let value = self.figment.find_value(key);
        match value {
            Ok(Value::String(_, text))
                if matches!(key, "api_key" | "database") && text != "auto" =>
            {
                "\"…\"".to_owned()
            }
            Ok(Value::String(_, text)) if is_secret(key) && !text.is_empty() => "\"…\"".to_owned(),
            Ok(Value::String(..)) if key == "sip.users" => "[\"…\"]".to_owned(),
            Ok(Value::Array(_, users)) if key == "sip.users" => {
                format!("[{}]", vec!["\"…\""; users.len()].join(", "))
            }
            Ok(value) => written(&value),
            Err(_) => String::new(),
        }
    }

    fn source(&self, key: &str) -> String {
        self.figment.find_metadata(key).map_or_else(|| "default".to_owned(), source)
    }
}

/// What only its owner may know.
fn is_secret(key: &str) -> bool {
    matches!(key, "hep.password" | "mail.password" | "directory.bind_password")
}

/// A value as TOML.
fn written(value: &Value) -> String {
    match value {
        Value::Array(_, values) => {
            let values: Vec<String> = values.iter().map(written).collect();
            format!("[{}]", values.join(", "))
        }
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, on) => on.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, broken) => broken.unwrap_or_default().to_string(),
        },
        Value::Char(_, character) => format!("{:?}", character.to_string()),
        Value::Dict(_, fields) => {
            let field = |(name, value): (&String, &Value)| {
                let text = if name == "password" { "\"…\"".to_owned() } else { written(value) };
                format!("{name} = {text}")
            };
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Empty(..) => String::new(),
    }
}
