//! What a recipe can name, and what its keys mean.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use clap::ValueEnum;
use polyptych_engine::{
    Explained, Key, PartInfo, Reference, balancers, manifest_schema, recipe_schema, reference,
};
use serde_json::Value;

use crate::output::say;
use crate::recipes::meant;

/// What `polyptych recipe schema` prints.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SchemaKind {
    /// A recipe
    Recipe,
    /// The manifest of a data set
    Manifest,
    /// No schema: every key and part with its texts, as the documentation reads them
    Reference,
}

/// Parts of one kind, one line each.
pub(crate) fn list(kind: &str) -> Result<()> {
    let reference = reference();
    let parts: Vec<&PartInfo> = reference.parts.iter().filter(|part| part.kind == kind).collect();
    let width = parts.iter().map(|part| part.name.len()).max().unwrap_or_default();
    for part in parts {
        say!("{:<width$}  {}", part.name, part.summary);
    }
    Ok(())
}

/// Kind `loss` is a value of `balancer.loss`, `optimiser` of `train.optimiser`, the others of
/// `balancer.gradient`.
pub(crate) fn list_balancers() -> Result<()> {
    say!("{:<12} {:<9} {:<52} {:<59} source", "name", "kind", "needs", "cost");
    for info in balancers() {
        let (name, kind) = (info.name, info.kind.name());
        let (needs, cost, source) = (info.needs, info.cost, info.source);
        say!("{name:<12} {kind:<9} {needs:<52} {cost:<59} {source}");
    }
    Ok(())
}

/// Named backbones, one line each.
pub(crate) fn list_backbones() -> Result<()> {
    let all = reference().backbones;
    let width = all.iter().map(|info| info.name.len()).max().unwrap_or_default();
    for info in all {
        let [height, img_width] = info.img_size;
        let depths = info.depths.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
        let (name, architecture, dim) = (info.name, info.architecture, info.embed_dim);
        say!(
            "{name:<width$}  {architecture}, {dim} channels, {depths} blocks, {height} x {img_width}"
        );
    }
    Ok(())
}

/// Metrics by kind of task, one line each; the first one of a kind is what delta-m compares.
pub(crate) fn list_metrics() -> Result<()> {
    for metric in reference().metrics {
        let unit =
            if metric.unit.is_empty() { String::new() } else { format!(" [{}]", metric.unit) };
        let better = if metric.higher_is_better { "higher" } else { "lower" };
        let name = format!("{}{unit}", metric.name);
        say!("{:<15} {name:<22} {better:<7} {}", metric.kind, metric.about);
    }
    Ok(())
}

/// What `asked` means, in a recipe and in a manifest.
pub(crate) fn explain(asked: &str) -> Result<()> {
    let reference = reference();
    let found = reference.explain(asked);
    if found.is_empty() {
        let near: Vec<&str> = reference.nearest(asked).into_iter().collect();
        bail!("{asked}: expected a key of a recipe or a manifest{}", meant(asked, &near));
    }
    let texts: BTreeSet<String> = found.iter().map(|found| text(&reference, found)).collect();
    say!("{}", texts.into_iter().collect::<Vec<_>>().join("\n\n"));
    Ok(())
}

fn text(reference: &Reference, found: &Explained) -> String {
    let (key, (kind, name)) = (found.key, found.owner);
    let owner = format!("{kind} {name}");
    let mut lines = vec![format!("{} ({})", key.path, owner.trim_end()), facts(key)];
    lines.extend(key.about.lines().map(|line| format!("  {line}")));
    for choice in &key.choices {
        lines.push(
            format!("  - {:?}: {}", choice.value, choice.about)
                .trim_end_matches([':', ' '])
                .to_owned(),
        );
    }
    let parts: Vec<&str> = reference
        .parts
        .iter()
        .filter(|part| key.value == part.kind && part.at == key.path)
        .map(|part| part.name.as_str())
        .collect();
    if !parts.is_empty() {
        lines.push(format!("  One of {}.", parts.join(", ")));
    }
    lines.join("\n")
}

/// Type and default: `  number; required`.
fn facts(key: &Key) -> String {
    let default = match (&key.default, key.required) {
        (_, true) => "required".to_owned(),
        (Some(default), _) => format!("default {default}"),
        (None, _) => "optional".to_owned(),
    };
    let within = match key.within.as_slice() {
        [] => String::new(),
        within => format!(", with {}", within.join(" or ")),
    };
    format!("  {}; {default}{within}", key.value)
}

/// JSON Schema of recipes or manifests, or the whole reference as JSON.
pub(crate) fn schema(of: SchemaKind) -> Result<()> {
    let value: Value = match of {
        SchemaKind::Recipe => recipe_schema(),
        SchemaKind::Manifest => manifest_schema(),
        SchemaKind::Reference => serde_json::to_value(reference())?,
    };
    say!("{value:#}");
    Ok(())
}
