//! Parts that recipes name, with their keys.

use polyptych_adapters::AdapterConfig;
use polyptych_backbones::BackboneConfig;
use polyptych_heads::HeadConfig;
use polyptych_losses::LossConfig;
use polyptych_losses::balancers::{BalancerConfig, BalancerKind};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::keys::{Key, keys};
use super::links::plain;
use crate::recipe::source::SourceRecipe;

/// A part and what its settings mean.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartInfo {
    /// `adapter method`, `balancer`, `head`, `loss`, `data source` or `backbone`.
    pub kind: &'static str,
    /// Its name in recipes.
    pub name: String,
    /// What it is, in one line.
    pub summary: String,
    /// What its own documentation says: formulas, the paper.
    pub about: String,
    /// Where a recipe names it; nothing for architectures, whose names are `backbone.name`.
    pub at: &'static str,
    /// Its settings.
    pub keys: Vec<Key>,
}

/// All registered parts, kind by kind, in the order of their lists.
pub(super) fn parts() -> Vec<PartInfo> {
    let balancer = |name: &str| place(name);
    [
        of::<AdapterConfig>("adapter method", |_| "adapter"),
        of::<BalancerConfig>("balancer", balancer),
        of::<HeadConfig>("head", |_| "tasks.NAME.head"),
        of::<LossConfig>("loss", |_| "tasks.NAME.loss"),
        of::<SourceRecipe>("data source", |_| "data.train.N"),
        of::<BackboneConfig>("backbone", |_| ""),
    ]
    .concat()
}

/// Where a recipe names the balancer `name`.
fn place(name: &str) -> &'static str {
    let examples = BalancerConfig::examples();
    let kind = examples.iter().find(|part| part.name() == name).map(|part| part.kind());
    match kind {
        Some(BalancerKind::Loss) => "balancer.loss",
        _ => "balancer.gradient",
    }
}

fn of<C: JsonSchema>(kind: &'static str, place: impl Fn(&str) -> &'static str) -> Vec<PartInfo> {
    let mut generator = SchemaGenerator::default();
    // Below a name and not at the root, so that a part that holds another of its kind refers to it.
    let _ = generator.subschema_for::<C>();
    let definitions = Value::Object(generator.take_definitions(true));
    let parts = match definitions[&*C::schema_name()]["oneOf"].clone() {
        Value::Array(parts) => parts,
        _ => Vec::new(),
    };
    let text = |part: &Value, word: &str| part[word].as_str().unwrap_or_default().to_owned();
    let info = |mut part: Value| {
        part["$defs"] = definitions.clone();
        let name = text(&part, "title");
        let at = place(&name);
        PartInfo {
            kind,
            summary: text(&part, "description"),
            about: plain(&text(&part, "$comment")),
            keys: keys(&part, at),
            at,
            name,
        }
    };
    parts.into_iter().map(info).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What every part writes of its example is among its keys: no field is left out.
    #[test]
    fn every_setting_of_every_part_is_a_key() {
        let all = parts();
        let values = |kind: &str| -> Vec<Value> {
            let of = |written: serde_json::Result<Value>| written.unwrap();
            match kind {
                "adapter method" => AdapterConfig::examples()
                    .iter()
                    .map(|part| of(serde_json::to_value(part)))
                    .collect(),
                "balancer" => BalancerConfig::examples()
                    .iter()
                    .map(|part| of(serde_json::to_value(part)))
                    .collect(),
                "head" => HeadConfig::examples()
                    .iter()
                    .map(|part| of(serde_json::to_value(part)))
                    .collect(),
                "loss" => LossConfig::examples()
                    .iter()
                    .map(|part| of(serde_json::to_value(part)))
                    .collect(),
                "data source" => SourceRecipe::examples()
                    .iter()
                    .map(|part| of(serde_json::to_value(part)))
                    .collect(),
                _ => BackboneConfig::examples()
                    .iter()
                    .map(|part| of(serde_json::to_value(part)))
                    .collect(),
            }
        };
        for kind in ["adapter method", "balancer", "head", "loss", "data source", "backbone"] {
            let infos: Vec<&PartInfo> = all.iter().filter(|part| part.kind == kind).collect();
            let values = values(kind);
            assert_eq!(infos.len(), values.len(), "{kind}");
            for (info, value) in infos.iter().zip(&values) {
                let Value::Object(fields) = value else { panic!("{}", info.name) };
                for field in fields.keys() {
                    let path = match info.at {
                        "" => field.clone(),
                        at => format!("{at}.{field}"),
                    };
                    let found = info.keys.iter().any(|key| key.path == path);
                    assert!(found, "{kind} {}: {path}", info.name);
                }
            }
        }
    }

    #[test]
    fn a_part_says_what_it_is_and_where_it_stands() {
        let all = parts();
        let find = |name: &str| all.iter().find(|part| part.name == name).unwrap();
        assert_eq!(find("lora").at, "adapter");
        assert_eq!((find("dwa").at, find("cagrad").at), ("balancer.loss", "balancer.gradient"));
        assert!(find("lora").keys.iter().any(|key| key.path == "adapter.r"));
        assert!(all.iter().all(|part| !part.summary.is_empty() && !part.about.is_empty()));
    }
}
