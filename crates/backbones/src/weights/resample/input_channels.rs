//! A first convolution for images of other channels than red, green and blue.

use polyptych_tensor::{Kind, Tensor};

/// Channels that published weights are for.
const RGB: i64 = 3;

/// Fits `[out, 3, rows, columns]` to `[out, channels, rows, columns]`, through float32.
///
/// One channel gets the sum over the three, so that a grey image is seen as one whose channels are
/// equal. Several repeat the three cyclically, times `3 / channels`, so that outputs keep their scale.
/// `None` for a tensor of another shape.
pub fn input_channels(tensor: &Tensor, channels: i64) -> Option<Tensor> {
    if channels < 1 || tensor.dim() != 4 || tensor.size()[1] != RGB {
        return None;
    }
    let kernel = tensor.to_kind(Kind::Float);
    let fitted = match channels {
        1 => kernel.sum_dim_intlist([1i64].as_slice(), true, Kind::Float),
        _ => {
            let turns = (channels + RGB - 1) / RGB;
            let repeated = kernel.repeat([1, turns, 1, 1]).narrow(1, 0, channels);
            repeated * (RGB as f64 / channels as f64)
        }
    };
    Some(fitted.to_kind(tensor.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    #[test]
    fn channels_are_summed_or_repeated_to_scale() {
        let kernel = Tensor::from_slice(&[1f32, 2.0, 4.0]).view([1, 3, 1, 1]);
        let fitted = |channels| input_channels(&kernel, channels).unwrap().view([-1]);
        assert!(fitted(1).equal(&Tensor::from_slice(&[7f32])));
        assert!(fitted(2).equal(&Tensor::from_slice(&[1.5f32, 3.0])));
        assert!(fitted(3).equal(&kernel.view([-1])));
        assert!(fitted(6).equal(&Tensor::from_slice(&[0.5f32, 1.0, 2.0, 0.5, 1.0, 2.0])));
    }

    #[test]
    fn other_shapes_are_refused() {
        let of = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        assert!(input_channels(&of(&[2, 4, 1, 1]), 1).is_none());
        assert!(input_channels(&of(&[2, 3]), 1).is_none());
        assert!(input_channels(&of(&[2, 3, 1, 1]), 0).is_none());
    }
}
