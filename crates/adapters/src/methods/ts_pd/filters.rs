//! Filters of tasks on spectra, and what spectra of other tasks add.

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_tensor::{Activations, Kind, Neck, Tensor, cast};

use super::spectrum::{Size, Spectrum, Transform};
use crate::blocks::tensors::widened;

/// Radius up to which magnitudes join.
const LOW: f64 = 0.5;
/// Radius from which edges join, in full `EDGE_WIDTH` later.
const EDGE: f64 = 0.8;
const EDGE_WIDTH: f64 = 0.2;
/// Largest strengths of both.
const MOST_LOW: f64 = 0.5;
const MOST_HIGH: f64 = 0.3;

/// The filters of all tasks at a level, a tensor for each task.
#[derive(Debug)]
pub(super) struct Filters {
    /// `[bins, dim]`.
    pub(super) d: Vec<Tensor>,
    /// `[dim]`.
    pub(super) g: Vec<Tensor>,
    /// `[dim]`.
    pub(super) h: Vec<Tensor>,
    /// `[1]`.
    pub(super) alpha: Vec<Tensor>,
}

/// How tasks take of each other at a level, `[1]` for each task.
#[derive(Debug)]
pub(super) struct Cross {
    /// `a_low`.
    pub(super) low: Vec<Tensor>,
    /// `a_high`.
    pub(super) high: Vec<Tensor>,
    /// `g_low`.
    pub(super) gain_low: Vec<Tensor>,
    /// `g_high`.
    pub(super) gain_high: Vec<Tensor>,
}

/// What stands behind all levels.
#[derive(Debug)]
pub(super) struct TaskSpectra {
    pub(super) levels: Vec<Level>,
    pub(super) tasks: i64,
}

/// What stands behind a level.
#[derive(Debug)]
pub(super) struct Level {
    filters: Filters,
    cross: Option<Cross>,
    /// For maps of the last size. Exports trace a second pass: numbers that the first one made are
    /// constants there.
    tables: RefCell<Option<Rc<Tables>>>,
}

/// What filters need for maps of one size.
#[derive(Debug)]
struct Tables {
    transform: Transform,
    /// `bin(r)` of every entry.
    rings: Tensor,
    /// 1 where magnitudes join, `[width / 2 + 1, height, 1]`.
    low: Tensor,
    /// `e(r)`, of the same shape.
    edges: Tensor,
}

impl Neck for TaskSpectra {
    fn forward(&self, levels: Vec<Activations>, _train: bool) -> Vec<Activations> {
        let each = self.levels.iter().zip(levels);
        each.map(|(level, x)| level.forward(&x, self.tasks)).collect()
    }
}

impl Level {
    pub(super) fn new(filters: Filters, cross: Option<Cross>) -> Self {
        Self { filters, cross, tables: RefCell::default() }
    }

    fn forward(&self, level: &Activations, tasks: i64) -> Activations {
        let streams = match level {
            Activations::Shared(shared) => {
                let size = [&[tasks], shared.size().as_slice()].concat();
                shared.unsqueeze(0).expand(size.as_slice(), false)
            }
            Activations::Both { per_task, .. } | Activations::PerTask(per_task) => {
                per_task.shallow_clone()
            }
        };
        let x = widened(&streams);
        let tables = self.tables(Size::of(&x));
        let raw = tables.transform.forward(&x);
        let mut y = self.filters.forward(&x, &raw, &tables);
        if let Some(cross) = &self.cross {
            let added = cross.added(&tables.transform.forward(&y), &raw, &tables);
            y += tables.transform.inverse(&added);
        }
        Activations::PerTask(cast(&y, streams.kind()))
    }

    fn tables(&self, size: Size) -> Rc<Tables> {
        let mut last = self.tables.borrow_mut();
        let kept = last.take().filter(|tables| tables.transform.size() == size);
        last.insert(kept.unwrap_or_else(|| Rc::new(Tables::new(size, self.filters.bins())))).clone()
    }
}

impl Tables {
    fn new(size: Size, bins: i64) -> Self {
        let transform = Transform::new(size);
        let radii = transform.radii();
        let mask = |of: fn(f64) -> f64| {
            let values: Vec<f32> = radii.iter().map(|&r| of(r) as f32).collect();
            size.constant(&values).view(transform.shape())
        };
        // Corners lie farther out than any axis goes, and belong to the last ring.
        let bin = |r: &f64| ((r * bins as f64) as i64).min(bins - 1);
        let rings: Vec<i64> = radii.iter().map(bin).collect();
        Self {
            rings: Tensor::from_slice(&rings).to_device(size.device),
            low: mask(is_low),
            edges: mask(edge),
            transform,
        }
    }
}

impl Filters {
    /// `x + alpha (g Y + h - x)` for `x`: `[tasks, batch, height, width, dim]` with spectrum `raw`.
    ///
    /// `Y` is summed of `x` and its change, so that the start is exactly the identity.
    fn forward(&self, x: &Tensor, raw: &Spectrum, tables: &Tables) -> Tensor {
        let [g, h, alpha] = [&self.g, &self.h, &self.alpha].map(|all| stacked(all, x));
        let filtered = x + tables.transform.inverse(&raw.times(&self.gains(tables, x)));
        x + alpha * (g * filtered + h - x)
    }

    /// `d[bin(r)]` of every entry, `[tasks, 1, width / 2 + 1, height, dim]`.
    fn gains(&self, tables: &Tables, like: &Tensor) -> Tensor {
        let [columns, rows, _] = tables.transform.shape();
        let d = Tensor::stack(&self.d, 0);
        let gains = d.index_select(1, &tables.rings).unflatten(1, [columns, rows]);
        cast(&gains, like.kind()).unsqueeze(1)
    }

