//! On what was it measured?

/// Processor, cores, threads of LibTorch and its version, for the pages of results.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = std::env::var("OMP_NUM_THREADS").unwrap_or_else(|_| "unset".into());
    let version = polyptych_kernels::torch_version();
    format!("{}, {cores} cores, OMP_NUM_THREADS {threads}, LibTorch {version}", processor())
}

/// What Linux calls the processor, with its family and model; the architecture elsewhere.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let lines = || text.lines().filter_map(|line| line.split_once(':'));
    let value = |key: &str| lines().find(|(name, _)| name.trim() == key).map(|(_, v)| v.trim());
    let Some(name) = value("model name") else { return std::env::consts::ARCH.into() };
    let number = |key| value(key).unwrap_or("unknown");
    format!("{name} (family {}, model {})", number("cpu family"), number("model"))
}
