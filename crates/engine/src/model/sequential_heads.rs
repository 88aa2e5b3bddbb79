//! Heads one after the other, each forward and back, so that the activations of only one head
//! exist at a time. The gradients are those of the sum of the losses.

use std::collections::BTreeMap;

use polyptych_heads::HeadInput;
use polyptych_kernels::backward;
use polyptych_tensor::{Activations, Tensor};

use crate::Result;
use crate::model::features::Features;
use crate::model::inputs::TextInput;

/// The features of a trunk, at which the gradients of heads end until all of them are there.
#[derive(Debug)]
pub(crate) struct SequentialHeads {
    levels: Vec<End>,
    hidden: Option<End>,
    pooled: Option<End>,
    /// Not cut off: each is read by one head alone.
    texts: BTreeMap<usize, TextInput>,
}

/// One output of the trunk, and what heads read in its place.
#[derive(Debug)]
struct End {
    output: Tensor,
    /// One for each task, or one for all.
    leaves: Vec<Tensor>,
}

impl SequentialHeads {
    /// Cuts heads off from the trunk that made `features`.
    pub(crate) fn new(features: Features) -> Self {
        let levels = features.levels.into_iter().map(End::new).collect();
        let (hidden, pooled) = (features.hidden.map(End::new), features.pooled.map(End::new));
        Self { levels, hidden, pooled, texts: features.texts }
    }

    /// What the head of the trunk's task `index` reads.
    pub(crate) fn input(&self, index: usize) -> HeadInput {
        let input = HeadInput {
            levels: self.levels.iter().map(|end| end.leaf(index)).collect(),
            hidden: self.hidden.as_ref().map(|end| end.leaf(index)),
            pooled: self.pooled.as_ref().map(|end| end.leaf(index)),
            ..HeadInput::default()
        };
        match self.texts.get(&index) {
            Some(texts) => texts.beside(input),
            None => input,
        }
    }

    /// Carries the gradients of all heads on into the trunk, in one pass.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn backward(self) -> Result<()> {
        let pairs = self.levels.iter().chain(&self.hidden).chain(&self.pooled);
        let pairs: Vec<_> = pairs.filter_map(|end| Some((&end.output, end.gradient()?))).collect();
        let (outputs, gradients): (Vec<&Tensor>, Vec<&Tensor>) =
            pairs.iter().map(|(output, gradient)| (*output, gradient)).unzip();
        Ok(backward(&outputs, &gradients)?)
    }
}

impl End {
    fn new(activations: Activations) -> Self {
        let (output, pieces) = match activations {
            Activations::Both { per_task: streams, .. } | Activations::PerTask(streams) => {
                let tasks = streams.size()[0];
                let pieces = (0..tasks).map(|task| streams.select(0, task)).collect();
                (streams, pieces)
            }
            Activations::Shared(shared) => (shared.shallow_clone(), vec![shared]),
        };
        // Below the first site that trains nobody reads a gradient: heads need not compute it.
        let learns = output.requires_grad();
        let leaf = |t: Tensor| t.detach().set_requires_grad(learns);
        let leaves = pieces.into_iter().map(leaf).collect();
        Self { output, leaves }
    }

    fn leaf(&self, index: usize) -> Tensor {
        self.leaves.get(index).unwrap_or(&self.leaves[0]).shallow_clone()
    }

