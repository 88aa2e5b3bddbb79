//! Prompts among the tokens of an image: trainable tokens that a plan puts in front of a block.
//!
//! They lie in one piece, behind the class token where there is one, flow from block to block
//! unless fresh ones take their scope, and are dropped before anything reads the stream.

use polyptych_tensor::{Activations, Prompts, Tensor, cast};

/// What joins the tokens in front of a block, if anything.
pub(crate) type BlockPrompts = Option<Box<dyn Prompts>>;

/// The prompts in a stream, `[batch, tokens, dim]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromptTokens {
    at: i64,
    count: i64,
}

impl PromptTokens {
    /// No prompts so far; those to come stand from position `at` on.
    pub(crate) fn none(at: i64) -> Self {
        Self { at, count: 0 }
    }

    /// Number of prompts.
    pub(crate) fn count(&self) -> i64 {
        self.count
    }

    /// Position behind the prompts.
    pub(crate) fn end(&self) -> i64 {
        self.at + self.count
    }

    /// Puts fresh prompts in scope of those that `x` holds; where there are none, these flow on.
    pub(crate) fn renew(
        &mut self,
        x: Activations,
        fresh: &BlockPrompts,
        train: bool,
    ) -> Activations {
        let Some(prompts) = fresh else { return x };
        let x = parted(x, prompts.tasks());
        let renewed = x.map(|t| {
            let fresh = prompts.forward_among(t, train);
            let [before, behind] = self.around(t);
            Tensor::cat(&[before, cast(&fresh, t.kind()), behind], 1)
        });
        self.count += renewed.size()[1] - x.size()[1];
        renewed
    }

    /// `x` without its prompts.
    pub(crate) fn without(&self, x: Activations) -> Activations {
        match self.count {
            0 => x,
            _ => x.map(|t| Tensor::cat(&self.around(t), 1)),
        }
    }

    fn around(&self, tokens: &Tensor) -> [Tensor; 2] {
        [tokens.narrow(1, 0, self.at), tokens.slice(1, self.end(), None, 1)]
    }
}

/// `x` with a stream for each of `tasks`, where these have prompts of their own.
fn parted(x: Activations, tasks: Option<i64>) -> Activations {
    match (x, tasks) {
        (Activations::Shared(shared), Some(tasks)) => {
            let mut size = shared.size();
            size.insert(0, tasks);
            Activations::PerTask(shared.unsqueeze(0).expand(size.as_slice(), false))
        }
        (x, _) => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    /// `count` prompts of one number, `value`.
    #[derive(Debug)]
    struct Constant {
        count: i64,
        value: f64,
    }

    impl Prompts for Constant {
        fn forward(&self, batch: i64, _train: bool) -> Tensor {
            Tensor::full([batch, self.count, 1], self.value, (Kind::Float, Device::Cpu))
        }
    }

    fn fresh(count: i64, value: f64) -> BlockPrompts {
        Some(Box::new(Constant { count, value }))
    }

    fn numbers(x: &Activations) -> Vec<f32> {
        Vec::<f32>::try_from(x.expect_shared().reshape([-1])).expect("numbers")
    }

    /// A prompt of one number: 5 for the first task, 6 for the second.
    #[derive(Debug)]
    struct OfTasks;

    impl Prompts for OfTasks {
        fn forward(&self, batch: i64, _train: bool) -> Tensor {
            let tasks = Tensor::from_slice(&[5f32, 6.0]).view([2, 1, 1]);
            tasks.repeat_interleave_self_int(batch / 2, 0, None)
        }

        fn tasks(&self) -> Option<i64> {
            Some(2)
        }
    }

    #[test]
    fn prompts_of_tasks_part_the_streams() {
        let images = Tensor::from_slice(&[1f32, 2.0]).view([2, 1, 1]);
        let mut held = PromptTokens::none(0);
        let x = held.renew(Activations::Shared(images), &Some(Box::new(OfTasks)), false);
        let found: Vec<f32> = (0..2)
            .flat_map(|task| Vec::<f32>::try_from(x.task(task).reshape([-1])).expect("numbers"))
            .collect();
        assert_eq!(found, [5.0, 1.0, 5.0, 2.0, 6.0, 1.0, 6.0, 2.0]);
        assert_eq!((held.count(), x.shared().is_none()), (1, true));
    }

    #[test]
    fn fresh_prompts_take_the_place_of_those_held() {
        let image = Tensor::from_slice(&[1f32, 2.0, 3.0]).view([1, 3, 1]);
        let mut held = PromptTokens::none(1);
        let x = held.renew(Activations::Shared(image), &None, false);
        assert_eq!((numbers(&x), held.count()), (vec![1.0, 2.0, 3.0], 0));
        let x = held.renew(x, &fresh(2, 7.0), false);
        assert_eq!((numbers(&x), held.count()), (vec![1.0, 7.0, 7.0, 2.0, 3.0], 2));
        let x = held.renew(x, &None, false);
        assert_eq!((numbers(&x), held.end()), (vec![1.0, 7.0, 7.0, 2.0, 3.0], 3));
        let x = held.renew(x, &fresh(1, 8.0), false);
        assert_eq!((numbers(&x), held.count()), (vec![1.0, 8.0, 2.0, 3.0], 1));
        assert_eq!(numbers(&held.without(x)), [1.0, 2.0, 3.0]);
    }
}
