//! What the machine can do: products a second, and bytes a second that memory moves.

use polyptych_kernels::linear;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

/// Numbers of an array that is moved, 256 MiB: more than caches hold.
const NUMBERS: i64 = 1 << 26;

/// One operation whose speed is a limit of the machine.
pub struct Ceiling {
    flops: i64,
    bytes: i64,
    run: Box<dyn FnMut()>,
}

impl Ceiling {
    /// A product of matrices `[side, side]` of `kind`.
    pub fn product(side: i64, kind: Kind) -> Self {
        let matrix = || Tensor::randn([side, side], (Kind::Float, Device::Cpu)).to_kind(kind);
        let (x, weight) = (matrix(), matrix());
        let run = move || drop(no_grad(|| linear(&x, &weight, None)));
        let bytes = 3 * side * side * kind.elt_size_in_bytes() as i64;
        Self { flops: 2 * side * side * side, bytes, run: Box::new(run) }
    }

    /// `a = b`.
    pub fn copy() -> Self {
        let (mut a, b) = (moved(), moved());
        Self { flops: 0, bytes: 2 * 4 * NUMBERS, run: Box::new(move || a.copy_(&b)) }
    }

    /// `a = b + s (c - b)`: two read, one written, as in STREAM's triad.
    pub fn triad() -> Self {
        let (a, b, c) = (moved(), moved(), moved());
        let run = move || drop(b.lerp_scalar_out(&a, &c, 0.25));
        Self { flops: 3 * NUMBERS, bytes: 3 * 4 * NUMBERS, run: Box::new(run) }
    }

    /// Floating-point operations of a round.
    pub fn flops(&self) -> i64 {
        self.flops
    }

    /// Bytes that a round cannot read and write less than.
    pub fn bytes(&self) -> i64 {
        self.bytes
    }

    /// One round.
    pub fn run(&mut self) {
        (self.run)();
    }
}

fn moved() -> Tensor {
    Tensor::ones([NUMBERS], (Kind::Float, Device::Cpu))
}
