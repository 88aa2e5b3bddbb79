//! `polyptych --version`: what a report of a problem should say.

use std::sync::LazyLock;

use polyptych_engine::{library_folder, torch_version};

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
        "its libraries are there"
    } else {
        "none"
    };
    let vectors = vectors();
    format!(
        "{version}\ncommit: {commit}\nLibTorch: {} in {}\nCUDA: {cuda}\nsystem: {} {}\nvector \
         instructions: {}",
        torch_version(),
        folder.display(),
        std::env::consts::ARCH,
        std::env::consts::OS,
        if vectors.is_empty() {
            "those of every such processor".to_owned()
        } else {
            vectors.join(", ")
        },
    )
}

/// What this processor has of the instructions that kernels have forms for.
fn vectors() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("AVX-512", is_x86_feature_detected!("avx512f")),
        ("AVX-512 BF16", is_x86_feature_detected!("avx512bf16")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let found: [(&str, bool); 0] = [];
    found.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}
