//! What may vary between two passes over the same sample, and by how much.

use std::fmt;

use schemars::{JsonSchema, Schema, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// Names of the presets.
const PRESETS: [&str; 4] =
    ["mtlora_pascal", "mtlora_pascal_published", "mtlora_nyud", "mtlora_nyud_published"];

/// Ranges of the joint augmentation; each is drawn once per sample and epoch.
///
/// In a recipe a table of these fields, or the name of a [preset](AugmentConfig::preset).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(transform = or_preset)]
pub struct AugmentConfig {
    /// Probability of a mirror image, 0 to 1.
    pub flip: f32,
    /// Smallest and largest zoom about the centre on an unchanged canvas; 1 changes nothing.
    pub scale: [f32; 2],
    /// The only zooms there are, all as likely, instead of a range; empty for the range.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<f32>,
    /// Largest rotation about the centre, either way, in degrees, 0 to 180.
    pub rotate_degrees: f32,
    /// Smallest and largest side of the window that is cut out, as a share of the image's sides.
    #[serde(default = "whole")]
    pub crop: [f32; 2],
    /// Strengths of brightness, contrast and saturation changes, 0 to 1.
    #[serde(default)]
    pub color_jitter: ColorJitter,
    /// What lies outside of a turned image.
    #[serde(default, skip_serializing_if = "Outside::is_default")]
    #[schemars(extend("default" = "no_label"))]
    pub outside: Outside,
}

/// The schema of a table of fields, or of a preset's name.
fn or_preset(schema: &mut Schema) {
    let description = schema.remove("description");
    let fields = std::mem::take(schema);
    *schema = json_schema!({ "anyOf": [{ "enum": PRESETS }, fields] });
    let fields = schema.ensure_object();
    fields.extend(description.map(|text| ("description".to_owned(), text)));
}

/// What labels say outside of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// Nothing; the image has its mean colour there.
    #[default]
    NoLabel,
    /// As MTLoRA's published code: class 0 for classes, not salient, no boundary, on black. Depth
    /// and normals have no label, and body parts have none in the whole image once no part is
    /// left in it.
    Background,
}

impl Outside {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Factors are drawn from `1 - strength` to `1 + strength`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColorJitter {
    /// Multiplies every value.
    pub brightness: f32,
    /// Stretches values about the image's mean grey.
    pub contrast: f32,
    /// Stretches values about the pixel's own grey.
    pub saturation: f32,
}

impl AugmentConfig {
    /// MTLoRA's augmentation for PASCAL: mirror image half of the time, rotation by up to 20
    /// degrees, zoom 0.75 to 1.25, no crop, no colour change; no label outside of the image.
    pub fn pascal() -> Self {
        Self {
            flip: 0.5,
            scale: [0.75, 1.25],
            scales: Vec::new(),
            rotate_degrees: 20.0,
            crop: whole(),
            color_jitter: ColorJitter::default(),
            outside: Outside::NoLabel,
        }
    }

    /// MTLoRA's augmentation for NYUD: as [`AugmentConfig::pascal`] without rotation, and a zoom
    /// of 1, 1.2 or 1.5.
    pub fn nyud() -> Self {
        let scales = vec![1.0, 1.2, 1.5];
        Self { scale: [1.0, 1.5], scales, rotate_degrees: 0.0, ..Self::pascal() }
    }

    /// The augmentation of this name: `mtlora_pascal` and `mtlora_nyud`, and with `_published`
    /// behind it the form that compares with MTLoRA's code, where what lies outside of the image
    /// is background ([`Outside::Background`]).
    pub fn preset(name: &str) -> Option<Self> {
        let (name, outside) = match name.strip_suffix("_published") {
            Some(name) => (name, Outside::Background),
            None => (name, Outside::NoLabel),
        };
        let found = match name {
            "mtlora_pascal" => Self::pascal(),
            "mtlora_nyud" => Self::nyud(),
            _ => return None,
        };
        Some(Self { outside, ..found })
    }

