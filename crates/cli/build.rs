//! Lets the program and its tests find LibTorch without `LD_LIBRARY_PATH`, and gathers the recipes
//! that ship with the program: whatever lies in `recipes`.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The first one to be tried; the others follow by name.
const FIRST: &str = "quickstart";

fn main() {
    let lib = env::var("DEP_POLYPTYCH_ENGINE_LIB_DIR").expect("the engine crate tells it");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    println!("cargo::rerun-if-changed=recipes");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for (list, ending) in [("recipes.rs", ".toml"), ("baselines.rs", ".baselines.json")] {
        fs::write(out.join(list), files(&root.join("recipes"), ending)).expect("OUT_DIR is ours");
    }
}

/// The files of `folder` that end so, as an expression of pairs: name without the ending, and text.
fn files(folder: &Path, ending: &str) -> String {
    let entries = fs::read_dir(folder).expect("the crate has recipes");
    let names = entries.map(|entry| entry.expect("the folder is readable").file_name());
    let names = names.map(|name| name.into_string().expect("names of recipes are ASCII"));
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(ending)?.to_owned())).collect();
    names.sort_by_key(|name| (name != FIRST, name.clone()));
    let pair = |name: &String| {
        let path = folder.join(format!("{name}{ending}"));
        format!("({name:?}, include_str!({path:?})),")
    };
    format!("&[{}]", names.iter().map(pair).collect::<String>())
}
