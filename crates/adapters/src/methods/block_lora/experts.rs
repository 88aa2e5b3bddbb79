//! The experts beside one block, and the router that mixes them.

use std::cell::RefCell;

use polyptych_kernels::linear;
use polyptych_tensor::{Kind, Tensor, cast};

/// Weight and bias.
type Layer = (Tensor, Tensor);

/// `sum_i Pi_i (.) s B_i A u`.
#[derive(Debug)]
pub(super) struct BlockExperts {
    /// `[r, d]`.
    pub(super) a: Tensor,
    /// `[experts, d, r]`.
    pub(super) b: Tensor,
    pub(super) router: Router,
    /// `g`.
    pub(super) groups: i64,
    pub(super) scaling: f64,
    /// What the router read in the last pass in training, without its history.
    pub(super) read: RefCell<Option<Tensor>>,
}

/// What chooses among experts.
#[derive(Debug)]
pub(super) enum Router {
    /// Two layers on the mean of an image's tokens.
    Pooled(Layer, Layer),
    /// One layer on each token.
    Token(Layer),
}

impl Router {
    /// What the router reads of `u`, `[batch, .., d]`: the same, or `[batch, 1, .., d]`.
    fn input(&self, u: &Tensor) -> Tensor {
        match self {
            Router::Token(_) => u.shallow_clone(),
            Router::Pooled(..) => {
                let tokens: Vec<i64> = (1..u.dim() as i64 - 1).collect();
                u.mean_dim(tokens.as_slice(), true, u.kind())
            }
        }
    }

    /// Logits, `[.., g experts]`, of what was read.
    fn logits(&self, read: &Tensor) -> Tensor {
        match self {
            Router::Token(layer) => apply(layer, read),
            Router::Pooled(first, second) => apply(second, &apply(first, read).relu()),
        }
    }
}

fn apply((weight, bias): &Layer, x: &Tensor) -> Tensor {
    linear(x, &cast(weight, x.kind()), Some(&cast(bias, x.kind())))
}

impl BlockExperts {
    /// `[batch, .., d]` to the same.
    pub(super) fn forward(&self, u: &Tensor, train: bool) -> Tensor {
        let read = self.router.input(u);
        if train {
            *self.read.borrow_mut() = Some(read.detach());
        }
        // `[.., g, experts, 1]` beside `[.., 1, 1, r]`.
        let shares = self.shares(&read).unsqueeze(-1);
        let low = linear(u, &cast(&self.a, u.kind()), None).unsqueeze(-2).unsqueeze(-2);
        let mixed = (shares * low).flatten(-2, -1) * self.scaling;
        let up = cast(&self.side_by_side(), u.kind());
        let group = |index| linear(&mixed.select(-2, index), &up.get(index), None);
        Tensor::cat(&(0..self.groups).map(group).collect::<Vec<_>>(), -1)
    }

    /// `Pi`, `[.., g, experts]`.
    fn shares(&self, read: &Tensor) -> Tensor {
        let experts = self.b.size()[0];
        let logits = self.router.logits(read).unflatten(-1, [self.groups, experts]);
        logits.softmax(-1, None::<Kind>)
    }

    /// The rows of every group's channels of all `B_i`, `[g, d / g, experts r]`.
    fn side_by_side(&self) -> Tensor {
        let grouped = self.b.unflatten(1, [self.groups, -1]);
        grouped.permute([1, 2, 0, 3]).flatten(2, 3)
    }

    /// `var / mean^2` of how much each expert was used in the last pass in training; nothing where
    /// there was none. Its gradient is that of the router alone.
    pub(super) fn unevenness(&self) -> Option<Tensor> {
        let read = self.read.borrow();
        let shares = self.shares(read.as_ref()?).to_kind(Kind::Float);
        let load = shares.flatten(0, -2).mean_dim([0i64].as_slice(), false, None::<Kind>);
        let mean = load.mean(None::<Kind>);
        Some((&load - &mean).square().mean(None::<Kind>) / mean.square())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    /// The sum of the definition, channel by channel.
    #[test]
    fn channels_of_a_group_share_their_route() {
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (experts, r, d, groups) = (3, 2, 6, 2);
        let router = Router::Token((draw(&[groups * experts, d]), draw(&[groups * experts])));
        let layer = BlockExperts {
            a: draw(&[r, d]),
            b: draw(&[experts, d, r]),
            router,
            groups,
            scaling: 1.5,
            read: RefCell::default(),
        };
        let u = draw(&[4, 5, d]);
        let shares = layer.shares(&u);
        let low = u.matmul(&layer.a.tr());
        let mut expected = u.zeros_like();
        for expert in 0..experts {
            let share = shares.select(-1, expert).repeat_interleave_self_int(d / groups, -1, None);
            expected += low.matmul(&layer.b.get(expert).tr()) * share * 1.5;
        }
        let found = layer.forward(&u, false);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-4);
        assert!(layer.unevenness().is_none());
    }

    /// Loads 0.75 and 0.25 have variance 0.0625 around 0.5.
    #[test]
    fn unevenness_is_the_squared_coefficient_of_variation() {
        let logits = Tensor::from_slice(&[3.0f32.ln(), 0.0]);
        let zeros = Tensor::zeros([2, 4], (Kind::Float, Device::Cpu));
        let layer = BlockExperts {
            a: Tensor::ones([1, 4], (Kind::Float, Device::Cpu)),
            b: Tensor::ones([2, 4, 1], (Kind::Float, Device::Cpu)),
            router: Router::Token((zeros, logits)),
            groups: 1,
            scaling: 1.0,
            read: RefCell::default(),
        };
        let _ = layer.forward(&Tensor::ones([1, 3, 4], (Kind::Float, Device::Cpu)), true);
        let found = layer.unevenness().map(|term| term.double_value(&[]));
        assert!(found.is_some_and(|found| (found - 0.25).abs() < 1e-6), "{found:?}");
    }
}
