//! Maps of safetensors, as `polyptych predict --raw` writes those of a model: labels by a teacher.

use half::{bf16, f16};
use ndarray::{Array2, Array3, ArrayD, Axis};
use safetensors::{Dtype, SafeTensors};

use super::bounds::{Decoded, affordable, bounded};

/// The tensor `name`, `[1 or 3, height, width]`, as `[height, width]` or `[height, width, 3]`.
pub(crate) fn array(bytes: &[u8], name: &str) -> Decoded<ArrayD<f64>> {
    let map = channels(bytes, name)?;
    match map.len_of(Axis(0)) {
        1 => Ok(map.index_axis_move(Axis(0), 0).into_dyn()),
        3 => Ok(map.permuted_axes([1, 2, 0]).into_dyn()),
        other => Err(format!("{name}: expected [1 or 3, height, width], found {other} channels")),
    }
}

/// The place of the largest number of every pixel in the tensor `name`,
/// `[classes, height, width]`, 2 classes or more; the first of equals.
pub(crate) fn argmax(bytes: &[u8], name: &str) -> Decoded<Array2<u8>> {
    let map = channels(bytes, name)?;
    let classes = map.len_of(Axis(0));
    if classes == 1 {
        let reason = "one map: `predict --raw` writes classes themselves, which are";
        return Err(format!(
            "{name}: expected a map for each class, found {reason} `safetensors:{name}`"
        ));
    }
    if !(2..=255).contains(&classes) {
        return Err(format!("{name}: expected 2 to 255 classes, found {classes}"));
    }
    if map.iter().any(|number| number.is_nan()) {
        return Err(format!("{name}: expected numbers, found NaN"));
    }
    let largest = |pixel: ndarray::ArrayView1<f64>| {
        let better = |best: usize, at: usize| if pixel[at] > pixel[best] { at } else { best };
        (1..classes).fold(0, better) as u8
    };
    Ok(map.map_axis(Axis(0), largest))
}

fn channels(bytes: &[u8], name: &str) -> Decoded<Array3<f64>> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let tensor = file.tensor(name).map_err(|_| {
        let mut names = file.names();
        names.sort_unstable();
        format!("expected a tensor {name}, found {}", names.join(", "))
    })?;
    let &[count, height, width] = tensor.shape() else {
        let found = tensor.shape();
        return Err(format!("{name}: expected [channels, height, width], found {found:?}"));
    };
    bounded(width, height)?;
    let numbers = count.saturating_mul(height).saturating_mul(width);
    affordable(numbers.saturating_mul(size_of::<f64>()))?;
    let data = tensor.data();
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => of(data, |b: [u8; 8]| f64::from_le_bytes(b)),
        Dtype::F32 => of(data, |b: [u8; 4]| f32::from_le_bytes(b).into()),
        Dtype::F16 => of(data, |b: [u8; 2]| f16::from_le_bytes(b).into()),
        Dtype::BF16 => of(data, |b: [u8; 2]| bf16::from_le_bytes(b).into()),
        other => return Err(format!("{name}: expected floating numbers, found {other:?}")),
    };
    Array3::from_shape_vec([count, height, width], values).map_err(|error| error.to_string())
}

/// Numbers of `N` bytes each.
fn of<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn file(shape: &[usize], numbers: &[f32]) -> Vec<u8> {
        let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, shape.to_vec(), &data).unwrap();
        safetensors::serialize([("sal", view)], None).unwrap()
    }

    #[test]
    fn maps_vectors_and_the_most_likely_classes_are_read() {
        let map = array(&file(&[1, 1, 2], &[0.5, -1.0]), "sal").unwrap();
        assert_eq!((map.shape(), map.iter().copied().sum::<f64>()), (&[1, 2][..], -0.5));
        let three = file(&[3, 1, 2], &[1.0, 2.0, 3.0, 2.0, 0.0, 9.0]);
        assert_eq!(array(&three, "sal").unwrap()[[0, 1, 2]], 9.0);
        assert_eq!(argmax(&three, "sal").unwrap().into_raw_vec_and_offset().0, [1, 2]);
    }

    #[test]
    fn what_is_no_map_is_named() {
        let two = file(&[2, 1, 1], &[f32::NAN, 0.0]);
        let found = array(&two, "sal").unwrap_err();
        assert_eq!(found, "sal: expected [1 or 3, height, width], found 2 channels");
        assert_eq!(argmax(&two, "sal").unwrap_err(), "sal: expected numbers, found NaN");
        assert_eq!(array(&two, "edge").unwrap_err(), "expected a tensor edge, found sal");
        let one = argmax(&file(&[1, 1, 1], &[2.0]), "sal").unwrap_err();
        let expected = "sal: expected a map for each class, found one map: `predict --raw` writes \
                        classes themselves, which are `safetensors:sal`";
        assert_eq!(one, expected);
        let flat = file(&[2], &[0.0, 1.0]);
        let found = argmax(&flat, "sal").unwrap_err();
        assert_eq!(found, "sal: expected [channels, height, width], found [2]");
        for length in 0..flat.len() {
            assert!(array(&flat[..length], "sal").is_err(), "{length}");
        }
    }
}
