//! What may vary between two passes over the same sample, and by how much.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Ranges of the joint augmentation; each is drawn once per sample and epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Probability of a mirror image, 0 to 1.
    pub flip: f32,
    /// Smallest and largest zoom about the centre on an unchanged canvas; 1 changes nothing.
    pub scale: [f32; 2],
    /// Largest rotation about the centre, either way, in degrees, 0 to 180.
    pub rotate_degrees: f32,
    /// Smallest and largest side of the window that is cut out, as a share of the image's sides.
    #[serde(default = "whole")]
    pub crop: [f32; 2],
    /// Strengths of brightness, contrast and saturation changes, 0 to 1.
    #[serde(default)]
    pub color_jitter: ColorJitter,
}

/// Factors are drawn from `1 - strength` to `1 + strength`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
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
    /// degrees, zoom 0.75 to 1.25, no crop, no colour change.
    pub fn pascal() -> Self {
        Self {
            flip: 0.5,
            scale: [0.75, 1.25],
            rotate_degrees: 20.0,
            crop: whole(),
            color_jitter: ColorJitter::default(),
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Config`] names the field, what it must be and what it is.
    pub fn validate(&self) -> Result<()> {
        unit("flip", self.flip)?;
        range("scale", self.scale, 0.05, 20.0)?;
        within("rotate_degrees", self.rotate_degrees, 0.0, 180.0)?;
        range("crop", self.crop, 0.05, 1.0)?;
        unit("color_jitter.brightness", self.color_jitter.brightness)?;
        unit("color_jitter.contrast", self.color_jitter.contrast)?;
        unit("color_jitter.saturation", self.color_jitter.saturation)
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
    #![allow(clippy::unwrap_used)]

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
        let config: AugmentConfig = toml::from_str(short).unwrap();
        assert_eq!(config.crop, [1.0, 1.0]);
        let error = toml::from_str::<AugmentConfig>(&format!("{short}shear = 1.0\n")).unwrap_err();
        assert!(error.message().contains("unknown field `shear`"));
    }
}
