//! How do tensors and models stand in files?
//!
//! Safetensors in and out, PyTorch's `.pth` and NumPy's `.npz` in, TorchScript and ONNX out. Sizes
//! that a file claims are compared with the file before memory is asked for, nothing that a file
//! holds is executed, and a file appears under its name only when it is complete.

mod error;
pub mod file;
pub mod npz;
mod onnx;
pub mod pth;
mod script;
#[cfg(test)]
mod testing;

pub use error::{Error, Result};
pub use file::TensorFile;
pub use onnx::Onnx;
pub use script::{Script, ScriptConfig, Traced};
