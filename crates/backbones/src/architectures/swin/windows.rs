//! Windows of a feature map: cutting, joining, and which positions may see each other.

use polyptych_kernels::{cut_windows, join_windows};
use polyptych_tensor::{Device, Kind, Tensor};

use super::pad::pad;

/// Added to the score of two positions that the shift brought together by accident.
const FORBIDDEN: f64 = -100.0;

/// How a block cuts its map into windows, `[rows, columns]` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    /// Extent of a window.
    pub(crate) size: [i64; 2],
    /// How far the map is rolled before it is cut.
    pub(crate) shift: [i64; 2],
}

impl Windows {
    /// Windows of a map of `resolution`: no larger than the map, and on an axis that a single
    /// window covers nothing is shifted.
    pub(crate) fn new(resolution: [i64; 2], size: i64, shifted: bool) -> Self {
        let clipped = resolution.map(|extent| extent.min(size));
        let shift = if shifted { size / 2 } else { 0 };
        Self { size: clipped, shift: resolution.map(|n| if n <= size { 0 } else { shift }) }
    }

    /// Positions per window.
    pub(crate) fn area(&self) -> i64 {
        self.size[0] * self.size[1]
    }

    /// `[batch, height, width, dim]` to `[batch * windows, area, dim]`: rolled, then padded with
    /// zeros to whole windows, then cut.
    pub(crate) fn cut(&self, map: &Tensor) -> Tensor {
        cut_windows(map, self.size, self.shift).unwrap_or_else(|| self.plain_cut(map))
    }

    /// The inverse of [`Windows::cut`], to a map of `height` by `width`.
    pub(crate) fn join(&self, windows: &Tensor, resolution: [i64; 2]) -> Tensor {
        join_windows(windows, resolution, self.size, self.shift)
            .unwrap_or_else(|| self.plain_join(windows, resolution))
    }

    fn plain_cut(&self, map: &Tensor) -> Tensor {
        let whole = self.whole([map.size()[1], map.size()[2]]);
        self.partition(&pad(&self.roll(map, -1), whole))
    }

    fn plain_join(&self, windows: &Tensor, [height, width]: [i64; 2]) -> Tensor {
        let [rows, columns] = self.whole([height, width]);
        let [high, wide] = self.size;
        let dim = windows.size()[2];
        let map = windows
            .reshape([-1, rows / high, columns / wide, high, wide, dim])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([-1, rows, columns, dim]);
        self.roll(&map.narrow(1, 0, height).narrow(2, 0, width), 1)
    }

    /// What the shift adds to scores in a map of `resolution`, `[windows, 1, area, area]`; nothing
    /// where nothing is shifted.
    pub(crate) fn mask(&self, resolution: [i64; 2], kind: Kind, device: Device) -> Option<Tensor> {
        if self.shift == [0, 0] {
            return None;
        }
        let [rows, columns] = self.whole(resolution);
        let row = self.regions(0, rows).view([-1, 1]);
        let region = (row * 3 + self.regions(1, columns)).view([1, rows, columns, 1]);
        let region = self.partition(&region).squeeze_dim(-1);
        let apart = region.unsqueeze(1).ne_tensor(&region.unsqueeze(2));
        let mask = apart.to_kind(Kind::Float).unsqueeze(1) * FORBIDDEN;
        Some(mask.to_kind(kind).to_device(device))
    }

    /// Row of the bias table for each pair of positions, `[area * area]`: query minus key, each
    /// axis counted from its smallest difference.
    pub(crate) fn relative_position_index(&self) -> Tensor {
        let [high, wide] = self.size;
        let positions: Vec<[i64; 2]> =
            (0..high).flat_map(|row| (0..wide).map(move |column| [row, column])).collect();
        let index = |query: &[i64; 2], key: &[i64; 2]| {
            (query[0] - key[0] + high - 1) * (2 * wide - 1) + query[1] - key[1] + wide - 1
        };
        let pairs: Vec<i64> =
            positions.iter().flat_map(|q| positions.iter().map(|k| index(q, k))).collect();
        Tensor::from_slice(&pairs)
    }

