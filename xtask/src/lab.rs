//! What runs `polyptych` and measures it: training, comparisons, speed, faults.

pub(crate) mod baselines;
pub(crate) mod bench;
pub(crate) mod claims;
pub(crate) mod copies;
pub(crate) mod fuzz;
pub(crate) mod gpu;
pub(crate) mod load;
mod machine;
mod page;
pub(crate) mod parity;
pub(crate) mod pictures;
mod plot;
pub(crate) mod pretrain;
pub(crate) mod program;
mod recipe;
pub(crate) mod reproduce;
pub(crate) mod scaling;
pub(crate) mod soak;
pub(crate) mod torture;
pub(crate) mod train;
