//! Adapters of every image.

use polyptych_tensor::{Activations, Kind, Linear, Projection, Tensor};

use super::attention::Attention;
use crate::blocks::activation::NonLinearity;
use crate::blocks::sources::Adapter;

/// `y + o_t(y) + sum_j a_j o_j(y)` of every task `t`, with `y` the output of `base`.
#[derive(Debug)]
pub(super) struct AdapterMixture {
    pub(super) base: Linear,
    pub(super) sources: Vec<Adapter>,
    /// One for each task.
    pub(super) targets: Vec<Adapter>,
    pub(super) non_linearity: NonLinearity,
    pub(super) attention: Attention,
}

impl AdapterMixture {
    /// `o_t(y) + sum_j a_j o_j(y)`, `[tasks, batch, .., d]`, of `y`: the streams of all tasks, or one
    /// that they share, `[1, batch, .., d]`.
    fn added(&self, y: &Tensor) -> Tensor {
        let own = self.own(y);
        let sources = self.sources.iter().map(|source| source.forward(y, self.non_linearity));
        let all: Vec<Tensor> = sources.chain([own.shallow_clone()]).collect();
        let shares = self.shares(y, &all).to_kind(y.kind());
        let weighed = (0..).zip(&all).map(|(index, o)| {
            let mut shape = shares.size()[1..].to_vec();
            shape.resize(own.dim(), 1);
            shares.get(index).view(shape.as_slice()) * o
        });
        weighed.fold(own.shallow_clone(), |sum, one| sum + one)
    }

    /// `o_t(y)`, `[tasks, batch, .., d]`.
    fn own(&self, y: &Tensor) -> Tensor {
        let last = y.size()[0] - 1;
        let of = |(task, target): (i64, &Adapter)| {
            target.forward(&y.get(task.min(last)), self.non_linearity)
        };
        Tensor::stack(&(0..).zip(&self.targets).map(of).collect::<Vec<_>>(), 0)
    }

    /// `a`, `[sources + 1, tasks, batch]`; `all` are the outputs of the sources and of the targets.
    fn shares(&self, y: &Tensor, all: &[Tensor]) -> Tensor {
        let query = self.attention.query(&pooled(y));
        let tasks = [self.targets.len() as i64, y.size()[1]];
        let score = |o: &Tensor| {
            let score =
                (pooled(o) * &query).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
            score.expand(tasks, false)
        };
        let scores = Tensor::stack(&all.iter().map(score).collect::<Vec<_>>(), 0);
        (scores / self.attention.temperature).softmax(0, Kind::Float)
    }
}

/// The largest over the tokens of an image: `[streams, batch, .., d]` to `[streams, batch, d]`.
fn pooled(tokens: &Tensor) -> Tensor {
    tokens.flatten(2, -2).amax([2i64].as_slice(), false)
}

