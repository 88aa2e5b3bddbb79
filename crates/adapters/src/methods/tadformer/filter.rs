//! Filters of 3 x 3 places, one for each channel between the factors.

use polyptych_kernels::linear;
use polyptych_tensor::{Init, Kind, Owner, Result, Scope, Tensor, cast};

/// Extent of a filter, and its numbers.
const SIDE: i64 = 3;
const TAPS: i64 = SIDE * SIDE;
/// Added to a standard deviation before it divides.
const EPS: f64 = 1e-10;

/// What stands between the factors.
#[derive(Debug)]
pub(super) enum Filter {
    Dynamic(Dynamic),
    /// `[r, 9]` and `[r]` of every task.
    OfTasks(Vec<[Tensor; 2]>),
    None,
}

/// `theta = FilterNorm(P mean(u) + d)`: one for every image, or window, and task.
#[derive(Debug)]
pub(super) struct Dynamic {
    /// `P`, `[9 r, r]`, and `d`, `[9 r]`.
    generator: [Tensor; 2],
    /// `[r, 9]`: what normalised filters are multiplied by, and what is added.
    std: Tensor,
    mean: Tensor,
}

impl Filter {
    pub(super) fn dynamic(scope: &Scope, r: i64) -> Result<Self> {
        let generator = scope.pp("tad_generator");
        let gain = 2f64.sqrt() / SIDE as f64;
        Ok(Self::Dynamic(Dynamic {
            generator: [
                generator.param("weight", &[TAPS * r, r], Init::fan_in(r))?,
                generator.param("bias", &[TAPS * r], Init::fan_in(r))?,
            ],
            std: scope.param("tad_std", &[r, TAPS], Init::Normal(gain))?,
            mean: scope.param("tad_mean", &[r, TAPS], Init::Normal(1.0))?,
        }))
    }

    pub(super) fn of_tasks(scope: &Scope, stage: usize, r: i64, tasks: &[String]) -> Result<Self> {
        let filter = |task: &String| {
            let owner = Owner { task: task.clone(), stage: Some(stage) };
            let scope = scope.pp("tad_filter").pp(task).owned_by(owner);
            Ok([
                scope.param("weight", &[r, TAPS], Init::fan_in(TAPS))?,
                scope.param("bias", &[r], Init::fan_in(TAPS))?,
            ])
        };
        Ok(Self::OfTasks(tasks.iter().map(filter).collect::<Result<_>>()?))
    }

    /// `[tasks, batch, rows, columns, r]` to the same.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Filter::Dynamic(dynamic) => {
                let maps = x.flatten(0, 1);
                filtered(&maps, &cast(&dynamic.filters(&maps), x.kind())).view_as(x)
            }
            Filter::OfTasks(own) => {
                let one = |(task, [weight, bias]): (i64, &[Tensor; 2])| {
                    let weight = cast(weight, x.kind()).unsqueeze(0);
                    filtered(&x.get(task), &weight) + cast(bias, x.kind())
                };
                Tensor::stack(&(0..).zip(own).map(one).collect::<Vec<_>>(), 0)
            }
            Filter::None => x.shallow_clone(),
        }
    }
}

impl Dynamic {
    /// `theta` for each of `maps`, `[batch, rows, columns, r]`: `[batch, r, 9]`.
    fn filters(&self, maps: &Tensor) -> Tensor {
        let mean = maps.mean_dim([1i64, 2].as_slice(), false, Kind::Float);
        let [weight, bias] = &self.generator;
        let taps = linear(&mean, weight, Some(bias)).unflatten(-1, [-1, TAPS]);
        normalised(&taps) * &self.std + &self.mean
    }
}

/// Every row with mean 0 and an unbiased standard deviation of 1.
fn normalised(taps: &Tensor) -> Tensor {
    let centred = taps - taps.mean_dim([-1i64].as_slice(), true, taps.kind());
    let std = taps.std_dim([-1i64].as_slice(), true, true);
    centred / (std + EPS)
}

/// Filters channels one by one, with zeros around each map: `[batch, rows, columns, r]` by
/// `[batch or 1, r, 9]`.
fn filtered(maps: &Tensor, filters: &Tensor) -> Tensor {
    let [rows, columns] = [maps.size()[1], maps.size()[2]];
    let padded = maps.constant_pad_nd([0, 0, 1, 1, 1, 1]);
    // As many terms as taps: a convolution with a group for every image and channel is slower.
    let term = |tap: i64| {
        let moved = padded.narrow(1, tap / SIDE, rows).narrow(2, tap % SIDE, columns);
        moved * filters.select(-1, tap).unsqueeze(1).unsqueeze(1)
    };
    (1..TAPS).fold(term(0), |sum, tap| sum + term(tap))
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::Device;

    use super::*;

    const CPU: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn counted(from: i64) -> Tensor {
        Tensor::arange_start(from, from + TAPS, CPU)
    }

    #[test]
    fn a_filter_is_normalised_and_slides_over_the_map() {
        let taps = normalised(&counted(1).view([1, 1, TAPS]));
        assert!((taps.double_value(&[0, 0, 0]) + 1.460593).abs() < 1e-6);
        assert!((taps.double_value(&[0, 0, 8]) - 1.460593).abs() < 1e-6);
        let found = filtered(&counted(0).view([1, 3, 3, 1]), &(taps * 0.5 + 0.1));
        assert!((found.double_value(&[0, 1, 1, 0]) - 14.554451).abs() < 1e-6);
        assert!((found.double_value(&[0, 0, 0, 0]) - 5.546929).abs() < 1e-6);
    }

    #[test]
    fn filters_are_libtorchs_convolution_by_channel() {
        let (maps, filters) = (Tensor::randn([2, 5, 4, 3], CPU), Tensor::randn([2, 3, TAPS], CPU));
        let expected = maps
            .permute([0, 3, 1, 2])
            .reshape([1, 6, 5, 4])
            .conv2d(&filters.view([6, 1, 3, 3]), None::<&Tensor>, [1, 1], [1, 1], [1, 1], 6)
            .view([2, 3, 5, 4])
            .permute([0, 2, 3, 1]);
        let found = filtered(&maps, &filters);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn inputs_of_one_mean_have_one_filter() {
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let dynamic = Dynamic {
            generator: [random(&[TAPS * 2, 2]), random(&[TAPS * 2])],
            std: random(&[2, TAPS]),
            mean: random(&[2, TAPS]),
        };
        let map = random(&[1, 3, 3, 2]);
        let found = dynamic.filters(&Tensor::cat(&[&map, &map.flip([1, 2]), &(&map + 1.0)], 0));
        let apart = |i: i64| (found.get(0) - found.get(i)).abs().max().double_value(&[]);
        assert!(apart(1) < 1e-5 && apart(2) > 1e-3);
    }
}
