//! What an operator is given: tensors by their place, settings by their names.

use tch::{IndexOp, Kind, Tensor};

use super::{Checked, Operator};
use crate::onnx::proto::AttributeProto;

impl Operator<'_> {
    pub(super) fn input(&self, index: usize) -> Checked<&Tensor> {
        let found = self.inputs.get(index).and_then(Option::as_ref);
        found.ok_or_else(|| format!("no input {index}"))
    }

    pub(super) fn integers(&self, index: usize) -> Checked<Vec<i64>> {
        let list = self.input(index)?;
        match (list.dim(), list.kind()) {
            (1, Kind::Int64) => {
                (0..list.numel() as i64).map(|at| Ok(list.i(at).int64_value(&[]))).collect()
            }
            _ => Err(format!("input {index}: expected integers along one axis")),
        }
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
    }

    pub(super) fn int(&self, name: &str, otherwise: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(otherwise)
    }

    pub(super) fn float(&self, name: &str, otherwise: f64) -> f64 {
        self.attribute(name).and_then(|attribute| attribute.f).map_or(otherwise, f64::from)
    }

    pub(super) fn ints(&self, name: &str) -> &[i64] {
        self.attribute(name).map_or(&[], |attribute| &attribute.ints)
    }

    pub(super) fn text(&self, name: &str, otherwise: &'static str) -> &str {
        let found = self.attribute(name).and_then(|attribute| attribute.s.as_deref());
        found.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or(otherwise)
    }
}
