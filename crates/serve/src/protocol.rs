//! Open Inference Protocol v2: the bytes of requests and answers, without HTTP.
//!
//! Protocol: <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>;
//! binary tensors as in Triton's extension `binary_tensor_data`: a body is JSON, whose length a
//! header says, and behind it the tensors one after the other, little-endian.

mod answer;
mod input;
mod numbers;
mod request;

pub(crate) use answer::{Tensor, metadata, write};
pub(crate) use request::{Images, Inference, Output, read};

/// The extension that answers name.
pub(crate) const EXTENSIONS: [&str; 1] = ["binary_tensor_data"];

#[cfg(test)]
mod tests;
