//! Prompts in a stage of a Swin: outside of windows, relative positions and shift masks.
//!
//! Every window of an image attends together with a copy of the image's prompts, and what the
//! windows make of the copies is averaged. Patch merging leaves prompts behind.

use polyptych_kernels::attention;
use polyptych_tensor::{Activations, Tensor};

use super::windows::Windows;
use crate::blocks::prompts::{BlockPrompts, PromptTokens};

/// How the tokens of a stage lie in its stream: as a map, `[batch, height, width, dim]`, or, with
/// prompts, as `[batch, prompts + height * width, dim]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Height and width of the map.
    pub(super) resolution: [i64; 2],
    held: Option<PromptTokens>,
}

impl Layout {
    /// That of a stage which `map` enters.
    pub(super) fn of(map: &Activations) -> Self {
        let size = map.size();
        Self { resolution: [size[1], size[2]], held: None }
    }

    /// Number of prompts; nothing as long as the stream is a map.
    pub(super) fn prompts(&self) -> Option<i64> {
        self.held.map(|held| held.count())
    }

    /// Puts fresh prompts in scope of those that `x` holds; where there are none, these flow on.
    pub(super) fn renew(
        &mut self,
        x: Activations,
        fresh: &BlockPrompts,
        train: bool,
    ) -> Activations {
        if fresh.is_none() {
            return x;
        }
        let tokens = match self.held {
            Some(_) => x,
            None => x.map(|map| map.flatten(1, 2)),
        };
        self.held.get_or_insert(PromptTokens::none(0)).renew(tokens, fresh, train)
    }

    /// `x` as a map, without its prompts.
    pub(super) fn leave(&self, x: Activations) -> Activations {
        match self.prompts() {
            None => x,
            Some(prompts) => x.map(|t| self.map_of(t, prompts)),
        }
    }

    fn map_of(&self, tokens: &Tensor, prompts: i64) -> Tensor {
        tokens.slice(1, prompts, None, 1).unflatten(1, self.resolution)
    }
}

/// `[batch, prompts + height * width, dim]` to `[batch, prompts + windows * area, dim]`.
pub(super) fn cut(windows: &Windows, layout: &Layout, prompts: i64, tokens: &Tensor) -> Tensor {
    let size = tokens.size();
    let cut = windows.cut(&layout.map_of(tokens, prompts)).reshape([size[0], -1, size[2]]);
    Tensor::cat(&[tokens.narrow(1, 0, prompts), cut], 1)
}

/// Attends within each window and a copy of the prompts: `[batch, prompts + windows * area,
/// 3 * dim]` to `[batch, prompts + height * width, dim]`.
///
/// `bias` is that of the windows alone. The copies are averaged before `proj`, which is linear.
pub(super) fn attend_with(
    windows: &Windows,
    layout: &Layout,
    prompts: i64,
    qkv: &Tensor,
    heads: i64,
    bias: &Tensor,
) -> Tensor {
    let cut = qkv.slice(1, prompts, None, 1).reshape([-1, windows.area(), qkv.size()[2]]);
    let [mean, mixed] = attend_beside(&qkv.narrow(1, 0, prompts), &cut, heads, bias);
    let map = windows.join(&mixed, layout.resolution);
    Tensor::cat(&[mean, map.flatten(1, 2)], 1)
}

/// Attends within each window of `cut`, `[batch * windows, area, 3 * dim]`, and a copy of `prompts`,
/// `[batch, prompts, 3 * dim]`: the mean over an image's copies, `[batch, prompts, dim]`, and the
/// windows, `[batch * windows, area, dim]`. `bias` is that of the windows alone.
pub(super) fn attend_beside(
    prompts: &Tensor,
    cut: &Tensor,
    heads: i64,
    bias: &Tensor,
) -> [Tensor; 2] {
    let [batch, count] = [prompts.size()[0], prompts.size()[1]];
    let each = cut.size()[0] / batch;
    let copies = prompts.unsqueeze(1).expand([-1, each, -1, -1], false);
    let together = Tensor::cat(&[&copies.flatten(0, 1), cut], 1);
    let bias = bias.constant_pad_nd([count, 0, count, 0]);
    let mixed = attention(&together, heads, Some(&bias));
    let copies = mixed.narrow(1, 0, count).unflatten(0, [batch, each]);
    let mean = copies.mean_dim([1i64].as_slice(), false, mixed.kind());
    [mean, mixed.slice(1, count, None, 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    const PROMPTS: i64 = 3;
    const HEADS: i64 = 2;
    const WIDTH: i64 = 4;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// One head of one window with its prompts, written out; `bias` is `[area, area]`.
    fn one_head(qkv: &Tensor, head: i64, bias: &Tensor) -> Tensor {
        let part = |index: i64| qkv.narrow(1, index * HEADS * WIDTH + head * WIDTH, WIDTH);
        let scores = part(0).matmul(&part(1).tr()) / (WIDTH as f64).sqrt();
        let mut among = scores.narrow(0, PROMPTS, bias.size()[0]);
        among = among.narrow(1, PROMPTS, bias.size()[0]);
        among += bias;
        scores.softmax(-1, Kind::Float).matmul(&part(2))
    }

    #[test]
    fn every_window_attends_with_a_copy_and_copies_are_averaged() {
        let windows = Windows::new([5, 4], 2, true);
        let (batch, dim, area) = (2, HEADS * WIDTH, windows.area());
        let count = 6;
        let mut layout = Layout::of(&Activations::Shared(random(&[batch, 5, 4, dim])));
        layout.held = Some(PromptTokens::none(0));
        let qkv = random(&[batch, PROMPTS + count * area, 3 * dim]);
        let bias = random(&[count, HEADS, area, area]);
        let found = attend_with(&windows, &layout, PROMPTS, &qkv, HEADS, &bias);
        for image in 0..batch {
            let of = |window: i64| {
                let own = qkv.select(0, image);
                let cut = own.narrow(0, PROMPTS + window * area, area);
                let together = Tensor::cat(&[own.narrow(0, 0, PROMPTS), cut], 0);
                let bias = bias.select(0, window);
                let head = |head| one_head(&together, head, &bias.select(0, head));
                Tensor::cat(&[head(0), head(1)], 1)
            };
            let all = Tensor::stack(&(0..count).map(of).collect::<Vec<_>>(), 0);
            let mean = all.narrow(1, 0, PROMPTS).mean_dim([0i64].as_slice(), false, Kind::Float);
            let map = windows.join(&all.narrow(1, PROMPTS, area), [5, 4]);
            let expected = Tensor::cat(&[mean, map.view([-1, dim])], 0);
            let difference = (found.select(0, image) - expected).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "image {image}: {difference}");
        }
    }

    #[test]
    fn cutting_leaves_prompts_where_they_are() {
        let windows = Windows::new([4, 4], 2, true);
        let map = random(&[2, 4, 4, 3]);
        let prompts = random(&[2, PROMPTS, 3]);
        let layout = Layout::of(&Activations::Shared(map.shallow_clone()));
        let tokens = Tensor::cat(&[&prompts, &map.flatten(1, 2)], 1);
        let found = cut(&windows, &layout, PROMPTS, &tokens);
        assert!(found.narrow(1, 0, PROMPTS).equal(&prompts));
        assert!(found.slice(1, PROMPTS, None, 1).reshape([-1, 4, 3]).equal(&windows.cut(&map)));
        assert!(layout.map_of(&tokens, PROMPTS).equal(&map));
    }
}
