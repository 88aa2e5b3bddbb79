//! Lets tests find LibTorch without `LD_LIBRARY_PATH`.

fn main() {
    // Without a line of these cargo would run it, and build the crate again, when a test changes.
    println!("cargo::rerun-if-changed=build.rs");
    let lib = std::env::var("DEP_POLYPTYCH_KERNELS_LIB_DIR").expect("the kernels crate tells it");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
