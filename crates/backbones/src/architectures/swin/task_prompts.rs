//! Prompts of tasks beside the stream of a block: every window attends together with a copy of them,
//! and tasks read the image by the attention of their prompts.

use polyptych_tensor::{Activations, LayerNorm, TaskPrompts, Tensor, add_branch};

use super::attention::WindowAttention;
use super::prompts::attend_beside;
use crate::blocks::branch;
use crate::blocks::mlp::Mlp;
use crate::blocks::tap::{BlockOutput, ParallelPath};

/// A block with the prompts that pass it.
pub(super) struct Prompted<'b> {
    pub(super) norm1: &'b LayerNorm,
    pub(super) attn: &'b WindowAttention,
    pub(super) norm2: &'b LayerNorm,
    pub(super) mlp: &'b Mlp,
    pub(super) beside: &'b ParallelPath,
    pub(super) drop_path: f64,
    pub(super) own: &'b dyn TaskPrompts,
    /// Height and width of the map.
    pub(super) resolution: [i64; 2],
}

/// What attention makes.
struct Attended {
    /// Of the image's tokens: `[batch, height, width, dim]`, for tasks too where they part.
    image: Activations,
    /// Of the prompts, `[batch, tasks, dim]`.
    prompts: Tensor,
    /// What leaves the block with the streams of tasks.
    kept: Option<Activations>,
}

impl Prompted<'_> {
    /// `[batch, height, width, dim]` and `[batch, tasks, dim]` to the same; no prompts behind the
    /// last block of all.
    pub(super) fn forward(
        &self,
        x: &Activations,
        prompts: &Tensor,
        train: bool,
    ) -> (BlockOutput, Option<Tensor>) {
        let Attended { image, prompts: mean, kept } = self.attend(x, prompts, train);
        let x = branch::add_branch(x, &image, self.drop_path, train);
        let normed = x.map(|t| self.norm2.forward(t));
        let mixed = self.mlp.forward(&normed, train);
        let z = branch::add_branch(&x, &mixed, self.drop_path, train);
        let kept = kept.as_ref().and_then(Activations::per_task);
        let z = match (self.own.reader(), kept) {
            (Some(reader), Some(kept)) => reader.leave(z, kept),
            _ => z,
        };
        let output = (z, self.beside.as_ref().map(|path| path.forward(&x, &normed, train)));
        (output, self.own.goes_on().then(|| self.next(prompts, &mean, train)))
    }

    /// `prompts + mlp(norm2(attended))`.
    fn next(&self, prompts: &Tensor, attended: &Tensor, train: bool) -> Tensor {
        let normed = Activations::Shared(self.norm2.forward(attended));
        let mixed = self.mlp.forward(&normed, train).into_shared();
        add_branch(prompts, &mixed, self.drop_path, train)
    }

    fn attend(&self, x: &Activations, prompts: &Tensor, train: bool) -> Attended {
        let WindowAttention { qkv, proj, windows, heads, .. } = self.attn;
        let queries = |t: Tensor| qkv.forward(&Activations::Shared(t), train).into_shared();
        let normed = |t: &Tensor| self.norm1.forward(t);
        let prompts = queries(normed(prompts));
        let cut = queries(windows.cut(&normed(x.expect_shared())));
        let bias = self.attn.bias(self.resolution, cut.kind());
        let [mean, mixed] = attend_beside(&prompts, &cut, *heads, &bias);
        let as_maps = |t: Tensor, area: i64| t.unflatten(area, windows.size);
        let logits = || as_maps(logits(&prompts, &cut, *heads), 2);
        let (streams, kept) = self.part(as_maps(mixed, 1), logits);
        let join = |t: &Tensor| windows.join(&t.flatten(1, 2), self.resolution);
        let image = proj.forward(&streams, train).map(join);
        let prompts = proj.forward(&Activations::Shared(mean), train).into_shared();
        Attended { image, prompts, kept: kept.map(|kept| kept.map(join)) }
    }

    /// What `proj` reads of `attended` windows, and what tasks keep of them, where they part.
    fn part(
        &self,
        attended: Tensor,
        logits: impl FnOnce() -> Tensor,
    ) -> (Activations, Option<Activations>) {
        let Some(reader) = self.own.reader() else { return (Activations::Shared(attended), None) };
        let [per_task, kept] = reader.read(&attended, &logits());
        (Activations::Both { shared: attended, per_task }, Some(Activations::PerTask(kept)))
    }
}

/// Products of the query of each of `prompts`, `[batch, tasks, 3 * dim]`, and the key of each token of
/// its image's windows, `[batch * windows, area, 3 * dim]`: `[tasks, batch * windows, area, heads]`.
fn logits(prompts: &Tensor, cut: &Tensor, heads: i64) -> Tensor {
    let [batch, dim] = [prompts.size()[0], prompts.size()[2] / 3];
    let of_heads = |t: &Tensor, part: i64| t.narrow(-1, part * dim, dim).unflatten(-1, [heads, -1]);
    let query = of_heads(prompts, 0).permute([0, 2, 3, 1]);
    let key = of_heads(cut, 1).unflatten(0, [batch, -1]).flatten(1, 2).permute([0, 2, 1, 3]);
    let products = key.matmul(&query).permute([3, 0, 2, 1]);
    products.reshape([prompts.size()[1], cut.size()[0], cut.size()[1], heads])
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn logits_are_products_without_a_scale() {
        // One image, one task, one head of two numbers, one window of two tokens.
        let qkv = |numbers: &[f32]| Tensor::from_slice(numbers).view([1, -1, 6]);
        let prompt = qkv(&[1.0, -1.0, 7.0, 7.0, 7.0, 7.0]);
        let cut = qkv(&[9.0, 9.0, 1.0, 0.0, 9.0, 9.0, 9.0, 9.0, 0.0, 2.0, 9.0, 9.0]);
        let found = logits(&prompt, &cut, 1);
        assert_eq!(found.size(), [1, 1, 2, 1]);
        assert_eq!(Vec::<f32>::try_from(found.reshape([-1])).unwrap(), [1.0, -2.0]);
    }

    #[test]
    fn every_prompt_meets_the_windows_of_its_own_image() {
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (batch, tasks, heads, windows) = (2, 3, 2, 4);
        let (prompts, cut) = (random(&[batch, tasks, 12]), random(&[batch * windows, 5, 12]));
        let found = logits(&prompts, &cut, heads);
        // Task 2, window 1 of image 1, token 3, head 1.
        let query = prompts.get(1).get(2).narrow(0, 2, 2);
        let key = cut.get(windows + 1).get(3).narrow(0, 4 + 2, 2);
        let found = found.get(2).get(windows + 1).get(3).double_value(&[1]);
        assert!((found - query.dot(&key).double_value(&[])).abs() < 1e-5);
    }
}
