//! Running a part of a network again in the backward pass, instead of keeping what it needs there.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;

use crate::operations::Dropping;

/// `run()`, of which nothing is kept for the backward pass: `again` makes it once more there.
///
/// `again` is called in every backward pass that goes through the operations of `run`, and must do
/// the same operations: it draws the same dropout, and draws to come are not moved by that. If it
/// fails or panics, the backward pass is an error. `x` tells the device.
///
/// Nothing changes where no gradient will be asked for, in a trace, and within another call.
///
/// # Panics
/// A device that has no generator.
pub fn recompute<R>(x: &Tensor, again: impl Fn() + 'static, run: impl FnOnce() -> R) -> R {
    let _dropping = Dropping::begin(Repeat(Box::new(again)), x);
    run()
}

/// What a backward pass calls. The graph owns it, and may run and free it on a thread of its own;
/// the thread that asked for the backward pass waits meanwhile.
pub(crate) struct Repeat(Box<dyn Fn()>);

impl Repeat {
    /// Calls it; a panic must not cross over into C++.
    pub(crate) fn run(&self) -> Result<(), String> {
        catch_unwind(AssertUnwindSafe(&self.0)).map_err(|payload| message(payload.as_ref()))
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    format!("run again in the backward pass: {}", text.unwrap_or("panicked"))
}
