//! Linear maps whose matrix is of int8.

use tch::{Kind, Tensor};

use crate::bridge::{at, ffi, optional_output, output};

/// How numbers that go into a linear map become bytes: `x = scale (byte - zero_point)`, with bytes
/// from 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantizedInput {
    /// One step, above 0.
    pub scale: f64,
    /// The byte of 0.
    pub zero_point: u8,
}

impl QuantizedInput {
    /// The finest steps for numbers from `least` to `most`, with 0 among them.
    pub fn between(least: f64, most: f64) -> Self {
        let (least, most) = (least.min(0.0), most.max(0.0));
        // As kernels compute it of a token.
        let scale = f64::from((most - least) as f32 / 255.0);
        if scale <= 0.0 {
            return Self { scale: 1.0, zero_point: 0 };
        }
        Self { scale, zero_point: (-least / scale).round_ties_even().clamp(0.0, 255.0) as u8 }
    }
}

/// A matrix `[out, in]` as `weight * scale`, row by row: `weight` of int8 from -127 to 127.
///
/// Where instructions multiply bytes, columns lie in memory as those read them, and nowhere else.
#[derive(Debug)]
pub struct Int8Weight {
    bytes: Bytes,
    scale: Tensor,
}

#[derive(Debug)]
enum Bytes {
    /// `[out, in]`.
    Plain(Tensor),
    /// In the order of the instructions, and how long a row is.
    Packed(Tensor, i64),
}

impl Int8Weight {
    /// The nearest to `weight` `[out, in]`, by the largest number of each row.
    ///
    /// # Panics
    /// A tensor that is no matrix, as tch's own operations do.
    pub fn quantize(weight: &Tensor) -> Self {
        let weight = weight.detach().to_kind(Kind::Float);
        let scale = weight.abs().amax([1i64].as_slice(), true) / 127.0;
        let scale = scale.where_self(&scale.gt(0.0), &scale.ones_like());
        let bytes = (&weight / &scale).round().clamp(-127.0, 127.0).to_kind(Kind::Int8);
        Self::new(bytes, scale.squeeze_dim(1))
    }

    /// What was stored: `weight` `[out, in]` of int8, `scale` `[out]` of float32.
    ///
    /// # Panics
    /// Tensors of other types or shapes.
    pub fn new(weight: Tensor, scale: Tensor) -> Self {
        let packed = ffi::pack_int8(at(&weight)).unwrap_or_else(|e| panic!("pack_int8: {e}"));
        let bytes = match optional_output(packed) {
            Some(packed) => Bytes::Packed(packed, weight.size()[1]),
            None => Bytes::Plain(weight),
        };
        Self { bytes, scale }
    }

    /// The bytes, `[out, in]`; put together anew where they lie otherwise.
    pub fn weight(&self) -> Tensor {
        match &self.bytes {
            Bytes::Plain(weight) => weight.shallow_clone(),
            Bytes::Packed(packed, depth) => {
                let rows = self.scale.size()[0];
                output("unpack_int8", ffi::unpack_int8(at(packed), rows, *depth))
            }
        }
    }

    /// A step of each row, `[out]`.
    pub fn scale(&self) -> &Tensor {
        &self.scale
    }

    /// The matrix in float32.
    pub fn dequantize(&self) -> Tensor {
        self.weight().to_kind(Kind::Float) * self.scale.unsqueeze(1)
    }

    /// `y = x W^T + b` in the type of `x`, or GELU of it if `gelu`: `x` `[.., in]`, `bias` `[out]`.
    ///
    /// Numbers of `x` become bytes by `input` or, if `per_token`, by the range of their
    /// own token. Sums are of integers, where instructions multiply bytes, and exact.
    ///
    /// In a trace `input` is taken in any case, and rounding stands there as such.
    ///
    /// # Panics
    /// Shapes that do not fit, as tch's own operations do.
    pub fn linear(
        &self,
        x: &Tensor,
        bias: Option<&Tensor>,
        input: QuantizedInput,
        per_token: bool,
        gelu: bool,
    ) -> Tensor {
        let none = Tensor::new();
        let (matrix, depth) = match &self.bytes {
            Bytes::Plain(weight) => (weight, weight.size()[1]),
            Bytes::Packed(packed, depth) => (packed, *depth),
        };
        let done = ffi::int8_linear(
            at(x),
            at(matrix),
            depth,
            at(&self.scale),
            at(bias.unwrap_or(&none)),
            input.scale,
            i64::from(input.zero_point),
            per_token,
            gelu,
        );
        output("int8_linear", done)
    }
}
