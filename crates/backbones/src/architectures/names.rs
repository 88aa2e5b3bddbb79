//! Names and shapes of tensors, as timm has them.

use polyptych_tensor::Tensors;

/// Tensors of what may be a backbone.
#[derive(Clone, Copy)]
pub(super) struct Shapes<'a>(pub(super) &'a Tensors);

impl Shapes<'_> {
    pub(super) fn has(self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Length of axis `axis` of the tensor `name`.
    pub(super) fn size(self, name: &str, axis: usize) -> Option<i64> {
        self.0.get(name)?.size().get(axis).copied()
    }

    /// Hidden units of the perceptron of `block` per channel.
    pub(super) fn mlp_ratio(self, block: &str, dim: i64) -> Option<f64> {
        Some(self.size(&format!("{block}.mlp.fc1.weight"), 0)? as f64 / dim as f64)
    }
}

/// Modules of a block with a weight and a bias, in every architecture.
const BLOCK: [&str; 6] = ["norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"];

/// Whether `name` is a weight or a bias of one of `modules`.
pub(super) fn is_affine(name: &str, modules: &[&str]) -> bool {
    let parts = name.rsplit_once('.');
    parts.is_some_and(|(module, part)| {
        ["weight", "bias"].contains(&part) && modules.contains(&module)
    })
}

/// Whether `name` is a parameter of a block, `own` being those that this architecture's alone have.
pub(super) fn is_of_block(name: &str, own: &[&str]) -> bool {
    let inner = numbered(name, "blocks.");
    inner.is_some_and(|inner| own.contains(&inner) || is_affine(inner, &BLOCK))
}

/// What stands behind `prefix` and a number.
pub(super) fn numbered<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let (number, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(rest)
}

/// The number behind `prefix`, and what stands behind it.
pub(crate) fn numbered_as<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (number, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}
