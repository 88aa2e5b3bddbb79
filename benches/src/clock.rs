//! Wall time, and the time that a thread had a core.

use std::time::Instant;

/// Seconds since some moment, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Instant,
    core_s: Option<f64>,
}

impl Clock {
    /// Now.
    pub fn start() -> Self {
        Self { core_s: core_s(), wall: Instant::now() }
    }

    /// Seconds since then, and those of them in which this thread had a core: what a busy machine
    /// changes least. Linux alone counts the latter.
    pub fn elapsed(&self) -> [Option<f64>; 2] {
        let wall = self.wall.elapsed().as_secs_f64();
        [Some(wall), core_s().zip(self.core_s).map(|(now, then)| now - then)]
    }
}

/// The first number of the file is the nanoseconds that the thread has run.
fn core_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(|ns: f64| ns / 1e9)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_thread_that_sleeps_has_no_core() {
        let clock = Clock::start();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let [wall, core] = clock.elapsed();
        assert!(wall.unwrap() >= 0.05);
        assert!(core.is_none_or(|core| core < 0.04), "{core:?}");
    }
}
