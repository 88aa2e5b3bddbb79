//! What an optimiser keeps for each parameter.

use tch::Tensor;

use super::Group;
use crate::{Error, Result, Tensors};

/// A group's parameters, each with what is kept for it.
#[derive(Debug)]
pub(super) struct Slots<S> {
    pub(super) slots: Vec<S>,
    pub(super) weight_decay: f64,
    pub(super) lr_scale: f64,
}

impl<S> Slots<S> {
    /// `slot` makes what is kept for a parameter of this name.
    pub(super) fn of(group: Group, slot: impl Fn(String, Tensor) -> S) -> Self {
        let Group { params, weight_decay, lr_scale } = group;
        let slots = params.into_iter().map(|(name, param)| slot(name, param)).collect();
        Self { slots, weight_decay, lr_scale }
    }
}

/// Copies `state` into `targets` when names and shapes agree one to one.
pub(super) fn copy_all(targets: &[(String, Tensor)], state: &Tensors) -> Result<()> {
    let mismatch = |expected: String, found: String| Err(Error::OptimiserState { expected, found });
    if targets.len() != state.len() {
        return mismatch(format!("{} tensors", targets.len()), format!("{}", state.len()));
    }
    for (name, target) in targets {
        match state.get(name) {
            Some(value) if value.size() == target.size() => {}
            Some(value) => {
                return mismatch(
                    format!("{name} {:?}", target.size()),
                    format!("{:?}", value.size()),
                );
            }
            None => return mismatch(name.clone(), "no such tensor".into()),
        }
    }
    tch::no_grad(|| {
        for (name, target) in targets {
            target.shallow_clone().f_copy_(&state[name])?;
        }
        Ok(())
    })
}
