//! JSON Schema of any part of a kind.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::{Entry, Registry};

/// One of all parts of `registry`, each with its name under `tag` beside its settings.
///
/// `title` is the name of a part and `description` its summary; what its settings say about
/// themselves is in `$comment`.
#[must_use]
pub fn schema<K: ?Sized + 'static>(
    registry: &Registry<K>,
    tag: &str,
    generator: &mut SchemaGenerator,
) -> Schema {
    let parts = registry.entries();
    let parts: Vec<Schema> = parts.iter().map(|entry| tagged(entry, tag, generator)).collect();
    let kind = registry.kind();
    json_schema!({ "title": kind, "oneOf": parts })
}

fn tagged<K: ?Sized>(entry: &Entry<K>, tag: &str, generator: &mut SchemaGenerator) -> Schema {
    let mut schema = entry.schema(generator);
    let about = schema.remove("description");
    let fields = schema.ensure_object();
    fields.insert("title".to_owned(), entry.name.into());
    fields.insert("description".to_owned(), entry.summary.into());
    fields.extend(about.map(|about| ("$comment".to_owned(), about)));
    let properties = fields.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        let description = format!("Says that these are the settings of `{}`.", entry.name);
        properties.insert(tag.to_owned(), json!({"const": entry.name, "description": description}));
    }
    let required = fields.entry("required").or_insert_with(|| json!([]));
    if let Value::Array(required) = required {
        required.insert(0, tag.into());
    }
    schema
}
