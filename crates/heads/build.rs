//! Tells tests and programs where LibTorch's libraries lie.

fn main() {
    // Without a line of these cargo would run it, and build the crate again, when a test changes.
    println!("cargo::rerun-if-changed=build.rs");
    let lib = std::env::var("DEP_POLYPTYCH_KERNELS_LIB_DIR")
        .expect("polyptych-kernels tells where LibTorch lies");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
