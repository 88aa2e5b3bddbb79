//! Zeros at the bottom and the right of a feature map.

use polyptych_tensor::Tensor;

/// Extends `[batch, height, width, dim]` to `[batch, rows, columns, dim]`.
pub(super) fn pad(map: &Tensor, [rows, columns]: [i64; 2]) -> Tensor {
    match [rows - map.size()[1], columns - map.size()[2]] {
        [0, 0] => map.shallow_clone(),
        [below, right] => map.constant_pad_nd([0, 0, 0, right, 0, below]),
    }
}
