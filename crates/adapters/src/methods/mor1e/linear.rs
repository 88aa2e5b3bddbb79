//! The adapted linear layer of MoR1E.

use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_tensor::{Activations, Kind, Linear, Projection, Tensor, cast};

use super::clusters::Clusters;
use crate::blocks::reweight::{beside_frozen, task_rows};

/// How steep the sigmoids of gates are.
const STEEPNESS: f64 = 100.0;

/// How many experts weigh as much as a guide of length 1.
const GUIDE: f64 = 8.0;

/// `W x + b + g B M(x)^T A x`.
#[derive(Debug)]
pub(super) struct Mor1eLinear {
    pub(super) base: Linear,
    /// `[r1, in]`.
    pub(super) a: Tensor,
    /// `[out, r2]`.
    pub(super) b: Tensor,
    pub(super) mixture: Mixture,
    /// `g_0`, `[1]`.
    pub(super) gate: Tensor,
}

/// `M`.
#[derive(Debug)]
pub(super) struct Mixture {
    /// `V`, `[n, in]`.
    pub(super) router: Tensor,
    pub(super) guide: Option<Guide>,
    /// `r1` and `r2`; nothing where `M` is diagonal.
    pub(super) pairs: Option<[i64; 2]>,
}

/// What is added to `M`.
#[derive(Debug)]
pub(super) struct Guide {
    pub(super) source: Source,
    /// `w_0`, `[1]`.
    pub(super) omega: Tensor,
}

/// What `c` is of.
#[derive(Debug)]
pub(super) enum Source {
    /// `[n]` for every task.
    Tasks(Vec<Tensor>),
    /// The image.
    Images(Rc<Clusters>),
}

impl Projection for Mor1eLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        match self.mixture.guide.as_ref().map(|guide| &guide.source) {
            Some(Source::Tasks(tasks)) => {
                let rows = task_rows(x, tasks.len() as i64);
                beside_frozen(&self.base, x, &self.term(&rows))
            }
            Some(Source::Images(images)) if images.is_plain() => x.map(|t| self.base.forward(t)),
            Some(Source::Images(_)) | None => x.map(|t| self.base.forward(t) + self.term(t)),
        }
    }
}

impl Mor1eLinear {
    /// `g B M(x)^T A x`, `[.., out]`, for `x`: `[.., in]`, or `[tasks, rows, in]` with a guide.
    fn term(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        let low = linear(x, &cast(&self.a, kind), None);
        let mixed = self.mixture.mix(&low, &self.mixture.weights(x));
        linear(&mixed, &cast(&self.b, kind), None) * cast(&steep(&self.gate), kind)
    }
}

impl Mixture {
    /// The numbers of `M`, `[.., n]`.
    fn weights(&self, x: &Tensor) -> Tensor {
        let n = self.router.size()[0] as f64;
        let routed = linear(x, &cast(&self.router, x.kind()), None).softmax(-1, None::<Kind>) * n;
        let Some(Guide { source, omega }) = &self.guide else { return routed };
        let omega = steep(omega);
        let routed = routed * cast(&omega, x.kind());
        let c = match source {
            Source::Tasks(tasks) => Some(Tensor::stack(tasks, 0).unsqueeze(1)),
            Source::Images(images) => images.beside(x),
        };
        let Some(c) = c else { return routed };
        routed + cast(&(c * (1.0 - &omega) * (n / GUIDE)), x.kind())
    }

    /// `M^T` of `low`, `[.., r1]`: `[.., r2]`.
    fn mix(&self, low: &Tensor, weights: &Tensor) -> Tensor {
        match self.pairs {
            None => low * weights,
            Some(pairs) => {
                let weighted = low.unsqueeze(-1) * weights.unflatten(-1, pairs);
                weighted.sum_dim_intlist([-2i64].as_slice(), false, None::<Kind>)
            }
        }
    }
}