    fn bins(&self) -> i64 {
        self.d.first().map_or(1, |d| d.size()[0])
    }
}

impl Cross {
    /// What joins `own`, the spectra of all tasks, from the others of `raw`.
    fn added(&self, own: &Spectrum, raw: &Spectrum, tables: &Tables) -> Spectrum {
        let like = &own.re;
        let strength = |all: &[Tensor], most: f64| stacked(all, like).tanh() * most;
        let others = mean_of_others(raw);
        let ratio = others.magnitude() * stacked(&self.gain_low, like) / own.magnitude();
        let low = strength(&self.low, MOST_LOW) * &tables.low;
        let edges = strength(&self.high, MOST_HIGH) * &tables.edges;
        let wanted = others.times(&stacked(&self.gain_high, like));
        own.times(&(low * (ratio - 1.0))).plus(&wanted.minus(own).times(&edges))
    }
}

fn is_low(r: f64) -> f64 {
    if r <= LOW { 1.0 } else { 0.0 }
}

fn edge(r: f64) -> f64 {
    ((r - EDGE) / EDGE_WIDTH).clamp(0.0, 1.0)
}

/// For every task the mean of the spectra of the other ones.
fn mean_of_others(raw: &Spectrum) -> Spectrum {
    let others = (raw.re.size()[0] - 1) as f64;
    let mean = |part: &Tensor| {
        (part.sum_dim_intlist([0i64].as_slice(), true, None::<Kind>) - part) / others
    };
    Spectrum { re: mean(&raw.re), im: mean(&raw.im) }
}

/// Tensors of tasks, `[n]` each, as `[tasks, 1, 1, 1, n]`.
fn stacked(all: &[Tensor], like: &Tensor) -> Tensor {
    let stacked = cast(&Tensor::stack(all, 0), like.kind());
    stacked.unsqueeze(1).unsqueeze(1).unsqueeze(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Tensor {
        Tensor::from_slice(values)
    }

    fn filters(d: &[f32]) -> Filters {
        let one = |value: f32| vec![of(&[value])];
        let d = vec![of(d).view([-1, 1])];
        Filters { d, g: one(1.0), h: one(0.0), alpha: one(1.0) }
    }

    /// A map of 4 x 4 numbers behind a filter that raises low frequencies and lowers others.
    fn filtered(values: &[f32]) -> Vec<f32> {
        let x = of(values).view([1, 1, 4, 4, 1]);
        let tables = Tables::new(Size::of(&x), 3);
        // Bins are [0, 1/3), [1/3, 2/3), [2/3, ..): the first two end before the axes' 1.
        let filters = filters(&[0.5, 0.5, -0.5]);
        let y = filters.forward(&x, &tables.transform.forward(&x), &tables);
        Vec::try_from(y.flatten(0, -1)).unwrap()
    }

    #[test]
    fn filters_are_of_rings_around_the_constant_part() {
        let flat = filtered(&[1.0; 16]);
        assert!(flat.iter().all(|y| (y - 1.5).abs() < 1e-5), "{flat:?}");
        let ramp: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let y = filtered(&ramp);
        let expected = [(0, [2.5, 3.0, 5.5, 6.0]), (12, [16.5, 17.0, 19.5, 20.0])];
        for (from, row) in expected {
            let close = y[from..from + 4].iter().zip(row).all(|(y, e)| (y - e).abs() < 1e-4);
            assert!(close, "{y:?}");
        }
    }

    #[test]
    fn tasks_take_of_the_mean_of_the_others() {
        // Three tasks at one entry: 3 + 4i, and donors 6 + 8i and 10i.
        let part = |values: &[f32]| of(values).view([3, 1, 1, 1, 1]);
        let raw = Spectrum { re: part(&[3.0, 6.0, 0.0]), im: part(&[4.0, 8.0, 10.0]) };
        let cross = |low: f32, high: f32| {
            let of = |value: f32| (0..3).map(|_| of(&[value])).collect::<Vec<_>>();
            // Strengths of 0.25 and 0.15 are tanh(a) = 0.5.
            let at = |on: f32| of(on * 0.549_306_1);
            let gain = || of(1.0);
            Cross { low: at(low), high: at(high), gain_low: gain(), gain_high: gain() }
        };
        // A map of one number has the constant part alone; one of 1 x 2 an edge at index 1.
        let first =
            |s: &Spectrum, k: i64| [&s.re, &s.im].map(|part| part.double_value(&[0, 0, k, 0, 0]));
        let tables =
            |width: i64| Tables::new(Size::of(&of(&[0.0]).expand([1, 1, 1, width, 1], false)), 1);
        let found = raw.plus(&cross(1.0, 0.0).added(&raw, &raw, &tables(1)));
        let [re, im] = first(&found, 0);
        assert!((re - 3.673_025).abs() < 1e-4 && (im - 4.897_367).abs() < 1e-4, "{re} {im}");
        let twice = |part: &Tensor| Tensor::cat(&[part, part], 2);
        let wide = Spectrum { re: twice(&raw.re), im: twice(&raw.im) };
        let found = wide.plus(&cross(0.0, 1.0).added(&wide, &wide, &tables(2)));
        let ([re, im], untouched) = (first(&found, 1), first(&found, 0));
        assert!((re - 3.0).abs() < 1e-5 && (im - 4.75).abs() < 1e-5, "{re} {im}");
        assert_eq!(untouched, [3.0, 4.0]);
    }
}
