//! The way down beside the blocks, from stage to stage, and the way up again.

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_kernels::{gelu, linear};
use polyptych_tensor::{Activations, Linear, Neck, Tensor, cast};

use super::experts::Experts;

/// What stands beside one block.
#[derive(Debug)]
pub(super) struct Block {
    /// `D` and `b`.
    pub(super) down: Linear,
    /// `U` and `c`.
    pub(super) up: Linear,
    /// `a`, what the trunk had in the last pass, without its history.
    pub(super) seen: RefCell<Option<Tensor>>,
}

impl Block {
    /// `h + U gelu(D (a + h) + b) + c`.
    fn forward(&self, a: &Tensor, h: Option<Tensor>) -> Tensor {
        let read = h.as_ref().map_or_else(|| a.shallow_clone(), |h| a + h);
        let term = self.up.forward(&gelu(&self.down.forward(&read)));
        h.map_or_else(|| term.shallow_clone(), |h| h + &term)
    }
}

/// One stage of the branch.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) blocks: Vec<Rc<Block>>,
    /// The trunk's matrix behind the stage, `[2 C, 4 C]`; none where the next stage has its shape.
    pub(super) reduction: Option<Tensor>,
    /// From the next level; none for the last.
    pub(super) lift: Option<Lift>,
    pub(super) experts: Experts,
}

impl Stage {
    /// `h` behind the blocks, a map of `size` = height and width.
    fn down(&self, mut h: Option<Tensor>, size: [i64; 2]) -> Option<Tensor> {
        for block in &self.blocks {
            let seen = block.seen.borrow();
            let a = seen.as_ref().map(|a| map_of(a, size))?;
            h = Some(block.forward(&a, h));
        }
        h
    }

    /// `h` as the next stage reads it.
    fn on(&self, h: &Tensor) -> Tensor {
        match &self.reduction {
            Some(weight) => linear(&merged(h), &cast(weight, h.kind()), None),
            None => h.shallow_clone(),
        }
    }
}

/// `Q P`.
#[derive(Debug)]
pub(super) struct Lift {
    /// `[m, C_{i+1}]`.
    pub(super) p: Tensor,
    /// `[C_i, m]`.
    pub(super) q: Tensor,
}

impl Lift {
    /// From a coarser map to one of `size`.
    fn forward(&self, coarse: &Tensor, size: [i64; 2]) -> Tensor {
        let low = linear(coarse, &cast(&self.p, coarse.kind()), None);
        linear(&enlarged(&low, size), &cast(&self.q, coarse.kind()), None)
    }
}

/// The whole branch, behind the levels.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) stages: Vec<Stage>,
}

impl Neck for Branch {
    fn forward(&self, levels: Vec<Activations>, _train: bool) -> Vec<Activations> {
        let levels: Vec<Tensor> =
            levels.iter().map(|level| level.expect_shared().detach()).collect();
        let ways = self.up(self.down(&levels));
        let per_level = self.stages.iter().zip(levels).zip(ways);
        let read = |((stage, a), v): ((&Stage, Tensor), Tensor)| {
            Activations::PerTask(stage.experts.forward(&(a + v)))
        };
        per_level.map(read).collect()
    }
}

impl Branch {
    /// `h` of every stage.
    fn down(&self, levels: &[Tensor]) -> Vec<Tensor> {
        let (mut h, mut all) = (None, Vec::new());
        for (stage, level) in self.stages.iter().zip(levels) {
            let behind = stage.down(h, size_of(level)).unwrap_or_else(|| level.zeros_like());
            h = Some(stage.on(&behind));
            all.push(behind);
        }
        all
    }

    /// `v` of every stage.
    fn up(&self, mut all: Vec<Tensor>) -> Vec<Tensor> {
        for index in (0..all.len().saturating_sub(1)).rev() {
            if let Some(lift) = &self.stages[index].lift {
                let lifted = lift.forward(&all[index + 1], size_of(&all[index]));
                all[index] = &all[index] + lifted;
            }
        }
        all
    }
}

fn size_of(map: &Tensor) -> [i64; 2] {
    [map.size()[1], map.size()[2]]
}

/// A stream as a map, `[batch, height, width, dim]`; what stands before the patches is left out.
fn map_of(stream: &Tensor, [height, width]: [i64; 2]) -> Tensor {
    if stream.dim() == 4 {
        return stream.shallow_clone();
    }
    let (tokens, patches) = (stream.size()[1], height * width);
    stream.narrow(1, tokens - patches, patches).unflatten(1, [height, width])
}

/// Four neighbours side by side, in timm's order (row, column) = (0, 0), (1, 0), (0, 1), (1, 1); odd
/// sides get zeros.
fn merged(map: &Tensor) -> Tensor {
    let [height, width] = size_of(map);
    let even = map.constant_pad_nd([0, 0, 0, width % 2, 0, height % 2]);
    let [height, width] = [(height + 1) / 2, (width + 1) / 2];
    let split = even.reshape([-1, height, 2, width, 2, map.size()[3]]);
    split.permute([0, 1, 3, 4, 2, 5]).flatten(3, 5)
}

/// Nearest neighbours, `[batch, height, width, dim]`.
fn enlarged(map: &Tensor, size: [i64; 2]) -> Tensor {
    if size_of(map) == size {
        return map.shallow_clone();
    }
    let large = map.permute([0, 3, 1, 2]).upsample_nearest2d(size, None, None);
    large.permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn the_way_down_is_that_of_the_equation() {
        let of = |values: &[f64], columns| Tensor::from_slice(values).view([-1, columns]);
        let block = Block {
            down: Linear { weight: of(&[1.0, -1.0], 2), bias: None },
            up: Linear { weight: of(&[0.5, 0.25], 1), bias: None },
            seen: RefCell::default(),
        };
        let first = block.forward(&of(&[1.0, -2.0], 2), None);
        let second = block.forward(&of(&[0.5, 1.0], 2), Some(first.shallow_clone()));
        for (found, expected) in [(first, [1.497975, 0.748988]), (second, [1.572462, 0.786231])] {
            let difference = found - of(&expected, 2);
            assert!(difference.abs().max().double_value(&[]) < 1e-5);
        }
    }

    #[test]
    fn neighbours_come_column_by_column() {
        let map = Tensor::arange(9, (Kind::Float, Device::Cpu)).view([1, 3, 3, 1]);
        let flat = Vec::<f32>::try_from(merged(&map).view([-1])).unwrap_or_default();
        assert_eq!(flat[..4], [0.0, 3.0, 1.0, 4.0]);
        assert_eq!(flat[12..], [8.0, 0.0, 0.0, 0.0]);
    }
}
