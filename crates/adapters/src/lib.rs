//! What is trained while the rest stays frozen, and how does it fold back?
//!
//! An adapter is a [`Plan`](polyptych_tensor::Plan): it decides what stands at each projection of
//! a backbone, which parameters train, and what folds into the backbone's own weights.
//! This crate knows no backbone; it sees timm's names only.

mod adaptformer;
mod bitfit;
mod bottleneck;
mod compacter;
mod dora;
mod emtal;
mod error;
mod experts;
mod houlsby;
mod hyper;
mod hyperformer;
mod kronecker;
mod lora;
mod low_rank;
mod low_rank_adapter;
mod method;
mod mtlora;
mod parallel;
mod parallel_adapter;
mod parameters;
mod peft;
mod phm;
mod polyhistor;
mod relative_bias;
mod scale;
mod ssf;
mod tasks;
mod vmt;
mod vpt;

pub use adaptformer::{AdaptFormerConfig, LayerNormOption};
pub use bitfit::{BitFit, BitFitConfig};
pub use bottleneck::{Bottlenecks, InitWeights, NonLinearity};
pub use compacter::CompacterConfig;
pub use dora::{Dora, DoraConfig};
pub use emtal::{Emtal, EmtalConfig, Experts, Fading};
pub use error::{Error, Result};
pub use experts::{AssignmentCost, ExpertLayer, KMeansConfig, construct_experts, moefy};
pub use houlsby::HoulsbyConfig;
pub use hyper::{HyperAdapters, HyperBias, Hypernetworks};
pub use hyperformer::HyperFormerConfig;
pub use lora::{Bias, Lora, LoraConfig, TargetModules};
pub use low_rank_adapter::LowRankAdapterConfig;
pub use method::{AdapterConfig, Form};
pub use mtlora::{MtLora, MtLoraConfig, PerStage, SharedMode};
pub use parallel::ParallelAdapters;
pub use parallel_adapter::ParallelAdapterConfig;
pub use parameters::{PARAMETERS, is_method_parameter};
pub use peft::{PeftAdapter, PeftConfig, PeftFactors, load_peft, save_peft};
pub use phm::PhmConfig;
pub use polyhistor::PolyhistorConfig;
pub use relative_bias::RelativeBias;
pub use ssf::{Ssf, SsfConfig, SsfSite};
pub use vmt::{
    AdapterActivation, AdapterInput, Bottleneck, DecoderInput, KeBlocks, KnowledgeExtraction,
    Projections, VmtAdapter, VmtAdapterConfig, add_task,
};
pub use vpt::{Vpt, VptConfig};
