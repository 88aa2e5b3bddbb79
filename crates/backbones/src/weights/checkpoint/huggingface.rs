//! `config.json` beside weights: what the shapes of tensors do not tell.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::architectures::BackboneConfig;
use crate::error::{Error, Result};

/// Differences to our norms' eps from here on are refused; Hugging Face's ViT has 1e-12 where timm
/// has 1e-6.
const EPS_TOLERANCE: f64 = 1e-5;

/// Fields of Hugging Face's and timm's `config.json`. Those that change what the same tensors
/// compute are `hidden_act`, `layer_norm_eps`, timm's `architecture`, and what
/// [`Architecture::hugging_face_fields`](crate::Architecture::hugging_face_fields) lists.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct HuggingFaceConfig(Map<String, Value>);

impl HuggingFaceConfig {
    /// The fields of one tower of several, that of images, where they are apart from the others.
    pub(super) fn of_images(self) -> Self {
        match self.0.get("vision_config").and_then(Value::as_object) {
            Some(fields) => Self(fields.clone()),
            None => self,
        }
    }

    /// All fields by name.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Checks that `backbone` computes what the configuration says.
    pub(super) fn check(&self, origin: &str, backbone: &BackboneConfig) -> Result<()> {
        let norm_eps = backbone.norm_eps().map(|eps| ("layer_norm_eps", Value::from(eps)));
        let fields = [("hidden_act", Value::from(backbone.hidden_act()))].into_iter();
        let fields = fields.chain(backbone.hugging_face_fields()).chain(norm_eps);
        for (key, expected) in fields {
            match self.get(key) {
                Some(found) if !agrees(&expected, found) => {
                    return Err(wrong(origin, key, &text(&expected), &text(found)));
                }
                _ => {}
            }
        }
        match self.unsupported_name(backbone) {
            Some(name) => Err(wrong(
                origin,
                "architecture",
                "a backbone that is supported, and its own name",
                name,
            )),
            None => Ok(()),
        }
    }

    /// A field that has a value.
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// timm's name of a model that computes something else with the same parameters.
    fn unsupported_name(&self, backbone: &BackboneConfig) -> Option<&str> {
        let name = self.get("architecture")?.as_str()?;
        let computes_the_same = |known: BackboneConfig| {
            known.hidden_act() == backbone.hidden_act() && known.norm_eps() == backbone.norm_eps()
        };
        let differs = match BackboneConfig::from_name(name) {
            Ok(known) if known.name() == backbone.name() => !computes_the_same(known),
            _ => backbone.unsupported_names().iter().any(|part| name.contains(part)),
        };
        differs.then_some(name)
    }
}

/// The same value; numbers with a fraction, which are an eps, nearly.
fn agrees(expected: &Value, found: &Value) -> bool {
    match (expected.as_f64().filter(|_| expected.is_f64()), found.as_f64()) {
        (Some(expected), Some(found)) => (expected - found).abs() < EPS_TOLERANCE,
        _ => expected == found,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn wrong(origin: &str, key: &str, expected: &str, found: &str) -> Error {
    let origin = format!("{origin}/config.json");
    Error::Checkpoint { origin, key: key.into(), expected: expected.into(), found: found.into() }
}
