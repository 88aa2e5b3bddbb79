//! Lets the program and its tests find LibTorch without `LD_LIBRARY_PATH`, gathers the recipes that
//! ship with the program, whatever lies in `recipes`, and notes the commit that it is built from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The first one to be tried; the others follow by name.
const FIRST: &str = "quickstart";

fn main() {
    run_path();
    commit();
    println!("cargo::rerun-if-changed=recipes");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for (list, ending) in [("recipes.rs", ".toml"), ("baselines.rs", ".baselines.json")] {
        fs::write(out.join(list), files(&root.join("recipes"), ending)).expect("OUT_DIR is ours");
    }
}

/// Where the loader looks for LibTorch: beside an unpacked archive's program, beside a wheel's, and
/// where it was built. `POLYPTYCH_PORTABLE` leaves the last one out, as a folder of this machine says
/// nothing on others.
///
/// Then come the folders of a Linux system, and GCC's libraries of the archive: those of the system
/// fit its glibc, while these, from where the archive was packed, may need a newer one.
fn run_path() {
    println!("cargo::rerun-if-env-changed=POLYPTYCH_PORTABLE");
    let is_macos = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos");
    let own_folder = if is_macos { "@loader_path" } else { "$ORIGIN" };
    for lib in ["../lib", "../../torch/lib"] {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{own_folder}/{lib}");
    }
    if env::var_os("POLYPTYCH_PORTABLE").is_none() {
        let lib = env::var("DEP_POLYPTYCH_ENGINE_LIB_DIR").expect("the engine crate tells it");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
        let multiarch = format!("/usr/lib/{arch}-linux-gnu");
        for lib in [multiarch.as_str(), "/usr/lib64", "/usr/lib", "$ORIGIN/../lib/fallback"] {
            println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
        }
    }
}

/// The commit of a checkout, for `--version`; `unknown` where the sources are no checkout, or the
/// build is one for tests, which need not be compiled anew with every commit.
fn commit() {
    if env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return println!("cargo::rustc-env=POLYPTYCH_COMMIT=unknown");
    }
    let git = |args: &[&str]| {
        let output =
            Command::new("git").args(args).output().ok().filter(|done| done.status.success());
        output.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"]);
    println!("cargo::rustc-env=POLYPTYCH_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    // Moves with every commit and every change of branch.
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
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
