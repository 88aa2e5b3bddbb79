//! Every backbone by name, and how to build it.

use polyptych_tensor::{Plan, Scope, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, Options};
use crate::{Error, Result, SwinConfig, VitConfig, resample};

/// Architecture of a backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum BackboneConfig {
    /// Windows on several resolutions.
    Swin(SwinConfig),
    /// One resolution throughout.
    Vit(VitConfig),
}

impl BackboneConfig {
    /// The configuration that timm has under `name`, such as `swin_tiny_patch4_window7_224`.
    ///
    /// # Errors
    /// A name that does not exist; the message lists near ones.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = variants().into_iter().find(|(known, _)| *known == name);
        found
            .map(|(_, config)| config)
            .ok_or_else(|| Error::UnknownName { name: name.into(), near: near(name).join(", ") })
    }

    /// All names that [`BackboneConfig::from_name`] knows.
    pub fn names() -> Vec<&'static str> {
        variants().into_iter().map(|(name, _)| name).collect()
    }

    /// The same for images of `[height, width]`.
    #[must_use]
    pub fn with_img_size(mut self, img_size: [i64; 2]) -> Self {
        match &mut self {
            BackboneConfig::Swin(config) => config.img_size = img_size,
            BackboneConfig::Vit(config) => config.img_size = img_size,
        }
        self
    }

    /// The same with a classifier of `num_classes` outputs; 0 for none.
    #[must_use]
    pub fn with_num_classes(mut self, num_classes: i64) -> Self {
        match &mut self {
            BackboneConfig::Swin(config) => config.num_classes = num_classes,
            BackboneConfig::Vit(config) => config.num_classes = num_classes,
        }
        self
    }

    /// The same for images of `in_chans` channels; [`BackboneConfig::resample`] fits published
    /// weights, which are for 3.
    #[must_use]
    pub fn with_in_chans(mut self, in_chans: i64) -> Self {
        match &mut self {
            BackboneConfig::Swin(config) => config.in_chans = in_chans,
            BackboneConfig::Vit(config) => config.in_chans = in_chans,
        }
        self
    }

    /// Channels, and height and width, of the images that the backbone is planned for.
    pub fn image(&self) -> (i64, [i64; 2]) {
        match self {
            BackboneConfig::Swin(config) => (config.in_chans, config.img_size),
            BackboneConfig::Vit(config) => (config.in_chans, config.img_size),
        }
    }

    /// Outputs of the classifier; 0 for none.
    pub fn num_classes(&self) -> i64 {
        match self {
            BackboneConfig::Swin(config) => config.num_classes,
            BackboneConfig::Vit(config) => config.num_classes,
        }
    }

    /// The same with stochastic depth up to `rate` in the last block.
    #[must_use]
    pub fn with_drop_path_rate(mut self, rate: f64) -> Self {
        match &mut self {
            BackboneConfig::Swin(config) => config.drop_path_rate = rate,
            BackboneConfig::Vit(config) => config.drop_path_rate = rate,
        }
        self
    }

    /// Refuses values of a model of this configuration that was planned before stages were rounded
    /// up ([`ROUNDED_UP`](crate::ROUNDED_UP)), where that makes a difference.
    ///
    /// # Errors
    /// A Swin whose windows were others; the message says which, and what to do.
    pub fn refuse_rounded_down(&self, origin: &str) -> Result<()> {
        match self {
            BackboneConfig::Swin(config) => config.refuse_rounded_down(origin),
            BackboneConfig::Vit(_) => Ok(()),
        }
    }

    /// Builds the backbone with its parameters below `scope` and `plan` at its projections.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(
        &self,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> Result<Box<dyn Backbone>> {
        Ok(match self {
            BackboneConfig::Swin(config) => Box::new(config.init(scope, plan, options)?),
            BackboneConfig::Vit(config) => Box::new(config.init(scope, plan, options)?),
        })
    }

    /// Fits position embeddings and relative position biases of another size, and a first
    /// convolution of other channels, as the hook `resample` of
    /// [`LoadOptions`](polyptych_tensor::LoadOptions) asks.
    ///
    /// `name` may have a prefix above timm's name. Any other tensor gives `None`.
    pub fn resample(&self, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        if name.ends_with("patch_embed.proj.weight") {
            return resample::input_channels(tensor, *wanted.get(1)?);
        }
        match self {
            BackboneConfig::Swin(config) if name.ends_with("relative_position_bias_table") => {
                let window = config.window(stage_of(name)?)?;
                resample::relative_position_bias_table(tensor, window)
            }
            BackboneConfig::Vit(config) if name.ends_with("pos_embed") => {
                let prefix = wanted.get(1)? - config.grid().iter().product::<i64>();
                resample::pos_embed(tensor, config.grid(), prefix)
            }
            _ => None,
        }
    }
}

/// Channels of colour images, which configurations need not name.
pub(crate) fn rgb() -> i64 {
    3
}

pub(crate) fn variants() -> Vec<(&'static str, BackboneConfig)> {
    let swin = SwinConfig::variants().into_iter().map(|(n, c)| (n, BackboneConfig::Swin(c)));
    let vit = VitConfig::variants().into_iter().map(|(n, c)| (n, BackboneConfig::Vit(c)));
    swin.chain(vit).collect()
}

/// The number behind `layers.` in a parameter's name.
fn stage_of(name: &str) -> Option<usize> {
    let mut parts = name.split('.').skip_while(|part| *part != "layers");
    parts.nth(1)?.parse().ok()
}

/// The three known names that differ least from `name`.
fn near(name: &str) -> Vec<&'static str> {
    let mut names = BackboneConfig::names();
    names.sort_by_key(|known| distance(known, name));
    names.truncate(3);
    names
}

/// Fewest insertions, deletions and replacements of characters that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_unknown_name_lists_near_ones() {
        let message = BackboneConfig::from_name("swin_tiny_patch4_window7_244").unwrap_err();
        assert_eq!(
            message.to_string(),
            "backbone `swin_tiny_patch4_window7_244`: no backbone has this name; near ones are \
             swin_tiny_patch4_window7_224, swin_base_patch4_window7_224, \
             swin_small_patch4_window7_224"
        );
    }

    #[test]
    fn distances_are_the_known_ones() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn stages_are_read_from_names() {
        assert_eq!(stage_of("backbone.layers.2.blocks.5.attn.x"), Some(2));
        assert_eq!(stage_of("blocks.5.attn.x"), None);
    }

    #[test]
    fn configurations_survive_json() {
        for name in BackboneConfig::names() {
            let config = BackboneConfig::from_name(name).unwrap();
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<BackboneConfig>(&json).unwrap(), config);
            let spoilt = json.replacen("img_size", "imgsize", 1);
            assert!(serde_json::from_str::<BackboneConfig>(&spoilt).is_err(), "{name}");
        }
    }
}
