//! Which buffers of a batch are those of a column.

use arrow_ipc::{Field, Precision, Schema, Type};

use crate::packed::lists::{Content, nested};
use crate::packed::numbers::Number;

/// A column that is read.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) part: String,
    pub(super) kind: Kind,
    /// What is around its values, from the outermost on.
    pub(super) steps: Vec<Step>,
    /// First buffer of its values.
    pub(super) values: usize,
    /// Place among the nodes of a batch of what has a value for each row.
    pub(super) node: usize,
}

/// What is around values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The buffer of bits that say what has a value.
    Validity(usize),
    /// The buffer that says where each list begins, in numbers of so many bytes.
    List(usize, usize),
    /// Lists of this length.
    Fixed(usize),
}

/// How values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes: where each begins, in numbers of so many bytes, and then all of them.
    Bytes(usize),
    /// Text, which lies as bytes do.
    Text(usize),
    Number(Number),
    /// Bits.
    Flags,
}

impl Kind {
    /// How many buffers of values there are.
    pub(super) fn buffers(self) -> usize {
        if let Self::Bytes(_) | Self::Text(_) = self { 2 } else { 1 }
    }

    pub(super) fn content(self) -> Content {
        match self {
            Self::Bytes(_) => Content::Bytes,
            Self::Text(_) => Content::Text,
            Self::Number(number) => Content::Number(number),
            Self::Flags => Content::Number(Number::Unsigned(1)),
        }
    }
}

/// The columns of a file.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) read: Vec<Column>,
    /// Those that cannot be read, and their types.
    pub(super) unread: Vec<(String, String)>,
    nodes: usize,
    buffers: usize,
}

/// What stands above a field.
#[derive(Debug, Clone, Default)]
struct Above {
    name: String,
    steps: Vec<Step>,
    /// Lists among the steps.
    depth: usize,
    /// The outermost list.
    node: Option<usize>,
    /// Whether it is of a type that is passed over with all within it.
    passed: bool,
}

/// The columns, each with its buffers.
///
/// # Errors
/// A type whose buffers are not known, so that those behind it cannot be found.
pub(super) fn columns(schema: &Schema) -> Result<Columns, String> {
    let mut columns = Columns::default();
    for field in schema.fields().into_iter().flatten() {
        let name = field.name().unwrap_or_default().to_owned();
        columns.field(&field, Above { name, ..Above::default() })?;
    }
    Ok(columns)
}

impl Columns {
    /// Notes a field whose name is that of `at`, in the order of buffers.
    fn field(&mut self, field: &Field, mut at: Above) -> Result<(), String> {
        let node = self.nodes;
        self.nodes += 1;
        if field.type_type() == Type::Null {
            self.pass(&at, "null");
            return Ok(());
        }
        // Every other type begins with its bits of validity.
        at.steps.push(Step::Validity(self.buffers));
        self.buffers += 1;
        if field.dictionary().is_some() {
            self.buffers += 1;
            self.pass(&at, "dictionary");
            return Ok(());
        }
        match field.type_type() {
            Type::Struct_ => return self.children(field, &at),
            Type::List | Type::LargeList | Type::FixedSizeList => {
                at.node = at.node.or(Some(node));
                at.depth += 1;
                at.steps.push(self.list(field)?);
                return self.children(field, &at);
            }
            Type::Map => {
                self.buffers += 1;
                self.pass(&at, "map");
                at.passed = true;
                return self.children(field, &at);
            }
            _ => {}
        }
        let values = self.buffers;
        match kind(field, &at.name)? {
            Ok(kind) => {
                self.buffers += kind.buffers();
                let part = part(&at);
                match kind.content().is_read(at.depth) && !at.passed {
                    true => {
                        let (steps, node) = (at.steps, at.node.unwrap_or(node));
                        self.read.push(Column { part, kind, steps, values, node });
                    }
                    false => self.pass(&at, &kind.content().name()),
                }
            }
            Err(name) => {
                self.buffers += 1;
                self.pass(&at, name);
            }
        }
        Ok(())
    }

    fn list(&mut self, field: &Field) -> Result<Step, String> {
        if let Some(fixed) = field.type_as_fixed_size_list() {
            let length = usize::try_from(fixed.listSize());
            return length.map(Step::Fixed).map_err(|_| "lists of fewer than 0 values".to_owned());
        }
        let size = if field.type_type() == Type::LargeList { 8 } else { 4 };
        self.buffers += 1;
        Ok(Step::List(self.buffers - 1, size))
    }

    fn children(&mut self, field: &Field, at: &Above) -> Result<(), String> {
        let named = matches!(field.type_type(), Type::Struct_ | Type::Map);
        for child in field.children().into_iter().flatten() {
            let name = match (named, child.name()) {
                (true, Some(own)) => format!("{}.{own}", at.name),
                _ => at.name.clone(),
            };
            self.field(&child, Above { name, ..at.clone() })?;
        }
        Ok(())
    }

    /// Notes a column that cannot be read.
    fn pass(&mut self, at: &Above, kind: &str) {
        if !at.passed {
            self.unread.push((part(at), nested(kind, at.depth)));
        }
    }
}

/// The part of a column: bytes of images are called as the images.
fn part(at: &Above) -> String {
    at.name.strip_suffix(".bytes").unwrap_or(&at.name).to_owned()
}

/// How the values of a field lie, or the name of its type, whose values lie in one buffer.
fn kind(field: &Field, name: &str) -> Result<Result<Kind, &'static str>, String> {
    Ok(Ok(match field.type_type() {
        Type::Binary => Kind::Bytes(4),
        Type::LargeBinary => Kind::Bytes(8),
        Type::Utf8 => Kind::Text(4),
        Type::LargeUtf8 => Kind::Text(8),
        Type::Bool => Kind::Flags,
        Type::Int => match integer(field) {
            Some(number) => Kind::Number(number),
            None => return Ok(Err("int")),
        },
        Type::FloatingPoint => match field.type_as_floating_point().map(|t| t.precision()) {
            Some(Precision::HALF) => Kind::Number(Number::Float(2)),
            Some(Precision::SINGLE) => Kind::Number(Number::Float(4)),
            Some(Precision::DOUBLE) => Kind::Number(Number::Float(8)),
            _ => return Ok(Err("float")),
        },
        Type::Decimal => return Ok(Err("decimal")),
        Type::Date => return Ok(Err("date")),
        Type::Time => return Ok(Err("time")),
        Type::Timestamp => return Ok(Err("timestamp")),
        Type::Interval => return Ok(Err("interval")),
        Type::Duration => return Ok(Err("duration")),
        Type::FixedSizeBinary => return Ok(Err("fixed_size_binary")),
        other => {
            let kind = other.variant_name().unwrap_or("unknown");
            return Err(format!("column {name}: expected a type that is read, found {kind}"));
        }
    }))
}

fn integer(field: &Field) -> Option<Number> {
    let integer = field.type_as_int()?;
    let bytes = match integer.bitWidth() {
        8 => 1,
        16 => 2,
        32 => 4,
        64 => 8,
        _ => return None,
    };
    Some(if integer.is_signed() { Number::Signed(bytes) } else { Number::Unsigned(bytes) })
}
