//! Diffeomorphisms of an interval: the flow of a continuous, piecewise affine velocity (CPAB).

use polyptych_tensor::{Kind, Tensor};

/// How near to zero an exponent is when its series is exact to the last digit.
const SMALL: f64 = 1e-5;

/// How far the flow of one unit of time moves `x`, `[n]`, for every task: `[tasks, n]`, float64.
///
/// `knots`: `[tasks, cells + 1]`, velocities at the ends of equal cells of `[0, 1]`, between which
/// they are affine. Solved in closed form, cell by cell: within one `x(t) = x + v t (e^(a t) - 1) /
/// (a t)`, and its end is met at `t = (d / v) log(1 + a d / v) / (a d / v)`, `d` away. Outside of the
/// interval the outer cells continue. Zero velocities move nothing, to the last bit.
pub(super) fn displacement(x: &Tensor, knots: &Tensor) -> Tensor {
    let [tasks, points] = knots.size()[..] else { unreachable!("knots are [tasks, cells + 1]") };
    let start = x.to_kind(Kind::Double).unsqueeze(0).expand([tasks, -1], false);
    let mut flow = Flow::new(&start, knots.to_kind(Kind::Double), points - 1);
    // A flow on a line never turns back, so that no point meets a cell twice.
    for _ in 0..points {
        flow.advance();
        if flow.is_over() {
            break;
        }
    }
    flow.x - start
}

#[derive(Debug)]
struct Flow {
    knots: Tensor,
    cells: i64,
    x: Tensor,
    /// The cell that `x` lies in.
    cell: Tensor,
    /// What is left of the unit of time.
    time: Tensor,
}

impl Flow {
    fn new(start: &Tensor, knots: Tensor, cells: i64) -> Self {
        let cell = (start * cells as f64).floor().clamp(0.0, cells as f64 - 1.0);
        let (x, time) = (start.shallow_clone(), start.ones_like());
        Self { knots, cells, x, cell: cell.to_kind(Kind::Int64), time }
    }

    /// Moves every point to the end of its time or of its cell.
    fn advance(&mut self) {
        let cells = self.cells as f64;
        let at = |cell: &Tensor| self.knots.gather(1, cell, false);
        let left = at(&self.cell);
        let slope = (at(&(&self.cell + 1)) - &left) * cells;
        let velocity = left + &slope * (&self.x - &self.cell / cells);
        let (right, still) = (velocity.gt(0.0), velocity.eq(0.0));
        let target = (&self.cell + right.to_kind(Kind::Int64)) / cells;
        let safe = velocity.where_self(&still.logical_not(), &velocity.ones_like());
        let straight = (&target - &self.x) / safe;
        // The velocity at the target over that here, minus 1: below -1 the flow stops before it.
        let growth = &slope * &straight;
        let outer = right.logical_and(&self.cell.eq(self.cells - 1));
        let outer = outer.logical_or(&right.logical_not().logical_and(&self.cell.eq(0)));
        let meets = growth.gt(-1.0 + 1e-12).logical_and(&still.logical_or(&outer).logical_not());
        let growth = growth.where_self(&meets, &growth.zeros_like());
        let never = velocity.full_like(f64::INFINITY);
        let needed = (straight * log1p_over(&growth)).where_self(&meets, &never);
        let ends = needed.ge_tensor(&self.time);
        let exponent = &slope * &self.time;
        let exponent = exponent.where_self(&ends, &exponent.zeros_like());
        let along = &self.x + velocity * &self.time * expm1_over(&exponent);
        let time = (&self.time - needed).where_self(&ends.logical_not(), &self.time.zeros_like());
        let next = right.to_kind(Kind::Int64) * 2 - 1;
        self.cell = &self.cell + next * ends.logical_not().to_kind(Kind::Int64);
        self.x = along.where_self(&ends, &target);
        self.time = time;
    }

    fn is_over(&self) -> bool {
        self.time.gt(0.0).any().int64_value(&[]) == 0
    }
}

/// `(e^z - 1) / z`, 1 at 0.
fn expm1_over(z: &Tensor) -> Tensor {
    let large = z.abs().gt(SMALL);
    let safe = z.where_self(&large, &z.ones_like());
    (safe.expm1() / safe).where_self(&large, &(z * 0.5 + z * z / 6.0 + 1.0))
}

/// `log(1 + w) / w`, 1 at 0.
fn log1p_over(w: &Tensor) -> Tensor {
    let large = w.abs().gt(SMALL);
    let safe = w.where_self(&large, &w.ones_like());
    (safe.log1p() / safe).where_self(&large, &(w * w / 3.0 - w * 0.5 + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [f64; 7] = [0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9];

    fn knots() -> Tensor {
        Tensor::from_slice(&[0.0f64, 0.5, -0.3, 0.2, 0.0]).unsqueeze(0)
    }

    fn largest(difference: Tensor) -> f64 {
        difference.abs().max().double_value(&[])
    }

    /// Numbers that the closed form and RK4 gave elsewhere.
    #[test]
    fn the_flow_is_that_of_its_velocity() {
        let x = Tensor::from_slice(&POINTS);
        let expected = [0.378658, 0.399881, 0.401919, 0.410071, 0.428413, 0.887668, 0.955067];
        let found = &x + displacement(&x, &knots()).get(0);
        assert!(largest(found - Tensor::from_slice(&expected)) < 1e-6);
    }

    #[test]
    fn the_flow_back_is_the_inverse() {
        let x = Tensor::from_slice(&POINTS);
        let there = displacement(&x, &knots()).get(0);
        let back = displacement(&(&x + &there), &-knots()).get(0);
        assert!(largest(there + back) < 1e-9);
    }

    #[test]
    fn order_and_ends_stay() {
        let x = Tensor::linspace(0.0, 1.0, 101, (Kind::Double, polyptych_tensor::Device::Cpu));
        let moved = &x + displacement(&x, &(knots() * 3.0)).get(0);
        assert_eq!((moved.double_value(&[0]), moved.double_value(&[100])), (0.0, 1.0));
        assert!(moved.diff::<Tensor>(1, 0, None, None).min().double_value(&[]) > 0.0);
        let none = displacement(&x, &(knots() * 0.0));
        assert_eq!(largest(none), 0.0);
    }

    #[test]
    fn gradients_are_differences() {
        let x = Tensor::from_slice(&POINTS);
        for scale in [0.0, 1.0] {
            let theta = (knots() * scale).set_requires_grad(true);
            displacement(&x, &theta).square().sum(Kind::Double).backward();
            displacement(&x, &theta).sum(Kind::Double).backward();
            let value = |theta: &Tensor| {
                let moved = displacement(&x, theta);
                (moved.square() + moved).sum(Kind::Double).double_value(&[])
            };
            for knot in 0..5 {
                let step = Tensor::from_slice(&[0.0f64; 5]).unsqueeze(0);
                let _ = step.get(0).get(knot).fill_(1e-5);
                let base = theta.detach();
                let expected = (value(&(&base + &step)) - value(&(&base - &step))) / 2e-5;
                let found = theta.grad().double_value(&[0, knot]);
                assert!((found - expected).abs() < 1e-4, "{scale}, {knot}: {found}, {expected}");
            }
        }
    }
}
