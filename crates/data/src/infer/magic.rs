//! What bytes without a name are.

use crate::decode::is_tiff;

/// The ending of files with these first bytes; none of what is no image and no array.
pub(super) fn ending(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xff, 0xd8, ..] => Some("jpg"),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Some("npy"),
        [b'R', b'I', b'F', b'F', ..] => Some("webp"),
        // Behind the length of the file four bytes are reserved: a text has letters there.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some("bmp"),
        _ if is_tiff(bytes) => Some("tif"),
        [0x76, 0x2f, 0x31, 0x01, ..] => Some("exr"),
        [b'P', b'f' | b'F', b'\n' | b'\r' | b' ', ..] => Some("pfm"),
        [0x89, b'H', b'D', b'F', ..] => Some("h5"),
        [b'M', b'A', b'T', b'L', b'A', b'B', b' ', b'5' | b'7', b'.', ..] => Some("mat"),
        [a, b, c, d, e, f, g, h, b'{', rest @ ..] => {
            let header = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (1..=rest.len() as u64 + 1).contains(&header).then_some("safetensors")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_arrays_are_known_and_texts_are_none() {
        let peers = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        for (file, expected) in [
            ("exr/depth.exr", "exr"),
            ("hdf5/frame-latest.hdf5", "h5"),
            ("hdf5/frame-earliest.hdf5", "h5"),
            ("hdf5/nyu.mat", "mat"),
            ("pillow/32x48.png", "png"),
        ] {
            assert_eq!(ending(&std::fs::read(peers.join(file)).unwrap()), Some(expected), "{file}");
        }
        assert_eq!(ending(b"Pf\n2 3\n-1.0\n"), Some("pfm"));
        assert_eq!(ending(b"PF\n2 3\n-1.0\n"), Some("pfm"));
        let tensors: [(&str, safetensors::tensor::TensorView); 0] = [];
        let file = safetensors::serialize(tensors, None).unwrap();
        assert_eq!(ending(&file), Some("safetensors"));
        let mut image = std::io::Cursor::new(Vec::new());
        let pixels = image::RgbImage::new(2, 2);
        pixels.write_to(&mut image, image::ImageFormat::Bmp).unwrap();
        assert_eq!(ending(image.get_ref()), Some("bmp"));
        for text in ["BMW, red, two doors", "Pfeiffer", "PFM", "12345678{ and so on", "7", ""] {
            assert_eq!(ending(text.as_bytes()), None, "{text}");
        }
    }
}
