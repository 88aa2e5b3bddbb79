//! A graph while it grows.

mod numbers;

use std::collections::{BTreeMap, HashMap};

use tch::Tensor;

use super::operations;
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use super::value::{Call, Value, Wire};
use crate::script::{Code, Expression};

/// The name of the input.
pub(super) const INPUT: &str = "image";

/// Nodes in the order of the code, and the tensors that they read.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    constants: &'a [Tensor],
    nodes: Vec<NodeProto>,
    initializers: BTreeMap<String, TensorProto>,
    values: HashMap<&'a str, Value>,
}

/// `code` as a graph; `image` and `shapes` are the extents of input and outputs behind the batch.
pub(super) fn of_code(
    code: &Code,
    constants: &[Tensor],
    image: &[i64],
    shapes: &[Vec<i64>],
) -> Result<GraphProto, String> {
    let input = Wire { name: INPUT.into(), rank: image.len() + 1, constant: None };
    let values = HashMap::from([(INPUT, Value::Wire(input))]);
    let mut graph = Graph { constants, nodes: Vec::new(), initializers: BTreeMap::new(), values };
    // The batch is read off the image where a number depends on it.
    for (name, expression) in code.statements.iter().filter(|(name, _)| name != "batch") {
        let value = graph.value(expression)?;
        graph.values.insert(name, value);
    }
    let mut output = Vec::new();
    for ((name, expression), shape) in code.outputs.iter().zip(shapes) {
        if name == INPUT {
            return Err(format!("output `{name}`: the input has this name"));
        }
        let Value::Wire(wire) = graph.value(expression)? else {
            return Err(format!("output `{name}`: expected a tensor"));
        };
        graph.push("Identity", &[&wire.name], Vec::new(), name.clone());
        output.push(ValueInfoProto::batched(name, shape));
    }
    Ok(GraphProto {
        node: graph.nodes,
        name: Some("polyptych".into()),
        initializer: graph.initializers.into_values().collect(),
        input: vec![ValueInfoProto::batched(INPUT, image)],
        output,
    })
}

impl<'a> Graph<'a> {
    fn value(&mut self, expression: &'a Expression) -> Result<Value, String> {
        Ok(match expression {
            Expression::Name(name) => {
                let known = self.values.get(name.as_str());
                known.ok_or_else(|| format!("`{name}` stands for nothing"))?.clone()
            }
            Expression::Constant(index) => Value::Wire(self.constant(*index)?),
            Expression::Integer(extent) => Value::Integer(*extent),
            Expression::Float(value) => Value::Float(*value),
            Expression::Bool(value) => Value::Bool(*value),
            Expression::Text(text) => Value::Text(text.clone()),
            Expression::None => Value::None,
            Expression::List(items) => Value::List(self.all(items)?),
            // Where numbers lie is the runtime's to say.
            Expression::Call(function, ..) if function == "torch.device" => Value::None,
            Expression::Call(function, ordered, named) => {
                Value::Wire(self.call(function, ordered, named)?)
            }
        })
    }

    fn call(
        &mut self,
        function: &'a str,
        ordered: &'a [Expression],
        named: &'a [(String, Expression)],
    ) -> Result<Wire, String> {
        let values = self.all(ordered)?;
        let named = named.iter().map(|(name, e)| Ok((name.as_str(), self.value(e)?)));
        let named = named.collect::<Result<_, String>>()?;
        let function = function.strip_prefix("torch.").unwrap_or(function);
        let plain = function.strip_suffix('_').unwrap_or(function);
        // What is changed in place goes on under the new name; nobody may read the old one.
        if let (true, Some(Expression::Name(old))) = (plain != function, ordered.first()) {
            self.values.remove(old.as_str());
        }
        operations::convert(self, &Call { function: plain, ordered: values, named })
    }

    fn all(&mut self, items: &'a [Expression]) -> Result<Vec<Value>, String> {
        items.iter().map(|item| self.value(item)).collect()
    }

    /// The constant of this number; it joins the file where a node reads it.
    fn constant(&self, index: usize) -> Result<Wire, String> {
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

    fn push(
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
