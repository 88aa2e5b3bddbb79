//! One trainable number per task and the Adam that moves it.

use crate::balancers::state::State;

/// Numbers, their moments and step counts.
///
/// Adam (Kingma and Ba 2015) with coupled weight decay, betas 0.9 and 0.999, epsilon 1e-8, in
/// float64. Every task counts its own steps, so a task without labels neither moves nor decays.
#[derive(Debug, Clone)]
pub(crate) struct TaskNumbers {
    lr: f64,
    weight_decay: f64,
    pub(crate) state: State,
}

impl TaskNumbers {
    /// `num_tasks` numbers that start at `init`.
    pub(crate) fn new(num_tasks: usize, init: f64, lr: f64, weight_decay: f64) -> Self {
        let zeros = || vec![0.0; num_tasks];
        let state = State::new([
            ("value", vec![init; num_tasks]),
            ("first_moment", zeros()),
            ("second_moment", zeros()),
            ("step", zeros()),
        ]);
        Self { lr, weight_decay, state }
    }

    /// The numbers of `tasks`.
    pub(crate) fn values(&self, tasks: &[usize]) -> Vec<f64> {
        tasks.iter().map(|task| self.state["value"][*task]).collect()
    }

    /// Puts `values` in the place of the numbers of `tasks`; their moments stay.
    pub(crate) fn set(&mut self, tasks: &[usize], values: &[f64]) {
        for (task, value) in tasks.iter().zip(values) {
            self.state["value"][*task] = *value;
        }
    }

    /// Number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.state["value"].len()
    }

    /// One step down `slopes`, the derivatives by the numbers of `tasks`.
    pub(crate) fn descend(&mut self, tasks: &[usize], slopes: &[f64]) {
        for (task, slope) in tasks.iter().zip(slopes) {
            self.step(*task, *slope);
        }
    }

    fn step(&mut self, task: usize, slope: f64) {
        let slope = slope + self.weight_decay * self.state["value"][task];
        let mut moved = |name: &str, decay: f64, by: f64| {
            let moment = &mut self.state[name][task];
            *moment = decay * *moment + (1.0 - decay) * by;
            *moment
        };
        let (first, second) =
            (moved("first_moment", 0.9, slope), moved("second_moment", 0.999, slope * slope));
        self.state["step"][task] += 1.0;
        let step = self.state["step"][task];
        let (first, second) =
            (first / (1.0 - 0.9f64.powf(step)), second / (1.0 - 0.999f64.powf(step)));
        self.state["value"][task] -= self.lr * first / (second.sqrt() + 1e-8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tasks_named_move() {
        let mut learned = TaskNumbers::new(3, 0.5, 0.1, 0.0);
        learned.descend(&[0, 2], &[3.0, -0.2]);
        let values = learned.values(&[0, 1, 2]);
        assert!((values[0] - 0.4).abs() < 1e-8 && (values[2] - 0.6).abs() < 1e-7);
        assert_eq!(
            (values[1], learned.state["step"].as_slice()),
            (0.5, [1.0, 0.0, 1.0].as_slice())
        );
    }
}
