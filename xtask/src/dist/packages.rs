//! The parts list: every crate in the program and every library beside it, in the format of
//! CycloneDX.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process;
use crate::setup::libtorch::home;
use crate::setup::record::sha256;
use crate::workspace;

const GCC: &str = "GPL-3.0-or-later WITH GCC-exception-3.1";
const NVIDIA: &str = "NVIDIA CUDA Toolkit End User License Agreement";
const NVPL: &str = "NVIDIA Performance Libraries Software License Agreement";

/// Beginnings of files, whose part they are, and its licence: an expression of SPDX, or a name.
const LIBRARIES: [(&str, &str, &str); 10] = [
    ("libtorch", "LibTorch", "BSD-3-Clause"),
    ("libc10", "LibTorch", "BSD-3-Clause"),
    ("libstdc++", "GCC's C++ library", GCC),
    ("libgcc_s", "GCC's runtime library", GCC),
    ("libgomp", "GCC's OpenMP library", GCC),
    ("libgfortran", "GCC's Fortran library", GCC),
    ("libarm_compute", "Arm Compute Library", "MIT"),
    ("libnvpl", "NVIDIA Performance Libraries", NVPL),
    ("libcudart", "CUDA Runtime", NVIDIA),
    ("libcupti", "CUDA Profiling Tools Interface", NVIDIA),
];

/// The crates of the program, in an order that does not change.
pub(super) fn crates(root: &Path) -> Result<Vec<Value>> {
    let mut command = workspace::cargo_command();
    command.current_dir(root).args(["tree", "--locked", "--package", "polyptych-cli"]);
    command.args(["--edges", "normal", "--prefix", "none", "--format", "{p}|{l}"]);
    let text = process::output(&mut command);
    let text = text.with_context(|| format!("`{}` failed", process::shown(&command)))?;
    Ok(of(&text))
}

/// The list of the archive, which has `libraries` of its own.
pub(super) fn of_archive(crates: &[Value], libraries: &[PathBuf]) -> Result<String> {
    let libraries: Vec<Value> =
        libraries.iter().map(|path| library(path)).collect::<Result<_>>()?;
    Ok(bill(&[crates, &libraries].concat()))
}

/// The list of the wheel, beside which `pip` installs torch.
pub(super) fn of_wheel(crates: &[Value]) -> String {
    let version = home::VERSION;
    let torch = json!({
        "type": "library", "name": "torch", "version": version, "scope": "required",
        "description": "Not in this file: pip installs it, and the program uses its libraries.",
        "purl": format!("pkg:pypi/torch@{version}"),
        "licenses": [{ "expression": "BSD-3-Clause" }],
    });
    bill(&[crates, &[torch]].concat())
}

fn bill(components: &[Value]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let program = json!({
        "type": "application", "name": "polyptych", "version": version,
        "bom-ref": format!("polyptych@{version}"),
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    });
    let bill = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": program }, "components": components,
    });
    format!("{bill:#}\n")
}

/// A library by its file, with the version that LibTorch or the file's name tells.
fn library(path: &Path) -> Result<Value> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let known = LIBRARIES.iter().find(|(start, ..)| file.starts_with(start));
    let (_, part, licence) = known.with_context(|| {
        let starts = LIBRARIES.map(|(start, ..)| start).join(", ");
        format!("{file}: expected a library whose licence is known ({starts}), found another")
    })?;
    let licence = match *licence {
        NVIDIA | NVPL => json!({ "license": { "name": licence } }),
        expression => json!({ "expression": expression }),
    };
    let mut component = json!({
        "type": "library", "name": file, "description": part,
        "hashes": [{ "alg": "SHA-256", "content": sha256(path)? }], "licenses": [licence],
    });
    let version = if *part == "LibTorch" { Some(home::VERSION.to_owned()) } else { version(path)? };
    if let Some(version) = version {
        component["version"] = version.into();
    }
    Ok(component)
}

/// What stands behind `.so.` in the name of the file itself, of which others are links.
fn version(path: &Path) -> Result<Option<String>> {
    let file = fs::canonicalize(path).with_context(|| path.display().to_string())?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(name.split_once(".so.").map(|(_, version)| version.to_owned()))
}

