//! What a balancer remembers, as tensors of a checkpoint.

use polyptych_losses::balancers::{BalancerState, State, TensorState};
use polyptych_tensor::{Device, Kind, Tensor, Tensors};

use crate::Result;

/// Tensors `loss.<name>`, `gram.<name>` (float64) and `rows.<name>`.
pub(crate) fn to_tensors(state: &BalancerState) -> Tensors {
    let numbers = |part: &'static str, state: &State| -> Tensors {
        let arrays = state.arrays().iter();
        arrays.map(|(name, v)| (format!("{part}.{name}"), Tensor::from_slice(v))).collect()
    };
    let gradients = state.gradients.tensors().iter();
    let mut tensors = numbers("loss", &state.loss);
    tensors.extend(numbers("gram", &state.gram));
    tensors.extend(gradients.map(|(name, t)| (format!("rows.{name}"), t.shallow_clone())));
    tensors
}

/// What [`to_tensors`] was given; the balancer checks names and lengths.
///
/// # Errors
/// A tensor of `loss` or `gram` that is no vector.
pub(crate) fn from_tensors(tensors: &Tensors) -> Result<BalancerState> {
    let part = |part: &str| -> Vec<(String, Tensor)> {
        let own = |(name, t): (&String, &Tensor)| {
            Some((name.strip_prefix(part)?.strip_prefix('.')?.to_owned(), t.shallow_clone()))
        };
        tensors.iter().filter_map(own).collect()
    };
    let numbers = |name: &str| -> Result<State> {
        let vector = |t: &Tensor| {
            Vec::<f64>::try_from(&t.to_device(Device::Cpu).to_kind(Kind::Double).contiguous())
        };
        part(name).into_iter().map(|(name, t)| Ok((name, vector(&t)?))).collect()
    };
    let gradients: TensorState = part("rows").into_iter().collect();
    Ok(BalancerState { loss: numbers("loss")?, gram: numbers("gram")?, gradients })
}

#[cfg(test)]
mod tests {
    use polyptych_formats::file;

    use super::*;

    #[test]
    fn numbers_come_back_from_a_file_bit_for_bit() {
        let numbers = vec![0.1 + 0.2, -0.0, 1e-310];
        let loss: State = [("logits".to_owned(), numbers.clone())].into_iter().collect();
        let y = Tensor::from_slice(&[1f32, -2.5]).view([1, 2]);
        let empty = Tensor::zeros([0], (Kind::Float, Device::Cpu));
        let gradients = [("y".to_owned(), y), ("empty".to_owned(), empty)].into_iter().collect();
        let state = BalancerState { loss, gram: State::default(), gradients };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.safetensors");
        file::save(&path, &to_tensors(&state), Default::default()).unwrap();
        let back = from_tensors(&file::load(&path).unwrap().tensors).unwrap();
        let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back.loss.arrays()["logits"]), bits(&numbers));
        assert!(back.gram.arrays().is_empty());
        assert!(back.gradients.tensors()["y"].equal(&state.gradients.tensors()["y"]));
        assert_eq!(back.gradients.tensors()["empty"].numel(), 0);
    }
}
