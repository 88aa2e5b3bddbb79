//! What a method may ask of the plain backbone.

use std::fmt::Debug;

use tch::Tensor;

use crate::Result;

/// A method that has to see what the plain backbone makes of images: before training, or of the
/// images of every pass.
pub trait PlainPass: Debug {
    /// Makes every projection the frozen one, without any streams of tasks, or the method's again.
    ///
    /// The method may note what its projections answer while they are plain.
    fn set_plain(&self, plain: bool);

    /// Whether it has seen the training images, as a run's checkpoint may tell it.
    fn is_ready(&self) -> bool;

    /// How many training images it wants to see; as many as there are unless it says so.
    fn images(&self) -> usize {
        usize::MAX
    }

    /// Whether `prepare` needs nothing that was noted, so that features can be remembered.
    fn needs_features_only(&self) -> bool;

    /// Hears the plain backbone's features of training images, `[images, dim]` in float32, once before
    /// the first step: its last level, mean over places.
    ///
    /// # Errors
    /// Fewer images than it needs, features that are not finite.
    fn prepare(&self, features: &Tensor) -> Result<()>;

    /// Whether [`PlainPass::guide`] is to be called before every pass.
    fn is_guided(&self) -> bool {
        false
    }

    /// Hears the same features of the images of the next pass, `[batch, dim]`.
    fn guide(&self, _features: &Tensor) {}
}
