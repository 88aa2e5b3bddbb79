//! Tells tests and programs where LibTorch's libraries lie.

fn main() {
    let lib = std::env::var("DEP_POLYPTYCH_KERNELS_LIB_DIR")
        .expect("polyptych-kernels tells where LibTorch lies");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
