//! What turns an image into features?
//!
//! ViT, Eva, BEiT, Swin, Swin V2, PVT v2, Hiera and ConvNeXt under timm's names: configurations,
//! parameter names and numbers are timm's, so its checkpoints load as they are; [`sources`] has one
//! table per other source. A backbone asks a [`Plan`](polyptych_tensor::Plan) for every projection
//! and knows no adapter.
//!
//! Beside an image tower may stand a text tower, a [`TextTower`] with a [`Tokenizer`]: CLIP's.
//!
//! An architecture is one folder below `architectures`, whose [`Architecture`] has every answer
//! that is special about it; a program adds its own with [`BackboneConfig::register`].
//!
//! ```
//! use polyptych_backbones::{BackboneConfig, Options};
//! use polyptych_tensor::{Device, Kind, NoAdapter, Store, Tensor};
//!
//! let config = BackboneConfig::from_name("swin_micro_patch4_window4_128")?;
//! let store = Store::new(Device::Cpu);
//! let swin = config.init(&store.root(), &NoAdapter::Full, Options::default())?;
//! let image = Tensor::zeros([1, 3, 128, 128], (Kind::Float, Device::Cpu));
//! let out = swin.forward_intermediates(&image, false)?;
//! assert_eq!(out.levels[3].size(), [1, 4, 4, 256]);
//! # Ok::<(), polyptych_backbones::Error>(())
//! ```

mod architectures;
mod backbone;
mod blocks;
mod built;
mod error;
mod text;
mod weights;

pub use architectures::architecture::{Ambiguity, Architecture, ModelArgs, TimmModel};
pub use architectures::beit::BeitConfig;
pub use architectures::convnext::ConvNextConfig;
pub use architectures::eva::{EvaConfig, RopeType};
pub use architectures::hiera::HieraConfig;
pub use architectures::pvt_v2::PvtV2Config;
pub use architectures::summary::Summary;
pub use architectures::swin::{ROUNDED_UP, SwinConfig, SwinV2Config, WindowSize};
pub use architectures::vit::{GlobalPool, VitConfig};
pub use architectures::{BackboneConfig, computed};
pub use backbone::{Backbone, FeatureInfo, Intermediates, Options};
pub use blocks::act_layer::ActLayer;
pub use built::Built;
pub use error::{Error, Result};
pub use text::{
    BuiltText, TextConfig, TextFeatures, TextPass, TextTokens, TextTower, Tokenizer, text_weights,
};
pub use weights::checkpoint::Checkpoint;
pub use weights::prefix::prefix_of;
pub use weights::sources::Source;
pub use weights::{checkpoint, pretrained, resample, sources};
