//! Kinds of machines that PyTorch publishes wheels for, by Rust's target triples.

use anyhow::{Context, Result};

use super::home::VERSION;
use super::wheel::{Wheel, place_nvidia, place_torch};

/// Newest glibc, by its minor number, that a wheel may ask for: what torch's own asks for.
const NEWEST_GLIBC: u32 = 28;

/// Oldest glibc that a wheel's platform tag can name.
const OLDEST_GLIBC: u32 = 5;

/// A kind of machine, and the wheels with its LibTorch, torch's first.
pub(crate) struct Platform {
    /// Rust's name of it.
    pub(crate) target: &'static str,
    os: &'static str,
    arch: &'static str,
    pub(super) wheels: &'static [Wheel],
    /// Whether its `libtorch.so` is left out, see [`LINK_SCRIPT`].
    pub(super) leaves_libtorch_out: bool,
}

/// What stands in place of `libtorch.so` on ARM: the linker reads it, programs then need
/// `libtorch_cpu.so` alone. The file of the wheel needs `libtorch_cuda.so`, and no program is
/// linked without it, since it exports functions of the C++ library.
pub(super) const LINK_SCRIPT: &str = "INPUT ( libtorch_cpu.so )\n";

const PLATFORMS: [Platform; 3] = [
    // `libtorch_cpu.so` of the builds for Linux needs the last two wheels even without a GPU.
    Platform {
        target: "x86_64-unknown-linux-gnu",
        os: "linux",
        arch: "x86_64",
        leaves_libtorch_out: false,
        wheels: &[
            torch("0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756"),
            cuda_runtime("7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
            cupti("4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
        ],
    },
    Platform {
        target: "aarch64-unknown-linux-gnu",
        os: "linux",
        arch: "aarch64",
        leaves_libtorch_out: true,
        wheels: &[
            torch("f99924682ef0aa6a4ab3b1b76f40dc6e273fca09f367d15a524266db100a723f"),
            cuda_runtime("ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55"),
            cupti("796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151"),
        ],
    },
    Platform {
        target: "aarch64-apple-darwin",
        os: "macos",
        arch: "aarch64",
        leaves_libtorch_out: false,
        wheels: &[torch("4b5866312ee6e52ea625cd211dcb97d6a2cdc1131a5f15cc0d87eec948f6dd34")],
    },
];

const fn torch(sha256: &'static str) -> Wheel {
    Wheel { project: "torch", version: VERSION, sha256, place: place_torch }
}

const fn cuda_runtime(sha256: &'static str) -> Wheel {
    Wheel { project: "nvidia-cuda-runtime", version: "13.0.96", sha256, place: place_nvidia }
}

const fn cupti(sha256: &'static str) -> Wheel {
    Wheel { project: "nvidia-cuda-cupti", version: "13.0.85", sha256, place: place_nvidia }
}

impl Platform {
    /// That of this machine.
    ///
    /// # Errors
    /// There are no pinned wheels for it.
    pub(crate) fn here() -> Result<&'static Self> {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let found = PLATFORMS.iter().find(|platform| (platform.os, platform.arch) == (os, arch));
        found.with_context(|| {
            format!(
                "no pinned LibTorch for {os} {arch}: set LIBTORCH to a LibTorch {VERSION}, or pass \
                 `--archive PATH|URL`"
            )
        })
    }

    /// That of Rust's `target`.
    ///
    /// # Errors
    /// There are no pinned wheels for it.
    pub(crate) fn of(target: &str) -> Result<&'static Self> {
        let known = || PLATFORMS.map(|platform| platform.target).join(", ");
        let found = PLATFORMS.iter().find(|platform| platform.target == target);
        found.with_context(|| format!("--target: expected one of {}, found `{target}`", known()))
    }

    /// Every tag of such machines: pip takes none for granted beside those it is given.
    pub(super) fn tags(&self) -> Vec<String> {
        if self.os == "macos" {
            return vec!["macosx_11_0_arm64".to_owned()];
        }
        let numbered = (OLDEST_GLIBC..=NEWEST_GLIBC).rev();
        let numbered = numbered.map(|minor| format!("manylinux_2_{minor}_{}", self.arch));
        numbered.chain([format!("manylinux2014_{}", self.arch)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_wheels_and_tags_of_its_own() {
        let arm = Platform::of("aarch64-unknown-linux-gnu").unwrap();
        assert_eq!(arm.wheels.len(), 3);
        assert_eq!(arm.tags()[0], "manylinux_2_28_aarch64");
        let mac = Platform::of("aarch64-apple-darwin").unwrap();
        assert_eq!((mac.wheels.len(), mac.tags()), (1, vec!["macosx_11_0_arm64".to_owned()]));
        let mut hashes: Vec<&str> =
            PLATFORMS.iter().flat_map(|platform| platform.wheels).map(|w| w.sha256).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 7);
        assert!(hashes.iter().all(|hash| hash.len() == 64));
    }

    #[test]
    fn an_unknown_target_is_named_with_those_that_exist() {
        let message = Platform::of("riscv64gc-unknown-linux-gnu").err().unwrap().to_string();
        assert!(message.contains("aarch64-apple-darwin, found `riscv64gc"), "{message}");
    }
}
