//! What tasks read of each other and of the shared stream behind a stage.

use polyptych_tensor::{Activations, Kind, Neck, Tensor, cast};

/// The interaction of all levels.
#[derive(Debug)]
pub(super) struct Interaction {
    /// `beta` of every level, `[1]` each.
    pub(super) betas: Vec<Tensor>,
}

impl Neck for Interaction {
    fn forward(&self, levels: Vec<Activations>, _train: bool) -> Vec<Activations> {
        let each = levels.into_iter().zip(&self.betas);
        each.map(|(level, beta)| joined(level, beta)).collect()
    }
}

/// `s + beta Attention(s; [g; s_1; ..])`; a level without streams of tasks as it is.
fn joined(level: Activations, beta: &Tensor) -> Activations {
    let joined = match (level.shared(), level.per_task()) {
        (Some(shared), Some(tasks)) => tasks + cast(beta, tasks.kind()) * attention(tasks, shared),
        _ => return level,
    };
    level.with_tasks(joined)
}

/// What every place of `tasks`, `[tasks, batch, .., C]`, reads of the means over images of `shared`,
/// `[batch, .., C]`, and of all tasks.
fn attention(tasks: &Tensor, shared: &Tensor) -> Tensor {
    let width = tasks.size()[tasks.dim() - 1];
    let places = tasks.flatten(2, -2);
    let of_tasks = places.mean_dim([2i64].as_slice(), false, None::<Kind>);
    let of_all = shared.flatten(1, -2).mean_dim([1i64].as_slice(), false, None::<Kind>);
    let read = Tensor::cat(&[of_all.unsqueeze(0), of_tasks], 0).transpose(0, 1);
    let scores = places.matmul(&read.transpose(-2, -1)) / (width as f64).sqrt();
    scores.softmax(-1, None::<Kind>).matmul(&read).view_as(tasks)
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::Device;

    use super::*;

    #[test]
    fn places_read_means_of_images() {
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (tasks, shared) = (random(&[2, 3, 2, 2, 4]), random(&[3, 2, 2, 4]));
        let found = attention(&tasks, &shared);
        let mean = |map: Tensor| map.flatten(0, 1).mean_dim([0i64].as_slice(), false, None::<Kind>);
        // Image 1, place (1, 0) of task 0.
        let read = Tensor::stack(
            &[mean(shared.get(1)), mean(tasks.get(0).get(1)), mean(tasks.get(1).get(1))],
            0,
        );
        let place = tasks.get(0).get(1).get(1).get(0);
        let shares = (read.mv(&place) / 2.0).softmax(-1, None::<Kind>);
        let expected = read.tr().mv(&shares);
        let found = found.get(0).get(1).get(1).get(0);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
        let level = Activations::Both { shared, per_task: tasks.shallow_clone() };
        let same = joined(level, &Tensor::zeros([1], (Kind::Float, Device::Cpu)));
        assert_eq!(same.per_task().unwrap(), &tasks);
    }
}