    /// The augmentation that `text` describes: a preset's name, or an inline table of TOML.
    ///
    /// # Errors
    /// [`Error::Config`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Holder {
            augment: AugmentConfig,
        }
        let quoted =
            if text.trim_start().starts_with('{') { text.to_owned() } else { format!("{text:?}") };
        let held = toml::from_str::<Holder>(&format!("augment = {quoted}"));
        let wrong = |error: toml::de::Error| Error::Config {
            origin: "augment".to_owned(),
            key: text.to_owned(),
            expected: format!("one of {} or a table of fields", PRESETS.join(", ")),
            found: error.message().to_owned(),
        };
        held.map(|held| held.augment).map_err(wrong)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Config`] names the field, what it must be and what it is.
    pub fn validate(&self) -> Result<()> {
        unit("flip", self.flip)?;
        range("scale", self.scale, 0.05, 20.0)?;
        self.scales.iter().try_for_each(|&scale| within("scales", scale, 0.05, 20.0))?;
        within("rotate_degrees", self.rotate_degrees, 0.0, 180.0)?;
        range("crop", self.crop, 0.05, 1.0)?;
        unit("color_jitter.brightness", self.color_jitter.brightness)?;
        unit("color_jitter.contrast", self.color_jitter.contrast)?;
        unit("color_jitter.saturation", self.color_jitter.saturation)
    }
}

impl Serialize for AugmentConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        AugmentConfig::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for AugmentConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrFields)
    }
}

/// Reads the name of a preset or the fields one by one, whose own errors an untagged enum hides.
struct NameOrFields;

impl<'de> Visitor<'de> for NameOrFields {
    type Value = AugmentConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "one of {} or a table of fields", PRESETS.join(", "))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Self::Value, E> {
        let unknown = || E::invalid_value(de::Unexpected::Str(name), &self);
        AugmentConfig::preset(name).ok_or_else(unknown)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
        AugmentConfig::deserialize(MapAccessDeserializer::new(map))
    }
}

fn whole() -> [f32; 2] {
    [1.0, 1.0]
}

fn unit(key: &str, value: f32) -> Result<()> {
    within(key, value, 0.0, 1.0)
}

fn within(key: &str, value: f32, low: f32, high: f32) -> Result<()> {
    let fits = (low..=high).contains(&value);
    fits.then_some(()).ok_or_else(|| refused(key, format!("a number from {low} to {high}"), value))
}

fn range(key: &str, [min, max]: [f32; 2], low: f32, high: f32) -> Result<()> {
    let fits = low <= min && min <= max && max <= high;
    let expected = || format!("[min, max] with {low} <= min <= max <= {high}");
    fits.then_some(()).ok_or_else(|| refused(key, expected(), format!("[{min}, {max}]")))
}

fn refused(key: &str, expected: String, found: impl ToString) -> Error {
    Error::Config {
        origin: "augment".to_owned(),
        key: key.to_owned(),
        expected,
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut AugmentConfig)) -> String {
        let mut config = AugmentConfig::pascal();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn published_ranges_pass() {
        AugmentConfig::pascal().validate().unwrap();
    }

    #[test]
    fn wrong_fields_are_named() {
        assert_eq!(
            message(|c| c.flip = 1.5),
            "augment: flip: expected a number from 0 to 1, found 1.5"
        );
        assert_eq!(
            message(|c| c.scale = [1.2, 0.8]),
            "augment: scale: expected [min, max] with 0.05 <= min <= max <= 20, found [1.2, 0.8]"
        );
        assert!(message(|c| c.rotate_degrees = f32::NAN).contains("rotate_degrees"));
        assert!(message(|c| c.crop = [0.5, 1.5]).contains("crop"));
        assert!(message(|c| c.color_jitter.saturation = -0.1).contains("saturation"));
    }

    #[test]
    fn unknown_fields_are_refused_and_missing_ones_default() {
        let short = "flip = 0.5\nscale = [1.0, 1.0]\nrotate_degrees = 0.0\n";
        let config: Holder = toml::from_str(&format!("[augment]\n{short}")).unwrap();
        assert_eq!(config.augment.crop, [1.0, 1.0]);
        let long = format!("[augment]\n{short}shear = 1.0\n");
        let error = toml::from_str::<Holder>(&long).unwrap_err();
        assert!(error.message().contains("unknown field `shear`"));
    }

    #[derive(Debug, Deserialize, Serialize)]
    struct Holder {
        augment: AugmentConfig,
    }

    #[test]
    fn presets_are_names_and_are_written_out_whole() {
        for name in PRESETS {
            let preset = AugmentConfig::preset(name).unwrap();
            preset.validate().unwrap();
            let held: Holder = toml::from_str(&format!("augment = \"{name}\"")).unwrap();
            assert_eq!(held.augment, preset);
            let again: Holder = toml::from_str(&toml::to_string(&held).unwrap()).unwrap();
            assert_eq!(again.augment, preset);
        }
        let error = toml::from_str::<Holder>("augment = \"mtlora\"").unwrap_err();
        assert!(error.message().contains("expected one of mtlora_pascal, "), "{error}");
    }
}
