//! What is said of wrong keys of a manifest: all at once, and with what does it instead.

use super::*;

/// The manifest of one task with these lines more, and what is said of it.
fn said(task: &str) -> String {
    let text = format!(
        "name = \"set\"\n[layout]\nimages = \"images/{{id}}.png\"\n[splits]\nall = {{}}\n\
         [[tasks]]\nname = \"t\"\n{task}"
    );
    said_of(&text)
}

fn said_of(text: &str) -> String {
    match Manifest::parse(Path::new("set.toml"), text) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

const COLOURS: &str = "kind = \"semseg\"\nclasses = [\"a\", \"b\"]\nlabel = \"l/{id}.png\"\n\
                       format = \"rgb_png\"\npalette = [[0, 0, 0], [1, 1, 1]]\n";

#[test]
fn keys_that_a_format_does_not_read_are_refused() {
    let of = |rest: &str, task: &str| said(&format!("{task}{rest}\n"));
    assert_eq!(
        of("ignore = [0]", COLOURS),
        "set.toml: tasks.t.ignore: expected `ignore_colors` beside rgb_png, found [0]"
    );
    assert!(of("map = [[0, 1]]", COLOURS).contains("tasks.t.map: expected `palette`, whose order"));
    assert_eq!(of("map_others = 255", COLOURS), "");
    assert_eq!(
        of("ignore_colors = [[0, 0, 0]]", SEMSEG),
        "set.toml: tasks.t.ignore_colors: expected `ignore` beside index_png, which stores \
         numbers, found [[0, 0, 0]]"
    );
    assert!(of("threshold = 3", SEMSEG).contains("tasks.t.threshold: expected kind sal or edge"));
    assert_eq!(
        of("scale = 0.5", SEMSEG),
        "set.toml: tasks.t.scale: expected kind depth beside it, not semseg, found 0.5"
    );
    assert!(of("signs = [1, 1, -1]", SEMSEG).contains("tasks.t.signs: expected kind normals"));
    assert!(of("outline = true", SEMSEG).contains("tasks.t.outline: expected kind edge"));
    assert!(of("parts = { arm = 1 }", SEMSEG).contains("expected format mat_parts beside it"));
    let normals = task("normals", "{id}.png", "normals_png", "ignore = [0]\n");
    assert!(said(&normals).contains("tasks.t.ignore: expected no such key beside normals_png"));
    let edges = task("edge", "{id}.png", "index_png", "outline = true\nthreshold = 3\n");
    assert!(said(&edges).contains("tasks.t.threshold: expected no such key beside `outline`"));
    let class = "kind = \"classification\"\nclasses = [\"a\"]\nlabel = \"l/{id}.txt\"\n\
                 format = \"names_txt\"\nresize = true\n";
    assert!(said(class).contains("tasks.t.resize: expected no such key beside kind"));
    // One of several places is enough.
    let both = "or = [{ label = \"m/{id}.png\", format = \"index_png\" }]\nignore = [7]\n";
    assert_eq!(of(both, COLOURS), "");
}

#[test]
fn keys_of_other_places_are_checked_in_their_own_place() {
    let of = |place: &str, more: &str| {
        let or = format!("or = [{{ label = \"m/{{id}}\", {place} }}]\n{more}\n");
        said(&format!("{SEMSEG}{or}"))
    };
    let teacher = "format = \"safetensors:t\"";
    assert_eq!(of(&format!("{teacher}, map = [[3, 1]], ignore = [9], map_others = 255"), ""), "");
    assert_eq!(
        of(&format!("{teacher}, map = [[3, 2]]"), ""),
        "set.toml: tasks.t.or.1.map: expected classes below 2 or 255, found 2"
    );
    assert_eq!(
        of(&format!("{teacher}, scale = 0.5"), ""),
        "set.toml: tasks.t.or.1.scale: expected kind depth beside it, not semseg, found 0.5"
    );
    let found = of("format = \"index_png\", ignore_colors = [[0, 0, 0]]", "");
    assert!(
        found.starts_with("set.toml: tasks.t.or.1.ignore_colors: expected `ignore`"),
        "{found}"
    );
    let found = of(&format!("{teacher}, treshold = 0.5"), "");
    assert!(found.contains("tasks.t.or.1.treshold: expected a known key; did you mean"), "{found}");
    // What is wrong with the task is said of the task alone.
    let found = of("format = \"npy\"", "map = [[0, 7]]");
    assert_eq!(found, "set.toml: tasks.t.map: expected classes below 2 or 255, found 7");
    let depth = "kind = \"depth\"\nlabel = \"l/{id}.png\"\nformat = \"png16\"\nor = [{ label = \
                 \"m/{id}\", format = \"npy\", disparity = 0.0, rotate_right = 16 }]\n";
    let found = said(depth);
    assert!(found.contains("tasks.t.or.1.disparity: expected a finite number above 0"), "{found}");
    assert!(
        found.contains("tasks.t.or.1.rotate_right: expected 0 to 15 bits, found 16"),
        "{found}"
    );
    // A key that only what a model predicted could read: it does not take it.
    let colours = "or = [{ label = \"m/{id}\", format = \"safetensors:t\" }]\nignore = [7]\n";
    let found = said(&format!("{COLOURS}{colours}"));
    assert!(found.contains("tasks.t.ignore: expected `ignore_colors` beside rgb_png"), "{found}");
}

#[test]
fn everything_wrong_is_reported_at_once_with_what_was_meant() {
    let text = "nam = \"set\"\n[layout]\nimages = 3\n[splits]\ntrain = { lists = \"t.txt\" }\n\
                val = { fraction = [0.5] }\n[[tasks]]\nname = \"a\"\nkind = \"segsem\"\n\
                format = \"index-png\"\nlabel = \"l/{id}.png\"\nignor = [255]\n\
                [[tasks]]\nname = \"b\"\nkind = \"sal\"\nformat = \"npy\"\nlabel = \"s/{id}.npy\"\n\
                threshold = \"much\"\n[[tasks]]\nkind = \"depth\"\nformat = \"npy\"\n";
    let said = said_of(text);
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(lines[0], "set.toml: 11 keys are wrong:", "{said}");
    let expected = [
        "name: expected a text, which must be there, found nothing",
        "nam: expected a known key; did you mean `name`?, found an unknown key",
        "layout.images: expected a text, found 3",
        "splits.train.lists: expected a known key; did you mean `list`?, found an unknown key",
        "splits.val.fraction: expected a list of 2 numbers, found [0.5]",
        "tasks.a.kind: expected one of semseg, human_parts, sal, normals, depth, edge, \
         classification, tags, retrieval; did you mean `semseg`?, found segsem",
        "tasks.a.ignor: expected a known key; did you mean `ignore`?, found an unknown key",
        "tasks.b.threshold: expected a number, found \"much\"",
        "tasks.3.name: expected a text, which must be there, found nothing",
        "tasks.3.label: expected a text, which must be there, found nothing",
    ];
    for line in expected {
        assert!(lines.contains(&line), "{line}\n{said}");
    }
    assert!(said.contains("did you mean `index_png`?, found index-png"), "{said}");
}

#[test]
fn keys_of_splits_that_nothing_reads_are_refused() {
    let of = |split: &str| {
        said_of(&format!(
            "name = \"set\"\n[layout]\nimages = \"images/{{id}}.png\"\n[splits]\nall = {split}\n\
             [[tasks]]\nname = \"t\"\n{SEMSEG}"
        ))
    };
    assert_eq!(
        of("{ folder = \"train\" }"),
        "set.toml: splits.all.folder: expected {split} in layout.images or in a label, which it \
         stands for, found train"
    );
    assert_eq!(
        of("{ stratify = \"id\" }"),
        "set.toml: splits.all.stratify: expected `fraction` beside it, found id"
    );
    assert!(of("3").contains("splits.all: expected a table, such as {}, found 3"));
}

#[test]
fn manifests_lists_and_tables_may_have_byte_order_marks() {
    let fixture = Fixture::new(&["a", "b"], SEMSEG);
    fixture.grey("labels/a.png", &[0; 6]);
    let path = fixture.0.path().join("set.toml");
    let text = fs::read_to_string(&path).unwrap().replace("all = {}", "all = { list = \"l.txt\" }");
    fs::write(&path, format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    fixture.write("l.txt", "\u{feff}b \r\na\t\r\n\r\n".as_bytes());
    let dataset = fixture.open("all").unwrap();
    assert_eq!((dataset.len(), dataset.get(0).unwrap().name.as_str()), (2, "b"));
    let wide: Vec<u8> = "\u{feff}a\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fixture.write("l.txt", &wide);
    assert_eq!(fixture.open("all").unwrap().get(0).unwrap().name, "a");
}
