//! How many threads LibTorch takes where: all of the machine for the model, one for each answer that
//! is drawn. Answers are drawn side by side, and teams of threads for each would wait for each other.

use polyptych_tensor::{get_num_threads, set_num_threads};

/// LibTorch computes on this thread alone what it is asked on it.
pub(crate) fn compute_alone() {
    compute_with(1);
}

/// LibTorch takes so many threads for what it is asked on this one.
pub(crate) fn compute_with(threads: i32) {
    // A thread takes the number of the process when it is asked for the first time.
    let _ = get_num_threads();
    set_num_threads(threads);
}
