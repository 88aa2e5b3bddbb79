//! Joins a [`Balancer`](polyptych_losses::balancers::Balancer) with the trainer: which gradients
//! are needed, and what goes into them.
//!
//! Loss weighting costs one backward pass of weighted losses. A gradient aggregator costs one for
//! each task: the task gradients over the shared parameters, which it aggregates, and the gradients
//! of each task's own parameters, which it may weight. Which parameters are shared is asked of
//! autograd before the first step of a process.
//!
//! Three methods ask for more: GradNorm for the norms of gradients over some shared parameters,
//! MGDA-UB for gradients that end at a [`Cut`](crate::model::features::Cut) in front of the heads,
//! and AdaTask, in the optimiser's place, for the task gradients themselves.
//!
//! A task without labels in a batch has no task gradient and moves no memory; its own parameters
//! get a gradient of 0. A loss or gradient that is not finite leaves everything as it was.
//!
//! A [`TaskBalancer`](task_balancer::TaskBalancer) is what a recipe asks for and a checkpoint
//! remembers. It cannot go back through a model: that needs a
//! [`Prepared`](prepared::Prepared), which knows the shared parameters.

mod feature_gradients;
pub(crate) mod gradients;
mod last_block;
pub(crate) mod look_ahead;
mod matrix;
pub(crate) mod numbers;
pub(crate) mod one_pass;
pub(crate) mod parameter_sharing;
pub(crate) mod prepared;
pub(crate) mod prepared_balancer;
mod shared_clip;
mod state;
pub(crate) mod step;
mod step_info;
pub(crate) mod task_balancer;
mod task_gradients;
#[cfg(test)]
mod tests;
