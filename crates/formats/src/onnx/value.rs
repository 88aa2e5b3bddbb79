//! What a name in traced code stands for while it becomes a graph.

use crate::script::Extent;

/// A tensor in the graph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wire {
    pub(super) name: String,
    /// How many axes it has.
    pub(super) rank: usize,
    /// Which constant it is, if it is one.
    pub(super) constant: Option<usize>,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Wire(Wire),
    Integer(Extent),
    Float(f64),
    Bool(bool),
    Text(String),
    None,
    List(Vec<Value>),
}

/// A call of one of LibTorch's functions.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Without `torch.`.
    pub(super) function: &'a str,
    pub(super) ordered: Vec<Value>,
    pub(super) named: Vec<(&'a str, Value)>,
}

/// An axis of a tensor of `rank` axes, counted from its start.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis + rank as i64 } else { axis };
    let known = usize::try_from(from_start).ok().filter(|&axis| axis < rank);
    known.ok_or_else(|| format!("axis {axis} of a tensor of {rank}"))
}

impl Call<'_> {
    pub(super) fn wire(&self, index: usize) -> Result<&Wire, String> {
        match self.at(index) {
            Value::Wire(wire) => Ok(wire),
            _ => Err(self.wrong(index, "a tensor")),
        }
    }

    pub(super) fn wires<'s>(&'s self, index: usize) -> Result<Vec<&'s Wire>, String> {
        let wrong = || self.wrong(index, "a list of tensors");
        let Value::List(items) = self.at(index) else { return Err(wrong()) };
        let wire = |item: &'s Value| match item {
            Value::Wire(wire) => Ok(wire),
            _ => Err(wrong()),
        };
        items.iter().map(wire).collect()
    }

    /// Integers that may depend on the batch.
    pub(super) fn extents(&self, index: usize) -> Result<Vec<Extent>, String> {
        let wrong = || self.wrong(index, "a list of integers");
        let Value::List(items) = self.at(index) else { return Err(wrong()) };
        let extent = |item| match item {
            &Value::Integer(extent) => Ok(extent),
            _ => Err(wrong()),
        };
        items.iter().map(extent).collect()
    }

    pub(super) fn integers(&self, index: usize) -> Result<Vec<i64>, String> {
        let fixed = |extent: Extent| match extent.slope {
            0 => Ok(extent.rest),
            _ => Err(self.wrong(index, "integers that do not depend on the batch")),
        };
        self.extents(index)?.into_iter().map(fixed).collect()
    }

    pub(super) fn extent(&self, index: usize) -> Result<Extent, String> {
        match self.at(index) {
            &Value::Integer(extent) => Ok(extent),
            _ => Err(self.wrong(index, "an integer")),
        }
    }

    pub(super) fn integer(&self, index: usize) -> Result<i64, String> {
        match self.at(index) {
            &Value::Integer(Extent { slope: 0, rest }) => Ok(rest),
            _ => Err(self.wrong(index, "an integer that does not depend on the batch")),
        }
    }

    pub(super) fn float(&self, index: usize) -> Result<f64, String> {
        match self.at(index) {
            Value::Float(value) => Ok(*value),
            Value::Integer(Extent { slope: 0, rest }) => Ok(*rest as f64),
            _ => Err(self.wrong(index, "a number that does not depend on the batch")),
        }
    }

    pub(super) fn flag(&self, index: usize) -> Result<bool, String> {
        match self.at(index) {
            &Value::Bool(value) => Ok(value),
            Value::None => Ok(false),
            _ => Err(self.wrong(index, "True or False")),
        }
    }

    /// What stands at `index`; `None` where nothing does.
    pub(super) fn at(&self, index: usize) -> &Value {
        self.ordered.get(index).unwrap_or(&Value::None)
    }

    /// Checks that what is given by `name`, if it is, is `expected`.
    pub(super) fn only(&self, name: &str, expected: &Value) -> Result<(), String> {
        let given = self.named.iter().find(|(given, _)| *given == name);
        match given {
            Some((_, found)) if found != expected => {
                Err(format!("torch.{}: {name}: expected {expected:?}", self.function))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wrong(&self, index: usize, expected: &str) -> String {
        let found = self.at(index);
        format!("torch.{}: argument {index}: expected {expected}, found {found:?}", self.function)
    }
}
