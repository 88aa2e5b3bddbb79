//! `[text]`, the tower that reads what is said of images.

use polyptych_adapters::AdapterConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tokenizer of the built-in captions.
pub(crate) const BUILT_IN: &str = "captioned_scenes";

/// The text tower of a run with tasks of retrieval, or whose method reads the names of classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextRecipe {
    /// `clip_text_base`, `clip_text_large`, each with `_quickgelu` behind it for weights of
    /// OpenAI's, or `text_micro`, whose vocabulary is its tokenizer's.
    pub name: String,
    /// A file or folder of weights (Hugging Face's CLIP, OpenAI's, open_clip; the content says
    /// which), the `model.safetensors` of a repository on the hub or in its cache
    /// (`hf-hub:OWNER/NAME`, with `@REVISION` behind it for another than `main`), or `none` for random
    /// values. A run that `backbone.weights` names, or that a stage begins with, has its trained tower
    /// in place of these.
    pub weights: String,
    /// A folder with `tokenizer.json` or with `vocab.json` and `merges.txt`, such a
    /// `tokenizer.json` itself, that of a repository on the hub (`hf-hub:OWNER/NAME`), or
    /// `captioned_scenes` for the words of the built-in captions, tasks and classes.
    pub tokenizer: String,
    /// What is trained in it; the method of the images if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterConfig>,
}
