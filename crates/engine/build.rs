//! Lets tests find LibTorch without `LD_LIBRARY_PATH`, and tells the program above where it lies.

fn main() {
    let lib = std::env::var("DEP_POLYPTYCH_KERNELS_LIB_DIR").expect("the kernels crate tells it");
    println!("cargo::metadata=lib_dir={lib}");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
