//! The core of multi-head attention: `softmax(q k^T / sqrt(head_dim) + bias) v`.

use polyptych_tensor::Tensor;

/// Attends within each sequence of `qkv`, `[batch, tokens, 3 * dim]` to `[batch, tokens, dim]`.
///
/// The rows of the fused matrix are ordered q, k, v and head-major within each. `bias` is
/// `[windows, heads, tokens, tokens]`, added to the entries of the batch in turn, so `windows`
/// must divide `batch`.
pub(crate) fn attend(qkv: &Tensor, heads: i64, bias: Option<&Tensor>) -> Tensor {
    let [batch, tokens, dim] = dims(qkv);
    let head_dim = dim / heads;
    let split = qkv.reshape([batch, tokens, 3, heads, head_dim]).permute([2, 0, 3, 1, 4]);
    let [q, k, v] = [0, 1, 2].map(|part| split.select(0, part));
    let scale = (head_dim as f64).powf(-0.5);
    let scores = (q * scale).matmul(&k.transpose(-2, -1));
    let scores = match bias {
        Some(bias) => add_in_turn(&scores, bias),
        None => scores,
    };
    let mixed = scores.softmax(-1, None::<polyptych_tensor::Kind>).matmul(&v);
    mixed.transpose(1, 2).reshape([batch, tokens, dim])
}

fn dims(qkv: &Tensor) -> [i64; 3] {
    let size = qkv.size();
    [size[0], size[1], size[2] / 3]
}

/// `scores` is `[batch, heads, tokens, tokens]`.
fn add_in_turn(scores: &Tensor, bias: &Tensor) -> Tensor {
    let mut grouped = bias.size();
    grouped.insert(0, -1);
    (scores.view(grouped.as_slice()) + bias).view(scores.size().as_slice())
}
