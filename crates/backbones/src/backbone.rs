//! What every backbone can do, in timm's words.

use std::fmt::Debug;

use polyptych_tensor::{Activations, Pyramid, Tensor};

use crate::error::{Error, Result};

/// A network that turns images into features.
///
/// Task streams of the plan stand beside the shared one with a leading axis
/// `tasks`. Only the shared stream enters the next stage, unless the plan
/// [passes its streams on](polyptych_tensor::Plan::keeps_streams).
pub trait Backbone: Debug {
    /// Final features and one level per entry of [`Backbone::feature_info`].
    ///
    /// `x` is `[batch, in_chans, height, width]`; its type decides in which type the backbone
    /// computes.
    /// `train` switches stochastic depth and the plan's dropout on. Images that patches or
    /// windows do not divide are padded with zeros at the right and the bottom.
    ///
    /// # Errors
    /// An input of another shape.
    fn forward_intermediates(&self, x: &Tensor, train: bool) -> Result<Intermediates>;

    /// The final features alone, see [`Intermediates::features`].
    ///
    /// # Errors
    /// As [`Backbone::forward_intermediates`].
    fn forward_features(&self, x: &Tensor, train: bool) -> Result<Activations> {
        Ok(self.forward_intermediates(x, train)?.features)
    }

    /// Blocks behind which another tower's stream can meet this one's; none where blocks are not all
    /// of one resolution.
    fn meeting_blocks(&self) -> usize {
        0
    }

    /// As [`Backbone::forward_features`]; behind each of [`Backbone::meeting_blocks`], by its index,
    /// `meet` says what goes on in place of the stream, `[batch, tokens, dim]`.
    ///
    /// # Errors
    /// As [`Backbone::forward_intermediates`].
    fn forward_meeting(
        &self,
        x: &Tensor,
        train: bool,
        meet: &mut dyn FnMut(usize, Activations) -> Activations,
    ) -> Result<Activations> {
        let _ = meet;
        self.forward_features(x, train)
    }

    /// Pools `features` to `[batch, num_features]` and, unless `pre_logits`, classifies them to
    /// `[batch, num_classes]` where the backbone has a classifier.
    fn forward_head(&self, features: &Activations, pre_logits: bool) -> Activations;

    /// One entry per level, from fine to coarse.
    fn feature_info(&self) -> &[FeatureInfo];

    /// Length of the last axis of the final features.
    fn num_features(&self) -> i64;
}

/// What a backbone computes from a batch of images.
#[derive(Debug)]
pub struct Intermediates {
    /// Behind the final normalisation, where there is one: ViT `[batch, tokens, dim]`, Swin
    /// `[batch, height, width, dim]`.
    pub features: Activations,
    /// `[batch, height, width, dim]` each, not normalised; task streams
    /// `[tasks, batch, height, width, dim]`.
    pub levels: Vec<Activations>,
}

/// What one level of the pyramid is, in timm's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureInfo {
    /// Length of the last axis.
    pub num_chs: i64,
    /// Pixels of the image per position along each side.
    pub reduction: i64,
    /// timm's name of the module whose output it is.
    pub module: String,
}

/// How a backbone is built, apart from its architecture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Leaves out the final normalisation and the classifier, as models do that read the levels
    /// only: what no output depends on would never get a gradient.
    pub features_only: bool,
    /// Which activations the levels are, instead of what the plan would choose.
    pub pyramid: Option<Pyramid>,
    /// Whether blocks and patch mergings save only their inputs, and are run once more in
    /// the backward pass, see [`grad_checkpoint`](polyptych_tensor::grad_checkpoint()): timm's
    /// `set_grad_checkpointing`. Outputs and gradients are the same bit for bit on the CPU.
    pub grad_checkpointing: bool,
}

/// Refuses a field of a configuration unless `valid`.
pub(crate) fn check(
    valid: bool,
    key: &'static str,
    expected: impl Into<String>,
    found: impl Debug,
) -> Result<()> {
    match valid {
        true => Ok(()),
        false => Err(Error::Config { key, expected: expected.into(), found: format!("{found:?}") }),
    }
}
