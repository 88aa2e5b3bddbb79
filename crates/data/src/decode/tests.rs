//! Every decoder on bytes made here: round trips, and the message of each refusal.

use std::fs;
use std::io::Cursor;

use ::png::{BitDepth, ColorType, Encoder};
use image::{ImageFormat, RgbImage};
use ndarray::Array;

use super::*;

/// Bytes of a PNG; `palette` for indexed ones.
pub(crate) fn png(
    (width, height): (u32, u32),
    colour: ColorType,
    depth: BitDepth,
    palette: Option<Vec<u8>>,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    bytes
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let picture =
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(4 * x) as u8, (4 * y) as u8, 90]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// The message of reading these bytes as a photograph, without the folder's name.
fn message(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo");
    fs::write(&path, bytes).unwrap();
    let message = read_image(&path).unwrap_err().to_string();
    message.replace(&folder.path().display().to_string(), "")
}

/// A PNG that declares a size and has no data.
fn declared(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = Encoder::new(&mut bytes, width, height);
    drop(encoder.write_header().unwrap());
    // Signature and header take 33 bytes; an empty data chunk and its check sum follow.
    bytes.splice(33..33, *b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    bytes
}

#[test]
fn jpeg_round_trip_is_close() {
    let image = jpeg::rgb(&jpeg(60, 40)).unwrap().pixels;
    assert_eq!(image.dim(), (40, 60, 3));
    let error = |(y, x, c): (usize, usize, usize), v: u8| {
        let expected = [4 * x as i32, 4 * y as i32, 90][c];
        (i32::from(v) - expected).abs()
    };
    assert!(image.indexed_iter().all(|(place, &v)| error(place, v) < 24));
}

#[test]
fn jpeg_cut_anywhere_is_refused() {
    let bytes = jpeg(60, 40);
    for length in (2..bytes.len() - 2).step_by(7).chain([bytes.len() - 3, bytes.len() - 4]) {
        assert!(jpeg::rgb(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
    }
    assert_eq!(
        message(&bytes[..bytes.len() - 40]),
        "/photo: not a readable JPEG image: no end-of-image marker, the file is cut off"
    );
}

/// What common readers take: bytes between segments and behind the image, and no end marker where
/// every pixel is there.
#[test]
fn jpeg_with_strays_and_without_end_is_read() {
    let bytes = jpeg(60, 40);
    let whole = jpeg::rgb(&bytes).unwrap().pixels;
    let read = |bytes: Vec<u8>| jpeg::rgb(&bytes).map(|found| found.pixels);
    assert_eq!(read([&bytes, &b"junk \xff\xd9 more"[..]].concat()), Ok(whole.clone()));
    assert_eq!(read(bytes[..bytes.len() - 2].to_vec()), Ok(whole.clone()));
    assert_eq!(read(bytes[..bytes.len() - 1].to_vec()), Ok(whole.clone()));
    let zeros = [&bytes[..bytes.len() - 2], &[0; 500]].concat();
    assert_eq!(read(zeros), Ok(whole.clone()));
    // Behind the first marker, and behind the first segment.
    let segment = 4 + usize::from(bytes[5]);
    for place in [2, segment] {
        for strays in [&[0x11; 7][..], &[0; 9], &[0xff; 5]] {
            let (before, behind) = bytes.split_at(place);
            assert_eq!(read([before, strays, behind].concat()), Ok(whole.clone()), "{place}");
        }
    }
}

#[test]
fn unknown_missing_and_empty_files_are_named() {
    assert_eq!(
        message(b"no image"),
        "/photo: not a readable JPEG, PNG, WebP, TIFF or BMP image: unknown first bytes"
    );
    assert!(message(b"").ends_with("the file is empty"));
    let error = read_image(Path::new("nowhere/photo.jpg")).unwrap_err();
    assert!(error.to_string().starts_with("nowhere/photo.jpg: "), "{error}");
}

#[test]
fn sizes_are_checked_before_decoding() {
    assert_eq!(
        message(&declared(20_000, 10_000)),
        "/photo: not a readable PNG image: 20000 x 10000 pixels, expected 1 to 100000000"
    );
}

#[test]
fn png_photographs_become_rgb() {
    let grey = png((2, 1), ColorType::Grayscale, BitDepth::Eight, None, &[7, 9]);
    assert_eq!(
        png::rgb(&grey).unwrap().pixels,
        Array::from_shape_vec((1, 2, 3), vec![7, 7, 7, 9, 9, 9]).unwrap()
    );
    let clear = png((1, 1), ColorType::Rgba, BitDepth::Eight, None, &[1, 2, 3, 0]);
    assert_eq!(png::rgb(&clear).unwrap().pixels.as_slice().unwrap(), [1, 2, 3]);
    let deep = png((1, 1), ColorType::Rgb, BitDepth::Sixteen, None, &[1, 255, 2, 0, 3, 9]);
    assert_eq!(png::rgb(&deep).unwrap().pixels.as_slice().unwrap(), [1, 2, 3]);
    let palette = Some(vec![10, 20, 30, 40, 50, 60]);
    let indexed = png((2, 1), ColorType::Indexed, BitDepth::Eight, palette, &[1, 0]);
    assert_eq!(png::rgb(&indexed).unwrap().pixels.as_slice().unwrap(), [40, 50, 60, 10, 20, 30]);
    assert!(png::rgb(&indexed[..indexed.len() - 20]).is_err());
}

#[test]
fn index_png_keeps_stored_numbers_of_every_depth() {
    let palette = |n: usize| Some(vec![200; 3 * n]);
    let one =
        png((3, 2), ColorType::Indexed, BitDepth::One, palette(2), &[0b1010_0000, 0b0100_0000]);
    assert_eq!(png::index(&one).unwrap(), Index::Bytes(ndarray::array![[1, 0, 1], [0, 1, 0]]));
    let two = png((3, 1), ColorType::Indexed, BitDepth::Two, palette(4), &[0b1101_1000]);
    assert_eq!(png::index(&two).unwrap(), Index::Bytes(ndarray::array![[3, 1, 2]]));
    let four = png((3, 1), ColorType::Grayscale, BitDepth::Four, None, &[0x1f, 0x70]);
    assert_eq!(png::index(&four).unwrap(), Index::Bytes(ndarray::array![[1, 15, 7]]));
    let deep = png((2, 1), ColorType::Grayscale, BitDepth::Sixteen, None, &[1, 0, 0, 5]);
    assert_eq!(png::index(&deep).unwrap(), Index::Words(ndarray::array![[256, 5]]));
    let colour = png((1, 1), ColorType::Rgb, BitDepth::Eight, None, &[1, 2, 3]);
    assert_eq!(png::index(&colour).unwrap_err(), "3 channels per pixel, expected 1");
    // Grey values are read without transparency, as colours are.
    let mut see_through = Cursor::new(Vec::new());
    let grey = image::GrayAlphaImage::from_fn(2, 1, |x, _| image::LumaA([7 + x as u8, 255]));
    grey.write_to(&mut see_through, image::ImageFormat::Png).unwrap();
    let found = png::index(see_through.get_ref()).unwrap();
    assert_eq!(found, Index::Bytes(ndarray::arr2(&[[7, 8]])));
    assert_eq!(png::colour(&deep).unwrap_err(), "1 channels per pixel, expected 3");
    assert_eq!(png::colour(&colour).unwrap().1, 255);
}

/// A file of version 1 as NumPy writes it.
pub(crate) fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), data].concat()
}

