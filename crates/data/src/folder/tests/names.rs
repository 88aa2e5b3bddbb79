//! Names of files that are nearly right, and ids that lead into folders.

use super::*;

#[test]
fn two_images_of_one_name_are_refused_when_the_set_is_opened() {
    let fixture = Fixture::new(&[], &SEMSEG.replace("labels/", ""));
    let path = fixture.0.path().join("set.toml");
    let text = fs::read_to_string(&path).unwrap().replace("images/{id}.png", "{id}.{ext}");
    let listed = text.replace("all = {}", "all = {}\nlisted = { list = \"l.txt\" }");
    fs::write(&path, listed).unwrap();
    fixture.write("l.txt", b"00\n");
    fixture.grey("00.png", &[0; 6]);
    RgbImage::new(3, 2).save(fixture.0.path().join("00.jpg")).unwrap();
    for split in ["all", "listed"] {
        let said = fixture.message(split);
        let expected = format!(
            "split `{split}`: expected one image called 00, found 00.jpg and 00.png; name the ending"
        );
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn endings_in_other_case_and_other_endings_are_named() {
    let fixture = Fixture::new(&[], SEMSEG);
    fixture.image("images/b.PNG");
    assert!(
        fixture.message("all").ends_with(
            "found 0; images/{id}.png does not fit images/b.PNG: name its ending, or `{ext}` for any"
        ),
        "{}",
        fixture.message("all")
    );
    let fixture = Fixture::new(&["a"], SEMSEG);
    fixture.grey("labels/A.PNG", &[0; 6]);
    assert!(fixture.message("all").ends_with("looked for labels/a.png (there is labels/A.PNG)"));
    let path = fixture.0.path().join("set.toml");
    let text = fs::read_to_string(&path).unwrap().replace("all = {}", "all = { list = \"l.txt\" }");
    fs::write(&path, text).unwrap();
    fixture.write("l.txt", b"a\nc\n");
    fixture.image("images/C.png");
    assert_eq!(fixture.message("all"), "images/c.png: no such image (there is images/C.png)");
}

#[test]
fn both_unicode_forms_are_one_name() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    for (image, label, id) in [
        (composed, decomposed, composed),
        (decomposed, composed, composed),
        (decomposed, decomposed, composed),
        (composed, composed, decomposed),
    ] {
        let fixture = Fixture::new(&[image], SEMSEG);
        fixture.grey(&format!("labels/{label}.png"), &[1; 6]);
        assert_eq!(fixture.label(), Label::Classes(array![[1, 1, 1], [1, 1, 1]]));
        let path = fixture.0.path().join("set.toml");
        let listed = "all = { list = \"l.txt\" }";
        let text = fs::read_to_string(&path).unwrap().replace("all = {}", listed);
        fs::write(&path, text.replace("images/{id}.png", "images/{id}.{ext}")).unwrap();
        fixture.write("l.txt", format!("{id}\n").as_bytes());
        assert_eq!(fixture.label(), Label::Classes(array![[1, 1, 1], [1, 1, 1]]));
    }
}

#[test]
fn ids_may_lead_into_folders() {
    let fixture = Fixture::new(&["a/b/001", "a/002", "003"], SEMSEG);
    ["a/b/001", "a/002"].iter().for_each(|id| fixture.grey(&format!("labels/{id}.png"), &[0; 6]));
    let path = fixture.0.path().join("set.toml");
    let text = fs::read_to_string(&path).unwrap().replace("all = {}", "all = { list = \"l.txt\" }");
    fixture.write("l.txt", b"a/b/001\na/002\n003\n");
    for pattern in ["images/{id}.png", "images/{id}.{ext}"] {
        fs::write(&path, text.replace("images/{id}.png", pattern)).unwrap();
        let dataset = fixture.open("all").unwrap();
        let samples: Vec<_> = (0..3).map(|index| dataset.get(index).unwrap()).collect();
        let names: Vec<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
        assert_eq!(names, ["a/b/001", "a/002", "003"]);
        assert_eq!(samples.iter().map(|s| s.labels.len()).collect::<Vec<_>>(), [1, 1, 0]);
    }
}

#[test]
fn shares_of_classes_are_fair() {
    let fixture = Fixture::new(&[], "");
    let text = "name = \"set\"\n[layout]\nimages = \"{class}/{id}.png\"\n[splits]\n\
                train = { fraction = [0.0, 0.9], stratify = \"class\" }\n\
                val = { fraction = [0.9, 1.0], stratify = \"class\" }\n[[tasks]]\nname = \"t\"\n\
                kind = \"classification\"\nlabel = \"{class}\"\nformat = \"path\"\n";
    fixture.write("set.toml", text.as_bytes());
    for (class, count) in [("ape", 2), ("bee", 11), ("cat", 30)] {
        (0..count).for_each(|k| fixture.image(&format!("{class}/{k:02}.png")));
    }
    let classes = |split: &str| {
        let dataset = fixture.open(split).unwrap();
        let mut counts = [0; 3];
        for index in 0..dataset.len() {
            let Label::Category(class) = dataset.get(index).unwrap().labels["t"] else { panic!() };
            counts[class as usize] += 1;
        }
        counts
    };
    assert_eq!((classes("train"), classes("val")), ([1, 10, 27], [1, 1, 3]));
    fixture.write("set.toml", text.replace("\"class\" }", "\"kind\" }").as_bytes());
    assert!(
        fixture.message("val").contains("splits.val.stratify: expected slots of layout.images")
    );
}
