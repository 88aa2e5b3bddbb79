//! Running a part of a network again in the backward pass, instead of keeping what it needs there.

use tch::Tensor;

use crate::bridge::{at, ffi};
use crate::repeat::Repeat;

/// `run()`, of which nothing is kept for the backward pass: `again` makes it once more there.
///
/// `again` is called in every backward pass that goes through the operations of `run`, and must do
/// the same operations: it draws the same dropout, and draws to come are not moved by that. If it
/// fails or panics, the backward pass is an error. `x` tells the device. Nothing changes where no
/// gradient will be asked for, in a trace, and within another call.
///
/// # Threads
/// `again` need not be `Send`: it is called and freed by the thread that made it, or by a thread of
/// LibTorch's for a device while its own waits in a backward pass. A backward pass that another
/// thread asks for is an error. If another thread frees the graph, `again` is freed by the next
/// call on its own thread, and never if that has ended.
///
/// # Effects on the process
/// The first call that records anything replaces LibTorch's autograd engine by one that differs in
/// two things: it says what stands for the tensors that operations of `run` keep, and it notes
/// which threads are in a backward pass. Every backward pass of the process goes through it. The
/// hooks for kept tensors that Python's `torch.autograd.graph.saved_tensors_hooks` sets are not
/// asked from then on.
///
/// # Panics
/// A device that has no generator.
pub fn recompute<R>(x: &Tensor, again: impl Fn() + 'static, run: impl FnOnce() -> R) -> R {
    let begun = ffi::begin_first_run(Box::new(Repeat(Box::new(again))), at(x));
    let _first_run = begun.unwrap_or_else(|error| panic!("recompute: {error}"));
    run()
}
