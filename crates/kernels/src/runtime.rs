//! LibTorch's libraries, and the memory of this process.

use std::path::Path;

use crate::bridge::ffi;
use crate::error::{Error, Result};

/// The folder of LibTorch's libraries that this program was built with.
pub fn library_folder() -> &'static Path {
    Path::new(env!("LIBTORCH_LIB_DIR"))
}

/// Opens the shared library at `path`; its registrations meet those of the libraries before it.
///
/// # Errors
/// What the loader says.
pub fn open_library(path: &str) -> Result<()> {
    ffi::open_library(path)
        .map_err(|error| Error::Library { path: path.into(), reason: error.what().into() })
}

/// Version of the LibTorch that the program was built for, such as `2.11.0`.
pub fn torch_version() -> String {
    ffi::torch_version()
}

/// Lets this process keep memory that tensors have freed; false where the allocator cannot.
pub fn keep_memory() -> bool {
    ffi::keep_memory()
}

/// Storages of tensors on the CPU that are alive, of those made since this was first called.
pub fn live_storages() -> i64 {
    ffi::live_storages()
}
