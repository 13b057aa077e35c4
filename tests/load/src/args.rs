//! Command line: --name value, repeated options collect, unknown options are an error.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

pub struct Args {
    m: HashMap<String, Vec<String>>,
    used: RefCell<HashSet<String>>,
}

impl Args {
    pub fn parse(v: &[String]) -> Result<Args, String> {
        let mut m: HashMap<String, Vec<String>> = HashMap::new();
        let mut i = 0;
        while i < v.len() {
            let Some(k) = v[i].strip_prefix("--") else {
                return Err(format!("unexpected argument {}", v[i]));
            };
            if let Some((k, val)) = k.split_once('=') {
                m.entry(k.into()).or_default().push(val.into());
                i += 1;
            } else if i + 1 < v.len() && !v[i + 1].starts_with("--") {
                m.entry(k.into()).or_default().push(v[i + 1].clone());
                i += 2;
            } else {
                m.entry(k.into()).or_default().push("yes".into());
                i += 1;
            }
        }
        Ok(Args { m, used: RefCell::new(HashSet::new()) })
    }
    pub fn opt(&self, k: &str) -> Option<&str> {
        self.used.borrow_mut().insert(k.into());
        self.m.get(k).and_then(|v| v.last()).map(|s| s.as_str())
    }
    pub fn all(&self, k: &str) -> Vec<String> {
        self.used.borrow_mut().insert(k.into());
        self.m.get(k).cloned().unwrap_or_default()
    }
    pub fn flag(&self, k: &str) -> bool {
        self.opt(k).map(|v| v != "no" && v != "false" && v != "0").unwrap_or(false)
    }
    pub fn get<T: std::str::FromStr>(&self, k: &str, d: T) -> Result<T, String> {
        match self.opt(k) {
            Some(v) => v.parse().map_err(|_| format!("--{k}: cannot read {v}")),
            None => Ok(d),
        }
    }
    pub fn str(&self, k: &str, d: &str) -> String {
        self.opt(k).unwrap_or(d).to_string()
    }
    /// Call it once every option was read. `--label` goes into the JSON of every command.
    pub fn check(&self) -> Result<(), String> {
        self.opt("label");
        let u = self.used.borrow();
        let mut bad: Vec<&String> = self.m.keys().filter(|k| !u.contains(*k)).collect();
        bad.sort();
        if bad.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "unknown option(s): {}",
                bad.iter().map(|b| format!("--{b}")).collect::<Vec<_>>().join(" ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn forms() {
        let v: Vec<String> = ["--a", "1", "--b=x", "--f", "--pid", "3", "--pid", "4", "--g", "-5"]
            .iter()
            .map(|s| s.to_string())
            .collect();
        let a = Args::parse(&v).unwrap();
        assert_eq!(a.get("a", 0).unwrap(), 1);
        assert_eq!(a.str("b", ""), "x");
        assert!(a.flag("f"));
        assert!(!a.flag("nope"));
        assert_eq!(a.all("pid"), vec!["3", "4"]);
        assert!(a.check().is_err());
        assert_eq!(a.get("g", 0.0).unwrap(), -5.0);
        assert!(a.check().is_ok());
    }
}
