//! The rows of a backbone's weight that one module of PEFT's changes.

use polyptych_tensor::{Kind, Tensor, Tensors};

use crate::blocks::tensors::take;
use crate::error::{Error, Result};

/// Parts of a fused `qkv`, in the order of its rows.
pub(super) const PARTS: [&str; 3] = ["q", "k", "v"];

/// The rows of a weight that one module of PEFT's is.
pub(super) struct Rows {
    path: String,
    pub(super) weight: Tensor,
    start: i64,
}

impl Rows {
    pub(super) fn of(name: &str, tensors: &Tensors) -> Result<Self> {
        let part = PARTS.iter().position(|p| name.ends_with(&format!(".qkv.{p}")));
        let path = part.map_or(name, |_| &name[..name.len() - 2]).to_owned();
        let Some(weight) = tensors.get(&format!("{path}.weight")).filter(|w| w.dim() >= 2) else {
            let found = tensors.get(&format!("{path}.weight")).map(Tensor::size);
            let expected = "a matrix or a convolution of the backbone".into();
            return Err(unplaced(
                name,
                expected,
                found.map_or("none".into(), |s| format!("{s:?}")),
            ));
        };
        let third = weight.size()[0] / 3;
        let (start, len) = part.map_or((0, weight.size()[0]), |part| (part as i64 * third, third));
        Ok(Self { path, weight: weight.narrow(0, start, len), start })
    }

    pub(super) fn weight_name(&self) -> String {
        format!("{}.weight", self.path)
    }

    /// Both factors, once they are known to fit.
    pub(super) fn fitting(
        &self,
        name: &str,
        a: Option<Tensor>,
        b: Option<Tensor>,
    ) -> Result<(Tensor, Tensor)> {
        let size = self.weight.size();
        let kernel = &size[2..];
        let shape = |t: &Option<Tensor>| t.as_ref().map(Tensor::size);
        let (found_a, found_b) = (shape(&a), shape(&b));
        match (a, b) {
            (Some(a), Some(b))
                if a.dim() == size.len()
                    && b.dim() == size.len()
                    && a.size()[1..] == size[1..]
                    && b.size()[..2] == [size[0], a.size()[0]]
                    && b.size()[2..].iter().all(|&extent| extent == 1) =>
            {
                Ok((a, b))
            }
            _ => {
                let (rows, columns) = (size[0], size[1]);
                let kernel = kernel.iter().map(|extent| format!(", {extent}")).collect::<String>();
                let ones = ", 1".repeat(size.len() - 2);
                let expected = format!("factors [r, {columns}{kernel}] and [{rows}, r{ones}]");
                Err(unplaced(name, expected, format!("{found_a:?} and {found_b:?}")))
            }
        }
    }

    /// `magnitude * adapted / |adapted|`, by rows.
    pub(super) fn with_length(
        &self,
        name: &str,
        adapted: &Tensor,
        magnitude: &Tensor,
    ) -> Result<Tensor> {
        let rows = self.weight.size()[0];
        if magnitude.numel() as i64 != rows {
            let expected = format!("a lora_magnitude_vector of {rows} numbers");
            return Err(unplaced(name, expected, format!("{:?}", magnitude.size())));
        }
        let length = flat(adapted, [rows, -1]).square();
        let length = length.sum_dim_intlist([1i64].as_slice(), false, Kind::Double).sqrt();
        let gain = magnitude.to_kind(Kind::Double).view([rows]) / length;
        let by_row: Vec<i64> =
            (0..adapted.dim()).map(|axis| if axis == 0 { rows } else { 1 }).collect();
        Ok(adapted * gain.view(by_row.as_slice()))
    }

    pub(super) fn add_bias(&self, name: &str, merged: &mut Tensors, added: &Tensor) -> Result<()> {
        let path = format!("{}.bias", self.path);
        let rows = self.weight.size()[0];
        let own = merged.get(&path).map(|bias| bias.narrow(0, self.start, rows));
        match own {
            Some(own) if added.size() == [rows] => {
                self.put(merged, &path, &(own.to_kind(Kind::Double) + added))
            }
            _ => {
                let expected = format!("a bias of {rows} numbers, as lora_bias needs");
                Err(unplaced(name, expected, format!("{:?}", own.map(|own| own.size()))))
            }
        }
    }

    /// `tensors` with these rows of the tensor `name` replaced, in the type that it has.
    pub(super) fn put(&self, tensors: &mut Tensors, name: &str, rows: &Tensor) -> Result<()> {
        let whole = take(tensors, name)?.copy();
        whole
            .narrow(0, self.start, rows.size()[0])
            .f_copy_(&rows.to_kind(whole.kind()))
            .map_err(polyptych_tensor::Error::from)?;
        tensors.insert(name.into(), whole);
        Ok(())
    }
}

/// Puts what an adapter saves whole at its place; parts of a fused matrix are its rows.
pub(super) fn place_whole(tensors: &mut Tensors, name: &str, tensor: Tensor) -> Result<()> {
    let part = PARTS.iter().enumerate().find_map(|(index, part)| {
        let (path, end) = name.split_once(&format!(".qkv.{part}."))?;
        Some((index as i64, format!("{path}.qkv.{end}")))
    });
    match part {
        None => {
            let kind = tensors.get(name).map_or(tensor.kind(), Tensor::kind);
            tensors.insert(name.into(), tensor.to_kind(kind));
            Ok(())
        }
        Some((index, whole)) => {
            let Some(found) = tensors.get(&whole) else {
                return Err(unplaced(name, format!("{whole} of the backbone"), "none"));
            };
            let rows = found.size()[0] / 3;
            if tensor.size()[..1] != [rows] || tensor.size()[1..] != found.size()[1..] {
                let expected = format!("{rows} rows of {:?}", found.size());
                return Err(unplaced(name, expected, format!("{:?}", tensor.size())));
            }
            let weight = found.narrow(0, index * rows, rows);
            let path = whole.rsplit_once('.').map_or("", |(path, _)| path).to_owned();
            Rows { path, weight, start: index * rows }.put(tensors, &whole, &tensor)
        }
    }
}

/// A matrix in float64.
pub(super) fn flat(tensor: &Tensor, shape: [i64; 2]) -> Tensor {
    tensor.to_kind(Kind::Double).contiguous().view(shape)
}

/// A tensor of an adapter that has no place in the backbone.
pub(super) fn unplaced(name: &str, expected: String, found: impl Into<String>) -> Error {
    Error::Backbone { name: name.into(), expected, found: found.into() }
}
