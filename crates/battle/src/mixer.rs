//! From the values of single units to that of the team.
//!
//! ```text
//! VDN:   Q = sum_i Q_i                                         (Sunehag et al., 2018, arXiv 1706.05296)
//! QMIX:  Q = |w(s)|^T elu( sum_i |W(s, x_i)| Q_i + b(s) ) + v(s)   (Rashid et al., 2018, arXiv 1803.11485)
//! ```
//!
//! Sums are over the living. As published the weights of QMIX come from a state of fixed length, for
//! one number of units; here `s` is the mean over units of a map of what they see, and `W` reads the
//! unit's own as well, so that the mixer too serves teams of any size.

use polyptych_tensor::{Init, Kind, Linear, Scope, Tensor};

use crate::entities::FEATURES;
use crate::error::Result;

/// Numbers of a state.
const STATE: i64 = 32;
/// Hidden numbers of QMIX.
const HIDDEN: i64 = 16;

/// Which mixer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixerKind {
    /// The sum.
    Vdn,
    /// A monotonic network.
    Qmix,
}

/// A mixer.
#[derive(Debug)]
pub enum Mixer {
    /// The sum.
    Vdn,
    /// A monotonic network.
    Qmix(Box<Qmix>),
}

/// The networks that make QMIX's weights.
#[derive(Debug)]
pub struct Qmix {
    state: Linear,
    rows: Linear,
    shift: Linear,
    output: Linear,
    value: Linear,
}

impl Mixer {
    /// Makes a mixer below `scope`.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(scope: &Scope, kind: MixerKind) -> Result<Self> {
        if kind == MixerKind::Vdn {
            return Ok(Mixer::Vdn);
        }
        let linear = |name: &str, from: i64, to: i64| -> Result<Linear> {
            let (scope, init) = (scope.pp(name), Init::fan_in(from));
            let weight = scope.param("weight", &[to, from], init)?;
            Ok(Linear { weight, bias: Some(scope.param("bias", &[to], init)?) })
        };
        Ok(Mixer::Qmix(Box::new(Qmix {
            state: linear("state", 2 * FEATURES as i64, STATE)?,
            rows: linear("rows", 2 * STATE, HIDDEN)?,
            shift: linear("shift", STATE, HIDDEN)?,
            output: linear("output", STATE, HIDDEN)?,
            value: linear("value", STATE, 1)?,
        })))
    }

    /// The team's value, `[battles]`, of `values`: `[battles, units]`, those of the units' actions;
    /// `tokens`: `[battles, units, entities, FEATURES]`, `enemies` of which are the other team.
    pub fn forward(&self, values: &Tensor, tokens: &Tensor, enemies: i64) -> Tensor {
        let alive = tokens.select(2, 0).select(-1, FEATURES as i64 - 1);
        let values = values * &alive;
        match self {
            Mixer::Vdn => sum(&values, 1),
            Mixer::Qmix(own) => own.forward(&values, &alive, tokens, enemies),
        }
    }
}

impl Qmix {
    fn forward(&self, values: &Tensor, alive: &Tensor, tokens: &Tensor, enemies: i64) -> Tensor {
        // `[battles, units, STATE]`, and its mean over the living.
        let units = self.state.forward(&seen(tokens, enemies)).relu() * alive.unsqueeze(-1);
        let count = sum(alive, 1).clamp_min(1.0).unsqueeze(-1);
        let state = sum(&units, 1) / count;
        let beside = Tensor::cat(&[&units, &state.unsqueeze(1).expand_as(&units)], -1);
        let rows = self.rows.forward(&beside).abs();
        let hidden = (sum(&(rows * values.unsqueeze(-1)), 1) + self.shift.forward(&state)).elu();
        let output = self.output.forward(&state).abs();
        sum(&(hidden * output), 1) + self.value.forward(&state).squeeze_dim(-1)
    }
}

/// Means of both teams' tokens, side by side: `[battles, units, 2 FEATURES]`.
fn seen(tokens: &Tensor, enemies: i64) -> Tensor {
    let allies = tokens.size()[2] - enemies;
    let mean = |start: i64, length: i64| {
        tokens.narrow(2, start, length).mean_dim([2i64].as_slice(), false, None::<Kind>)
    };
    Tensor::cat(&[mean(0, allies), mean(allies, enemies)], -1)
}

fn sum(t: &Tensor, dim: i64) -> Tensor {
    t.sum_dim_intlist([dim].as_slice(), false, None::<Kind>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::alone;
    use polyptych_tensor::{Device, Store};

    fn tokens(battles: i64, units: i64, entities: i64) -> Tensor {
        let shape = [battles, units, entities, FEATURES as i64];
        let tokens = Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let _ = tokens.select(-1, FEATURES as i64 - 1).fill_(1.0);
        tokens
    }

    #[test]
    fn vdn_is_the_sum_over_the_living() {
        let _drawing = alone();
        let tokens = tokens(2, 3, 4);
        let _ = tokens.get(1).get(2).get(0).fill_(0.0);
        let values = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]);
        let found = Mixer::Vdn.forward(&values, &tokens, 1);
        assert_eq!(Vec::<f32>::try_from(found).unwrap(), [6.0, 9.0]);
    }

    /// Five maps with biases: of what units see, to the rows, the shift, the output and the value.
    #[test]
    fn parameters_of_qmix_are_counted() {
        let _drawing = alone();
        let store = Store::new(Device::Cpu);
        let _ = Mixer::new(&store.root(), MixerKind::Qmix).unwrap();
        let count: usize = store.tensors().iter().map(|(_, t)| t.numel()).sum();
        let (seen, state, hidden) = (2 * FEATURES, 32, 16);
        let rows = hidden * 2 * state + hidden;
        let of_state = 2 * (hidden * state + hidden) + (state + 1);
        assert_eq!(count, (state * seen + state) + rows + of_state);
        assert_eq!(count, 2_609);
        let plain = Store::new(Device::Cpu);
        let _ = Mixer::new(&plain.root(), MixerKind::Vdn).unwrap();
        assert!(plain.tensors().is_empty());
    }

    /// What raises a unit's value never lowers the team's, and the dead have no part in it.
    #[test]
    fn qmix_is_monotonic_for_teams_of_any_size() {
        let _drawing = alone();
        let store = Store::new(Device::Cpu);
        let mixer = Mixer::new(&store.root(), MixerKind::Qmix).unwrap();
        for units in [1, 3, 5] {
            let tokens = tokens(4, units, 2 * units);
            let _ = tokens.get(0).get(0).get(0).fill_(0.0);
            let values = Tensor::randn([4, units], (Kind::Float, Device::Cpu));
            let values = values.set_requires_grad(true);
            let team = mixer.forward(&values, &tokens, units);
            assert_eq!(team.size(), [4]);
            team.sum(Kind::Float).backward();
            let grad = values.grad();
            assert!(grad.min().double_value(&[]) >= 0.0);
            assert!(grad.max().double_value(&[]) > 0.0 || units == 0);
            assert_eq!(grad.double_value(&[0, 0]), 0.0);
        }
    }
}
