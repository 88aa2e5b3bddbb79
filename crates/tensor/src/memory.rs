//! How much memory does this process hold, and does it grow?

use polyptych_kernels as kernels;
use tch::Device;

/// Lets this process keep memory that tensors have freed, instead of having the system clear new
/// pages for every large one: a tenth of a training step on the CPU. For programs to call once at
/// their start.
///
/// Memory that is kept serves every later request, so that a process holds what it once needed and
/// no more. Says whether the allocator can do that: jemalloc that this program is linked with, or
/// glibc's. Any other, such as a jemalloc that the loader puts before the program, returns freed
/// pages as it does by default.
pub fn keep() -> bool {
    kernels::keep_memory()
}

/// Storages of tensors on the CPU that are alive, of those made since this was first called.
///
/// What grows from step to step is held by somebody, whatever the allocator does with what is free.
/// For tests: from the first call on, every storage is counted.
pub fn live_storages() -> i64 {
    kernels::live_storages()
}

/// The memory that this process holds now, in bytes, without the pages of files that it maps, such
/// as those of LibTorch's libraries; known on Linux alone.
pub fn resident_bytes() -> Option<u64> {
    of_status("RssAnon:", &status()?)
}

/// The most memory that this process has held at a time, in bytes, with pages of files; known on
/// Linux alone.
pub fn peak_resident_bytes() -> Option<u64> {
    of_status("VmHWM:", &status()?)
}

/// The most memory that `device` has held for this process at a time, in bytes: on the CPU that of
/// [`peak_resident_bytes`], on a GPU that of all tensors, as `torch.cuda.max_memory_allocated` says.
pub fn peak_bytes(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => peak_resident_bytes(),
        Device::Cuda(index) => kernels::peak_device_bytes(index).ok(),
        _ => None,
    }
}

fn status() -> Option<String> {
    std::fs::read_to_string("/proc/self/status").ok()
}

/// `VmHWM:  123456 kB` of the kernel's own words.
fn of_status(name: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let text = "VmSize:\t  900 kB\nVmHWM:\t   12 kB\nRssAnon:\t   8 kB\n";
        assert_eq!(of_status("VmHWM:", text), Some(12 * 1024));
        assert_eq!(of_status("RssAnon:", text), Some(8 * 1024));
        assert_eq!(of_status("RssAnon:", "VmRSS:\t   8 kB\n"), None);
        if cfg!(target_os = "linux") {
            let (now, peak) = (resident_bytes(), peak_resident_bytes());
            assert!(now > Some(1 << 20) && now < peak, "{now:?} {peak:?}");
            assert!(peak_bytes(Device::Cpu) >= peak);
            // No GPU, or one that this process has not asked for.
            assert_eq!(peak_bytes(Device::Cuda(0)), None);
        }
    }
}
