//! What a backward pass runs again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a backward pass calls; the graph owns it.
pub(crate) struct Repeat(pub(crate) Box<dyn Fn()>);

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
