//! How a parameter starts.

use tch::{Device, Kind, Tensor};

/// Law of a parameter's first values. All draws come from LibTorch's generator of the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// One value everywhere.
    Const(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Normal with mean 0 and this standard deviation, cut at two units, as timm starts weights.
    TruncNormal(f64),
    /// Uniform in `(-bound, bound)`.
    Uniform(f64),
}

impl Init {
    /// All zeros.
    pub const ZEROS: Init = Init::Const(0.0);
    /// All ones.
    pub const ONES: Init = Init::Const(1.0);

    /// PyTorch's default for linear and convolution weights, biases and LoRA's `A`:
    /// Kaiming-uniform with `a = sqrt(5)`, that is `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`.
    pub fn fan_in(fan_in: i64) -> Init {
        Init::Uniform(1.0 / (fan_in.max(1) as f64).sqrt())
    }

    /// Glorot's uniform law: `U(-b, b)` with `b = sqrt(6 / (fan_in + fan_out))`.
    pub fn glorot(fan_in: i64, fan_out: i64) -> Init {
        Init::Uniform((6.0 / (fan_in + fan_out).max(1) as f64).sqrt())
    }

    /// Draws a float32 tensor of `shape`.
    pub fn draw(self, shape: &[i64], device: Device) -> Tensor {
        let options = (Kind::Float, device);
        match self {
            Init::Const(value) => Tensor::full(shape, value, options),
            Init::Normal(std) => Tensor::randn(shape, options) * std,
            Init::TruncNormal(std) => trunc_normal(shape, device, std),
            Init::Uniform(bound) => (Tensor::rand(shape, options) * 2.0 - 1.0) * bound,
        }
    }
}

/// Inverse-CDF sampling between -2 and 2, the cut that timm uses in absolute units.
fn trunc_normal(shape: &[i64], device: Device, std: f64) -> Tensor {
    let cut = (2.0 / std / std::f64::consts::SQRT_2).min(f64::MAX);
    let edge = f64::from(Tensor::from(cut).erf().double_value(&[]) as f32).min(1.0 - 1e-7);
    let uniform = (Tensor::rand(shape, (Kind::Float, device)) * 2.0 - 1.0) * edge;
    (uniform.erfinv() * (std * std::f64::consts::SQRT_2)).clamp(-2.0, 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_have_their_moments() {
        let _drawing = crate::testing::alone();
        let draw = |init: Init| init.draw(&[200, 200], Device::Cpu);
        let std = |t: &Tensor| t.std(true).double_value(&[]);
        assert!((std(&draw(Init::Normal(0.5))) - 0.5).abs() < 0.01);
        assert!((std(&draw(Init::TruncNormal(0.02))) - 0.02).abs() < 0.001);
        let wide = draw(Init::TruncNormal(2.0));
        assert!(wide.abs().max().double_value(&[]) <= 2.0);
        let uniform = draw(Init::fan_in(16));
        assert!(uniform.abs().max().double_value(&[]) <= 0.25);
        assert!((std(&uniform) - 0.25 / 3f64.sqrt()).abs() < 0.005);
        assert_eq!(Init::glorot(2, 4), Init::Uniform(1.0));
        assert_eq!(draw(Init::ONES).sum(Kind::Float).double_value(&[]), 40_000.0);
    }
}
