//! Position embeddings of a ViT: bicubic with antialiasing over the grid of patches.

use polyptych_tensor::{Kind, Tensor};

use super::square_side::square_side;

/// Fits `[1, prefix + side * side, dim]` to `[1, prefix + rows * columns, dim]`.
///
/// Its own grid is taken to be square, as timm takes it; `None` where it cannot
/// be. The first `prefix` tokens stay as they are.
pub fn pos_embed(tensor: &Tensor, grid: [i64; 2], prefix: i64) -> Option<Tensor> {
    let tokens = *tensor.size().get(1)?;
    if tensor.dim() != 3 || !(0..tokens).contains(&prefix) {
        return None;
    }
    let side = square_side(tokens - prefix)?;
    Some(pos_embed_from(tensor, [side; 2], grid, prefix))
}

/// Fits `[1, prefix + rows * columns, dim]` from the grid `from` to the grid `to`, both
/// `[rows, columns]`, through float32.
pub fn pos_embed_from(tensor: &Tensor, from: [i64; 2], to: [i64; 2], prefix: i64) -> Tensor {
    let dim = tensor.size()[2];
    let prefix_tokens = tensor.narrow(1, 0, prefix);
    let map = tensor
        .narrow(1, prefix, from[0] * from[1])
        .to_kind(Kind::Float)
        .reshape([1, from[0], from[1], dim])
        .permute([0, 3, 1, 2]);
    let fitted = map.internal_upsample_bicubic2d_aa(to, false, None, None);
    let tokens = fitted.permute([0, 2, 3, 1]).reshape([1, -1, dim]);
    Tensor::cat(&[prefix_tokens, tokens.to_kind(tensor.kind())], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    #[test]
    fn prefix_tokens_stay_and_other_shapes_are_refused() {
        let old = Tensor::randn([1, 17, 3], (Kind::Float, Device::Cpu));
        let new = pos_embed(&old, [2, 6], 1).unwrap();
        assert_eq!(new.size(), [1, 13, 3]);
        assert!(new.narrow(1, 0, 1).equal(&old.narrow(1, 0, 1)));
        assert!(pos_embed(&old, [2, 6], 0).is_none());
        assert!(pos_embed(&old, [2, 6], 17).is_none());
        assert!(pos_embed(&old.view([17, 3]), [2, 6], 1).is_none());
    }
}
