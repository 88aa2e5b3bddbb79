//! What heads read of the trunk, and where the two can be cut apart.

use polyptych_tensor::{Activations, Kind, Tensor};

use crate::Result;

/// The outputs of the trunk.
#[derive(Debug)]
pub(crate) struct Features {
    /// Levels of the pyramid.
    pub(crate) levels: Vec<Activations>,
    /// One vector for each image, for tasks of whole images.
    pub(crate) pooled: Option<Activations>,
    /// Height and width of the images.
    pub(crate) size: [i64; 2],
}

/// A cut between trunk and heads: gradients of what heads make end at `leaves`.
#[derive(Debug)]
pub(crate) struct Cut {
    ends: Vec<Tensor>,
    /// The same numbers, without a past.
    pub(crate) leaves: Vec<Tensor>,
}

impl Features {
    /// The features without a past; nothing where a task has some of its own.
    pub(crate) fn cut(&self) -> Option<(Self, Cut)> {
        let all = || self.levels.iter().chain(&self.pooled);
        if all().any(|activations| activations.per_task().is_some()) {
            return None;
        }
        let ends: Vec<Tensor> =
            all().filter_map(|a| a.shared().map(Tensor::shallow_clone)).collect();
        let leaves: Vec<Tensor> = ends.iter().map(|t| t.detach().set_requires_grad(true)).collect();
        let mut shared = leaves.iter().map(|leaf| Activations::Shared(leaf.shallow_clone()));
        let levels = shared.by_ref().take(self.levels.len()).collect();
        let features = Self { levels, pooled: shared.next(), size: self.size };
        Some((features, Cut { ends, leaves }))
    }
}

impl Cut {
    /// Carries gradients by the leaves on into the trunk, in one pass.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn backward(&self, gradients: &[Tensor]) -> Result<()> {
        let pairs = self.ends.iter().zip(gradients).filter(|(end, _)| end.requires_grad());
        let products =
            pairs.map(|(end, grad)| (end.to_kind(Kind::Float) * grad.detach()).sum(Kind::Float));
        match products.reduce(|sum, product| sum + product) {
            Some(sum) => Ok(sum.f_backward()?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::Device;

    use super::*;

    #[test]
    fn a_pass_in_two_parts_is_the_whole_pass() {
        let weight = Tensor::from_slice(&[2f32, 3.0]).set_requires_grad(true);
        let trunk = || {
            let shallow = &weight * 2.0;
            // The second level stands on the first one.
            let deep = shallow.square();
            let pooled = Some(Activations::Shared(deep.mean(Kind::Float).view([1])));
            let levels = [shallow, deep].map(Activations::Shared).into_iter().collect();
            Features { levels, pooled, size: [1, 1] }
        };
        let head = |features: &Features| {
            let levels =
                features.levels.iter().map(|level| level.expect_shared().exp().sum(Kind::Float));
            let pooled = features.pooled.as_ref().map(|a| a.expect_shared().sum(Kind::Float));
            levels.chain(pooled).reduce(|one, other| one + other).unwrap() * 1e-6
        };
        head(&trunk()).backward();
        let expected = weight.grad().copy();
        weight.shallow_clone().zero_grad();
        let (features, cut) = trunk().cut().unwrap();
        head(&features).backward();
        assert!(weight.grad().equal(&weight.zeros_like()));
        let grads: Vec<Tensor> = cut.leaves.iter().map(Tensor::grad).collect();
        cut.backward(&grads).unwrap();
        assert!(weight.grad().allclose(&expected, 1e-5, 1e-8, false));
    }

    #[test]
    fn features_of_one_task_cannot_be_cut() {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let own = Activations::Both { shared: zeros(&[1, 2]), per_task: zeros(&[3, 1, 2]) };
        let levels = vec![Activations::Shared(zeros(&[1, 2])), own];
        assert!(Features { levels, pooled: None, size: [1, 1] }.cut().is_none());
    }
}