#[test]
fn npy_of_every_type_order_and_version() {
    let ints: Vec<u8> = [1_i32, -2, 3, 4, 5, 6].iter().flat_map(|v| v.to_le_bytes()).collect();
    let rows = npy::array(&npy("<i4", false, "(2, 3)", &ints)).unwrap();
    assert_eq!(rows, ndarray::array![[1.0, -2.0, 3.0], [4.0, 5.0, 6.0]].into_dyn());
    let columns = npy::array(&npy("<i4", true, "(2, 3)", &ints)).unwrap();
    assert_eq!(columns, ndarray::array![[1.0, 3.0, 5.0], [-2.0, 4.0, 6.0]].into_dyn());
    let value =
        |descr: &str, data: &[u8]| npy::array(&npy(descr, false, "(1,)", data)).unwrap()[[0]];
    assert_eq!(value("|u1", &[200]), 200.0);
    assert_eq!(value("|i1", &[200]), -56.0);
    assert_eq!(value("|b1", &[1]), 1.0);
    assert_eq!(value("<u2", &[1, 2]), 513.0);
    assert_eq!(value(">u2", &[1, 2]), 258.0);
    assert_eq!(value("<i2", &[255, 255]), -1.0);
    assert_eq!(value("<u4", &[0, 0, 0, 128]), 2_147_483_648.0);
    assert_eq!(value("<i8", &(-5_i64).to_le_bytes()), -5.0);
    assert_eq!(value("<u8", &5_u64.to_le_bytes()), 5.0);
    assert_eq!(value(">f4", &1.5_f32.to_be_bytes()), 1.5);
    // NumPy: `np.float16(-2.5).tobytes()`, and the smallest number above 0.
    assert_eq!(value("<f2", &[0x00, 0xc1]), -2.5);
    assert_eq!(value(">f2", &[0xc1, 0x00]), -2.5);
    assert_eq!(value("<f2", &[0x01, 0x00]), 2.0_f64.powi(-24));
    assert!(value("<f2", &[0x00, 0x7e]).is_nan());
    assert_eq!(value("<f8", &0.1_f64.to_le_bytes()), 0.1);
    let mut second = npy("|u1", false, "(1,)", &[3]);
    second[6] = 2;
    second.splice(10..10, [0, 0]);
    assert_eq!(npy::array(&second).unwrap()[[0]], 3.0);
}

