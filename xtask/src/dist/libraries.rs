//! Shared libraries that the program needs and that no system has: LibTorch's, and C++'s.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup::libtorch::home;

/// What every system with glibc has; taking it along would break others.
const SYSTEM: [&str; 9] = [
    "ld-linux",
    "libc.so",
    "libdl.so",
    "libm.so",
    "libpthread.so",
    "libresolv.so",
    "librt.so",
    "libutil.so",
    "linux-vdso",
];

/// The libraries of `program` and of its libraries, by the loader's own search.
pub(super) fn of(program: &Path) -> Result<Vec<PathBuf>> {
    let mut command = Command::new("ldd");
    // The program for others looks beside itself, where nothing is yet.
    command.arg(program).env("LD_LIBRARY_PATH", home::linked_libraries());
    let text = process::output(&mut command);
    parse(&text.with_context(|| format!("`{}` failed", process::shown(&command)))?)
}

fn parse(ldd: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in ldd.lines().map(str::trim) {
        if SYSTEM.iter().any(|name| line.rsplit('/').any(|part| part.starts_with(name))) {
            continue;
        }
        let Some((name, path)) = line.split_once(" => ") else { continue };
        if path.starts_with("not found") {
            bail!("{name}: expected a library for the loader, found none");
        }
        found.push(PathBuf::from(path.split(" (").next().unwrap_or(path)));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_the_system_stay_there() {
        let ldd = "\tlinux-vdso.so.1 (0x1)\n\tlibtorch_cpu.so => /t/lib/libtorch_cpu.so (0x2)\n\
                   \tlibstdc++.so.6 => /lib/libstdc++.so.6 (0x3)\n\tlibc.so.6 => /lib/libc.so.6 (0x4)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x5)\n";
        let found = parse(ldd).unwrap();
        assert_eq!(found, ["/lib/libstdc++.so.6", "/t/lib/libtorch_cpu.so"].map(PathBuf::from));
        let message = parse("libtorch_cpu.so => not found\n").unwrap_err().to_string();
        assert!(message.starts_with("libtorch_cpu.so: expected"), "{message}");
    }
}
