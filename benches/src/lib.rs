//! How fast is it? Each file in `benches/` answers one question with criterion.
//!
//! Ratios between programs come from [`interleaved`], which times them round by round, so that whatever
//! else a machine does slows all of them alike. What is measured in more than one place is a
//! [`Subject`]: a method on the backbone of its paper, and its [`Step`] of training.

mod ceiling;
mod clock;
mod interleaved;
mod machine;
mod recipe;
mod step;
mod subject;

#[cfg(all(unix, not(target_env = "musl")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub use ceiling::Ceiling;
pub use clock::Clock;
pub use interleaved::{Quartiles, Rounds, interleaved};
pub use machine::machine;
pub use recipe::recipe;
pub use step::Step;
pub use subject::{Method, Subject};
