//! Wall time, and the time that a thread or a process had cores.

use std::time::Instant;

/// Seconds since some moment, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Instant,
    core_s: Option<f64>,
    of_core: fn() -> Option<f64>,
}

impl Clock {
    /// Now, on a core that this thread has: what a busy machine changes least. Linux alone counts
    /// it.
    pub fn start() -> Self {
        Self::of(thread_s)
    }

    /// Now, on all cores that the threads of this program have, those that end meanwhile as well.
    /// Unix alone counts it.
    pub fn of_process() -> Self {
        Self::of(process_s)
    }

    fn of(of_core: fn() -> Option<f64>) -> Self {
        Self { core_s: of_core(), wall: Instant::now(), of_core }
    }

    /// Seconds since then, and those on a core.
    pub fn elapsed(&self) -> [Option<f64>; 2] {
        let wall = self.wall.elapsed().as_secs_f64();
        [Some(wall), (self.of_core)().zip(self.core_s).map(|(now, then)| now - then)]
    }
}

/// The first number of the file is the nanoseconds that the thread has run.
fn thread_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(|ns: f64| ns / 1e9)
}

#[cfg(unix)]
fn process_s() -> Option<f64> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

#[cfg(not(unix))]
fn process_s() -> Option<f64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_has_no_core() {
        let clock = Clock::start();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let [wall, core] = clock.elapsed();
        assert!(wall.unwrap() >= 0.05);
        assert!(core.is_none_or(|core| core < 0.04), "{core:?}");
    }
    #[test]
    fn a_process_counts_threads_that_have_ended() {
        let clock = Clock::of_process();
        let busy = || {
            let own = Clock::start();
            while own.elapsed()[0].unwrap() < 0.05 {}
            own.elapsed()[1]
        };
        let thread = std::thread::spawn(busy).join().unwrap();
        let process = clock.elapsed()[1];
        assert!(process.zip(thread).is_none_or(|(process, thread)| process >= 0.9 * thread));
    }
}
