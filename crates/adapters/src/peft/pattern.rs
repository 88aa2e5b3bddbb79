//! Names and regular expressions of PEFT's options, with the meaning that Python gives them.

use std::fmt;

use fancy_regex::Regex;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// One regular expression for whole names, or a list of names and of their ends.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    /// Whether `module` is meant; `key` names the option in errors.
    pub(super) fn has(&self, key: &str, module: &str) -> Result<bool, String> {
        match self {
            // PEFT puts the names of all linear layers in its place, and so does a folder of it.
            Names::One(all) if key == "target_modules" && all == "all-linear" => Ok(true),
            Names::One(one) => is_match(&pattern(key, &format!("^(?:{one})$"))?, module),
            Names::Many(names) => Ok(names.iter().any(|name| is_end(module, name))),
        }
    }
}

fn is_end(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Numbers of layers.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Layers {
    One(i64),
    Many(Vec<i64>),
}

impl Layers {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Layers::Many(layers) if layers.is_empty())
    }

    /// Whether `module` is in one of the layers: the first number in its name that stands behind
    /// one of `patterns`, or behind any part of the name that is not the first.
    pub(super) fn hold(&self, module: &str, patterns: Option<&Names>) -> Result<bool, String> {
        let before: Vec<String> = match patterns {
            Some(Names::One(one)) if !one.is_empty() => vec![format!(r"(?:^|.*?\.){one}")],
            Some(Names::Many(many)) if !many.is_empty() => {
                many.iter().map(|one| format!(r"(?:^|.*?\.){one}")).collect()
            }
            _ => vec![r".*?\.[^.]*".into()],
        };
        for before in before {
            let regex = pattern("layers_pattern", &format!(r"^{before}\.(?P<idx>\d+)\."))?;
            let found = regex.captures(module).map_err(|e| format!("{before}: {e}"))?;
            if let Some(index) = found.as_ref().and_then(|found| found.name("idx")) {
                return Ok(index.as_str().parse().is_ok_and(|index| self.has(index)));
            }
        }
        Ok(false)
    }

    fn has(&self, index: i64) -> bool {
        match self {
            Layers::One(layer) => *layer == index,
            Layers::Many(layers) => layers.contains(&index),
        }
    }
}

/// Values by patterns, in the order of the file: the first that matches counts.
#[derive(Debug)]
pub(super) struct Patterns<T>(Vec<(String, T)>);

impl<T> Patterns<T> {
    pub(super) fn compile(patterns: Option<Self>, key: &str) -> Result<Vec<(Regex, T)>, String> {
        let compile = |(text, value): (String, T)| {
            pattern(key, &format!(r"^(.*\.)?({text})$")).map(|regex| (regex, value))
        };
        patterns.map(|Self(all)| all).unwrap_or_default().into_iter().map(compile).collect()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers by patterns")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Patterns(all))
            }
        }

        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

/// The regular expression `text` of the option `key`.
pub(super) fn pattern(key: &str, text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|_| format!("{key}: expected a regular expression, found {text}"))
}

/// # Errors
/// A comparison that takes too long.
pub(super) fn is_match(regex: &Regex, module: &str) -> Result<bool, String> {
    regex.is_match(module).map_err(|e| format!("{regex}: {e}"))
}
