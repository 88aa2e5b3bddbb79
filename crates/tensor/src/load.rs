//! Putting foreign tensors into a model, with a report that explains every name.
//!
//! Nothing is copied before all names, shapes and types have been compared.

use std::fmt;

use tch::{Kind, Tensor};

use crate::{Error, Result, Store, Tensors};

/// Fits a tensor of another shape: `(name, tensor, wanted shape)` to the fitted tensor.
pub type Resample<'a> = &'a dyn Fn(&str, &Tensor, &[i64]) -> Option<Tensor>;

/// What may differ between a file and a model.
#[derive(Default)]
pub struct LoadOptions<'a> {
    /// Patterns of model names that the file need not hold; see [`matches()`].
    pub allow_missing: &'a [&'a str],
    /// Patterns of file names that the model need not use.
    pub allow_unused: &'a [&'a str],
    /// Fits tensors of another shape, such as position embeddings.
    pub resample: Option<Resample<'a>>,
}

/// What became of every name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LoadReport {
    /// Copied as they were.
    pub loaded: Vec<String>,
    /// Copied after fitting their shape.
    pub resampled: Vec<String>,
    /// In the model, allowed to be absent from the file.
    pub missing: Vec<String>,
    /// In the file, allowed to stay unused.
    pub unused: Vec<String>,
    /// What was chosen in the file before, such as which of several models is read.
    pub notes: Vec<String>,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors loaded", self.loaded.len())?;
        let rest =
            [("resampled", &self.resampled), ("missing", &self.missing), ("unused", &self.unused)];
        rest.iter().filter(|(_, names)| !names.is_empty()).try_for_each(|(what, names)| {
            write!(f, ", {} {what} ({})", names.len(), shorten(names, 2))
        })?;
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl Store {
    /// Copies `source` into the parameters and buffers of the same names.
    ///
    /// Values are cast to the type in which the model stores them.
    ///
    /// # Errors
    /// One error that lists every missing, unused and misshapen tensor which `options` does not
    /// allow; the model is unchanged then.
    pub fn load(
        &self,
        origin: &str,
        source: &Tensors,
        options: &LoadOptions,
    ) -> Result<LoadReport> {
        let mut report = LoadReport::default();
        let mut problems = Vec::new();
        let mut copies: Vec<(Tensor, Tensor)> = Vec::new();
        self.for_each(|name, entry| match source.get(name) {
            Some(found) => {
                let wanted = entry.tensor.size();
                match fit(name, found, &wanted, options.resample) {
                    Some((value, true)) => {
                        report.loaded.push(name.into());
                        copies.push((entry.tensor.shallow_clone(), value));
                    }
                    Some((value, false)) => {
                        report.resampled.push(name.into());
                        copies.push((entry.tensor.shallow_clone(), value));
                    }
                    None => problems
                        .push(format!("{name}: expected {wanted:?}, found {:?}", found.size())),
                }
            }
            None if matches(options.allow_missing, name) => report.missing.push(name.into()),
            None => problems.push(format!("{name}: missing")),
        });
        let known: std::collections::BTreeSet<String> =
            self.tensors().into_iter().map(|(name, _)| name).collect();
        for name in source.keys().filter(|name| !known.contains(*name)) {
            match matches(options.allow_unused, name) {
                true => report.unused.push(name.clone()),
                false => problems.push(format!("{name}: not used by the model")),
            }
        }
        if !problems.is_empty() {
            let origin = origin.to_owned();
            return Err(Error::Load { origin, problems: shorten(&problems, 8) });
        }
        tch::no_grad(|| copies.iter_mut().try_for_each(|(to, from)| to.f_copy_(from).map(|_| ())))?;
        Ok(report)
    }
}

/// Whether `name` matches one of `patterns`, in which `*` stands for any run of characters.
pub fn matches(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| glob(pattern.as_bytes(), name.as_bytes()))
}

fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            glob(&pattern[1..], name) || (!name.is_empty() && glob(pattern, &name[1..]))
        }
        (Some(p), Some(n)) if p == n => glob(&pattern[1..], &name[1..]),
        _ => false,
    }
}

/// The value in the model's shape, and whether it came as it was.
fn fit(
    name: &str,
    found: &Tensor,
    wanted: &[i64],
    resample: Option<Resample>,
) -> Option<(Tensor, bool)> {
    if found.size() == wanted {
        return Some((found.shallow_clone(), true));
    }
    let fitted = resample?(name, &found.to_kind(Kind::Float), wanted)?;
    (fitted.size() == wanted).then_some((fitted, false))
}

fn shorten(names: &[String], shown: usize) -> String {
    let head = names.iter().take(shown).cloned().collect::<Vec<_>>().join("; ");
    match names.len() {
        n if n > shown => format!("{head}; and {} more", n - shown),
        _ => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Init;
    use tch::Device;

    fn model() -> Store {
        let store = Store::new(Device::Cpu);
        let _ = store.root().pp("blocks").param("weight", &[2, 3], Init::ZEROS).unwrap();
        let _ = store.root().pp("head").param("bias", &[4], Init::ZEROS).unwrap();
        store
    }

    fn file(entries: &[(&str, &[i64])]) -> Tensors {
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        entries.iter().map(|(name, shape)| ((*name).to_owned(), ones(shape))).collect()
    }

    #[test]
    fn every_problem_is_named_and_nothing_is_copied() {
        let store = model();
        let source = file(&[("blocks.weight", &[3, 2]), ("other", &[1])]);
        let message = store.load("f", &source, &LoadOptions::default()).unwrap_err().to_string();
        assert_eq!(
            message,
            "f: blocks.weight: expected [2, 3], found [3, 2]; head.bias: missing; \
             other: not used by the model"
        );
        assert_eq!(store.tensors()[0].1.sum(Kind::Float).double_value(&[]), 0.0);
    }

    #[test]
    fn a_broadcastable_shape_is_still_wrong() {
        let source = file(&[("blocks.weight", &[1, 3]), ("head.bias", &[4])]);
        assert!(model().load("f", &source, &LoadOptions::default()).is_err());
    }

    #[test]
    fn allowed_differences_are_reported() {
        let store = model();
        let source = file(&[("blocks.weight", &[2, 6]), ("norm.weight", &[1])]);
        let halve = |_: &str, t: &Tensor, wanted: &[i64]| Some(t.narrow(1, 0, wanted[1]));
        let options = LoadOptions {
            allow_missing: &["head.*"],
            allow_unused: &["norm.*"],
            resample: Some(&halve),
        };
        let report = store.load("f", &source, &options).unwrap();
        assert_eq!(report.resampled, ["blocks.weight"]);
        assert_eq!(
            report.to_string(),
            "0 tensors loaded, 1 resampled (blocks.weight), 1 missing (head.bias), \
             1 unused (norm.weight)"
        );
        assert_eq!(store.tensors()[0].1.sum(Kind::Float).double_value(&[]), 6.0);
    }

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches(&["blocks.1.*"], "blocks.1.weight"));
        assert!(!matches(&["blocks.1.*"], "blocks.10.weight"));
        assert!(matches(&["*.bias"], "a.b.bias"));
        assert!(!matches(&["bias"], "a.bias"));
    }
}
