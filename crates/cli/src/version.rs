//! `polyptych --version`: what a report of a problem should say.

use std::sync::LazyLock;

use polyptych_engine::{Instructions, library_folder, torch_version};

/// Version, commit, LibTorch, and what the machine has for it.
pub(crate) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    &TEXT
}

fn text() -> String {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("POLYPTYCH_COMMIT"));
    let folder = library_folder();
    let cuda = if folder.join("libtorch_cuda.so").exists()
        || folder.with_file_name("cuda").join("libtorch_cuda.so").exists()
    {
        "libraries found"
    } else {
        "not found"
    };
    format!(
        "{version}\ncommit: {commit}\nLibTorch: {} in {}\nCUDA: {cuda}\nfeatures: \
         c10d with Gloo, TorchScript, ONNX, HTTP server\nsystem: {} {}\nvector instructions: {}",
        torch_version(),
        folder.display(),
        std::env::consts::ARCH,
        std::env::consts::OS,
        Instructions::best(),
    )
}
