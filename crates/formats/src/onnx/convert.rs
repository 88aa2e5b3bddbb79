//! The code of a trace as a graph.

use std::collections::HashMap;

use tch::Tensor;

use super::graph::{Graph, INPUT};
use super::operations;
use super::proto::{GraphProto, ValueInfoProto};
use super::value::{Call, Value, Wire};
use crate::script::{Code, Expression};

/// `code` as a graph; `image` and `shapes` are the extents of input and outputs behind the batch.
pub(super) fn of_code(
    code: &Code,
    constants: &[Tensor],
    image: &[i64],
    shapes: &[Vec<i64>],
) -> Result<GraphProto, String> {
    let input = Wire { name: INPUT.into(), rank: image.len() + 1, constant: None };
    let values = HashMap::from([(INPUT, Value::Wire(input))]);
    let mut conversion = Conversion { graph: Graph::new(constants), values };
    // The batch is read off the image where a number depends on it.
    for (name, expression) in code.statements.iter().filter(|(name, _)| name != "batch") {
        let value = conversion.value(expression)?;
        conversion.values.insert(name, value);
    }
    let mut output = Vec::new();
    for ((name, expression), shape) in code.outputs.iter().zip(shapes) {
        if name == INPUT {
            return Err(format!("output `{name}`: the input has this name"));
        }
        let Value::Wire(wire) = conversion.value(expression)? else {
            return Err(format!("output `{name}`: expected a tensor"));
        };
        conversion.graph.push("Identity", &[&wire.name], Vec::new(), name.clone());
        output.push(ValueInfoProto::batched(name, shape));
    }
    let mut graph = conversion.graph;
    graph
        .keep_what_is_read(&code.outputs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    Ok(GraphProto {
        node: graph.nodes,
        name: Some("polyptych".into()),
        initializer: graph.initializers.into_values().collect(),
        input: vec![ValueInfoProto::batched(INPUT, image)],
        output,
    })
}

/// The graph so far, and what names of the code stand for.
struct Conversion<'a> {
    graph: Graph<'a>,
    values: HashMap<&'a str, Value>,
}

impl<'a> Conversion<'a> {
    fn value(&mut self, expression: &'a Expression) -> Result<Value, String> {
        Ok(match expression {
            Expression::Name(name) => {
                let known = self.values.get(name.as_str());
                known.ok_or_else(|| format!("`{name}` stands for nothing"))?.clone()
            }
            Expression::Constant(index) => Value::Wire(self.graph.constant(*index)?),
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
        operations::convert(&mut self.graph, &Call { function: plain, ordered: values, named })
    }

    fn all(&mut self, items: &'a [Expression]) -> Result<Vec<Value>, String> {
        items.iter().map(|item| self.value(item)).collect()
    }
}
