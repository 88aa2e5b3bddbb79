//! Relative position biases of a Swin for another window.
//!
//! Offsets of the old window are spread over the new one at geometrically growing distances, so
//! that near offsets keep their meaning; between them values are linear, outside constant.
//! This is what timm does (after BEiT).

use polyptych_tensor::{Kind, Tensor};

use super::square_side::square_side;

/// Fits `[(2 * side - 1)^2, heads]` to a `window` of rows and columns,
/// `[(2 * rows - 1) * (2 * columns - 1), heads]`.
///
/// Its own window is taken to be square, as timm takes it; `None` where it
/// cannot be.
pub fn relative_position_bias_table(tensor: &Tensor, window: [i64; 2]) -> Option<Tensor> {
    let [positions, _] = tensor.size()[..] else { return None };
    let side = square_side(positions)?;
    let maps = relative_position_maps([side; 2], window);
    Some(fitted_table(tensor, &maps.map(|map| map.to_device(tensor.device()))))
}

/// The linear maps along rows and columns that fit a table of `from` offsets along each to a `window`
/// of rows and columns, `[2 * rows - 1, from[0]]` and `[2 * columns - 1, from[1]]`.
pub(crate) fn relative_position_maps(from: [i64; 2], window: [i64; 2]) -> [Tensor; 2] {
    [0, 1].map(|axis| weights(from[axis], 2 * window[axis] - 1))
}

/// Fits `[offsets, heads]` by `maps`, those of [`relative_position_maps`].
pub(crate) fn fitted_table(tensor: &Tensor, maps: &[Tensor; 2]) -> Tensor {
    let heads = tensor.size()[1];
    let [[rows, from_rows], [columns, from_columns]] =
        [0, 1].map(|axis| [maps[axis].size()[0], maps[axis].size()[1]]);
    let table = tensor.to_kind(Kind::Float).reshape([from_rows, from_columns, heads]);
    let fitted = maps[0].matmul(&table.permute([2, 0, 1])).matmul(&maps[1].transpose(0, 1));
    fitted.permute([1, 2, 0]).reshape([rows * columns, heads]).to_kind(tensor.kind())
}

/// The linear map from `from` offsets to `to` offsets along one axis, `[to, from]`.
fn weights(from: i64, to: i64) -> Tensor {
    let sources = distances(from, to);
    let mut weights = vec![0f32; (from * to) as usize];
    for (row, target) in (-(to / 2)..=to / 2).enumerate() {
        let target = target as f64;
        let right = sources.partition_point(|&at| at < target).min(sources.len() - 1);
        let left = right.saturating_sub(1);
        let gap = sources[right] - sources[left];
        let share = if gap > 0.0 { (target - sources[left]) / gap } else { 1.0 };
        let share = share.clamp(0.0, 1.0) as f32;
        let at = row * from as usize;
        weights[at + left] += 1.0 - share;
        weights[at + right] += share;
    }
    Tensor::from_slice(&weights).view([to, from])
}

/// Where the `from` old offsets lie among the `to` new ones: 0, then steps 1, q, q^2, .. to both
/// sides, with the ratio q for which the outermost is the edge.
fn distances(from: i64, to: i64) -> Vec<f64> {
    let ratio = ratio(from / 2, to / 2);
    let steps = (0..from / 2).map(|power| ratio.powi(power as i32));
    let right: Vec<f64> = steps
        .scan(0.0, |at, step| {
            *at += step;
            Some(*at)
        })
        .collect();
    let left = right.iter().rev().map(|at| -at);
    left.chain([0.0]).chain(right.iter().copied()).collect()
}

/// The ratio for which the sum of `steps` steps is `edge`, between 1.01 and 1.5 as in timm.
fn ratio(steps: i64, edge: i64) -> f64 {
    let [mut low, mut high] = [1.01, 1.5];
    while high - low > 1e-6 {
        let middle: f64 = (low + high) / 2.0;
        let sum = (1.0 - middle.powi(steps as i32)) / (1.0 - middle);
        if sum > edge as f64 { high = middle } else { low = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    fn values(tensor: &Tensor) -> Vec<f32> {
        Vec::<f32>::try_from(tensor.reshape([-1])).unwrap()
    }

    #[test]
    fn near_offsets_keep_their_values_and_edges_stay_edges() {
        let old = Tensor::randn([13 * 13, 2], (Kind::Float, Device::Cpu));
        let new = relative_position_bias_table(&old, [12, 12]).unwrap().view([23, 23, 2]);
        let old = old.view([13, 13, 2]);
        let near = new.narrow(0, 10, 3).narrow(1, 10, 3) - old.narrow(0, 5, 3).narrow(1, 5, 3);
        assert!(near.abs().max().double_value(&[]) < 1e-6);
        let corner = new.select(0, 0).select(0, 0) - old.select(0, 0).select(0, 0);
        assert!(corner.abs().max().double_value(&[]) < 1e-3);
    }

    #[test]
    fn offsets_of_a_window_of_three_in_one_of_four() {
        // Steps 1 and q sum to 3 only for q = 2; the ratio stops at 1.5, so above 2.5 it is flat.
        let map = weights(5, 7);
        let fitted = map.matmul(&Tensor::from_slice(&[-2f32, -1.0, 0.0, 1.0, 2.0]));
        let expected = [-2.0, -1.0 - 1.0 / 1.5, -1.0, 0.0, 1.0, 1.0 + 1.0 / 1.5, 2.0];
        for (found, expected) in values(&fitted).iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn a_window_may_shrink_on_one_axis() {
        let old = Tensor::ones([49, 3], (Kind::Float, Device::Cpu));
        let new = relative_position_bias_table(&old, [2, 4]).unwrap();
        assert_eq!(new.size(), [21, 3]);
        assert!((new - 1.0).abs().max().double_value(&[]) < 1e-6);
        assert!(relative_position_bias_table(&old.narrow(0, 0, 48), [2, 4]).is_none());
    }
}
