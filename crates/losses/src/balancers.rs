//! How are tasks weighed, step by step?
//!
//! Three kinds of method stand behind one seam. A [`LossBalancer`] looks at losses and weighs
//! them; a [`GramCombiner`] looks at the inner products of the tasks' gradients and weighs those;
//! a [`RowCombiner`] needs the gradients themselves. A [`Balancing`] joins one loss balancer with
//! at most one combiner, which then sees the gradients of weighed losses. AdaTask takes the
//! optimiser's place and lives in the tensor crate; the listing names it.
//!
//! Everything about `T` tasks is float64 on the CPU. Nothing draws from a shared generator: chance
//! comes from a [`Key`], so a resumed run is the same run.
//!
//! In all files: `T` tasks, losses `L_i`, rows `g_i = dL_i / d theta` over the `P` shared
//! parameters, `G` their Gram matrix, `n_i = |g_i|`, `d` the direction that takes the place of the
//! gradient. Defaults are those of LibMTL (arXiv 2203.14338) unless the field says otherwise.

mod adam;
mod aligned_mtl;
mod auto_lambda;
mod balancing;
mod batch;
mod cagrad;
mod config;
mod db_mtl;
mod dualproj;
mod dwa;
mod ew;
mod fairgrad;
mod famo;
mod gls;
mod graddrop;
mod gradnorm;
mod gradvac;
mod gram;
mod imtl_g;
mod imtl_l;
mod info;
mod key;
mod learning;
mod log_loss;
mod mgda;
mod mgda_ub;
mod moco;
mod nash_mtl;
mod pcgrad;
#[cfg(test)]
mod properties;
mod rlw;
mod row_state;
mod rows;
mod sdmgrad;
mod seam;
mod solve;
mod state;
mod stch;
#[cfg(test)]
mod testing;
mod upgrad;
mod uw;

pub use aligned_mtl::{AlignedMtl, AlignedScale};
pub use auto_lambda::AutoLambda;
pub use balancing::{Balancing, BalancingConfig, BalancingState, PrivateGrad, RowWeights};
pub use batch::Batch;
pub use cagrad::Cagrad;
pub use config::{Balancer, BalancerConfig};
pub use db_mtl::DbMtl;
pub use dualproj::Dualproj;
pub use dwa::Dwa;
pub use ew::Ew;
pub use fairgrad::Fairgrad;
pub use famo::Famo;
pub use gls::Gls;
pub use graddrop::Graddrop;
pub use gradnorm::{Gradnorm, GradnormForm, NormsOver};
pub use gradvac::Gradvac;
pub use gram::Gram;
pub use imtl_g::ImtlG;
pub use imtl_l::ImtlL;
pub use info::{BalancerInfo, BalancerKind, balancers};
pub use key::Key;
pub use log_loss::LogLoss;
pub use mgda::{Mgda, Normalization};
pub use mgda_ub::{FeatureRows, MgdaUb};
pub use moco::{Moco, Projection};
pub use nash_mtl::NashMtl;
pub use pcgrad::Pcgrad;
pub use rlw::Rlw;
pub use row_state::RowState;
pub use rows::{cross_of_rows, gram_of_rows};
pub use sdmgrad::{Sdmgrad, SdmgradSolver};
pub use seam::{GramCombiner, LossBalancer, Reduction, RowCombiner, Weighing};
pub use state::State;
pub use stch::Stch;
pub use upgrad::Upgrad;
pub use uw::Uw;