#[test]
fn wrong_npy_files_say_why() {
    let message = |bytes: &[u8]| npy::array(bytes).unwrap_err();
    let good = npy("<f4", false, "(2,)", &[0; 8]);
    assert_eq!(message(b"PK"), "unknown first bytes");
    assert_eq!(message(&good[..20]), "the header is cut off");
    assert_eq!(message(&good[..good.len() - 4]), "shape [2] does not fit 1 values");
    assert_eq!(
        message(&good[..good.len() - 1]),
        "7 bytes of data are not whole numbers of 4 bytes"
    );
    assert_eq!(
        message(&npy("<c8", false, "(1,)", &[0; 8])),
        "type <c8, expected b1, i1 to i8, u1 to u8, f2, f4 or f8"
    );
    assert_eq!(message(&npy("<f4", false, "(-1,)", &[])), "header: shape is not a tuple of sizes");
    let huge = "(4294967296, 4294967296)";
    assert!(message(&npy("|u1", false, huge, &[0])).ends_with("does not fit 1 values"));
    let mut third = good.clone();
    third[6] = 4;
    assert_eq!(message(&third), "version 4, expected 1 to 3");
    let mut long = good;
    (long[6], long[10], long[11]) = (2, 255, 255);
    assert!(message(&long).starts_with("header of "));
}

#[test]
fn npy_scalars_have_no_axis() {
    let scalar = npy::array(&npy("|u1", false, "()", &[4])).unwrap();
    assert_eq!((scalar.ndim(), scalar.sum()), (0, 4.0));
}

/// Forms that image tools write, beside what Pillow makes of them (`oracles/generate.py`).
#[test]
fn photographs_of_every_form_are_what_pillow_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/decode/oracles");
    let forms = [
        ("progressive.jpg", 1.0),
        ("restart.jpg", 1.0),
        ("keep_rgb.jpg", 1.0),
        ("grey.jpg", 1.0),
        ("cmyk.jpg", 2.0),
        // Colours of neighbours are spread by different rules.
        ("s411.jpg", 6.0),
        ("s422.jpg", 3.0),
        ("still.webp", 0.0),
        ("still.tif", 0.0),
        ("still.bmp", 0.0),
    ];
    for (file, most) in forms {
        let stem = file.split('.').next().unwrap();
        let found = read_image(&folder.join(file)).unwrap().mapv(f64::from);
        let expected = read_image(&folder.join(format!("{stem}.rgb.png"))).unwrap();
        let difference = (found - expected.mapv(f64::from)).mapv(f64::abs).mean().unwrap();
        assert!(difference <= most, "{file}: {difference} on average");
    }
    for file in ["grey_alpha.png", "palette_transparent.png", "deep.png"] {
        assert_eq!(read_image(&folder.join(file)).unwrap().dim(), (10, 14, 3), "{file}");
    }
}

#[test]
fn files_of_other_formats_are_called_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    for (bytes, said) in [
        (&b"GIF89a.."[..], "a GIF, which is not read"),
        (b"\0\0\0\x18ftypheic", "HEIC, AVIF or a video"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "`git lfs pull`"),
        (b"\n<!DOCTYPE html>", "the error page of a failed download"),
        (b"hello", "unknown first bytes"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let message = read_image(&path).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
}
