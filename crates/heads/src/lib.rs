//! What turns features into one task's output?
//!
//! A [`HeadConfig`] builds a [`Head`], which reads what a backbone hands out for one task, a
//! [`HeadInput`], and gives raw numbers: logits, depths or unnormalised normals. Dense heads give
//! a map of the finest level's size or finer; [`upsample`] brings it to the size of the image.
//!
//! A head is one file: its settings, a [`Part`](polyptych_registry::Part) and [`HeadBuilder`], and
//! its [`Head`]. The list of [`HeadConfig`] has those that are built in; a program adds its own
//! with [`HeadConfig::register`].

mod builder;
mod conv_module;
mod conv_transpose;
pub mod decoupled;
pub mod dpt;
pub mod embedding;
mod error;
mod fuse;
mod head;
pub mod hrnet;
pub mod linear;
pub mod linear_probe;
pub mod segformer;
pub mod shared_decoder;
pub mod simple_pyramid;
pub mod task_attention;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod upernet;
mod upsample;

use polyptych_registry::parts;
use polyptych_tensor::Scope;

pub use builder::{FeatureDims, HeadBuilder};
pub use error::{Error, Result};
pub use head::{Head, HeadInput, SharedDecoder};
pub use upsample::upsample;

parts! {
    /// A head and its sizes, as a recipe has them: `head = { name = "segformer", embed_dim = 64 }`.
    pub struct HeadConfig(dyn HeadBuilder), kind = "head", tag = "name";
    hrnet::HrnetConfig,
    segformer::SegformerConfig,
    shared_decoder::SharedDecoderConfig,
    dpt::DptConfig,
    upernet::UperNetConfig,
    linear_probe::LinearProbeConfig,
    simple_pyramid::SimplePyramidConfig,
    linear::LinearConfig,
    task_attention::TaskAttentionConfig,
    decoupled::DecoupledConfig,
    embedding::EmbeddingConfig,
}

impl HeadConfig {
    /// Builds the head of one task below `scope`.
    ///
    /// `feature_chs` are the dims of the levels, finest first, and `pooled_dim` is that of the
    /// features of whole images; a head reads one of the two. `outputs` is the number of numbers
    /// per pixel or image.
    ///
    /// # Errors
    /// Sizes below 1, other levels than the configuration is for, a name that is taken.
    pub fn init(
        &self,
        scope: &Scope,
        feature_chs: &[i64],
        pooled_dim: i64,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        self.init_beside_text(
            scope,
            FeatureDims { levels: feature_chs, pooled: pooled_dim, text: 0 },
            outputs,
        )
    }

    /// As [`HeadConfig::init`], in a model that may have a text tower.
    ///
    /// # Errors
    /// As [`HeadConfig::init`].
    pub fn init_beside_text(
        &self,
        scope: &Scope,
        features: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        self.validate()?;
        if outputs < 1 {
            return Err(Error::config("outputs", "1 or more", outputs));
        }
        self.check_dims(features)?;
        self.build(scope, features, outputs)
    }

    /// Builds below `scope` what the heads of all tasks with these settings share, behind the same
    /// features as the heads; nothing for most, which are whole.
    ///
    /// # Errors
    /// As [`HeadConfig::init`].
    pub fn init_decoder(
        &self,
        scope: &Scope,
        features: FeatureDims,
    ) -> Result<Option<Box<dyn SharedDecoder>>> {
        self.validate()?;
        self.check_dims(features)?;
        self.build_decoder(scope, features)
    }

    fn check_dims(&self, FeatureDims { levels: feature_chs, .. }: FeatureDims) -> Result<()> {
        if self.is_dense() && (feature_chs.is_empty() || feature_chs.iter().any(|&c| c < 1)) {
            let found = format!("{feature_chs:?}");
            return Err(Error::config("feature_chs", "one dim of 1 or more per level", found));
        }
        Ok(())
    }
}
