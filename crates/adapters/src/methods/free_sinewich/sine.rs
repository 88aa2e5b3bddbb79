//! One low-rank base, switched to every task by its frequency.

use polyptych_kernels::filter_planes;
use polyptych_tensor::{Init, Kind, Result, Scope, Tensor, no_grad};

/// `M_t = LP(sin(omega_t M)) / sqrt(in)` for `base`, `M`: `[out, in]`, and `frequencies`: `[tasks]`;
/// `[tasks, out, in]`.
pub(super) fn switched(base: &Tensor, frequencies: &Tensor, low_pass: bool) -> Tensor {
    let [_, width] = base.size()[..] else { unreachable!("a base is [out, in]") };
    let waves = sines(base, frequencies) / (width as f64).sqrt();
    if low_pass { smooth(&waves) } else { waves }
}

/// `sin(omega_t M)`.
fn sines(base: &Tensor, frequencies: &Tensor) -> Tensor {
    (base.unsqueeze(0) * frequencies.view([-1, 1, 1])).sin()
}

/// A Gaussian of seven taps and standard deviation 1 along rows and columns, with zeros beside the
/// matrix: `[tasks, out, in]` to the same.
fn smooth(waves: &Tensor) -> Tensor {
    filter_planes(waves, &taps())
}

/// Seven taps that sum to 1.
fn taps() -> [f64; 7] {
    let weights = [-3i32, -2, -1, 0, 1, 2, 3].map(|i| (-0.5 * f64::from(i * i)).exp());
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

/// The core `K`, `[r, r]`, of `M = B K A`: the identity at the start.
pub(super) fn core(scope: &Scope, r: i64) -> Result<Tensor> {
    let mut core = scope.param("sine_core", &[r, r], Init::ZEROS)?;
    let identity = Tensor::eye(r, (Kind::Float, core.device()));
    let _ = no_grad(|| core.g_add_(&identity));
    Ok(core)
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::Device;

    use super::*;

    #[test]
    fn the_low_pass_is_a_gaussian() {
        let expected = [0.004433, 0.054006, 0.242036, 0.399050, 0.242036, 0.054006, 0.004433];
        assert!(taps().iter().zip(expected).all(|(found, tap)| (found - tap).abs() < 1e-6));
        let point = Tensor::zeros([1, 7, 7], (Kind::Double, Device::Cpu));
        let _ = point.get(0).get(3).get(3).fill_(1.0);
        let found = smooth(&point);
        assert!((found.double_value(&[0, 3, 3]) - 0.159241).abs() < 1e-6);
        assert!((found.sum(Kind::Double).double_value(&[]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_sine_is_of_the_fused_matrix() {
        let matrix = |values: &[f64], columns| Tensor::from_slice(values).view([-1, columns]);
        let a = matrix(&[1.0, 0.0, 2.0, 1.0, 0.0, -1.0], 2);
        let core = matrix(&[0.5, -1.0, 1.0, 2.0], 2);
        let b = matrix(&[1.0, 1.0, 0.0, 2.0], 2);
        let base = a.matmul(&core).matmul(&b.tr());
        assert_eq!(base, matrix(&[-0.5, -2.0, 2.0, 0.0, -3.0, -4.0], 2));
        let waves = sines(&base, &Tensor::from_slice(&[0.5f64]));
        let out = waves.get(0).matmul(&Tensor::from_slice(&[1.0f64, -1.0]));
        let expected = Tensor::from_slice(&[0.594067f64, 0.841471, -0.088198]);
        assert!((out - expected).abs().max().double_value(&[]) < 1e-6);
    }
}
