//! The principal axes of what frozen filters answer.
//!
//! `U`, `[out, out]`, has the eigenvectors of the covariance of `y = W x` over all places of training
//! images in its columns, the widest first: `y = U U^T y`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use polyptych_tensor::{Kind, PlainPass, Result, Tensor, no_grad};

/// The axes of one layer, and what they are found from.
#[derive(Debug)]
pub(super) struct Responses {
    /// `U`, the identity until it was found.
    pub(super) axes: Tensor,
    /// `V_t` of every task where it is a full matrix; it starts at `U`.
    full: Vec<Tensor>,
    sums: RefCell<Option<Sums>>,
}

/// Over all places that were seen, in float64.
#[derive(Debug)]
struct Sums {
    count: f64,
    /// `[out]`.
    first: Tensor,
    /// `[out, out]`.
    second: Tensor,
}

impl Responses {
    pub(super) fn new(axes: Tensor, full: Vec<Tensor>) -> Self {
        Self { axes, full, sums: RefCell::default() }
    }

    /// Notes the answers `y`, `[.., out]`, without their bias.
    pub(super) fn note(&self, y: &Tensor) {
        let rows = y.detach().flatten(0, -2).to_kind(Kind::Double);
        let first = rows.sum_dim_intlist([0i64].as_slice(), false, None::<Kind>);
        let seen = Sums { count: rows.size()[0] as f64, first, second: rows.tr().matmul(&rows) };
        let mut sums = self.sums.borrow_mut();
        *sums = Some(match sums.take() {
            None => seen,
            Some(Sums { count, first, second }) => Sums {
                count: count + seen.count,
                first: first + seen.first,
                second: second + seen.second,
            },
        });
    }

    /// Turns the axes, and full modulators with them.
    fn turn(&self) {
        let Some(Sums { count, first, second }) = self.sums.take() else { return };
        let mean = first / count;
        let covariance = second / count - mean.outer(&mean);
        let (_, vectors) = covariance.linalg_eigh("L");
        // Eigenvalues come in ascending order.
        let axes = vectors.flip([1]);
        no_grad(|| {
            for own in self.full.iter().chain([&self.axes]) {
                own.shallow_clone().copy_(&axes);
            }
        });
    }

    fn is_turned(&self) -> bool {
        let axes = &self.axes;
        let identity = Tensor::eye(axes.size()[0], (axes.kind(), axes.device()));
        !no_grad(|| axes.equal(&identity))
    }
}

/// The axes of all layers.
#[derive(Debug)]
pub(super) struct AllResponses {
    images: usize,
    plain: Cell<bool>,
    layers: RefCell<Vec<Rc<Responses>>>,
}

impl AllResponses {
    /// They are found from as many training images.
    pub(super) fn of(images: usize) -> Self {
        Self { images, plain: Cell::new(false), layers: RefCell::default() }
    }

    pub(super) fn push(&self, layer: Rc<Responses>) {
        self.layers.borrow_mut().push(layer);
    }

    pub(super) fn is_plain(&self) -> bool {
        self.plain.get()
    }
}

impl PlainPass for AllResponses {
    fn set_plain(&self, plain: bool) {
        self.plain.set(plain);
    }

    fn is_ready(&self) -> bool {
        self.layers.borrow().iter().any(|layer| layer.is_turned())
    }

    fn images(&self) -> usize {
        self.images
    }

    fn needs_features_only(&self) -> bool {
        false
    }

    fn prepare(&self, _features: &Tensor) -> Result<()> {
        self.layers.borrow().iter().for_each(|layer| layer.turn());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    /// Answers that are wide along (1, 1) and narrow along (1, -1), around another centre.
    #[test]
    fn axes_are_the_principal_ones_of_all_answers() {
        polyptych_tensor::manual_seed(0);
        let options = (Kind::Float, Device::Cpu);
        let full = Tensor::eye(2, options);
        let responses = Rc::new(Responses::new(Tensor::eye(2, options), vec![full]));
        let all = AllResponses::of(8);
        all.push(responses.clone());
        assert!(!all.is_ready());
        for _ in 0..2 {
            let (wide, narrow) = (Tensor::randn([500], options), Tensor::randn([500], options));
            let rows = [&wide * 3.0 + &narrow * 0.1 + 5.0, &wide * 3.0 - &narrow * 0.1];
            responses.note(&Tensor::stack(&rows, 1).view([50, 10, 2]));
        }
        all.prepare(&Tensor::zeros([8, 0], options)).unwrap();
        assert!(all.is_ready());
        let axes = &responses.axes;
        assert!((axes.abs() - 0.5f64.sqrt()).abs().max().double_value(&[]) < 1e-2);
        // The first column has equal signs.
        assert!(axes.double_value(&[0, 0]) * axes.double_value(&[1, 0]) > 0.0);
        let unit = axes.tr().matmul(axes) - Tensor::eye(2, options);
        assert!(unit.abs().max().double_value(&[]) < 1e-6);
        assert!(responses.full[0].equal(axes));
    }
}
