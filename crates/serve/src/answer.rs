//! What a model says of one image.

use std::time::Duration;

use ndarray::Array3;

/// Maps of the tasks that were asked for, and what they cost.
#[derive(Debug)]
pub(crate) struct Answer {
    /// One per task of the selection, `[channels, height, width]`; `[classes, 1, 1]` for tasks of
    /// whole images.
    pub(crate) maps: Vec<Array3<f32>>,
    pub(crate) times: Times,
    /// Which of the models that were loaded answered, from 1.
    pub(crate) generation: u64,
}

/// Where the time of an image went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// From the queue's end to its front.
    pub(crate) queue: Duration,
    /// Through the model, together with the others of its batch.
    pub(crate) model: Duration,
    /// Images that went through the model together.
    pub(crate) batch: usize,
}
