//! Lets this crate's tests find LibTorch at run time.

fn main() {
    let lib = std::env::var("DEP_POLYPTYCH_KERNELS_LIB_DIR")
        .expect("polyptych-kernels tells where LibTorch lies");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    println!("cargo::rerun-if-changed=build.rs");
}
