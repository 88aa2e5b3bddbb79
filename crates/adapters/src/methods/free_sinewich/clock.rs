//! The clock net: from a task's token to the task's frequency.

use polyptych_tensor::{Init, Result, Scope, Tensor};

/// `omega_t = f s (tanh(W_q relu(p_t)) + c)`; all but the tokens is shared by the tasks.
#[derive(Debug)]
pub(super) struct Clock {
    /// `p_t`, `[token_dim]` each.
    pub(super) tokens: Vec<Tensor>,
    /// `W_q`, `[token_dim]`.
    pub(super) weight: Tensor,
    /// `s`, `[1]`, relative to `frequency`.
    pub(super) scale: Tensor,
    /// `c`, `[1]`.
    pub(super) shift: Tensor,
    /// `f`.
    pub(super) frequency: f64,
}

impl Clock {
    /// Finds or creates the clock below `backbone`, which has one.
    ///
    /// With `c = 2` every frequency lies between `f` and `3 f` at the start, so that none is near
    /// zero, where the weights of its task would be.
    pub(super) fn new(
        backbone: &Scope,
        tasks: &[String],
        token_dim: i64,
        frequency: f64,
    ) -> Result<Self> {
        let (tokens, clock) = (backbone.pp("sine_token"), backbone.pp("sine_clock"));
        let token = |task: &String| tokens.shared_param(task, &[token_dim], Init::Normal(1.0));
        Ok(Self {
            tokens: tasks.iter().map(token).collect::<Result<_>>()?,
            weight: clock.shared_param("weight", &[token_dim], Init::fan_in(token_dim))?,
            scale: clock.shared_param("scale", &[1], Init::ONES)?,
            shift: clock.shared_param("shift", &[1], Init::Const(2.0))?,
            frequency,
        })
    }

    /// `omega`, `[tasks]`.
    pub(super) fn frequencies(&self) -> Tensor {
        let read = Tensor::stack(&self.tokens, 0).relu().matmul(&self.weight).tanh();
        (read + &self.shift) * &self.scale * self.frequency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_its_frequency() {
        let tensor = |values: &[f32]| Tensor::from_slice(values);
        let clock = Clock {
            tokens: vec![tensor(&[-1.0, 1.0, 1.0]), tensor(&[-7.0, 1.0, 1.0])],
            weight: tensor(&[0.2, 0.7, -0.4]),
            scale: tensor(&[2.0]),
            shift: tensor(&[1.5]),
            frequency: 1.0,
        };
        let found = clock.frequencies();
        assert!((found.double_value(&[0]) - 3.582625).abs() < 1e-5);
        // The second token differs where the rectifier lets nothing pass.
        assert_eq!(found.double_value(&[0]), found.double_value(&[1]));
    }
}
