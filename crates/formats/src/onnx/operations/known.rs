//! Functions of the model's numbers alone, such as positions that are fitted to another grid: the
//! file has what they give. Runtimes differ in what they make of the operators: OpenVINO 2026 passes
//! over `antialias`.

use tch::Tensor;

use crate::onnx::graph::Graph;
use crate::onnx::value::{Call, Value, Wire};

/// `(x, [height, width], whether corners are aligned)`, bicubic with antialiasing.
pub(super) fn upsample(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    if let Some(index) = [3, 4].into_iter().find(|&index| *call.at(index) != Value::None) {
        return Err(call.wrong(index, "no factor beside the size"));
    }
    let (size, aligned) = (call.integers(1)?, call.flag(2)?);
    computed(graph, call, &size, |x| {
        x.f_internal_upsample_bicubic2d_aa(&size[..], aligned, None, None)
    })
}

/// `(x, [times along each axis])`.
pub(super) fn repeat(graph: &mut Graph, call: &Call) -> Result<Wire, String> {
    let times = call.integers(1)?;
    computed(graph, call, &times, |x| x.f_repeat(&times[..]))
}

fn computed(
    graph: &mut Graph,
    call: &Call,
    integers: &[i64],
    function: impl FnOnce(&Tensor) -> Result<Tensor, tch::TchError>,
) -> Result<Wire, String> {
    let x = call.wire(0)?;
    let said = |reason: String| format!("torch.{}: {reason}", call.function);
    let value =
        tch::no_grad(|| function(&graph.value(x).map_err(said)?).map_err(|e| said(e.to_string())))?;
    let integers: Vec<String> = integers.iter().map(i64::to_string).collect();
    let name = format!("{}.{}.{}", x.name, call.function, integers.join("."));
    graph.computed(&name, |_| value)
}
