//! Matrices as sums of Kronecker products: `W = sum_i A_i (x) B_i`, `i = 1 .. n`.
//!
//! Zhang et al., "Beyond Fully-Connected Layers with Quaternions", ICLR 2021, arXiv 2102.08597,
//! equation 4. `A_i` is `[n, n]`, `B_i` is `[in / n, out / n]`, so `W` is `[in, out]`; the small factor
//! stands on the left.

use polyptych_tensor::{Error, Init, Result, Scope, Site, Tensor, cast};

use crate::blocks::bottleneck::{Matrices, Matrix};

/// Makes matrices of Kronecker products.
#[derive(Debug)]
pub(crate) struct Kronecker {
    /// `n`.
    pub(crate) phm_dim: i64,
    /// Standard deviation of the first values of `A_i`.
    pub(crate) phm_init_range: f64,
    /// Rank of `B_i = s_i t_i`, with `s_i`: `[in / n, rank]`; none for free numbers.
    pub(crate) rank: Option<i64>,
    /// Whether all matrices share their `A_i`.
    pub(crate) shared_rule: bool,
}

impl Kronecker {
    fn rule(&self, scope: &Scope, site: &Site) -> Result<Tensor> {
        let (n, init) = (self.phm_dim, Init::Normal(self.phm_init_range));
        match self.shared_rule {
            true => backbone_of(scope, site).shared_param("adapter_phm_rule", &[n; 3], init),
            false => scope.param("phm_rule", &[n; 3], init),
        }
    }

    fn blocks(&self, scope: &Scope, [p, q]: [i64; 2], zero: bool) -> Result<Blocks> {
        let n = self.phm_dim;
        let last = |init: Init| if zero { Init::ZEROS } else { init };
        Ok(match self.rank {
            None => Blocks::Free(scope.param("W", &[n, p, q], last(Init::glorot(p, q)))?),
            Some(r) => Blocks::Factors {
                left: scope.param("W_left", &[n, p, r], Init::glorot(p, r))?,
                right: scope.param("W_right", &[n, r, q], last(Init::glorot(r, q)))?,
            },
        })
    }

    fn check(&self, scope: &Scope, shape: [i64; 2]) -> Result<()> {
        match shape.iter().all(|extent| extent % self.phm_dim == 0) {
            true => Ok(()),
            false => Err(Error::Config {
                key: format!("phm_dim at {}", scope.path()),
                expected: format!("a divisor of {} and {}", shape[0], shape[1]),
                found: self.phm_dim.to_string(),
            }),
        }
    }
}

impl Matrices for Kronecker {
    fn make(
        &self,
        scope: &Scope,
        site: &Site,
        shape: [i64; 2],
        zero: bool,
    ) -> Result<Box<dyn Matrix>> {
        self.check(scope, shape)?;
        let rule = self.rule(scope, site)?;
        let blocks = self.blocks(scope, shape.map(|extent| extent / self.phm_dim), zero)?;
        Ok(Box::new(KroneckerMatrix { rule, blocks }))
    }
}

/// The scope of the backbone that `scope`, the inside of `site`, lies in, for a method's own
/// parameters.
pub(crate) fn backbone_of(scope: &Scope, site: &Site) -> Scope {
    let above = scope.path().split(&site.path).next().unwrap_or_default();
    let parts = above.split('.').filter(|part| !part.is_empty());
    parts.fold(scope.store().root().adapter(), |scope, part| scope.pp(part))
}

/// `B_1 .. B_n`.
#[derive(Debug)]
enum Blocks {
    Free(Tensor),
    Factors { left: Tensor, right: Tensor },
}

#[derive(Debug)]
struct KroneckerMatrix {
    /// `[n, n, n]`.
    rule: Tensor,
    blocks: Blocks,
}

impl Matrix for KroneckerMatrix {
    fn forward(&self, x: &Tensor) -> Tensor {
        let blocks = match &self.blocks {
            Blocks::Free(blocks) => blocks.shallow_clone(),
            Blocks::Factors { left, right } => left.matmul(right),
        };
        x.matmul(&cast(&sum_of_products(&self.rule, &blocks), x.kind()))
    }
}

/// `sum_i a[i] (x) b[i]` as one product of matrices.
fn sum_of_products(a: &Tensor, b: &Tensor) -> Tensor {
    let (a_size, b_size) = (a.size(), b.size());
    let [n, rows, columns] = [a_size[0], a_size[1], a_size[2]];
    let [p, q] = [b_size[1], b_size[2]];
    let products = a.reshape([n, rows * columns]).tr().matmul(&b.reshape([n, p * q]));
    let products = products.reshape([rows, columns, p, q]).permute([0, 2, 1, 3]);
    products.reshape([rows * p, columns * q])
}

/// `kernel (x) each[t]` for every `t`: `[m, m]` and `[tasks, p, q]` to `[tasks, m p, m q]`.
pub(crate) fn kernel_times_each(kernel: &Tensor, each: &Tensor) -> Tensor {
    let (m, size) = (kernel.size()[0], each.size());
    let products = kernel.view([1, m, 1, m, 1]) * each.view([size[0], 1, size[1], 1, size[2]]);
    products.view([size[0], m * size[1], m * size[2]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn the_small_factor_stands_on_the_left() {
        let matrix = |values: [f32; 4]| Tensor::from_slice(&values).view([1, 2, 2]);
        let (a, b) = (matrix([1.0, 2.0, 0.0, -1.0]), matrix([1.0, 0.0, 3.0, 1.0]));
        let expected: [[f32; 4]; 4] = [
            [1.0, 0.0, 2.0, 0.0],
            [3.0, 1.0, 6.0, 2.0],
            [0.0, 0.0, -1.0, 0.0],
            [0.0, 0.0, -3.0, -1.0],
        ];
        assert!(sum_of_products(&a, &b).equal(&Tensor::from_slice2(&expected)));
        let both = Tensor::cat(&[&b, &(&b * 2.0)], 0);
        let each = kernel_times_each(&a.select(0, 0), &both);
        assert!(each.select(0, 0).equal(&Tensor::from_slice2(&expected)));
        assert!(each.select(0, 1).equal(&(Tensor::from_slice2(&expected) * 2.0)));
    }

    #[test]
    fn a_sum_of_products_is_libtorchs() {
        let draw = |shape: [i64; 3]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (a, b) = (draw([3, 3, 3]), draw([3, 4, 2]));
        let one = |i: i64| a.select(0, i).kron(&b.select(0, i));
        let difference = sum_of_products(&a, &b) - one(0) - one(1) - one(2);
        assert!(difference.abs().max().double_value(&[]) < 1e-5);
    }
}
