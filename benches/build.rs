//! Lets benchmarks find LibTorch without `LD_LIBRARY_PATH`.

fn main() {
    let lib = std::env::var("DEP_POLYPTYCH_TENSOR_LIB_DIR").expect("the tensor crate tells it");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
