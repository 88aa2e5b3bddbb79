//! On what was it measured?

/// Processor, cores, threads of LibTorch and its version, for the pages of results.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = std::env::var("OMP_NUM_THREADS").unwrap_or_else(|_| "unset".into());
    let version = polyptych_kernels::torch_version();
    format!("{}, {cores} cores, OMP_NUM_THREADS {threads}, LibTorch {version}", processor())
}

/// What Linux calls the processor, or the architecture elsewhere.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name.map(|rest| rest.trim_start_matches([' ', '\t', ':']).trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.into())
}
