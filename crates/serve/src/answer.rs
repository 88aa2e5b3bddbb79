//! What a model says of one image.

use std::time::Duration;

use ndarray::Array3;
use polyptych_engine::activate_at;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

use crate::model::Served;
use crate::refusal::Refusal;

/// Raw outputs of the tasks that were asked for, and what they cost.
#[derive(Debug)]
pub(crate) struct Answer {
    /// One per task of the selection, `[1, outputs, height, width]` at the size of the network's
    /// input; `[1, classes]` for tasks of whole images.
    pub(crate) raw: Vec<Tensor>,
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

impl Answer {
    /// The maps of `tasks`, which are those of the selection, at `size`, height and width:
    /// `[channels, height, width]`, and `[classes, 1, 1]` for tasks of whole images.
    ///
    /// The model's thread leaves this to those that wait, so that it goes on with others.
    ///
    /// # Errors
    /// Memory that is too small.
    pub(crate) fn maps<'a>(
        &self,
        tasks: impl Iterator<Item = &'a Served>,
        size: [usize; 2],
    ) -> Result<Vec<Array3<f32>>, Refusal> {
        let size = size.map(|extent| extent as i64);
        let map = |(task, raw): (&Served, &Tensor)| {
            to_map(&no_grad(|| activate_at(&task.spec, raw, size))?)
        };
        let maps = tasks.zip(&self.raw).map(map).collect::<polyptych_engine::Result<_>>();
        maps.map_err(|error| Refusal::Model(error.to_string()))
    }
}

/// `[1, channels, height, width]` as `[channels, height, width]` in memory of our own.
fn to_map(tensor: &Tensor) -> polyptych_engine::Result<Array3<f32>> {
    let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    let shape = [1, 2, 3].map(|dim| tensor.size()[dim] as usize);
    let values = Vec::<f32>::try_from(&flat)?;
    Ok(Array3::from_shape_vec(shape, values).expect("as many values as the shape says"))
}