    /// The extents that whole windows need.
    fn whole(&self, resolution: [i64; 2]) -> [i64; 2] {
        let up = |axis: usize| resolution[axis] + (-resolution[axis]).rem_euclid(self.size[axis]);
        [up(0), up(1)]
    }

    /// Along `axis` of `extent`: 0 before the last window, 1 in it, 2 where the roll brought the
    /// opposite edge.
    fn regions(&self, axis: usize, extent: i64) -> Tensor {
        let (size, shift) = (self.size[axis], self.shift[axis]);
        let region = |at: i64| match at {
            _ if shift == 0 => 0,
            at if at < extent - size => 0,
            at if at < extent - shift => 1,
            _ => 2,
        };
        Tensor::from_slice(&(0..extent).map(region).collect::<Vec<i64>>())
    }

    fn roll(&self, map: &Tensor, sign: i64) -> Tensor {
        match self.shift {
            [0, 0] => map.shallow_clone(),
            shift => map.roll(shift.map(|s| s * sign), [1, 2]),
        }
    }

    /// `[batch, rows, columns, dim]` of whole windows to `[batch * windows, area, dim]`.
    fn partition(&self, map: &Tensor) -> Tensor {
        let size = map.size();
        let [high, wide] = self.size;
        map.reshape([-1, size[1] / high, high, size[2] / wide, wide, size[3]])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([-1, self.area(), size[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_undoes_cutting() {
        let map = Tensor::randn([2, 10, 9, 3], (Kind::Float, Device::Cpu));
        for shifted in [false, true] {
            let windows = Windows::new([10, 9], 4, shifted);
            let cut = windows.cut(&map);
            assert_eq!(cut.size(), [2 * 3 * 3, 16, 3]);
            assert!(windows.join(&cut, [10, 9]).equal(&map));
        }
    }

    #[test]
    fn one_pass_is_roll_pad_and_cut() {
        let leaf = || (Tensor::arange(2 * 10 * 9 * 3, (Kind::Float, Device::Cpu)) * 0.1).sin();
        for (shifted, size) in [(false, 4), (true, 4), (true, 3)] {
            let windows = Windows::new([10, 9], size, shifted);
            let both = [leaf(), leaf()].map(|t| t.view([2, 10, 9, 3]).set_requires_grad(true));
            let cut = [windows.cut(&both[0]), windows.plain_cut(&both[1])];
            let weight = cut[0].detach().cos();
            let scaled = cut.each_ref().map(|cut| cut * &weight);
            let [fast, plain] = [0, 1].map(|i| match i {
                0 => windows.join(&scaled[0], [10, 9]),
                _ => windows.plain_join(&scaled[1], [10, 9]),
            });
            assert!(cut[0].equal(&cut[1]) && fast.equal(&plain));
            for sum in [fast, plain] {
                sum.square().sum(Kind::Float).backward();
            }
            assert!(both[0].grad().equal(&both[1].grad()));
        }
    }

    #[test]
    fn windows_shrink_to_the_map_and_do_not_shift_there() {
        let windows = Windows::new([7, 14], 7, true);
        assert_eq!(windows, Windows { size: [7, 7], shift: [0, 3] });
        assert_eq!(Windows::new([4, 4], 7, true), Windows { size: [4, 4], shift: [0, 0] });
    }

    #[test]
    fn a_shift_on_one_axis_separates_columns_only() {
        let windows = Windows { size: [2, 2], shift: [0, 1] };
        let mask = windows.mask([2, 4], Kind::Float, Device::Cpu).unwrap();
        assert_eq!(mask.size(), [2, 1, 4, 4]);
        assert_eq!(mask.select(0, 0).abs().sum(Kind::Float).double_value(&[]), 0.0);
        let row = Vec::<f32>::try_from(mask.select(0, 1).view([4, 4]).select(0, 0)).unwrap();
        assert_eq!(row, [0.0, -100.0, 0.0, -100.0]);
    }

    #[test]
    fn the_index_counts_query_minus_key() {
        let windows = Windows { size: [2, 2], shift: [0, 0] };
        let index = Vec::<i64>::try_from(windows.relative_position_index()).unwrap();
        assert_eq!(index, [4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4]);
    }
}
