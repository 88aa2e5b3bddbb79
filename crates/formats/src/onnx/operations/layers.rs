//! Functions that layers are made of.

use crate::onnx::graph::Graph;
use crate::onnx::proto::AttributeProto;
use crate::onnx::value::{Call, Value, Wire};

/// `(x, weight, bias)`: `x weight^T + bias`, with the weight transposed in the file.
pub(super) fn linear(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let (x, weight) = (call.wire(0)?, call.wire(1)?);
    let matrix = match weight.constant {
        Some(index) => graph.transposed(index)?,
        None => {
            graph.node("Transpose", &[weight], vec![AttributeProto::ints("perm", &[1, 0])], 2)?
        }
    };
    let mapped = graph.node("MatMul", &[x, &matrix], Vec::new(), x.rank)?;
    match call.at(2) {
        Value::None => Ok(mapped),
        _ => graph.node("Add", &[&mapped, call.wire(2)?], Vec::new(), x.rank),
    }
}

/// `(x, weight, bias, stride, padding, dilation, transposed, output padding, groups, ..)`.
pub(super) fn convolution(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let padding = call.integers(4)?;
    if call.flag(6)? {
        return Err(call.wrong(6, "a convolution that is not transposed"));
    }
    let attributes = vec![
        AttributeProto::ints("strides", &call.integers(3)?),
        AttributeProto::ints("pads", &[padding.clone(), padding].concat()),
        AttributeProto::ints("dilations", &call.integers(5)?),
        AttributeProto::int("group", call.integer(8)?),
    ];
    let mut inputs = vec![call.wire(0)?, call.wire(1)?];
    if *call.at(2) != Value::None {
        inputs.push(call.wire(2)?);
    }
    graph.node("Conv", &inputs, attributes, inputs[0].rank)
}

/// `(x, shape, weight, bias, epsilon, ..)`, over the last axes.
pub(super) fn layer_norm(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let shape = call.integers(1)?;
    let epsilon = AttributeProto::float("epsilon", call.float(4)?);
    let attributes = vec![AttributeProto::int("axis", -(shape.len() as i64)), epsilon];
    let x = call.wire(0)?;
    let weight = match call.at(2) {
        Value::None => graph.ones(&shape)?,
        _ => call.wire(2)?.clone(),
    };
    let mut inputs = vec![x, &weight];
    if *call.at(3) != Value::None {
        inputs.push(call.wire(3)?);
    }
    graph.node("LayerNormalization", &inputs, attributes, x.rank)
}

/// `(x, weight, bias, mean, variance, training, momentum, epsilon, ..)`, with stored statistics.
pub(super) fn batch_norm(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    if call.flag(5)? {
        return Err(call.wrong(5, "a norm with stored statistics"));
    }
    let epsilon = AttributeProto::float("epsilon", call.float(7)?);
    let inputs = [0, 1, 2, 3, 4].map(|index| call.wire(index));
    let inputs = inputs.into_iter().collect::<Result<Vec<_>, _>>()?;
    graph.node("BatchNormalization", &inputs, vec![epsilon], inputs[0].rank)
}

/// Exact, or the approximation by a hyperbolic tangent.
pub(super) fn gelu(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let named = call.named.iter().find(|(name, _)| *name == "approximate");
    let approximate = match named.map_or(call.at(1), |(_, value)| value) {
        Value::Text(text) => text.as_str(),
        _ => "none",
    };
    let x = call.wire(0)?;
    graph.node("Gelu", &[x], vec![AttributeProto::text("approximate", approximate)], x.rank)
}

/// `(x, axis)`.
pub(super) fn softmax(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    graph.node("Softmax", &[x], vec![AttributeProto::int("axis", call.integer(1)?)], x.rank)
}

/// `(x, [height, width], whether corners are aligned)`.
pub(super) fn upsample(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    if let Some(index) = [3, 4].into_iter().find(|&index| *call.at(index) != Value::None) {
        return Err(call.wrong(index, "no factor beside the size"));
    }
    let aligned = call.flag(2)?;
    let places = if aligned { "align_corners" } else { "half_pixel" };
    let attributes = vec![
        AttributeProto::text("mode", "linear"),
        AttributeProto::text("coordinate_transformation_mode", places),
    ];
    let (size, nothing) = (graph.integers(&call.integers(1)?)?, graph.nothing());
    let x = call.wire(0)?;
    // Extents of all axes: onnxruntime loses those of some where it moves channels.
    let kept = vec![AttributeProto::int("start", 0), AttributeProto::int("end", 2)];
    let kept = graph.node("Shape", &[x], kept, 1)?;
    let whole = graph.node("Concat", &[&kept, &size], vec![AttributeProto::int("axis", 0)], 1)?;
    graph.node("Resize", &[x, &nothing, &nothing, &whole], attributes, x.rank)
}
