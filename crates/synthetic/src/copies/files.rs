//! Files of a synthetic copy, as the makers of data sets write them.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ::image::codecs::jpeg::JpegEncoder;
use ::image::{ExtendedColorType, ImageEncoder};
use ndarray::{Array2, Array3, ArrayD};
use png::{BitDepth, ColorType, Encoder};

use polyptych_data::{Error, Result};

/// The folder of a copy.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(path);
        let folder = path.parent().expect("a file lies in the copy's folder");
        fs::create_dir_all(folder).map_err(unwritable(folder))?;
        fs::write(&path, bytes).map_err(unwritable(&path))
    }

    pub(super) fn lines(&self, path: &str, lines: &[String]) -> Result<()> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.write(path, text.as_bytes())
    }

    pub(super) fn jpeg(&self, path: &str, image: &Array3<u8>) -> Result<()> {
        let (height, width, _) = image.dim();
        let (mut bytes, pixels) = (Vec::new(), contiguous(image));
        let encoder = JpegEncoder::new_with_quality(&mut bytes, 92);
        encoder
            .write_image(&pixels, width as u32, height as u32, ExtendedColorType::Rgb8)
            .expect("three bytes for every pixel go to memory");
        self.write(path, &bytes)
    }

    pub(super) fn colour_png(&self, path: &str, image: &Array3<u8>) -> Result<()> {
        let (height, width, _) = image.dim();
        let (size, pixels) = ([width, height], contiguous(image));
        self.write(path, &encoded(size, ColorType::Rgb, BitDepth::Eight, None, &pixels))
    }

    pub(super) fn grey_png(&self, path: &str, map: &Array2<u8>) -> Result<()> {
        let size = [map.ncols(), map.nrows()];
        self.write(path, &encoded(size, ColorType::Grayscale, BitDepth::Eight, None, &bytes(map)))
    }

    pub(super) fn palette_png(
        &self,
        path: &str,
        map: &Array2<u8>,
        palette: &[[u8; 3]],
    ) -> Result<()> {
        let size = [map.ncols(), map.nrows()];
        let palette = Some(palette.concat());
        self.write(path, &encoded(size, ColorType::Indexed, BitDepth::Eight, palette, &bytes(map)))
    }

    pub(super) fn grey16_png(&self, path: &str, map: &Array2<u16>) -> Result<()> {
        let size = [map.ncols(), map.nrows()];
        let pixels: Vec<u8> = map.iter().flat_map(|value| value.to_be_bytes()).collect();
        self.write(path, &encoded(size, ColorType::Grayscale, BitDepth::Sixteen, None, &pixels))
    }

    /// Single precision, rows first.
    pub(super) fn npy(&self, path: &str, array: &ArrayD<f32>) -> Result<()> {
        let shape: Vec<String> = array.shape().iter().map(usize::to_string).collect();
        let shape = shape.join(", ");
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
        // Data begin at a multiple of 64 bytes, ten of which stand before the header.
        let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((padded as u16).to_le_bytes());
        bytes.extend(format!("{header:<width$}\n", width = padded - 1).into_bytes());
        bytes.extend(array.iter().flat_map(|value| value.to_le_bytes()));
        self.write(path, &bytes)
    }
}

fn bytes(map: &Array2<u8>) -> Vec<u8> {
    map.iter().copied().collect()
}

fn contiguous(image: &Array3<u8>) -> Vec<u8> {
    image.iter().copied().collect()
}

fn encoded(
    [width, height]: [usize; 2],
    colour: ColorType,
    depth: BitDepth,
    palette: Option<Vec<u8>>,
    pixels: &[u8],
) -> Vec<u8> {
    const WHY: &str = "sizes fit, and memory takes everything";
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header().expect(WHY);
    writer.write_image_data(pixels).expect(WHY);
    writer.finish().expect(WHY);
    bytes
}

/// The error of a file that cannot be written.
fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
