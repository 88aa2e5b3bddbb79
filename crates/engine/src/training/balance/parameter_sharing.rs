//! Which trainable parameters does each task depend on?
//!
//! Autograd says so, not names: a parameter is shared if the outputs of two tasks or more depend on
//! it, and private if those of one task do. A graph alone cannot tell, since the factors of all
//! tasks are one batched operation, and gradients alone cannot either, since adapters begin with
//! zeros. So the question is asked once, of gradients at slightly shifted values.

use polyptych_distributed::Ranks;
use polyptych_kernels::set_gradient;
use polyptych_tensor::{Kind, Tensor, manual_seed, no_grad};

use crate::training::balance::gradients::{GradOptions, gradients_of_part};
use crate::training::conflict::Layout;
use crate::{Model, Result};

/// Shift of every trainable number, times a standard normal one.
const SHIFT: f64 = 0.02;

/// What a value depends on by its graph alone, and by its gradient.
const LINKED: f64 = 1.0;
const MOVED: f64 = 2.0;

/// Shared and private parameters, as indices among the trainable ones in the order of names.
#[derive(Debug)]
pub(crate) struct ParameterSharing {
    /// Parameters that two tasks or more depend on.
    pub(crate) shared: Vec<Shared>,
    /// Those that one task alone depends on, for every task.
    pub(crate) private: Vec<Vec<usize>>,
}

/// The trainable parameters, and which tasks depend on each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedParams<'a> {
    pub(crate) sharing: &'a ParameterSharing,
    /// In the order of names.
    pub(crate) params: &'a [(String, Tensor)],
}

/// A shared parameter and its columns among a task's gradients.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Among the trainable parameters.
    pub(crate) index: usize,
    /// Tasks that depend on it.
    pub(crate) tasks: Vec<usize>,
    /// Column of its first number.
    pub(crate) start: i64,
    /// Numbers.
    pub(crate) len: i64,
}

impl ParameterSharing {
    /// Follows every task's outputs for `images` back to `params`, the trainable ones of `model`.
    ///
    /// Values come back bit for bit. LibTorch's generator is seeded anew.
    ///
    /// # Errors
    /// What LibTorch reports, or a forward pass that fails.
    pub(crate) fn find(
        model: &Model,
        params: &[(String, Tensor)],
        images: &Tensor,
    ) -> Result<Self> {
        let kept: Vec<Tensor> = params.iter().map(|(_, param)| param.detach().copy()).collect();
        manual_seed(0);
        no_grad(|| {
            let shift = |(_, param): &(String, Tensor)| {
                param.shallow_clone().f_add_(&(param.randn_like() * SHIFT)).map(drop)
            };
            params.iter().try_for_each(shift)
        })?;
        let found = model.forward(images, false).and_then(|outputs| {
            let squares: Vec<_> = outputs.iter().map(|raw| raw.square().sum(Kind::Float)).collect();
            Self::of_ranks(&model.ranks, &squares, params)
        });
        no_grad(|| {
            let mut pairs = params.iter().zip(&kept);
            pairs.try_for_each(|((_, param), kept)| param.shallow_clone().f_copy_(kept))
        })?;
        found
    }

    /// Follows each of `values` back to `params`; the graphs are kept.
    #[cfg(test)]
    pub(super) fn of(values: &[Tensor], params: &[(String, Tensor)]) -> Result<Self> {
        Self::of_ranks(Ranks::ALONE, values, params)
    }

    /// As above, where every rank has values of its part of the batch: what depends on a parameter
    /// in one part depends on it.
    fn of_ranks(ranks: &Ranks, values: &[Tensor], params: &[(String, Tensor)]) -> Result<Self> {
        let options = GradOptions { ranks, scale: 1.0, retain_graph: true };
        let all: Vec<&Tensor> = params.iter().map(|(_, param)| param).collect();
        let mut found = Vec::new();
        for value in values {
            let grads = gradients_of_part(value, &all, options)?;
            found.extend(grads.iter().map(|grad| match grad.defined() {
                true if grad.abs().max().double_value(&[]) == 0.0 => LINKED,
                true => MOVED,
                false => 0.0,
            }));
        }
        let found = ranks.largest(&found)?;
        let mut linked = vec![Vec::new(); all.len()];
        let mut moved = linked.clone();
        for (place, found) in found.into_iter().enumerate() {
            let (task, index) = (place / all.len(), place % all.len());
            linked[index].extend((found >= LINKED).then_some(task));
            moved[index].extend((found == MOVED).then_some(task));
        }
        // Where no gradient tells, the graph does: a unit may be silent for these images.
        let pairs = moved.into_iter().zip(linked);
        let tasks = pairs.map(|(moved, linked)| if moved.is_empty() { linked } else { moved });
        let lens: Vec<i64> = all.iter().map(|param| param.numel() as i64).collect();
        Ok(Self::new(values.len(), tasks.collect(), &lens))
    }

