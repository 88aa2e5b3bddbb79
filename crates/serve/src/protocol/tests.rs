//! The protocol's bytes, without a server.

use ndarray::Array3;
use serde_json::{Value, json};

use super::*;
use crate::model::tests::description;

fn request(input: Value) -> Vec<u8> {
    json!({"id": "7", "inputs": [input], "outputs": [{"name": "depth"}]}).to_string().into_bytes()
}

fn refused(body: &[u8], length: Option<usize>) -> String {
    read(body, length, &description()).unwrap_err().to_string()
}

fn pixels() -> Value {
    json!({"name": "images", "datatype": "UINT8", "shape": [1, 2, 2, 3],
           "data": [[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]]})
}

#[test]
fn tensors_in_json_are_flat_or_nested() {
    let nested = read(&request(pixels()), None, &description()).unwrap();
    let values: Vec<u8> = (1..=12).collect();
    assert_eq!(nested.images, Images::Pixels { shape: [1, 2, 2], values: values.clone() });
    assert_eq!((nested.id.as_deref(), nested.binary), (Some("7"), false));
    assert_eq!(nested.outputs, [Output { name: "depth".into(), binary: None }]);
    let mut flat = pixels();
    flat["data"] = json!(values);
    assert_eq!(read(&request(flat), None, &description()).unwrap(), nested);
}

#[test]
fn binary_tensors_stand_behind_the_json() {
    let values: Vec<f32> = (0..12).map(|value| value as f32 / 4.0).collect();
    let tail: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let head = request(json!({"name": "images", "datatype": "FP32", "shape": [1, 3, 2, 2],
                              "parameters": {"binary_data_size": 48}}));
    let body = [head.clone(), tail].concat();
    let found = read(&body, Some(head.len()), &description()).unwrap();
    assert_eq!(found.images, Images::Planes { count: 1, values });
    let cut = refused(&body[..body.len() - 4], Some(head.len()));
    assert!(
        cut.ends_with("expected 48 bytes behind the JSON for shape [1, 3, 2, 2], found 44 bytes"),
        "{cut}"
    );
    assert!(refused(&head, Some(head.len() + 1)).starts_with("Inference-Header-Content-Length"));
}

#[test]
fn wrong_tensors_are_named() {
    let with = |key: &str, value: Value| {
        let mut input = pixels();
        input[key] = value;
        refused(&request(input), None)
    };
    assert_eq!(
        with("name", json!("image")),
        "inputs: expected one tensor, `images`, found `image`"
    );
    let shape = with("shape", json!([2, 2, 3]));
    assert_eq!(
        shape,
        "inputs.images: expected UINT8 of shape [images, height, width, 3], at least 2 pixels on \
         each side, or FP32 of shape [images, 3, 2, 2], found UINT8 of shape [2, 2, 3]"
    );
    assert!(with("datatype", json!("FP64")).ends_with("found FP64 of shape [1, 2, 2, 3]"));
    assert!(with("data", json!([1, 2])).ends_with("found 2 numbers"));
    assert!(with("data", json!("text")).contains("numbers, flat or nested"));
    let mut large = pixels();
    large["data"][0][0][0][0] = json!(256);
    assert!(
        refused(&request(large), None).ends_with("expected numbers of type UINT8, found others")
    );
    let huge = with("shape", json!([u64::MAX, u64::MAX, 4, 3]));
    assert!(huge.contains("found 12 numbers"), "{huge}");
    let parameters = with("parameters", json!({"shared_memory_region": "x"}));
    assert!(parameters.ends_with("expected binary_data_size, found `shared_memory_region`"));
    assert!(refused(b"{", None).starts_with("body: expected a request in JSON"));
    assert!(refused(b"{}", None).ends_with("found none"));
}

#[test]
fn planes_that_are_not_finite_are_refused() {
    let tail: Vec<u8> = [f32::NAN; 12].iter().flat_map(|value| value.to_le_bytes()).collect();
    let head = request(json!({"name": "images", "datatype": "FP32", "shape": [1, 3, 2, 2],
                              "parameters": {"binary_data_size": 48}}));
    let message = refused(&[head.clone(), tail].concat(), Some(head.len()));
    assert!(message.ends_with("found NaN at place 0"), "{message}");
}

#[test]
fn answers_are_json_or_binary_by_output() {
    let model = description();
    let classes = Array3::from_shape_vec((1, 1, 2), vec![0.0, 1.0]).unwrap();
    let depth = Array3::from_shape_vec((1, 1, 2), vec![0.5, 1.5]).unwrap();
    let logits = Array3::from_shape_vec((2, 1, 1), vec![-1.0, 2.0]).unwrap();
    let tensors = [
        Tensor { task: &model.tasks[0], maps: vec![&classes, &classes], binary: false },
        Tensor { task: &model.tasks[1], maps: vec![&depth, &depth], binary: true },
        Tensor { task: &model.tasks[2], maps: vec![&logits], binary: false },
    ];
    let (bytes, length) = write(("toy", 3, Some("7")), &tensors);
    let (head, tail) = bytes.split_at(length.unwrap());
    let head: Value = serde_json::from_slice(head).unwrap();
    assert_eq!(head["model_version"], "3");
    assert_eq!(head["id"], "7");
    assert_eq!(
        head["outputs"][0],
        json!({"name": "semseg", "datatype": "INT32", "shape": [2, 1, 1, 2], "data": [0, 1, 0, 1]})
    );
    assert_eq!(head["outputs"][1]["parameters"], json!({"binary_data_size": 16}));
    assert_eq!(head["outputs"][2]["shape"], json!([1, 2]));
    assert_eq!((tail.len(), &tail[..4]), (16, 0.5f32.to_le_bytes().as_slice()));
    let (_, length) = write(("toy", 3, None), &tensors[..1]);
    assert_eq!(length, None);
}

#[test]
fn models_say_what_goes_in_and_comes_out() {
    let about = metadata(&description(), 1);
    assert_eq!(
        about["inputs"],
        json!([{"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}])
    );
    assert_eq!(
        about["outputs"][0],
        json!({"name": "semseg", "datatype": "INT32", "shape": [-1, 1, 2, 2]})
    );
    assert_eq!(about["outputs"][2]["shape"], json!([-1, 2]));
    assert_eq!(about["parameters"]["tasks"]["semseg"]["classes"][1], "ground");
}
