//! What turns an image into features?
//!
//! ViT and Swin under timm's names: configurations, parameter names and numbers are timm's, so
//! its checkpoints load as they are; [`rename`] has one table per other source. A backbone asks
//! a [`Plan`](polyptych_tensor::Plan) for every projection and knows no adapter.
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
//! assert_eq!(out.levels[3].shared.size(), [1, 4, 4, 256]);
//! # Ok::<(), polyptych_backbones::Error>(())
//! ```

mod backbone;
mod branch;
pub mod checkpoint;
mod config;
mod deduce;
mod error;
mod keep;
mod mlp;
mod onward;
mod outline;
mod patch_embed;
mod place;
mod prefix;
pub mod pretrained;
mod prompts;
pub mod rename;
pub mod resample;
mod source;
mod swin;
mod tap;
mod vit;

pub use backbone::{Backbone, FeatureInfo, Intermediates, Options};
pub use checkpoint::Checkpoint;
pub use config::BackboneConfig;
pub use deduce::unplaced;
pub use error::{Error, Result};
pub use outline::Outline;
pub use prefix::prefix_of;
pub use source::Source;
pub use swin::{ROUNDED_UP, SwinConfig, WindowSize};
pub use vit::{GlobalPool, VitConfig};
