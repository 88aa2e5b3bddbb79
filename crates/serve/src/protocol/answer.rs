//! Answers, and what a model says of itself.

use ndarray::Array3;
use serde_json::{Map, Value, json};

use super::input::INPUT;
use crate::model::{Description, Served};
use crate::render::store;

/// One output of an answer: the same task of all images.
#[derive(Debug)]
pub(crate) struct Tensor<'a> {
    pub(crate) task: &'a Served,
    /// One map per image, `[channels, height, width]`.
    pub(crate) maps: Vec<&'a Array3<f32>>,
    pub(crate) binary: bool,
}

/// An answer, and how many bytes of it are JSON where tensors follow.
pub(crate) fn write(
    (model, version, id): (&str, u64, Option<&str>),
    tensors: &[Tensor],
) -> (Vec<u8>, Option<usize>) {
    let mut behind = Vec::new();
    let outputs: Vec<Value> = tensors.iter().map(|tensor| output(tensor, &mut behind)).collect();
    let mut head = json!({"model_name": model, "model_version": version.to_string()});
    if let Some(id) = id {
        head["id"] = json!(id);
    }
    head["outputs"] = Value::Array(outputs);
    let mut bytes = head.to_string().into_bytes();
    let length = bytes.len();
    bytes.append(&mut behind);
    (bytes, tensors.iter().any(|tensor| tensor.binary).then_some(length))
}

fn output(tensor: &Tensor, behind: &mut Vec<u8>) -> Value {
    let mut shape = vec![tensor.maps.len()];
    let dim = tensor.maps.first().map_or((0, 0, 0), |map| map.dim());
    shape.extend(match tensor.task.spec.is_dense() {
        true => vec![dim.0, dim.1, dim.2],
        false => vec![dim.0],
    });
    let mut output =
        json!({"name": tensor.task.spec.name, "datatype": datatype(tensor.task), "shape": shape});
    if tensor.binary {
        let before = behind.len();
        tensor.maps.iter().for_each(|map| store(tensor.task, map, behind));
        output["parameters"] = json!({"binary_data_size": behind.len() - before});
        return output;
    }
    let values = tensor.maps.iter().flat_map(|map| map.iter());
    output["data"] = match tensor.task.is_index() {
        true => values.map(|&value| json!(value as i32)).collect(),
        false => values.map(|&value| json!(value)).collect(),
    };
    output
}

fn datatype(task: &Served) -> &'static str {
    if task.is_index() { "INT32" } else { "FP32" }
}

/// The protocol's description of a model.
pub(crate) fn metadata(model: &Description, version: u64) -> Value {
    let [height, width] = model.input.size;
    let output = |task: &Served| {
        let shape = match task.spec.is_dense() {
            true => json!([-1, task.channels(), height, width]),
            false => json!([-1, task.channels()]),
        };
        json!({"name": task.spec.name, "datatype": datatype(task), "shape": shape})
    };
    let tasks: Map<String, Value> = model
        .tasks
        .iter()
        .map(|task| {
            let about = json!({
                "kind": crate::model::kind(&task.spec), "classes": task.spec.classes,
                "output": task.activation,
            });
            (task.spec.name.clone(), about)
        })
        .collect();
    json!({
        "name": model.name,
        "versions": [version.to_string()],
        "platform": "polyptych",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": model.tasks.iter().map(output).collect::<Vec<_>>(),
        "parameters": {
            "network_input": {
                "name": INPUT, "datatype": "FP32", "shape": [-1, 3, height, width],
                "mean": model.input.mean, "std": model.input.std,
            },
            "tasks": tasks,
        },
    })
}
