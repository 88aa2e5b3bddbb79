//! PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`, or
//! `adapter_model.bin` of older ones.
//!
//! Keys on disk are `base_model.model.<module>.lora_A.weight`, as PEFT writes them. Options that
//! would change the numbers and are not supported are refused by name. DoRA is LoRA with `use_dora`
//! there.

pub(crate) mod adapter;
pub(crate) mod config;
pub(crate) mod factors;
pub(crate) mod folder;
mod fused;
mod initial;
mod merge;
mod names;
mod options;
mod pattern;
mod rows;
#[cfg(test)]
mod tests;
