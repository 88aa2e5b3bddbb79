//! Tells tests and programs where LibTorch's libraries lie.

fn main() {
    let lib = std::env::var("DEP_POLYPTYCH_TENSOR_LIB_DIR")
        .expect("polyptych-tensor tells where LibTorch lies");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
