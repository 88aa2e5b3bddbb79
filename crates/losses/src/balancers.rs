//! How much does each task count, step by step?
//!
//! Three kinds of method: a [`LossWeighting`](loss::LossWeighting) looks at losses and gives each a
//! weight; a [`GramAggregator`](gradient::GramAggregator) looks at the inner products of the tasks'
//! gradients and weights those; a [`GradientAggregator`](gradient::GradientAggregator) needs the
//! gradients themselves. A [`Balancer`] joins one loss weighting with at most one gradient
//! aggregator, which then sees the gradients of weighted losses. AdaTask takes the optimiser's
//! place and lives in the tensor crate; the [listing](balancers) names it.
//!
//! Everything about `T` tasks is float64 on the CPU. Nothing draws from a shared generator: chance
//! comes from a [`StepSeed`], so a resumed run is the same run.
//!
//! In all files: `T` tasks, losses `L_i`, task gradients `g_i = dL_i / d theta` over the `P` shared
//! parameters, `J` the matrix of these rows, `G = J J^T` their Gram matrix, `n_i = |g_i|`, `d` the
//! direction that takes the place of the gradient. Defaults are those of LibMTL (arXiv 2203.14338)
//! unless the field says otherwise.

mod adatask;
mod balancer;
mod check;
mod config;
mod listing;
mod part;
#[cfg(test)]
mod properties;
mod recipe;
mod reduction;
mod solve;
mod state;
mod step_info;
mod step_seed;
mod tensor_state;
#[cfg(test)]
pub(crate) mod testing;

pub use balancer::{Balancer, BalancerState, GradientWeights};
pub use config::BalancerConfig;
pub use listing::balancers;
pub use part::{BalancerInfo, BalancerKind, BalancerPart, Method, PrivateGrad};
pub use recipe::BalancerRecipe;
pub use reduction::Reduction;
pub use state::State;
pub use step_info::StepInfo;
pub use step_seed::StepSeed;
pub use tensor_state::TensorState;

/// Loss weighting: how much does each task's loss count in a step?
pub mod loss {
    mod adam;
    pub mod auto_lambda;
    pub mod dwa;
    pub mod ew;
    pub mod famo;
    pub mod gls;
    pub mod go4align;
    pub mod gradnorm;
    pub mod imtl_l;
    pub mod log_loss;
    pub mod rlw;
    pub mod stch;
    mod trainable;
    pub mod uw;
    mod weighting;

    pub use weighting::{LossWeighting, NormsOver, TaskWeights};
}

/// Gradient aggregation: what direction do the task gradients give together?
pub mod gradient {
    mod aggregator;
    pub mod aligned_mtl;
    mod bargain;
    pub mod cagrad;
    mod cone;
    pub mod conflict_free;
    pub mod db_mtl;
    pub mod dualproj;
    pub mod excess_mtl;
    pub mod fairgrad;
    pub mod ferero;
    pub mod graddrop;
    pub mod gradvac;
    pub(crate) mod gram;
    pub mod imtl_g;
    pub mod krum;
    pub(crate) mod matrix;
    pub mod mgda;
    pub mod mgda_ub;
    pub mod moco;
    pub mod modo;
    pub mod nash_mtl;
    mod orders;
    pub mod pcgrad;
    pub mod sdmgrad;
    pub mod trimmed_mean;
    pub mod upgrad;

    pub use aggregator::{FeatureGradients, GradientAggregator, GramAggregator};
    pub use gram::Gram;
    pub use matrix::{cross_gram, gram_of_gradients};
}
