//! Attention from some tokens to others.

use polyptych_tensor::{Kind, Tensor};

/// `softmax(query key^T / sqrt(head_dim)) value`: `[batch, n, dim]`, `[batch, m, dim]` and
/// `[batch, m, dim]` to `[batch, n, dim]`, heads one behind the other.
pub(crate) fn cross_attention(query: &Tensor, key: &Tensor, value: &Tensor, heads: i64) -> Tensor {
    let of_heads = |t: &Tensor| t.unflatten(-1, [heads, -1]).transpose(1, 2);
    let size = query.size();
    let (query, key, value) = (of_heads(query), of_heads(key), of_heads(value));
    let scale = (query.size()[3] as f64).powf(-0.5);
    let scores = (query * scale).matmul(&key.transpose(-2, -1));
    let weights = scores.softmax(-1, Kind::Float).to_kind(value.kind());
    weights.matmul(&value).transpose(1, 2).reshape(size)
}
