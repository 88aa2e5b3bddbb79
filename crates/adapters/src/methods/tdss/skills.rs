//! The skills of a block and their gates.

use polyptych_kernels::{gelu, linear};
use polyptych_tensor::{Activations, Kind, Parallel, ParallelOutput, Tap, Tensor, cast};

/// Skills beside one MLP.
#[derive(Debug)]
pub(super) struct Skills {
    /// All `D_k`, `[K n, C]`.
    pub(super) down: Tensor,
    /// All `U_k`, `[C, K n]`.
    pub(super) up: Tensor,
    /// `V`, `[K, C + token_dim]`.
    pub(super) gate: Tensor,
    /// `e_t`, `[token_dim]` each.
    pub(super) tokens: Vec<Tensor>,
    /// `tau`.
    pub(super) temperature: f64,
    /// Whether tasks leave the trunk here.
    pub(super) parts: bool,
}

impl Parallel for Skills {
    fn forward(
        &self,
        _residual: &Activations,
        normed: &Activations,
        _train: bool,
    ) -> ParallelOutput {
        let x = normed.expect_shared();
        let gates = self.gates(x);
        let hidden = gelu(&linear(x, &cast(&self.down, x.kind()), None));
        let shared = gates.mean_dim([0i64].as_slice(), false, None::<Kind>);
        let added = self.mixed(&hidden, &shared);
        let aside = self.parts.then(|| {
            // The trunk has the mean already.
            self.mixed(&hidden.unsqueeze(0), &gates) - &added
        });
        ParallelOutput { added: Activations::Shared(added), aside }
    }

    fn tap(&self) -> Option<Tap> {
        self.parts.then_some(Tap::Sum)
    }
}

impl Skills {
    /// `pi` of every task and image, `[tasks, batch, K]`, for `x`: `[batch, .., C]`.
    fn gates(&self, x: &Tensor) -> Tensor {
        let gate = cast(&self.gate, x.kind());
        let width = x.size()[x.dim() - 1];
        let image = x.flatten(1, -2).mean_dim([1i64].as_slice(), false, None::<Kind>);
        let tokens = cast(&Tensor::stack(&self.tokens, 0), x.kind());
        let of_image = linear(&image, &gate.narrow(1, 0, width), None);
        let rest = gate.size()[1] - width;
        let of_task = linear(&tokens, &gate.narrow(1, width, rest), None);
        let logits = of_task.unsqueeze(1) + of_image.unsqueeze(0);
        (logits / self.temperature).softmax(-1, None::<Kind>)
    }

    /// `sum_k gates_k U_k hidden_k`, `[.., batch, .., C]`, for `hidden`: `[.., batch, .., K n]` and
    /// `gates`: `[.., batch, K]`.
    fn mixed(&self, hidden: &Tensor, gates: &Tensor) -> Tensor {
        let skills = gates.size()[gates.dim() - 1];
        let parts = hidden.unflatten(-1, [skills, -1]);
        let mut gates = gates.unsqueeze(-1);
        while gates.dim() < parts.dim() {
            // In front of the skills, behind the batch.
            gates = gates.unsqueeze(-3);
        }
        linear(&(parts * gates).flatten(-2, -1), &cast(&self.up, hidden.kind()), None)
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::Device;

    use super::*;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn skills(count: i64, tokens: Vec<Tensor>) -> Skills {
        Skills {
            down: random(&[count * 2, 3]),
            up: random(&[3, count * 2]),
            gate: random(&[count, 3 + 4]),
            tokens,
            temperature: 0.5,
            parts: true,
        }
    }

    fn close(found: &Tensor, expected: &Tensor) {
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5, "{found:?} {expected:?}");
    }

    fn output(skills: &Skills, x: &Tensor) -> (Tensor, Tensor) {
        let x = Activations::Shared(x.shallow_clone());
        let ParallelOutput { added, aside } = skills.forward(&x, &x, false);
        (added.into_shared(), aside.unwrap())
    }

    #[test]
    fn one_skill_is_a_parallel_adapter() {
        let (one, x) = (skills(1, vec![random(&[4]), random(&[4])]), random(&[2, 5, 3]));
        let (added, aside) = output(&one, &x);
        close(&added, &gelu(&x.matmul(&one.down.tr())).matmul(&one.up.tr()));
        close(&aside, &aside.zeros_like());
    }

    #[test]
    fn tasks_of_one_token_have_one_output() {
        let token = random(&[4]);
        let tokens = vec![token.shallow_clone(), token, random(&[4])];
        let (_, aside) = output(&skills(3, tokens), &random(&[2, 4, 4, 3]));
        close(&aside.get(0), &aside.get(1));
        assert!((aside.get(0) - aside.get(2)).abs().max().double_value(&[]) > 1e-3);
        // Terms of tasks stand beside their mean.
        close(
            &aside.sum_dim_intlist([0i64].as_slice(), false, None::<Kind>),
            &aside.get(0).zeros_like(),
        );
    }

    #[test]
    fn skills_are_gated_one_by_one() {
        let (skills, x) = (skills(2, vec![random(&[4])]), random(&[1, 1, 3]));
        let gates = skills.gates(&x).flatten(0, -1);
        let one = |k: i64| {
            let (down, up) = (skills.down.narrow(0, 2 * k, 2), skills.up.narrow(1, 2 * k, 2));
            gelu(&x.matmul(&down.tr())).matmul(&up.tr()) * gates.get(k)
        };
        close(&output(&skills, &x).0, &(one(0) + one(1)));
        close(&gates.sum(Kind::Float), &Tensor::from(1.0f32));
    }
}
