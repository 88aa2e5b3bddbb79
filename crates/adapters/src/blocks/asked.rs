//! Which tasks a pass is for, where a method leaves the streams of the others out.

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_tensor::Tensor;

/// Positions on the task axis, shared by a plan and its layers; all tasks at first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked(Rc<RefCell<Option<Vec<i64>>>>);

impl Asked {
    /// Passes are for the tasks at `indices` from now on; for all without them.
    pub(crate) fn set(&self, indices: Option<&[usize]>) {
        let indices = indices.map(|all| all.iter().map(|&index| index as i64).collect());
        *self.0.borrow_mut() = indices;
    }

    /// The tasks that are asked for of `tensor`, `[tasks, ..]`.
    pub(crate) fn select(&self, tensor: Tensor) -> Tensor {
        match self.0.borrow().as_deref() {
            None => tensor,
            Some(&[one]) => tensor.narrow(0, one, 1),
            Some(some) => {
                let places = Tensor::from_slice(some).to_device(tensor.device());
                tensor.index_select(0, &places)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn layers_hear_what_the_plan_is_asked_for() {
        let (plan, all) = (Asked::default(), Tensor::arange(6, (Kind::Int64, Device::Cpu)));
        let layer = plan.clone();
        let found = || Vec::<i64>::try_from(layer.select(all.shallow_clone())).unwrap();
        assert_eq!(found(), [0, 1, 2, 3, 4, 5]);
        plan.set(Some(&[4]));
        assert_eq!(found(), [4]);
        plan.set(Some(&[1, 5]));
        assert_eq!(found(), [1, 5]);
        plan.set(None);
        assert_eq!(found().len(), 6);
    }
}
