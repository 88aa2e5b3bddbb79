//! Compiles the C++ shim against LibTorch and hands LibTorch's folder to the crates above.

fn main() {
    let lib = std::env::var("DEP_TORCH_SYS_LIBTORCH_LIB").unwrap_or_default();
    println!("cargo::metadata=lib_dir={lib}");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
