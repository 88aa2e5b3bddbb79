//! Which parameters feel weight decay.

use tch::Tensor;

/// Parameters that share a weight decay.
#[derive(Debug)]
pub struct Group {
    /// Parameters by name.
    pub params: Vec<(String, Tensor)>,
    /// Decay per unit of learning rate.
    pub weight_decay: f64,
}

/// The convention of timm and MTLoRA: no decay for one-dimensional tensors and biases, nor for
/// Swin's relative-position tables.
pub fn decay_groups(params: Vec<(String, Tensor)>, weight_decay: f64) -> Vec<Group> {
    let (decayed, plain): (Vec<_>, Vec<_>) =
        params.into_iter().partition(|(name, tensor)| decays(name, tensor));
    let groups = [(decayed, weight_decay), (plain, 0.0)];
    let groups = groups.into_iter().filter(|(params, _)| !params.is_empty());
    groups.map(|(params, weight_decay)| Group { params, weight_decay }).collect()
}

fn decays(name: &str, tensor: &Tensor) -> bool {
    let table = ["relative_position_bias_table", "pos_embed", "cls_token"];
    tensor.dim() > 1 && !name.ends_with(".bias") && !table.iter().any(|t| name.ends_with(t))
}
