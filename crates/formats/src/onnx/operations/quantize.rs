//! Numbers that are rounded to bytes and back: QuantizeLinear and DequantizeLinear.

use tch::{Kind, Tensor};

use crate::onnx::graph::Graph;
use crate::onnx::proto::AttributeProto;
use crate::onnx::value::{Call, Wire};

/// `(x, scale, zero point, 0, 255)`: one step and one byte of 0 for all numbers.
pub(super) fn per_tensor(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let (x, scale) = (call.wire(0)?, graph.float(call.float(1)?)?);
    let zero = u8::try_from(call.integer(2)?).map_err(|_| call.wrong(2, "a byte"))?;
    if [call.integer(3)?, call.integer(4)?] != [0, 255] {
        return Err(call.wrong(3, "bytes from 0 to 255"));
    }
    let zero = graph.byte(zero)?;
    let bytes = graph.node("QuantizeLinear", &[x, &scale, &zero], Vec::new(), x.rank)?;
    graph.node("DequantizeLinear", &[&bytes, &scale, &zero], Vec::new(), x.rank)
}

/// `(matrix, scales, zero points, axis, least, most)` of a constant, whose bytes go into the file;
/// zero points are 0.
pub(super) fn per_channel(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let (matrix, scales) = (call.wire(0)?, call.wire(1)?);
    let (Some(of_matrix), Some(of_scales)) = (matrix.constant, scales.constant) else {
        return Err(call.wrong(0, "numbers of the model"));
    };
    let (axis, least, most) = (call.integer(3)?, call.integer(4)?, call.integer(5)?);
    if least < i64::from(i8::MIN) || most > i64::from(i8::MAX) {
        return Err(call.wrong(4, "bytes from -128 to 127"));
    }
    let bytes = graph.computed(&format!("{}.int8", matrix.name), |constants| {
        let (matrix, scales): (&Tensor, &Tensor) = (&constants[of_matrix], &constants[of_scales]);
        let mut shape = vec![1; matrix.dim()];
        shape[usize::try_from(axis).unwrap_or_default()] = -1;
        let steps = (matrix / scales.view(shape.as_slice())).round();
        steps.clamp(least as f64, most as f64).to_kind(Kind::Int8)
    })?;
    let attributes = vec![AttributeProto::int("axis", axis)];
    graph.node("DequantizeLinear", &[&bytes, scales], attributes, matrix.rank)
}
