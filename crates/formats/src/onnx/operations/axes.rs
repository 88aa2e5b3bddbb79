//! Functions that move, cut and join axes.

use crate::onnx::graph::Graph;
use crate::onnx::proto::AttributeProto;
use crate::onnx::value::{Call, Value, Wire, axis};
use crate::script::Extent;

/// An end behind every axis.
const END: i64 = i64::MAX;

/// `(x, shape)`. One number that follows from the batch is left to the runtime to find.
pub(super) fn reshape(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let mut extents = call.extents(1)?;
    let rank = extents.len();
    if extents.contains(&fixed(0)) {
        return Err(call.wrong(1, "no axis without numbers"));
    }
    let mut free = extents.iter_mut().filter(|extent| extent.slope != 0 || extent.rest == -1);
    if let (Some(only), None) = (free.next(), free.next()) {
        *only = fixed(-1);
    }
    let shape = graph.extents(&extents)?;
    graph.node("Reshape", &[call.wire(0)?, &shape], Vec::new(), rank)
}

/// `(x, first axis, last axis)`, as one.
pub(super) fn flatten(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    let last = if *call.at(2) == Value::None { -1 } else { call.integer(2)? };
    regroup(graph, x, axis(call.integer(1)?, x.rank)?, axis(last, x.rank)?, &[-1])
}

/// `(x, axis, extents)`, one as several.
pub(super) fn unflatten(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    let axis = axis(call.integer(1)?, x.rank)?;
    regroup(graph, x, axis, axis, &call.integers(2)?)
}

/// `x` with other extents in place of the axes from `first` to `last`.
fn regroup(
    graph: &mut Graph,
    x: &Wire,
    first: usize,
    last: usize,
    extents: &[i64],
) -> Result<Wire, String> {
    // To Reshape, 0 is an axis that stays as it is.
    let shape = graph.integers(&[&vec![0; first], extents].concat())?;
    let behind = x.rank - 1 - last;
    let rank = first + extents.len() + behind;
    if behind == 0 {
        return graph.node("Reshape", &[x, &shape], Vec::new(), rank);
    }
    let start = vec![AttributeProto::int("start", last as i64 + 1)];
    let rest = graph.node("Shape", &[x], start, 1)?;
    let whole = graph.node("Concat", &[&shape, &rest], vec![AttributeProto::int("axis", 0)], 1)?;
    graph.node("Reshape", &[x, &whole], Vec::new(), rank)
}

/// `(x, shape)`, where -1 keeps an axis.
pub(super) fn expand(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let extents = call.extents(1)?.into_iter();
    let kept = |extent| if extent == fixed(-1) { fixed(1) } else { extent };
    let extents: Vec<Extent> = extents.map(kept).collect();
    let shape = graph.extents(&extents)?;
    graph.node("Expand", &[call.wire(0)?, &shape], Vec::new(), extents.len())
}

/// `(x, axes in their new order)`.
pub(super) fn permute(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    let order = call.integers(1)?.into_iter().map(|from| Ok(axis(from, x.rank)? as i64));
    transposed(graph, x, &order.collect::<Result<Vec<_>, String>>()?)
}

/// `(x, axis, axis)`, which change places.
pub(super) fn transpose(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    let mut order: Vec<i64> = (0..x.rank as i64).collect();
    order.swap(axis(call.integer(1)?, x.rank)?, axis(call.integer(2)?, x.rank)?);
    transposed(graph, x, &order)
}

/// `torch.t`, of a matrix.
pub(super) fn matrix_transpose(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    match x.rank {
        2 => transposed(graph, x, &[1, 0]),
        rank => Err(format!("torch.t: expected a matrix, found {rank} axes")),
    }
}

fn transposed(graph: &mut Graph, x: &Wire, order: &[i64]) -> Result<Wire, String> {
    graph.node("Transpose", &[x], vec![AttributeProto::ints("perm", order)], x.rank)
}

/// `(x, axis, index)`.
pub(super) fn select(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    let index = graph.integer(call.integer(2)?)?;
    let axis = AttributeProto::int("axis", call.integer(1)?);
    graph.node("Gather", &[x, &index], vec![axis], x.rank - 1)
}

/// `(x, axis, indices)`.
pub(super) fn index_select(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    let axis = AttributeProto::int("axis", call.integer(1)?);
    graph.node("Gather", &[x, call.wire(2)?], vec![axis], x.rank)
}

/// `(x, axis, start, length)`.
pub(super) fn narrow(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let (start, length) = (call.extent(2)?, call.extent(3)?);
    let end = Extent { slope: start.slope + length.slope, rest: start.rest + length.rest };
    cut(graph, call.wire(0)?, call.integer(1)?, [start, end])
}

