//! Our resizing beside Pillow's `Image.resize(.., BICUBIC)`, which exported settings name.
//!
//! `pillow/make.py` wrote the pictures, mostly noise. Both round to bytes between the axes; the last
//! bits of their weights differ.

use std::path::Path;

use polyptych_data::{read_image, resize_image};

#[test]
fn photographs_are_resized_as_pillow_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pillow");
    let photograph = read_image(&folder.join("photograph.png")).unwrap();
    for size in [[32, 48], [64, 64], [61, 30], [140, 100], [83, 61]] {
        let name = format!("{}x{}.png", size[0], size[1]);
        let expected = read_image(&folder.join(&name)).unwrap();
        let found = resize_image(photograph.view(), size);
        assert_eq!(found.dim(), expected.dim());
        let pairs = found.iter().zip(&expected);
        let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        println!("{name}: largest difference {worst} of 255");
        assert!(worst <= 2, "{name}: {worst}");
    }
}
