//! What a gradient aggregator remembers, in a form that can be saved.

use std::collections::BTreeMap;

use polyptych_tensor::{Device, Kind, Tensor};

use crate::{Error, Result};

/// Named tensors: buffers of gradients on their device, and small float64 ones on the CPU.
#[derive(Debug, Default)]
pub struct TensorState(BTreeMap<String, Tensor>);

impl TensorState {
    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.0
    }

    /// Checks that there are exactly the tensors `names`.
    pub(crate) fn only(&self, names: &[&str]) -> Result<()> {
        if let Some(key) = self.0.keys().find(|key| !names.contains(&key.as_str())) {
            return Err(mismatch(key, "no tensor of this name", "one".into()));
        }
        match names.iter().find(|name| !self.0.contains_key(**name)) {
            Some(name) => Err(mismatch(name, "a tensor", "none".into())),
            None => Ok(()),
        }
    }

    /// A float64 vector of `len` numbers.
    pub(crate) fn numbers(&self, name: &str, len: usize) -> Result<Vec<f64>> {
        let found = self.get(name)?;
        if found.kind() == Kind::Double && found.size() == [len as i64] {
            let found = found.to_device(Device::Cpu).contiguous();
            return Ok(Vec::try_from(&found).expect("it is a float64 vector"));
        }
        Err(mismatch(name, &format!("{len} float64 numbers"), describe(found)))
    }

    /// A copy of a floating matrix of `rows` rows, or `None` where it is empty.
    pub(crate) fn buffer(&self, name: &str, rows: usize) -> Result<Option<Tensor>> {
        let found = self.get(name)?;
        if found.numel() == 0 {
            return Ok(None);
        }
        if found.dim() == 2 && found.size()[0] == rows as i64 && found.is_floating_point() {
            return Ok(Some(found.copy()));
        }
        Err(mismatch(name, &format!("{rows} rows of floating numbers"), describe(found)))
    }

    fn get(&self, name: &str) -> Result<&Tensor> {
        self.0.get(name).ok_or_else(|| mismatch(name, "a tensor", "none".into()))
    }
}

/// Tensors read from a safetensors file, or those of a aggregator.
impl FromIterator<(String, Tensor)> for TensorState {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        Self(tensors.into_iter().collect())
    }
}

fn describe(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.size())
}

fn mismatch(key: &str, expected: &str, found: String) -> Error {
    Error::State { key: key.to_owned(), expected: expected.to_owned(), found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_states_are_refused() {
        let state: TensorState =
            [("y".to_owned(), Tensor::from_slice(&[1f32, 2.0]))].into_iter().collect();
        let message = |result: Result<()>| result.unwrap_err().to_string();
        let found = message(state.only(&[]));
        assert_eq!(found, "y: expected no tensor of this name in the saved state, found one");
        let found = message(state.only(&["y", "step"]));
        assert_eq!(found, "step: expected a tensor in the saved state, found none");
        let found = message(state.numbers("y", 2).map(drop));
        assert_eq!(found, "y: expected 2 float64 numbers in the saved state, found Float [2]");
        let found = message(state.buffer("y", 2).map(drop));
        assert_eq!(
            found,
            "y: expected 2 rows of floating numbers in the saved state, found Float [2]"
        );
    }

    #[test]
    fn an_empty_buffer_is_none() {
        let empty = Tensor::zeros([0], (Kind::Float, Device::Cpu));
        let state: TensorState = [("y".to_owned(), empty)].into_iter().collect();
        assert!(state.buffer("y", 2).unwrap().is_none());
    }
}
