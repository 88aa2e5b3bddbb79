//! The keys of a file, from the JSON Schema of the type that reads it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::links::plain;
use super::values::{self, Choice};

/// Schemas nest no deeper than this.
const DEEPEST: usize = 12;

/// One key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Key {
    /// Its path as behind `--set`: `NAME` stands for any name, `N` for a number in a list.
    pub path: String,
    /// What may stand there: `integer, 0 or more`, `list of 2 numbers`, `adapter method`.
    pub value: String,
    /// The words that may stand there, where only these may.
    pub choices: Vec<Choice>,
    /// What an absent key means, in TOML; none where it is needed, or means "none".
    pub default: Option<String>,
    /// Whether a file without it is refused, in the variants of `within` at least.
    pub required: bool,
    /// The variants of its table that have it, such as `dataset = "folder"`; none where all do.
    pub within: Vec<String>,
    /// What it means.
    pub about: String,
}

/// The keys that `schema` allows, each below `prefix`, in the order of the type's fields.
pub(crate) fn keys(schema: &Value, prefix: &str) -> Vec<Key> {
    let mut walk = Walk { root: schema, keys: Vec::new() };
    walk.visit(schema, prefix, &Place::default());
    walk.keys
}

/// How deep a schema is, and in which variant.
#[derive(Clone, Default)]
struct Place {
    depth: usize,
    within: Option<String>,
}

impl Place {
    fn below(&self) -> Self {
        Self { depth: self.depth + 1, within: None }
    }
}

struct Walk<'s> {
    root: &'s Value,
    keys: Vec<Key>,
}

impl<'s> Walk<'s> {
    /// Notes the keys below `path`.
    fn visit(&mut self, schema: &'s Value, path: &str, place: &Place) {
        if place.depth > DEEPEST || values::is_part(schema) {
            return;
        }
        for (key, value) in properties(schema) {
            self.note(key, value, schema, path, place);
        }
        if let Some(of_any_name @ Value::Object(_)) = schema.get("additionalProperties") {
            self.visit(of_any_name, &joined(path, "NAME"), &place.below());
        }
        if let Some(item @ Value::Object(_)) = schema.get("items") {
            self.visit(item, &joined(path, "N"), &place.below());
        }
        for branch in values::branches(schema) {
            let within = variant(branch).or_else(|| place.within.clone());
            self.visit(branch, path, &Place { within, ..place.below() });
        }
        // Beside a reference stands the tag of a variant.
        let aim = values::resolved(self.root, schema);
        if !std::ptr::eq(aim, schema) {
            self.visit(aim, path, &Place { depth: place.depth + 1, ..place.clone() });
        }
    }

    fn note(&mut self, key: &str, value: &'s Value, owner: &Value, path: &str, place: &Place) {
        let path = joined(path, key);
        let within = place.within.clone().filter(|_| value.get("const").is_none());
        // Variants of one table have their tag, and maybe more, in common.
        if let Some(known) = self.keys.iter_mut().find(|known| known.path == path) {
            known.choices.extend(values::choices(self.root, value, owner));
            known.within.extend(within.filter(|_| !known.within.is_empty()));
            return;
        }
        let required = owner["required"].as_array().is_some_and(|keys| keys.contains(&key.into()));
        let required = required && !is_variant(owner);
        self.keys.push(Key {
            path: path.clone(),
            value: values::described(self.root, value),
            choices: values::choices(self.root, value, owner),
            default: values::default(self.root, value, required),
            required,
            within: within.into_iter().collect(),
            about: about(self.root, value, owner),
        });
        self.visit(value, &path, &place.below());
    }
}

/// The tag of a variant, as TOML has it: `dataset = "folder"`.
fn variant(schema: &Value) -> Option<String> {
    let tag = |(key, value): (&String, &Value)| Some(format!("{key} = {}", value.get("const")?));
    properties(schema).find_map(tag)
}

