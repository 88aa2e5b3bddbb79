//! The last layer of a backbone: from pooled features to classes.

use polyptych_tensor::{Activations, Linear, Result, Scope};

/// timm's classifier, where the backbone has one.
#[derive(Debug)]
pub(crate) struct Classifier(Option<Linear>);

impl Classifier {
    /// From `dim` numbers to `num_classes`, below `scope`; none for 0 classes.
    pub(crate) fn new(scope: &Scope, dim: i64, num_classes: i64) -> Result<Self> {
        let linear = || Linear::new(scope, dim, num_classes, true);
        Ok(Self((num_classes > 0).then(linear).transpose()?))
    }

    /// Logits of `pooled`, `[batch, dim]`, or `pooled` itself with `pre_logits` or without a
    /// classifier.
    pub(crate) fn forward(&self, pooled: Activations, pre_logits: bool) -> Activations {
        match &self.0 {
            Some(linear) if !pre_logits => pooled.map(|t| linear.forward(t)),
            _ => pooled,
        }
    }
}