impl Projection for AdapterMixture {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let y = x.map(|t| self.base.forward(t));
        let streams = match y.per_task() {
            Some(streams) => streams.shallow_clone(),
            None => y.expect_shared().unsqueeze(0),
        };
        Activations::PerTask(&streams + self.added(&streams))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store, manual_seed, no_grad};

    use super::super::attention::AttentionOptions;

    const DIM: i64 = 6;
    const TASKS: usize = 2;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// Two sources and two targets, none of which is zero.
    fn mixture(temperature: f64) -> (Store, AdapterMixture) {
        manual_seed(0);
        let store = Store::new(Device::Cpu);
        let scope = store.root();
        let options = AttentionOptions { attention_dim: 4, temperature };
        let source = |index| Adapter::source(&scope.pp("source").pp(index), [DIM, 3]).unwrap();
        let target = |index| Adapter::target(&scope.pp("target").pp(index), [DIM, 3]).unwrap();
        let mixture = AdapterMixture {
            base: Linear::new(&scope, DIM, DIM, true).unwrap(),
            sources: (0..2).map(source).collect(),
            targets: (0..TASKS).map(target).collect(),
            non_linearity: NonLinearity::Gelu,
            attention: Attention::new(&scope.pp("G"), DIM, options).unwrap(),
        };
        no_grad(|| {
            store.tensors().iter().for_each(|(_, t)| drop(t.shallow_clone().normal_(0.0, 0.7)));
        });
        (store, mixture)
    }

    fn of(tensor: &Tensor) -> Vec<Vec<f64>> {
        let rows = tensor.to_kind(Kind::Double).view([-1, DIM]);
        (0..rows.size()[0]).map(|row| Vec::try_from(rows.get(row)).unwrap()).collect()
    }

    /// One image of one task, number by number.
    fn expected(mixture: &AdapterMixture, task: usize, tokens: &Tensor) -> (Vec<f64>, Vec<f64>) {
        let product = |matrix: &Tensor, x: &[f64]| -> Vec<f64> {
            let (rows, columns) = (matrix.size()[0], matrix.size()[1]);
            let entry = |row: i64, column: i64| matrix.double_value(&[row, column]);
            let row = |row| (0..columns).map(|c| entry(row, c) * x[c as usize]).sum::<f64>();
            (0..rows).map(row).collect()
        };
        let plus = |x: Vec<f64>, bias: &Tensor| -> Vec<f64> {
            (0..).zip(x).map(|(i, x)| x + bias.double_value(&[i])).collect()
        };
        let y: Vec<Vec<f64>> = of(tokens)
            .iter()
            .map(|x| plus(product(&mixture.base.weight, x), mixture.base.bias.as_ref().unwrap()))
            .collect();
        // The error function by LibTorch: nothing else of it is used.
        let gelu = |x: f64| {
            let erf = Tensor::from(x / 2f64.sqrt()).erf().double_value(&[]);
            x * 0.5 * (1.0 + erf)
        };
        let output = |a: &Adapter| -> Vec<Vec<f64>> {
            let one = |y: &Vec<f64>| {
                let hidden = plus(product(&a.down, y), &a.down_bias).into_iter().map(gelu);
                plus(product(&a.up, &hidden.collect::<Vec<_>>()), &a.up_bias)
            };
            y.iter().map(one).collect()
        };
        let largest = |rows: &[Vec<f64>]| -> Vec<f64> {
            let column = |c: usize| rows.iter().map(|row| row[c]).fold(f64::MIN, f64::max);
            (0..DIM as usize).map(column).collect()
        };
        let attention = &mixture.attention;
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let hidden: Vec<f64> =
            product(&attention.down, &largest(&y)).into_iter().map(silu).collect();
        let wide = product(&attention.up, &hidden);
        let mean = wide.iter().sum::<f64>() / DIM as f64;
        let variance = wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / DIM as f64;
        let normed = wide.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
        let scaled =
            (0..).zip(normed).map(|(i, x)| x * attention.norm_weight.double_value(&[i])).collect();
        let h = plus(scaled, &attention.norm_bias);
        let all: Vec<_> =
            mixture.sources.iter().chain([&mixture.targets[task]]).map(output).collect();
        let score = |o: &Vec<Vec<f64>>| {
            let products = largest(o).iter().zip(&h).map(|(o, h)| o * h).sum::<f64>();
            (products / attention.temperature).exp()
        };
        let scores: Vec<f64> = all.iter().map(score).collect();
        let total: f64 = scores.iter().sum();
        let shares: Vec<f64> = scores.iter().map(|score| score / total).collect();
        let mut out = Vec::new();
        for (token, y) in y.iter().enumerate() {
            for (c, y) in y.iter().enumerate() {
                let mixed: f64 = all.iter().zip(&shares).map(|(o, a)| a * o[token][c]).sum();
                out.push(y + all[2][token][c] + mixed);
            }
        }
        (out, shares)
    }

    /// Of a stream that tasks share, as a map, and of streams of their own.
    #[test]
    fn the_mixture_is_that_written_out() {
        let (_store, mixture) = mixture(2.0);
        for own in [false, true] {
            let x = random(&[TASKS as i64, 3, 2, 2, DIM]);
            let streams = match own {
                true => Activations::PerTask(x.shallow_clone()),
                false => Activations::Shared(x.get(0)),
            };
            let found = no_grad(|| mixture.forward(&streams, true));
            assert!(found.shared().is_none());
            let mut seen = Vec::new();
            for task in 0..TASKS as i64 {
                for image in 0..3 {
                    let tokens = x.get(if own { task } else { 0 }).get(image);
                    let (expected, shares) = expected(&mixture, task as usize, &tokens);
                    let found = of(&found.task(task).get(image)).concat();
                    let far = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                    assert!(far.fold(0.0, f64::max) < 1e-4, "{own}, {task}, {image}");
                    seen.push(shares);
                }
            }
            let differ = |one: &[f64], two: &[f64]| (one[0] - two[0]).abs() > 1e-3;
            assert!(differ(&seen[0], &seen[1]), "every image has shares of its own");
        }
    }

    /// A temperature without limit makes all shares equal.
    #[test]
    fn equal_scores_give_the_target_and_the_mean() {
        let (_store, mixture) = mixture(1e9);
        let y = random(&[1, 2, 5, DIM]);
        let of = |adapter: &Adapter| adapter.forward(&y.get(0), NonLinearity::Gelu);
        let found = mixture.added(&y);
        for (task, target) in (0..).zip(&mixture.targets) {
            let sum = mixture.sources.iter().map(of).fold(of(target), |sum, one| sum + one);
            let expected = of(target) + sum / 3.0;
            assert!(found.get(task).allclose(&expected, 1e-4, 1e-5, false), "{task}");
        }
    }

    #[test]
    fn sources_stay_and_a_task_trains_its_own_adapter() {
        let (store, mixture) = mixture(1.0);
        mixture.added(&random(&[1, 2, 5, DIM])).get(1).square().sum(Kind::Float).backward();
        for (name, tensor) in store.tensors() {
            let expected = name.starts_with("target.1.") || name.starts_with("G.");
            let grad = tensor.grad();
            let reached = grad.defined() && grad.abs().max().double_value(&[]) > 0.0;
            assert_eq!(reached, expected, "{name}");
            assert_eq!(tensor.requires_grad(), !name.starts_with("source."), "{name}");
        }
    }

    #[test]
    fn a_target_adds_nothing_at_first() {
        let store = Store::new(Device::Cpu);
        let target = Adapter::target(&store.root(), [DIM, 3]).unwrap();
        let added = target.forward(&random(&[2, DIM]), NonLinearity::Relu);
        assert_eq!(added.abs().max().double_value(&[]), 0.0);
    }
}
