//! Bilinear resizing.

use polyptych_tensor::Tensor;

use crate::{Error, Result};

/// Resizes `[batch, channels, height, width]` to `size`, given as `[height, width]`, bilinearly,
/// with pixels as areas (`align_corners = false`).
///
/// # Errors
/// Other than four axes, or an extent of 0.
pub fn upsample(x: &Tensor, size: [i64; 2]) -> Result<Tensor> {
    let found = x.size();
    if found.len() != 4 || found.contains(&0) {
        let expected = "[batch, channels, height, width], no extent 0".into();
        return Err(Error::Shape { key: "map".into(), expected, found });
    }
    if size.iter().any(|&extent| extent < 1) {
        return Err(Error::config("size", "extents of 1 or more", format!("{size:?}")));
    }
    if found[2..] == size {
        return Ok(x.shallow_clone());
    }
    let planes = x.contiguous().view([found[0] * found[1], found[2], found[3], 1]);
    let resized = polyptych_kernels::upsample(&[&planes], None, size);
    Ok(resized.view([found[0], found[1], size[0], size[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn pixels_are_areas() {
        let x = Tensor::from_slice(&[0f32, 1.0]).view([1, 1, 1, 2]);
        let y = upsample(&x, [2, 4]).unwrap();
        let row = [0f32, 0.25, 0.75, 1.0];
        let expected = Tensor::from_slice(&[row, row].concat()).view([1, 1, 2, 4]);
        assert!(y.equal(&expected), "{y:?}");
        assert!(upsample(&x, [1, 2]).unwrap().equal(&x));
    }

    #[test]
    fn bad_sizes_are_refused() {
        let x = Tensor::zeros([1, 1, 2, 2], (Kind::Float, Device::Cpu));
        let message = upsample(&x, [0, 4]).unwrap_err().to_string();
        assert_eq!(message, "size: expected extents of 1 or more, found [0, 4]");
        let message = upsample(&x.squeeze(), [4, 4]).unwrap_err().to_string();
        let expected = "map: expected shape [batch, channels, height, width], no extent 0, \
                        found [2, 2]";
        assert_eq!(message, expected);
    }
}
