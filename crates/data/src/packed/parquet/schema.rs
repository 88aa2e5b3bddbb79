//! Columns of a Parquet file by the names of their parts.

use std::collections::BTreeMap;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::schema::types::{SchemaDescriptor, Type};

use crate::packed::lists::{Content, nested};
use crate::packed::numbers::Number;

/// A column that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Place among the columns of the file.
    pub(super) column: usize,
    pub(super) content: Content,
    /// The definition level from which on each list has a value, from the outermost list on.
    pub(super) lists: Vec<i16>,
    /// The definition level of a value that is there.
    pub(super) defined: i16,
}

/// The columns of a file.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    pub(super) read: BTreeMap<String, Leaf>,
    /// Those that cannot be read, and their types.
    pub(super) unread: Vec<(String, String)>,
    /// Columns so far.
    count: usize,
}

pub(super) fn leaves(schema: &SchemaDescriptor) -> Leaves {
    let mut leaves = Leaves::default();
    for field in schema.root_schema().get_fields() {
        leaves.field(field, field.name(), 0, &[]);
    }
    leaves
}

impl Leaves {
    fn field(&mut self, field: &Type, name: &str, defined: i16, lists: &[i16]) {
        let info = field.get_basic_info();
        let repetition = info.has_repetition().then(|| info.repetition());
        let optional = !matches!(repetition, None | Some(Repetition::REQUIRED));
        let defined = defined.saturating_add(i16::from(optional));
        let mut lists = lists.to_vec();
        if repetition == Some(Repetition::REPEATED) {
            lists.push(defined);
        }
        if field.is_primitive() {
            return self.leaf(field, name, defined, lists);
        }
        for child in field.get_fields() {
            let name = match is_nameless(field, child) {
                true => name.to_owned(),
                false => format!("{name}.{}", child.name()),
            };
            self.field(child, &name, defined, &lists);
        }
    }

    fn leaf(&mut self, field: &Type, name: &str, defined: i16, lists: Vec<i16>) {
        let column = self.count;
        self.count += 1;
        let part = name.strip_suffix(".bytes").unwrap_or(name).to_owned();
        match content(field) {
            Ok(content) if content.is_read(lists.len()) => {
                self.read.insert(part, Leaf { column, content, lists, defined });
            }
            Ok(content) => self.unread.push((part, nested(&content.name(), lists.len()))),
            Err(name) => self.unread.push((part, nested(&name, lists.len()))),
        }
    }
}

/// Whether a field has no name of its own: the values of a list, and each of them.
fn is_nameless(above: &Type, field: &Type) -> bool {
    let is_list = |field: &Type| {
        let info = field.get_basic_info();
        info.logical_type_ref() == Some(&LogicalType::List)
            || info.converted_type() == ConvertedType::LIST
    };
    let repeated = |field: &Type| {
        let info = field.get_basic_info();
        info.has_repetition() && info.repetition() == Repetition::REPEATED
    };
    let wraps = repeated(above) && above.get_fields().len() == 1 && is_wrapper(above.name());
    is_list(above) && repeated(field) || wraps
}

/// Names that writers give to what stands between a list and its values.
fn is_wrapper(name: &str) -> bool {
    matches!(name, "list" | "bag" | "element" | "item")
}

/// What a column holds, or the name of its type.
fn content(field: &Type) -> Result<Content, String> {
    let info = field.get_basic_info();
    let (logical, converted) = (info.logical_type_ref(), info.converted_type());
    let unsigned = matches!(logical, Some(LogicalType::Integer(whole)) if !whole.is_signed)
        || matches!(converted, ConvertedType::UINT_32 | ConvertedType::UINT_64);
    let whole = |size| if unsigned { Number::Unsigned(size) } else { Number::Signed(size) };
    let text = logical == Some(&LogicalType::String) || converted == ConvertedType::UTF8;
    Ok(match field.get_physical_type() {
        Physical::BYTE_ARRAY if text => Content::Text,
        Physical::BYTE_ARRAY => Content::Bytes,
        Physical::INT32 => Content::Number(whole(4)),
        Physical::INT64 => Content::Number(whole(8)),
        Physical::BOOLEAN => Content::Number(Number::Unsigned(1)),
        Physical::FLOAT => Content::Number(Number::Float(4)),
        Physical::DOUBLE => Content::Number(Number::Float(8)),
        Physical::FIXED_LEN_BYTE_ARRAY if logical == Some(&LogicalType::Float16) => {
            Content::Number(Number::Float(2))
        }
        Physical::INT96 => return Err("timestamp".to_owned()),
        Physical::FIXED_LEN_BYTE_ARRAY => return Err("fixed_size_binary".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn names_are_those_of_the_columns_and_not_of_their_lists() {
        let text = "message schema {
            optional group image { optional binary bytes; optional binary path (UTF8); }
            optional group tags (LIST) { repeated group list { optional int64 element; } }
            optional group old (LIST) { repeated int32 array; }
            required group depth (LIST) { repeated group list { required group item (LIST) {
                repeated group list { optional float item; } } } }
            optional group boxes (LIST) { repeated group list { optional float element; } }
            optional group objects (LIST) { repeated group list { optional group element {
                optional int32 id (UINT_32); optional group box (LIST) {
                    repeated group list { optional float element; } } } } }
            optional int96 when;
        }";
        let schema = parse_message_type(text).unwrap();
        let found = leaves(&SchemaDescriptor::new(Arc::new(schema)));
        let read = |name: &str| found.read[name].clone();
        let names: Vec<&str> = found.read.keys().map(String::as_str).collect();
        let expected = ["depth", "image", "image.path", "objects.box", "objects.id", "old", "tags"];
        assert_eq!(names, expected);
        assert_eq!((read("tags").lists, read("tags").defined), (vec![2], 3));
        assert_eq!((read("old").lists, read("old").defined), (vec![2], 2));
        assert_eq!((read("depth").lists, read("depth").defined), (vec![1, 2], 3));
        assert_eq!(read("objects.id").content, Content::Number(Number::Unsigned(4)));
        assert_eq!(read("objects.id").column, 6);
        let unread = [("boxes", "list<float>"), ("when", "timestamp")];
        assert_eq!(found.unread, unread.map(|(part, kind)| (part.to_owned(), kind.to_owned())));
    }
}
