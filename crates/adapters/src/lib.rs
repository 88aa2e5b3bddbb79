//! What is trained while the rest stays frozen, and how does it merge back?
//!
//! An adapter is a [`Plan`](polyptych_tensor::Plan): it decides what stands at each projection of
//! a backbone, which parameters train, and what merges into the backbone's own weights.
//! This crate knows no backbone; it sees timm's names only.
//!
//! Each of the [`methods`] says all that is special about it in its own file, as a [`Method`];
//! `blocks` are what several of them are made of.

mod blocks;
mod deltas;
mod error;
mod experts;
mod method;
pub mod methods;
mod parameters;
mod peft;

pub use blocks::activation::{InitWeights, NonLinearity};
pub use blocks::hyper::parts::{HyperBias, Hypernetworks};
pub use blocks::parallel::{AdapterInput, LayerNormOption};
pub use blocks::slots::RankShrinking;
pub use blocks::targets::TargetModules;
pub use blocks::width::Bottleneck;
pub use deltas::{apply_delta, changed_by};
pub use error::{Error, Result};
pub use experts::kmeans::{AssignmentCost, KMeansConfig};
pub use experts::{ExpertLayer, construct_experts, moefy};
pub use method::{AddTask, Form, Fusion, Grouping, Language, Method, Pruned, Sources, Take};
pub use methods::AdapterConfig;
pub use methods::fame_vil::CrossAttention;
pub use methods::lv_adapter::LanguageNeck;
pub use parameters::{is_method_parameter, method_parameters};
pub use peft::adapter::{PeftAdapter, load_peft};
pub use peft::config::PeftConfig;
pub use peft::factors::{PeftFactors, PeftSettings};
pub use peft::folder::save_peft;
pub use polyptych_registry::{DynPart, Part};