/// `(x, axis, start, end, step)`.
pub(super) fn slice(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    if *call.at(4) != Value::None && call.integer(4)? != 1 {
        return Err(call.wrong(4, "steps of 1"));
    }
    let end = if *call.at(3) == Value::None { fixed(END) } else { call.extent(3)? };
    let start = if *call.at(2) == Value::None { fixed(0) } else { call.extent(2)? };
    match (start, end) {
        (Extent { slope: 0, rest: 0 }, Extent { slope: 0, rest: END }) => Ok(call.wire(0)?.clone()),
        ends => cut(graph, call.wire(0)?, call.integer(1)?, ends.into()),
    }
}

fn cut(graph: &mut Graph, x: &Wire, axis: i64, [start, end]: [Extent; 2]) -> Result<Wire, String> {
    let ends = [graph.extents(&[start])?, graph.extents(&[end])?, graph.integers(&[axis])?];
    graph.node("Slice", &[x, &ends[0], &ends[1], &ends[2]], Vec::new(), x.rank)
}

/// `(x, shifts, axes)`: what leaves an axis comes in at its other end.
pub(super) fn roll(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let mut x = call.wire(0)?.clone();
    for (shift, axis) in call.integers(1)?.into_iter().zip(call.integers(2)?) {
        if shift != 0 {
            let back = cut(graph, &x, axis, [fixed(-shift), fixed(END)])?;
            let front = cut(graph, &x, axis, [fixed(0), fixed(-shift)])?;
            let along = vec![AttributeProto::int("axis", axis)];
            x = graph.node("Concat", &[&back, &front], along, x.rank)?;
        }
    }
    Ok(x)
}

/// `(x, numbers before and behind, from the last axis on, value)`.
pub(super) fn pad(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let (x, pads) = (call.wire(0)?, call.integers(1)?);
    if pads.iter().all(|&pad| pad == 0) {
        return Ok(x.clone());
    }
    let (before, behind): (Vec<i64>, Vec<i64>) =
        pads.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
    let axes: Vec<i64> = (1..=before.len() as i64).map(|from_end| -from_end).collect();
    let value = if *call.at(2) == Value::None { 0.0 } else { call.float(2)? };
    let inputs =
        [graph.integers(&[before, behind].concat())?, graph.float(value)?, graph.integers(&axes)?];
    graph.node("Pad", &[x, &inputs[0], &inputs[1], &inputs[2]], Vec::new(), x.rank)
}

/// `(tensors, axis)`.
pub(super) fn cat(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let wires = call.wires(0)?;
    let rank = wires.first().map_or(0, |wire| wire.rank);
    let axis = if *call.at(1) == Value::None { 0 } else { call.integer(1)? };
    graph.node("Concat", &wires, vec![AttributeProto::int("axis", axis)], rank)
}

/// `(tensors, axis)`, along a new axis.
pub(super) fn stack(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let wires = call.wires(0)?;
    let rank = wires.first().map_or(0, |wire| wire.rank) + 1;
    let given = if *call.at(1) == Value::None { 0 } else { call.integer(1)? };
    let axes = graph.integers(&[axis(given, rank)? as i64])?;
    let raised =
        wires.into_iter().map(|wire| graph.node("Unsqueeze", &[wire, &axes], Vec::new(), rank));
    let raised = raised.collect::<Result<Vec<_>, _>>()?;
    let along = vec![AttributeProto::int("axis", given)];
    graph.node("Concat", &raised.iter().collect::<Vec<_>>(), along, rank)
}

/// `(x, axis)`, a new one.
pub(super) fn unsqueeze(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let x = call.wire(0)?;
    let axes = graph.integers(&[axis(call.integer(1)?, x.rank + 1)? as i64])?;
    graph.node("Unsqueeze", &[x, &axes], Vec::new(), x.rank + 1)
}

/// `(x, axes, whether they stay)`.
pub(super) fn reduce(graph: &mut Graph, call: &Call, operator: &str) -> Result<Wire, String> {
    let (x, over, kept) = (call.wire(0)?, call.integers(1)?, call.flag(2)?);
    let axes = graph.integers(&over)?;
    let rank = if kept { x.rank } else { x.rank - over.len().min(x.rank) };
    let keep = vec![AttributeProto::int("keepdims", kept.into())];
    graph.node(operator, &[x, &axes], keep, rank)
}

fn fixed(rest: i64) -> Extent {
    Extent { slope: 0, rest }
}
