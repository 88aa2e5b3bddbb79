//! Do two programs compute the same?

use std::path::Path;

use anyhow::{Context, Result, bail};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

/// What counts as the same work.
struct Limits {
    /// Largest relative difference of outputs.
    outputs: f64,
    /// The same of gradients.
    gradients: f64,
    /// Gradients below this share of all are compared with that share.
    least: f64,
}

const FP32: Limits = Limits { outputs: 1e-4, gradients: 1e-2, least: 1e-4 };
/// Rounding of activations falls on other places in another program, and the smallest gradients
/// are mostly rounding: PyTorch's own are as far from those in float32 as they are long.
const BF16: Limits = Limits { outputs: 0.1, gradients: 0.3, least: 1e-2 };

/// Ranges are each token's here and all inputs' there, with rounding to 8 bits in every layer.
const INT8: Limits = Limits { outputs: 0.3, ..BF16 };

/// `max |ours - peer| / |peer|` by Euclidean norms, over outputs and over gradients; small
/// gradients as [`Limits::least`] says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Difference {
    /// Of outputs.
    pub(super) outputs: f64,
    /// Of gradients; none where nothing is trained.
    pub(super) gradients: Option<f64>,
}

/// Compares what both sides wrote into `folder`; `outputs` is a limit of its own for outputs.
///
/// # Errors
/// Tensors that only one side has, of other shapes, or more apart than rounding explains.
pub(super) fn compare(folder: &Path, precision: &str, outputs: Option<f64>) -> Result<Difference> {
    let read = |side: &str| {
        let path = folder.join(format!("{side}.safetensors"));
        std::fs::read(&path).with_context(|| path.display().to_string())
    };
    let (ours, peer) = (read("ours")?, read("peer")?);
    let (ours, peer) = (SafeTensors::deserialize(&ours)?, SafeTensors::deserialize(&peer)?);
    let limits = match precision {
        "bf16" => BF16,
        "int8" => INT8,
        _ => FP32,
    };
    let difference = difference(&ours, &peer, limits.least)?;
    let limits = [outputs.unwrap_or(limits.outputs), limits.gradients];
    let found = [difference.outputs, difference.gradients.unwrap_or(0.0)];
    if !found.iter().zip(limits).all(|(found, limit)| *found <= limit) {
        bail!("the programs differ: expected at most {limits:?}, found {difference:?}");
    }
    Ok(difference)
}

fn difference(ours: &SafeTensors, peer: &SafeTensors, share: f64) -> Result<Difference> {
    let (mut mine, mut theirs) = (ours.names(), peer.names());
    mine.sort_unstable();
    theirs.sort_unstable();
    if mine != theirs {
        let alone = |a: &[&str], b: &[&str]| {
            a.iter().filter(|n| !b.contains(n)).map(|n| (*n).to_owned()).collect::<Vec<_>>()
        };
        bail!("only we have {:?}, only they {:?}", alone(&mine, &theirs), alone(&theirs, &mine));
    }
    let is_gradient = |name: &&str| name.starts_with("gradient.");
    let (gradients, outputs): (Vec<&str>, Vec<&str>) = mine.into_iter().partition(is_gradient);
    let mut squares = Vec::new();
    for name in &gradients {
        squares.push(norm(&floats(&peer.tensor(name)?)?).powi(2));
    }
    let least = share * squares.iter().sum::<f64>().sqrt();
    let largest = |names: &[&str], least: f64| -> Result<f64> {
        let mut largest = 0.0;
        for name in names {
            let apart = relative(&ours.tensor(name)?, &peer.tensor(name)?, least)
                .with_context(|| (*name).to_owned())?;
            largest = f64::max(largest, apart);
        }
        Ok(largest)
    };
    let outputs = largest(&outputs, f64::MIN_POSITIVE)?;
    let found = (!gradients.is_empty()).then(|| largest(&gradients, least)).transpose()?;
    Ok(Difference { outputs, gradients: found })
}

fn relative(ours: &TensorView, peer: &TensorView, least: f64) -> Result<f64> {
    if ours.shape() != peer.shape() {
        bail!("expected shape {:?}, found {:?}", peer.shape(), ours.shape());
    }
    let (a, b) = (floats(ours)?, floats(peer)?);
    let apart: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    let ratio = norm(&apart) / norm(&b).max(least);
    if ratio.is_nan() { bail!("found numbers that are not finite") } else { Ok(ratio) }
}

fn norm(numbers: &[f64]) -> f64 {
    numbers.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn floats(view: &TensorView) -> Result<Vec<f64>> {
    if view.dtype() != safetensors::Dtype::F32 {
        bail!("expected float32, found {:?}", view.dtype());
    }
    let words = view.data().chunks_exact(4);
    Ok(words.map(|w| f64::from(f32::from_le_bytes([w[0], w[1], w[2], w[3]]))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;

    fn file(tensors: &[(&str, [f32; 2])]) -> Vec<u8> {
        let bytes: Vec<(String, Vec<u8>)> = tensors
            .iter()
            .map(|(name, x)| ((*name).to_owned(), x.iter().flat_map(|x| x.to_le_bytes()).collect()))
            .collect();
        let view = |(name, data)| (name, TensorView::new(Dtype::F32, vec![2], data).unwrap());
        let views: Vec<(&String, TensorView)> =
            bytes.iter().map(|(name, data)| view((name, data.as_slice()))).collect();
        safetensors::serialize(views, None).unwrap()
    }

    fn between(ours: &[(&str, [f32; 2])], peer: &[(&str, [f32; 2])]) -> Result<Difference> {
        let (ours, peer) = (file(ours), file(peer));
        difference(&SafeTensors::deserialize(&ours)?, &SafeTensors::deserialize(&peer)?, FP32.least)
    }

    #[test]
    fn differences_are_relative_to_the_peer() {
        let found = between(
            &[("loss", [3.3, 4.4]), ("gradient.w", [1.0, 0.0])],
            &[("loss", [3.0, 4.0]), ("gradient.w", [1.0, 0.0])],
        )
        .unwrap();
        assert!((found.outputs - 0.1).abs() < 1e-6);
        assert_eq!(found.gradients, Some(0.0));
    }

    #[test]
    fn what_should_be_zero_is_compared_with_the_whole() {
        let ours = [("gradient.bias", [2e-7, 0.0]), ("gradient.w", [1.0, 0.0])];
        let peer = [("gradient.bias", [1e-7, 0.0]), ("gradient.w", [1.0, 0.0])];
        assert!(between(&ours, &peer).unwrap().gradients.unwrap() < 0.01);
    }

    #[test]
    fn names_must_be_the_same_and_numbers_finite() {
        let message = between(&[("a", [1.0; 2])], &[("b", [1.0; 2])]).unwrap_err().to_string();
        assert_eq!(message, r#"only we have ["a"], only they ["b"]"#);
        let message = between(&[("a", [f32::NAN; 2])], &[("a", [1.0; 2])]).unwrap_err();
        assert!(format!("{message:#}").contains("not finite"));
    }
}
