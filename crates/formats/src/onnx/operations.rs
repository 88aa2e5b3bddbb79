//! LibTorch's functions in ONNX's operators, those of edition 20.

mod axes;
mod known;
mod layers;
mod quantize;

use super::graph::Graph;
use super::value::{Call, Value, Wire};
use crate::script::Extent;

/// What `call` gives, as nodes of `graph`.
pub(super) fn convert(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    match call.function {
        "_convolution" => layers::convolution(graph, call),
        "_upsample_bicubic2d_aa" => known::upsample(graph, call),
        "add" => arithmetic(graph, call, "Add"),
        "amax" => axes::reduce(graph, call, "ReduceMax"),
        "batch_norm" => layers::batch_norm(graph, call),
        "bmm" | "matmul" => product(graph, call),
        "cat" => axes::cat(graph, call),
        "clamp_max" => arithmetic(graph, call, "Min"),
        "clamp_min" => arithmetic(graph, call, "Max"),
        "clone" | "contiguous" => Ok(call.wire(0)?.clone()),
        "constant_pad_nd" => axes::pad(graph, call),
        "div" => arithmetic(graph, call, "Div"),
        "dropout" | "feature_dropout" => dropout(call),
        "exp" => unary(graph, call, "Exp"),
        "expand" => axes::expand(graph, call),
        "fake_quantize_per_channel_affine" => quantize::per_channel(graph, call),
        "fake_quantize_per_tensor_affine" => quantize::per_tensor(graph, call),
        "flatten" => axes::flatten(graph, call),
        "gelu" => layers::gelu(graph, call),
        "index_select" => axes::index_select(graph, call),
        "layer_norm" => layers::layer_norm(graph, call),
        "linear" => layers::linear(graph, call),
        "mean" => axes::reduce(graph, call, "ReduceMean"),
        "mul" => arithmetic(graph, call, "Mul"),
        "narrow" => axes::narrow(graph, call),
        "neg" => unary(graph, call, "Neg"),
        "permute" => axes::permute(graph, call),
        "relu" => unary(graph, call, "Relu"),
        "repeat" => known::repeat(graph, call),
        "reshape" | "view" => axes::reshape(graph, call),
        "roll" => axes::roll(graph, call),
        "select" => axes::select(graph, call),
        "sigmoid" => unary(graph, call, "Sigmoid"),
        "slice" => axes::slice(graph, call),
        "softmax" => layers::softmax(graph, call),
        "sqrt" => unary(graph, call, "Sqrt"),
        "square" => square(graph, call),
        "stack" => axes::stack(graph, call),
        "sub" => arithmetic(graph, call, "Sub"),
        "sum" => axes::reduce(graph, call, "ReduceSum"),
        "t" => axes::matrix_transpose(graph, call),
        "tanh" => unary(graph, call, "Tanh"),
        "to" => to(call),
        "transpose" => axes::transpose(graph, call),
        "unflatten" => axes::unflatten(graph, call),
        "unsqueeze" => axes::unsqueeze(graph, call),
        "upsample_bilinear2d" => layers::upsample(graph, call),
        "zeros_like" => zeros_like(graph, call),
        other => Err(format!("torch.{other}: no operator is known for it")),
    }
}

fn unary(graph: &mut Graph, call: &Call, operator: &str) -> Result<Wire, String> {
    let x = call.wire(0)?;
    graph.node(operator, &[x], Vec::new(), x.rank)
}

fn square(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    graph.node("Mul", &[x, x], Vec::new(), x.rank)
}

fn zeros_like(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    graph.node("Sub", &[x, x], Vec::new(), x.rank)
}

/// Of tensor and tensor or tensor and number.
fn arithmetic(graph: &mut Graph, call: &Call, operator: &str) -> Result<Wire, String> {
    let one = Value::Integer(Extent { slope: 0, rest: 1 });
    call.only("alpha", &one)?;
    if *call.at(2) != Value::None && *call.at(2) != one {
        return Err(call.wrong(2, "1"));
    }
    let x = call.wire(0)?;
    let y = match call.at(1) {
        Value::Wire(wire) => wire.clone(),
        _ if operator == "Mul" && call.float(1)? == 1.0 => return Ok(x.clone()),
        _ => graph.float(call.float(1)?)?,
    };
    graph.node(operator, &[x, &y], Vec::new(), x.rank.max(y.rank))
}

/// Of matrices, in as many batches as there are axes in front of them.
fn product(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let (x, y) = (call.wire(0)?, call.wire(1)?);
    if x.rank < 2 || y.rank < 2 {
        return Err(format!("torch.{}: expected matrices", call.function));
    }
    graph.node("MatMul", &[x, y], Vec::new(), x.rank.max(y.rank))
}

/// `(x, rate, whether it trains)`.
fn dropout(call: &Call) -> Result<Wire, String> {
    match call.flag(2)? {
        false => Ok(call.wire(0)?.clone()),
        true => Err(call.wrong(2, "no dropout outside of training")),
    }
}

/// All numbers of a model are floats already.
fn to(call: &Call) -> Result<Wire, String> {
    call.only("dtype", &Value::Integer(Extent { slope: 0, rest: FLOAT }))?;
    match call.ordered.len() {
        1 => Ok(call.wire(0)?.clone()),
        _ => Err("torch.to: expected a tensor and `dtype` by name".into()),
    }
}

/// LibTorch's number of float32.
const FLOAT: i64 = 6;
