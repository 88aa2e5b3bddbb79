//! The architectures that are built in, and every backbone by name.

pub(crate) mod architecture;
pub(crate) mod beit;
pub(crate) mod convnext;
pub(crate) mod eva;
pub(crate) mod hiera;
pub(crate) mod names;
pub(crate) mod pvt_v2;
pub(crate) mod summary;
pub(crate) mod swin;
pub(crate) mod vit;

use polyptych_registry::parts;
use polyptych_tensor::{Tensor, Tensors};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::weights::resample;
use architecture::{Architecture, ModelArgs};
use summary::Summary;
pub(crate) use summary::missing_block;

parts! {
    /// An architecture and its numbers; `architecture` is its name.
    pub struct BackboneConfig(dyn Architecture), kind = "backbone", tag = "architecture";
    beit::BeitConfig,
    convnext::ConvNextConfig,
    eva::EvaConfig,
    hiera::HieraConfig,
    pvt_v2::PvtV2Config,
    swin::SwinConfig,
    swin::SwinV2Config,
    vit::VitConfig,
}

/// Names that an error lists.
const NEAR: usize = 3;

impl BackboneConfig {
    /// The configuration called `name`, such as timm's `swin_tiny_patch4_window7_224`, of any
    /// architecture.
    ///
    /// # Errors
    /// A name that does not exist; the message lists near ones, and all architectures.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = variants().into_iter().find(|(known, _)| *known == name);
        found.map(|(_, config)| config).ok_or_else(|| Error::UnknownName {
            name: name.into(),
            near: near(name).join(", "),
            architectures: Self::names().join(", "),
        })
    }

    /// All names that [`BackboneConfig::from_name`] knows.
    pub fn variant_names() -> Vec<&'static str> {
        variants().into_iter().map(|(name, _)| name).collect()
    }

    /// What `tensors` with timm's names are of, by their names and shapes, and by the fields of the
    /// `config.json` beside them, which may be none; `None` where they are no whole backbone.
    pub fn of_tensors(tensors: &Tensors, fields: &Map<String, Value>) -> Option<Self> {
        by_names(tensors).iter().find_map(|example| example.config_of(tensors, fields)).map(Self)
    }

    /// The same for images of `[height, width]`.
    #[must_use]
    pub fn with_img_size(&self, img_size: [i64; 2]) -> Self {
        Self(self.with(ModelArgs { img_size: Some(img_size), ..ModelArgs::default() }))
    }

    /// The same with a classifier of `num_classes` outputs; 0 for none.
    #[must_use]
    pub fn with_num_classes(&self, num_classes: i64) -> Self {
        Self(self.with(ModelArgs { num_classes: Some(num_classes), ..ModelArgs::default() }))
    }

    /// The same for images of `in_chans` channels; [`BackboneConfig::resample`] fits published
    /// weights, which are for 3.
    #[must_use]
    pub fn with_in_chans(&self, in_chans: i64) -> Self {
        Self(self.with(ModelArgs { in_chans: Some(in_chans), ..ModelArgs::default() }))
    }

    /// The same with patches of `patch_size` pixels a side, as FlexiViT is made for;
    /// [`BackboneConfig::resample`] fits kernels and positions of weights.
    ///
    /// # Errors
    /// An architecture whose stages fix the size of its patches.
    pub fn with_patch_size(&self, patch_size: i64) -> Result<Self> {
        self.of_patch_size(patch_size).map(Self).ok_or_else(|| Error::Config {
            key: "patch_size",
            expected: "none, or an architecture of one resolution, such as vit".into(),
            found: format!("{patch_size} for {}", self.name()),
        })
    }

    /// The same with stochastic depth up to `rate` in the last block.
    #[must_use]
    pub fn with_drop_path_rate(&self, rate: f64) -> Self {
        Self(self.with(ModelArgs { drop_path_rate: Some(rate), ..ModelArgs::default() }))
    }

    /// Fits position embeddings and relative position biases of another size, and a first
    /// convolution of other channels or patches, as the hook `resample` of
    /// [`LoadOptions`](polyptych_tensor::LoadOptions) asks.
    ///
    /// `name` may have a prefix above timm's name. Any other tensor gives `None`.
    pub fn resample(&self, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        let first = name.strip_suffix(".weight").is_some_and(|n| n.ends_with(self.first_conv()));
        if first {
            return self.resample_first_conv(tensor, wanted);
        }
        self.resample_positions(name, tensor, wanted)
    }

    fn resample_first_conv(&self, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        let [_, channels, rows, columns] = *wanted else { return None };
        let fitted = match tensor.size().get(1) == Some(&channels) {
            true => tensor.shallow_clone(),
            false => resample::input_channels(tensor, channels)?,
        };
        match fitted.size().get(2..) == Some(&[rows, columns]) {
            true => Some(fitted),
            false => {
                self.of_patch_size(rows)?;
                resample::patch_embed(&fitted, [rows, columns])
            }
        }
    }
}

