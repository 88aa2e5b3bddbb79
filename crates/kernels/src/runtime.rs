//! LibTorch's libraries, and the memory of this process.

use std::path::{Path, PathBuf};

use crate::bridge::ffi;
use crate::error::{Error, Result};

/// The folder of LibTorch's libraries that this process uses; where the system does not tell, of
/// those that it was built with.
pub fn library_folder() -> PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    loaded_from(&maps, "libtorch_cpu.so").unwrap_or_else(|| env!("LIBTORCH_LIB_DIR").into())
}

/// The folder of the library `name` among the files that Linux lists in `maps`.
fn loaded_from(maps: &str, name: &str) -> Option<PathBuf> {
    let mut paths = maps.lines().filter_map(|line| Some(Path::new(&line[line.find('/')?..])));
    let library = paths.rfind(|path| path.file_name().is_some_and(|file| file == name))?;
    library.parent().map(Path::to_path_buf)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_library_in_use() {
        let maps = "7f1-7f2 r-xp 0 08:01 1   /usr/lib/libc.so.6\n7f3-7f4 r-xp 0 08:01 2   \
                    /a b/torch/lib/libtorch_cpu.so\n7f5-7f6 rw-p 0 00:00 0\n";
        let found = loaded_from(maps, "libtorch_cpu.so");
        assert_eq!(found.as_deref(), Some(Path::new("/a b/torch/lib")));
        assert_eq!(loaded_from(maps, "libtorch_cuda.so"), None);
        assert!(library_folder().join("libtorch_cpu.so").exists());
    }
}
