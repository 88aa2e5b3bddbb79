//! Lets tests find LibTorch without `LD_LIBRARY_PATH`.

fn main() {
    let lib = std::env::var("DEP_POLYPTYCH_ENGINE_LIB_DIR").expect("the engine crate tells it");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
}
