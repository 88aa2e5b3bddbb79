//! Labels that another model predicted, beside labels of people.

use safetensors::tensor::{Dtype, TensorView};

use super::*;

/// What `predict --raw` writes of one photograph of 3 by 2 pixels.
fn predicted(task: &str, channels: usize, numbers: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![channels, 2, 3], &data).unwrap();
    safetensors::serialize([(task, view)], None).unwrap()
}

#[test]
fn a_teacher_stands_in_where_people_labelled_nothing() {
    let set = Fixture::new(
        &["a", "b"],
        "kind = \"semseg\"\nclasses = [\"x\", \"y\"]\nlabel = \"labels/{id}.png\"\n\
         format = \"index_png\"\n\
         or = [{ label = \"raw/{id}.safetensors\", format = \"safetensors_argmax:t\" }]\n",
    );
    set.grey("labels/a.png", &[1, 1, 1, 0, 0, 0]);
    let logits = [0.0, 2.0, 0.0, 2.0, 0.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let teacher = predicted("t", 2, &logits);
    set.write("raw/a.safetensors", &teacher);
    set.write("raw/b.safetensors", &teacher);
    let data = set.open("all").unwrap();
    let of = |index: usize| data.get(index).unwrap().labels["t"].clone();
    assert_eq!(of(0), Label::Classes(array![[1, 1, 1], [0, 0, 0]]));
    assert_eq!(of(1), Label::Classes(array![[1, 0, 1], [0, 1, 0]]));
}

#[test]
fn saliency_and_normals_of_a_teacher_are_labels() {
    let sal = Fixture::new(
        &["a"],
        "kind = \"sal\"\nlabel = \"raw/{id}.safetensors\"\nformat = \"safetensors:t\"\n\
         threshold = 0.0\n",
    );
    sal.write("raw/a.safetensors", &predicted("t", 1, &[-1.0, 2.0, 0.5, -3.0, 0.0, 1.0]));
    assert_eq!(sal.label(), Label::Binary(array![[0, 1, 1], [0, 0, 1]]));
    sal.write("raw/a.safetensors", &predicted("edge", 1, &[0.0; 6]));
    let found = sal.message("all");
    let expected = "raw/a.safetensors: not a readable safetensors file: expected a tensor t, found \
                    edge";
    assert_eq!(found, expected);
    let normals = Fixture::new(
        &["a"],
        "kind = \"normals\"\nlabel = \"raw/{id}.safetensors\"\nformat = \"safetensors:t\"\n",
    );
    let flat: Vec<f32> = [[0.0; 6], [0.0; 6], [2.0; 6]].concat();
    normals.write("raw/a.safetensors", &predicted("t", 3, &flat));
    let Label::Normals(map) = normals.label() else { panic!() };
    assert_eq!(map[[1, 2, 2]], 1.0);
}

/// The label of image `b`, of which `teacher/b.safetensors` holds `numbers`, beside a task of
/// `keys` that stores its own in `labels`.
fn of_teacher(keys: &str, or: &str, channels: usize, numbers: &[f32]) -> Label {
    let set = Fixture::new(
        &["a", "b"],
        &format!("{keys}\nor = [{{ label = \"teacher/{{id}}.safetensors\", {or} }}]\n"),
    );
    set.write("teacher/b.safetensors", &predicted("t", channels, numbers));
    set.open("all").unwrap().get(1).unwrap().labels["t"].clone()
}

const WORDS: &str = "kind = \"depth\"\nlabel = \"labels/{id}.png\"\nformat = \"png16\"\n\
                     scale = 0.001\noffset = 3.0\nrotate_right = 3\nignore = [2]";
const CLASSES: &str = "kind = \"semseg\"\nclasses = [\"x\", \"y\", \"z\"]\nlabel = \"labels/{id}.png\"\n\
                       format = \"index_png\"\nignore = [0]\nmap = [[1, 0], [2, 1], [3, 2]]";
const BYTES: &str = "label = \"labels/{id}.png\"\nformat = \"index_png\"";
const PLAIN: &str = "format = \"safetensors:t\"";

#[test]
fn a_teacher_is_taken_as_it_is() {
    let metres = [0.5, 1.0, 2.0, 3.0, 4.0, 80.25];
    let depth = of_teacher(WORDS, PLAIN, 1, &metres);
    assert_eq!(depth, Label::Depth(array![[0.5, 1.0, 2.0], [3.0, 4.0, 80.25]]));
    let classes = [0.0, 1.0, 2.0, 2.0, 1.0, 0.0];
    let expected = Label::Classes(array![[0, 1, 2], [2, 1, 0]]);
    assert_eq!(of_teacher(CLASSES, PLAIN, 1, &classes), expected);
    let logits: Vec<f32> = (0..3)
        .flat_map(|class| classes.map(|best| f32::from(u8::from(best as i32 == class))))
        .collect();
    let argmax = "format = \"safetensors_argmax:t\"";
    assert_eq!(of_teacher(CLASSES, argmax, 3, &logits), expected);
    let vectors = [[0.0; 6], [0.6; 6], [0.8; 6]].concat();
    let normals = "kind = \"normals\"\nlabel = \"labels/{id}.png\"\nformat = \"normals_png\"\n\
                   signs = [1.0, -1.0, 1.0]";
    let Label::Normals(found) = of_teacher(normals, PLAIN, 3, &vectors) else { panic!() };
    assert!((found[[1, 2, 1]] - 0.6).abs() < 1e-6 && (found[[1, 2, 2]] - 0.8).abs() < 1e-6);
    let chances = [0.1, 0.4, 0.6, 0.9, 0.0, 1.0];
    let sal = format!("kind = \"sal\"\n{BYTES}\nthreshold = 127.5\nignore = [1]");
    let expected = array![[0, 0, 1], [1, 0, 1]];
    assert_eq!(of_teacher(&sal, PLAIN, 1, &chances), Label::Binary(expected.clone()));
    let edge = format!("kind = \"edge\"\n{BYTES}\noutline = true");
    assert_eq!(of_teacher(&edge, PLAIN, 1, &chances), Label::Edges(vec![expected]));
}

#[test]
fn a_place_may_state_keys_of_its_own() {
    let centimetres = [50.0, 100.0, 200.0, 0.0, 400.0, 7.0];
    let own = format!("{PLAIN}, scale = 0.01, ignore = [7]");
    let depth = of_teacher(WORDS, &own, 1, &centimetres);
    assert_eq!(depth, Label::Depth(array![[0.5, 1.0, 2.0], [0.0, 4.0, 0.0]]));
    let own = format!("{PLAIN}, map = [[1, 2], [2, 0]], map_others = 255");
    let classes = of_teacher(CLASSES, &own, 1, &[0.0, 1.0, 2.0, 2.0, 1.0, 0.0]);
    assert_eq!(classes, Label::Classes(array![[255, 2, 0], [0, 2, 255]]));
    let normals = "kind = \"normals\"\nlabel = \"labels/{id}.png\"\nformat = \"normals_png\"";
    let own = format!("{PLAIN}, signs = [1.0, -1.0, -1.0]");
    let vectors = [[0.0; 6], [0.6; 6], [0.8; 6]].concat();
    let Label::Normals(found) = of_teacher(normals, &own, 3, &vectors) else { panic!() };
    assert!((found[[0, 0, 1]] + 0.6).abs() < 1e-6 && (found[[0, 0, 2]] + 0.8).abs() < 1e-6);
    let sal = format!("kind = \"sal\"\n{BYTES}\nthreshold = 127.5");
    let own = format!("{PLAIN}, threshold = 0.0");
    let found = of_teacher(&sal, &own, 1, &[-2.0, 0.25, 3.0, -0.5, 0.0, 1.0]);
    assert_eq!(found, Label::Binary(array![[0, 1, 1], [0, 0, 1]]));
}

/// Keys of the task hold in other files' places, as far as these state none.
#[test]
fn other_formats_keep_the_keys_of_their_task() {
    let rest = "classes = [\"x\", \"y\"]\nignore = [0]\nmap = [[1, 0], [2, 1]]\n\
                or = [{ label = \"kept/{id}.npy\", format = \"npy\" }, \
                { label = \"own/{id}.npy\", format = \"npy\", map = [] }]\n";
    let set = Fixture::new(&["a", "b", "c"], &task("semseg", "{id}.png", "index_png", rest));
    set.grey("labels/a.png", &[0, 1, 2, 2, 1, 0]);
    set.write("kept/b.npy", &npy("|u1", false, "(2, 3)", &[0, 1, 2, 2, 1, 0]));
    set.write("own/c.npy", &npy("|u1", false, "(2, 3)", &[0, 1, 1, 1, 1, 0]));
    let data = set.open("all").unwrap();
    let of = |index: usize| data.get(index).unwrap().labels["t"].clone();
    let expected = Label::Classes(array![[255, 0, 1], [1, 0, 255]]);
    assert_eq!((of(0), of(1)), (expected.clone(), expected));
    assert_eq!(of(2), Label::Classes(array![[255, 1, 1], [1, 1, 255]]));
}

/// The same in shards, of which some records have a part of the teacher's alone.
#[test]
fn parts_of_a_teacher_are_taken_as_they_are() {
    let set = Fixture::new(&["a"], SEMSEG);
    let image = fs::read(set.0.path().join("images/a.png")).unwrap();
    let words: Vec<u8> = [8000_u16; 6].iter().flat_map(|word| word.to_be_bytes()).collect();
    let stored = png((3, 2), ColorType::Grayscale, BitDepth::Sixteen, None, &words);
    let metres = predicted("t", 1, &[0.5, 1.0, 2.0, 3.0, 4.0, 80.25]);
    let file = fs::File::create(set.0.path().join("all.tar")).unwrap();
    let mut shard = tar::Builder::new(file);
    for (name, bytes) in [
        ("a.png", &image),
        ("a.depth.png", &stored),
        ("b.png", &image),
        ("b.teacher.safetensors", &metres),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        shard.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    shard.finish().unwrap();
    let keys = WORDS.replace("labels/{id}.png", "depth.png").replace("offset = 3.0\n", "");
    let or = format!("or = [{{ label = \"teacher.safetensors\", {PLAIN} }}]");
    let text = format!(
        "name = \"set\"\n[layout]\nformat = \"webdataset\"\nimages = \"{{split}}.tar\"\n[splits]\n\
         all = {{}}\n[[tasks]]\nname = \"t\"\n{keys}\n{or}\n"
    );
    set.write("set.toml", text.as_bytes());
    let data = set.open("all").unwrap();
    let of = |index: usize| data.get(index).unwrap().labels["t"].clone();
    assert_eq!(of(0), Label::Depth(Array2::ones((2, 3))));
    assert_eq!(of(1), Label::Depth(array![[0.5, 1.0, 2.0], [3.0, 4.0, 80.25]]));
}
