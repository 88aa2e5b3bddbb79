//! The orthonormal real transform of maps in two axes, by matrices.
//!
//! Maps of a backbone are small, and products of real matrices have gradients, half precision and
//! exports, which complex numbers have not everywhere.

use std::f64::consts::TAU;

use polyptych_tensor::{Device, Kind, Tensor};

/// Real and imaginary parts, `[.., width / 2 + 1, height, dim]` each.
#[derive(Debug)]
pub(super) struct Spectrum {
    pub(super) re: Tensor,
    pub(super) im: Tensor,
}

/// The transform of maps of one size, and its inverse.
#[derive(Debug)]
pub(super) struct Transform {
    size: Size,
    /// Cosines and sines along the width, `[width / 2 + 1, width]`.
    columns: [Tensor; 2],
    /// The same for the way back: a frequency and its negative are one entry, but for the first and,
    /// of even widths, the last.
    columns_back: [Tensor; 2],
    /// Cosines and sines along the height, `[height, height]`.
    rows: [Tensor; 2],
}

/// What a transform is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    pub(super) height: i64,
    pub(super) width: i64,
    pub(super) device: Device,
    pub(super) kind: Kind,
}

impl Size {
    /// That of maps `[tasks, batch, height, width, dim]`.
    pub(super) fn of(maps: &Tensor) -> Self {
        let size = maps.size();
        Self { height: size[2], width: size[3], device: maps.device(), kind: maps.kind() }
    }

    /// `values` on this device, of this type.
    pub(super) fn constant(&self, values: &[f32]) -> Tensor {
        Tensor::from_slice(values).to_device(self.device).to_kind(self.kind)
    }
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
    /// Of maps of `size`.
    pub(super) fn new(size: Size) -> Self {
        let Size { height, width, .. } = size;
        let alone = |k: i64| k == 0 || 2 * k == width;
        let twice = |k: i64| if alone(k) { 1.0 } else { 2.0 };
        Self {
            size,
            columns: waves(size, width / 2 + 1, width, |_| 1.0),
            columns_back: waves(size, width / 2 + 1, width, twice),
            rows: waves(size, height, height, |_| 1.0),
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// `rfft2` of maps `[.., height, width, dim]`.
    pub(super) fn forward(&self, maps: &Tensor) -> Spectrum {
        let [cos, sin] = &self.columns;
        let along = |matrix: &Tensor| matrix.matmul(maps).transpose(-3, -2);
        let (re, im) = (along(cos), along(sin));
        let [cos, sin] = &self.rows;
        // exp(-i x) = cos x - i sin x, and the first axis gave re - i im.
        Spectrum { re: cos.matmul(&re) - sin.matmul(&im), im: -(cos.matmul(&im) + sin.matmul(&re)) }
    }

    /// `irfft2`, to `[.., height, width, dim]`.
    pub(super) fn inverse(&self, spectrum: &Spectrum) -> Tensor {
        let Spectrum { re, im } = spectrum;
        let [cos, sin] = &self.rows;
        let back = |part: Tensor| part.transpose(-3, -2);
        let (re, im) =
            (back(cos.matmul(re) - sin.matmul(im)), back(cos.matmul(im) + sin.matmul(re)));
        let [cos, sin] = &self.columns_back;
        cos.tr().matmul(&re) - sin.tr().matmul(&im)
    }

    /// `r` of every entry, `[width / 2 + 1, height]`, row by row.
    pub(super) fn radii(&self) -> Vec<f64> {
        let Size { height, width, .. } = self.size;
        let share = |k: i64, n: i64| 2.0 * k.min(n - k) as f64 / n as f64;
        let of = |column| (0..height).map(move |row| (column, row));
        let all = (0..=width / 2).flat_map(of);
        all.map(|(c, r)| share(c, width).hypot(share(r, height))).collect()
    }

    /// Entries in a spectrum's axes, `[width / 2 + 1, height, 1]`.
    pub(super) fn shape(&self) -> [i64; 3] {
        [self.size.width / 2 + 1, self.size.height, 1]
    }
}

/// `weight(k) (cos, sin)(2 pi k n / count) / sqrt(count)`, `[frequencies, count]`.
fn waves(size: Size, frequencies: i64, count: i64, weight: impl Fn(i64) -> f64) -> [Tensor; 2] {
    let table = |wave: fn(f64) -> f64| {
        let at = |k: i64, n: i64| {
            // Whole turns are taken off first: the angle stays exact.
            let angle = TAU * (k * n % count) as f64 / count as f64;
            (weight(k) * wave(angle) / (count as f64).sqrt()) as f32
        };
        let all = (0..frequencies).flat_map(|k| (0..count).map(move |n| (k, n)));
        let values: Vec<f32> = all.map(|(k, n)| at(k, n)).collect();
        size.constant(&values).view([frequencies, count])
    };
    [table(f64::cos), table(f64::sin)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_that_of_torch() {
        for [height, width] in [[4, 4], [3, 5], [6, 1]] {
            let maps = Tensor::randn([2, height, width, 3], (Kind::Float, Device::Cpu));
            let transform = Transform::new(Size::of(&maps.unsqueeze(0)));
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
        let radii =
            Transform::new(Size { height: 4, width: 4, device: Device::Cpu, kind: Kind::Float })
                .radii();
        let root = 1.25f64.sqrt();
        let expected = [0.0, 0.5, 1.0, 0.5, 0.5, 0.5f64.sqrt(), root, 0.5f64.sqrt()];
        assert_eq!(radii[..8], expected);
        assert_eq!(radii[8..], [1.0, root, 2.0f64.sqrt(), root]);
    }
}
