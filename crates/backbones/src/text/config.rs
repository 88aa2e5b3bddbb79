//! The configuration of a text tower, in the words of CLIP's files where timm has none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::check;
use crate::blocks::act_layer::ActLayer;
use crate::error::{Error, Result};

/// CLIP's vocabulary.
const CLIP_VOCAB: i64 = 49_408;
/// Words of a vocabulary that a tokenizer has yet to bring.
const NO_VOCAB: i64 = 0;

/// A transformer over tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// Rows of the token embedding; at least the entries of the tokenizer.
    pub vocab_size: i64,
    /// Tokens of a text, marks of begin and end included.
    pub context_length: i64,
    /// Length of a token.
    pub embed_dim: i64,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub num_heads: i64,
    /// Hidden units of a block's perceptron per channel.
    pub mlp_ratio: f64,
    /// Length of what `text_projection` makes of a text; 0 without such a projection.
    pub projection_dim: i64,
    /// Eps of all norms.
    pub norm_eps: f64,
    /// Between the two matrices of a perceptron.
    pub act_layer: ActLayer,
}

impl TextConfig {
    /// The configuration called `name`.
    ///
    /// # Errors
    /// A name that does not exist; the message lists all.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::variants().into_iter().find(|(known, _)| *known == name);
        found.map(|(_, config)| config).ok_or_else(|| {
            let names: Vec<&str> = Self::variants().iter().map(|(name, _)| *name).collect();
            let expected = format!("one of {}", names.join(", "));
            Error::Config { key: "name", expected, found: format!("`{name}`") }
        })
    }

    /// All named configurations: those of CLIP's ViT-B and ViT-L, and a small one, whose
    /// vocabulary is its tokenizer's.
    pub fn variants() -> Vec<(&'static str, Self)> {
        let clip = |embed_dim: i64, act_layer| Self {
            vocab_size: CLIP_VOCAB,
            context_length: 77,
            embed_dim,
            depth: 12,
            num_heads: embed_dim / 64,
            mlp_ratio: 4.0,
            projection_dim: embed_dim,
            norm_eps: 1e-5,
            act_layer,
        };
        let micro = Self {
            vocab_size: NO_VOCAB,
            context_length: 32,
            embed_dim: 96,
            depth: 6,
            num_heads: 3,
            projection_dim: 0,
            ..clip(64, ActLayer::Gelu)
        };
        vec![
            ("clip_text_base", clip(512, ActLayer::Gelu)),
            ("clip_text_base_quickgelu", clip(512, ActLayer::QuickGelu)),
            ("clip_text_large", clip(768, ActLayer::Gelu)),
            ("clip_text_large_quickgelu", clip(768, ActLayer::QuickGelu)),
            ("text_micro", micro),
        ]
    }

    /// The same for a tokenizer of `entries`, where the configuration leaves the vocabulary to it.
    ///
    /// # Errors
    /// A tokenizer with more entries than the tower has rows.
    pub fn for_vocab(&self, entries: i64) -> Result<Self> {
        let vocab_size = if self.vocab_size == NO_VOCAB { entries } else { self.vocab_size };
        let expected = format!("a tokenizer of at most {vocab_size} entries");
        check(entries <= vocab_size, "tokenizer", expected, entries)?;
        Ok(Self { vocab_size, ..self.clone() })
    }

    /// Length of what a text becomes.
    pub fn num_features(&self) -> i64 {
        if self.projection_dim > 0 { self.projection_dim } else { self.embed_dim }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let positive = "a positive number";
        check(
            self.vocab_size > 0,
            "vocab_size",
            "a vocabulary: name a tokenizer",
            self.vocab_size,
        )?;
        check(self.context_length > 2, "context_length", "3 or more", self.context_length)?;
        check(self.embed_dim > 0, "embed_dim", positive, self.embed_dim)?;
        check(self.depth > 0, "depth", positive, self.depth)?;
        check(self.mlp_ratio > 0.0, "mlp_ratio", positive, self.mlp_ratio)?;
        let heads = self.num_heads > 0 && self.embed_dim % self.num_heads == 0;
        check(heads, "num_heads", format!("a divisor of {}", self.embed_dim), self.num_heads)?;
        check(self.projection_dim >= 0, "projection_dim", "0 or more", self.projection_dim)?;
        check(self.norm_eps > 0.0, "norm_eps", positive, self.norm_eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tower_without_vocabulary_is_refused() {
        let micro = TextConfig::from_name("text_micro").unwrap();
        let message = micro.validate().unwrap_err().to_string();
        assert_eq!(message, "vocab_size: expected a vocabulary: name a tokenizer, found 0");
        assert_eq!(micro.for_vocab(40).unwrap().vocab_size, 40);
        let clip = TextConfig::from_name("clip_text_base").unwrap();
        let message = clip.for_vocab(50_000).unwrap_err().to_string();
        let expected = "tokenizer: expected a tokenizer of at most 49408 entries, found 50000";
        assert_eq!(message, expected);
    }

    #[test]
    fn an_unknown_name_lists_all() {
        let message = TextConfig::from_name("clip").unwrap_err().to_string();
        assert!(message.starts_with("name: expected one of clip_text_base, "), "{message}");
        assert!(message.ends_with("found `clip`"), "{message}");
    }
}
