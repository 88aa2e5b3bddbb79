//! The text tower: CLIP's transformer over tokens, its tokenizer and its weights.
//!
//! Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
//! arXiv 2103.00020. Blocks have timm's names, so a plan adapts them as it adapts a ViT's; what
//! stands around them has open_clip's.

mod block;
mod config;
mod tokenizer;
mod tower;
mod weights;

pub use config::TextConfig;
pub use tokenizer::{TextTokens, Tokenizer};
pub use tower::{BuiltText, TextFeatures, TextPass, TextTower};
pub use weights::text_weights;
