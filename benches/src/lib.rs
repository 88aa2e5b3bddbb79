//! How fast is it? Each file in `benches/` answers one question with criterion.
//!
//! Ratios between programs come from [`interleaved`], which times them in turn, so that whatever
//! else a machine does slows all of them alike.

mod clock;
mod interleaved;
mod machine;

pub use clock::Clock;
pub use interleaved::{Quartiles, Rounds, interleaved};
pub use machine::machine;
