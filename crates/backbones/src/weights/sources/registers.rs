//! DINOv2 as its authors have it: with register tokens, `pos_embed` has an entry for the class token
//! and none for registers; the matrices of gated perceptrons are `w12` and `w3`.

use polyptych_tensor::{Tensor, Tensors};

use crate::error::{Error, Result};

/// Matrices of gated perceptrons, and timm's names of them.
const GATED: [(&str, &str); 2] = [(".mlp.w12.", ".mlp.fc1."), (".mlp.w3.", ".mlp.fc2.")];

/// DINOv2 as its authors publish it, `register_tokens` and gated perceptrons, in timm's layout.
///
/// # Errors
/// A class token or positions that are absent or have other shapes.
pub(super) fn dinov2(tensors: Tensors) -> Result<Tensors> {
    let rename = |name: String| GATED.iter().fold(name, |name, (from, to)| name.replace(from, to));
    let named = tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect();
    without_prefix_positions(named, "register_tokens")
}

/// timm's layout (`no_embed_class`): registers, which are `name` here, are `reg_token`, the class
/// token's position becomes part of the class token, and `pos_embed` is of patches alone. Tensors
/// without registers stay as they are.
///
/// # Errors
/// A class token or positions that are absent or have other shapes.
pub(super) fn without_prefix_positions(mut tensors: Tensors, name: &str) -> Result<Tensors> {
    let Some(registers) = tensors.remove(name) else { return Ok(tensors) };
    let (class, positions) = (rows(&tensors, "cls_token")?, rows(&tensors, "pos_embed")?);
    let (first, patches) = split(positions)?;
    let class = class.f_add(&first).map_err(torch)?;
    tensors.insert("reg_token".into(), registers);
    tensors.insert("cls_token".into(), class);
    tensors.insert("pos_embed".into(), patches);
    Ok(tensors)
}

fn rows<'a>(tensors: &'a Tensors, name: &str) -> Result<&'a Tensor> {
    let found = tensors.get(name);
    let shaped = found.filter(|tensor| matches!(tensor.size()[..], [1, rows, _] if rows > 0));
    shaped.ok_or_else(|| Error::Weights {
        key: name.into(),
        expected: "[1, positions, dim] beside register tokens",
        found: found.map_or("none".into(), |tensor| format!("{:?}", tensor.size())),
    })
}

fn split(positions: &Tensor) -> Result<(Tensor, Tensor)> {
    let patches = positions.size()[1] - 1;
    let part = |from, count| positions.f_narrow(1, from, count).map_err(torch);
    Ok((part(0, 1)?, part(1, patches)?))
}

fn torch(e: polyptych_tensor::TchError) -> Error {
    polyptych_tensor::Error::from(e).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    fn ones(shape: &[i64]) -> Tensor {
        Tensor::ones(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn the_class_token_takes_its_position() {
        let file = |positions: &[i64]| {
            Tensors::from([
                ("register_tokens".to_owned(), ones(&[1, 4, 2])),
                ("cls_token".to_owned(), ones(&[1, 1, 2])),
                ("pos_embed".to_owned(), ones(positions)),
            ])
        };
        let timm = dinov2(file(&[1, 10, 2])).unwrap();
        assert!(timm.keys().eq(["cls_token", "pos_embed", "reg_token"]));
        assert_eq!(timm["pos_embed"].size(), [1, 9, 2]);
        assert_eq!(timm["cls_token"].double_value(&[0, 0, 1]), 2.0);
        let message = dinov2(file(&[10, 2])).unwrap_err().to_string();
        let expected = "pos_embed: expected [1, positions, dim] beside register tokens, found \
                        [10, 2]";
        assert_eq!(message, expected);
    }
}
