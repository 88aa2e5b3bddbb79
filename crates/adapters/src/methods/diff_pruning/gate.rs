//! Gates between 0 and 1 that are often exactly either: stretched and clamped concrete variables
//! (Louizos et al., ICLR 2018, arXiv 1712.01312).

use polyptych_tensor::{Kind, Tensor};

/// How near to 0 and 1 noise may lie.
const MARGIN: f64 = 1e-4;

/// What the gates of a method have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gates {
    /// First value of `alpha`.
    pub(super) alpha_init: f64,
    /// Factor of the parameter in `alpha`.
    pub(super) alpha_lr_scale: f64,
    /// `u_lo`.
    pub(super) lower: f64,
    /// `u_hi`.
    pub(super) upper: f64,
}

impl Gates {
    /// `alpha` of the parameter `a`.
    pub(super) fn alpha(&self, a: &Tensor) -> Tensor {
        a * self.alpha_lr_scale + self.alpha_init
    }

    /// `z` of every number of `alpha`: drawn in training, without noise outside of it.
    pub(super) fn z(&self, alpha: &Tensor, train: bool) -> Tensor {
        match train {
            true => self.stretched(&(alpha + noise(alpha))),
            false => self.stretched(alpha),
        }
    }

    /// `clamp((u_hi - u_lo) sigmoid(logit) + u_lo, 0, 1)`.
    fn stretched(&self, logit: &Tensor) -> Tensor {
        (logit.sigmoid() * (self.upper - self.lower) + self.lower).clamp(0.0, 1.0)
    }

    /// How many gates are expected not to be 0: `sum sigmoid(alpha - log(-u_lo / u_hi))`, a scalar.
    pub(super) fn expected_open(&self, alpha: &Tensor) -> Tensor {
        (alpha - (-self.lower / self.upper).ln()).sigmoid().sum(Kind::Float)
    }
}

/// `log u - log(1 - u)`.
fn noise(like: &Tensor) -> Tensor {
    let u = like.detach().rand_like() * (1.0 - 2.0 * MARGIN) + MARGIN;
    u.logit(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    const GATES: Gates = Gates { alpha_init: 5.0, alpha_lr_scale: 1.0, lower: -1.5, upper: 1.5 };

    fn logit(u: f64) -> f64 {
        (u / (1.0 - u)).ln()
    }

    #[test]
    fn gates_are_those_of_the_equation() {
        for (alpha, u, expected) in [(5.0, 0.5, 1.0), (0.0, 0.1, 0.0), (0.0, 0.9, 1.0)] {
            let z = GATES.stretched(&Tensor::from(alpha + logit(u)));
            assert_eq!(z.double_value(&[]), expected, "{alpha}, {u}");
        }
        let zero = Tensor::zeros([1], (Kind::Double, Device::Cpu));
        let open = GATES.expected_open(&GATES.alpha(&zero)).double_value(&[]);
        assert!((open - 0.993307).abs() < 1e-6, "{open}");
    }

    /// `dz / dalpha = (u_hi - u_lo) s (1 - s)` where the gate is not clamped, else 0.
    #[test]
    fn the_gradient_of_a_gate_is_that_of_its_open_part() {
        let logits = Tensor::from_slice(&[logit(0.6), logit(0.1), logit(0.9)]);
        let logits = logits.set_requires_grad(true);
        GATES.stretched(&logits).sum(Kind::Double).backward();
        let grads = Vec::<f64>::try_from(logits.grad()).unwrap_or_default();
        assert!((grads[0] - 3.0 * 0.6 * 0.4).abs() < 1e-12 && grads[1..] == [0.0, 0.0]);
    }

    #[test]
    fn drawn_gates_are_open_as_often_as_expected() {
        polyptych_tensor::manual_seed(0);
        let alpha = Tensor::full([40_000], 0.5, (Kind::Float, Device::Cpu));
        let open = GATES.z(&alpha, true).gt(0.0).to_kind(Kind::Double).mean(Kind::Double);
        let expected = GATES.expected_open(&alpha).double_value(&[]) / 40_000.0;
        assert!((open.double_value(&[]) - expected).abs() < 0.01);
        assert_eq!(GATES.z(&alpha, false), GATES.z(&alpha, false));
    }
}
