//! Letters in pictures.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};
use unicode_normalization::UnicodeNormalization;

/// Colour of letters on white.
pub(crate) const INK: Rgb<u8> = Rgb([32; 3]);

/// Width of so many letters in pixels; they are 16 high.
pub(crate) fn width_of(letters: usize) -> u32 {
    (letters * get_raster_width(FontWeight::Regular, RasterHeight::Size16)) as u32
}

/// Width of `text` in pixels.
pub(crate) fn width(text: &str) -> u32 {
    width_of(text.nfc().count())
}

/// Writes `text` with its upper left corner at `left`, `top`; what does not fit is cut. Letters of
/// Latin scripts are drawn with their accents, or without where the font has none such; of others
/// the font has none.
pub(crate) fn write(image: &mut RgbImage, text: &str, left: u32, top: u32) {
    for (place, letter) in text.nfc().enumerate() {
        let Some(raster) = raster(letter) else { continue };
        let left = left + width_of(place);
        for (y, line) in (0u32..).zip(raster.rows()) {
            for (x, ink) in (0u32..).zip(line.iter()) {
                blend(image, left + x, top + y, *ink);
            }
        }
    }
}

fn raster(letter: char) -> Option<RasterizedChar> {
    let known = |letter| get_raster(letter, FontWeight::Regular, RasterHeight::Size16);
    let bare = || std::iter::once(letter).nfd().next().and_then(known);
    known(letter).or_else(bare).or_else(|| known('?'))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str) -> RgbImage {
        let mut image = RgbImage::from_pixel(width(text).max(1), 16, Rgb([255; 3]));
        write(&mut image, text, 0, 0);
        image
    }

    #[test]
    fn accents_are_drawn_in_both_unicode_forms() {
        for letter in ["\u{e9}", "\u{fc}", "\u{159}", "\u{142}", "\u{df}", "\u{c5}"] {
            assert!(drawn(letter) != drawn("?"), "{letter}");
        }
        assert!(drawn("\u{e9}") != drawn("e"));
        assert_eq!(drawn("caf\u{e9}"), drawn("cafe\u{301}"));
        // No accent of Vietnamese, but its letter; nothing of other scripts.
        assert_eq!(drawn("\u{1ea1}"), drawn("a"));
        assert_eq!(drawn("\u{732b}"), drawn("?"));
    }
}
