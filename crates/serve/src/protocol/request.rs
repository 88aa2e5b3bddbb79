//! Requests: JSON, and binary tensors behind it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::input::INPUT;
use super::numbers::Numbers;
use crate::model::Description;
use crate::refusal::Refusal;

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
