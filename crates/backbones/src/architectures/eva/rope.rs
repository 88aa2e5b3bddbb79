//! Rotary positions: pairs of numbers of queries and keys are turned by angles that grow with the
//! row and the column of their patch.
//!
//! Su et al., "RoFormer", arXiv 2104.09864. With the frequencies `f_i = temperature^(-i / n)` of
//! the `n` quarters of a head, EVA-02 turns by `f_i` times the position, counted in those of the
//! size that it was trained at, and DINOv3 by `2 pi f_i` times the centre of the patch in `[-1, 1]`.

use std::cell::RefCell;
use std::f64::consts::PI;

use polyptych_tensor::{Device, Tensor};

use super::config::{EvaConfig, RopeType};

/// What a trunk's positions are turned by; the last grid's is kept.
#[derive(Debug)]
pub(super) struct Rope {
    kind: RopeType,
    temperature: f64,
    half: bool,
    /// Rows and columns that positions are counted in.
    reference: Option<[i64; 2]>,
    head_dim: i64,
    last: RefCell<Option<([i64; 2], Device, Turn)>>,
}

/// The angles of all patches of a grid.
#[derive(Debug)]
pub(super) struct Turn {
    /// `[patches, 1, head_dim]`.
    sin: Tensor,
    /// `[patches, 1, head_dim]`.
    cos: Tensor,
    half: bool,
    /// Tokens that no position turns, before the patches.
    before: i64,
}

impl Rope {
    /// That of `config`, if it has one.
    pub(super) fn of(config: &EvaConfig) -> Option<Self> {
        let rope = || Self {
            kind: config.rope_type,
            temperature: config.rope_temperature,
            half: config.rope_rotate_half,
            reference: config.ref_feat_shape,
            head_dim: config.embed_dim / config.num_heads,
            last: RefCell::new(None),
        };
        config.use_rot_pos_emb.then(rope)
    }

    /// The angles of a grid of `[rows, columns]`.
    pub(super) fn turn(&self, grid: [i64; 2], device: Device) -> Turn {
        let mut last = self.last.borrow_mut();
        let kept = last.take().filter(|(of, on, _)| *of == grid && *on == device);
        let (_, _, turn) =
            last.insert(kept.unwrap_or_else(|| (grid, device, self.compute(grid, device))));
        turn.behind(0)
    }

    fn compute(&self, grid: [i64; 2], device: Device) -> Turn {
        let [rows, columns] = [0, 1].map(|axis| self.angles(grid, axis));
        let width = self.head_dim as usize / 4;
        let patch = |row: usize, column: usize| {
            let of = |all: &[f64], at: usize| all[at * width..(at + 1) * width].to_vec();
            self.spread([of(&rows, row), of(&columns, column)].concat())
        };
        let [high, wide] = grid.map(|extent| extent as usize);
        let positions = (0..high).flat_map(|row| (0..wide).map(move |column| (row, column)));
        let angles: Vec<f64> = positions.flat_map(|(row, column)| patch(row, column)).collect();
        let table = |of: fn(f64) -> f64| {
            let all: Vec<f32> = angles.iter().map(|&angle| of(angle) as f32).collect();
            Tensor::from_slice(&all).view([-1, 1, self.head_dim]).to_device(device)
        };
        Turn { sin: table(f64::sin), cos: table(f64::cos), half: self.half, before: 0 }
    }

    /// Every angle twice: for both numbers of its pair.
    fn spread(&self, angles: Vec<f64>) -> Vec<f64> {
        match self.half {
            true => angles.repeat(2),
            false => angles.iter().flat_map(|&angle| [angle; 2]).collect(),
        }
    }

    /// Angles of all positions of an axis, one behind the other.
    fn angles(&self, grid: [i64; 2], axis: usize) -> Vec<f64> {
        let (extent, quarter) = (grid[axis], self.head_dim / 4);
        let at = |index: i64| {
            let index = index as f64;
            match self.kind {
                RopeType::Cat => {
                    let reference = self.reference.map_or(extent, |shape| shape[axis]);
                    index / extent as f64 * reference as f64
                }
                RopeType::Dinov3 => 2.0 * PI * (2.0 * (index + 0.5) / extent as f64 - 1.0),
            }
        };
        let band = |band: i64| self.temperature.powf(-(band as f64) / quarter as f64);
        (0..extent).flat_map(|index| (0..quarter).map(move |i| at(index) * band(i))).collect()
    }
}

impl Turn {
    /// The same where `before` tokens stand before the patches.
    pub(super) fn behind(&self, before: i64) -> Self {
        let (sin, cos) = (self.sin.shallow_clone(), self.cos.shallow_clone());
        Self { sin, cos, half: self.half, before }
    }

    /// Turns `[batch, tokens, heads, head_dim]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let patches = x.slice(1, self.before, None, 1);
        let turned = &patches * &self.cos + self.quarter_turn(&patches) * &self.sin;
        Tensor::cat(&[x.narrow(1, 0, self.before), turned.to_kind(x.kind())], 1)
    }

    fn quarter_turn(&self, x: &Tensor) -> Tensor {
        if self.half {
            let width = self.sin.size()[2] / 2;
            return Tensor::cat(&[x.narrow(-1, width, width) * -1.0, x.narrow(-1, 0, width)], -1);
        }
        let pairs = x.unflatten(-1, [-1, 2]);
        let [first, second] = [0, 1].map(|index| pairs.select(-1, index));
        Tensor::stack(&[second * -1.0, first], -1).flatten(-2, -1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Kind;

    #[test]
    fn scores_depend_on_the_difference_of_positions_alone() {
        let config = EvaConfig { ref_feat_shape: None, ..EvaConfig::micro() };
        for config in [
            EvaConfig { rope_type: RopeType::Cat, rope_rotate_half: false, ..config.clone() },
            config,
        ] {
            let rope = Rope::of(&config).unwrap();
            let turn = rope.turn([3, 4], Device::Cpu).behind(1);
            let dim = config.embed_dim / config.num_heads;
            let one = Tensor::randn([2, 1, 1, dim], (Kind::Float, Device::Cpu));
            let turned = turn.forward(&one.expand([2, 13, 1, dim], false)).squeeze_dim(2);
            let dot = |a: i64, b: i64| {
                let [a, b] = [turned.select(1, a).select(0, 0), turned.select(1, b).select(0, 1)];
                a.dot(&b).double_value(&[])
            };
            assert!((dot(1, 6) - dot(6, 11)).abs() < 1e-4);
            assert!((dot(2, 5) - dot(6, 9)).abs() < 1e-4);
            assert!((dot(1, 2) - dot(1, 6)).abs() > 1e-4);
            assert!(turned.select(1, 0).equal(&one.view([2, dim])));
        }
    }
}
