//! Settings with the name of their part as one more field.

use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::{DynPart, Registry};

/// Reads a part of `registry` whose name stands under `tag`.
///
/// # Errors
/// No name; a name that is not registered, with all that are; what the part's own settings refuse.
/// The messages have serde's words.
pub fn read<'de, K: ?Sized + 'static, D: Deserializer<'de>>(
    registry: &Registry<K>,
    tag: &'static str,
    deserializer: D,
) -> Result<Arc<K>, D::Error> {
    let mut settings = Map::deserialize(deserializer)?;
    let name = settings.remove(tag).ok_or_else(|| D::Error::missing_field(tag))?;
    let Value::String(name) = name else {
        return Err(D::Error::custom(format!(
            "invalid type: {name}, expected a string at `{tag}`"
        )));
    };
    let entry = registry.find(&name).ok_or_else(|| {
        let known: Vec<String> =
            registry.entries().iter().map(|entry| format!("`{}`", entry.name)).collect();
        let known = known.join(", ");
        D::Error::custom(format!("unknown variant `{name}`, expected one of {known}"))
    })?;
    entry.read(Value::Object(settings)).map_err(D::Error::custom)
}

/// Writes `part` with its name under `tag`, first; fields without a value are left out.
///
/// # Errors
/// What `serializer` reports; settings that are no map.
pub fn write<S: Serializer>(
    part: &(impl DynPart + ?Sized),
    tag: &'static str,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let Value::Object(settings) = part.to_value() else {
        return Err(S::Error::custom(format!("{}: expected settings with fields", part.name())));
    };
    let settings: Map<_, _> = settings.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let mut map = serializer.serialize_map(Some(settings.len() + 1))?;
    map.serialize_entry(tag, part.name())?;
    for (key, value) in &settings {
        map.serialize_entry(key, value)?;
    }
    map.end()
}
