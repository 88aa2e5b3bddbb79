//! Lets targets that link LibTorch find it without `LD_LIBRARY_PATH`.

fn main() {
    if let Ok(lib) = std::env::var("DEP_POLYPTYCH_TENSOR_LIB_DIR") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
