//! What is trained while the rest stays frozen, and how does it fold back?
//!
//! An adapter is a [`Plan`](polyptych_tensor::Plan): it decides what stands at each projection of
//! a backbone, which parameters train, and what folds into the backbone's own weights.
//! This crate knows no backbone; it sees timm's names only.

mod emtal;
mod error;
mod experts;
mod lora;
mod low_rank;
mod method;
mod mtlora;
mod peft;
mod vmt;

pub use emtal::{Emtal, EmtalConfig, Experts, Fading};
pub use error::{Error, Result};
pub use experts::{AssignmentCost, ExpertLayer, KMeansConfig, construct_experts, moefy};
pub use lora::{Bias, Lora, LoraConfig, TargetModules};
pub use method::{AdapterConfig, Form, PARAMETERS};
pub use mtlora::{MtLora, MtLoraConfig, SharedMode};
pub use peft::{PeftAdapter, load_peft, save_peft};
pub use vmt::{
    AdapterActivation, AdapterInput, Bottleneck, DecoderInput, KeBlocks, KnowledgeExtraction,
    Projections, VmtAdapter, VmtAdapterConfig, add_task,
};
