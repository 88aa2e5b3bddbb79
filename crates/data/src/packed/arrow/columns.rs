//! Which buffers of a batch are those of a column.

use arrow_ipc::{Field, Schema, Type};

/// A column that is read.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) part: String,
    pub(super) kind: Kind,
    /// Buffers of bits that say whether a row has a value: those of the structures around the
    /// column, and its own.
    pub(super) validity: Vec<usize>,
    /// First buffer of its values.
    pub(super) values: usize,
    /// Place among the nodes of a batch.
    pub(super) node: usize,
}

/// How values lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Bytes or text: where each begins, in numbers of so many bytes, and then all of them.
    Bytes(usize),
    /// Whole numbers of so many bytes.
    Signed(usize),
    /// The same without sign.
    Unsigned(usize),
    /// Bits.
    Flags,
}

/// Walks over the fields in the order of their buffers.
#[derive(Default)]
struct Walk {
    nodes: usize,
    buffers: usize,
    columns: Vec<Column>,
}

/// The columns that are read. Numbers with fractions, dates and lists are passed over.
///
/// # Errors
/// A type whose buffers are not known, so that those behind it cannot be found.
pub(super) fn columns(schema: &Schema) -> Result<Vec<Column>, String> {
    let mut walk = Walk::default();
    for field in schema.fields().into_iter().flatten() {
        walk.field(&field, "", &[], true)?;
    }
    Ok(walk.columns)
}

impl Walk {
    fn field(
        &mut self,
        field: &Field,
        above: &str,
        validity: &[usize],
        single: bool,
    ) -> Result<(), String> {
        let name = format!("{above}{}", field.name().unwrap_or_default());
        let node = self.nodes;
        self.nodes += 1;
        if field.type_type() == Type::Null {
            return Ok(());
        }
        // Every other type begins with its bits of validity.
        let bits = self.buffers;
        self.buffers += 1;
        let validity = [validity, &[bits]].concat();
        if field.dictionary().is_some() {
            self.buffers += 1;
            return Ok(());
        }
        let (kind, more, children) = match field.type_type() {
            Type::Binary | Type::Utf8 => (Some(Kind::Bytes(4)), 2, None),
            Type::LargeBinary | Type::LargeUtf8 => (Some(Kind::Bytes(8)), 2, None),
            Type::Int => (integer(field), 1, None),
            Type::Bool => (Some(Kind::Flags), 1, None),
            Type::Struct_ => (None, 0, Some(single)),
            Type::List | Type::LargeList | Type::Map => (None, 1, Some(false)),
            Type::FixedSizeList => (None, 0, Some(false)),
            Type::FloatingPoint
            | Type::Decimal
            | Type::Date
            | Type::Time
            | Type::Timestamp
            | Type::Interval
            | Type::Duration
            | Type::FixedSizeBinary => (None, 1, None),
            other => {
                let kind = other.variant_name().unwrap_or("unknown");
                return Err(format!("column {name}: expected a type that is read, found {kind}"));
            }
        };
        let values = self.buffers;
        self.buffers += more;
        if let (Some(kind), true) = (kind, single) {
            let part = name.strip_suffix(".bytes").unwrap_or(&name).to_owned();
            self.columns.push(Column { part, kind, validity: validity.clone(), values, node });
        }
        if let Some(single) = children {
            for child in field.children().into_iter().flatten() {
                self.field(&child, &format!("{name}."), &validity, single)?;
            }
        }
        Ok(())
    }
}

fn integer(field: &Field) -> Option<Kind> {
    let integer = field.type_as_int()?;
    let bytes = match integer.bitWidth() {
        8 => 1,
        16 => 2,
        32 => 4,
        64 => 8,
        _ => return None,
    };
    Some(if integer.is_signed() { Kind::Signed(bytes) } else { Kind::Unsigned(bytes) })
}