/// Whether a table is one of several whose only key says which it is: `{ fixed = 4 }`.
fn is_variant(owner: &Value) -> bool {
    let only = properties(owner).count() == 1;
    let plain = |value: &Value| ["description", "const"].iter().all(|key| value.get(key).is_none());
    only && properties(owner).all(|(_, value)| plain(value))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// The comment on a field, else that on its type, or on the variant that it makes.
fn about(root: &Value, value: &Value, owner: &Value) -> String {
    let own = value.get("description");
    let own = own.or_else(|| owner.get("description").filter(|_| is_variant(owner)));
    let described = own.or_else(|| values::resolved(root, value).get("description"));
    match described.and_then(Value::as_str) {
        Some(text) => plain(text),
        None if value.get("const").is_some() => "Chooses one of these.".to_owned(),
        None => String::new(),
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use polyptych_adapters::AdapterConfig;
    use polyptych_heads::HeadConfig;
    use polyptych_losses::LossConfig;
    use polyptych_losses::balancers::BalancerConfig;

    use super::super::{recipe_schema, reference};
    use super::*;
    use crate::recipe::config::Recipe;

    fn key(path: &str) -> Key {
        let found = reference().recipe.into_iter().find(|key| key.path == path);
        found.unwrap_or_else(|| panic!("no key {path}"))
    }

    #[test]
    fn a_key_has_the_comment_the_type_and_the_default_of_its_field() {
        let lr = key("train.lr");
        assert_eq!((lr.value.as_str(), lr.required), ("number", true));
        assert_eq!(lr.about, "Base learning rate.");
        let ema = key("backbone.use_ema");
        assert_eq!((ema.default.as_deref(), ema.required), (Some("true"), false));
        assert_eq!(key("backbone.per_task").default.as_deref(), Some("false"));
        assert_eq!(key("train.save_total_limit").default.as_deref(), Some("2"));
        assert_eq!(key("data.on_bad_sample").default.as_deref(), Some("\"stop\""));
        assert_eq!(key("data.img_size").value, "list of 2 integers, 0 or more");
        assert_eq!(key("label").default, None);
        assert_eq!(key("adapter").value, "adapter method");
    }

    #[test]
    fn lists_maps_and_variants_have_their_place_in_the_path() {
        assert_eq!(key("tasks.NAME.weight").value, "number");
        assert_eq!(key("data.train").value, "list of data sources");
        let precision = key("precision").choices;
        assert!(precision.len() > 1 && precision.iter().all(|choice| !choice.about.is_empty()));
    }

    /// A recipe with all that it can have, as it is written.
    fn written() -> Value {
        let text = include_str!("../../../cli/recipes/quickstart.toml");
        let mut recipe = Recipe::parse("quickstart", text, &[]).unwrap();
        recipe.label = Some("x".into());
        recipe.data.mean = Some([0.5; 3]);
        serde_json::to_value(&recipe).unwrap()
    }

    #[test]
    fn every_field_that_is_written_is_a_key() {
        let known: Vec<String> = reference().recipe.into_iter().map(|key| key.path).collect();
        let Value::Object(recipe) = written() else { panic!("a recipe is a table") };
        for (name, value) in &recipe {
            assert!(known.contains(name), "{name}");
            let Value::Object(fields) = value else { continue };
            // Parts have lists of their own, and tasks are called as one likes.
            if ["adapter", "tasks", "balancer"].contains(&name.as_str()) {
                continue;
            }
            for field in fields.keys() {
                let path = format!("{name}.{field}");
                assert!(known.contains(&path), "{path}");
            }
        }
    }

    #[test]
    fn every_field_of_a_part_is_a_key_of_it() {
        let parts = reference().parts;
        let kinds = [
            (json(AdapterConfig::examples()), "adapter method", "method"),
            (json(BalancerConfig::examples()), "balancer", "name"),
            (json(HeadConfig::examples()), "head", "name"),
            (json(LossConfig::examples()), "loss", "name"),
        ];
        for (examples, kind, tag) in kinds {
            for example in examples {
                let Value::Object(fields) = example else { panic!("a part is a table") };
                let part = parts.iter().find(|p| p.kind == kind && fields[tag] == p.name).unwrap();
                for field in fields.keys().filter(|field| *field != tag) {
                    let end = format!(".{field}");
                    let known = part.keys.iter().any(|key| key.path.ends_with(&end));
                    assert!(known, "{kind} {}: {field}", part.name);
                }
            }
        }
    }

    fn json<T: serde::Serialize>(examples: Vec<T>) -> Vec<Value> {
        examples.iter().map(|example| serde_json::to_value(example).unwrap()).collect()
    }

    #[test]
    fn every_key_says_what_it_means() {
        let reference = reference();
        let of_parts = reference.parts.iter().flat_map(|part| &part.keys);
        let all = reference.recipe.iter().chain(&reference.manifest).chain(of_parts);
        let silent: Vec<&str> =
            all.filter(|key| key.about.is_empty()).map(|key| key.path.as_str()).collect();
        assert!(silent.is_empty(), "{silent:?}");
        assert!(recipe_schema()["$defs"].as_object().unwrap().len() > 10);
    }
}