fn of(tree: &str) -> Vec<Value> {
    let mut components: Vec<(String, String, String)> =
        tree.lines().filter_map(component).collect();
    components.sort();
    components.dedup();
    let one = |(name, version, licence): (String, String, String)| {
        json!({
            "type": "library", "name": name, "version": version,
            "purl": format!("pkg:cargo/{name}@{version}"),
            "licenses": [{ "expression": licence }],
        })
    };
    components.into_iter().map(one).collect()
}

/// Name, version and licence of a line such as `serde v1.0.0 (*)|MIT`.
fn component(line: &str) -> Option<(String, String, String)> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // Old manifests have a slash for "or".
    let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
    Some((name.to_owned(), version.to_owned(), licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_is_listed_once() {
        let found = of("b v1.0.0 (/x)|MIT\na v2.0.0|MIT/Apache-2.0\na v2.0.0|MIT/Apache-2.0 (*)\n");
        let names: Vec<&Value> = found.iter().map(|part| &part["purl"]).collect();
        assert_eq!(names, ["pkg:cargo/a@2.0.0", "pkg:cargo/b@1.0.0"]);
        assert_eq!(found[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }

    #[test]
    fn the_workspace_has_a_bill() {
        let crates = crates(&workspace::root()).unwrap();
        let bill: Value = serde_json::from_str(&of_wheel(&crates)).unwrap();
        let parts = bill["components"].as_array().unwrap();
        let has = |purl: &str| parts.iter().any(|part| part["purl"] == purl);
        assert!(has("pkg:cargo/tch@0.24.0") && has("pkg:pypi/torch@2.11.0"), "{bill}");
        assert_eq!(parts.last().unwrap()["scope"], "required");
        let program = &bill["metadata"]["component"];
        assert_eq!(
            (&program["name"], &program["type"]),
            (&"polyptych".into(), &"application".into())
        );
        assert_eq!(program["version"], env!("CARGO_PKG_VERSION"));
    }

    #[cfg(unix)]
    #[test]
    fn every_library_of_the_archive_is_listed_with_its_hash_and_licence() {
        let folder = tempfile::tempdir().unwrap();
        let names =
            ["libc10.so", "libcudart.so.13", "libgcc_s.so.1", "libgomp.so.1", "libtorch_cpu.so"];
        let mut paths: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        paths.iter().for_each(|path| fs::write(path, "").unwrap());
        fs::write(folder.path().join("libstdc++.so.6.0.30"), "abc").unwrap();
        paths.push(folder.path().join("libstdc++.so.6"));
        std::os::unix::fs::symlink("libstdc++.so.6.0.30", paths.last().unwrap()).unwrap();
        let bill: Value = serde_json::from_str(&of_archive(&[], &paths).unwrap()).unwrap();
        let part = |name: &str| {
            let parts = bill["components"].as_array().unwrap();
            parts.iter().find(|part| part["name"] == name).unwrap().clone()
        };
        assert_eq!(bill["components"].as_array().unwrap().len(), 6);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (name, version, licence) in [
            ("libc10.so", "2.11.0", "BSD-3-Clause"),
            ("libtorch_cpu.so", "2.11.0", "BSD-3-Clause"),
            ("libgcc_s.so.1", "1", GCC),
            ("libgomp.so.1", "1", GCC),
        ] {
            let part = part(name);
            assert_eq!(part["version"], version, "{name}");
            assert_eq!(part["licenses"][0]["expression"], licence, "{name}");
            assert_eq!(part["hashes"], json!([{ "alg": "SHA-256", "content": empty }]), "{name}");
        }
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let cpp = part("libstdc++.so.6");
        assert_eq!(
            (&cpp["version"], &cpp["hashes"][0]["content"]),
            (&"6.0.30".into(), &abc.into())
        );
        let cuda = part("libcudart.so.13");
        assert_eq!(
            (&cuda["version"], &cuda["licenses"][0]["license"]["name"]),
            (&"13".into(), &NVIDIA.into())
        );
        let other = folder.path().join("libfoo.so");
        fs::write(&other, "").unwrap();
        let message = of_archive(&[], &[other]).unwrap_err().to_string();
        assert!(message.starts_with("libfoo.so: expected a library whose licence"), "{message}");
    }
}
