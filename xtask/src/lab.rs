//! What runs `polyptych` and measures it: training, comparisons, speed, faults.

pub(crate) mod baselines;
pub(crate) mod bench;
pub(crate) mod fuzz;
pub(crate) mod gpu;
pub(crate) mod load;
mod machine;
mod page;
pub(crate) mod parity;
mod plot;
pub(crate) mod pretrain;
pub(crate) mod program;
mod recipe;
pub(crate) mod reproduce;
pub(crate) mod soak;
pub(crate) mod torture;
pub(crate) mod train;
