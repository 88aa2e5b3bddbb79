//! The way of task streams that leave the trunk: they are summed beside it within a stage and leave
//! at the stage's tap, so that no block ever computes on them.

use polyptych_tensor::{Activations, Error, Parallel, ParallelOutput, Result, Tap, Tensor};

use crate::backbone::FeatureInfo;

/// What stands beside the MLP of a block, if anything.
pub(crate) type ParallelPath = Option<Box<dyn Parallel>>;

/// Output of a block, and of the path beside its MLP, if there is one.
pub(crate) type BlockOutput = (Activations, Option<ParallelOutput>);

/// The task streams of one stage that the next one does not read.
#[derive(Debug, Default)]
pub(crate) struct StageTap {
    /// `[tasks, batch, .., dim]`: sum of the terms so far.
    terms: Option<Tensor>,
    /// The streams behind the tap.
    tapped: Option<Tensor>,
}

impl StageTap {
    /// Adds the output of the path `beside` a block's MLP to the block's; sums the tasks' terms
    /// apart.
    pub(crate) fn join(&mut self, (z, output): BlockOutput, beside: &ParallelPath) -> Activations {
        let (Some(path), Some(ParallelOutput { added, aside })) = (beside, output) else {
            return z;
        };
        let z = z.add(&added);
        self.terms = match (self.terms.take(), aside) {
            (Some(sum), Some(terms)) => Some(sum + terms),
            (sum, terms) => sum.or(terms),
        };
        if let Some(tap) = path.tap() {
            // A stage has one tap, so nothing is summed behind it.
            self.tapped = self.terms.take().map(|terms| leave(tap, z.expect_shared(), terms));
        }
        z
    }

    /// The level of the stage whose last block gave `z`.
    pub(crate) fn level(self, z: Activations) -> Activations {
        match self.tapped {
            Some(streams) => z.with_tasks(streams),
            None => z,
        }
    }
}

fn leave(tap: Tap, z: &Tensor, mut terms: Tensor) -> Tensor {
    match tap {
        Tap::Sum if terms.requires_grad() || z.requires_grad() => z + terms,
        // The largest tensors of a pass: they are written where they are.
        Tap::Sum => terms.g_add_(z),
        Tap::Concat => {
            let last = z.dim() - 1;
            let mut shape = terms.size();
            shape[last + 1] = z.size()[last];
            Tensor::cat(&[&z.unsqueeze(0).expand(shape, false), &terms], -1)
        }
    }
}

/// Widens the level that the taps of `blocks` feed, where its heads read twice the width.
///
/// `next` names the layers of the trunk's width that the streams still go through, if any.
///
/// # Errors
/// Streams of twice the width before such layers.
pub(crate) fn widen<'a>(
    level: &mut FeatureInfo,
    mut blocks: impl Iterator<Item = &'a ParallelPath>,
    next: Option<&str>,
) -> Result<()> {
    let concat = |path: &ParallelPath| path.as_ref().is_some_and(|p| p.tap() == Some(Tap::Concat));
    if !blocks.any(concat) {
        return Ok(());
    }
    if let Some(layers) = next {
        return Err(Error::Config {
            key: format!("tap of {}", level.module),
            expected: format!("streams of the trunk's width, which go on through {layers}"),
            found: "twice that width".into(),
        });
    }
    level.num_chs *= 2;
    Ok(())
}
