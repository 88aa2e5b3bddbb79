//! Gates of 0 and 1 for every channel, and what they mix.

use std::cell::Cell;
use std::rc::Rc;

use polyptych_tensor::{Kind, Tensor, cast};

/// What mixes the streams behind one layer; `[out]` for every task, and no shares where nobody reads
/// the shared stream.
#[derive(Debug)]
pub(super) enum Gates {
    Trained {
        /// The parameters, whose signs are those of `alpha`.
        alpha: Vec<Tensor>,
        /// What `alpha` is times of them.
        alpha_lr_scale: f64,
        beta: Option<Vec<Tensor>>,
        /// Whether gates are constants.
        hardened: Rc<Cell<bool>>,
    },
    /// `G` and `softmax(beta)` themselves.
    Merged { open: Vec<Tensor>, shares: Option<Vec<Tensor>> },
}

impl Gates {
    /// From `psi`, `[.., out]`, and `phi`, `[tasks, .., out]`, to the streams that go on, of the same
    /// shapes.
    pub(super) fn mix(&self, psi: Tensor, phi: &Tensor) -> (Tensor, Tensor) {
        let open = over_rows(&self.open(), phi);
        // Exact where a gate is 0 or 1, which all are.
        let tasks = phi * &open + (open * -1.0 + 1.0) * psi.unsqueeze(0);
        let shared = self.shared_of(&tasks).unwrap_or(psi);
        (shared, tasks)
    }

    /// The shared stream of those of the tasks, `[tasks, .., out]`; nothing where nobody reads it.
    pub(super) fn shared_of(&self, tasks: &Tensor) -> Option<Tensor> {
        let shares = over_rows(&self.shares()?, tasks);
        let mean = (tasks * shares).mean_dim([0i64].as_slice(), false, None::<Kind>);
        Some(mean * tasks.size()[0])
    }

    /// `G`, `[tasks, out]`.
    pub(super) fn open(&self) -> Tensor {
        match self {
            Gates::Merged { open, .. } => Tensor::stack(open, 0),
            Gates::Trained { alpha, hardened, .. } if hardened.get() => {
                hard(&Tensor::stack(alpha, 0))
            }
            Gates::Trained { alpha, alpha_lr_scale, .. } => {
                straight_through(&(Tensor::stack(alpha, 0) * *alpha_lr_scale))
            }
        }
    }

    /// `softmax(beta)`, `[tasks, out]`.
    fn shares(&self) -> Option<Tensor> {
        match self {
            Gates::Merged { shares, .. } => shares.as_ref().map(|all| Tensor::stack(all, 0)),
            Gates::Trained { beta, .. } => beta.as_ref().map(|all| softmax(all)),
        }
    }
}

/// Over tasks, `[tasks, out]`.
pub(super) fn softmax(beta: &[Tensor]) -> Tensor {
    Tensor::stack(beta, 0).softmax(0, None::<Kind>)
}

/// `1[sigmoid(alpha) >= 0.5]`.
pub(super) fn hard(alpha: &Tensor) -> Tensor {
    alpha.detach().ge(0.0).to_kind(alpha.kind())
}

/// [`hard`], with the gradient of the sigmoid.
fn straight_through(alpha: &Tensor) -> Tensor {
    let soft = alpha.sigmoid();
    hard(alpha) + (&soft - soft.detach())
}

/// `max(0, mean sigmoid(alpha) - tau)` over all channels of a task's layers; `alpha` is `scale` times
/// the parameters.
pub(super) fn excess(parameters: &[&Tensor], scale: f64, tau: f64) -> Tensor {
    ((Tensor::cat(parameters, 0) * scale).sigmoid().mean(None::<Kind>) - tau).relu()
}

/// `[tasks, out]` as `[tasks, 1, .., out]`, beside `streams`.
fn over_rows(gates: &Tensor, streams: &Tensor) -> Tensor {
    let [tasks, out] = gates.size()[..] else { unreachable!("gates are [tasks, out]") };
    let mut shape = vec![1; streams.dim()];
    (shape[0], shape[streams.dim() - 1]) = (tasks, out);
    cast(gates, streams.kind()).view(shape.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    #[test]
    fn gates_and_hinge_are_those_of_the_equation() {
        let alpha = Tensor::from_slice(&[0.3f64, -0.2]).set_requires_grad(true);
        let soft = Vec::<f64>::try_from(alpha.sigmoid().detach()).unwrap_or_default();
        assert!((soft[0] - 0.574443).abs() < 1e-6 && (soft[1] - 0.450166).abs() < 1e-6);
        let open = straight_through(&alpha);
        assert_eq!(open.detach(), Tensor::from_slice(&[1.0f64, 0.0]));
        open.sum(Kind::Double).backward();
        let grads = Vec::<f64>::try_from(alpha.grad()).unwrap_or_default();
        for (grad, soft) in grads.iter().zip(soft) {
            assert!((grad - soft * (1.0 - soft)).abs() < 1e-12);
        }
        let found = excess(&[&alpha], 1.0, 0.4).double_value(&[]);
        assert!((found - 0.112304).abs() < 1e-6, "{found}");
        assert_eq!(excess(&[&alpha], 1.0, 0.6).double_value(&[]), 0.0);
    }

    /// The same `alpha` as a tenth of it: the same gates and budget, ten times the gradient.
    #[test]
    fn alpha_moves_as_much_faster_as_its_scale_says() {
        let alpha = [0.3f64, -0.2];
        let gradient = |scale: f64| {
            let own = Tensor::from_slice(&alpha.map(|a| a / scale)).set_requires_grad(true);
            let gates = Gates::Trained {
                alpha: vec![own.shallow_clone()],
                alpha_lr_scale: scale,
                beta: None,
                hardened: Rc::default(),
            };
            assert_eq!(gates.open().detach(), Tensor::from_slice(&[1.0f64, 0.0]).view([1, 2]));
            let found = excess(&[&own], scale, 0.4);
            assert!((found.double_value(&[]) - 0.112304).abs() < 1e-6, "{found:?}");
            (found + gates.open().sum(Kind::Double)).backward();
            Vec::<f64>::try_from(own.grad()).unwrap_or_default()
        };
        for (faster, plain) in gradient(10.0).iter().zip(gradient(1.0)) {
            assert!((faster - 10.0 * plain).abs() < 1e-12, "{faster} {plain}");
        }
    }

    #[test]
    fn a_gate_takes_one_stream_or_the_other() {
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let gates = Gates::Trained {
            alpha: vec![Tensor::from_slice(&[1.0f32, -1.0]), Tensor::from_slice(&[-2.0f32, -1.0])],
            alpha_lr_scale: 1.0,
            beta: Some(vec![Tensor::from_slice(&[0.0f32, 30.0]), Tensor::zeros_like(&draw(&[2]))]),
            hardened: Rc::default(),
        };
        let (psi, phi) = (draw(&[5, 3, 2]), draw(&[2, 5, 3, 2]));
        let (shared, tasks) = gates.mix(psi.shallow_clone(), &phi);
        let channel = |t: &Tensor, c: i64| t.select(-1, c);
        assert_eq!(channel(&tasks.get(0), 0), channel(&phi.get(0), 0));
        assert_eq!(channel(&tasks.get(0), 1), channel(&psi, 1));
        assert_eq!(tasks.get(1), psi);
        let mean = (channel(&phi.get(0), 0) + channel(&psi, 0)) / 2.0;
        assert!((channel(&shared, 0) - mean).abs().max().double_value(&[]) < 1e-6);
        assert!((channel(&shared, 1) - channel(&psi, 1)).abs().max().double_value(&[]) < 1e-6);
    }
}
