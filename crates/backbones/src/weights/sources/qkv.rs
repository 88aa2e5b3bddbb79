//! Query, key and value that a source has apart, and timm in one matrix.

use std::collections::BTreeMap;

use polyptych_tensor::{Tensor, Tensors};

use crate::error::{Error, Result};

/// What is joined: a name of timm's, and the parts of it in their order.
struct Whole {
    name: &'static str,
    parts: &'static [&'static str],
    /// In messages.
    expected: &'static str,
}

const QKV: Whole =
    Whole { name: "qkv", parts: &["q", "k", "v"], expected: "query, key and value of one shape" };
const KV: Whole = Whole { name: "kv", parts: &["k", "v"], expected: "key and value of one shape" };

/// Joins `attn.qkv.q.weight`, `attn.qkv.k.weight` and `attn.qkv.v.weight` to `attn.qkv.weight`,
/// rows in this order, and biases alike.
///
/// # Errors
/// Parts of which one is absent or has another shape.
pub(crate) fn join_qkv(tensors: Tensors) -> Result<Tensors> {
    QKV.join(tensors)
}

/// Joins `attn.kv.k.weight` and `attn.kv.v.weight` to `attn.kv.weight`, and biases alike.
///
/// # Errors
/// Parts of which one is absent or has another shape.
pub(super) fn join_kv(tensors: Tensors) -> Result<Tensors> {
    KV.join(tensors)
}

impl Whole {
    fn join(&self, tensors: Tensors) -> Result<Tensors> {
        let mut joined = Tensors::new();
        let mut parts: BTreeMap<String, BTreeMap<usize, Tensor>> = BTreeMap::new();
        for (name, tensor) in tensors {
            match self.part_of(&name) {
                Some((whole, part)) => drop(parts.entry(whole).or_default().insert(part, tensor)),
                None => drop(joined.insert(name, tensor)),
            }
        }
        for (whole, parts) in parts {
            let tensor = self.cat(&whole, &parts)?;
            joined.insert(whole, tensor);
        }
        Ok(joined)
    }

    /// The name of the whole, and the position of the part in it.
    fn part_of(&self, name: &str) -> Option<(String, usize)> {
        let (path, rest) = name.split_once(&format!(".{}.", self.name))?;
        let (part, kind) = rest.split_once('.')?;
        let part = self.parts.iter().position(|known| *known == part)?;
        matches!(kind, "weight" | "bias").then(|| (format!("{path}.{}.{kind}", self.name), part))
    }

    fn cat(&self, whole: &str, parts: &BTreeMap<usize, Tensor>) -> Result<Tensor> {
        let shapes: Vec<Vec<i64>> = parts.values().map(Tensor::size).collect();
        if shapes.len() != self.parts.len() || shapes.iter().any(|shape| *shape != shapes[0]) {
            let expected = self.expected;
            let found = format!("{shapes:?}");
            return Err(Error::Weights { key: whole.into(), expected, found });
        }
        let parts: Vec<&Tensor> = parts.values().collect();
        Ok(Tensor::f_cat(&parts, 0).map_err(polyptych_tensor::Error::from)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(names: &[&str]) -> Tensors {
        let numbered = names.iter().enumerate();
        let tensor = |i: usize| Tensor::from_slice(&[i as f32]).view([1, 1]);
        numbered.map(|(i, name)| (format!("blocks.0.attn.qkv.{name}"), tensor(i))).collect()
    }

    #[test]
    fn parts_come_in_their_order_and_all_of_them() {
        let joined = join_qkv(parts(&["q.weight", "k.weight", "v.weight"])).unwrap();
        let rows = joined["blocks.0.attn.qkv.weight"].view([-1]);
        assert!(joined.len() == 1 && rows.equal(&Tensor::from_slice(&[0f32, 1.0, 2.0])));
        let message = join_qkv(parts(&["q.bias", "k.bias"])).unwrap_err().to_string();
        assert_eq!(
            message,
            "blocks.0.attn.qkv.bias: expected query, key and value of one shape, found \
             [[1, 1], [1, 1]]"
        );
    }
}
