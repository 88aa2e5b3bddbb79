//! Compiles the C++ against LibTorch and hands LibTorch's folder to the crates above.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    for path in ["cpp", "src/bridge.rs"] {
        println!("cargo::rerun-if-changed={path}");
    }
    // Documentation is written without LibTorch.
    if env::var_os("CARGO_FEATURE_DOC_ONLY").is_some() {
        println!("cargo::metadata=lib_dir=");
        println!("cargo::rustc-env=LIBTORCH_LIB_DIR=");
        return;
    }
    let lib = PathBuf::from(
        env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys tells where LibTorch lies"),
    );
    // The link in the repository may move; programs keep the folder that it pointed to.
    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo::metadata=lib_dir={}", lib.display());
    println!("cargo::rustc-env=LIBTORCH_LIB_DIR={}", lib.display());
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    compile(&lib);
    println!("cargo::rustc-link-lib=dl");
}

fn compile(lib: &Path) {
    let root = lib.parent().expect("LibTorch's libraries lie in its folder `lib`");
    let mut build = cxx_build::bridge("src/bridge.rs");
    // LibTorch's loops in its headers share out their work only where OpenMP is on, and must do so
    // among the threads of its own library.
    if let Some(openmp) = openmp(lib) {
        build.flag("-fopenmp");
        println!("cargo::rustc-link-search=native={}", lib.display());
        println!("cargo::rustc-link-lib=dylib:+verbatim={openmp}");
    }
    build
        .file("cpp/counting_device.cc")
        .file("cpp/kernels.cc")
        .file("cpp/process_group.cc")
        .file("cpp/gradient_buckets.cc")
        .file("cpp/nccl.cc")
        .define("USE_C10D_GLOO", None)
        .include("cpp/declarations")
        .std("c++17")
        .include(root.join("include"))
        .include(root.join("include/torch/csrc/api/include"))
        .warnings(false)
        // Tests train small models: loops over numbers are worth their vectors there too.
        .opt_level(3)
        // Otherwise GCC halves vectors of 64 bytes where it converts numbers.
        .flag_if_supported("-mprefer-vector-width=512")
        .flag_if_supported("-fno-math-errno")
        .flag_if_supported("-fno-trapping-math")
        // Vectors are handed on between functions that are inlined, so their ABI does not matter.
        .flag_if_supported("-Wno-psabi")
        .compile("polyptych-kernels");
}

/// The file of GNU's OpenMP beside LibTorch.
fn openmp(lib: &Path) -> Option<String> {
    let mut names = std::fs::read_dir(lib).ok()?.flatten().map(|file| file.file_name());
    names.find_map(|name| name.into_string().ok().filter(|name| name.starts_with("libgomp")))
}
