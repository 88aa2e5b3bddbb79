//! What follows from the model's numbers alone.

use std::collections::HashSet;

use tch::{Device, Kind, Tensor};

use super::{Graph, INPUT};
use crate::onnx::evaluate;
use crate::onnx::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::onnx::value::Wire;

impl Graph<'_> {
    /// The numbers that `wire` stands for, where no image is needed to tell them.
    pub(in crate::onnx) fn value(&self, wire: &Wire) -> Result<Tensor, String> {
        if let Some(index) = wire.constant {
            return Ok(self.constants[index].shallow_clone());
        }
        let (node, read) = needed(&self.nodes, [wire.name.as_str()]);
        if read.contains(INPUT) {
            return Err(format!("`{}` depends on the image", wire.name));
        }
        let held = self.initializers.iter().filter(|(name, _)| read.contains(name.as_str()));
        let graph = GraphProto {
            node: node.into_iter().cloned().collect(),
            name: None,
            initializer: held.map(|(_, tensor)| tensor.clone()).collect(),
            input: Vec::new(),
            output: vec![ValueInfoProto::batched(&wire.name, &[])],
        };
        let nothing = Tensor::zeros([0], (Kind::Float, Device::Cpu));
        let (_, value) = evaluate::run(&graph, &nothing)?.remove(0);
        Ok(value)
    }

    /// Leaves out nodes and tensors that nothing reads, for what was computed in their place.
    pub(in crate::onnx) fn keep_what_is_read(&mut self, outputs: &[&str]) {
        let (nodes, read) = needed(&self.nodes, outputs.iter().copied());
        let nodes = nodes.into_iter().cloned().collect();
        self.initializers.retain(|name, _| read.contains(name.as_str()));
        self.nodes = nodes;
    }
}

/// The nodes that `names` depend on, in their order, and all that these read.
fn needed<'n>(
    nodes: &'n [NodeProto],
    names: impl IntoIterator<Item = &'n str>,
) -> (Vec<&'n NodeProto>, HashSet<&'n str>) {
    let mut read: HashSet<&str> = names.into_iter().collect();
    let mut kept = Vec::new();
    for node in nodes.iter().rev() {
        if node.output.iter().any(|output| read.contains(output.as_str())) {
            read.extend(node.input.iter().map(String::as_str));
            kept.push(node);
        }
    }
    kept.reverse();
    (kept, read)
}