    fn new(num_tasks: usize, tasks: Vec<Vec<usize>>, lens: &[i64]) -> Self {
        let mut sharing = Self { shared: Vec::new(), private: vec![Vec::new(); num_tasks] };
        for (index, (tasks, len)) in tasks.into_iter().zip(lens).enumerate() {
            match tasks[..] {
                [] => {}
                [task] => sharing.private[task].push(index),
                _ => sharing.shared.push(Shared {
                    index,
                    tasks,
                    start: sharing.columns(),
                    len: *len,
                }),
            }
        }
        sharing
    }

    /// The columns of each group of layers; `params` are those of [`ParameterSharing::find`].
    pub(crate) fn layout(&self, params: &[(String, Tensor)]) -> Layout {
        Layout::new(self.shared.iter().map(|shared| (&*params[shared.index].0, shared.len)))
    }

    /// Numbers of a task's shared gradient.
    pub(crate) fn columns(&self) -> i64 {
        self.shared.last().map_or(0, |last| last.start + last.len)
    }

    /// Gives zeros to those of `params` that some task depends on and that have no gradient: where
    /// a task has no labels, its own parameters have that of a loss of zero.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn complete(&self, params: &[(String, Tensor)]) -> Result<()> {
        let shared = self.shared.iter().map(|shared| shared.index);
        let all = shared.chain(self.private.iter().flatten().copied());
        let mut without = all.map(|index| &params[index].1).filter(|p| !p.grad().defined());
        Ok(without.try_for_each(|param| set_gradient(param, &param.zeros_like()))?)
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn parameters_are_sorted_by_who_depends_on_them() {
        let param =
            |len: i64| Tensor::ones([len], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let names = ["a", "b", "c", "d", "e"];
        let params: Vec<_> =
            names.into_iter().zip(1..).map(|(name, len)| (name.to_owned(), param(len))).collect();
        let sum = |which: &[usize]| {
            let sums = which.iter().map(|&index| params[index].1.sum(Kind::Float));
            sums.reduce(|one, other| one + other).unwrap()
        };
        // `c` is reached by none, `d` by two of three; `a` stands in the graph of all.
        let silent = || params[0].1.sum(Kind::Float) * 0.0;
        let values = [sum(&[0, 1]), sum(&[1, 3]) + silent(), sum(&[1, 3, 4]) + silent()];
        let sharing = ParameterSharing::of(&values, &params).unwrap();
        let shared: Vec<_> =
            sharing.shared.iter().map(|s| (s.index, s.tasks.clone(), s.start, s.len)).collect();
        assert_eq!(shared, [(1, vec![0, 1, 2], 0, 2), (3, vec![1, 2], 2, 4)]);
        assert_eq!(sharing.private, [vec![0], vec![], vec![4]]);
        assert_eq!(sharing.columns(), 6);
        set_gradient(&params[3].1, &params[3].1.ones_like()).unwrap();
        sharing.complete(&params).unwrap();
        let found = params.iter().map(|(_, p)| p.grad());
        let found = found.map(|grad| grad.defined().then(|| grad.max().double_value(&[])));
        assert_eq!(found.collect::<Vec<_>>(), [Some(0.0), Some(0.0), None, Some(1.0), Some(0.0)]);
        let zeros = [sum(&[0]) * 0.0, sum(&[0]) * 0.0, sum(&[1])];
        let sharing = ParameterSharing::of(&zeros, &params).unwrap();
        assert_eq!((sharing.shared[0].index, sharing.shared[0].tasks.clone()), (0, vec![0, 1]));
    }

    #[test]
    fn a_value_without_a_graph_depends_on_nothing() {
        let param = Tensor::from(1f32).set_requires_grad(true);
        let values = [Tensor::from(1f32), &param * 2.0];
        let sharing = ParameterSharing::of(&values, &[("a".to_owned(), param)]).unwrap();
        assert_eq!((sharing.columns(), sharing.private), (0, vec![vec![], vec![0]]));
    }
}