    /// What arrived at the leaves.
    fn gradient(&self) -> Option<Tensor> {
        let arrived = |leaf: &Tensor| leaf.grad().defined();
        if !self.leaves.iter().any(arrived) {
            return None;
        }
        let of = |leaf: &Tensor| if arrived(leaf) { leaf.grad() } else { leaf.zeros_like() };
        Some(match &self.leaves[..] {
            [leaf] => of(leaf).view_as(&self.output),
            leaves => Tensor::stack(&leaves.iter().map(of).collect::<Vec<_>>(), 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind};

    use super::*;

    fn ramp(shape: &[i64]) -> Tensor {
        let count: i64 = shape.iter().product();
        (Tensor::arange(count, (Kind::Float, Device::Cpu)).view(shape) * 0.1 + 1.0)
            .set_requires_grad(true)
    }

    /// Two levels, one with streams of tasks and one without, what a decoder makes of both, and
    /// three tasks.
    fn features(weight: &Tensor) -> Features {
        let own = Activations::PerTask(weight * ramp(&[3, 2, 4]).detach());
        let common = Activations::Shared(weight.square());
        let hidden = Some(own.map(|own| own * weight.repeat([3, 1])));
        Features {
            levels: vec![own, common],
            hidden,
            pooled: None,
            texts: BTreeMap::new(),
            size: [1, 1],
            streams: None,
        }
    }

    fn loss(input: &HeadInput, task: usize) -> Tensor {
        let sums =
            input.levels.iter().chain(&input.hidden).map(|level| level.exp().sum(Kind::Float));
        sums.reduce(|a, b| a * b).unwrap() * (task as f64 + 0.5) * 1e-4
    }

    #[test]
    fn the_gradients_are_those_of_the_sum() {
        let weight = ramp(&[2, 4]);
        let whole = features(&weight);
        let read = |task: i64| HeadInput {
            levels: whole.levels.iter().map(|level| level.task(task)).collect(),
            hidden: whole.hidden.as_ref().map(|hidden| hidden.task(task)),
            pooled: None,
            ..HeadInput::default()
        };
        [0, 2].map(|task| loss(&read(task as i64), task)).into_iter().sum::<Tensor>().backward();
        let expected = weight.grad().copy();
        weight.shallow_clone().zero_grad();
        let heads = SequentialHeads::new(features(&weight));
        // The task in the middle has no loss.
        for task in [0, 2] {
            loss(&heads.input(task), task).backward();
        }
        heads.backward().unwrap();
        assert!(weight.grad().allclose(&expected, 1e-5, 1e-6, false));
    }

    #[test]
    fn one_task_with_a_stream_of_its_own() {
        let weight = ramp(&[2, 4]);
        let features = || Features {
            levels: vec![Activations::PerTask((&weight * 2.0).unsqueeze(0))],
            hidden: None,
            pooled: None,
            texts: Default::default(),
            size: [1, 1],
            streams: None,
        };
        let read = HeadInput { levels: vec![features().levels[0].task(0)], ..HeadInput::default() };
        loss(&read, 0).backward();
        let expected = weight.grad().copy();
        weight.shallow_clone().zero_grad();
        let heads = SequentialHeads::new(features());
        loss(&heads.input(0), 0).backward();
        heads.backward().unwrap();
        assert!(weight.grad().equal(&expected));
    }

    #[test]
    fn a_trunk_that_does_not_learn_is_left_alone() {
        let heads = SequentialHeads::new(features(&ramp(&[2, 4]).detach()));
        let input = heads.input(1);
        assert!(input.levels.iter().chain(&input.hidden).all(|level| !level.requires_grad()));
        let own = ramp(&[]);
        (loss(&input, 1) * &own).backward();
        assert!(own.grad().equal(&loss(&input, 1)));
        heads.backward().unwrap();
    }

    #[test]
    fn levels_below_the_first_site_that_trains_get_no_gradient() {
        let (weight, own) = (ramp(&[2, 4]), ramp(&[]));
        let levels = || Features {
            levels: vec![
                Activations::Shared(weight.detach().square()),
                Activations::Shared(weight.square()),
            ],
            hidden: None,
            ..features(&weight)
        };
        let whole = levels();
        let read = whole.levels.iter().map(|level| level.task(0).detach().set_requires_grad(true));
        let plain = HeadInput { levels: read.collect(), ..HeadInput::default() };
        (loss(&plain, 0) * &own).backward();
        let arrived = plain.levels[1].grad();
        backward(&[whole.levels[1].shared().unwrap()], &[&arrived]).unwrap();
        let expected = [weight.grad().copy(), own.grad().copy()];
        [&weight, &own].iter().for_each(|leaf| leaf.shallow_clone().zero_grad());
        let heads = SequentialHeads::new(levels());
        let input = heads.input(0);
        assert_eq!(
            input.levels.iter().map(Tensor::requires_grad).collect::<Vec<_>>(),
            [false, true]
        );
        (loss(&input, 0) * &own).backward();
        heads.backward().unwrap();
        assert_eq!([weight.grad(), own.grad()], expected);
    }
}
