//! What a kind of head says about itself.

use polyptych_registry::DynPart;
use polyptych_tensor::{Scope, Tensor};

use crate::error::Result;
use crate::head::{Head, SharedDecoder};

/// Lengths of the last axes of what a backbone gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureDims<'a> {
    /// Of the levels, finest first.
    pub levels: &'a [i64],
    /// Of the features of whole images.
    pub pooled: i64,
    /// Of the features of texts; 0 without a text tower.
    pub text: i64,
}

/// The settings of one kind of head.
///
/// A recipe has them as `head = { name = "segformer", embed_dim = 64 }`: the name is that of the
/// [`Part`](polyptych_registry::Part), the other fields are the part's own.
pub trait HeadBuilder: DynPart {
    /// Whether the output is a map; otherwise it is one row per image.
    fn is_dense(&self) -> bool {
        true
    }

    /// Positions of the output along a side, per position of the finest level.
    fn scale(&self) -> i64 {
        1
    }

    /// Whether it is one matrix over features of whole images, with parameters `weight` and `bias`:
    /// such heads are the classifier of a plain backbone, once it is merged or exported.
    fn is_linear(&self) -> bool {
        false
    }

    /// Whether the rows are embeddings of images and of texts, for tasks of retrieval.
    fn is_embedding(&self) -> bool {
        false
    }

    /// Whether the heads of all tasks read one decoder: [`HeadBuilder::build_decoder`] gives it.
    fn shares_decoder(&self) -> bool {
        false
    }

    /// Builds below `scope` what the heads of all tasks with these settings share; nothing where
    /// each head is whole.
    ///
    /// [`HeadConfig::init_decoder`](crate::HeadConfig::init_decoder) has checked what
    /// [`HeadBuilder::build`] can rely on.
    ///
    /// # Errors
    /// As [`HeadBuilder::build`].
    fn build_decoder(
        &self,
        _scope: &Scope,
        _features: FeatureDims,
    ) -> Result<Option<Box<dyn SharedDecoder>>> {
        Ok(None)
    }

    /// What `tensor`, the head's parameter `name` of a smaller label set, becomes for one whose parameter
    /// has the shape `wanted`; nothing where classes cannot be added.
    fn grown(&self, _name: &str, _tensor: &Tensor, _wanted: &[i64]) -> Option<Tensor> {
        None
    }

    /// Checks the settings alone.
    ///
    /// # Errors
    /// Names the field, its range and what it is.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Builds the head of one task below `scope`, with `outputs` numbers per pixel or image.
    ///
    /// [`HeadConfig::init`](crate::HeadConfig::init) has checked the settings, that `outputs` is 1 or more and, for a dense
    /// head, that there are levels, each of 1 or more.
    ///
    /// # Errors
    /// Features of other dims than the settings are for, a name that is taken.
    fn build(&self, scope: &Scope, features: FeatureDims, outputs: i64) -> Result<Box<dyn Head>>;
}
