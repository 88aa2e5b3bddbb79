//! How much memory did a run need?

/// The most memory that this process has held at a time, in bytes; known on Linux alone.
pub fn peak() -> Option<u64> {
    of_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmHWM:  123456 kB` of the kernel's own words.
fn of_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        let text = "VmSize:\t  900 kB\nVmHWM:\t   12 kB\nVmRSS:\t   8 kB\n";
        assert_eq!(of_status(text), Some(12 * 1024));
        assert_eq!(of_status("VmRSS:\t   8 kB\n"), None);
        if cfg!(target_os = "linux") {
            assert!(peak().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
