//! A graph while it grows.

mod known;
mod numbers;

use std::collections::BTreeMap;

use tch::Tensor;

use super::proto::{AttributeProto, NodeProto, TensorProto};
use super::value::Wire;

/// The name of the input.
pub(super) const INPUT: &str = "image";

/// Nodes in the order of the code, and the tensors that they read.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    constants: &'a [Tensor],
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: BTreeMap<String, TensorProto>,
}

impl<'a> Graph<'a> {
    /// No nodes yet, over these constants.
    pub(super) fn new(constants: &'a [Tensor]) -> Self {
        Self { constants, nodes: Vec::new(), initializers: BTreeMap::new() }
    }

    /// The constant of this number; it joins the file where a node reads it.
    pub(super) fn constant(&self, index: usize) -> Result<Wire, String> {
        let tensor = self.constants.get(index).ok_or_else(|| format!("no constant {index}"))?;
        Ok(Wire { name: format!("c{index}"), rank: tensor.dim(), constant: Some(index) })
    }

    /// A node of `operator`, whose one output has `rank` axes.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&Wire],
        attributes: Vec<AttributeProto>,
        rank: usize,
    ) -> Result<Wire, String> {
        for (index, name) in inputs.iter().filter_map(|wire| Some((wire.constant?, &wire.name))) {
            if !self.initializers.contains_key(name) {
                self.initializer(name, &self.constants[index].shallow_clone())?;
            }
        }
        let name = format!("/{operator}_{}", self.nodes.len());
        let inputs: Vec<&str> = inputs.iter().map(|wire| wire.name.as_str()).collect();
        self.push(operator, &inputs, attributes, name.clone());
        Ok(Wire { name, rank, constant: None })
    }

    pub(super) fn push(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        out: String,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            name: Some(out.clone()),
            output: vec![out],
            op_type: Some(operator.into()),
            attribute,
        });
    }
}
