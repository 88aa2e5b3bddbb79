//! Which projections carry factors, whole or in the parts of a fused `qkv`; in PEFT's words.

use std::fmt;

use polyptych_tensor::{
    Error as TensorError, Result as TensorResult, Scope, Site, SiteKind, Tensor,
};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config};
use crate::method::Form;

/// Which projections carry factors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TargetModules {
    /// A regular expression that the whole name must match; `all-linear` is every projection.
    Pattern(String),
    /// Names, or their ends after a dot: `qkv`, `attn.proj`, `blocks.3.mlp.fc1`.
    /// `q`, `k` and `v` stand for the parts of a fused `qkv`.
    Names(Vec<String>),
}

impl fmt::Display for TargetModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetModules::Pattern(pattern) => f.write_str(pattern),
            TargetModules::Names(names) => f.write_str(&names.join(", ")),
        }
    }
}

impl TargetModules {
    /// Checks the list or the expression.
    ///
    /// # Errors
    /// An empty list, or an expression that is none.
    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            TargetModules::Names(names) if names.is_empty() => {
                Err(config("target_modules", "at least one name", "an empty list"))
            }
            TargetModules::Pattern(pattern) => regex(pattern).map(|_| ()),
            TargetModules::Names(_) => Ok(()),
        }
    }
}

/// [`TargetModules`] with their expression compiled.
#[derive(Debug)]
pub(crate) struct Targets {
    modules: TargetModules,
    pattern: Option<Regex>,
}

impl Targets {
    /// Compiles `modules`.
    ///
    /// # Errors
    /// As [`TargetModules::validate`].
    pub(crate) fn new(modules: &TargetModules) -> Result<Self> {
        modules.validate()?;
        let pattern = match modules {
            TargetModules::Pattern(pattern) if pattern != "all-linear" => Some(regex(pattern)?),
            _ => None,
        };
        Ok(Self { modules: modules.clone(), pattern })
    }

    /// What carries factors at `site`: all rows, some parts of a fused `qkv`, or nothing.
    pub(crate) fn parts(&self, site: &Site) -> Vec<QkvPart> {
        let rows = site.out_features;
        if !site.is_projection() {
            return Vec::new();
        }
        if self.contains(&site.path) {
            return vec![QkvPart { name: "", start: 0, len: rows }];
        }
        if site.kind != SiteKind::Qkv {
            return Vec::new();
        }
        let third = rows / 3;
        let parts = ["q", "k", "v"].into_iter().enumerate();
        let parts = parts.map(|(i, name)| QkvPart { name, start: i as i64 * third, len: third });
        let parent = site.path.trim_end_matches("qkv");
        parts.filter(|part| self.contains(&format!("{parent}{}", part.name))).collect()
    }

    /// The same for a model in `form`: nothing stays once it is merged.
    pub(crate) fn parts_in(&self, form: Form, site: &Site) -> Vec<QkvPart> {
        match form {
            Form::Adapted => self.parts(site),
            Form::Merged => Vec::new(),
        }
    }

    /// Whether the weight at `site` is adapted as a whole.
    pub(crate) fn adapts(&self, site: &Site) -> bool {
        self.parts(site).iter().any(|part| part.name.is_empty())
    }

    /// Refuses targets that name nothing, as PEFT does.
    ///
    /// # Errors
    /// Where no site of the backbone is `found`.
    pub(crate) fn check(&self, found: bool) -> TensorResult<()> {
        match found {
            true => Ok(()),
            false => Err(TensorError::Config {
                key: "target_modules".into(),
                expected: "a name that the backbone has".into(),
                found: self.modules.to_string(),
            }),
        }
    }

    fn contains(&self, path: &str) -> bool {
        match (&self.modules, &self.pattern) {
            (TargetModules::Names(names), _) => names.iter().any(|name| is_end(path, name)),
            (TargetModules::Pattern(_), None) => true,
            (TargetModules::Pattern(_), Some(pattern)) => pattern.is_match(path),
        }
    }
}

/// Rows `start .. start + len` of a weight; `name` is `q`, `k`, `v` or empty for all rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct QkvPart {
    pub(crate) name: &'static str,
    pub(crate) start: i64,
    pub(crate) len: i64,
}

impl QkvPart {
    /// Where parameters of the part are made, for the weight below `scope`.
    pub(crate) fn adapter(&self, scope: &Scope) -> Scope {
        let own = scope.adapter();
        if self.name.is_empty() { own } else { own.pp(self.name) }
    }

    /// Where the factors of the part lie, for the weight at `path`.
    pub(crate) fn prefix(&self, path: &str) -> String {
        if self.name.is_empty() { path.to_owned() } else { format!("{path}.{}", self.name) }
    }

    /// `y` with `delta` added to the part's entries of the last axis.
    pub(crate) fn add(&self, y: Tensor, delta: Tensor) -> Tensor {
        let width = y.size()[y.dim() - 1];
        if self.len == width {
            return y + delta;
        }
        y + delta.constant_pad_nd([self.start, width - self.start - self.len])
    }
}

/// PEFT's rule for a list: the name itself, or its end after a dot.
fn is_end(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|_| config("target_modules", "a regular expression", pattern))
}
