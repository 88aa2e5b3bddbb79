//! Lets benchmarks find LibTorch without `LD_LIBRARY_PATH`.

fn main() {
    let lib = std::env::var("DEP_POLYPTYCH_KERNELS_LIB_DIR").expect("the kernels crate tells it");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