fn steep(gate: &Tensor) -> Tensor {
    (gate * STEEPNESS).sigmoid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    fn draw(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn largest(difference: Tensor) -> f64 {
        difference.abs().max().double_value(&[])
    }

    fn layer(pairs: Option<[i64; 2]>, guide: Option<Guide>) -> Mor1eLinear {
        let [r1, r2] = pairs.unwrap_or([4, 4]);
        let n = if pairs.is_some() { r1 * r2 } else { r1 };
        Mor1eLinear {
            base: Linear { weight: draw(&[5, 6]), bias: Some(draw(&[5])) },
            a: draw(&[r1, 6]),
            b: draw(&[5, r2]),
            mixture: Mixture { router: draw(&[n, 6]), guide, pairs },
            gate: Tensor::from_slice(&[0.01f32]),
        }
    }

    #[test]
    fn an_identity_gives_lora_and_ones_give_rank_one() {
        let layer = layer(Some([4, 4]), None);
        let x = draw(&[9, 6]);
        let low = x.matmul(&layer.a.tr());
        let options = (Kind::Float, Device::Cpu);
        let of = |m: &Tensor| {
            let weights = m.flatten(0, 1).expand([9, 16], false);
            layer.mixture.mix(&low, &weights).matmul(&layer.b.tr())
        };
        assert!(largest(of(&Tensor::eye(4, options)) - low.matmul(&layer.b.tr())) < 1e-5);
        let (_, s, _) = of(&Tensor::ones([4, 4], options)).svd(true, true);
        assert!(s.double_value(&[1]) < 1e-4 * s.double_value(&[0]));
    }

    /// With a router that does not choose, every weight of the routed part is 1.
    #[test]
    fn pairs_are_mixed_as_defined() {
        for pairs in [None, Some([4, 3])] {
            let n = pairs.map_or(4, |[r1, r2]| r1 * r2);
            let guide = Guide {
                source: Source::Tasks(vec![draw(&[n]), draw(&[n])]),
                omega: Tensor::zeros([1], (Kind::Float, Device::Cpu)),
            };
            let mut layer = layer(pairs, Some(guide));
            layer.mixture.router = layer.mixture.router.zeros_like();
            let x = draw(&[2, 7, 6]);
            let found = layer.forward(&Activations::Shared(x.shallow_clone()), false);
            let g = 1.0 / (1.0 + (-1.0f64).exp());
            let Some(Guide { source: Source::Tasks(guide), .. }) = &layer.mixture.guide else {
                panic!("tasks guide")
            };
            for (task, own) in guide.iter().enumerate() {
                let weights: Tensor = own * (0.5 * n as f64 / 8.0) + 0.5;
                let m = match pairs {
                    Some(pairs) => weights.view(pairs),
                    None => Tensor::diag(&weights, 0),
                };
                let term = x.matmul(&layer.a.tr()).matmul(&m).matmul(&layer.b.tr()) * g;
                let expected = layer.base.forward(&x) + term;
                assert!(largest(found.task(task as i64) - expected) < 1e-3, "{pairs:?}");
            }
        }
    }

    /// Every token of an image has the image's guide, in one stream for all tasks.
    #[test]
    fn images_guide_their_tokens() {
        let scope = polyptych_tensor::Store::new(Device::Cpu).root().pp("blocks.0.mlp.fc2");
        let site = polyptych_tensor::Site {
            path: "blocks.0.mlp.fc2".into(),
            kind: polyptych_tensor::SiteKind::Fc2,
            in_features: 6,
            out_features: 5,
            bias: true,
            stage: 0,
            last_in_stage: true,
            last_stage: true,
        };
        let clusters = Rc::new(Clusters::new(4));
        clusters.at(&scope, &site).unwrap();
        let features = draw(&[9, 5]);
        polyptych_tensor::PlainPass::prepare(clusters.as_ref(), &features).unwrap();
        let omega = Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let guide = Guide { source: Source::Images(clusters.clone()), omega };
        let mut layer = layer(None, Some(guide));
        layer.mixture.router = layer.mixture.router.zeros_like();
        polyptych_tensor::PlainPass::guide(clusters.as_ref(), &features.narrow(0, 0, 2));
        let x = draw(&[2, 7, 6]);
        let found = layer.forward(&Activations::Shared(x.shallow_clone()), false);
        let g = 1.0 / (1.0 + (-1.0f64).exp());
        for image in 0..2 {
            let c = clusters.beside(&x).unwrap().get(image).get(0);
            let weights = Tensor::diag(&(c * (0.5 * 4.0 / 8.0) + 0.5), 0);
            let own = x.get(image);
            let term = own.matmul(&layer.a.tr()).matmul(&weights).matmul(&layer.b.tr()) * g;
            let difference = found.expect_shared().get(image) - layer.base.forward(&own) - term;
            assert!(largest(difference) < 1e-4);
        }
    }

    #[test]
    fn without_a_guide_all_tasks_share_a_stream() {
        let layer = layer(Some([4, 3]), None);
        let found = layer.forward(&Activations::Shared(draw(&[2, 7, 6])), false);
        assert!(found.per_task().is_none());
    }
}
