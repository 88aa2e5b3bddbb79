//! Which text belongs to which image: the symmetric InfoNCE loss of CLIP (arXiv 2103.00020,
//! figure 3), with all equal texts as positives (arXiv 2204.03610, equations 2 to 4).

use polyptych_registry::Part;
use polyptych_tensor::{Kind, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::loss::{LossValue, TaskLoss};
use crate::task::pair::shape_error;
use crate::{Error, Result};

/// `-1/2 (mean_i 1/|P_i| sum_{p in P_i} log softmax_j(l_ij)_p + the same of l^T)`, with
/// `l_ij = u_i v_j`: `u` is the first half of an image's row, `v` the second half of a text's. `P_i`
/// are the images of the batch whose text is that of image `i`: only itself where all texts differ,
/// which is CLIP's loss.
///
/// The target is the number of the text, `[batch, channels]`, NaN without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contrastive {}

impl Part for Contrastive {
    const NAME: &'static str = "contrastive";
    const SUMMARY: &'static str = "which text belongs to which image of the batch: retrieval";

    fn example() -> Self {
        Self {}
    }
}

impl TaskLoss for Contrastive {
    fn is_dense(&self) -> Option<bool> {
        Some(false)
    }

    fn compares_images(&self) -> bool {
        true
    }

    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let (size, rows) = (prediction.size(), target.size());
        if size.len() != 2 || size[1] % 2 != 0 {
            let expected = "[batch, 2 embeddings]".into();
            return Err(shape_error("prediction", expected, prediction));
        }
        if rows.first() != size.first() {
            return Err(shape_error("target", format!("[{}, channels]", size[0]), target));
        }
        let target = target.reshape([size[0], -1]);
        let known = target.isnan().any_dim(1, false).logical_not().nonzero().view([-1]);
        if known.numel() == 0 {
            let loss = prediction.to_kind(Kind::Float).sum(Kind::Float) * 0.0;
            return Ok(LossValue { loss, labelled: Tensor::from(0i64) });
        }
        let prediction = prediction.to_kind(Kind::Float).index_select(0, &known);
        let (image, text) =
            (prediction.narrow(1, 0, size[1] / 2), prediction.narrow(1, size[1] / 2, size[1] / 2));
        let same = same_rows(&target.index_select(0, &known));
        let wanted = &same / same.sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        let logits = image.f_matmul(&text.tr()).map_err(polyptych_tensor::Error::from)?;
        let one_way = |logits: &Tensor| {
            let each = (logits.log_softmax(1, Kind::Float) * &wanted).sum_dim_intlist(
                [1i64].as_slice(),
                false,
                Kind::Float,
            );
            each.mean(Kind::Float)
        };
        let loss = (one_way(&logits) + one_way(&logits.tr())) * -0.5;
        Ok(LossValue { loss, labelled: Tensor::from(known.numel() as i64) })
    }

    fn label_sums(&self, target: &Tensor) -> Vec<f64> {
        let rows = target.size().first().copied().unwrap_or(0);
        let unknown = target.reshape([rows, -1]).isnan().any_dim(1, false);
        vec![unknown.logical_not().sum(Kind::Int64).int64_value(&[]) as f64]
    }

    /// # Errors
    /// A part of a batch: an image is compared with all others.
    fn share(
        &self,
        prediction: &Tensor,
        target: &Tensor,
        own: &[f64],
        all: &[f64],
    ) -> Result<LossValue> {
        if own == all {
            return self.forward(prediction, target);
        }
        Err(Error::Config {
            key: "loss".into(),
            expected: "a batch in one part (train.accumulate = 1, one process) for `contrastive`, \
                       which compares all of its images",
            found: "a part of one".into(),
        })
    }
}

