//! Open Inference Protocol v2: the bytes of requests and answers, without HTTP.
//!
//! Protocol: <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>;
//! binary tensors as in Triton's extension `binary_tensor_data`: a body is JSON, whose length a
//! header says, and behind it the tensors one after the other, little-endian.

mod numbers;

use ndarray::Array3;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::model::{Description, Served};
use crate::refusal::Refusal;
use crate::render::stored;
use numbers::Numbers;

/// The one tensor that goes in.
pub(crate) const INPUT: &str = "images";
/// The extension that answers name.
pub(crate) const EXTENSIONS: [&str; 1] = ["binary_tensor_data"];

/// A request for inference.
#[derive(Debug, PartialEq)]
pub(crate) struct Inference {
    pub(crate) id: Option<String>,
    pub(crate) images: Images,
    /// What is asked for; empty for all tasks.
    pub(crate) outputs: Vec<Output>,
    /// Whether outputs without words of their own are binary.
    pub(crate) binary: bool,
}

/// An output that is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) binary: Option<bool>,
}

/// The images of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Images {
    /// RGB as in a picture, of any size: `[images, height, width, 3]`.
    Pixels { shape: [usize; 3], values: Vec<u8> },
    /// What the network reads: `[images, 3, height, width]`.
    Planes { count: usize, values: Vec<f32> },
}

impl Images {
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Pixels { shape: [count, ..], .. } | Self::Planes { count, .. } => *count,
        }
    }
}

#[derive(Deserialize)]
struct Body {
    id: Option<String>,
    #[serde(default)]
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Asked>,
    #[serde(default)]
    parameters: Map<String, Value>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    data: Option<Numbers>,
}

#[derive(Deserialize)]
struct Asked {
    name: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// Reads a request. `json_length`: bytes of JSON in front of binary tensors, where a header says it.
///
/// # Errors
/// Another tensor than the one that goes in, and whatever is wrong with that one.
pub(crate) fn read(
    body: &[u8],
    json_length: Option<usize>,
    model: &Description,
) -> Result<Inference, Refusal> {
    let length = json_length.unwrap_or(body.len());
    let Some((text, binary)) = body.split_at_checked(length) else {
        let found = body.len();
        return Err(Refusal::BadRequest(format!(
            "Inference-Header-Content-Length: expected at most the {found} bytes of the body, found {length}"
        )));
    };
    let body: Body = serde_json::from_slice(text).map_err(|error| {
        Refusal::BadRequest(format!("body: expected a request in JSON: {error}"))
    })?;
    let images = images(body.inputs, binary, model)?;
    let output = |asked: Asked| {
        refuse(&format!("outputs.{}", asked.name), &asked.parameters, &["binary_data"])?;
        let binary = flag(&asked.name, &asked.parameters, "binary_data")?;
        Ok(Output { name: asked.name, binary })
    };
    let outputs = body.outputs.into_iter().map(output).collect::<Result<_, Refusal>>()?;
    let binary = flag("request", &body.parameters, "binary_data_output")?.unwrap_or(false);
    Ok(Inference { id: body.id, images, outputs, binary })
}

fn images(inputs: Vec<Input>, binary: &[u8], model: &Description) -> Result<Images, Refusal> {
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    if names != [INPUT] {
        let found =
            if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
        return Err(Refusal::BadTensor(format!(
            "inputs: expected one tensor, `{INPUT}`, found {found}"
        )));
    }
    let Some(input) = inputs.into_iter().next() else {
        return Err(Refusal::BadTensor(format!("inputs: expected `{INPUT}`, found none")));
    };
    refuse(&format!("inputs.{INPUT}"), &input.parameters, &["binary_data_size"])?;
    let [height, width] = model.input.size;
    match (input.datatype.as_str(), input.shape.as_slice()) {
        ("UINT8", &[count, high, wide, 3]) if count > 0 && high > 1 && wide > 1 => {
            let values = bytes(&input, binary, 1)?;
            let values = values
                .map_or_else(|| numbers(&input, Numbers::bytes), |found| Ok(found.to_vec()))?;
            Ok(Images::Pixels { shape: [count, high, wide], values })
        }
        ("FP32", &[count, 3, high, wide]) if count > 0 && [high, wide] == [height, width] => {
            let float = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            let values = bytes(&input, binary, 4)?
                .map(|found| found.chunks_exact(4).map(float).collect())
                .map_or_else(|| numbers(&input, Numbers::floats), Ok)?;
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                let found = values[place];
                return Err(tensor(
                    "numbers that are finite",
                    &format!("{found} at place {place}"),
                ));
            }
            Ok(Images::Planes { count, values })
        }
        (datatype, shape) => Err(tensor(
            &format!(
                "UINT8 of shape [images, height, width, 3], at least 2 pixels on each side, or FP32 \
                 of shape [images, 3, {height}, {width}]"
            ),
            &format!("{datatype} of shape {shape:?}"),
        )),
    }
}

fn tensor(expected: &str, found: &str) -> Refusal {
    Refusal::BadTensor(format!("inputs.{INPUT}: expected {expected}, found {found}"))
}

/// Values that a tensor of this shape has.
fn count(input: &Input) -> usize {
    input.shape.iter().fold(1, |product, &extent| product.saturating_mul(extent))
}

/// The bytes of a binary tensor; none where it is JSON.
fn bytes<'a>(input: &Input, binary: &'a [u8], size: usize) -> Result<Option<&'a [u8]>, Refusal> {
    let Some(said) = input.parameters.get("binary_data_size") else { return Ok(None) };
    let expected = count(input).saturating_mul(size);
    let expects = format!("{expected} bytes behind the JSON for shape {:?}", input.shape);
    if said.as_u64() != u64::try_from(expected).ok() {
        return Err(tensor(&expects, &format!("binary_data_size = {said}")));
    }
    match binary.len() == expected {
        true => Ok(Some(binary)),
        false => Err(tensor(&expects, &format!("{} bytes", binary.len()))),
    }
}

/// The values of a tensor in JSON.
fn numbers<T>(
    input: &Input,
    convert: impl Fn(&Numbers) -> Option<Vec<T>>,
) -> Result<Vec<T>, Refusal> {
    let expected = count(input);
    let expects = format!("{expected} numbers for shape {:?}", input.shape);
    let Some(data) = &input.data else {
        return Err(tensor(&expects, "neither data nor binary_data_size"));
    };
    if data.len() != expected {
        return Err(tensor(&expects, &format!("{} numbers", data.len())));
    }
    let of_type = format!("numbers of type {}", input.datatype);
    convert(data).ok_or_else(|| tensor(&of_type, "others"))
}

fn flag(of: &str, parameters: &Map<String, Value>, key: &str) -> Result<Option<bool>, Refusal> {
    let Some(value) = parameters.get(key) else { return Ok(None) };
    let wrong =
        || Refusal::BadRequest(format!("{of}: {key}: expected true or false, found {value}"));
    value.as_bool().map(Some).ok_or_else(wrong)
}

/// Refuses parameters that would change the answer and are not known.
fn refuse(of: &str, parameters: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match parameters.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Refusal::BadRequest(format!(
            "{of}: parameters: expected {}, found `{key}`",
            known.join(", ")
        ))),
        None => Ok(()),
    }
}

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
        tensor.maps.iter().for_each(|map| behind.extend(stored(tensor.task, map)));
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

#[cfg(test)]
mod tests;
