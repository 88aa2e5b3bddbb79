//! Orientation marks: what they do to images, and what is said where labels disagree.

use super::*;
use crate::ValidationReport;

/// Exif's bytes with an orientation mark.
fn exif(mark: u8) -> Vec<u8> {
    let entry = [&[0x12, 1, 3, 0, 1, 0, 0, 0][..], &[mark, 0, 0, 0], &[0; 4]].concat();
    [&b"II*\0\x08\0\0\0\x01\0"[..], &entry].concat()
}

/// A PNG of 3 x 2 pixels, the upper left one white, with a mark in front of its pixels.
fn marked(mark: u8) -> Vec<u8> {
    let mut pixels = [0; 18];
    pixels[..3].fill(255);
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(3, 2);
    info.color_type = ColorType::Rgb;
    info.bit_depth = BitDepth::Eight;
    info.exif_metadata = Some(exif(mark).into());
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

fn fixture(mark: u8, layout: &str, rest: &str) -> Fixture {
    let fixture = Fixture::new(&[], &format!("{SEMSEG}{rest}"));
    let path = fixture.0.path().join("set.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("[splits]", &format!("{layout}\n[splits]"))).unwrap();
    fixture.write("images/a.png", &marked(mark));
    fixture
}

fn label(fixture: &Fixture, (width, height): (u32, u32)) {
    let bytes = png((width, height), ColorType::Grayscale, BitDepth::Eight, None, &[0; 6]);
    fixture.write("labels/a.png", &bytes);
}

fn validated(fixture: &Fixture) -> ValidationReport {
    let (manifest, root) = (fixture.0.path().join("set.toml"), Root::new(fixture.0.path(), false));
    ValidationReport::of_folder(&manifest, &root, &[], &|_, _, _| ()).unwrap()
}

#[test]
fn marks_are_applied_unless_the_manifest_says_no() {
    // Where the white pixel of the upper left corner goes.
    let corners = [(0, 0), (0, 2), (1, 2), (1, 0), (0, 0), (0, 1), (2, 1), (2, 0)];
    for (mark, (y, x)) in (1..).zip(corners) {
        let turned = fixture(mark, "", "");
        label(&turned, if mark < 5 { (3, 2) } else { (2, 3) });
        let image = turned.open("all").unwrap().get(0).unwrap().image;
        assert_eq!(image[[y, x, 0]], 255, "mark {mark}");
        let stored = fixture(mark, "apply_exif_orientation = false", "");
        label(&stored, (3, 2));
        let image = stored.open("all").unwrap().get(0).unwrap().image;
        assert_eq!((image.dim(), image[[0, 0, 0]]), ((2, 3, 3), 255), "mark {mark}");
    }
}

#[test]
fn labels_that_lie_while_images_stand_name_the_key() {
    for rest in ["", "resize = true\n"] {
        let turned = fixture(6, "", rest);
        label(&turned, (3, 2));
        assert_eq!(
            turned.message("all"),
            "labels/a.png: t: expected 3 x 2 pixels, the size of the image turned as its \
             orientation mark says, or `apply_exif_orientation = false` in [layout] if labels are \
             drawn on it as stored, without the mark, found 2 x 3 beside orientation mark 6"
        );
        let stored = fixture(8, "apply_exif_orientation = false", rest);
        label(&stored, (2, 3));
        assert!(stored.message("all").contains("`apply_exif_orientation = true` in [layout]"));
    }
    // Without a mark nothing explains it, and it is never stretched.
    let plain = fixture(1, "", "resize = true\n");
    label(&plain, (2, 3));
    assert!(plain.message("all").ends_with("those of the image turned by 90 degrees"));
}

#[test]
fn marks_are_reported_and_what_sizes_do_not_tell() {
    let unclear = fixture(3, "", "");
    label(&unclear, (3, 2));
    let found = validated(&unclear);
    assert_eq!((found.marks.len(), found.marks[0].orientation.mark()), (1, 3));
    assert!(found.marks[0].applied && found.marks[0].undecided);
    let said = found.problems[0].error.to_string();
    assert!(
        said.contains(
            "images/a.png: orientation mark 3 (turned by 180 degrees): sizes do not tell"
        ) && said.contains("`apply_exif_orientation = true` or `false` in [layout]"),
        "{said}"
    );
    for (layout, applied) in
        [("apply_exif_orientation = true", true), ("apply_exif_orientation = false", false)]
    {
        let decided = fixture(3, layout, "");
        label(&decided, (3, 2));
        let found = validated(&decided);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert_eq!((found.marks[0].applied, found.marks[0].undecided), (applied, false));
    }
    // Sizes tell.
    let clear = fixture(6, "", "");
    label(&clear, (2, 3));
    let found = validated(&clear);
    assert!(found.problems.is_empty() && found.marks.len() == 1, "{:?}", found.problems);
}
