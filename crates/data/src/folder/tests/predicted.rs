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
