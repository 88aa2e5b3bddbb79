//! What heads read of the trunk, and where the two can be cut apart.

use std::collections::BTreeMap;

use polyptych_tensor::{Activations, Kind, Tensor};

use crate::Result;
use crate::model::inputs::TextInput;

/// The outputs of the trunk.
#[derive(Debug)]
pub(crate) struct Features {
    /// Levels of the pyramid.
    pub(crate) levels: Vec<Activations>,
    /// What the decoder that heads share makes of the levels, for those that read it.
    pub(crate) hidden: Option<Activations>,
    /// One vector for each image, for tasks of whole images.
    pub(crate) pooled: Option<Activations>,
    /// What tasks read in their texts, by their places.
    pub(crate) texts: BTreeMap<usize, TextInput>,
    /// Height and width of the images.
    pub(crate) size: [i64; 2],
    /// The tasks of the trunk whose streams there are, where others were left out.
    pub(crate) streams: Option<Vec<usize>>,
}

/// A cut between trunk and heads: gradients of what heads make end at `leaves`.
#[derive(Debug)]
pub(crate) struct Cut {
    ends: Vec<Tensor>,
    /// The same numbers, without a past.
    pub(crate) leaves: Vec<Tensor>,
}

impl Features {
    /// Where the streams of the trunk's task `index` stand on the task axis.
    pub(crate) fn stream(&self, index: usize) -> usize {
        let place = |tasks: &Vec<usize>| tasks.iter().position(|task| *task == index);
        self.streams.as_ref().map_or(index, |tasks| place(tasks).unwrap_or(index))
    }

    /// The features without a past; nothing where a task has some of its own.
    pub(crate) fn cut(&self) -> Option<(Self, Cut)> {
        let all = || self.levels.iter().chain(&self.hidden).chain(&self.pooled);
        if !self.texts.is_empty() || all().any(|a| a.per_task().is_some()) {
            return None;
        }
        let ends: Vec<Tensor> =
            all().filter_map(|a| a.shared().map(Tensor::shallow_clone)).collect();
        let leaves: Vec<Tensor> = ends.iter().map(|t| t.detach().set_requires_grad(true)).collect();
        let mut shared = leaves.iter().map(|leaf| Activations::Shared(leaf.shallow_clone()));
        let levels = shared.by_ref().take(self.levels.len()).collect();
        let hidden = self.hidden.as_ref().and_then(|_| shared.next());
        let (pooled, texts) = (shared.next(), BTreeMap::new());
        let features = Self { levels, hidden, pooled, texts, size: self.size, streams: None };
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
            let hidden = Some(Activations::Shared(&shallow * &deep));
            let levels = [shallow, deep].map(Activations::Shared).into_iter().collect();
            let texts = BTreeMap::new();
            Features { levels, hidden, pooled, texts, size: [1, 1], streams: None }
        };
        let head = |features: &Features| {
            let levels =
                features.levels.iter().map(|level| level.expect_shared().exp().sum(Kind::Float));
            let rest = features.hidden.iter().chain(&features.pooled);
            let rest = rest.map(|a| a.expect_shared().sum(Kind::Float));
            levels.chain(rest).reduce(|one, other| one + other).unwrap() * 1e-6
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
        assert!(
            Features {
                levels,
                hidden: None,
                pooled: None,
                texts: Default::default(),
                size: [1, 1],
                streams: None
            }
            .cut()
            .is_none()
        );
    }
}
