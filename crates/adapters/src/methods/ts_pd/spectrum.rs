//! The orthonormal real transform of maps in two axes, by matrices.
//!
//! Maps of a backbone are small, and products of real matrices have gradients, half precision and
//! exports, which complex numbers have not everywhere.

use std::f64::consts::TAU;

use polyptych_tensor::Tensor;

/// Real and imaginary parts, `[.., width / 2 + 1, height, dim]` each.
#[derive(Debug)]
pub(super) struct Spectrum {
    pub(super) re: Tensor,
    pub(super) im: Tensor,
}

/// The transform of maps of one size, and its inverse.
#[derive(Debug)]
pub(super) struct Transform {
    height: i64,
    width: i64,
}

impl Spectrum {
    /// `|F|`, with a gradient where it is 0 too.
    pub(super) fn magnitude(&self) -> Tensor {
        (self.re.square() + self.im.square() + 1e-12).sqrt()
    }

    /// Both parts times `factor`.
    pub(super) fn times(&self, factor: &Tensor) -> Self {
        Self { re: &self.re * factor, im: &self.im * factor }
    }

    /// The sum of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self { re: &self.re + &other.re, im: &self.im + &other.im }
    }

    /// `self - other`.
    pub(super) fn minus(&self, other: &Self) -> Self {
        Self { re: &self.re - &other.re, im: &self.im - &other.im }
    }
}

impl Transform {
    /// Of maps `[.., height, width, dim]`.
    pub(super) fn new(height: i64, width: i64) -> Self {
        Self { height, width }
    }

    /// `rfft2` of maps `[.., height, width, dim]`.
    pub(super) fn forward(&self, maps: &Tensor) -> Spectrum {
        let [cos, sin] = self.columns(maps, |_| 1.0);
        let along = |matrix: &Tensor| matrix.matmul(maps).transpose(-3, -2);
        let (re, im) = (along(&cos), along(&sin));
        let [cos, sin] = self.rows(maps);
        // exp(-i x) = cos x - i sin x, and the first axis gave re - i im.
        Spectrum { re: cos.matmul(&re) - sin.matmul(&im), im: -(cos.matmul(&im) + sin.matmul(&re)) }
    }

    /// `irfft2`, to `[.., height, width, dim]`.
    pub(super) fn inverse(&self, spectrum: &Spectrum) -> Tensor {
        let Spectrum { re, im } = spectrum;
        let [cos, sin] = self.rows(re);
        let back = |part: Tensor| part.transpose(-3, -2);
        let (re, im) =
            (back(cos.matmul(re) - sin.matmul(im)), back(cos.matmul(im) + sin.matmul(re)));
        // A frequency and its negative are one entry, but for the first and, of even widths, the last.
        let alone = |k: i64| k == 0 || 2 * k == self.width;
        let [cos, sin] = self.columns(&re, |k| if alone(k) { 1.0 } else { 2.0 });
        cos.tr().matmul(&re) - sin.tr().matmul(&im)
    }

    /// `r` of every entry, `[width / 2 + 1, height]`, row by row.
    pub(super) fn radii(&self) -> Vec<f64> {
        let share = |k: i64, n: i64| 2.0 * k.min(n - k) as f64 / n as f64;
        let of = |column| (0..self.height).map(move |row| (column, row));
        let all = (0..=self.width / 2).flat_map(of);
        all.map(|(c, r)| share(c, self.width).hypot(share(r, self.height))).collect()
    }

    /// Entries in a spectrum's axes, `[width / 2 + 1, height, 1]`.
    pub(super) fn shape(&self) -> [i64; 3] {
        [self.width / 2 + 1, self.height, 1]
    }

    /// Cosines and sines along the width, `[width / 2 + 1, width]`, row `k` times `weight(k)`.
    fn columns(&self, like: &Tensor, weight: impl Fn(i64) -> f64) -> [Tensor; 2] {
        waves(like, self.width / 2 + 1, self.width, weight)
    }

    /// Cosines and sines along the height, `[height, height]`.
    fn rows(&self, like: &Tensor) -> [Tensor; 2] {
        waves(like, self.height, self.height, |_| 1.0)
    }
}

/// `weight(k) (cos, sin)(2 pi k n / count) / sqrt(count)`, `[frequencies, count]`.
fn waves(like: &Tensor, frequencies: i64, count: i64, weight: impl Fn(i64) -> f64) -> [Tensor; 2] {
    let table = |wave: fn(f64) -> f64| {
        let at = |k: i64, n: i64| {
            // Whole turns are taken off first: the angle stays exact.
            let angle = TAU * (k * n % count) as f64 / count as f64;
            (weight(k) * wave(angle) / (count as f64).sqrt()) as f32
        };
        let all = (0..frequencies).flat_map(|k| (0..count).map(move |n| (k, n)));
        let values: Vec<f32> = all.map(|(k, n)| at(k, n)).collect();
        constant(&values, like).view([frequencies, count])
    };
    [table(f64::cos), table(f64::sin)]
}

/// `values` where `like` is, of its type.
pub(super) fn constant(values: &[f32], like: &Tensor) -> Tensor {
    Tensor::from_slice(values).to_device(like.device()).to_kind(like.kind())
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn the_transform_is_that_of_torch() {
        for [height, width] in [[4, 4], [3, 5], [6, 1]] {
            let maps = Tensor::randn([2, height, width, 3], (Kind::Float, Device::Cpu));
            let transform = Transform::new(height, width);
            let found = transform.forward(&maps);
            let expected = maps.fft_rfft2(None::<&[i64]>, [1i64, 2].as_slice(), "ortho");
            let expected = expected.transpose(1, 2);
            let close = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-5;
            assert!(close(&found.re, &expected.real()), "{height} x {width}");
            assert!(close(&found.im, &expected.imag()), "{height} x {width}");
            assert!(close(&transform.inverse(&found), &maps), "{height} x {width}");
        }
    }

    #[test]
    fn rows_have_the_frequencies_of_the_transform() {
        let radii = Transform::new(4, 4).radii();
        let root = 1.25f64.sqrt();
        let expected = [0.0, 0.5, 1.0, 0.5, 0.5, 0.5f64.sqrt(), root, 0.5f64.sqrt()];
        assert_eq!(radii[..8], expected);
        assert_eq!(radii[8..], [1.0, root, 2.0f64.sqrt(), root]);
    }
}
