//! Bottlenecks whose weights were computed once: no hypernetwork is left.

use polyptych_tensor::{Init, Result, Tensor, Tensors};

use super::adapter::{Generator, Weights};
use super::parts::HyperSite;

/// Name of the scope, within the site's.
const SCOPE: &str = "hyper_tasks";

/// One entry per task each, in the order of the task axis.
#[derive(Debug)]
pub(super) struct MergedTasks {
    /// `[n, d]`, as PyTorch stores a linear map.
    down: Vec<Tensor>,
    /// `[n]`.
    down_bias: Vec<Tensor>,
    /// `[d, n]`.
    up: Vec<Tensor>,
    /// `[d]`.
    up_bias: Vec<Tensor>,
    /// Scale and shift, `[d]` both.
    norm: Option<[Vec<Tensor>; 2]>,
}

impl MergedTasks {
    /// Makes `hyper_tasks.<task>` in the site's scope, to be loaded from what [`put`] made.
    pub(super) fn new(place: &HyperSite, tasks: &[String], norm: bool) -> Result<Self> {
        let (d, n) = (place.site.out_features, place.width);
        let scope = place.scope.pp(SCOPE);
        let make = |part: &str, shape: &[i64]| -> Result<Vec<Tensor>> {
            let one = |task: &String| scope.pp(task).param(part, shape, Init::ZEROS);
            tasks.iter().map(one).collect()
        };
        Ok(Self {
            down: make("down.weight", &[n, d])?,
            down_bias: make("down.bias", &[n])?,
            up: make("up.weight", &[d, n])?,
            up_bias: make("up.bias", &[d])?,
            norm: match norm {
                true => Some([make("norm.weight", &[d])?, make("norm.bias", &[d])?]),
                false => None,
            },
        })
    }
}

impl Generator for MergedTasks {
    fn weights(&self) -> Weights {
        let stack = |parts: &Vec<Tensor>| Tensor::stack(parts, 0);
        Weights {
            down: stack(&self.down).transpose(1, 2),
            down_bias: stack(&self.down_bias),
            up: stack(&self.up).transpose(1, 2),
            up_bias: stack(&self.up_bias),
            norm: self.norm.as_ref().map(|parts| parts.each_ref().map(stack)),
        }
    }
}

/// Puts `weights` into `tensors` as the parameters of [`MergedTasks`] at `path`.
pub(super) fn put(tensors: &mut Tensors, path: &str, tasks: &[String], weights: &Weights) {
    let mut parts = vec![
        ("down.weight", weights.down.transpose(1, 2)),
        ("down.bias", weights.down_bias.shallow_clone()),
        ("up.weight", weights.up.transpose(1, 2)),
        ("up.bias", weights.up_bias.shallow_clone()),
    ];
    if let Some([scale, shift]) = &weights.norm {
        parts.push(("norm.weight", scale.shallow_clone()));
        parts.push(("norm.bias", shift.shallow_clone()));
    }
    for (part, all) in parts {
        for (index, task) in tasks.iter().enumerate() {
            // What all tasks have in common stands there once.
            let own = all.select(0, (index as i64).min(all.size()[0] - 1));
            tensors.insert(format!("{path}.{SCOPE}.{task}.{part}"), own.copy().contiguous());
        }
    }
}
