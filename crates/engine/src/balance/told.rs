//! What a balancing is told about a step.

use polyptych_losses::balancers::{Batch, Key, NormsOver};
use polyptych_tensor::{Kind, Tensor};

use super::rows::gradients;
use super::{Balance, Formed, last_block, numbers};
use crate::Result;

impl Balance {
    /// What the balancing is told about the step.
    pub(super) fn told(&self, formed: Formed, tasks: &[usize]) -> Result<Batch> {
        let own = |all: &[f64]| tasks.iter().map(|&task| all[task]).collect::<Vec<f64>>();
        let key = Key { seed: self.seed, step: formed.step };
        let losses = own(&numbers(formed.losses)?);
        let mut batch = Batch::new(formed.losses.len(), tasks, &losses, key)?;
        if let Some(gains) = formed.gains {
            batch = batch.with_gains(&own(gains))?;
        }
        if let Some(over) = self.balancing.norms_over() {
            batch = batch.with_norms(&self.norms(over, formed, tasks)?)?;
        }
        Ok(batch)
    }

    /// Lengths of the gradients of `tasks`, whose graphs stay.
    fn norms(&self, over: NormsOver, formed: Formed, tasks: &[usize]) -> Result<Vec<f64>> {
        let reach = &self.found.as_ref().expect("the reach is found first").reach;
        let indices = match over {
            NormsOver::LastBlock => {
                last_block::last_block(reach, formed.losses.len(), &self.params)
            }
            NormsOver::All => last_block::all(reach, formed.losses.len()),
        };
        let wanted: Vec<&Tensor> = indices.iter().map(|&index| &self.params[index].1).collect();
        let one = |&task: &usize| -> Result<f64> {
            let found = gradients(&formed.losses[task], &wanted, (formed.scale(), true))?;
            let found = found.into_iter();
            let squares = found.filter(Tensor::defined).map(|grad| {
                grad.detach().to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[])
            });
            Ok(squares.sum::<f64>().sqrt())
        };
        tasks.iter().map(one).collect()
    }
}
