//! Letters in pictures.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Colour of letters on white.
pub(crate) const INK: Rgb<u8> = Rgb([32; 3]);

/// Width of so many letters in pixels; they are 16 high.
pub(crate) fn width_of(letters: usize) -> u32 {
    (letters * get_raster_width(FontWeight::Regular, RasterHeight::Size16)) as u32
}

/// Width of `text` in pixels.
pub(crate) fn width(text: &str) -> u32 {
    width_of(text.chars().count())
}

/// Writes `text` with its upper left corner at `left`, `top`; what does not fit is cut.
pub(crate) fn write(image: &mut RgbImage, text: &str, left: u32, top: u32) {
    for (place, letter) in text.chars().enumerate() {
        let known = |letter| get_raster(letter, FontWeight::Regular, RasterHeight::Size16);
        let Some(raster) = known(letter).or_else(|| known('?')) else { continue };
        let left = left + width_of(place);
        for (y, line) in (0u32..).zip(raster.rows()) {
            for (x, ink) in (0u32..).zip(line.iter()) {
                blend(image, left + x, top + y, *ink);
            }
        }
    }
}

fn blend(image: &mut RgbImage, x: u32, y: u32, ink: u8) {
    if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
        let mix = |below: u8, ink_of: u8| {
            let share = f32::from(ink) / 255.0;
            (f32::from(below) * (1.0 - share) + f32::from(ink_of) * share).round() as u8
        };
        *pixel = Rgb([0, 1, 2].map(|c| mix(pixel.0[c], INK.0[c])));
    }
}
