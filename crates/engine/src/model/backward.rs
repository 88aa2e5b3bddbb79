//! The way through the model and back, and the heads that a batch leaves out of it.

use polyptych_tensor::{Tensor, manual_seed};

use super::Model;
use super::heads::Heads;
use super::inputs::Inputs;
use super::sequential_heads::SequentialHeads;
use super::tapped::TappedOutput;
use crate::Result;

impl Model {
    /// Goes through the model and back, in training: `loss` turns the output of every task that
    /// learns, by its position and at the size of its loss, into what is minimised. One head after
    /// the other, so that the activations of one head exist at a time, and those of one trunk
    /// where tasks have copies.
    ///
    /// The generator is seeded as in training: anew before every trunk.
    ///
    /// # Errors
    /// An image of another shape, or what `loss` reports.
    pub fn backward_by_head<'a>(
        &self,
        inputs: impl Into<Inputs<'a>>,
        seed: i64,
        mut loss: impl FnMut(usize, &Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        self.backward_without(&[], inputs, seed, |index, found| loss(index, &found.output))
    }

    /// As [`Model::backward_by_head`], without the heads of `unread` tasks and their losses; `loss`
    /// sees what a head read, too.
    ///
    /// # Errors
    /// As [`Model::backward_by_head`].
    pub(crate) fn backward_without<'a>(
        &self,
        unread: &[usize],
        inputs: impl Into<Inputs<'a>>,
        seed: i64,
        mut loss: impl FnMut(usize, &TappedOutput) -> Result<Tensor>,
    ) -> Result<()> {
        let inputs = inputs.into();
        for trunk in &self.trunks {
            let asked = self.learning_in(trunk);
            if asked.is_empty() {
                continue;
            }
            manual_seed(seed);
            let features = self.features(trunk, &asked, inputs, true)?;
            let (size, heads) = (features.size, SequentialHeads::new(features));
            for index in asked.into_iter().filter(|index| !unread.contains(index)) {
                let input = heads.input(index - trunk.tasks.start);
                let size = self.tasks[index].loss_size(size);
                let output = self.heads.output(index, &input, size, true)?;
                let dense = self.tasks[index].spec.is_dense();
                let minimised = loss(index, &TappedOutput::new(output, input, dense))?;
                if minimised.requires_grad() {
                    minimised.f_backward()?;
                }
            }
            heads.backward()?;
        }
        Ok(())
    }

    /// The tasks whose heads need not run for a batch in which those have labels that `labelled`
    /// says. None where no task of a trunk has labels, since parts of it may get no gradient at
    /// all, and none beside texts, which are read by parameters that others may not have.
    pub(crate) fn unread(&self, labelled: impl Fn(usize) -> bool) -> Vec<usize> {
        let all = self.trunks.iter().flat_map(|trunk| {
            let asked = self.learning_in(trunk);
            let is_read = self.text.is_none() && asked.iter().any(|&index| labelled(index));
            asked.into_iter().filter(move |_| is_read)
        });
        all.filter(|&index| !labelled(index)).collect()
    }

    /// Gives what trains in the heads of `unread` tasks, and in the decoder of such alone, the
    /// gradient of a loss without labels, 0.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn without_gradient(&self, unread: &[usize]) -> Result<()> {
        let one = |&index: &usize| Heads::without_gradient(&self.store, &self.tasks[index]);
        unread.iter().try_for_each(one)?;
        let read = self.learning.iter().copied().filter(|index| !unread.contains(index));
        self.heads.decoder_without_gradient(&self.store, read)
    }
}