/// 1 where two rows are equal, `[rows, rows]`.
fn same_rows(target: &Tensor) -> Tensor {
    let equal = target.unsqueeze(0).eq_tensor(&target.unsqueeze(1));
    equal.all_dim(2, false).to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    fn random(shape: &[i64]) -> Tensor {
        polyptych_tensor::manual_seed(3);
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn column(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).view([-1, 1, 1, 1])
    }

    /// From the formula, in double precision.
    fn brute(z: &Tensor, labels: &[f32]) -> f64 {
        let half = z.size()[1] / 2;
        let logit = |i: usize, j: usize| {
            let (u, v) =
                (z.get(i as i64).narrow(0, 0, half), z.get(j as i64).narrow(0, half, half));
            (u * v).sum(Kind::Double).double_value(&[])
        };
        let rows: Vec<usize> = (0..labels.len()).filter(|&i| !labels[i].is_nan()).collect();
        let way = |l: &dyn Fn(usize, usize) -> f64| -> f64 {
            let one = |&i: &usize| {
                let total: f64 = rows.iter().map(|&j| l(i, j).exp()).sum();
                let same: Vec<f64> = rows
                    .iter()
                    .filter(|&&j| labels[j] == labels[i])
                    .map(|&j| l(i, j) - total.ln())
                    .collect();
                same.iter().sum::<f64>() / same.len() as f64
            };
            rows.iter().map(one).sum::<f64>() / rows.len() as f64
        };
        -0.5 * (way(&|i, j| logit(i, j)) + way(&|i, j| logit(j, i)))
    }

    #[test]
    fn equal_texts_are_no_mistake_and_rows_without_text_do_not_count() {
        let z = random(&[5, 6]);
        for labels in [[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 1.0, f32::NAN, 2.0]] {
            let value = Contrastive {}.forward(&z, &column(&labels)).unwrap();
            let expected = brute(&z, &labels);
            assert!((value.loss.double_value(&[]) - expected).abs() < 1e-5, "{expected}");
            let known = labels.iter().filter(|l| !l.is_nan()).count();
            assert_eq!(value.labelled.int64_value(&[]), known as i64);
        }
    }

    /// CLIP's code: cross entropy of both directions, in LibTorch's own operation.
    #[test]
    fn where_all_texts_differ_it_is_clip_s() {
        let z = random(&[4, 6]).set_requires_grad(true);
        let loss = Contrastive {}.forward(&z, &column(&[4.0, 1.0, 2.0, 3.0])).unwrap().loss;
        let logits = z.narrow(1, 0, 3).matmul(&z.narrow(1, 3, 3).tr());
        let own = Tensor::arange(4, (Kind::Int64, Device::Cpu));
        let clip = (logits.cross_entropy_for_logits(&own)
            + logits.tr().cross_entropy_for_logits(&own))
            * 0.5;
        assert!((&loss - &clip).abs().double_value(&[]) < 1e-6);
        let grad = |loss: &Tensor| {
            loss.backward();
            let grad = z.grad().copy();
            z.shallow_clone().zero_grad();
            grad
        };
        assert!(grad(&loss).allclose(&grad(&clip), 1e-4, 1e-6, false));
    }

    #[test]
    fn parts_of_batches_and_odd_rows_are_refused() {
        let (z, y) = (random(&[2, 6]), column(&[1.0, 2.0]));
        let message = Contrastive {}.share(&z, &y, &[2.0], &[4.0]).unwrap_err().to_string();
        assert!(message.contains("a batch in one part"), "{message}");
        assert!(Contrastive {}.share(&z, &y, &[2.0], &[2.0]).is_ok());
        let message = Contrastive {}.forward(&random(&[2, 5]), &y).unwrap_err().to_string();
        assert_eq!(message, "prediction: expected shape [batch, 2 embeddings], found [2, 5]");
    }

    #[test]
    fn a_batch_without_texts_is_zero() {
        let z = random(&[2, 6]).set_requires_grad(true);
        let value = Contrastive {}.forward(&z, &column(&[f32::NAN; 2])).unwrap();
        assert_eq!((value.loss.double_value(&[]), value.labelled.int64_value(&[])), (0.0, 0));
    }
}
