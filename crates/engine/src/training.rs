//! Training: which gradients a step has, the loop over steps, and where a run begins.
//!
//! Nothing depends on what happened before a step but the checkpointed state: the generator of
//! dropout is seeded anew from seed and step, and batches follow from seed, epoch and index.
//! So `N + N` steps are `2 N` steps, bit for bit on the CPU, where a process has one run at a time:
//! LibTorch's generator is the process's.

pub(crate) mod balance;
pub(crate) mod conflict;
mod distil;
mod dump;
mod grouping;
mod learner;
pub(crate) mod log;
pub(crate) mod objective;
mod prepare;
pub(crate) mod ranks;
pub(crate) mod reduce;
mod report;
mod standing;
mod start;
mod trainer;

pub use dump::{Number, StepDump};
pub use ranks::RankReport;
pub use report::{Observer, Preparation, StepReport, TrainOutcome};
pub use trainer::Trainer;
