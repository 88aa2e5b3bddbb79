//! A prediction and its target, checked, with what is unlabelled set aside.

use polyptych_tensor::{Kind, Tensor, device};

use crate::task::loss::LossValue;
use crate::{Error, Result};

/// Both tensors in float32 with four axes.
#[derive(Debug)]
pub(crate) struct Pair {
    /// `[batch, outputs, height, width]`.
    pub(crate) prediction: Tensor,
    /// `[batch, channels, height, width]`, 0 where unlabelled: a NaN that enters the arithmetic
    /// would come back in the gradients, even if its result is dropped.
    pub(crate) target: Tensor,
    /// Mask of the target's shape.
    pub(crate) unlabelled: Tensor,
}

impl Pair {
    /// A target with as many channels as the prediction has outputs.
    pub(crate) fn elementwise(prediction: &Tensor, target: &Tensor) -> Result<Self> {
        let [prediction, target] = elementwise(prediction, target)?;
        Ok(Self::parted(&prediction, &target))
    }

    /// Of tensors that fit each other.
    pub(crate) fn parted(prediction: &Tensor, target: &Tensor) -> Self {
        let unlabelled = target.isnan();
        let target = target.to_kind(Kind::Float).masked_fill(&unlabelled, 0.0);
        Self { prediction: prediction.to_kind(Kind::Float), target, unlabelled }
    }

    /// int64 scalar: number of labelled elements.
    pub(crate) fn labelled(&self) -> Tensor {
        self.unlabelled.logical_not().sum(Kind::Int64)
    }

    /// Mean of `values`, which have the target's shape, over labelled elements; 0 without any.
    pub(crate) fn mean(&self, values: &Tensor) -> LossValue {
        let labelled = self.labelled();
        let sum = values.masked_fill(&self.unlabelled, 0.0).sum(Kind::Float);
        LossValue { loss: sum / labelled.clamp_min(1), labelled }
    }
}

/// Both with four axes, for a target with as many channels as the prediction has outputs.
pub(crate) fn elementwise(prediction: &Tensor, target: &Tensor) -> Result<[Tensor; 2]> {
    let prediction = four_axes("prediction", prediction)?;
    let channels = prediction.size()[1];
    fitting(prediction, target, channels)
}

/// Both with four axes, for a target of one channel, whatever the number of outputs.
pub(crate) fn indexed(prediction: &Tensor, target: &Tensor) -> Result<[Tensor; 2]> {
    fitting(four_axes("prediction", prediction)?, target, 1)
}

fn fitting(prediction: Tensor, target: &Tensor, channels: i64) -> Result<[Tensor; 2]> {
    let target = four_axes("target", target)?;
    let mut shape = prediction.size();
    shape[1] = channels;
    if target.size() != shape {
        return Err(shape_error("target", format!("{shape:?}"), &target));
    }
    let [here, there] = [&prediction, &target].map(|t| device::name(t.device()));
    if here != there {
        return Err(Error::Device { expected: here, found: there });
    }
    Ok([prediction, target])
}

pub(crate) fn shape_error(key: &'static str, expected: String, tensor: &Tensor) -> Error {
    Error::Shape { key, expected, found: tensor.size() }
}

fn four_axes(key: &'static str, tensor: &Tensor) -> Result<Tensor> {
    match tensor.dim() {
        4 => Ok(tensor.shallow_clone()),
        2 => Ok(tensor.unsqueeze(-1).unsqueeze(-1)),
        _ => {
            let expected = "[batch, channels] or [batch, channels, height, width]".into();
            Err(shape_error(key, expected, tensor))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    fn zeros(shape: &[i64]) -> Tensor {
        Tensor::zeros(shape, (Kind::Float, Device::Cpu))
    }

    fn refusal(prediction: &[i64], target: &[i64]) -> String {
        Pair::elementwise(&zeros(prediction), &zeros(target)).unwrap_err().to_string()
    }

    #[test]
    fn shapes_must_fit() {
        let message = refusal(&[2, 3, 4, 5], &[2, 1, 4, 5]);
        assert_eq!(message, "target: expected shape [2, 3, 4, 5], found [2, 1, 4, 5]");
        let message = refusal(&[2, 3, 4, 5], &[2, 3, 8, 10]);
        assert_eq!(message, "target: expected shape [2, 3, 4, 5], found [2, 3, 8, 10]");
        let message = refusal(&[2, 3, 4], &[2, 3, 4, 1]);
        let axes = "[batch, channels] or [batch, channels, height, width]";
        assert_eq!(message, format!("prediction: expected shape {axes}, found [2, 3, 4]"));
        let message = refusal(&[2, 3], &[2]);
        assert_eq!(message, format!("target: expected shape {axes}, found [2]"));
    }

    #[test]
    fn whole_images_may_have_two_axes_or_four() {
        for target in [vec![2, 1], vec![2, 1, 1, 1]] {
            let [prediction, target] = indexed(&zeros(&[2, 7]), &zeros(&target)).unwrap();
            assert_eq!(prediction.size(), [2, 7, 1, 1]);
            assert_eq!(target.size(), [2, 1, 1, 1]);
        }
    }
}
