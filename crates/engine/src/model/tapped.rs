//! Outputs together with what the heads read.

use polyptych_heads::HeadInput;
use polyptych_tensor::Tensor;

use crate::{Inputs, Model, Result};

/// The output of a task, and the features that its head read.
#[derive(Debug)]
pub(crate) struct TappedOutput {
    /// As [`Model::forward`] gives it.
    pub(crate) output: Tensor,
    /// The levels, or the vector of the whole image for a task of whole images.
    pub(crate) features: Vec<Tensor>,
}

impl TappedOutput {
    /// The `output` that a head made of `input`; `dense`: whether the task is of pixels.
    pub(crate) fn new(output: Tensor, input: HeadInput, dense: bool) -> Self {
        let pooled = input.pooled.into_iter().filter(|_| !dense);
        let levels = input.levels.into_iter().filter(|_| dense);
        Self { output, features: levels.chain(pooled).collect() }
    }
}

impl Model {
    /// As [`Model::forward`], with the features of every task.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub(crate) fn forward_tapped(&self, inputs: Inputs, train: bool) -> Result<Vec<TappedOutput>> {
        let mut all = Vec::new();
        for trunk in self.trunks() {
            let asked: Vec<usize> = trunk.tasks.clone().collect();
            let features = self.features(trunk, &asked, inputs, train)?;
            for index in asked {
                let input = trunk.input(&features, index);
                let output = self.heads.output(index, &input, features.size, train)?;
                all.push(TappedOutput::new(output, input, self.tasks[index].spec.is_dense()));
            }
        }
        Ok(all)
    }
}
