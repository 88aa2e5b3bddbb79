//! What an NVIDIA GPU needs beside the CPU's libraries: the folder `cuda/` in our LibTorch.
//!
//! Not in `lib/`: torch-sys would link it, and one binary serves machines with and without a GPU
//! by opening `cuda/libtorch_cuda.so` at run time.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

use super::home::RECORD;
use super::pip::Pip;
use super::wheels::{self, UNPACKED_LIMIT};
use crate::setup::folder::swap;
use crate::setup::record::{self, Depth, Entry};
use crate::setup::unpack::{Format, unpack};

/// Folder below LibTorch's.
pub(super) const FOLDER: &str = "cuda";

const FROM_TORCH: [&str; 5] = [
    "libtorch_cuda.so",
    "libc10_cuda.so",
    "libtorch_cuda_linalg.so",
    "libtorch_nvshmem.so",
    "libcaffe2_nvrtc.so",
];

/// Fails with what is wrong where `home` lacks the GPU's part.
pub(crate) fn whole(home: &Path, depth: Depth) -> Result<()> {
    let folder = home.join(FOLDER);
    record::check(&folder, &record::read(&folder.join(RECORD))?, depth)
}

/// Fills `cuda/` of the whole LibTorch in `home`.
pub(crate) fn from_wheels(pip: &Pip, downloads: &Path, home: &Path) -> Result<()> {
    let torch = wheels::torch_wheel(pip, downloads)?;
    let nvidia = downloads.join(FOLDER);
    // Resolved by pip: exact pins stand in the metadata of torch and of what it requires.
    pip.download(&requirements(&metadata(&torch)?), false, &nvidia)?;
    swap(&home.join(FOLDER), |fresh| {
        let mut entries = unpack(&torch, Format::Zip, fresh, UNPACKED_LIMIT, &place_torch)?;
        for wheel in wheels::wheels_in(&nvidia)? {
            entries.extend(unpack_libraries(&wheel, fresh)?);
        }
        record::write(&fresh.join(RECORD), &entries)
    })
}

fn unpack_libraries(wheel: &Path, fresh: &Path) -> Result<Vec<Entry>> {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with("nvidia_") {
        return Ok(Vec::new());
    }
    eprintln!("unpacking {name}");
    unpack(wheel, Format::Zip, fresh, UNPACKED_LIMIT, &place_nvidia)
}

fn place_torch(name: &str) -> Option<String> {
    let file = name.strip_prefix("torch/lib/")?;
    FROM_TORCH.contains(&file).then(|| file.to_owned())
}

fn place_nvidia(name: &str) -> Option<String> {
    let (folder, file) = name.rsplit_once('/')?;
    let library = folder.ends_with("/lib") && (file.ends_with(".so") || file.contains(".so."));
    library.then(|| file.to_owned())
}

fn metadata(wheel: &Path) -> Result<String> {
    let read = || -> Result<String> {
        let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
        let name = archive
            .file_names()
            .find(|name| name.ends_with(".dist-info/METADATA"))
            .map(str::to_owned);
        let mut text = String::new();
        archive
            .by_name(&name.context("expected METADATA, found none")?)?
            .read_to_string(&mut text)?;
        Ok(text)
    };
    read().with_context(|| wheel.display().to_string())
}

/// What `metadata` requires of NVIDIA's, markers dropped.
fn requirements(metadata: &str) -> Vec<String> {
    let required = metadata.lines().filter_map(|line| line.strip_prefix("Requires-Dist: "));
    let bare = required.map(|line| line.split(';').next().unwrap_or(line).trim().replace(' ', ""));
    bare.filter(|line| line.starts_with("nvidia-") || line.starts_with("cuda-toolkit")).collect()
}

/// Carries `cuda/` over from `old`, where it is there, so that mending the rest costs no download.
pub(crate) fn keep(old: &Path, fresh: &Path) -> Result<()> {
    let (from, to) = (old.join(FOLDER), fresh.join(FOLDER));
    if whole(old, Depth::Sizes).is_err() {
        return Ok(());
    }
    fs::rename(&from, &to).with_context(|| from.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_of_nvidia_lose_their_markers() {
        let metadata = "Requires-Dist: filelock\n\
            Requires-Dist: cuda-toolkit[cublas,nvtx]==13.0.2; platform_system == \"Linux\"\n\
            Requires-Dist: nvidia-nccl-cu13 ==2.28.9 ; platform_system == \"Linux\"\n\
            Requires-Dist: triton==3.6.0\n";
        assert_eq!(
            requirements(metadata),
            ["cuda-toolkit[cublas,nvtx]==13.0.2", "nvidia-nccl-cu13==2.28.9"]
        );
    }

    #[test]
    fn only_libraries_are_placed() {
        assert_eq!(place_torch("torch/lib/libtorch_cuda.so").as_deref(), Some("libtorch_cuda.so"));
        assert_eq!(place_torch("torch/lib/libtorch_cpu.so"), None);
        assert_eq!(
            place_nvidia("nvidia/cu13/lib/libcublas.so.13").as_deref(),
            Some("libcublas.so.13")
        );
        assert_eq!(place_nvidia("nvidia/cu13/lib/libcudart_static.a"), None);
        assert_eq!(place_nvidia("nvidia/cu13/include/x.so.h"), None);
    }

    #[test]
    fn the_gpus_part_survives_mending() {
        let dir = tempfile::tempdir().unwrap();
        let (old, fresh) = (dir.path().join("old"), dir.path().join("fresh"));
        fs::create_dir_all(old.join(FOLDER)).unwrap();
        fs::create_dir(&fresh).unwrap();
        keep(&old, &fresh).unwrap();
        assert!(!fresh.join(FOLDER).exists(), "a part without a record is not worth keeping");
        fs::write(old.join(FOLDER).join("libc10_cuda.so"), "elf").unwrap();
        let entries = record::list_files(&old.join(FOLDER)).unwrap();
        record::write(&old.join(FOLDER).join(RECORD), &entries).unwrap();
        keep(&old, &fresh).unwrap();
        whole(&fresh, Depth::Sizes).unwrap();
    }
}
