//! One wheel, and what of it a program needs.

/// A wheel with its hash, and where its files go.
pub(super) struct Wheel {
    pub(super) project: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static str,
    pub(super) place: fn(&str) -> Option<String>,
}

/// Libraries of torch's wheels that programs need, for each kind of machine: LibTorch, OpenMP, and
/// what computes on ARM.
const LIBRARIES: [&str; 11] = [
    "libtorch_cpu.so",
    "libtorch.so",
    "libc10.so",
    "libgomp.so.1",
    "libarm_compute.so",
    "libarm_compute_graph.so",
    "libgfortran.so.5",
    "libtorch_cpu.dylib",
    "libtorch.dylib",
    "libc10.dylib",
    "libomp.dylib",
];

/// How the names of NVIDIA's libraries of linear algebra for ARM begin.
const NVPL: &str = "libnvpl_";

pub(super) fn place_torch(name: &str) -> Option<String> {
    let inside = name.strip_prefix("torch/")?;
    let library = inside
        .strip_prefix("lib/")
        .is_some_and(|file| LIBRARIES.contains(&file) || file.starts_with(NVPL));
    (library || inside.starts_with("include/")).then(|| inside.to_owned())
}

pub(super) fn place_nvidia(name: &str) -> Option<String> {
    let file = name.rsplit('/').next()?;
    ["libcudart.so.13", "libcupti.so.13"].contains(&file).then(|| format!("lib/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_program_needs_is_placed() {
        assert_eq!(place_torch("torch/lib/libc10.so").as_deref(), Some("lib/libc10.so"));
        assert_eq!(
            place_torch("torch/include/ATen/ATen.h").as_deref(),
            Some("include/ATen/ATen.h")
        );
        for kept in ["libnvpl_blas_core.so.0", "libgfortran.so.5", "libomp.dylib"] {
            let name = format!("torch/lib/{kept}");
            assert_eq!(place_torch(&name), Some(format!("lib/{kept}")));
        }
        for left_out in [
            "torch/lib/libtorch_cuda.so",
            "torch/__init__.py",
            "functorch/x.py",
            "torch/lib/libtorch_cpu.so.x",
        ] {
            assert_eq!(place_torch(left_out), None, "{left_out}");
        }
        assert_eq!(
            place_nvidia("nvidia/cu13/lib/libcupti.so.13").as_deref(),
            Some("lib/libcupti.so.13")
        );
        assert_eq!(place_nvidia("nvidia/cu13/lib/libcudart_static.a"), None);
    }
}
