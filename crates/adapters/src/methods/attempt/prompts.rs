//! Prompts of every image.

use polyptych_kernels::linear;
use polyptych_tensor::{Prompts, Tensor, cast};

use super::attention::Attention;

/// `P_t + sum_j a_j P_j` of every task `t`.
#[derive(Debug)]
pub(super) struct PromptMixture {
    /// `P_j`: `[p, d]` of every source.
    pub(super) sources: Vec<Tensor>,
    /// `P_t`: `[p, d]` of every task.
    pub(super) targets: Vec<Tensor>,
    pub(super) attention: Attention,
}

impl PromptMixture {
    /// `h`, `[batch, d]`, of `tokens`, `[batch, tokens, d]`.
    fn query(&self, tokens: &Tensor) -> Tensor {
        self.attention.query(&tokens.amax([1i64].as_slice(), false))
    }

    /// `P_t + sum_j a_j P_j`, `[batch, p, d]`, of the task with the prompt `target`.
    fn mix(&self, target: &Tensor, query: &Tensor) -> Tensor {
        let kind = query.kind();
        let all: Vec<Tensor> =
            self.sources.iter().chain([target]).map(|prompt| cast(prompt, kind)).collect();
        let all = Tensor::stack(&all, 0);
        let keys = all.amax([1i64].as_slice(), false);
        let scores = linear(query, &keys, None) / self.attention.temperature;
        let a = scores.softmax(-1, kind);
        let sum = a.matmul(&all.flatten(1, 2)).unflatten(-1, [all.size()[1], all.size()[2]]);
        sum + cast(target, kind).unsqueeze(0)
    }
}

impl Prompts for PromptMixture {
    /// As of an image for which all scores are equal.
    fn forward(&self, batch: i64, _train: bool) -> Tensor {
        let tasks = self.targets.len() as i64;
        let query = self.targets[0].zeros_like().narrow(0, 0, 1);
        let all: Vec<Tensor> = self.targets.iter().map(|target| self.mix(target, &query)).collect();
        Tensor::cat(&all, 0).repeat_interleave_self_int(batch / tasks, 0, None)
    }

    fn forward_among(&self, tokens: &Tensor, _train: bool) -> Tensor {
        // The streams of all tasks are one image's here.
        let images = tokens.size()[0] / self.targets.len() as i64;
        let query = self.query(&tokens.narrow(0, 0, images));
        let all: Vec<Tensor> = self.targets.iter().map(|target| self.mix(target, &query)).collect();
        Tensor::cat(&all, 0)
    }

    fn tasks(&self) -> Option<i64> {
        Some(self.targets.len() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    fn mixture(prompts: &[[f32; 2]]) -> PromptMixture {
        let prompt = |values: &[f32; 2]| Tensor::from_slice(values).view([1, 2]);
        let (target, sources) = prompts.split_last().unwrap();
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let attention = Attention {
            down: ones(&[3, 2]),
            up: Tensor::from_slice(&[1f32, 2.0, 3.0, -1.0, 0.0, 1.0]).view([2, 3]),
            norm_weight: ones(&[2]),
            norm_bias: ones(&[2]) * 0.0,
            temperature: 1.0,
        };
        PromptMixture {
            sources: sources.iter().map(prompt).collect(),
            targets: vec![prompt(target)],
            attention,
        }
    }

    fn near(found: &Tensor, expected: &[f64]) {
        let difference = found.to_kind(Kind::Double).view([-1]) - Tensor::from_slice(expected);
        assert!(difference.abs().max().double_value(&[]) < 1e-5, "{found:?}");
    }

    #[test]
    fn equal_scores_give_the_target_and_the_mean() {
        let mixture = mixture(&[[1.0, 2.0], [3.0, 5.0], [2.0, -1.0]]);
        near(&mixture.forward(2, false), &[4.0, 1.0, 4.0, 1.0]);
    }

    #[test]
    fn scores_weigh_the_prompts() {
        // The largest number of each prompt is its score for a query of (1, 0).
        let mixture = mixture(&[[0.2, 0.0], [-0.1, 0.0], [0.5, 0.0]]);
        let query = Tensor::from_slice(&[1f32, 0.0]).view([1, 2]);
        let a = [0.323554, 0.239694, 0.436752];
        near(
            &mixture.mix(&mixture.targets[0], &query),
            &[0.5 + a[0] * 0.2 - a[1] * 0.1 + a[2] * 0.5, 0.0],
        );
    }

    #[test]
    fn every_image_has_prompts_of_its_own_and_sources_stay() {
        let mixture = mixture(&[[1.0, 2.0], [3.0, -5.0], [2.0, -1.0]]);
        let target = mixture.targets[0].set_requires_grad(true);
        let images = Tensor::from_slice(&[1f32, 0.5, -2.0, 1.0]).view([2, 1, 2]);
        let found = mixture.forward_among(&images, true);
        assert_eq!(found.size(), [2, 1, 2]);
        assert!(!found.get(0).equal(&found.get(1)));
        found.sum(Kind::Float).backward();
        assert!(target.grad().defined());
        assert!(mixture.sources.iter().all(|source| !source.requires_grad()));
    }
}
