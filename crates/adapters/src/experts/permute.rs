//! The MLPs of a backbone: their hidden units as rows, and their hidden units in another order.
//!
//! `W2 P^T act(P (W1 x + b1)) = W2 act(W1 x + b1)` for any permutation `P`, since the activation
//! acts on each unit alone.

use ndarray::Array2;
use polyptych_tensor::{Kind, Tensor, Tensors};

use crate::error::{Error, Result};

/// Paths of all MLPs (`blocks.3.mlp`, `layers.0.blocks.1.mlp`), in the order of their numbers.
pub(super) fn mlp_paths(tensors: &Tensors) -> Vec<String> {
    let names = tensors.keys().filter_map(|name| name.strip_suffix(".fc1.weight"));
    let mlps = names.filter(|path| path.rsplit('.').next() == Some("mlp"));
    let mut paths: Vec<String> = mlps.map(str::to_owned).collect();
    let numbered = |part: &str| (part.parse::<u64>().ok(), part.to_owned());
    paths.sort_by_cached_key(|path| path.split('.').map(numbered).collect::<Vec<_>>());
    paths
}

/// The hidden units of the MLP at `path`: rows of `fc1.weight`, `[hidden, dim]`.
///
/// # Errors
/// Weights that are not finite, shapes that do not fit each other, `fc2` missing, and anything
/// else at `path`: it might depend on the order of the units.
pub(super) fn units(tensors: &Tensors, path: &str) -> Result<Array2<f64>> {
    let name = format!("{path}.fc1.weight");
    let weight = &tensors[&name];
    let &[hidden, dim] = weight.size().as_slice() else {
        return Err(wrong(&name, "a matrix", format!("{:?}", weight.size())));
    };
    expect_companions(tensors, path, hidden)?;
    let flat = weight.detach().to_device(polyptych_tensor::Device::Cpu).to_kind(Kind::Double);
    let values =
        Vec::<f64>::try_from(&flat.reshape([-1])).map_err(polyptych_tensor::Error::from)?;
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(wrong(&name, "finite weights", value));
    }
    let shape = [hidden as usize, dim as usize];
    Ok(Array2::from_shape_vec(shape, values).expect("as many values as the shape says"))
}

fn expect_companions(tensors: &Tensors, path: &str, hidden: i64) -> Result<()> {
    let fc2 = format!("{path}.fc2.weight");
    let fits = |tensor: &Tensor| tensor.dim() == 2 && tensor.size()[1] == hidden;
    expect(tensors, &fc2, fits, format!("a matrix of {hidden} columns"))?;
    let bias = format!("{path}.fc1.bias");
    if tensors.contains_key(&bias) {
        expect(tensors, &bias, |tensor| tensor.size() == [hidden], format!("[{hidden}]"))?;
    }
    let known = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"];
    let inside = |name: &&String| name.strip_prefix(path).is_some_and(|n| n.starts_with('.'));
    let stranger = |name: &&String| !known.contains(&&name[path.len() + 1..]);
    match tensors.keys().filter(inside).find(stranger) {
        Some(name) => Err(wrong(path, "weights and biases of fc1 and fc2 alone", name)),
        None => Ok(()),
    }
}

fn expect(
    tensors: &Tensors,
    name: &str,
    fits: impl Fn(&Tensor) -> bool,
    expected: String,
) -> Result<()> {
    match tensors.get(name) {
        Some(tensor) if fits(tensor) => Ok(()),
        Some(tensor) => Err(wrong(name, expected, format!("{:?}", tensor.size()))),
        None => Err(wrong(name, expected, "nothing")),
    }
}

pub(super) fn wrong(name: &str, expected: impl Into<String>, found: impl ToString) -> Error {
    let (expected, found) = (expected.into(), found.to_string());
    Error::Backbone { name: name.to_owned(), expected, found }
}

/// The units by label; those of one label keep their order.
pub(super) fn order_of(labels: &[usize]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    order.sort_by_key(|&unit| labels[unit as usize]);
    order
}

/// Brings the hidden units of the MLP at `path` into `order`.
pub(super) fn permute(tensors: &mut Tensors, path: &str, order: &[u32]) {
    let order: Vec<i64> = order.iter().map(|&unit| i64::from(unit)).collect();
    let order = Tensor::from_slice(&order);
    for (name, axis) in [("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)] {
        if let Some(tensor) = tensors.get_mut(&format!("{path}.{name}")) {
            *tensor = tensor.detach().index_select(axis, &order.to_device(tensor.device()));
        }
    }
}