/// Architecture, width and depth of the trunk that `tensors` are of.
pub(crate) fn summary_of(tensors: &Tensors) -> Option<Summary> {
    by_names(tensors).iter().find_map(|example| example.summary_of(tensors))
}

/// The first tensor with a name that the architecture which has most of them lacks: what it belongs
/// to computes something else.
pub(crate) fn unknown_parameter(tensors: &Tensors) -> Option<&str> {
    let examples = by_names(tensors);
    let likeliest = examples.first()?;
    tensors.keys().map(String::as_str).find(|name| !likeliest.has_parameter(name))
}

/// All architectures, those that have most of the names of `tensors` first.
fn by_names(tensors: &Tensors) -> Vec<BackboneConfig> {
    let mut examples = BackboneConfig::examples();
    let lacks = |example: &BackboneConfig| {
        tensors.keys().filter(|name| !example.has_parameter(name)).count()
    };
    examples.sort_by_cached_key(lacks);
    examples
}

/// Patterns of buffers that some sources save and that backbones compute themselves.
pub fn computed() -> Vec<&'static str> {
    BackboneConfig::examples().iter().flat_map(|example| example.computed()).copied().collect()
}

fn variants() -> Vec<(&'static str, BackboneConfig)> {
    let examples = BackboneConfig::examples();
    let all = examples.iter().flat_map(|example| example.variants());
    all.map(|(name, config)| (name, BackboneConfig(config))).collect()
}

/// The known names that differ least from `name`.
fn near(name: &str) -> Vec<&'static str> {
    let mut names = BackboneConfig::variant_names();
    names.sort_by_key(|known| strsim::levenshtein(known, name));
    names.truncate(NEAR);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use polyptych_tensor::{Device, NoAdapter, Store};

    #[test]
    fn an_unknown_name_lists_near_ones() {
        let message = BackboneConfig::from_name("swin_tiny_patch4_window7_244").unwrap_err();
        let expected = format!(
            "backbone `swin_tiny_patch4_window7_244`: no backbone has this name; near ones are \
             swin_tiny_patch4_window7_224, swin_base_patch4_window7_224, \
             swin_small_patch4_window7_224 (registered architectures: {})",
            BackboneConfig::names().join(", ")
        );
        assert_eq!(message.to_string(), expected);
    }

    #[test]
    fn configurations_survive_json() {
        for (name, config) in variants() {
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<BackboneConfig>(&json).unwrap(), config);
            let spoilt = json.replacen("img_size", "imgsize", 1);
            assert!(serde_json::from_str::<BackboneConfig>(&spoilt).is_err(), "{name}");
        }
    }

    #[test]
    fn small_named_backbones_are_known_by_their_tensors() {
        for name in [
            "swin_micro_patch4_window4_128",
            "vit_micro_patch8_128",
            "vit_tiny_patch16_224",
            "vit_little_patch16_reg4_gap_256",
            "vit_small_patch14_reg4_dinov2",
            "swin_s3_tiny_224",
        ] {
            let mut config = BackboneConfig::from_name(name).unwrap().with_drop_path_rate(0.0);
            let store = Store::new(Device::Cpu);
            config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
            let mut tensors: Tensors = store.tensors().into_iter().collect();
            if let Some(vit) = config.downcast_ref::<vit::VitConfig>() {
                // Tensors tell that there is a LayerScale, and not what it began with.
                let init_values = vit.init_values.map(|_| 1.0);
                config = vit::VitConfig { init_values, ..vit.clone() }.into();
            }
            let of = |tensors: &Tensors| BackboneConfig::of_tensors(tensors, &Map::new());
            assert_eq!(of(&tensors), Some(config), "{name}");
            assert_eq!(unknown_parameter(&tensors), None, "{name}");
            tensors.retain(|name, _| !name.contains("mlp.fc1.weight"));
            assert_eq!(of(&tensors), None, "{name}");
        }
    }

    #[test]
    fn names_of_other_architectures_are_unknown() {
        for name in [
            "absolute_pos_embed",
            "blocks.0.attn.q_norm.weight",
            "blocks.0.attn.rel_pos.relative_position_bias_table",
            "stages.0.blocks.0.mlp.grn.weight",
            "blocks.0.ls1.beta",
            "attn_pool.q_norm.weight",
            "layers.0.blocks.0.ls1.gamma",
            "layers.0.downsample.bias",
            "decoder_blocks.0.norm1.weight",
            "neck.0.weight",
        ] {
            let tensors = Tensors::from([(name.to_owned(), Tensor::new())]);
            assert_eq!(unknown_parameter(&tensors), Some(name));
        }
    }
}
