//! What the machine can do: products a second, and bytes a second.

use polyptych_kernels::linear;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

use crate::call::random;
use crate::piece::{Piece, Role};
use crate::work::Work;

/// Rows, inputs and outputs of the products.
const SIDES: [i64; 3] = [1024, 2048, 4096];
/// Numbers of an array that is moved, 256 MiB: more than caches hold.
const NUMBERS: i64 = 1 << 26;

/// Products in `kind`, a copy and a triad.
pub(crate) fn all(kind: Kind) -> Vec<Piece> {
    let products = SIDES.iter().map(|&side| product(side, kind));
    products.chain([copy(), triad()]).collect()
}

fn product(n: i64, kind: Kind) -> Piece {
    let (x, weight) = (random(&[n, n], kind), random(&[n, n], kind));
    let work = Work::new(2 * n * n * n, 3 * n * n, kind.elt_size_in_bytes() as i64);
    Piece::new((Role::Products, format!("{n} x {n} by {n} x {n}")), (1, work), move || {
        drop(no_grad(|| linear(&x, &weight, None)));
        Ok(())
    })
}

fn array() -> Tensor {
    Tensor::ones([NUMBERS], (Kind::Float, Device::Cpu))
}

/// `a = b`.
fn copy() -> Piece {
    let (mut a, b) = (array(), array());
    let work = Work::new(0, 2 * NUMBERS, 4);
    Piece::new((Role::Memory, "copy".into()), (1, work), move || {
        a.copy_(&b);
        Ok(())
    })
}

/// `a = b + s (c - b)`: two read, one written, as in STREAM's triad.
fn triad() -> Piece {
    let (a, b, c) = (array(), array(), array());
    let work = Work::new(3 * NUMBERS, 3 * NUMBERS, 4);
    Piece::new((Role::Memory, "triad".into()), (1, work), move || {
        drop(b.lerp_scalar_out(&a, &c, 0.25));
        Ok(())
    })
}
